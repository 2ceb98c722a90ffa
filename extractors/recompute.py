"""Gradient checkpointing: a part of a network is computed again on the way back, instead of kept."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(part: Callable[[Tensor], Tensor], x: Tensor, modules: nn.Module) -> Tensor:
    """What a part of a network makes of x, with the same gradients, of which only x is kept.

    Parameters
    ----------
    part : callable
    x : Tensor
    modules : nn.Module
        What the part computes with. What these remember (BatchNorm's means, variances and counts) changes once, as it
        would without: the second time they are given copies, which are thrown away.
    """
    if not torch.is_grad_enabled():
        return part(x)

    def first_and_second() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return contextlib.nullcontext(), _unremembered(modules)

    return checkpoint(part, x, use_reentrant=False, context_fn=first_and_second)


@contextlib.contextmanager
def _unremembered(modules: nn.Module) -> Iterator[None]:
    """What modules remember is the same afterwards."""
    own = [(each, name, buffer) for each in modules.modules() for name, buffer in each.named_buffers(recurse=False)]
    for each, name, buffer in own:
        setattr(each, name, buffer.clone())
    try:
        yield
    finally:
        for each, name, buffer in own:
            setattr(each, name, buffer)
