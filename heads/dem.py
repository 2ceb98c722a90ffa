"""DEM: class texts go into the visual space, where the nearest one wins.

    z = relu(W_2 relu(W_1 t))   (K, A) -> (K, hidden) -> (K, D),      L = mean over N x D of (v - z_label)^2
    s = -|v - z|^2 = [v; 1; |v|^2].[2z; -|z|^2; -1]                                                      (N, K)

so that it is judged as an inner product. In the visual space fewer classes are near to everything (hubness) than in the
space of the texts.

Departures, all after the code of Elaborative Rehearsal: one hidden layer of 512 without bias, dropout .5 on the text,
squared Euclidean distance; the authors' own code takes the cosine on some sets. Class vectors are of unit length
here. The last ReLU suits features that come out of one; `rectified=false` for others, which may be negative.

Paper: Zhang et al., Learning a Deep Embedding Model for Zero-Shot Learning, CVPR 2017; METHODS section 8.
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Paper, PrototypeHead, Videos
from heads.bilinear import BASELINE, BASELINE_INPUTS, LINEAR
from heads.vectors import class_vectors, video_vectors


@dataclasses.dataclass(frozen=True)
class DemOptions:
    """Settings of `DEM`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    hidden : width between the two layers
    dropout : on the classes' vectors
    rectified : a ReLU after the last layer
    unit_videos : unit vectors of the videos
    """

    texts: str = "class"
    hidden: int = 512
    dropout: float = 0.5
    rectified: bool = True
    unit_videos: bool = False


class DEM(PrototypeHead):
    """The DEM head.

    Parameters
    ----------
    width, text_width : D and A
    options : DemOptions
    """

    Options = DemOptions
    paper = Paper(BASELINE, BASELINE_INPUTS)
    published = {**LINEAR, "weight_decay": 1e-5}

    def __init__(self, width: int, text_width: int, options: DemOptions) -> None:
        super().__init__()
        self.options = options
        self.into_hidden = nn.Linear(text_width, options.hidden, bias=False)
        self.into_visual = nn.Linear(options.hidden, width, bias=False)

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the vectors of the seen classes."""
        self._told = class_vectors(seen, self.options.texts)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `distance`."""
        assert videos.labels is not None
        told = functional.dropout(self._told[videos.labels], self.options.dropout, self.training)
        return {"distance": functional.mse_loss(self._visual(told), video_vectors(videos, self.options.unit_videos))}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`: (N, D + 2)."""
        vectors = video_vectors(videos, self.options.unit_videos)
        return torch.cat([vectors, torch.ones_like(vectors[:, :1]), vectors.square().sum(1, keepdim=True)], 1)

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`: (K, D + 2)."""
        visual = self._visual(class_vectors(classes, self.options.texts))
        return torch.cat([2 * visual, -visual.square().sum(1, keepdim=True), -torch.ones_like(visual[:, :1])], 1)

    def _visual(self, told: Tensor) -> Tensor:
        """(..., A) -> (..., D)."""
        visual: Tensor = self.into_visual(functional.relu(self.into_hidden(told)))
        return functional.relu(visual) if self.options.rectified else visual
