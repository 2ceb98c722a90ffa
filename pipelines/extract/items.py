"""The items of a data set, by kind: what there is, and what a worker needs of those that are missing.

    video   the manifest of the data set; an item carries every place its content lies in
    pose    the same, of sequences of poses
    text    the texts of the set; an item carries the text itself
    caption the texts of the captions that stand for a data set's videos

A kind of item is three functions: its rows for the plan, the rows that are missing as a table that can travel, and the
items of such a table.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig
from pipelines.index.files import Stat
from stores.captions import Captions
from stores.keys import key_array
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import KINDS, Texts

_PLACES = pa.list_(pa.struct([("uri", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())]))
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

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """What there is of the data set; NotInStore where there is none of that name."""

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """Rows of these numbers with their column `key` and all that `items` needs."""

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[Any]:
        """The items of rows of `missing`, each with those of the named boolean columns that are true."""


@dataclasses.dataclass(frozen=True)
class Manifested:
    """Videos or pose sequences of a manifest, as `kind` says."""

    kind: str

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`; UsageError where the data set has nothing of the kind."""
        table = Manifest(root).read(config.dataset, ["key", "seen_ns", "kind"])
        numbers = np.flatnonzero(pc.equal(table["kind"], self.kind))
        if not len(numbers) and table.num_rows:
            raise UsageError(_nothing_to_read(self.kind, table["kind"].unique().to_pylist(), config))
        table = table.take(numbers) if len(numbers) < table.num_rows else table
        return Rows(key_array(table["key"]), numbers, table["seen_ns"])

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with all places of each content."""
        if not len(numbers):
            return Manifest(root).read(config.dataset, ["key"]).slice(0, 0)
        columns = ["key", "uri", "size_bytes", "mtime_ns", "start_s", "end_s", "video_id"]
        manifest = Manifest(root).read(config.dataset, columns)
        table = manifest.take(pa.array(numbers))
        places: dict[bytes, list[dict[str, Any]]] = {key: [] for key in table["key"].to_pylist()}
        for batch in manifest.select(["key", "uri", "size_bytes", "mtime_ns"]).to_batches():
            for place in batch.to_pylist():
                key = place.pop("key")
                if key in places and place not in places[key]:
                    places[key].append(place)
        table = table.select(["key", "start_s", "end_s", "video_id"])
        return table.append_column("places", pa.array(list(places.values()), _PLACES))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[Item]:
        """As `Source.items`; memory holds one batch of rows."""
        for row in _rows_of(missing):
            span = None if row["start_s"] is None else (row["start_s"], row["end_s"])
            places = tuple((p["uri"], (p["size_bytes"], p["mtime_ns"])) for p in row["places"])
            yield Item(row["key"], places, span, row["video_id"], _lacking(row, names))


def _nothing_to_read(kind: str, there: Sequence[str], config: ExtractConfig) -> str:
    """What is said where a data set has nothing of the kind that its features are made from."""
    has = " and ".join({"feature": "features", "caption_group": "captions"}.get(name, f"{name}s") for name in there)
    mend = "PATH --kind poses" if kind == "pose" else "FOLDER"
    return (
        f"Data set {config.dataset!r} has {has} but no {kind}s, and {', '.join(config.features)} reads {kind}s. "
        f"Index them: `zsar index {mend} --dataset {config.dataset}`."
    )


class SetTexts:
    """Texts of a set, of all kinds of text or of those the configuration names."""

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`; UsageError for a kind of text that there is not."""
        if strange := sorted(set(config.kinds) - set(KINDS)):
            raise UsageError(f"A text is of the kind {', '.join(KINDS)}, got {', '.join(strange)}.")
        table = Texts(root, config.items).read(["key", "time_ns"], config.kinds)
        return Rows(key_array(table["key"]), np.arange(table.num_rows), table["time_ns"])

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with the texts."""
        texts = Texts(root, config.items)
        if not len(numbers):
            return texts.read(["key"], config.kinds).slice(0, 0)
        return texts.read(["key", "text", "source", "line"], config.kinds).take(pa.array(numbers))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[TextItem]:
        """As `Source.items`."""
        for row in _rows_of(missing):
            yield TextItem(row["key"], row["text"], f"{row['source']}:{row['line']}", _lacking(row, names))


class CaptionTexts:
    """Texts of the captions of a data set: each is encoded once, in whatever groups it stands."""

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`."""
        table = Captions(root).read(config.dataset, ["key"])
        seen = int(Manifest(root).read(config.dataset, ["seen_ns"])["seen_ns"].to_numpy().max())
        times = pa.chunked_array([pa.array(np.full(table.num_rows, seen, np.int64))])
        return Rows(key_array(table["key"]), np.arange(table.num_rows), times)

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with the texts."""
        return Captions(root).read(config.dataset, ["key", "text", "source", "line"]).take(pa.array(numbers))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[TextItem]:
        """As `Source.items`."""
        return SOURCES["text"].items(missing, names)


SOURCES: dict[str, Source] = {
    "video": Manifested("video"),
    "pose": Manifested("pose"),
    "text": SetTexts(),
    "caption": CaptionTexts(),
}


def source_of(kind: str, config: ExtractConfig, root: Root) -> str:
    """Which of `SOURCES` extractors of a kind read.

    Raises
    ------
    UsageError
        A set of texts for extractors of videos or poses.
    """
    if kind == "text":
        return "caption" if not config.kinds and Captions(root).exist(config.dataset) else "text"
    if config.set:
        raise UsageError(f"{', '.join(config.features)} reads {kind}s: give --dataset, not --set {config.set}.")
    return kind


def _rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        yield from batch.to_pylist()


def _lacking(row: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if row[name])
