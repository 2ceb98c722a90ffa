"""The runner: items read by some threads, their units through extractors in full batches by others, rows back.

    items ─▶ readers ─▶ queue ─▶ pools of units by (feature, shape) ─▶ full batches ─▶ forwards ─▶ results
             (one read an item, for all its features)       (constant shape, units of many items)

A kind of item is a `Reading`: what it makes of an item for each feature is units, which go through the extractor, or
the outcome itself. A forward thread that finds a full batch takes it, else it waits for the next item; so a model waits
for a reader only when there is no work. What does not fill a batch waits for the end and is filled up, so neither batch
mates nor order change a row. On a CPU each forward thread computes on one core: then a row's bits depend neither on the
number of cores nor on what else runs. Memory is bounded by the queues, whatever the number of items. Knows nothing of
the store.
"""

import contextlib
import itertools
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from extractors.base import Extractor
from extractors.errors import InputFault, NotFinite
from pipelines.extract.items import Item, TextItem
from stores.features import ItemRows

_PATIENCE_S = 10.0
_WAITING = 8  # items that were read and wait, whatever the number of cores: each may hold some 20 MB of pixels

Outcome = ItemRows | InputFault


class Result(NamedTuple):
    """What one item gave to one feature; `order` counts the items as they were read."""

    item: Item | TextItem
    feature: str
    outcome: Outcome
    order: int


class Units(NamedTuple):
    """What was read of an item for one feature.

    Attributes
    ----------
    arrays : (n, ...) or n arrays of one shape and dtype, a unit each
    batch : units of every batch they go into
    rows : gives the outcome from the outputs (n, ...) of the units, by name
    """

    arrays: np.ndarray | Sequence[np.ndarray]
    batch: int
    rows: Callable[[dict[str, np.ndarray]], Outcome]


class Reading(Protocol):
    """How items of a kind are read."""

    #: items that are read at once
    chunk: int
    #: items read so far
    opened: int

    def read(self, items: Sequence[Any]) -> Iterable[Mapping[str, Units | Outcome]]:
        """What each item gives to each of its features; called from several threads."""

    def stop(self) -> None:
        """No more results are wanted, of a reading that takes long either."""


class Runner:
    """Runs items through loaded extractors; iterate over `results`.

    Parameters
    ----------
    extractors : mapping of feature name to a loaded Extractor
    reading : Reading
    forwards, readers : int
        Threads of each kind.
    """

    def __init__(self, extractors: Mapping[str, Extractor], reading: Reading, forwards: int, readers: int) -> None:
        if forwards < 1 or readers < 1:
            raise ValueError(f"A run needs threads of both kinds, got {forwards} forwards and {readers} readers.")
        self._extractors = extractors
        self._reading = reading
        self._forwards = forwards
        self._readers = readers
        self._arrived: queue.Queue[list[_Arrived] | None] = queue.Queue(min(max(forwards, readers), _WAITING))
        self._results: queue.Queue[Result | BaseException | None] = queue.Queue()
        self._pools: dict[_Pool, deque[tuple[_Entry, int]]] = {}
        self._pool_lock = threading.Lock()
        self._input_lock = threading.Lock()
        self._stop = threading.Event()
        self._still_reading = readers
        self._still_forwarding = forwards

    @property
    def opened(self) -> int:
        """Items read so far, each once whatever the number of features."""
        return self._reading.opened

    def results(self, items: Iterable[Item | TextItem], tick_s: float = 1.0) -> Generator[Result | None, None, None]:
        """Results in the order they are ready; None every `tick_s` seconds without one. Closing it stops the threads.

        Raises
        ------
        Whatever a thread met that is no fault of an item (out of memory, no codec, a defect of ours).
        """
        source = enumerate(items, start=1)
        threads = [threading.Thread(target=self._guard, args=(self._read, source)) for _ in range(self._readers)]
        threads += [threading.Thread(target=self._guard, args=(self._forward,)) for _ in range(self._forwards)]
        for thread in threads:
            thread.daemon = True
            thread.start()
        try:
            running = True
            while running:
                try:
                    result = self._results.get(timeout=tick_s)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(result, BaseException):
                    raise result
                running = result is not None
                if result is not None:
                    yield result
        finally:
            self._stop.set()
            self._reading.stop()
            patience = time.monotonic() + _PATIENCE_S  # a read of a dead disk may never return: leave such a thread
            for thread in threads:
                while thread.is_alive() and time.monotonic() < patience:
                    self._drain()
                    thread.join(0.05)

    def _guard(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # handed to the thread that iterates, which raises it
            self._results.put(error)  # before the stop: the end of the results must not overtake it
            self._stop.set()

    def _drain(self) -> None:
        """Make room for readers that wait at the queue of a stopped run, and wake forwards that wait for them."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._arrived.get_nowait()
        with contextlib.suppress(queue.Full):
            self._arrived.put_nowait(None)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, source: Iterator[tuple[int, Item | TextItem]]) -> None:
        while not self._stop.is_set():
            with self._input_lock:
                chunk = list(itertools.islice(source, self._reading.chunk))
            if not chunk:
                break
            read = self._reading.read([item for _, item in chunk])
            self._arrived.put([(item, found, order) for (order, item), found in zip(chunk, read, strict=True)])
        with self._input_lock:
            self._still_reading -= 1
            if self._still_reading == 0:
                self._arrived.put(None)

    # -- forward ------------------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)
        while not self._stop.is_set() and (found := self._next_batch()):
            pool, members = found
            outputs = self._extractors[pool.feature](_batch([entry.arrays[unit] for entry, unit in members], pool))
            for row, (entry, unit) in enumerate(members):
                if entry.put(unit, outputs, row):
                    entry.arrays = ()  # pixels are large, and this thread may wait for its next batch
                    self._results.put(Result(entry.item, pool.feature, entry.rows(entry.outputs), entry.order))
        with self._pool_lock:
            self._still_forwarding -= 1
            if self._still_forwarding == 0 and not self._stop.is_set():
                self._results.put(None)

    def _next_batch(self) -> "tuple[_Pool, list[tuple[_Entry, int]]] | None":
        """A full batch, or when the input has ended what is left of one; None at the end."""
        with self._pool_lock:
            while not self._stop.is_set():
                for pool, waiting in self._pools.items():
                    if len(waiting) >= pool.batch:
                        return pool, [waiting.popleft() for _ in range(pool.batch)]
                arrived = self._arrived.get()
                if arrived is None:
                    self._arrived.put(None)  # for the other threads
                    break
                for each in arrived:
                    self._admit(*each)
            for pool, waiting in self._pools.items():
                if waiting and not self._stop.is_set():
                    return pool, [waiting.popleft() for _ in range(min(len(waiting), pool.batch))]
        return None

    def _admit(self, item: Item | TextItem, found: Mapping[str, Units | Outcome], order: int) -> None:
        for feature, units in found.items():
            if not isinstance(units, Units):
                self._results.put(Result(item, feature, units, order))
                continue
            pool = _Pool(feature, np.shape(units.arrays[0]), units.batch)
            entry = _Entry(item, units, order)
            self._pools.setdefault(pool, deque()).extend((entry, unit) for unit in range(len(units.arrays)))


_Arrived = tuple[Item | TextItem, Mapping[str, Units | Outcome], int]


class _Pool(NamedTuple):
    """Units that may share a batch: of one feature and one shape."""

    feature: str
    shape: tuple[int, ...]
    batch: int


class _Entry:
    """The units of one item on their way through one extractor."""

    def __init__(self, item: Item | TextItem, units: Units, order: int) -> None:
        self.item = item
        self.order = order
        self.arrays, self.rows = units.arrays, units.rows
        self.outputs: dict[str, np.ndarray] = {}
        self._count = self._left = len(units.arrays)
        self._lock = threading.Lock()

    def put(self, unit: int, outputs: Mapping[str, np.ndarray], row: int) -> bool:
        """Take one unit's outputs from a batch; True when that was the last one."""
        with self._lock:
            if not self.outputs:
                self.outputs = {n: np.empty((self._count, *v.shape[1:]), v.dtype) for n, v in outputs.items()}
            for name, values in outputs.items():
                self.outputs[name][unit] = values[row]
            self._left -= 1
            return self._left == 0


def _batch(arrays: Sequence[np.ndarray], pool: _Pool) -> np.ndarray:
    """(batch, ...) units: of constant shape, because a row's last bits depend on it; the filling is dropped."""
    batch = np.empty((pool.batch, *pool.shape), arrays[0].dtype)
    for row, array in enumerate(arrays):
        batch[row] = array
    batch[len(arrays) :] = batch[0]
    return batch


def checked(
    key: bytes, rows: dict[str, np.ndarray], times: np.ndarray | None = None, gaps: Collection[str] = ()
) -> Outcome:
    """The rows of an item, or the fault that some are not finite; NaN is none in outputs that may have `gaps`."""
    for name, values in rows.items():
        if values.dtype.kind == "f" and not (np.isfinite(values) | (name in gaps and np.isnan(values))).all():
            return NotFinite(f"output {name} holds {'infinity' if name in gaps else 'NaN or infinity'}")
    return ItemRows(key, rows, times)
