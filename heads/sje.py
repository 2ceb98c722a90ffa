"""SJE: the structured hinge, which only the hardest class counts in.

    L_n = max over j != label of max(0, margin - s_n,label + s_nj)

The paper's margin is 1; here, as in the code of Elaborative Rehearsal, it is .1.

Paper: Akata et al., Evaluation of Output Embeddings for Fine-Grained Image Classification, CVPR 2015; METHODS
section 8.
"""

from torch import Tensor

from heads.bilinear import Bilinear


class SJE(Bilinear):
    """The SJE head; its settings are `BilinearOptions`."""

    def ranked(self, violations: Tensor) -> Tensor:
        """As `Bilinear.ranked`: the largest."""
        return violations.amax(1)
