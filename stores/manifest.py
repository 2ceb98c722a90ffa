"""What exists: one Parquet table a data set, one row a video (or pose sequence, text, caption group).

    dataset, video_id, kind, uri, key, label, split, recording, start_s, end_s, size_bytes, mtime_ns, seen_ns

`key` is the content key (32 bytes): of the file, or of a span of it where `start_s` and `end_s` are set. `seen_ns` is
when the file was last found in its place. Rows of files that are gone stay: their features are still good. A `feature`
is a video of which there are features and no file; its key is of its name. `recording` is the film or performance an
item was cut from, where its layout tells. Manifests of before have it at the end of `split` (`train,recording=NAME`),
as whoever indexes still says it; it is read from there, and stands in its own column once the data set is written anew.
"""

import pyarrow as pa
import pyarrow.compute as pc

from stores.errors import Ambiguous, NotInStore
from stores.keys import KEY_BYTES
from stores.root import Root
from stores.selections import Selections
from untrusted.names import few

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("video_id", pa.string()),
        ("kind", pa.string()),
        ("uri", pa.string()),
        ("key", pa.binary(KEY_BYTES)),
        ("label", pa.string()),
        ("split", pa.string()),
        ("recording", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("seen_ns", pa.int64()),
    ]
)

_FOLDER = "manifest"


class Manifest:
    """The manifests of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def datasets(self) -> list[str]:
        """Names of the data sets that have been indexed, sorted; selections of theirs are none."""
        return [name.removesuffix(".parquet") for name in self._root.names_in(_FOLDER) if name.endswith(".parquet")]

    def everywhere(self) -> list[str]:
        """The same, and each version of each selection: wherever an item may stand."""
        held = Selections(self._root)
        return [*self.datasets(), *(f"{name}@{number}" for name in held.names() for number in held.versions(name))]

    def find(self, dataset: str) -> str:
        """The name, of a data set that was indexed or of a selection; NotInStore for another, with those there are."""
        if dataset not in self.datasets() and not Selections(self._root).find(dataset):
            known = few([*self.datasets(), *Selections(self._root).names()], like=dataset) or "none yet"
            raise NotInStore(
                f"No data set is called {dataset!r} in {self._root.url}; indexed: {known}. "
                f"Run `zsar index PATH --dataset {dataset}` first."
            )
        return dataset

    def read(self, dataset: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of one data set in manifest order (by video_id), or of a selection, NAME or NAME@VERSION.

        Raises
        ------
        NotInStore
            The data set was never indexed; the message lists those that were.
        """
        if self.find(dataset) not in self.datasets() and (found := Selections(self._root).find(dataset)):
            return Selections(self._root).read(*found, SCHEMA.names if columns is None else columns)
        wanted = columns
        if columns is not None and {"split", "recording"} & set(columns):
            wanted = list(dict.fromkeys((*columns, "split", "recording")))
        table = self._root.read_table(_FOLDER, f"{dataset}.parquet", columns=wanted)
        table = _told_apart(table) if "split" in table.schema.names else table
        return table.select(SCHEMA.names if columns is None else columns)

    def rows(self, dataset: str) -> pa.Table:
        """The rows of one data set, as `read`; none of one that was never indexed."""
        return self.read(dataset) if self._root.exists(_FOLDER, f"{dataset}.parquet") else SCHEMA.empty_table()

    def write(self, dataset: str, table: pa.Table) -> None:
        """Replace the rows of one data set at once, sorted by (video_id, start_s); Ambiguous for a selection's name."""
        if Selections(self._root).versions(dataset):
            raise Ambiguous(f"{dataset!r} is a selection of other data sets. Choose another --dataset.")
        table = (
            _told_apart(table)
            .select(SCHEMA.names)
            .cast(SCHEMA)
            .sort_by([("video_id", "ascending"), ("start_s", "ascending")])
        )
        self._root.write_table(table, _FOLDER, f"{dataset}.parquet")


_RECORDING = r"(?:^|,)recording=(?P<recording>.*)$"


def _told_apart(table: pa.Table) -> pa.Table:
    """A manifest whose recordings stand in their own column and not in `split`; what `split` says of one counts."""
    if "recording" not in table.schema.names:
        table = table.append_column("recording", pa.nulls(table.num_rows, pa.string()))
    split = table["split"].cast(pa.string())
    if not pc.any(pc.match_substring(split, "recording=")).as_py():
        return table
    own = pc.struct_field(pc.extract_regex(split, _RECORDING), "recording")
    rest = pc.replace_substring_regex(split, _RECORDING, "")
    rest = pc.if_else(pc.equal(rest, ""), pa.scalar(None, pa.string()), rest)
    for name, values in (("split", rest), ("recording", pc.coalesce(own, table["recording"]))):
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table
