"""Reading pose sequences: each once, prepared for each of its features as one unit.

Reading takes a hundredth of a forward pass, so one thread does it.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from extractors.base import Extractor, PoseExtractor
from extractors.errors import InputFault
from extractors.poses import Poses
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Outcome, Runner, Units, checked
from pipelines.extract.runners.places import at_first_place
from pipelines.index.files import Stat
from pipelines.index.pose_places import PoseReader


class Reader(Protocol):
    """Who reads a sequence."""

    def read(self, uri: str, key: bytes) -> Poses:
        """The sequence at a place, which must still have this key; InputFault where that cannot be."""


def runner(extractors: Mapping[str, Extractor], device: str, forwards: int, decoders: int) -> Runner:
    """What runs pose sequences through loaded extractors; one thread reads them."""
    poses = {name: each for name, each in extractors.items() if isinstance(each, PoseExtractor)}
    return Runner(poses, PoseSequences(poses, device), forwards, 1)


class PoseSequences:
    """Reads pose sequences; for one thread.

    Parameters
    ----------
    extractors : mapping of feature name to a loaded PoseExtractor
    device : str
    reader : Reader, optional
        Other than from files, in tests.
    """

    chunk = 1

    def __init__(self, extractors: Mapping[str, PoseExtractor], device: str, reader: Reader | None = None) -> None:
        self._extractors = extractors
        self._batch = {name: each.batch_units[device.partition(":")[0]] for name, each in extractors.items()}
        self._reader = reader or PoseReader()
        self.opened = 0  #: sequences read so far, each once whatever the number of features

    def read(self, items: Sequence[Item]) -> Iterator[dict[str, Units | Outcome]]:
        """As `Reading.read`."""
        for item in items:
            poses = at_first_place(item, functools.partial(self._read, item.key))
            yield {name: self._units(item.key, name, poses) for name in item.features}

    def stop(self) -> None:
        """As `Reading.stop`: a sequence is read at once."""

    def _read(self, key: bytes, uri: str, stat: Stat | None) -> Poses:
        self.opened += 1
        return self._reader.read(uri, key)

    def _units(self, key: bytes, name: str, poses: Poses | InputFault) -> Units | Outcome:
        try:
            if isinstance(poses, InputFault):
                raise poses
            unit = self._extractors[name].unit(poses)
        except InputFault as fault:
            return fault
        return Units((unit,), self._batch[name], functools.partial(_rows, key, self._extractors[name]))


def _rows(key: bytes, extractor: PoseExtractor, outputs: dict[str, np.ndarray]) -> Outcome:
    return checked(key, extractor.rows({name: values[0] for name, values in outputs.items()}))
