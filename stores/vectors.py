"""What of a feature set's rows is compared: an output as it is, or a vector a row that is made of several.

Gives  `Vectors`: rows by a span, to index them, and by their numbers, to look at a few again
"""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from stores.errors import StoreError
from stores.features import FeatureSet
from stores.spans import Spans

_BLOCK_ROWS = 1 << 14


class Vectors(Protocol):
    """A vector a stored row.

    Attributes
    ----------
    name : of the folder of their index, below the set's
    width : D
    """

    @property
    def name(self) -> str:
        """As above."""

    @property
    def width(self) -> int:
        """As above."""

    def ready(self, start: int, stop: int, advance: Callable[[int, int], None]) -> None:
        """Read the newest snapshot from here on, of which rows start to stop are asked for next."""

    def span(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, D) float32."""

    def some(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) float32 of some rows by their numbers (n,)."""


class OutputVectors:
    """One output of a feature set; of a row that has several dimensions all numbers.

    Parameters
    ----------
    feature_set : FeatureSet
    output : str

    Raises
    ------
    StoreError
        The output holds no vectors.
    """

    def __init__(self, feature_set: FeatureSet, output: str = "features") -> None:
        self.name, self._set = output, feature_set
        self._array, self._spans = feature_set.array(output), Spans(feature_set, output)
        self.width = math.prod(self._array.shape[1:])
        if self._array.dtype.kind != "f":
            raise StoreError(
                f"Output {output!r} of {feature_set.name} holds {self._array.dtype}, which is no vector to compare. "
                f"Its outputs are: {', '.join(feature_set.outputs)}."
            )

    def ready(self, start: int, stop: int, advance: Callable[[int, int], None]) -> None:
        """As `Vectors.ready`."""
        self._array = self._set.array(self.name)

    def span(self, start: int, stop: int) -> np.ndarray:
        """As `Vectors.span`."""
        block = np.asarray(self._array[start:stop], np.float32)
        return block.reshape(len(block), self.width)

    def some(self, rows: np.ndarray) -> np.ndarray:
        """As `Vectors.some`."""
        read = self._spans.read([(int(row), int(row) + 1) for row in rows])
        return np.concatenate(read).astype(np.float32).reshape(len(rows), self.width)


def blocks(vectors: Vectors, rows: int, advance: Callable[[int, int], None]) -> Iterator[np.ndarray]:
    """The vectors of rows 0 to `rows`, (n, D) float32 some at a time."""
    vectors.ready(0, rows, advance)
    for at in range(0, rows, _BLOCK_ROWS):
        yield vectors.span(at, min(at + _BLOCK_ROWS, rows))
