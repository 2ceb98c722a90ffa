"""ER: elaborative rehearsal. Gated fusion of a video stream and an object stream, nearest class text.

    videos  (N, m, D) -mean over m-> (N, D) -> v (N, d)     objects (N, A) -> o (N, d)     texts (K, A) -> z (K, d)

    g_v = sigmoid(MLP_v [v; o]),  g_o = sigmoid(MLP_o [v; o]);   v <- norm(g_v v),  o <- norm(g_o o)
    s_v = v.z,  s_o = o.z,  s = s_v + max(s_o, 0)

A video without objects keeps v as it is and has s = s_v. The loss is CE(s / tau) + CE(s_v / tau) + CE(s_o / tau) over
the seen classes, and, where objects are known, the ER loss over the objects of the batch.

Departures. Features are cached: the text of a class is pooled over its tokens before the linear layer, and the dropout
on text tokens falls on the text feature; the object stream reads the text of a
video's objects ("name: gloss" of each, joined) likewise.

Paper: Chen and Huang, Elaborative Rehearsal for Zero-shot Action Recognition, ICCV 2021; METHODS section 3.
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Head, Paper, Videos
from heads.projection import Projection, has_objects, unit


@dataclasses.dataclass(frozen=True)
class ErOptions:
    """Settings of `ER`.

    Attributes
    ----------
    joint : d, the width of the joint space; 0: that of the texts
    tau : temperature
    dropout : in the gates and on the text feature
    er_weight : of the ER loss
    residual : projections that start from the identity, for video features in the texts' own space
    """

    joint: int = 512
    tau: float = 0.1
    dropout: float = 0.5
    er_weight: float = 1.0
    residual: bool = False


class Gates(nn.Module):
    """ER's fusion: what of each stream counts, seen from both."""

    def __init__(self, joint: int, dropout: float) -> None:
        super().__init__()
        self.video, self.object = (
            nn.Sequential(nn.Linear(2 * joint, joint), nn.ReLU(), nn.Dropout(dropout), nn.Linear(joint, joint))
            for _ in range(2)
        )

    def forward(self, video: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
        """(N, d), (N, d) -> gated unit vectors of both."""
        both = torch.cat([video, objects], -1)
        return unit(torch.sigmoid(self.video(both)) * video), unit(torch.sigmoid(self.object(both)) * objects)


class Streams(nn.Module):
    """The video stream and the object stream of one head, and the text projection they share."""

    def __init__(self, width: int, text_width: int, joint: int, dropout: float, residual: bool) -> None:
        super().__init__()
        joint = text_width if residual else joint or text_width
        self.video = Projection(width, joint, residual)
        self.text = Projection(text_width, joint, residual)
        self.gates = Gates(joint, dropout)
        self.dropout = dropout

    def forward(self, videos: Videos) -> tuple[Tensor, Tensor | None]:
        """(N, d) of the videos, and of their objects: zero for a video that has none; None where no video has any."""
        video = self.video(videos.segments.mean(1))
        there = has_objects(videos.objects)
        if there is None or videos.objects is None:
            return video, None
        gated, objects = self.gates(video, self.text(torch.nan_to_num(videos.objects)))
        return torch.where(there[:, None], gated, video), objects * there[:, None]

    def texts(self, features: Tensor) -> Tensor:
        """Text features (..., A) in the joint space; the dropout on tokens falls on the pooled feature."""
        projected: Tensor = self.text(functional.dropout(features, self.dropout, self.training))
        return projected

    def classes(self, classes: ClassTexts, kind: str) -> Tensor:
        """(K, d): each class's mean over the unit vectors of its texts of a kind; one text: its unit vector."""
        texts = classes[kind]
        return texts.mean(self.texts(texts.features), len(classes))


class ER(Head):
    """The ER head.

    Parameters
    ----------
    width, text_width : D and A
    options : ErOptions
    """

    Options = ErOptions
    objects_told = "glossed"
    paper = Paper(
        "Elaborative Rehearsal, 2021",
        {"feature": ("tsm_resnet50",), "encoder": ("bert_base_uncased",), "objects": ("bit_objects",)},
        ("dropout falls on the text's feature in place of its tokens",),
        frozen=("BERT's last layers are not trained",),
    )
    published = {
        "lr": 1e-4,
        "weight_decay": 1e-4,
        "batch": 128,
        "schedule": "cosine",
        "warmup": 0.1,
        "clip": 10.0,
    }

    def __init__(self, width: int, text_width: int, options: ErOptions) -> None:
        super().__init__()
        self.options = options
        self.streams = Streams(width, text_width, options.joint, options.dropout, options.residual)

    @classmethod
    def reads(cls, options: ErOptions) -> tuple[str, ...]:
        """As `Head.reads`: definitions behind their names."""
        return ("elaboration",)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `classes`, and `er` where objects are known."""
        assert videos.labels is not None
        streams = self.streams(videos)
        prototypes = self.class_vectors(seen)
        parts = {"classes": fused_loss(streams, prototypes, videos.labels, self.options.tau)}
        if streams[1] is not None and videos.concepts is not None and self.options.er_weight:
            features, targets = candidates(videos)
            rehearsal = rehearsal_loss(streams, self.streams.texts(features), targets, self.options.tau)
            parts["er"] = self.options.er_weight * rehearsal
        return parts

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`."""
        return fused(self.streams(videos), self.class_vectors(classes))[0]

    def class_vectors(self, classes: ClassTexts) -> Tensor:
        """As `Head.class_vectors`."""
        return self.streams.classes(classes, "elaboration")

    def video_vectors(self, videos: Videos) -> Tensor:
        """As `Head.video_vectors`: the video stream."""
        vectors: Tensor = self.streams(videos)[0]
        return vectors


def fused(streams: tuple[Tensor, Tensor | None], prototypes: Tensor) -> tuple[Tensor, ...]:
    """(N, K) scores of both streams together, then of each."""
    video, objects = streams
    by_video = video @ prototypes.T
    if objects is None:
        return (by_video,)
    by_object = objects @ prototypes.T
    return by_video + by_object.clamp(min=0), by_video, by_object


def fused_loss(streams: tuple[Tensor, Tensor | None], prototypes: Tensor, labels: Tensor, tau: float) -> Tensor:
    """Cross entropy of the joined scores and of each stream's; a video without objects says nothing of its stream."""
    scores = fused(streams, prototypes)
    loss = functional.cross_entropy(scores[0] / tau, labels)
    if streams[1] is None:
        return loss
    there = streams[1].abs().sum(1) > 0
    by_object = functional.cross_entropy(scores[2][there] / tau, labels[there])
    return loss + functional.cross_entropy(scores[1] / tau, labels) + by_object


def candidates(videos: Videos) -> tuple[Tensor, Tensor]:
    """The objects of a batch: text features (J, A), and T (B, J), true where an object is a video's own."""
    assert videos.concepts is not None
    assert videos.concept_features is not None
    used = torch.unique(videos.concepts[videos.concepts >= 0])
    targets = (videos.concepts[:, :, None] == used).any(1)
    return videos.concept_features[used], targets


def rehearsal_loss(streams: tuple[Tensor, Tensor | None], concepts: Tensor, targets: Tensor, tau: float) -> Tensor:
    """ER's loss: mean over the marked pairs of -(log-softmax over the candidates of score / tau), of s, s_v and s_o.

    streams : (B, d) of videos and of objects; concepts : (J, d) unit vectors; targets : (B, J) bool
    """
    return marked_loss(fused(streams, concepts), targets, tau)


def marked_loss(scores: tuple[Tensor, ...], targets: Tensor, tau: float) -> Tensor:
    """Sum over the scores (B, J) of the mean over the marked pairs of -(log-softmax over J of score / tau)."""
    if not bool(targets.any()):
        return scores[0].sum() * 0
    return torch.stack([-(score / tau).log_softmax(1)[targets].mean() for score in scores]).sum()
