"""The training engine: one loop for heads, networks and both at once, on Lightning Fabric.

Takes  a `Task` (a model, its samples, its loss, how it is validated), settings, a folder
Gives  the trained weights as safetensors, the history of the epochs, TensorBoard scalars

A run that was killed is continued by running it again, and then ends in the same bits as one that was not: every epoch
draws its random numbers from (seed, epoch) alone, and a checkpoint is the whole state at the end of an epoch, or of a
step in it where epochs are long. Fabric brings device and precision.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from heads.base import Videos
from pipelines.errors import Stopped
from pipelines.learn.tasks import Task
from pipelines.learn.training import PRECISIONS, Training
from stores.root import whole

_SAVE_EPOCH_S, _SAVE_STEP_S = 10, 300  # a kill costs at most the first and an epoch, or the second
_CHECKPOINT, _WEIGHTS, _HISTORY = "checkpoint.pt", "weights.safetensors", "history.json"


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


def train(task: Task, settings: Training, folder: Path, device: str = "cpu", told: Told | None = None) -> History:
    """Train, or go on where a killed run stopped, or load what is finished; the task's model then holds the weights.

    Parameters
    ----------
    task : Task
    settings : Training
    folder : Path
        Of this training alone.
    device : `cpu`, `cuda` or `cuda:N`
    told : called after each epoch with (epochs done, epochs at most, the entry)

    Raises
    ------
    Stopped
        A loss that is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _HISTORY).exists():
        load(task.model, folder)
        stored = json.loads((folder / _HISTORY).read_text())
        return History(tuple(stored["epochs"]), stored["best"])
    return _Loop(task, settings, folder, device, told).run()


def save(model: nn.Module, folder: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the weights of a model, those of one that nothing was to be learned for too; `metadata` is their header."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / _WEIGHTS) as path:
        save_file(_plain(model), path, metadata)


def load(model: nn.Module, folder: Path) -> None:
    """Load the weights of a finished training."""
    model.load_state_dict(load_file(folder / _WEIGHTS))


class _Loop:
    """A training under way."""

    def __init__(self, task: Task, settings: Training, folder: Path, device: str, told: Told | None) -> None:
        accelerator, _, number = device.partition(":")
        self._fabric = Fabric(
            accelerator=accelerator,
            devices=[int(number)] if number else 1,
            precision=PRECISIONS[settings.precision],  # type: ignore[arg-type]
        )
        self._task, self._settings, self._folder = task, settings, folder
        self._told = told or (lambda done, total, entry: None)
        torch.manual_seed(settings.seed)
        parameters = [p for p in task.model.parameters() if p.requires_grad]
        self._learns = bool(parameters)
        self._optimiser = settings.optimiser_of(parameters) if self._learns else None
        if self._optimiser:
            _, self._optimiser = self._fabric.setup(task.model, self._optimiser)
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
        with _scalars(self._folder) as write:
            while len(self._epochs) < epochs and not self._stopped():
                entry = self._epoch(len(self._epochs))
                self._epochs.append(entry)
                write(entry, len(self._epochs))
                self._told(len(self._epochs), epochs, entry)
                if time.monotonic() - self._saved > _SAVE_EPOCH_S:
                    self._save()
        if settings.keep == "best" and self._best[2]:
            self._task.model.load_state_dict(self._best[2])
        save(self._task.model, self._folder)
        history = History(tuple(self._epochs), self._best[1])
        with whole(self._folder / _HISTORY) as path:
            path.write_text(json.dumps(dataclasses.asdict(history)))
        (self._folder / _CHECKPOINT).unlink(missing_ok=True)
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
        for count, batch in enumerate(task.samples.batches(order[first:], draw), start=first + 1):
            seen += len(batch)
            lr = self._set_lr()
            is_whole = count % settings.accumulate == 0 or count == len(order)
            parts = self._step_of(batch, number, lr, is_whole)
            for name, part in parts.items():
                sums[name] = sums.get(name, 0.0) + float(part) * len(batch)
            if task.is_long and is_whole and count < len(order) and time.monotonic() - self._saved > _SAVE_STEP_S:
                self._save(sums=sums, seen=seen, first=count, drawn=_generators())
        if not seen:
            raise Stopped(f"No sample of epoch {number + 1} can be used; `zsar list failures` says why.")
        entry = {name: value / seen for name, value in sums.items()} | {"lr": lr}
        task.model.eval()
        with torch.no_grad():
            top1 = task.validate()
        if top1 is not None:
            entry["validation"] = top1
            self._judge(top1, number + 1)
        return entry

    def _step_of(self, batch: Videos, number: int, lr: float, is_whole: bool) -> dict[str, Tensor]:
        """One batch forward and back, and a step of the optimiser where gradients are `is_whole`; the losses."""
        task, settings = self._task, self._settings
        assert self._optimiser is not None
        if len(batch):  # else all of its samples broke
            with self._fabric.autocast():
                parts = task.loss(batch)
                total = torch.stack(list(parts.values())).sum()
            if not bool(torch.isfinite(total)):
                told = ", ".join(f"{name} {float(part.detach()):.3g}" for name, part in parts.items())
                raise Stopped(f"The loss is no longer finite in epoch {number + 1} at lr {lr:g}: {told}. Lower lr.")
            self._fabric.backward(total / settings.accumulate)
        if is_whole and any(parameter.grad is not None for parameter in task.model.parameters()):
            if settings.clip:
                self._fabric.clip_gradients(task.model, self._optimiser, max_norm=settings.clip)
            self._optimiser.step()
            self._optimiser.zero_grad()
        self._step += 1
        return {name: part.detach() for name, part in {**parts, "loss": total}.items()} if len(batch) else {}

    def _left_off(self) -> tuple[dict[str, float], int, int]:
        """Sums of the losses, samples and batches of the epoch that are done already."""
        within, self._within = self._within, {}
        if not within:
            return {}, 0, 0
        _restore(within["drawn"])
        return dict(within["sums"]), within["seen"], within["first"]

    def _judge(self, top1: float, epoch: int) -> None:
        """Validation has spoken: remember the best, and lower lr where nothing improves."""
        settings = self._settings
        if top1 > self._best[0]:
            kept = _plain(self._task.model) if settings.keep == "best" else {}
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
            group["lr"] = lr
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
        }
        with whole(self._folder / _CHECKPOINT) as path:
            torch.save(state, path)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        path = self._folder / _CHECKPOINT
        if not path.exists():
            return
        assert self._optimiser is not None
        state = torch.load(path, map_location=self._fabric.device, weights_only=True)
        self._task.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._epochs, self._step, self._best = state["epochs"], state["step"], tuple(state["best"])
        self._factor, self._waited = state["factor"], state["waited"]
        self._within = state.get("within", {})


def _generators() -> dict[str, Tensor]:
    """The state of torch's generators."""
    on_gpu = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state()} | on_gpu


def _restore(drawn: dict[str, Tensor]) -> None:
    torch.set_rng_state(drawn["cpu"].cpu())
    if "cuda" in drawn:
        torch.cuda.set_rng_state(drawn["cuda"].cpu())


def _plain(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


@contextlib.contextmanager
def _scalars(folder: Path) -> Iterator[Callable[[dict[str, float], int], None]]:
    """TensorBoard scalars below a folder, made when there is something to write."""
    logger = TensorBoardLogger(folder, name="", version="tensorboard")
    written = False

    def write(entry: dict[str, float], epoch: int) -> None:
        nonlocal written
        written = True
        logger.log_metrics(entry, epoch)

    yield write
    if written:
        logger.finalize("success")
