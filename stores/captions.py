"""The captions of a data set's videos: `captions/DATASET.parquet`, a row a caption, a group a video, in their order.

    group   content key of the group: of its captions' keys, in their order
    place   number of the caption in its group, from 0: the segment of the video it stands for
    key     content key of the text; it is encoded once, whatever videos or classes it stands for
    text, source, line

A group is an item of the data set's manifest (kind `caption_group`); its features are those of its texts.

Captions are gathered in whatever order they come by a database in memory that moves to disk what goes over its limit,
and are written in pieces: a data set of millions of captions is never in memory as a whole.
"""

import contextlib
import hashlib
import itertools
import operator
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from stores.keys import KEY_BYTES
from stores.root import Root

SCHEMA = pa.schema(
    [
        ("group", pa.binary(KEY_BYTES)),
        ("place", pa.int32()),
        ("key", pa.binary(KEY_BYTES)),
        ("text", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
    ]
)
ARRIVING = pa.schema([("video", pa.int64()), *(SCHEMA.field(name) for name in SCHEMA.names[1:])])
_FOLDER = "captions"
_MEMORY = "256MB"
_AT_ONCE = 50_000


class Captions:
    """The captions of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def exist(self, dataset: str) -> bool:
        """Whether the data set has any."""
        return bool(dataset) and self._root.exists(_FOLDER, f"{dataset}.parquet")

    def read(self, dataset: str, columns: list[str] | None = None) -> pa.Table:
        """The captions of a data set, sorted by group and place; none where it has none."""
        if not self.exist(dataset):
            return SCHEMA.empty_table().select(columns or SCHEMA.names)
        return self._root.read_table(_FOLDER, f"{dataset}.parquet", columns=columns)

    @contextlib.contextmanager
    def gathering(self) -> Iterator["Gathering"]:
        """Gather captions in whatever order they come."""
        with tempfile.TemporaryDirectory(prefix="captions-") as folder:
            config: dict[str, Any] = {"memory_limit": _MEMORY, "temp_directory": folder}
            with duckdb.connect(config=config) as connection:
                yield Gathering(connection)

    def write(self, dataset: str, gathered: "Gathering", groups: pa.Array) -> None:
        """Replace the captions of a data set at once.

        Parameters
        ----------
        dataset : str
        gathered : Gathering
            Captions that are new, or stand somewhere else now.
        groups : (videos,) keys
            Of all groups the data set has now; those that were not gathered keep the captions they had.
        """
        gathered.close(groups)
        for rows in self._pieces(dataset):
            gathered.keep(rows)
        new_file = self._root.new_file(_FOLDER, f"{dataset}.parquet")
        with new_file as path, pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            for batch in gathered.rows():
                writer.write_batch(batch)

    def _pieces(self, dataset: str) -> Iterator[pa.Table]:
        if not self.exist(dataset):
            return
        path = self._root.path(_FOLDER, f"{dataset}.parquet")
        with contextlib.ExitStack() as stack:
            source = path if self._root.is_local else stack.enter_context(self._root.fs.open(path, "rb"))
            file = stack.enter_context(pq.ParquetFile(source))
            for number in range(file.num_row_groups):  # `iter_batches` reads far ahead
                yield file.read_row_group(number, use_threads=False)


class Gathering:
    """Captions on their way; of twins, which share a group, those of the video with the lowest number are kept."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._groups: dict[int, bytes] = {}
        for name, schema in (("told", ARRIVING), ("kept", SCHEMA)):
            connection.register("empty", schema.empty_table())
            connection.execute(f"create table {name} as select * from empty")
            connection.unregister("empty")

    def add(self, rows: pa.Table) -> None:
        """Add captions, rows of ARRIVING."""
        self._insert("told", rows)

    def close(self, groups: pa.Array) -> None:
        """Say which groups there shall be; what is kept after this is kept where it is of these, and not told anew."""
        first = {key: number for number, key in reversed(self.groups().items())}
        own = {"video": pa.array(first.values(), pa.int64()), "group": pa.array(first, pa.binary(KEY_BYTES))}
        self._connection.register("own", pa.table(own))
        self._connection.register("wanted", pa.table({"group": groups}))

    def keep(self, rows: pa.Table) -> None:
        """Add captions that the data set had before, rows of SCHEMA."""
        chosen = 'anti join own using ("group") semi join wanted using ("group")'
        self._insert("kept", rows, chosen)

    def groups(self) -> dict[int, bytes]:
        """The key of each video's group, by the videos' numbers; to be asked for when all captions are in."""
        self._groups = self._groups or dict(self._grouped())
        return self._groups

    def _grouped(self) -> Iterator[tuple[int, bytes]]:
        rows = self._connection.execute("select video, key from told order by video, place")
        pairs = (
            pair
            for batch in rows.to_arrow_reader(_AT_ONCE)
            for pair in zip(batch["video"].to_pylist(), batch["key"].to_pylist(), strict=True)
        )
        for video, own in itertools.groupby(pairs, operator.itemgetter(0)):
            yield video, group_key(key for _, key in own)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """All captions, sorted by group and place; rows of SCHEMA."""
        rows = self._connection.execute(
            'select "group", place, key, text, source, line from told join own using (video) '
            'union all select * from kept order by "group", place'
        )
        for batch in rows.to_arrow_reader(_AT_ONCE):
            yield from pa.Table.from_batches([batch]).cast(SCHEMA).to_batches()

    def _insert(self, name: str, rows: pa.Table, chosen: str = "") -> None:
        self._connection.register("arrived", rows)
        self._connection.execute(f"insert into {name} select * from arrived {chosen}")
        self._connection.unregister("arrived")


def group_key(texts: Iterable[bytes]) -> bytes:
    """Content key of a group of texts, from their keys in their order."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES, person=b"caption_group")
    for key in texts:
        digest.update(key)
    return digest.digest()
