"""Clips from films, decoded when they are wanted; which films are known to be broken; what any source of clips is."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from extractors import clips
from extractors.errors import Corrupt, InputFault, NoDecoder, NotAnImage, NotAVideo, TooLarge, Truncated
from extractors.sampling import View
from pipelines.extract.items import Item
from pipelines.extract.runners.places import at_first_place, unchanged
from pipelines.index.files import Stat
from stores.failures import Failures
from stores.root import Root

#: faults of a video itself, whatever is asked of it; one out of reach may be back
_BROKEN = tuple(each.__name__ for each in (NotAVideo, NotAnImage, TooLarge, NoDecoder, Truncated, Corrupt))


class Source(Protocol):
    """Where clips of some videos come from; it is handed to the processes that read."""

    def read(self, row: int, view: View) -> np.ndarray | InputFault:
        """(T, H, W, 3) uint8 of one of them; of several clips one after the other."""


@dataclasses.dataclass(frozen=True)
class Films:
    """The films themselves."""

    items: Sequence[Item]

    def read(self, row: int, view: View) -> np.ndarray | InputFault:
        """As `Source.read`, from the first place that can be reached."""
        item = self.items[row]

        def read(uri: str, stat: Stat | None) -> np.ndarray | InputFault:
            with unchanged(uri, stat):  # else another film would be learned under this one's label
                found = clips.read(uri, {"": view}, item.key, item.span_s)[""]
            return found if isinstance(found, InputFault) else found.pixels.reshape(-1, *found.pixels.shape[2:])

        return at_first_place(item, read)


def broken_before(root: Root) -> dict[bytes, InputFault]:
    """Faults by key of the videos that could not be decoded before."""
    rows = Failures(root).latest().select(["key", "stage", "error", "message"]).to_pylist()
    return {
        row["key"]: Corrupt(f"it could not be decoded before: {row['message']}")
        for row in rows
        if row["key"] and row["stage"] in ("decode", "finetune") and row["error"] in _BROKEN
    }
