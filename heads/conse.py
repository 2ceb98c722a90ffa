"""ConSE: a video is the mixture of the seen classes it looks like, so nothing is trained.

    mean_c = norm(mean of the unit vectors of class c's videos)   (S, D)
    p      = softmax over the T classes nearest to v of  cos(v, mean_c) / tau;    f(v) = norm(sum_c p_c t_c);    s = f.t

The published one mixes by a trained classifier's posterior; here the classifier is the nearest mean, which any cached
feature has. With ST-GCN's feature, which was trained to tell the seen classes, the two say much the same.

Paper: Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from heads.base import ClassTexts, Paper, PrototypeHead, Videos
from heads.projection import unit
from heads.vectors import class_vectors, video_vectors


@dataclasses.dataclass(frozen=True)
class ConseOptions:
    """Settings of `ConSE`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    nearest : T, of so many seen classes a video is mixed; the published 10
    temperature : tau
    """

    texts: str = "class"
    nearest: int = 10
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if self.nearest < 1:
            raise ValueError(f"nearest is at least 1, got {self.nearest}.")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}.")


class ConSE(PrototypeHead):
    """The ConSE head.

    Parameters
    ----------
    width, text_width : D and A
    options : ConseOptions
    """

    Options = ConseOptions
    paper = Paper(
        "ConSE, 2014", always=("classes are told by the nearest mean of their videos, for a trained classifier",)
    )
    published = {"epochs": 0}
    means: Tensor
    told: Tensor

    def __init__(self, width: int, text_width: int, options: ConseOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("means", torch.zeros(0, width))
        self.register_buffer("told", torch.zeros(0, text_width))

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the means of the seen classes, and what they are called."""
        assert videos.labels is not None
        vectors = video_vectors(videos, True)
        sums = vectors.new_zeros(len(seen), vectors.shape[1]).index_add(0, videos.labels, vectors)
        self.means = unit(sums)
        self.told = class_vectors(seen, self.options.texts)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """As `Module._load_from_state_dict`, for however many classes were seen."""
        self.means, self.told = (torch.empty_like(state_dict[prefix + name]) for name in ("means", "told"))
        super()._load_from_state_dict(state_dict, prefix, *others)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """Nothing to learn."""
        return {}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        near = video_vectors(videos, True) @ self.means.T
        best, which = near.topk(min(self.options.nearest, near.shape[1]))
        mixed = torch.softmax(best / self.options.temperature, 1)
        return unit((mixed[:, :, None] * self.told[which]).sum(1))

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`."""
        return class_vectors(classes, self.options.texts)
