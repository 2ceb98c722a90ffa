"""A head above the last layers of a text encoder, which are trained with it.

    token states of the layer below (T, L, D), from the cache ─layers, trained─▶ text features (T, A) ─▶ the head
    and the same of videos that captions stand for: (N, m, L, D) ─▶ (N, m, A)

In a step only the texts of the batch's classes go through the layers with a gradient; those of the others are as they
were when they last did, and all are computed anew when an epoch begins: JigsawNet's action cache, for any head. A head
that takes texts before it is trained takes them as the layers made them then.

Papers: ER and JigsawNet train BERT's layers 10 and 11 (METHODS sections 3 and 4).
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from heads.base import ClassTexts, Head, Relatedness, Texts, Videos

_AT_ONCE = 256  # texts, where nothing is learned


class Towered(Head):
    """A head and the layers below it.

    Parameters
    ----------
    head : Head
    text : nn.Module
        (..., L, D) to (..., A).
    captioned : bool
        Whether videos are texts as well.
    """

    def __init__(self, head: Head, text: nn.Module, captioned: bool) -> None:
        super().__init__()
        self.head, self.text, self._captioned = head, text, captioned
        self.options: Any = head.options
        self.uses_unseen_texts = head.uses_unseen_texts
        self.reads = head.reads  # type: ignore[method-assign]
        self._kept: dict[str, dict[str, Tensor]] = {}

    def lower(self) -> Iterable[nn.Parameter]:
        """As `Head.lower`: the layers."""
        return self.text.parameters()

    # -- learning and judging -----------------------------------------------------------------------------------------

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`."""
        with torch.no_grad():
            told = None if unseen is None else self._told(unseen)
            self.head.begin(self._shown(videos), self._told(seen), told)

    def epoch(self) -> None:
        """As `Head.epoch`: all texts are computed anew."""
        self._kept = {}
        self.head.epoch()

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`; the texts of classes that the batch has no video of carry no gradient."""
        assert videos.labels is not None
        shown = videos.seen_by(self.text) if self._captioned else videos
        told = self._rehearsed("seen", seen, videos.labels)
        others = None if unseen is None else self._rehearsed("unseen", unseen, videos.labels[:0])
        return self.head.loss(shown, told, others)

    def finish(self, videos: Iterable[Videos], seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.finish`."""
        told = None if unseen is None else self._told(unseen)
        self.head.finish((self._shown(batch) for batch in videos), self._told(seen), told)

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`."""
        return self.head.scores(self._shown(videos), self._told(classes))

    def prototypes(self, classes: ClassTexts) -> Tensor | None:
        """As `Head.prototypes`."""
        return self.head.prototypes(self._told(classes))

    def embedded(self, videos: Videos) -> Tensor | None:
        """As `Head.embedded`."""
        return self.head.embedded(self._shown(videos))

    # -- pictures -----------------------------------------------------------------------------------------------------

    def class_vectors(self, classes: ClassTexts) -> Tensor | None:
        """As `Head.class_vectors`."""
        return self.head.class_vectors(self._told(classes))

    def video_vectors(self, videos: Videos) -> Tensor | None:
        """As `Head.video_vectors`."""
        return self.head.video_vectors(self._shown(videos))

    def winners(self, videos: Videos, classes: ClassTexts, chosen: Tensor) -> tuple[Tensor, Tensor] | None:
        """As `Head.winners`."""
        return self.head.winners(self._shown(videos), self._told(classes), chosen)

    def attention(self, seen: ClassTexts, unseen: ClassTexts) -> Tensor | None:
        """As `Head.attention`."""
        return self.head.attention(self._told(seen), self._told(unseen))

    def relatedness(self, classes: ClassTexts) -> Relatedness | None:
        """As `Head.relatedness`."""
        return self.head.relatedness(self._told(classes))

    # -- through the layers -------------------------------------------------------------------------------------------

    def _shown(self, videos: Videos) -> Videos:
        if not self._captioned:
            return videos
        segments = videos.segments
        flat = through(self.text, segments.flatten(0, 1))
        return dataclasses.replace(videos, segments=flat.view(*segments.shape[:2], -1))

    def _told(self, classes: ClassTexts) -> ClassTexts:
        return _with(classes, {kind: through(self.text, own.features) for kind, own in classes.kinds.items()})

    def _rehearsed(self, which: str, classes: ClassTexts, labels: Tensor) -> ClassTexts:
        """The texts as they were kept, those of some classes made anew, and kept."""
        if which not in self._kept:
            with torch.no_grad():
                told = self._told(classes)
            self._kept[which] = {kind: own.features for kind, own in told.kinds.items()}
        kept, found = self._kept[which], {}
        for kind, own in classes.kinds.items():
            rows = torch.unique(own.text[torch.isin(own.owner, labels)])
            found[kind] = kept[kind]
            if len(rows):
                fresh = self.text(own.features[rows])
                found[kind] = kept[kind].index_copy(0, rows, fresh.to(kept[kind].dtype))
                kept[kind] = found[kind].detach()
        return _with(classes, found)


def through(tower: nn.Module, states: Tensor) -> Tensor:
    """(n, L, D) -> (n, A), some at once: memory does not grow with how many there are."""
    return torch.cat([tower(block) for block in torch.split(states, _AT_ONCE)])


def _with(classes: ClassTexts, features: dict[str, Tensor]) -> ClassTexts:
    kinds: dict[str, Texts] = {k: dataclasses.replace(own, features=features[k]) for k, own in classes.kinds.items()}
    return dataclasses.replace(classes, kinds=kinds)
