"""Videos in, rows out, through extractors that follow a whole video: each thread decodes and computes one at a time.

    items ─▶ threads: first place that can be reached ─frames as they are decoded─▶ tracker ─▶ results

What a tracker knows of the frame before makes batches and queues of frames pointless: a frame is computed as soon as it
is decoded, and memory holds one a thread. Knows nothing of the store.
"""

import threading
from collections.abc import Generator, Iterable, Iterator, Mapping

import numpy as np

from extractors import clips
from extractors.base import Tracker
from extractors.errors import InputFault
from pipelines.extract.items import Item
from pipelines.extract.runners.base import checked, in_threads
from pipelines.extract.runners.videos import Result, at_first_place
from stores.features import ItemRows


class TrackRunner:
    """Runs videos through loaded trackers; iterate over `results`.

    Parameters
    ----------
    trackers : mapping of feature name to a loaded Tracker
    threads : int
    """

    def __init__(self, trackers: Mapping[str, Tracker], threads: int) -> None:
        self._trackers = trackers
        self._threads = threads
        self._stop = threading.Event()
        self._counting = threading.Lock()
        self.decoded = 0  #: videos opened so far, once for each of the features

    def results(self, items: Iterable[Item], tick_s: float = 1.0) -> Generator[Result | None, None, None]:
        """Results in the order they are ready; None every `tick_s` seconds without one. Closing it ends them."""
        work = ((item, name, order) for order, item in enumerate(items) for name in item.features)
        yield from in_threads(work, self._track, self._threads, tick_s, self._stop)

    def _track(self, item: Item, name: str, order: int) -> list[Result]:
        tracker = self._trackers[name]

        def read(uri: str) -> ItemRows | InputFault:
            with self._counting:
                self.decoded += 1
            times, frames = clips.stream(uri, tracker.wanted, item.span_s)
            rows = tracker(self._until_stopped(frames))
            return checked(item.key, rows, times, {each for each, output in tracker.outputs.items() if output.gaps})

        return [Result(item, name, at_first_place(item, read), order)]

    def _until_stopped(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in frames:
            if self._stop.is_set():  # not at the end of what may be an hour
                raise InputFault("the run was stopped")  # a result that nobody takes
            yield frame
