"""The items of a data set, by kind: what there is, and what a worker needs of those that are missing.

    video, pose           `manifested.py`    an item carries every place its content lies in
    text, caption_group   `told_texts.py`    an item carries the text itself

The source of a kind (`pipelines.kinds`) gives its rows for the plan, the rows that are missing as a table that can
travel, the items of such a table, and the items of some content keys wherever they are.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extractors.base import Extractor
from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig
from pipelines.index.files import Stat
from pipelines.kinds import KINDS, part, read_by
from stores.keys import KEY_BYTES
from stores.root import Root

_AT_ONCE = 1024


class Rows(NamedTuple):
    """What there is: keys (rows, 32) uint8, the number of each row in its table, and when it was last seen, in ns."""

    keys: np.ndarray
    numbers: np.ndarray
    seen_ns: pa.ChunkedArray


@dataclasses.dataclass(frozen=True)
class Item:
    """One video or pose sequence to extract: its key, every place it lies in, and the features that lack it.

    A place is a URI with the size and time it had when its key was taken; None: not to be checked.
    """

    key: bytes
    places: tuple[tuple[str, Stat | None], ...]
    span_s: tuple[float, float] | None
    video_id: str
    features: tuple[str, ...]

    @property
    def where(self) -> str:
        """Where somebody finds it: the first of its places."""
        return self.places[0][0]

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.video_id


@dataclasses.dataclass(frozen=True)
class TextItem:
    """One text to extract: its key, the text, the file and line it was first read from, the features that lack it."""

    key: bytes
    text: str
    where: str
    features: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.text


class Source(Protocol):
    """Where the items of a kind come from."""

    def has(self, config: ExtractConfig, root: Root) -> bool:
        """Whether what is asked for may be of this kind."""

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """What there is of the data set; NotInStore where there is none of that name."""

    def refuse(self, asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
        """ExtractorError for an extractor that can read none of the items; what some cannot be, fails by item."""

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """Rows of these numbers with their column `key` and all that `items` needs."""

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[Any]:
        """The items of rows of `missing`, each with those of the named boolean columns that are true."""

    def find(self, keys: set[bytes], root: Root) -> dict[bytes, Any]:
        """The items of these content keys, over all data sets and sets; without those that are in none."""


def source(kind: str) -> Source:
    """The source of a kind of items, by its name in `pipelines.kinds`."""
    found: Source = part(KINDS[kind].source)
    return found


def kind_asked(read: str, config: ExtractConfig, root: Root) -> str:
    """Name of the kind of items that is asked for, of those that extractors of the kind `read` read.

    Raises
    ------
    UsageError
        A set of texts for extractors of videos or poses.
    """
    kinds = read_by(read)
    for kind in kinds:
        if source(kind.name).has(config, root):
            return kind.name
    called = kinds[0].called
    raise UsageError(f"{', '.join(config.features)} reads {called}: give --dataset, not --set {config.set}.")


def find(keys: set[bytes], read: str, root: Root) -> dict[bytes, Any]:
    """The items of these content keys that extractors of the kind `read` read, of all kinds where it is empty.

    Parameters
    ----------
    keys : of 32 bytes each
    read : kind of the extractors
    root : Root
    """
    found: dict[bytes, Any] = {}
    for kind in (read_by(read) if read else KINDS.values()) if keys else ():
        found = source(kind.name).find(keys, root) | found
    return found


def of_keys(keys: set[bytes], tables: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    """The rows of some tables that have one of these content keys."""
    wanted = pa.array(sorted(keys), pa.binary(KEY_BYTES))
    for table in tables:
        yield from table.filter(pc.is_in(table["key"], wanted)).to_pylist()


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a table one after another; memory holds one batch of them."""
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        yield from batch.to_pylist()


def lacking(row: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """The features that a row of a plan lacks."""
    return tuple(name for name in names if row[name])
