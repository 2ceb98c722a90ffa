"""Clips from films, decoded when they are wanted; and what any source of clips is."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from extractors import clips
from extractors.errors import InputFault
from extractors.sampling import View
from pipelines.extract.items import Item
from pipelines.extract.runners.places import at_first_place, unchanged
from pipelines.index.files import Stat


class Source(Protocol):
    """Where clips of some videos come from; it is handed to the processes that read."""

    def read(self, row: int, view: View) -> np.ndarray | InputFault:
        """(T, H, W, 3) uint8 of one of them."""


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
            return found if isinstance(found, InputFault) else found.pixels[0]

        return at_first_place(item, read)
