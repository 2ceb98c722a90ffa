"""How a model is trained: the engine's settings, and what follows from them, the optimiser and the rate of a step."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.errors import UsageError

OPTIMISERS = ("adam", "adamw", "sgd", "nesterov")
SCHEDULES = ("constant", "cosine", "plateau", "steps", "listed")
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclasses.dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes
    ----------
    optimiser : `adam`, `adamw`, `sgd`, or `nesterov`, which is SGD with Nesterov's momentum
    lr, weight_decay, momentum : of it
    batch : samples a step, of all processes together
    accumulate : steps whose gradients are summed before one of the optimiser
    epochs : at most so many
    schedule : `constant`; `cosine` to nought after the warm-up; `plateau`: times `factor` when validation has not
        improved for `patience` epochs; `steps`: times `factor` after each of `milestones`; `listed`: one of `lrs` an
        epoch, to go again where another training went
    warmup_steps : lr rises exponentially from lr / batch over so many steps; 0: over `warmup` of them
    cosine_steps : where the cosine ends; 0: with the last epoch
    clip : largest norm of the gradient; 0: none
    stop_after : stop when validation has not improved for so many epochs; 0: never
    keep : `last` weights, or the `best` by validation
    min_lr : plateau goes no lower
    precision : `fp32`, `bf16` or `fp16`
    seed : of everything that is drawn
    an_epoch : samples an epoch, drawn anew in each; 0: all
    warmup : share of the training's own steps; counts, as papers have them, belong to their data sets
    balanced : draw as many samples of each class, in the mean
    below : lr of the layers below a head, where such are trained with it, as a share of lr
    ema : decay of a moving average of the weights, a step at a time: it is what is validated and kept; 0: none
    """

    optimiser: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    batch: int = 128
    accumulate: int = 1
    epochs: int = 10
    schedule: str = "constant"
    warmup_steps: int = 0
    cosine_steps: int = 0
    factor: float = 0.1
    patience: int = 1
    milestones: tuple[int, ...] = ()
    lrs: tuple[float, ...] = ()
    min_lr: float = 1e-9
    clip: float = 0.0
    stop_after: int = 0
    keep: str = "last"
    precision: str = "fp32"
    seed: int = 0
    an_epoch: int = dataclasses.field(default=0, metadata={"later": True})
    balanced: bool = dataclasses.field(default=False, metadata={"later": True})
    warmup: float = dataclasses.field(default=0.0, metadata={"later": True})
    ema: float = dataclasses.field(default=0.0, metadata={"later": True})
    below: float = dataclasses.field(default=1.0, metadata={"later": True})

    def __post_init__(self) -> None:
        known = {"optimiser": OPTIMISERS, "schedule": SCHEDULES, "keep": ("last", "best"), "precision": (*PRECISIONS,)}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise UsageError(f"{name} is {' or '.join(values)}, got {getattr(self, name)!r}.")
        for name, least in (
            ("batch", 1),
            ("accumulate", 1),
            ("epochs", 0),
            ("lr", 0),
            ("warmup_steps", 0),
            ("an_epoch", 0),
        ):
            if not getattr(self, name) >= least:
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"warmup is a share from 0 to below 1, got {self.warmup}.")
        if not self.below >= 0:
            raise UsageError(f"below is a share of lr, at least 0, got {self.below}.")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema is a decay from 0 to below 1, such as 0.999, got {self.ema}.")

    @property
    def validates(self) -> bool:
        """Whether validation decides anything: then classes are held out for it."""
        return self.epochs > 0 and (self.schedule == "plateau" or self.keep == "best" or self.stop_after > 0)

    def optimiser_of(self, own: Sequence[nn.Parameter], lower: Sequence[nn.Parameter] = ()) -> torch.optim.Optimizer:
        """A fresh optimiser of some parameters, and of others that learn by a share (`below`) of the rate."""
        parameters = [{"params": [*own], "share": 1.0}]
        parameters += [{"params": [*lower], "share": self.below}] if lower else []
        if self.optimiser in ("sgd", "nesterov"):
            ahead, kept = self.optimiser == "nesterov", self.momentum
            return torch.optim.SGD(parameters, self.lr, kept, weight_decay=self.weight_decay, nesterov=ahead)
        kind = torch.optim.Adam if self.optimiser == "adam" else torch.optim.AdamW
        return kind(parameters, self.lr, weight_decay=self.weight_decay)

    def samples_an_epoch(self, samples: int) -> int:
        """How many of some samples an epoch goes through."""
        return min(self.an_epoch, samples) if self.an_epoch else samples

    def order(self, labels: Tensor) -> Tensor:
        """(n,) int64: the samples of an epoch in their order, drawn from torch's generator.

        Parameters
        ----------
        labels : (N,) int64
        """
        count = self.samples_an_epoch(len(labels))
        if not self.balanced:
            return torch.randperm(len(labels))[:count]
        often = torch.bincount(labels).double()
        return torch.multinomial(1 / often[labels], count, replacement=True)

    def refuse_warmup(self, samples: int) -> None:
        """Refuse a warm-up that the training never leaves.

        Parameters
        ----------
        samples : int
            To be trained on.

        Raises
        ------
        UsageError
            It is as long as the training, or longer.
        """
        steps = self.epochs * -(-self.samples_an_epoch(samples) // self.batch)
        if self._warmup_of(steps) >= steps > 0:
            raise UsageError(
                f"A warm-up of {self.warmup_steps} steps is as long as the training, {steps} steps: lr would never get "
                f"to {self.lr:g}. Give a share, `--option warmup=0.1`, fewer warmup_steps, or more epochs."
            )

    def _warmup_of(self, steps: int) -> int:
        return self.warmup_steps or round(self.warmup * steps)

    def rate(self, step: int, epoch: int, steps_an_epoch: int, factor: float) -> float:
        """The lr of a step.

        Parameters
        ----------
        step, epoch : numbers from 0, of the whole training
        steps_an_epoch : batches
        factor : what `plateau` has lowered it by so far
        """
        lr = max(self.lr * factor, min(self.min_lr, self.lr)) if self.schedule == "plateau" else self.lr
        warmup = self._warmup_of(self.epochs * steps_an_epoch)
        if step < warmup:
            lr *= self.batch ** (step / warmup - 1)
        elif self.schedule == "cosine":
            last = (self.cosine_steps or self.epochs * steps_an_epoch) - warmup
            done = min((step - warmup) / max(last, 1), 1.0)
            lr *= 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi, dtype=torch.float64))))
        elif self.schedule == "steps":
            lr *= self.factor ** sum(epoch >= milestone for milestone in self.milestones)
        elif self.schedule == "listed":
            lr = self.lrs[epoch]
        return lr
