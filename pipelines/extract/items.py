"""The items of a data set, by kind: what there is, and what a worker needs of those that are missing.

    video, pose    the manifest of the data set; an item carries every place its content lies in
    text           the texts of the set; an item carries the text itself
    caption_group  the texts of the captions that stand for a data set's videos

The source of a kind (`pipelines.kinds`) gives its rows for the plan, the rows that are missing as a table that can
travel, the items of such a table, and the items of some content keys wherever they are.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extractors import joints
from extractors.base import Extractor
from extractors.errors import ExtractorError
from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig
from pipelines.index.files import Stat
from pipelines.index.pose_places import Place
from pipelines.kinds import KINDS, part, read_by
from stores.captions import Captions
from stores.keys import KEY_BYTES, key_array
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import KINDS as TEXT_KINDS
from stores.texts import Texts

_PLACES = pa.list_(pa.struct([("uri", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())]))
_OF_TEXTS = ["key", "text", "source", "line"]
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


@dataclasses.dataclass(frozen=True)
class Manifested:
    """Videos or pose sequences of a manifest, as `kind` says."""

    kind: str

    def has(self, config: ExtractConfig, root: Root) -> bool:
        """As `Source.has`: of a data set."""
        return not config.set

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`; UsageError where the data set has nothing of the kind."""
        table = Manifest(root).read(config.dataset, ["key", "seen_ns", "kind"])
        numbers = np.flatnonzero(pc.equal(table["kind"], self.kind))
        if not len(numbers) and table.num_rows:
            raise UsageError(_nothing_to_read(self.kind, table["kind"].unique().to_pylist(), config))
        table = table.take(numbers) if len(numbers) < table.num_rows else table
        return Rows(key_array(table["key"]), numbers, table["seen_ns"])

    def refuse(self, asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
        """As `Source.refuse`: of poses an extractor into whose layout of joints none of them can be put."""
        if self.kind == "pose":
            _refuse_layouts(asked, config, root)

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

    def find(self, keys: set[bytes], root: Root) -> dict[bytes, Item]:
        """As `Source.find`, with all places of each content."""
        found: dict[bytes, Item] = {}
        columns = ["key", "kind", "uri", "size_bytes", "mtime_ns", "start_s", "end_s", "video_id"]
        for row in _of_keys(keys, (Manifest(root).read(each, columns) for each in Manifest(root).datasets())):
            if row["kind"] == self.kind:
                span = None if row["start_s"] is None else (row["start_s"], row["end_s"])
                places = found[row["key"]].places if row["key"] in found else ()
                place = (row["uri"], (row["size_bytes"], row["mtime_ns"]))
                found[row["key"]] = Item(row["key"], (*places, place), span, row["video_id"], ())
        return found


def _nothing_to_read(kind: str, there: Sequence[str], config: ExtractConfig) -> str:
    """What is said where a data set has nothing of the kind that its features are made from."""
    has = " and ".join(KINDS[name].called if name in KINDS else name for name in there)
    called, given = KINDS[kind].called, KINDS[kind].given
    return (
        f"Data set {config.dataset!r} has {has} but no {called}, and {', '.join(config.features)} reads {called}. "
        f"Index them: `zsar index {given} --dataset {config.dataset}`."
    )


def _refuse_layouts(asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
    uris = Manifest(root).read(config.dataset, ["uri", "kind"])
    there = {Place.of(uri).name for uri in uris.filter(pc.equal(uris["kind"], "pose"))["uri"].to_pylist()}
    for extractor in asked:
        target = getattr(extractor, "layout", None)
        if target is None or not there:
            continue
        faults = [fault for name in sorted(there) if (fault := _cannot_become(name, target))]
        if len(faults) == len(there):
            raise ExtractorError(f"No sequence of {config.dataset!r} can be put into {extractor.name}: {faults[0]}")


def _cannot_become(name: str, target: joints.Layout) -> str | None:
    try:
        joints.mapping(joints.layout(name), target)
    except ExtractorError as error:
        return str(error)
    return None


class SetTexts:
    """Texts of a set, of all kinds of text or of those the configuration names."""

    def has(self, config: ExtractConfig, root: Root) -> bool:
        """As `Source.has`: texts that nobody has stand for no data set."""
        return True

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`; UsageError for a kind of text that there is not."""
        if strange := sorted(set(config.kinds) - set(TEXT_KINDS)):
            raise UsageError(f"A text is of the kind {', '.join(TEXT_KINDS)}, got {', '.join(strange)}.")
        table = Texts(root, config.items).read(["key", "time_ns"], config.kinds)
        return Rows(key_array(table["key"]), np.arange(table.num_rows), table["time_ns"])

    def refuse(self, asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
        """As `Source.refuse`: any text can be read."""

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with the texts."""
        texts = Texts(root, config.items)
        if not len(numbers):
            return texts.read(["key"], config.kinds).slice(0, 0)
        return texts.read(_OF_TEXTS, config.kinds).take(pa.array(numbers))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[TextItem]:
        """As `Source.items`."""
        return (_text(row, names) for row in _rows_of(missing))

    def find(self, keys: set[bytes], root: Root) -> dict[bytes, TextItem]:
        """As `Source.find`."""
        tables = (Texts(root, each).read(_OF_TEXTS) for each in Texts.sets(root))
        return {row["key"]: _text(row, ()) for row in _of_keys(keys, tables)}


class CaptionTexts:
    """Texts of the captions of a data set: each is encoded once, in whatever groups it stands."""

    def has(self, config: ExtractConfig, root: Root) -> bool:
        """As `Source.has`: of a data set that has captions, where no kind of text is asked for."""
        return not config.kinds and Captions(root).exist(config.dataset)

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`."""
        table = Captions(root).read(config.dataset, ["key"])
        seen = int(Manifest(root).read(config.dataset, ["seen_ns"])["seen_ns"].to_numpy().max())
        times = pa.chunked_array([pa.array(np.full(table.num_rows, seen, np.int64))])
        return Rows(key_array(table["key"]), np.arange(table.num_rows), times)

    def refuse(self, asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
        """As `Source.refuse`: any text can be read."""

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with the texts."""
        return Captions(root).read(config.dataset, _OF_TEXTS).take(pa.array(numbers))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[TextItem]:
        """As `Source.items`."""
        return (_text(row, names) for row in _rows_of(missing))

    def find(self, keys: set[bytes], root: Root) -> dict[bytes, TextItem]:
        """As `Source.find`."""
        datasets = [each for each in Manifest(root).datasets() if Captions(root).exist(each)]
        tables = (Captions(root).read(each, _OF_TEXTS) for each in datasets)
        return {row["key"]: _text(row, ()) for row in _of_keys(keys, tables)}


VIDEOS, POSES, FEATURES = Manifested("video"), Manifested("pose"), Manifested("feature")
SET_TEXTS, CAPTIONS = SetTexts(), CaptionTexts()


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


def _of_keys(keys: set[bytes], tables: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    wanted = pa.array(sorted(keys), pa.binary(KEY_BYTES))
    for table in tables:
        yield from table.filter(pc.is_in(table["key"], wanted)).to_pylist()


def _text(row: dict[str, Any], names: Sequence[str]) -> TextItem:
    return TextItem(row["key"], row["text"], f"{row['source']}:{row['line']}", _lacking(row, names))


def _rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        yield from batch.to_pylist()


def _lacking(row: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if row[name])
