"""Relation network: a learned measure of how well a text fits a video, in place of a fixed one.

    z = relu(A_2 relu(A_1 t + a_1) + a_2)      (K, A) -> (K, D)                                       attribute network
    s = sigmoid(R_2 relu(R_1 [v; z] + r_1) + r_2)      (N, K, 2D) -> (N, K)                            relation network
    L = mean over the pairs of a batch of (s - 1)^2 where the class is the video's, s^2 elsewhere

A batch is an episode: its videos are compared with the texts of seen AND unseen classes (`others="all"`, the skeleton
paper), of seen classes only (`"seen"`), or of the batch's own classes (`"batch"`, Sung et al.). R_1 [v; z] is computed
as R_v v + R_z z, which is the same and never makes the N x K pairs of width 2D.

Unpublished and fixed here: hidden widths 1024 and 400, those of Sung et al.'s code for AwA1, whose learning rate, step
and batch the skeleton paper has too. The skeleton paper's vectors are of unit length, on both sides. The last bias
begins at the log-odds of a match, 1 in the K classes compared with: from a sigmoid of a half the way down leaves no
hidden unit alive.

Papers: Sung et al., Learning to Compare, CVPR 2018; skeleton ZSAR, section 3.4; METHODS section 7.
"""

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Head, Paper, Videos
from heads.vectors import class_vectors, video_vectors

OTHERS = ("all", "seen", "batch")
_AT_ONCE = 2**25  # hidden values at a time when judging: 128 MiB of float32


@dataclasses.dataclass(frozen=True)
class RelationOptions:
    """Settings of `RelationNet`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    attribute_hidden, relation_hidden : width between the two layers of each network
    others : compare with `all` classes, with `seen` ones, or with those of the `batch`
    unit_videos : unit vectors of the videos
    """

    texts: str = "class"
    attribute_hidden: int = 1024
    relation_hidden: int = 400
    others: str = "all"
    unit_videos: bool = True

    def __post_init__(self) -> None:
        if self.others not in OTHERS:
            raise ValueError(f"others is {', '.join(OTHERS[:-1])} or {OTHERS[-1]}, got {self.others!r}.")


class RelationNet(Head):
    """The relation network; its score is no inner product.

    Parameters
    ----------
    width, text_width : D and A
    options : RelationOptions
    """

    Options = RelationOptions
    paper = Paper(
        "Skeleton based zero-shot action recognition, 2019",
        {"feature": ("stgcn",), "encoder": ("sent2vec",)},
        ("hidden widths are unpublished", "the last bias begins at the log-odds of a match"),
    )
    published = {"lr": 1e-5, "batch": 32, "epochs": 245, "schedule": "steps", "factor": 0.5, "milestones": (123,)}

    def __init__(self, width: int, text_width: int, options: RelationOptions) -> None:
        super().__init__()
        self.options = options
        self.uses_unseen_texts = options.others == "all"
        self.width = width
        hidden = options.attribute_hidden
        self.attribute = nn.Sequential(nn.Linear(text_width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.ReLU())
        self.pairs = nn.Linear(2 * width, options.relation_hidden)
        self.relation = nn.Linear(options.relation_hidden, 1)

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the class vectors compared with."""
        compared = seen.joined(unseen) if unseen is not None and self.uses_unseen_texts else seen
        self._told = class_vectors(compared, self.options.texts)
        with torch.no_grad():
            self.relation.bias.fill_(-math.log(max(len(compared) - 1, 1)))

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `relation`."""
        assert videos.labels is not None
        told, labels = self._told, videos.labels
        if self.options.others == "batch":
            there, labels = torch.unique(labels, return_inverse=True)
            told = told[there]
        found = self._relations(video_vectors(videos, self.options.unit_videos), self._asked(told))
        wanted = torch.zeros_like(found).scatter(1, labels[:, None], 1.0)
        return {"relation": functional.mse_loss(found, wanted)}

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`, a bounded number of pairs at a time."""
        asked = self._asked(class_vectors(classes, self.options.texts))
        vectors = video_vectors(videos, self.options.unit_videos)
        rows = max(1, _AT_ONCE // max(asked.numel(), 1))
        blocks = [self._relations(vectors[at : at + rows], asked) for at in range(0, len(vectors), rows)]
        return torch.cat(blocks) if blocks else vectors.new_zeros(0, len(asked))

    def _asked(self, told: Tensor) -> Tensor:
        """(K, A) -> (K, hidden): what the classes bring to the first layer of the relation network."""
        return functional.linear(self.attribute(told), self.pairs.weight[:, self.width :], self.pairs.bias)

    def _relations(self, vectors: Tensor, asked: Tensor) -> Tensor:
        """(N, D), (K, hidden) -> (N, K) in (0, 1)."""
        brought = functional.linear(vectors, self.pairs.weight[:, : self.width])
        hidden = functional.relu(brought[:, None] + asked)
        return torch.sigmoid(self.relation(hidden)[:, :, 0])
