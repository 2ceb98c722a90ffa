"""Reading videos: each decoded once for all its features, its clips the units of each."""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from extractors import clips
from extractors.base import Extractor, Tracker, VideoExtractor
from extractors.clips import Clips
from extractors.errors import InputFault
from extractors.sampling import View
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Outcome, Runner, Units, checked
from pipelines.extract.runners.places import at_first_place, unchanged
from pipelines.extract.runners.tracks import Tracks
from pipelines.index.files import Stat

Decoder = Callable[[str, Mapping[str, View], bytes, tuple[float, float] | None], dict[str, Clips | InputFault]]


def runner(extractors: Mapping[str, Extractor], device: str, forwards: int, decoders: int) -> Runner:
    """What runs videos through loaded extractors of clips, or through trackers alone."""
    trackers = {name: each for name, each in extractors.items() if isinstance(each, Tracker)}
    if trackers:  # on cores, whatever the device
        return Runner({}, Tracks(trackers), 1, forwards if device == "cpu" else decoders)
    videos = {name: each for name, each in extractors.items() if isinstance(each, VideoExtractor)}
    return Runner(videos, Videos(videos, device), forwards, decoders)


class Videos:
    """Reads videos.

    Parameters
    ----------
    extractors : mapping of feature name to a VideoExtractor
    device : str
    decode : callable
        The decoder, `clips.read` but in tests.
    """

    chunk = 1

    def __init__(self, extractors: Mapping[str, VideoExtractor], device: str, decode: Decoder = clips.read) -> None:
        self._extractors = extractors
        self._batch = {name: each.batch_units[device.partition(":")[0]] for name, each in extractors.items()}
        self._decode = decode
        self._counting = threading.Lock()
        self.opened = 0  #: videos decoded so far, each once whatever the number of features

    def read(self, items: Sequence[Item]) -> Iterator[dict[str, Units | Outcome]]:
        """As `Reading.read`."""
        for item in items:
            views = {name: self._extractors[name].view for name in item.features}
            found = at_first_place(item, functools.partial(self._read, item, views))
            if isinstance(found, InputFault):
                yield dict.fromkeys(views, found)
            else:
                yield {name: self._units(item, name, own) for name, own in found.items()}

    def stop(self) -> None:
        """As `Reading.stop`: a video is decoded to its end."""

    def _read(
        self, item: Item, views: Mapping[str, View], uri: str, stat: Stat | None
    ) -> dict[str, Clips | InputFault]:
        with unchanged(uri, stat):
            with self._counting:
                self.opened += 1
            return self._decode(uri, views, item.key, item.span_s)

    def _units(self, item: Item, name: str, found: Clips | InputFault) -> Units | Outcome:
        if isinstance(found, InputFault):
            return found
        rows = functools.partial(_rows, item.key, self._extractors[name], found.times)
        return Units(found.pixels, self._batch[name], rows)


def _rows(key: bytes, extractor: VideoExtractor, times: np.ndarray, outputs: dict[str, np.ndarray]) -> Outcome:
    rows = extractor.rows(outputs)
    return checked(key, rows, row_times(times, len(next(iter(rows.values())))))


def row_times(units: np.ndarray, rows: int) -> np.ndarray:
    """(rows, 2) float32 seconds: the times of an item's rows from the (n, 2) times of its units.

    As many rows a unit: each stands for an equal part of its unit. Any other number: each stands for the whole item.
    """
    if rows % len(units):
        return np.tile([units[:, 0].min(), units[:, 1].max()], (rows, 1)).astype(np.float32)
    edges = np.linspace(units[:, 0], units[:, 1], rows // len(units) + 1, axis=1)
    return np.stack([edges[:, :-1].ravel(), edges[:, 1:].ravel()], 1).astype(np.float32)
