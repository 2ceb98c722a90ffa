"""What exists: one Parquet table a data set, one row a video (or pose sequence, text, caption group).

    dataset, video_id, kind, uri, key, label, split, start_s, end_s, size_bytes, mtime_ns, seen_ns

`key` is the content key (32 bytes): of the file, or of a span of it where `start_s` and `end_s` are set. `seen_ns` is
when the file was last found in its place. Rows of files that are gone stay: their features are still good. A `feature`
is a video of which there are features and no file; its key is of its name.
"""

import pyarrow as pa

from stores.errors import NotInStore
from stores.keys import KEY_BYTES
from stores.root import Root

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("video_id", pa.string()),
        ("kind", pa.string()),
        ("uri", pa.string()),
        ("key", pa.binary(KEY_BYTES)),
        ("label", pa.string()),
        ("split", pa.string()),
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
        """Names of the data sets that have been indexed, sorted."""
        return [name.removesuffix(".parquet") for name in self._root.names_in(_FOLDER) if name.endswith(".parquet")]

    def read(self, dataset: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of one data set in manifest order (by video_id).

        Raises
        ------
        NotInStore
            The data set was never indexed; the message lists those that were.
        """
        if dataset not in self.datasets():
            known = ", ".join(self.datasets()) or "none yet"
            raise NotInStore(
                f"No data set is called {dataset!r} in {self._root.url}; indexed: {known}. "
                f"Run `zsar index PATH --dataset {dataset}` first."
            )
        return self._root.read_table(_FOLDER, f"{dataset}.parquet", columns=columns)

    def rows(self, dataset: str) -> pa.Table:
        """The rows of one data set, as `read`; none of one that was never indexed."""
        return self.read(dataset) if dataset in self.datasets() else SCHEMA.empty_table()

    def write(self, dataset: str, table: pa.Table) -> None:
        """Replace the rows of one data set at once, sorted by (video_id, start_s)."""
        table = table.cast(SCHEMA).sort_by([("video_id", "ascending"), ("start_s", "ascending")])
        self._root.write_table(table, _FOLDER, f"{dataset}.parquet")
