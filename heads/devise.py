"""DeViSE: a linear map into the space of the texts, and a hinge on every other class.

    v (N, D), t (K, A), M (A, D);    s = (M v).t,    L_n = sum over j != label of max(0, margin - s_n,label + s_nj)

The paper draws some wrong classes in random order and stops at the first that violates; here, as in the skeleton paper
(equation 1) and in the code of Elaborative Rehearsal, all are summed. The skeleton paper's row is `others=all`,
`unit_videos=true`, `dropout=0`: it compares with the texts of seen AND unseen classes in training.

Papers: Frome et al., DeViSE, NeurIPS 2013; skeleton ZSAR, section 3.3; METHODS sections 7 and 8.
"""

from torch import Tensor

from heads.bilinear import Bilinear


class DeViSE(Bilinear):
    """The DeViSE head; its settings are `BilinearOptions`."""

    def ranked(self, violations: Tensor) -> Tensor:
        """As `Bilinear.ranked`: their sum."""
        return violations.sum(1)
