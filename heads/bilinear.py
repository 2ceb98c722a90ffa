"""What DeViSE, ALE and SJE share: a bilinear score, and a margin that it has to keep.

    s = (M v).t   (N, K)          h_nj = max(0, margin + s_nj - s_n,label), nought where j is the label          (N, K)

The heads differ in how the violations h of a video become its loss; the loss of a batch is the mean over its videos.
Classes compared with are the seen ones (`others="seen"`) or seen and unseen ones (`others="all"`): then training reads
TEXTS of unseen classes, never a video of theirs.

Source of what the papers leave open (no bias, unit class vectors, dropout .5 on both sides, margin .1): the baselines
of the authors of Elaborative Rehearsal, ICCV 2021; METHODS section 8.
"""

import abc
import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Paper, PrototypeHead, Videos
from heads.vectors import class_vectors, video_vectors

OTHERS = ("seen", "all")
#: how the authors of Elaborative Rehearsal train the linear baselines; 2,000 steps of 50,000 as a share
LINEAR = {
    "lr": 1e-4,
    "batch": 128,
    "epochs": 30,
    "schedule": "cosine",
    "warmup": 0.04,
    "clip": 10.0,
}


#: what the baselines of Elaborative Rehearsal read
BASELINE_INPUTS = {"feature": ("tsm_resnet50",), "encoder": ("word_vectors",)}
BASELINE = "Elaborative Rehearsal's baselines, 2021"


@dataclasses.dataclass(frozen=True)
class BilinearOptions:
    """Settings of `DeViSE`, `ALE` and `SJE`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    margin : by which the right class has to lead
    dropout : on the videos' and on the classes' vectors
    others : compare with `seen` classes only, or with `all`
    unit_videos : unit vectors of the videos, as the skeleton paper has them
    """

    texts: str = "class"
    margin: float = 0.1
    dropout: float = 0.5
    others: str = "seen"
    unit_videos: bool = False

    def __post_init__(self) -> None:
        if self.others not in OTHERS:
            raise ValueError(f"others is {' or '.join(OTHERS)}, got {self.others!r}.")


class Bilinear(PrototypeHead):
    """A head with a bilinear score.

    Parameters
    ----------
    width, text_width : D and A
    options : BilinearOptions
    """

    Options = BilinearOptions
    published = LINEAR
    paper = Paper(BASELINE, BASELINE_INPUTS)

    def __init__(self, width: int, text_width: int, options: BilinearOptions) -> None:
        super().__init__()
        self.options = options
        self.uses_unseen_texts = options.others == "all"
        self.map = nn.Linear(width, text_width, bias=False)

    @abc.abstractmethod
    def ranked(self, violations: Tensor) -> Tensor:
        """(N,) losses of videos from their violations (N, K), which are nought for the right class."""

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the class vectors compared with."""
        compared = seen.joined(unseen) if unseen is not None and self.uses_unseen_texts else seen
        self._told = class_vectors(compared, self.options.texts)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `ranking`."""
        assert videos.labels is not None
        vectors = self._dropped(video_vectors(videos, self.options.unit_videos))
        scores = self.map(vectors) @ self._dropped(self._told).T
        own = videos.labels[:, None]
        violations = (self.options.margin + scores - scores.gather(1, own)).clamp(min=0).scatter(1, own, 0.0)
        return {"ranking": self.ranked(violations).mean()}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        mapped: Tensor = self.map(video_vectors(videos, self.options.unit_videos))
        return mapped

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`."""
        return class_vectors(classes, self.options.texts)

    def _dropped(self, vectors: Tensor) -> Tensor:
        return functional.dropout(vectors, self.options.dropout, self.training)


def harmonic(count: int, like: Tensor) -> Tensor:
    """(count + 1,): beta_r = sum of 1/i over i = 1 ... r, for r = 0 ... count."""
    steps = torch.arange(1, count + 1, dtype=like.dtype, device=like.device)
    return torch.cat([steps.new_zeros(1), torch.cumsum(1 / steps, 0)])
