"""Semantic relatedness transfer: which seen classes compose an unseen one, and how much of each is taken.

    M[j, i] = cos(t_j, t_i)   (U, S), unseen class j and seen class i;    maximise  sum(M * A)  over A in {0, 1}, with
    I         A[j, i] = 0  where i is not among the K seen classes nearest to j
    II        A[j, i] = 0  where  min over k != j of (1 - M[k, i]) / (1 - M[j, i])  <= theta
    III       sum_i A[j, i] <= rho
    prototype_j = sum_i A[j, i] M[j, i] phi_i / sum_i A[j, i] M[j, i]

No constraint holds two rows together once M is known, so the integer programme falls apart into rows, and of a row
the rho largest positive entries that are allowed are its solution. What adds nothing (M = 0) is not taken, and what
takes away (M < 0) never is: weights are positive. A row that ends empty keeps its nearest seen class, of whatever sign.

Two classes of one vector are as near to each other as can be: 0 / 0 in II counts as 1, and x / 0 as endless. Where
there is no other unseen class II allows all. Cosines are rounded to twelve places, so that classes told alike tie.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition (ResT), CVPR 2022, eq. 1-6.
"""

import torch
from torch import Tensor

from heads.projection import unit

_PLACES = 12


def relatedness(of: Tensor, to: Tensor) -> Tensor:
    """(J, S) float64: cosines of the rows of `of` (J, A) and of `to` (S, A); 0 with a vector of zeros."""
    return torch.round((unit(of.double()) @ unit(to.double()).T).clamp(-1, 1), decimals=_PLACES)


def largest(related: Tensor, count: int) -> Tensor:
    """(J, S) bool: the `count` largest entries of each row; of equal ones the first. All where there are no more."""
    order = torch.argsort(-related, dim=1, stable=True)[:, :count]
    return torch.zeros_like(related, dtype=torch.bool).scatter_(1, order, True)


def distinct(related: Tensor, rivals: Tensor, own: Tensor, theta: float) -> Tensor:
    """(J, S) bool: what constraint II allows.

    Parameters
    ----------
    related : (J, S)
        M of the classes asked for.
    rivals : (U, S)
        M of all unseen classes.
    own : (J,) int64
        Which row of `rivals` is the class itself, -1 for one that is not among them.
    theta : float
    """
    far = 1 - related
    endless = torch.full((2, related.shape[1]), torch.inf, dtype=far.dtype, device=far.device)
    two, whose = torch.cat([1 - rivals, endless]).topk(2, dim=0, largest=False)
    nearest_other = torch.where(whose[0] == own[:, None], two[1], two[0])
    ratio = nearest_other / far
    ratio[(far == 0) & (nearest_other == 0)] = 1
    return ratio > theta


def chosen(related: Tensor, allowed: Tensor, rho: int) -> tuple[Tensor, Tensor]:
    """A (J, S) bool, and (J,) bool: the rows without a positive entry that is allowed, which keep their largest.

    Parameters
    ----------
    related : (J, S)
    allowed : (J, S) bool
    rho : at most so many a row; 0: any number
    """
    positive = allowed & (related > 0)
    found = positive & largest(related.masked_fill(~positive, -2), rho or related.shape[1])
    empty = ~found.any(1)
    return found | (largest(related, 1) & empty[:, None]), empty


def shares(related: Tensor, taken: Tensor) -> Tensor:
    """(J, S): A M, each row summing to 1; a lone entry of A is 1, whatever the sign of its M."""
    lone = taken.sum(1, keepdim=True) == 1
    weights = torch.where(lone, 1.0, related) * taken
    return weights / weights.sum(1, keepdim=True)


def composed(related: Tensor, taken: Tensor, vectors: Tensor) -> Tensor:
    """(J, d): for each row of A (J, S) the mean of the vectors (S, d) it takes, weighted by M (eq. 6)."""
    own = shares(related, taken)
    return own @ vectors.to(own.dtype)
