"""The training engine: one loop for heads, networks and both at once, on Lightning Fabric.

Takes  a `Task` (a model, its samples, its loss, how it is validated), settings, a folder
Gives  the trained weights as safetensors, the history of the epochs, TensorBoard scalars

A run that was killed is continued by running it again, and then ends in the same bits as one that was not: every epoch
draws its random numbers from (seed, epoch) alone, and a checkpoint is the whole state at the end of an epoch, or of a
step in it where epochs are long. Fabric brings device and precision.

Of several processes (`ranks`) each takes its part of every batch, and gradients are summed before a step, each sample
weighing the same: so all hold the same weights, and two make of halves of a batch what one makes of them one after the
other (`accumulate`). BatchNorm measures the part that it is shown. Gradients are summed here and not in DDP's backward,
which hangs where the samples of one process all broke, and which wants one module to go through.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from heads.base import Videos
from pipelines.errors import Stopped, UsageError
from pipelines.learn import checkpoints, ranks
from pipelines.learn.averages import Average
from pipelines.learn.tasks import Task
from pipelines.learn.training import PRECISIONS, Training
from pipelines.machine import processes
from stores.workplaces import Workplace

_SAVE_EPOCH_S, _SAVE_STEP_S = 10, 300  # a kill costs at most the first and an epoch, or the second


@dataclasses.dataclass(frozen=True)
class History:
    """What happened, an entry an epoch: losses by part, `lr`, and `validation` where there is one.

    Attributes
    ----------
    epochs : the entries
    best : number of the epoch with the best validation, from 1; 0 where none was held out
    """

    epochs: tuple[dict[str, float], ...]
    best: int


Told = Callable[[int, int, dict[str, float]], None]


def train(
    task: Task, settings: Training, folder: Path | Workplace, device: str = "cpu", told: Told | None = None
) -> History:
    """Train, or go on where a killed run stopped, or load what is finished; the task's model then holds the weights.

    Parameters
    ----------
    task : Task
    settings : Training
    folder : Path or Workplace
        Of this training alone; what is written there is handed over, as a workplace has it.
    device : `cpu`, `cuda` or `cuda:N`
    told : called after each epoch with (epochs done, epochs at most, the entry)

    Raises
    ------
    Stopped
        A loss that is not finite; another process has stopped.
    WriteFailed
        The disk is full, not writable, or gone; the last state that was written stays.
    """
    place = folder if isinstance(folder, Workplace) else Workplace(folder)
    checkpoints.begin(place.path)
    if stored := ranks.agreed(checkpoints.history(place.path)):
        checkpoints.load(task.model, place.path)
        return History(tuple(stored["epochs"]), stored["best"])
    if settings.batch < processes().world:
        raise UsageError(f"{processes().world} processes share a batch of {settings.batch}: give --batch as many.")
    return _Loop(task, settings, place, device, told).run()


class _Loop:
    """A training under way."""

    def __init__(self, task: Task, settings: Training, place: Workplace, device: str, told: Told | None) -> None:
        accelerator, _, number = device.partition(":")
        self._fabric = Fabric(
            accelerator=accelerator,
            devices=[int(number)] if number else 1,
            precision=PRECISIONS[settings.precision],  # type: ignore[arg-type]
        )
        self._task, self._settings, self._place, self._folder = task, settings, place, place.path
        self._told = told if told and not processes().rank else (lambda done, total, entry: None)
        torch.manual_seed(settings.seed)
        self._parameters = [p for p in task.model.parameters() if p.requires_grad]
        self._learns = bool(self._parameters)
        self._optimiser = settings.optimiser_of(*task.parameters()) if self._learns else None
        if self._optimiser:
            _, self._optimiser = self._fabric.setup(task.model, self._optimiser)
        self._average = Average(task.model, settings.ema)
        self._step = 0
        self._steps_an_epoch = -(-settings.samples_an_epoch(len(task.samples)) // settings.batch)
        self._epochs: list[dict[str, float]] = []
        self._best: tuple[float, int, dict[str, Tensor]] = (-1.0, 0, {})
        self._factor, self._waited = 1.0, 0
        self._within: dict[str, Any] = {}  # where an epoch was left
        self._saved = time.monotonic()

    def run(self) -> History:
        settings = self._settings
        self._resume()
        epochs = settings.epochs if self._learns else 0
        write = checkpoints.scalars(self._folder)
        while len(self._epochs) < epochs and not self._stopped():
            entry = self._epoch(len(self._epochs))
            self._epochs.append(entry)
            write(entry, len(self._epochs))
            self._told(len(self._epochs), epochs, entry)
            if time.monotonic() - self._saved > _SAVE_EPOCH_S:
                self._save()
        self._average.take()
        if settings.keep == "best" and self._best[2]:
            self._task.model.load_state_dict(self._best[2])
        self._task.model.eval()
        self._task.finish()
        checkpoints.save(self._task.model, self._folder)
        history = History(tuple(self._epochs), self._best[1])
        checkpoints.finish(self._folder, dataclasses.asdict(history))
        self._place.hand_over()
        return history

    def _epoch(self, number: int) -> dict[str, float]:
        task, settings = self._task, self._settings
        draw = (settings.seed << 20) + number + 1
        torch.manual_seed(draw)  # all that an epoch draws depends on this alone
        order = torch.split(settings.order(task.samples.labels), settings.batch)
        task.model.train()
        task.epoch()
        sums, seen, first = self._left_off()
        assert self._optimiser is not None
        lr = 0.0
        _own_draws(draw, first)
        own = [ranks.share(rows) for rows in order[first:]]
        for count, batch in enumerate(task.samples.batches(own, draw), start=first + 1):
            lr = self._set_lr()
            is_whole = count % settings.accumulate == 0 or count == len(order)
            for samples, parts in self._step_of(batch, number, lr, is_whole):
                seen += samples
                for name, part in parts.items():
                    sums[name] = sums.get(name, 0.0) + part * samples
            if task.is_long and is_whole and count < len(order) and time.monotonic() - self._saved > _SAVE_STEP_S:
                self._save(sums=sums, seen=seen, first=count, drawn=checkpoints.generators())
            _own_draws(draw, count)
        if not seen:
            raise Stopped(f"No sample of epoch {number + 1} can be used; `zsar list failures` says why.")
        entry = {name: value / seen for name, value in sums.items()} | {"lr": lr}
        task.model.eval()
        with torch.no_grad(), self._average.taken():
            top1 = task.validate()
            if top1 is not None:
                entry["validation"] = top1
                self._judge(top1, number + 1)
        return entry

    def _step_of(self, batch: Videos, number: int, lr: float, is_whole: bool) -> list[tuple[int, dict[str, float]]]:
        """One batch forward and back, and a step of the optimiser where gradients are `is_whole`.

        Returns
        -------
        list of (int, dict)
            A process: its samples, and their losses by part; none where all of its samples broke.
        """
        task, settings = self._task, self._settings
        assert self._optimiser is not None
        parts: dict[str, Tensor] = {}
        if len(batch):
            with self._fabric.autocast():
                parts = task.loss(batch)
                parts = parts | {"loss": torch.stack(list(parts.values())).sum()}
        told = ranks.gathered((len(batch), {name: float(part.detach()) for name, part in parts.items()}))
        for _, values in told:
            if not math.isfinite(values.get("loss", 0.0)):
                what = ", ".join(f"{name} {value:.3g}" for name, value in values.items() if name != "loss")
                raise Stopped(f"The loss is no longer finite in epoch {number + 1} at lr {lr:g}: {what}. Lower lr.")
        if parts:
            share = len(batch) / sum(samples for samples, _ in told)
            self._fabric.backward(parts["loss"] * share / settings.accumulate)
        if is_whole:
            ranks.joined_gradients(self._parameters, task.model.buffers())
            if any(parameter.grad is not None for parameter in self._parameters):
                self._stride()
        self._step += 1
        return told

    def _stride(self) -> None:
        """A step of the optimiser, along the gradients."""
        assert self._optimiser is not None
        if self._settings.clip:
            self._fabric.clip_gradients(self._task.model, self._optimiser, max_norm=self._settings.clip)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._average.step()

    def _left_off(self) -> tuple[dict[str, float], int, int]:
        """Sums of the losses, samples and batches of the epoch that are done already."""
        within, self._within = self._within, {}
        if not within:
            return {}, 0, 0
        checkpoints.restore(within["drawn"])
        return dict(within["sums"]), within["seen"], within["first"]

    def _judge(self, top1: float, epoch: int) -> None:
        """Validation has spoken: remember the best, and lower lr where nothing improves."""
        settings = self._settings
        if top1 > self._best[0]:
            kept = checkpoints.plain(self._task.model) if settings.keep == "best" else {}
            self._best = (top1, epoch, {name: value.clone() for name, value in kept.items()})
            self._waited = 0
            return
        self._waited += 1
        if settings.schedule == "plateau" and self._waited > settings.patience:
            self._factor *= settings.factor
            self._waited = 0

    def _stopped(self) -> bool:
        return 0 < self._settings.stop_after <= len(self._epochs) - self._best[1] and bool(self._best[1])

    def _set_lr(self) -> float:
        """The lr of this step, as the settings have it."""
        lr = self._settings.rate(self._step, len(self._epochs), self._steps_an_epoch, self._factor)
        assert self._optimiser is not None
        for group in self._optimiser.param_groups:
            group["lr"] = lr * group.get("share", 1.0)
        return lr

    # -- state --------------------------------------------------------------------------------------------------------

    def _save(self, **within: Any) -> None:
        """Write the whole state; `within` says where the epoch stands, at a step of it."""
        assert self._optimiser is not None
        state = {
            "model": self._task.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "epochs": self._epochs,
            "step": self._step,
            "best": self._best,
            "factor": self._factor,
            "waited": self._waited,
            "within": within,
            "average": self._average.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
        }
        checkpoints.keep(self._folder, state)
        self._place.hand_over()
        self._saved = time.monotonic()

    def _resume(self) -> None:
        state = checkpoints.kept(self._folder, self._fabric.device, self._place.shown)
        if state is None:
            return
        assert self._optimiser is not None
        self._task.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._epochs, self._step, self._best = state["epochs"], state["step"], tuple(state["best"])
        self._factor, self._waited = state["factor"], state["waited"]
        self._within = state.get("within", {})
        self._average.load_state_dict(state.get("average", {}))
        self._fabric.strategy.precision.load_state_dict(state.get("precision", {}))


def _own_draws(draw: int, batch: int) -> None:
    """Of several processes each draws from (seed, epoch, batch, rank): the state of one then stands for all."""
    here = processes()
    if here.world > 1:
        (seed,) = np.random.SeedSequence([draw, batch, here.rank]).generate_state(1)
        torch.manual_seed(int(seed))
