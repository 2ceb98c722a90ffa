"""Reading videos frame by frame: what follows a whole video gives its rows itself.

What a tracker knows of the frame before makes batches and queues of frames pointless: a frame is computed as soon as it
is decoded, one video a reader, and memory holds one frame of each.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from extractors import clips
from extractors.base import Tracker
from extractors.errors import InputFault
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Outcome, checked
from pipelines.extract.runners.places import at_first_place, unchanged
from pipelines.index.files import Stat


class Tracks:
    """Reads videos through loaded trackers.

    Parameters
    ----------
    trackers : mapping of feature name to a loaded Tracker
    """

    chunk = 1

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = trackers
        self._stopped = threading.Event()
        self._counting = threading.Lock()
        self.opened = 0  #: videos opened so far, once for each of the features

    def read(self, items: Sequence[Item]) -> Iterator[dict[str, Outcome]]:
        """As `Reading.read`."""
        for item in items:
            yield {name: self._track(item, self._trackers[name]) for name in item.features}

    def stop(self) -> None:
        """As `Reading.stop`: not at the end of what may be an hour."""
        self._stopped.set()

    def _track(self, item: Item, tracker: Tracker) -> Outcome:
        def read(uri: str, stat: Stat | None) -> Outcome:
            with unchanged(uri, stat):
                with self._counting:
                    self.opened += 1
                times, frames = clips.stream(uri, tracker.wanted, item.span_s)
                rows = tracker(self._until_stopped(frames), times)
            own = times.astype(np.float32) if tracker.row_a_frame else None
            return checked(item.key, rows, own, {each for each, output in tracker.outputs.items() if output.gaps})

        return at_first_place(item, read)

    def _until_stopped(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in frames:
            if self._stopped.is_set():
                raise InputFault("the run was stopped")  # a result that nobody takes
            yield frame
