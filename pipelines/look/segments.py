"""The rows of a feature set with what they are of: video, label, split, and from when to when.

Takes  a feature set, the manifests of a root
Gives  `Segments`: which stored row is which segment of which video; nothing of the features themselves is read

One stored row may stand for several videos: twins, whose files have the same bytes, and a caption that several videos
have. A row that stands for none (the text of a class, beside captions) is in no segment.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.extract.caption_rows import caption_rows, kind_of
from pipelines.index.released import of_one_name
from stores import sql
from stores.captions import Captions
from stores.features import FeatureSet, positions
from stores.keys import key_array
from stores.manifest import Manifest
from stores.ragged import rows_of
from stores.root import Root

_OF_ITEMS = ("dataset", "video_id", "kind", "uri", "key", "label", "split", "recording", "start_s", "end_s")
#: of a table of segments; `text` comes with those of captions
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "video_id", "label", "split")),
        ("segment", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.string()),
        ("uri", pa.string()),
        ("key", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Segments:
    """The segments of some data sets that a feature set has rows of, by data set, in the order of the manifests.

    Attributes
    ----------
    feature_set : FeatureSet
    snapshot : of the feature set, as it was read
    items : table of videos: dataset, video_id, kind, uri, key, label, split, recording, start_s, end_s
    item : (n,) int64, the row of `items` of each segment
    number : (n,) int32, of the segment in its video; of captions their place
    row : (n,) int64, the stored row
    times : (n, 2) float64 seconds in the file of the video; NaN where the store has none
    root : Root
    read : what was read of captions, shared by all that are taken of these
    """

    feature_set: FeatureSet
    snapshot: str
    items: pa.Table
    item: np.ndarray
    number: np.ndarray
    row: np.ndarray
    times: np.ndarray
    root: Root
    read: list[tuple[pa.ChunkedArray, np.ndarray]] = dataclasses.field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.item)

    @property
    def of_captions(self) -> bool:
        """Whether captions stand for the videos."""
        return kind_of(self.feature_set) == "caption_group"

    def take(self, chosen: np.ndarray) -> "Segments":
        """Some of them, by their numbers or as a mask."""
        parts = (self.item[chosen], self.number[chosen], self.row[chosen], self.times[chosen])
        return Segments(self.feature_set, self.snapshot, self.items, *parts, self.root, self.read)

    def table(self, columns: Sequence[str] = tuple(SCHEMA.names)) -> pa.Table:
        """A row a segment, with these columns of SCHEMA."""
        found: dict[str, pa.Array | pa.ChunkedArray] = {}
        for name in columns:
            if name == "segment":
                found[name] = pa.array(self.number, pa.int32())
            elif name in ("start_s", "end_s"):
                found[name] = pa.array(self.times[:, int(name == "end_s")], from_pandas=True)  # NaN is null
            elif name == "text":
                found[name] = self._texts()
            elif name == "key":
                found[name] = hexadecimal(key_array(self.items["key"])).take(pa.array(self.item))
            else:
                found[name] = self.items[name].take(pa.array(self.item))
        return pa.table(found, schema=pa.schema([SCHEMA.field(name) for name in columns]))

    def hold(self, condition: str) -> np.ndarray:
        """(n,) bool: which a condition in SQL holds for, such as `label = 'archery' and start_s < 10`.

        Raises
        ------
        BadQuery
            It is no condition over the columns of SCHEMA.
        """
        sql.refuse_no_condition(condition)
        query = f"select number from segments where ({condition}\n)"
        wanted = [name for name in SCHEMA.names if sql.named(query).reads(name)]
        own = self.table(wanted)
        numbers = pa.array(np.arange(len(self)), pa.int64())
        table = pa.table({"number": numbers} | dict(zip(own.column_names, own.columns, strict=True)))
        hint = f"A segment has: {', '.join(SCHEMA.names)}."
        held = np.zeros(len(self), bool)
        held[sql.ask(query, {"segments": table}, hint)["number"].to_numpy()] = True
        return held

    def of(self, dataset: str) -> np.ndarray:
        """(n,) bool: which are of a data set."""
        return np.asarray(np.asarray(pc.equal(self.items["dataset"], dataset))[self.item])

    def _texts(self) -> pa.Array | pa.ChunkedArray:
        """What each caption says; null for segments of anything else."""
        if not self.of_captions:
            return pa.nulls(len(self), pa.string())
        if not self.read:
            self.read.append(self._captions())
        said, at = self.read[0]
        found = at[self.row]
        return said.take(pa.array(found, pa.int64(), mask=found < 0))

    def _captions(self) -> tuple[pa.ChunkedArray, np.ndarray]:
        """Captions, and which of them each stored row has; -1 for none."""
        tables = [Captions(self.root).read(name, ["key", "text"]) for name in pc.unique(self.items["dataset"]).tolist()]
        table = pa.concat_tables(tables)
        offsets = np.asarray(self.feature_set.array("offsets")[:])
        of_item = positions(key_array(table["key"]), self.feature_set.keys()[: len(offsets) - 1])
        return table["text"], np.repeat(of_item, np.diff(offsets))


def segments(feature_set: FeatureSet, root: Root, dataset: str = "") -> Segments:
    """The segments of a data set, or of all data sets, that a feature set has.

    Raises
    ------
    NotInStore
        No such data set.
    UsageError
        The data set has none in this feature set.
    """
    snapshot, stored = feature_set.snapshot, feature_set.keys()
    offsets, times = np.asarray(feature_set.array("offsets")[:]), np.asarray(feature_set.array("times")[:])
    captions = kind_of(feature_set) == "caption_group"
    items, parts, before = [], [], 0
    for name in [dataset] if dataset else Manifest(root).datasets():
        table = _items(name, captions, stored, root)
        if not table.num_rows:
            continue
        keys = key_array(table["key"])
        if captions:
            found = caption_rows(feature_set, keys, name, root)
            owner = np.repeat(np.arange(len(keys)), np.diff(found.offsets))
            place = np.arange(len(owner)) - np.repeat(found.offsets[:-1], np.diff(found.offsets))
            held = positions(stored, found.texts)[found.rows] if len(owner) else np.empty(0, np.int64)
        else:
            held = positions(stored, keys)
            owner = np.flatnonzero(held >= 0)
            held, place = held[owner], np.full(len(owner), -1)
        rows, own = rows_of(offsets, held)
        sizes = np.diff(own)
        owner = np.repeat(owner, sizes)
        number = np.where(np.repeat(place, sizes) < 0, np.arange(len(rows)) - np.repeat(own[:-1], sizes), 0)
        number = np.where(np.repeat(place, sizes) < 0, number, np.repeat(place, sizes))
        parts.append((before + owner, number.astype(np.int32), rows, _in_the_file(times[rows], table, owner)))
        items.append(table)
        before += table.num_rows
    if dataset and not parts:
        raise UsageError(_none(feature_set, dataset, captions, root))
    whole = pa.concat_tables(items) if items else Manifest(root).rows("").select(_OF_ITEMS)
    parts.append((np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), np.empty((0, 2))))
    item, number_in, row, seconds = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Segments(feature_set, snapshot, whole, item, number_in, row, seconds, root)


def hexadecimal(keys: np.ndarray) -> pa.Array:
    """Keys (n, 32) uint8 as strings of 64 digits."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.stack([digits[keys >> 4], digits[keys & 15]], 2).tobytes()
    ends = np.arange(len(keys) + 1, dtype=np.int64) * 2 * keys.shape[1]
    whole = pa.LargeStringArray.from_buffers(len(keys), pa.py_buffer(ends.tobytes()), pa.py_buffer(text))
    return whole.cast(pa.string()) if len(text) < 1 << 31 else whole


def _items(dataset: str, captions: bool, stored: np.ndarray, root: Root) -> pa.Table:
    """The videos of a data set that a feature set may have rows of."""
    table = Manifest(root).read(dataset, list(_OF_ITEMS))
    of_captions = pc.equal(table["kind"], "caption_group")
    table = table.filter(of_captions if captions else pc.invert(of_captions))
    return table if captions else of_one_name(table, stored)


def _in_the_file(times: np.ndarray, table: pa.Table, owner: np.ndarray) -> np.ndarray:
    """(n, 2) seconds in the file: stored times begin with the item, which may be a span of its file."""
    span = np.stack([table[name].to_numpy() for name in ("start_s", "end_s")], 1).astype(np.float64)[owner]
    shifted = times.astype(np.float64) + np.nan_to_num(span[:, :1])
    return np.asarray(np.round(np.where(np.isnan(shifted), span, shifted), 6))  # stored as float32


def _none(feature_set: FeatureSet, dataset: str, captions: bool, root: Root) -> str:
    made = feature_set.name.partition("@")[0]
    mend = "Index a file of features that has them" if made == "imported" else f"Run `zsar extract {made}"
    kinds = sorted(pc.unique(Manifest(root).read(dataset, ["kind"])["kind"]).to_pylist())
    what = "captions" if captions else "items"
    told = f" --dataset {dataset}`" if made != "imported" else ""
    return f"{feature_set.name} has no {what} of {dataset!r} (which has: {', '.join(kinds)}). {mend}{told}."
