"""From a feature into the joint space: a linear layer, as the papers have it, or a residual one.

    linear     norm(W x + b)          (N, D) -> (N, d)
    residual   norm(x + W x), W = 0   (N, D) -> (N, D), for videos that are described in the encoder's own space

A video whose segments are captions lies where the class texts lie before anything is learned; a fresh linear layer
would throw that away. Which one was used stands with every result.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Projection(nn.Module):
    """A projection into the joint space, of unit length.

    Parameters
    ----------
    width : of what comes in
    joint : of the joint space
    residual : start from the identity; both widths must then be equal
    """

    def __init__(self, width: int, joint: int, residual: bool = False) -> None:
        super().__init__()
        if residual and width != joint:
            raise ValueError(f"A residual projection keeps the width: {width} into {joint} cannot be.")
        self.residual = residual
        self.linear = nn.Linear(width, joint, bias=not residual)
        if residual:
            nn.init.zeros_(self.linear.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(..., width) -> (..., joint), unit vectors."""
        out = self.linear(features)
        return functional.normalize(features + out if self.residual else out, dim=-1)


def unit(features: Tensor) -> Tensor:
    """Unit vectors along the last axis."""
    return functional.normalize(features, dim=-1)


def has_objects(objects: Tensor | None) -> Tensor | None:
    """(N,) bool: which videos have recognised objects; None where none has."""
    if objects is None:
        return None
    there = torch.isfinite(objects).all(-1)
    return there if bool(there.any()) else None
