"""Several processes that train as one, as `torchrun` starts them: what they tell each other.

    objects: gloo          tensors: gloo between CPUs, NCCL between GPUs, one a process

All of them call these functions in the same order; where there is one process, each gives back what it is given. A
process that ends ends the others: what waits for it says so in one line.
"""

import atexit
import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from pipelines.errors import Stopped
from pipelines.machine import processes

P = ParamSpec("P")
T = TypeVar("T")


def _together(function: Callable[P, T]) -> Callable[P, T]:
    """A function that all processes call at once."""

    @functools.wraps(function)
    def called(*given: P.args, **named: P.kwargs) -> T:
        try:
            _joined()
            return function(*given, **named)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # of gloo and NCCL, whose text is no user's
            raise Stopped(
                f"Process {processes().rank} of {processes().world} stopped, because another one did: its own line "
                "says why. Run the same command again to go on."
            ) from error

    return called


def _joined() -> None:
    """Meet the others, once."""
    here = processes()
    if here.world > 1 and not dist.is_initialized():
        if torch.cuda.is_available() and torch.cuda.device_count() >= here.beside:
            torch.cuda.set_device(here.local)
            dist.init_process_group("cpu:gloo,cuda:nccl")
        else:
            dist.init_process_group("gloo")
        atexit.register(dist.destroy_process_group)


@_together
def gathered(value: T) -> list[T]:
    """What each process gives, in the order of their ranks."""
    if processes().world == 1:
        return [value]
    found: list[T] = [value] * processes().world
    dist.all_gather_object(found, value)
    return found


def agreed(value: T) -> T:
    """What the first process gives: of what changes while others look, such as files."""
    return gathered(value)[0]


@contextlib.contextmanager
def first() -> Iterator[None]:
    """The first process goes ahead, and the others find done what it did."""
    gathered(None)  # they have met: who waits for one that ends before it has met the others is not told
    if processes().rank:
        gathered(None)
    yield
    if not processes().rank:
        gathered(None)


def share(rows: Tensor) -> Tensor:
    """This process's part of a batch: (B,) -> (b,), which together are the batch."""
    here = processes()
    return rows if here.world == 1 else rows.tensor_split(here.world)[here.rank]


@_together
def joined_gradients(parameters: Sequence[nn.Parameter], remembered: Iterable[Tensor]) -> None:
    """Put the sum over all processes in the place of each gradient, and the mean in that of what modules remember.

    A parameter that has a gradient in one process has it in all then; the sum of none is none.
    """
    world = processes().world
    if world == 1:
        return
    means = [each for each in remembered if each.is_floating_point()]
    has = torch.tensor([each.grad is not None for each in parameters], device=parameters[0].device)
    own = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    every = [has.float(), *own, *(each / world for each in means)]
    vector = parameters_to_vector(each.float() for each in every)
    dist.all_reduce(vector)
    told, *found = torch.split(vector, [each.numel() for each in every])
    for parameter, grad, is_there in zip(parameters, found, told.tolist(), strict=False):
        parameter.grad = grad.view_as(parameter).to(parameter.dtype, copy=True) if is_there else None
    for each, mean in zip(means, found[len(parameters) :], strict=True):
        each.copy_(mean.view_as(each))
