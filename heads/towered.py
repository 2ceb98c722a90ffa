"""A head above the last layers of a text encoder or of a network of videos, or of both, which are trained with it.

    token states of the layer below (T, L, D), from the cache ─layers, trained─▶ text features (T, A) ──┐
    and the same of videos that captions stand for: (N, m, L, D) ─▶ (N, m, A)                           ├─▶ the head
    maps of videos below the last layers (N, m, ...), from the cache ─layers, trained─▶ (N, m', D) ─────┘

In a step only the texts of the batch's classes go through the layers with a gradient; those of the others are as they
were when they last did, and all are computed anew when an epoch begins: JigsawNet's action cache, for any head. A head
that takes texts before it is trained takes them as the layers made them then.

Papers: ER and JigsawNet train BERT's layers 10 and 11, JigsawNet the last layer of its backbone too (METHODS sections
3 and 4).
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
    text : nn.Module, optional
        (..., L, D) to (..., A); None: texts have vectors.
    captioned : bool
        Whether videos are texts as well.
    visual : nn.Module, optional
        (N, m, ...) to (N, m', D); None: videos have vectors.
    """

    def __init__(
        self, head: Head, text: nn.Module | None, captioned: bool = False, visual: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.head, self.text, self._captioned, self.visual = head, text, captioned, visual
        self.options: Any = head.options
        self.uses_unseen_texts = head.uses_unseen_texts
        self.reads = head.reads  # type: ignore[method-assign]
        self._kept: dict[str, dict[str, Tensor]] = {}

    def lower(self) -> Iterable[nn.Parameter]:
        """As `Head.lower`: the layers."""
        for layers in (self.text, self.visual):
            yield from () if layers is None else layers.parameters()

    # -- learning and judging -----------------------------------------------------------------------------------------

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`."""
        self.begin_on([videos], seen, unseen)

    def begin_on(self, batches: Iterable[Videos], seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """The same, on videos given in batches: what is below is read once, what comes out of the layers is kept."""
        with torch.no_grad():
            told = None if unseen is None else self._told(unseen)
            self.head.begin(_joined([self._shown(batch) for batch in batches]), self._told(seen), told)

    def epoch(self) -> None:
        """As `Head.epoch`: all texts are computed anew."""
        self._kept = {}
        self.head.epoch()

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`; the texts of classes that the batch has no video of carry no gradient."""
        assert videos.labels is not None
        layers = self.text if self._captioned else self.visual
        shown = videos if layers is None else videos.seen_by(layers)
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
        """The videos as the head is given them where nothing is learned."""
        if self.visual is not None:
            learns = self.visual.training
            shown = videos.seen_by(self.visual.eval())  # BatchNorm by what it remembers
            self.visual.train(learns)
            return shown
        if not self._captioned:
            return videos
        assert self.text is not None
        segments = videos.segments
        flat = through(self.text, segments.flatten(0, 1))
        return dataclasses.replace(videos, segments=flat.view(*segments.shape[:2], -1))

    def _told(self, classes: ClassTexts) -> ClassTexts:
        if self.text is None:
            return classes
        return _with(classes, {kind: through(self.text, own.features) for kind, own in classes.kinds.items()})

    def _rehearsed(self, which: str, classes: ClassTexts, labels: Tensor) -> ClassTexts:
        """The texts as they were kept, those of some classes made anew, and kept."""
        if self.text is None:
            return classes
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


def _joined(batches: list[Videos]) -> Videos:
    """All of them as one; what was recognised in all of them is the same table."""
    first, *others = batches
    if not others:
        return first
    rows = ("segments", "labels", "objects", "concepts", "regions")
    there = [name for name in rows if getattr(first, name) is not None]
    return dataclasses.replace(first, **{name: torch.cat([getattr(each, name) for each in batches]) for name in there})


def _with(classes: ClassTexts, features: dict[str, Tensor]) -> ClassTexts:
    kinds: dict[str, Texts] = {k: dataclasses.replace(own, features=features[k]) for k, own in classes.kinds.items()}
    return dataclasses.replace(classes, kinds=kinds)
