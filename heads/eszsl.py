"""ESZSL: a bilinear score whose matrix has a closed form; nothing is trained step by step.

    V (N, D), Y (N, S) in {0, 1}, T (S, A);    W = (V'V + a I)^-1  V'Y T  (T'T + g I)^-1   (D, A);    s = (W'v).t

The paper's X is V', its S is T'. It has Y in {-1, 1}; here, as in the code of Elaborative Rehearsal, Y is in {0, 1},
a = 1000, g = 1, class vectors are of unit length. W is solved when training begins, in float64, by Cholesky factors in
place of their pseudo-inverses: both matrices are positive definite. It is a buffer: no epoch is run for it.

Paper: Romera-Paredes and Torr, An Embarrassingly Simple Approach to Zero-Shot Learning, ICML 2015; METHODS section 8.
"""

import dataclasses

import torch
from torch import Tensor

from heads.base import ClassTexts, Paper, PrototypeHead, Videos
from heads.bilinear import BASELINE, BASELINE_INPUTS
from heads.vectors import class_vectors, moments, ridged, video_vectors


@dataclasses.dataclass(frozen=True)
class EszslOptions:
    """Settings of `ESZSL`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    video_ridge : a, against the size of the videos' vectors
    text_ridge : g, against the size of the classes' vectors
    unit_videos : unit vectors of the videos; a smaller `video_ridge` then fits
    """

    texts: str = "class"
    video_ridge: float = 1000.0
    text_ridge: float = 1.0
    unit_videos: bool = False

    def __post_init__(self) -> None:
        for name in ("video_ridge", "text_ridge"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}: there may be nothing to invert.")


class ESZSL(PrototypeHead):
    """The ESZSL head.

    Parameters
    ----------
    width, text_width : D and A
    options : EszslOptions
    """

    Options = EszslOptions
    paper = Paper(BASELINE, BASELINE_INPUTS)
    published = {"epochs": 0}
    weight: Tensor

    def __init__(self, width: int, text_width: int, options: EszslOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("weight", torch.zeros(width, text_width))

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: all that is learned is learned here."""
        told = class_vectors(seen, self.options.texts).double()
        squares, sums = moments(videos, len(seen), self.options.unit_videos)
        left = _solved(ridged(squares, self.options.video_ridge), sums @ told)
        right = _solved(ridged(told.T @ told, self.options.text_ridge), left.T)
        self.weight = right.T.to(self.weight.dtype).contiguous()

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """Nothing is left to learn."""
        return {}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        return video_vectors(videos, self.options.unit_videos) @ self.weight

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`."""
        return class_vectors(classes, self.options.texts)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """matrix^-1 right, of a positive definite matrix."""
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrix))
