"""The texts of a set's classes: append-only Parquet parts, one an `add`, each there whole or not at all.

    texts/SET/TIME-ID.parquet   key, text, kind, class, part, source, line, time_ns

A row says that a text (`key`, of its folded form) stands for a class in a way (`kind`); `part` is what of the class
it tells (head, start, ...), or empty. The same (kind, class, part, key) is kept once. A text has one key whatever it
stands for, so that it is encoded once.
"""

import contextlib
import time
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stores import joins
from stores.errors import NotInStore
from stores.keys import KEY_BYTES, key_array, key_words
from stores.root import Root, checked_name
from untrusted.names import few

KINDS = ("class", "definition", "description", "phrase", "object", "elaboration")
SCHEMA = pa.schema(
    [
        ("key", pa.binary(KEY_BYTES)),
        ("text", pa.string()),
        ("kind", pa.string()),
        ("class", pa.string()),
        ("part", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
        ("time_ns", pa.int64()),
    ]
)
_FOLDER = "texts"
_IDENTITY = ["key", "kind", "class", "part"]


class Texts:
    """The texts of one set.

    Parameters
    ----------
    root : Root
    name : of the set
    """

    def __init__(self, root: Root, name: str) -> None:
        self._root = root
        self.name = checked_name(name)
        self._folder = f"{_FOLDER}/{name}"

    @staticmethod
    def sets(root: Root) -> list[str]:
        """Names of the sets that have texts, sorted."""
        return [name for name in root.names_in(_FOLDER) if Texts(root, name).parts()]

    def parts(self) -> list[str]:
        """Names of the parts, oldest first."""
        return [part for part in self._root.names_in(self._folder) if part.endswith(".parquet")]

    def read(self, columns: list[str] | None = None, kinds: tuple[str, ...] = ()) -> pa.Table:
        """The rows of the set in the order they were added, of these kinds only where any are named.

        Raises
        ------
        NotInStore
            The set has no texts; the message lists those that have.
        """
        if not (parts := self.parts()):
            raise NotInStore(
                f"No set of texts is called {self.name!r} in {self._root.url}; there are: "
                f"{few(self.sets(self._root), like=self.name) or 'none yet'}. "
                f"Run `zsar texts add FILE --kind description --set {self.name}` first."
            )
        return pa.concat_tables(self._tables(parts, columns, kinds))

    def tables(self, columns: list[str], kinds: tuple[str, ...] = ()) -> Iterator[pa.Table]:
        """The same rows part by part, for what need not hold all of them."""
        return self._tables(self.parts(), columns, kinds)

    def _tables(self, parts: list[str], columns: list[str] | None, kinds: tuple[str, ...]) -> Iterator[pa.Table]:
        wanted = None if columns is None else list(dict.fromkeys([*columns, *(["kind"] if kinds else [])]))
        for part in parts:
            table = self._root.read_table(self._folder, part, columns=wanted)
            if kinds:
                table = table.filter(pc.is_in(table["kind"], pa.array(kinds)))
            yield table if columns is None else table.select(columns)

    @contextlib.contextmanager
    def adding(self) -> Iterator["Adding"]:
        """Add rows in as many batches as come, as one part that appears when all are in; after an error, none does."""
        now = time.time_ns()
        known = self.read(_IDENTITY) if self.parts() else SCHEMA.empty_table().select(_IDENTITY)
        with joins.in_memory() as connection, contextlib.ExitStack() as stack:
            adding = Adding(connection, known, now)
            name = f"{now:020d}-{uuid.uuid4().hex[:8]}.parquet"
            path = stack.enter_context(_unless_empty(self._root, (self._folder, name), adding))
            with pq.ParquetWriter(path, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
                adding.writer = writer
                yield adding


class Adding:
    """An addition under way.

    Attributes
    ----------
    new, duplicate : rows that were added, and rows that were there (or came twice)
    texts : of the new rows, texts that no row of the set had yet
    """

    writer: pq.ParquetWriter

    def __init__(self, connection: joins.Connection, known: pa.Table, now: int) -> None:
        self._connection = connection
        self._now = now
        self.new = self.duplicate = self.texts = 0
        connection.register("known", _identities(known))
        connection.execute("create table there as select distinct * from known")
        connection.unregister("known")

    def rows(self, table: pa.Table) -> list[str]:
        """Add the rows (all columns of SCHEMA but `time_ns`) that are not there yet; returns the classes of these."""
        arrived = _identities(table).append_column("row", pa.array(range(table.num_rows), pa.int64()))
        self._connection.register("arrived", arrived)
        fresh = self._connection.sql(
            "select a, b, kind, class, part, min(row) as row from arrived "
            "anti join there using (a, b, kind, class, part) group by a, b, kind, class, part"
        ).to_arrow_table()
        self._connection.register("fresh", fresh)
        self.texts += self._connection.sql(
            "select count(*) from (select distinct a, b from fresh anti join there using (a, b))"
        ).fetchall()[0][0]
        self._connection.execute("insert into there select a, b, kind, class, part from fresh")
        rows = table.take(fresh["row"].combine_chunks().sort())
        self.new += rows.num_rows
        self.duplicate += table.num_rows - rows.num_rows
        if rows.num_rows:
            times = pa.array([self._now] * rows.num_rows, pa.int64())
            self.writer.write_table(rows.append_column("time_ns", times).select(SCHEMA.names).cast(SCHEMA))
        classes: list[str] = rows["class"].unique().to_pylist()
        return classes


@contextlib.contextmanager
def _unless_empty(root: Root, parts: tuple[str, ...], adding: Adding) -> Iterator[str]:
    """A new file of the root that is given up where nothing was added."""
    with contextlib.suppress(_Nothing), root.new_file(*parts) as path:
        yield str(path)
        if not adding.new:
            raise _Nothing


class _Nothing(Exception):
    """Nothing was added."""


def _identities(table: pa.Table) -> pa.Table:
    """(kind, class, part, key) of rows."""
    a, b = key_words(key_array(table["key"]))
    return pa.table({"a": a, "b": b, "kind": table["kind"], "class": table["class"], "part": table["part"]})
