"""Ridge regression from videos to the vectors of their classes: the plainest map that can be learned.

    X = (V - mean V) P   (N, c),  P (D, c) the first principal components of the videos trained on
    W = (X'X + a s I)^-1 X'(T - m)   (c, A),  T (N, A) the unit vector of each video's class, m its mean,
                                              s the mean over the components of their sum of squares
    score = cos(W'P'(v - mean V), t - m)

A class is told from the mean of the seen ones: of few classes a ridge predicts little else than that mean, which all
classes are near to. Solved when training begins, in float64; buffers hold it, and no epoch is run.
"""

import dataclasses

import torch
from torch import Tensor

from heads.base import ClassTexts, PrototypeHead, Videos
from heads.projection import unit
from heads.vectors import class_vectors, moments, video_vectors

_NOTHING = 1e-12  # a component smaller than this share of the first is rounding


@dataclasses.dataclass(frozen=True)
class RidgeOptions:
    """Settings of `Ridge`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    components : c, at most as many as there are dimensions or videos; 0: all
    penalty : a
    unit_videos : unit vectors of the videos
    """

    texts: str = "class"
    components: int = 0
    penalty: float = 0.1
    unit_videos: bool = False

    def __post_init__(self) -> None:
        if self.components < 0:
            raise ValueError(f"components is 0 or more, got {self.components}.")
        if not self.penalty > 0:
            raise ValueError(f"penalty must be above 0, got {self.penalty}: there may be nothing to invert.")


class Ridge(PrototypeHead):
    """The ridge head.

    Parameters
    ----------
    width, text_width : D and A
    options : RidgeOptions
    """

    Options = RidgeOptions
    published = {"epochs": 0}
    weight: Tensor
    bias: Tensor
    middle: Tensor

    def __init__(self, width: int, text_width: int, options: RidgeOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("weight", torch.zeros(width, text_width))
        self.register_buffer("bias", torch.zeros(text_width))
        self.register_buffer("middle", torch.zeros(text_width))

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: all that is learned is learned here."""
        assert videos.labels is not None
        told = class_vectors(seen, self.options.texts).double()
        squares, sums = moments(videos, len(seen), self.options.unit_videos)
        counts = torch.bincount(videos.labels, minlength=len(seen)).double()
        middle, meant = sums.sum(1) / counts.sum(), (counts @ told) / counts.sum()
        sizes, axes = _components(videos, middle, squares, self.options)
        products = sums @ told - counts.sum() * middle[:, None] * meant  # (V - mean)'(T - m)
        weight = axes @ ((axes.T @ products) / (sizes + self.options.penalty * sizes.mean())[:, None])
        self.weight = weight.to(self.weight.dtype)
        self.bias = (-middle @ weight).to(self.bias.dtype)
        self.middle = meant.to(self.middle.dtype)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """Nothing is left to learn."""
        return {}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        return unit(video_vectors(videos, self.options.unit_videos) @ self.weight + self.bias)

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`."""
        return unit(class_vectors(classes, self.options.texts) - self.middle)


def _components(videos: Videos, middle: Tensor, squares: Tensor, options: RidgeOptions) -> tuple[Tensor, Tensor]:
    """(c,) sums of squares along the components, largest first, and (D, c) the components."""
    count, width = len(videos), len(middle)
    if count <= width:  # few videos of many numbers, as raw joints are: nothing D x D is decomposed
        centred = video_vectors(videos, options.unit_videos).double() - middle
        sizes, own = torch.linalg.eigh(centred @ centred.T)
        axes = centred.T @ own / sizes.clamp(min=_NOTHING * float(sizes[-1])).sqrt()
    else:
        sizes, axes = torch.linalg.eigh(squares - count * torch.outer(middle, middle))
    kept = int((sizes > _NOTHING * sizes[-1]).sum())
    kept = min(options.components or kept, kept)
    return sizes.flip(0)[:kept], axes.flip(1)[:, :kept]
