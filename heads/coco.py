"""CoCo: dual alignment of a video with the definition and the descriptions of its class, and cross-action invariance.

    z_l (K, d) definitions, z_c (K, d) means of the descriptions' unit vectors (eq. 6; not renormalised)
    L_align = CE(v.z_l / tau) + CE(v.z_c / tau)                                (eq. 3, its denominator mended)
    z = alpha z_l + (1 - alpha) z_c                                            (eq. 10)
    x_f = softmax_m(z_j.z_m / tau) z_m over UNSEEN m;  x_b = softmax_n(x_f.z_n / tau) z_n over SEEN n    (eq. 11-14)
    L_cycle = CE(v.x_b / tau);  L = L_align + gamma L_cycle                    (eq. 15)

ER's object stream and score are kept for z_l, z_c and x_b, and its loss over the objects of a batch. Training reads the
TEXTS of unseen classes, never a video of theirs; `invariance=False` reads none. `texts` leaves one of the two kinds of
text out, as table 2 does.

Paper: ActionHub (Zhou et al. 2024), section 4; METHODS section 5.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from heads.base import ClassTexts, Head, Paper, Videos
from heads.er import Streams, candidates, fused, fused_loss, rehearsal_loss

TEXTS = ("ad+vc", "ad", "vc")
_KINDS = {"ad": "elaboration", "vc": "description"}


@dataclasses.dataclass(frozen=True)
class CoCoOptions:
    """Settings of `CoCo`.

    Attributes
    ----------
    texts : `ad+vc`, `ad` (definitions only) or `vc` (descriptions only)
    invariance : cross-action invariance on or off
    alpha : weight of the definition in the class feature
    gamma : weight of the cycle loss
    er_weight, joint, tau, dropout, residual : as ER
    """

    texts: str = "ad+vc"
    invariance: bool = True
    alpha: float = 0.5
    gamma: float = 0.1
    er_weight: float = 1.0
    joint: int = 512
    tau: float = 0.1
    dropout: float = 0.5
    residual: bool = False

    def __post_init__(self) -> None:
        if self.texts not in TEXTS:
            raise ValueError(f"CoCo's texts are {', '.join(TEXTS)}, got {self.texts!r}.")


class CoCo(Head):
    """The CoCo head.

    Parameters
    ----------
    width, text_width : D and A
    options : CoCoOptions
    """

    Options = CoCoOptions
    objects_told = "glossed"
    paper = Paper(
        "ActionHub and CoCo, 2024",
        {
            "feature": ("tsm_resnet50", "bit_objects"),
            "encoder": ("bert_base_uncased",),
            "objects": ("bit_objects",),
            "k": ("100",),
        },
        ("the number of epochs is unpublished",),
        frozen=("BERT's last layers are not trained",),
    )
    published = {"lr": 1e-3, "weight_decay": 1e-4, "batch": 512, "schedule": "cosine", "warmup": 0.1}

    def __init__(self, width: int, text_width: int, options: CoCoOptions) -> None:
        super().__init__()
        self.options = options
        self.uses_unseen_texts = options.invariance
        self.streams = Streams(width, text_width, options.joint, options.dropout, options.residual)

    @classmethod
    def reads(cls, options: CoCoOptions) -> tuple[str, ...]:
        """As `Head.reads`: definitions, descriptions or both."""
        return tuple(_KINDS[short] for short in options.texts.split("+"))

    @classmethod
    def fallback(cls, there: Callable[[str], bool]) -> tuple[str, str] | None:
        """As `Head.fallback`: definitions alone."""
        return None if there("description") else ("ad", "no descriptions: definitions only")

    def of_kinds(self, classes: ClassTexts) -> list[Tensor]:
        """(K, d) of each kind of text in use."""
        return [self.streams.classes(classes, kind) for kind in self.reads(self.options)]

    def joined(self, vectors: list[Tensor]) -> Tensor:
        """(K, d): the class feature of eq. 10; one kind of text alone is the class feature."""
        if len(vectors) == 1:
            return vectors[0]
        return self.options.alpha * vectors[0] + (1 - self.options.alpha) * vectors[1]

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `align`; `er` where objects are known, `cycle` where invariance is on."""
        assert videos.labels is not None
        streams, tau = self.streams(videos), self.options.tau
        vectors = self.of_kinds(seen)
        losses = [fused_loss(streams, vector, videos.labels, tau) for vector in vectors]
        parts = {"align": torch.stack(losses).sum()}
        if streams[1] is not None and videos.concepts is not None and self.options.er_weight:
            features, targets = candidates(videos)
            parts["er"] = self.options.er_weight * rehearsal_loss(streams, self.streams.texts(features), targets, tau)
        if self.options.invariance:
            assert unseen is not None
            _, back = there_and_back(self.joined(vectors), self.class_vectors(unseen), tau)
            parts["cycle"] = self.options.gamma * fused_loss(streams, back, videos.labels, tau)
        return parts

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`."""
        return fused(self.streams(videos), self.class_vectors(classes))[0]

    def class_vectors(self, classes: ClassTexts) -> Tensor:
        """As `Head.class_vectors`: the class feature."""
        return self.joined(self.of_kinds(classes))

    def video_vectors(self, videos: Videos) -> Tensor:
        """As `Head.video_vectors`: the video stream."""
        vectors: Tensor = self.streams(videos)[0]
        return vectors

    def attention(self, seen: ClassTexts, unseen: ClassTexts) -> Tensor | None:
        """As `Head.attention`: the way back of the invariance (figure 12)."""
        if not self.options.invariance:
            return None
        return there_and_back(self.class_vectors(seen), self.class_vectors(unseen), self.options.tau)[0]


def there_and_back(seen: Tensor, unseen: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Each seen class told by the unseen ones, and that told by the seen ones again (eq. 11-14).

    Parameters
    ----------
    seen : (S, d), unseen : (U, d)

    Returns
    -------
    weights : (S, S), row j is the attention of class j's way back on the seen classes (figure 12)
    back : (S, d), x_b of each seen class
    """
    forward = torch.softmax(seen @ unseen.T / tau, 1) @ unseen
    weights = torch.softmax(forward @ seen.T / tau, 1)
    return weights, weights @ seen
