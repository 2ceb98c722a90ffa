"""Pseudo-videos: a residual map learned from videos of seen classes and from texts of all classes posing as videos.

    f(x) = norm(x + W_v x),   x = norm(sum_m (1 + 10 c_m) (segment_m - mean of the segments trained on))
    z_k  = norm(t + W_t t),   t = norm(sum over kinds of (1 + 10 a_kind) norm(class mean - mean over classes))
    L    = CE(f(videos).z / tau) over the seen classes + weight CE(f(pseudo-videos).z / tau) over ALL classes

W, c and a start at 0. A pseudo-video is the mean of a few texts of one class, drawn anew in each step: where videos are
described in words,
a class's own sentences look much like its videos, and they exist for unseen classes too. So training reads the TEXTS of
unseen classes, never a video of theirs; `weight=0` reads none. No published system: named for what it does.
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, PrototypeHead, Videos
from heads.projection import Projection, unit

_PACE = 10  # the few weights of segments and kinds move so much faster than the many of the maps


@dataclasses.dataclass(frozen=True)
class PseudoOptions:
    """Settings of `Pseudo`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    drawn : texts a pseudo-video is the mean of
    weight : of the loss on pseudo-videos; 0: none are made
    hide : share of segments hidden in training, so that no single one is relied on
    tau : temperature
    """

    texts: str = "class+definition+description+phrase"
    drawn: int = 3
    weight: float = 1.0
    hide: float = 0.3
    tau: float = 0.1


class Pseudo(PrototypeHead):
    """The head that learns from texts as well; videos and texts lie in one space.

    Parameters
    ----------
    width, text_width : D and A, which must be equal
    options : PseudoOptions
    segments : m
    """

    Options = PseudoOptions
    published = {"lr": 1e-3, "batch": 256, "epochs": 3, "schedule": "cosine"}
    needs_segments = True

    def __init__(self, width: int, text_width: int, options: PseudoOptions, segments: int = 1) -> None:
        super().__init__()
        if width != text_width:
            raise ValueError(f"Texts pose as videos, so both must lie in one space: {width} is not {text_width}.")
        self.options = options
        self.uses_unseen_texts = options.weight > 0
        self.video, self.text = (Projection(width, width, residual=True) for _ in range(2))
        self.of_segment = nn.Parameter(torch.zeros(segments))
        self.of_kind = nn.Parameter(torch.zeros(len(options.texts.split("+"))))
        self.register_buffer("video_mean", torch.zeros(width))
        self.register_buffer("text_mean", torch.zeros(width))
        self.register_buffer("class_means", torch.zeros(len(self.of_kind), width))

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the means that features are told from, and the texts that pose as videos."""
        classes = seen if unseen is None else seen.joined(unseen)
        self._vectors = self._of_kinds(classes)
        self._pool = self._texts(classes)
        self.video_mean = videos.segments.mean((0, 1))
        self.class_means = self._vectors.mean(1)
        self.text_mean = self._pool[0].mean(0)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `videos` and `texts`."""
        assert videos.labels is not None
        prototypes = self._prototypes(self._vectors)
        shown = torch.rand(videos.segments.shape[:2], device=videos.segments.device) >= self.options.hide
        shown[:, 0] |= ~shown.any(1)
        scores = self._embedded(videos.segments, shown) @ prototypes[: len(seen)].T
        parts = {"videos": functional.cross_entropy(scores / self.options.tau, videos.labels)}
        if self.options.weight:
            drawn, labels = self._drawn(len(videos))
            scores = self.video(unit(drawn - self.text_mean)) @ prototypes.T
            parts["texts"] = self.options.weight * functional.cross_entropy(scores / self.options.tau, labels)
        return parts

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        return self._embedded(videos.segments, torch.ones(1, 1, device=videos.segments.device))

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`."""
        return self._prototypes(self._of_kinds(classes))

    def _prototypes(self, vectors: Tensor) -> Tensor:
        told = unit(vectors - self.class_means[:, None])
        projected: Tensor = self.text(unit((told * (1 + _PACE * self.of_kind)[:, None, None]).sum(0)))
        return projected

    def _embedded(self, segments: Tensor, shown: Tensor) -> Tensor:
        weights = (1 + _PACE * self.of_segment) * shown
        projected: Tensor = self.video(unit(((segments - self.video_mean) * weights[:, :, None]).sum(1)))
        return projected

    def _of_kinds(self, classes: ClassTexts) -> Tensor:
        """(kinds, K, d): unit vectors of each class's mean text of each kind."""
        kinds = [classes[kind] for kind in self.reads(self.options)]
        return torch.stack([unit(texts.mean(texts.features, len(classes))) for texts in kinds])

    def _texts(self, classes: ClassTexts) -> tuple[Tensor, Tensor, Tensor]:
        """All texts (T, d) sorted by class, where each class's begin (K,), and how many it has (K,)."""
        kinds = [classes[kind] for kind in self.reads(self.options)]
        owner = torch.cat([texts.owner for texts in kinds])
        order = torch.argsort(owner, stable=True)
        counts = torch.bincount(owner, minlength=len(classes))
        return torch.cat([t.features[t.text] for t in kinds])[order], torch.cumsum(counts, 0) - counts, counts

    def _drawn(self, count: int) -> tuple[Tensor, Tensor]:
        """Pseudo-videos (count, d) and their classes: each class is as likely, each of its texts too."""
        texts, first, counts = self._pool
        labels = torch.randint(len(counts), (count,), device=texts.device)
        at = (torch.rand(count, self.options.drawn, device=texts.device) * counts[labels, None]).long()
        return unit(texts[first[labels, None] + at].mean(1)), labels
