"""Items in, rows out: decode threads and forward threads around bounded queues. Knows nothing of the store.

    items ─▶ decoders ─▶ queue ─▶ pool of units a feature ─▶ full batches ─▶ forwards ─▶ results
             (one decode an item, for all its features)       (constant shape, units of many items)

A forward thread that finds a full batch takes it, else it waits for the next decoded item; so the model waits for a
decoder only when there is no work. On a CPU each forward thread computes on one core: then a row's bits depend neither
on the number of cores nor on what else runs. Memory is bounded by the queues, whatever the number of items.
"""

import contextlib
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from extractors import clips
from extractors.base import VideoExtractor
from extractors.clips import Clips
from extractors.errors import InputFault, NotFinite, Unreachable
from extractors.sampling import View
from pipelines.extract.items import Item, TextItem
from pipelines.index.files import Stat, stat_of
from stores.features import ItemRows

_PATIENCE_S = 10.0
_WAITING = 8  # decoded items that wait, whatever the number of cores: each may hold some 20 MB of pixels

_Read = TypeVar("_Read")

Reader = Callable[[str, Mapping[str, View], bytes, tuple[float, float] | None], dict[str, Clips | InputFault]]


class Result(NamedTuple):
    """What one item gave to one feature; `order` counts the items as they were decoded."""

    item: Item | TextItem
    feature: str
    outcome: ItemRows | InputFault
    order: int


class _Entry:
    """The units of one item on their way through one extractor."""

    def __init__(self, item: Item, units: Clips, order: int) -> None:
        self.item = item
        self.order = order
        self.times = units.times
        self.pixels: np.ndarray | None = units.pixels
        self.left = len(units.pixels)
        self.outputs: dict[str, np.ndarray] = {}
        self.lock = threading.Lock()

    def put(self, unit: int, outputs: Mapping[str, np.ndarray], row: int) -> bool:
        """Take one unit's outputs from a batch; True when that was the last one."""
        with self.lock:
            if not self.outputs:
                count = len(self.times)
                self.outputs = {n: np.empty((count, *v.shape[1:]), v.dtype) for n, v in outputs.items()}
            for name, values in outputs.items():
                self.outputs[name][unit] = values[row]
            self.left -= 1
            return self.left == 0


class Runner:
    """Runs items through loaded extractors; iterate over `results`.

    Parameters
    ----------
    extractors : mapping of feature name to a loaded VideoExtractor
    batch_units : mapping of feature name to the units of every batch
    forwards, decoders : int
        Threads of each kind.
    read : callable
        The decoder, `clips.read` but in tests.
    """

    def __init__(
        self,
        extractors: Mapping[str, VideoExtractor],
        batch_units: Mapping[str, int],
        forwards: int,
        decoders: int,
        read: Reader = clips.read,
    ) -> None:
        self._extractors = extractors
        self._batch_units = batch_units
        self._read = read
        if forwards < 1 or decoders < 1:
            raise ValueError(f"A run needs threads of both kinds, got {forwards} forwards and {decoders} decoders.")
        self._forwards = forwards
        self._decoders = decoders
        self._decoded: queue.Queue[tuple[Item, dict[str, Clips | InputFault], int] | None] = queue.Queue(
            min(max(forwards, decoders), _WAITING)
        )
        self._results: queue.Queue[Result | BaseException | None] = queue.Queue()
        self._pool: dict[str, deque[tuple[_Entry, int]]] = {name: deque() for name in extractors}
        self._pool_lock = threading.Lock()
        self._input_lock = threading.Lock()
        self._stop = threading.Event()
        self._decoding = decoders
        self._order = 0
        self._forwarding = forwards
        self.decoded = 0  #: videos decoded so far, each once whatever the number of features

    def results(self, items: Iterable[Item], tick_s: float = 1.0) -> Generator[Result | None, None, None]:
        """Results in the order they are ready; None every `tick_s` seconds without one. Closing it stops the threads.

        Raises
        ------
        Whatever a thread met that is no fault of an item (out of memory, no codec, a defect of ours).
        """
        source = iter(items)
        threads = [threading.Thread(target=self._guard, args=(self._decode, source)) for _ in range(self._decoders)]
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
        """Make room for decoders that wait at the queue of a stopped run, and wake forwards that wait for them."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._decoded.get_nowait()
        with contextlib.suppress(queue.Full):
            self._decoded.put_nowait(None)

    # -- decoding -----------------------------------------------------------------------------------------------------

    def _decode(self, source: Iterator[Item]) -> None:
        while not self._stop.is_set():
            with self._input_lock:
                item = next(source, None)
                order = self._order = self._order + 1
            if item is None:
                break
            self._decoded.put((item, self._read_any(item), order))
        with self._input_lock:
            self._decoding -= 1
            if self._decoding == 0:
                self._decoded.put(None)

    def _read_any(self, item: Item) -> dict[str, Clips | InputFault]:
        """Decode once for all features."""
        views = {name: self._extractors[name].view for name in item.features}

        def read(uri: str) -> dict[str, Clips | InputFault]:
            with self._input_lock:
                self.decoded += 1
            return self._read(uri, views, item.key, item.span_s)

        found = at_first_place(item, read)
        return dict.fromkeys(views, found) if isinstance(found, InputFault) else found

    # -- forward ------------------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)
        while not self._stop.is_set() and (batch := self._next_batch()):
            name, members = batch
            extractor = self._extractors[name]
            units = np.empty((self._batch_units[name], *_unit(members[0]).shape), np.uint8)
            for row, member in enumerate(members):
                units[row] = _unit(member)
            units[len(members) :] = units[0]  # a constant shape: the last batch is filled up and the filling dropped
            outputs = extractor(units)
            for row, (entry, unit) in enumerate(members):
                if entry.put(unit, outputs, row):
                    entry.pixels = None
                    self._results.put(Result(entry.item, name, _rows(extractor, entry), entry.order))
        with self._pool_lock:
            self._forwarding -= 1
            if self._forwarding == 0 and not self._stop.is_set():
                self._results.put(None)

    def _next_batch(self) -> tuple[str, list[tuple[_Entry, int]]] | None:
        """A full batch, or when the input has ended what is left of one; None at the end."""
        with self._pool_lock:
            while not self._stop.is_set():
                for name, waiting in self._pool.items():
                    if len(waiting) >= self._batch_units[name]:
                        return name, [waiting.popleft() for _ in range(self._batch_units[name])]
                arrived = self._decoded.get()
                if arrived is None:
                    self._decoded.put(None)  # for the other threads
                    break
                self._admit(*arrived)
            for name, waiting in self._pool.items():
                if waiting and not self._stop.is_set():
                    rest = list(waiting)[: self._batch_units[name]]
                    for _ in rest:
                        waiting.popleft()
                    return name, rest
        return None

    def _admit(self, item: Item, views: Mapping[str, Clips | InputFault], order: int) -> None:
        for name, units in views.items():
            if isinstance(units, InputFault):
                self._results.put(Result(item, name, units, order))
                continue
            entry = _Entry(item, units, order)
            self._pool[name].extend((entry, unit) for unit in range(len(units.pixels)))


def at_first_place(item: Item, read: Callable[[str], _Read]) -> _Read | InputFault:
    """What reading gives at the first place that can be reached: twins stand in for each other."""
    fault: InputFault = Unreachable("it lies nowhere")
    for uri, stat in item.places:
        try:
            _refuse_changed(uri, stat)
            found = read(uri)
            _refuse_changed(uri, stat)
            return found
        except Unreachable as error:
            fault = error
        except InputFault as error:
            return error
    return fault


def _refuse_changed(uri: str, stat: Stat | None) -> None:
    """Rows belong to the bytes the key was taken of; other bytes in their place would be kept under a wrong key."""
    if stat is None:
        return
    try:
        now = stat_of(uri)
    except FileNotFoundError as error:
        raise Unreachable("the file is not there (any more)") from error
    except OSError as error:
        raise Unreachable(f"the file cannot be reached: {error.strerror or error}") from error
    if now != stat:
        raise Unreachable("its size or time changed since it was indexed; index the data set again")


def _unit(member: tuple[_Entry, int]) -> np.ndarray:
    entry, unit = member
    assert entry.pixels is not None
    return entry.pixels[unit]  # type: ignore[no-any-return]


def _rows(extractor: VideoExtractor, entry: _Entry) -> ItemRows | InputFault:
    rows = extractor.rows(entry.outputs)
    for name, values in rows.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return NotFinite(f"output {name} holds NaN or infinity")
    count = len(next(iter(rows.values())))
    return ItemRows(entry.item.key, rows, row_times(entry.times, count))


def row_times(units: np.ndarray, rows: int) -> np.ndarray:
    """(rows, 2) float32 seconds: the times of an item's rows from the (n, 2) times of its units.

    As many rows a unit: each stands for an equal part of its unit. Any other number: each stands for the whole item.
    """
    if rows % len(units):
        return np.tile([units[:, 0].min(), units[:, 1].max()], (rows, 1)).astype(np.float32)
    edges = np.linspace(units[:, 0], units[:, 1], rows // len(units) + 1, axis=1)
    return np.stack([edges[:, :-1].ravel(), edges[:, 1:].ravel()], 1).astype(np.float32)
