"""E2E's baseline: one linear layer from a fixed feature to the word vector of the class.

    z = norm(W dropout(v) + b)   (N, D) -> (N, A),      L = mean over N x A of (z - t_label)^2,      s = z.t = cosine

Training sees one clip of a video, drawn anew in each step (`one_clip`); judging averages the features of all its clips,
before the linear layer. Dropout is .05 on R(2+1)D features; on C3D features it is .10, on each clip before the average
(`dropout=0.1`, `each_clip=true`).

Departures. The authors' frozen network still updates the statistics of its batch normalisation and augments its clips,
which a cache cannot; they keep the epoch with the best TEST accuracy, here the last one counts.

Paper: Brattoli et al., Rethinking Zero-Shot Video Classification, CVPR 2020, equations 1 and 2, section 3.2; METHODS
section 2.
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Paper, PrototypeHead, Videos
from heads.projection import Projection
from heads.vectors import class_vectors


@dataclasses.dataclass(frozen=True)
class E2eOptions:
    """Settings of `E2E`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    dropout : before the linear layer
    one_clip : train on one segment a video, drawn anew in each step; false: on their mean
    each_clip : drop out of each segment, before they are averaged
    """

    texts: str = "class"
    dropout: float = 0.05
    one_clip: bool = True
    each_clip: bool = False


class E2E(PrototypeHead):
    """The head of E2E's fixed-feature baseline.

    Parameters
    ----------
    width, text_width : D and A
    options : E2eOptions
    """

    Options = E2eOptions
    paper = Paper(
        "E2E, 2020",
        {"feature": ("r2plus1d_18", "c3d"), "encoder": ("word_vectors",)},
        (
            "the frozen network's batch statistics stay and clips are not augmented",
            "the last epoch is taken, for the one that is best on the test",
        ),
    )
    published = {"lr": 1e-3, "batch": 22, "epochs": 150, "schedule": "steps", "factor": 0.1, "milestones": (60, 120)}

    def __init__(self, width: int, text_width: int, options: E2eOptions) -> None:
        super().__init__()
        self.options = options
        self.regressor: nn.Module = Projection(width, text_width)

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the vectors of the seen classes."""
        self._told = class_vectors(seen, self.options.texts)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `distance`."""
        assert videos.labels is not None
        segments = videos.segments
        if self.options.one_clip:
            drawn = torch.randint(segments.shape[1], (len(segments),), device=segments.device)
            segments = segments[torch.arange(len(segments), device=segments.device), drawn][:, None]
        return {"distance": functional.mse_loss(self._embedded(segments), self._told[videos.labels])}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        return self._embedded(videos.segments)

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`."""
        return class_vectors(classes, self.options.texts)

    def _embedded(self, segments: Tensor) -> Tensor:
        """(N, m, D) -> (N, A), unit vectors."""
        if self.options.each_clip:
            mean = self._dropped(segments).mean(1)
        else:
            mean = self._dropped(segments.mean(1))
        embedded: Tensor = self.regressor(mean)
        return embedded

    def _dropped(self, features: Tensor) -> Tensor:
        return functional.dropout(features, self.options.dropout, self.training)
