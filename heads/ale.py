"""ALE: DeViSE's hinge, weighted by the rank of the right class.

    r_n = number of classes that violate the margin,    beta_r = 1 + 1/2 + ... + 1/r
    L_n = beta_r / r sum over j != label of max(0, margin - s_n,label + s_nj)              nought where none violates

A video whose class is ranked last costs little more for each further class before it. The paper's margin is 1 and its
weights are sampled; here, as in the code of Elaborative Rehearsal, the margin is .1 and the rank is counted.

Paper: Akata et al., Label-Embedding for Image Classification, PAMI 2016; METHODS section 8.
"""

from torch import Tensor

from heads.bilinear import Bilinear, harmonic


class ALE(Bilinear):
    """The ALE head; its settings are `BilinearOptions`."""

    def ranked(self, violations: Tensor) -> Tensor:
        """As `Bilinear.ranked`: their sum, times beta_r / r."""
        rank = (violations > 0).sum(1)
        weights = harmonic(violations.shape[1], violations)[rank] / rank.clamp(min=1)
        return weights * violations.sum(1)
