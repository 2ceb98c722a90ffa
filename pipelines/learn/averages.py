"""An exponential moving average of a model's weights, a step of the optimiser at a time.

    e_1 = w_1,  e_t = d e_(t-1) + (1 - d) w_t                        with the decay d, after each step t

What modules remember in floating point goes the same way: BatchNorm's means and variances belong to the weights they
were measured with, so averaged weights are given the average of theirs. Counts are those of the model.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Average:
    """The average of a model's weights.

    Parameters
    ----------
    model : nn.Module
        Where it is to stay.
    decay : float
        d; 0: the average is the model.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._average: AveragedModel | None = None
        if decay:
            self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """The optimiser has made a step."""
        if self._average is None:
            return
        self._average.update_parameters(self._model)
        for own, buffer in zip(self._average.module.buffers(), self._model.buffers(), strict=True):
            if not own.is_floating_point():
                own.copy_(buffer)

    def take(self) -> None:
        """The model's weights are the average from now on."""
        if self._average is not None:
            self._model.load_state_dict(self._average.module.state_dict())

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """The model's weights are the average meanwhile."""
        if self._average is None:
            yield
            return
        own = {name: value.clone() for name, value in self._model.state_dict().items()}
        self.take()
        try:
            yield
        finally:
            self._model.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """The state, to go on from."""
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        if self._average is not None:
            self._average.load_state_dict(state)
