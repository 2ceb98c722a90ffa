"""Nearest prototype without training: the mean of a video's segments against the mean of a class's texts.

    v = norm(mean_m x)   (N, A),     z = norm(sum over kinds of norm(mean over the kind's texts))   (K, A),     s = v.z

Video features must lie in the space of the texts, as captions do. This is the row every trained head has to beat.
"""

import dataclasses

from torch import Tensor

from heads.base import ClassTexts, PrototypeHead, Videos
from heads.projection import unit
from heads.vectors import class_vectors


@dataclasses.dataclass(frozen=True)
class NearestOptions:
    """Settings of `Nearest`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    """

    texts: str = "class+definition+description"


class Nearest(PrototypeHead):
    """The training-free head.

    Parameters
    ----------
    width, text_width : D and A, which must be equal
    options : NearestOptions
    """

    Options = NearestOptions
    published = {"epochs": 0}
    learns = False

    def __init__(self, width: int, text_width: int, options: NearestOptions) -> None:
        super().__init__()
        if width != text_width:
            raise ValueError(
                f"Nothing is learned, so videos ({width} wide) must lie in the space of the texts ({text_width})."
            )
        self.options = options

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """Nothing to learn."""
        return {}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        return unit(videos.segments.mean(1))

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`."""
        return class_vectors(classes, self.options.texts)
