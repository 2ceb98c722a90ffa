"""Rows of a feature set that are read when they are asked for: what is larger than memory, such as maps.

    (n, m) numbers of rows ─[which]─▶ (k, m, ...) float32, of the chunks that hold them

It is asked as an array is: `shape`, `ndim`, `len`, and rows by their numbers. It holds no values and goes to other
processes as it is. Rows of a snapshot never change and never move, so those of a training are the same throughout.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from stores.features import FeatureSet, FeatureStore
from stores.root import Root

MAPS = "maps"  #: the output of an extractor that stops below layers to be trained


def has_maps(feature_set: FeatureSet) -> bool:
    """Whether its rows are maps, above which layers are trained."""
    return MAPS in feature_set.recipe.get("outputs", {})


@dataclasses.dataclass(frozen=True)
class StoredRows:
    """Rows of one output, m an item.

    Attributes
    ----------
    root : its address
    name : of the feature set, in full
    output : str
    rows : (n, m) int64 numbers of rows, as the set holds them
    """

    root: str
    name: str
    output: str
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, m, ...)."""
        return (*self.rows.shape, *self._array.shape[1:])

    @property
    def ndim(self) -> int:
        """Of `shape`."""
        return len(self.shape)

    @property
    def item_bytes(self) -> int:
        """What an item takes in memory."""
        return int(np.prod(self.shape[1:])) * np.dtype(np.float32).itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> np.ndarray:
        """(k, m, ...) float32 of some items, by number, slice or mask.

        Raises
        ------
        Damaged
            A chunk cannot be read.
        """
        asked = self.rows[which]
        wanted, back = np.unique(asked, return_inverse=True)
        if not len(wanted):
            return np.empty((*asked.shape, *self.shape[2:]), np.float32)
        values = self._set.some(wanted, self.output).astype(np.float32)
        return np.asarray(values[back.reshape(asked.shape)])

    def take(self, which: np.ndarray) -> "StoredRows":
        """These items alone, still unread."""
        return dataclasses.replace(self, rows=self.rows[which])

    def then(self, other: "StoredRows") -> "StoredRows":
        """These items and those of another data set, of the same feature set."""
        return dataclasses.replace(self, rows=np.concatenate([self.rows, other.rows]))

    @functools.cached_property
    def _set(self) -> FeatureSet:
        return FeatureStore(Root(self.root)).find(self.name)

    @functools.cached_property
    def _array(self) -> Any:
        return self._set.array(self.output)

    def __getstate__(self) -> dict[str, Any]:
        """What another process opens anew."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
