"""What there is to compute on: the device asked for, its cores, and the processes that train as one."""

import os
import re
from typing import NamedTuple

from extractors.errors import MachineFault

_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


class Processes(NamedTuple):
    """This process among those that train as one.

    Attributes
    ----------
    rank, world : its number and how many there are, on all machines
    local, beside : its number and how many there are, on this machine
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    beside: int = 1


def processes() -> Processes:
    """As `torchrun` tells it in the environment; without it this process is the only one."""
    told = [os.environ.get(name, "") for name in _TOLD]
    return Processes(*map(int, told)) if all(told) else Processes()


def cores_here() -> int:
    """How many cores this process may use: of several on a machine each has its share."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // processes().beside)


def threads_here() -> int:
    """How many threads one training has: `$OMP_NUM_THREADS` where it is set, as everywhere, else the cores.

    On cores that others use too fewer are faster: threads that wait for each other at the end of each operation wait
    for the slowest. Two on two busy cores took eight times as much of them as one (ST-GCN, batches of 16).
    """
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(told) if told.isdecimal() and int(told) else cores_here()


def device_of(asked: str) -> str:
    """`auto` is the GPU where there is one, of several processes each its own; torch is imported here at the latest.

    Raises
    ------
    MachineFault
        Not of this form, or a GPU that is not there.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", asked):
        raise MachineFault(f"device must be auto, cpu, cuda or cuda:N, got {asked!r}.")
    if asked == "cpu":
        return asked
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto" and not there:
        return "cpu"
    here = processes()
    if asked.startswith("cuda:") and here.world > 1:
        raise MachineFault(f"Of {here.world} processes each takes a GPU of its own: ask for cuda, not for {asked}.")
    if not there:
        raise MachineFault(f"Device {asked!r} was asked for and torch sees no CUDA device here. Use --device cpu.")
    number = int(asked.partition(":")[2] or here.local)
    if number >= there:
        wanted = f"{here.beside} processes need as many" if here.world > 1 else f"{asked} is not one of them"
        raise MachineFault(f"torch sees {there} CUDA devices here, and {wanted}; they are numbered from 0.")
    return f"cuda:{number}" if here.world > 1 else "cuda" if asked == "auto" else asked
