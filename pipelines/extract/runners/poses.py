"""Pose sequences in, rows out: read one after another, full batches to forward threads. Knows nothing of the store.

    items ─read once, prepared for each feature─▶ pools by feature ─full batches─▶ forwards ─▶ results

Reading takes a hundredth of a forward pass, so one thread does it. A batch always has the shape its extractor names, so
that neither batch mates nor order change a row; what does not fill a batch waits for the end.
"""

from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from extractors.base import PoseExtractor
from extractors.errors import InputFault, Unreachable
from extractors.poses import Poses
from pipelines.extract.items import Item
from pipelines.extract.runners.base import checked, in_threads
from pipelines.extract.runners.videos import Result
from pipelines.index.pose_places import PoseReader


class Reader(Protocol):
    """Who reads a sequence."""

    def read(self, uri: str, key: bytes) -> Poses:
        """The sequence at a place, which must still have this key; InputFault where that cannot be."""


class _Entry(NamedTuple):
    """One sequence on its way through one extractor."""

    item: Item
    unit: np.ndarray
    order: int


class PoseRunner:
    """Runs sequences through loaded extractors; iterate over `results`.

    Parameters
    ----------
    extractors : mapping of feature name to a loaded PoseExtractor
    batch_units : mapping of feature name to the sequences of every batch
    forwards : int
        Forward threads, of one core each on a CPU.
    reader : Reader, optional
        Other than from files, in tests.
    """

    def __init__(
        self,
        extractors: Mapping[str, PoseExtractor],
        batch_units: Mapping[str, int],
        forwards: int,
        reader: Reader | None = None,
    ) -> None:
        self._extractors = extractors
        self._batch_units = batch_units
        self._forwards = forwards
        self._reader = reader or PoseReader()
        self._pools: dict[str, list[_Entry]] = {name: [] for name in extractors}
        self.decoded = 0  #: sequences read so far, each once whatever the number of features

    def results(self, items: Iterable[Item], tick_s: float = 1.0) -> Generator[Result | None, None, None]:
        """Results in the order they are ready; None every `tick_s` seconds without one."""
        yield from in_threads(self._batches(items), self._forward, self._forwards, tick_s)

    def _batches(self, items: Iterable[Item]) -> Generator[Result | tuple[str, list[_Entry]], None, None]:
        """Full batches as they fill, then what is left; and the sequences that cannot be used."""
        for order, item in enumerate(items):
            poses = self._read(item)
            for name in item.features:
                try:
                    if isinstance(poses, InputFault):
                        raise poses
                    unit = self._extractors[name].unit(poses)
                except InputFault as fault:
                    yield Result(item, name, fault, order)
                    continue
                pool = self._pools[name]
                pool.append(_Entry(item, unit, order))
                if len(pool) == self._batch_units[name]:
                    self._pools[name] = []
                    yield name, pool
        for name, left in self._pools.items():
            if left:
                self._pools[name] = []
                yield name, left

    def _read(self, item: Item) -> Poses | InputFault:
        """The sequence, from the first place that can be reached: twins stand in for each other."""
        fault: InputFault = Unreachable("it lies nowhere")
        for uri, _ in item.places:
            self.decoded += 1
            try:
                return self._reader.read(uri, item.key)
            except Unreachable as error:
                fault = error
            except InputFault as error:
                return error
        return fault

    def _forward(self, name: str, members: list[_Entry]) -> list[Result]:
        extractor = self._extractors[name]
        units = np.empty((self._batch_units[name], *members[0].unit.shape), np.float32)
        for row, member in enumerate(members):
            units[row] = member.unit
        units[len(members) :] = units[0]  # a constant shape: the filling is dropped
        outputs = extractor(units)
        found = []
        for row, member in enumerate(members):
            own = extractor.rows({output: values[row] for output, values in outputs.items()})
            found.append(Result(member.item, name, checked(member.item.key, own), member.order))
        return found
