"""What there is to compute on: the device asked for, and the cores this process may use."""

import os
import re

from extractors.errors import MachineFault


def cores_here() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_of(asked: str) -> str:
    """`auto` is the GPU where there is one; torch is imported here at the latest."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", asked):
        raise MachineFault(f"device must be auto, cpu, cuda or cuda:N, got {asked!r}.")
    if asked != "auto":
        return asked
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
