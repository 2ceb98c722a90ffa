"""A task: what the engine trains, whatever it learns from and however it is told.

    samples ─batch─▶ visual tower, or none ─▶ (N, m, D) ─┐
    texts ─────────▶ text tower, or none ────▶ (T, A) ───┴─▶ a head, or a classifier ─▶ the parts of the loss

A head on cached features has no tower; a network that tells classes apart is a visual tower under a classifier; end to
end both towers and the head learn at once.
"""

import torch
from torch import Tensor, nn

from heads.base import ClassTexts, Head, Videos
from pipelines.learn import ranks
from pipelines.learn.samples.samples import Samples
from pipelines.machine import processes


class Task:
    """What is trained, and what it learns from.

    Parameters
    ----------
    samples : Samples
        To train on.
    head : Head
    seen : ClassTexts
        Of the classes that the samples' labels number.
    unseen : ClassTexts, optional
        Of others, whose texts the head reads.
    visual, text : nn.Module, optional
        Towers below the head.
    held : (Samples, ClassTexts), optional
        Of classes that are neither trained on nor judged later, to validate on.

    Attributes
    ----------
    model : all that has weights; of one module alone it is that module, whose names the weights then have
    samples, head : as given
    is_long : whether an epoch may take hours, so that its middle is worth keeping; heads alone remember things in it
    """

    def __init__(
        self,
        samples: Samples,
        head: Head,
        seen: ClassTexts,
        unseen: ClassTexts | None = None,
        *,
        visual: nn.Module | None = None,
        text: nn.Module | None = None,
        held: tuple[Samples, ClassTexts] | None = None,
    ) -> None:
        self.samples, self.head = samples, head
        self._seen, self._unseen, self._held = seen, unseen, held
        self._visual, self._text = visual, text
        self.is_long = visual is not None
        towers = {name: tower for name, tower in (("visual", visual), ("text", text)) if tower is not None}
        modules = towers | ({"head": head} if head.state_dict() or not towers else {})
        self.model: nn.Module = nn.ModuleDict(modules) if len(modules) > 1 else next(iter(modules.values()))

    def loss(self, batch: Videos) -> dict[str, Tensor]:
        """The parts of a batch's loss; their sum is minimised."""
        unseen = None if self._unseen is None else self._told(self._unseen)
        return self.head.loss(self._shown(batch), self._told(self._seen), unseen)

    def parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What learns: at the rate of the training, and at a share of it."""
        lower = {id(parameter) for parameter in self.head.lower()}
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [p for p in learning if id(p) not in lower], [p for p in learning if id(p) in lower]

    def epoch(self) -> None:
        """An epoch begins."""
        self.head.epoch()

    def validate(self) -> float | None:
        """Zero-shot top-1 among the classes held out; None where none are."""
        if self._held is None:
            return None
        self.finish()
        return self.top1(*self._held)

    def finish(self) -> None:
        """The head takes from its samples what it judges by; below a network that is an extraction's to do."""
        if self._visual is not None:
            return
        unseen = None if self._unseen is None else self._told(self._unseen)
        order = torch.split(torch.arange(len(self.samples)), self.samples.at_once)
        with torch.no_grad():
            self.head.finish(self.samples.batches(order, draw=None), self._told(self._seen), unseen)

    def top1(self, samples: Samples, classes: ClassTexts) -> float:
        """The part of some samples whose class scores best; several processes take a batch each in turn."""
        right = total = 0
        here = processes()
        order = torch.split(torch.arange(len(samples)), samples.at_once)[here.rank :: here.world]
        with torch.no_grad():
            told = self._told(classes)
            for batch in samples.batches(order, draw=None):
                assert batch.labels is not None
                right += int((self.head.scores(self._shown(batch), told).argmax(1) == batch.labels).sum())
                total += len(batch)
        counts = ranks.gathered((right, total))
        right, total = sum(each for each, _ in counts), sum(each for _, each in counts)
        return right / total if total else 0.0

    def _shown(self, batch: Videos) -> Videos:
        return batch if self._visual is None else batch.seen_by(self._visual)

    def _told(self, classes: ClassTexts) -> ClassTexts:
        return classes if self._text is None else classes.through(self._text)
