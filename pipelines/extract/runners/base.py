"""Full batches to forward threads, results back in the order they are ready: what the runners but one share.

A batch may be a `Result` already (an item that cannot be used); it is passed on. At most two batches a thread wait, so
memory does not grow with the number of items.
"""

import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from extractors.errors import InputFault, NotFinite
from pipelines.extract.runners.videos import Result
from stores.features import ItemRows


def in_threads(
    batches: Iterable[Result | tuple[Any, ...]],
    forward: Callable[..., list[Result]],
    threads: int,
    tick_s: float,
    stop: threading.Event | None = None,
) -> Generator[Result | None, None, None]:
    """Results of `forward(*batch)`, on threads of one core each on a CPU; None every `tick_s` seconds without one.

    `stop` is set as soon as no more results are wanted, for a `forward` that takes long.
    """
    pool = ThreadPoolExecutor(threads, initializer=_one_core)
    pending: set[Future[list[Result]]] = set()
    try:
        for batch in batches:
            if isinstance(batch, Result):
                yield batch
                continue
            while len(pending) >= 2 * threads:
                done, pending = wait(pending, timeout=tick_s, return_when=FIRST_COMPLETED)
                yield from _told(done)
            pending.add(pool.submit(forward, *batch))
        while pending:
            done, pending = wait(pending, timeout=tick_s, return_when=FIRST_COMPLETED)
            yield from _told(done)
    finally:
        if stop:
            stop.set()
        pool.shutdown(cancel_futures=True)


def checked(
    key: bytes, rows: dict[str, np.ndarray], times: np.ndarray | None = None, gaps: Collection[str] = ()
) -> ItemRows | InputFault:
    """The rows of an item, or the fault that some are not finite; NaN is none in outputs that may have `gaps`."""
    for name, values in rows.items():
        if values.dtype.kind == "f" and not (np.isfinite(values) | (name in gaps and np.isnan(values))).all():
            return NotFinite(f"output {name} holds {'infinity' if name in gaps else 'NaN or infinity'}")
    return ItemRows(key, rows, times)


def _told(done: set[Future[list[Result]]]) -> Generator[Result | None, None, None]:
    if not done:
        yield None
    for future in done:
        yield from future.result()


def _one_core() -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
