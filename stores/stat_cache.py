"""Digests of files remembered with (path, size, mtime), so that an unchanged file is not read twice.

    (path, size_bytes, mtime_ns) ──▶ BLAKE2b-256 of the bytes

One for the files of data sets and a small one for weights, so that planning need not load the first. Kept as
append-only Parquet parts: an index of days that is killed has lost at most what it read since the last part. Parts are
folded into one when there are many.
"""

import contextlib
import uuid
from collections.abc import Iterable

import pyarrow as pa

from stores.errors import Damaged, StoreError
from stores.keys import KEY_BYTES
from stores.root import Root

_MANY_PARTS = 16
_SCHEMA = pa.schema(
    [("uri", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64()), ("key", pa.binary(KEY_BYTES))]
)

Stat = tuple[str, int, int]  # uri, size in bytes, mtime in ns


class StatCache:
    """Remembered digests of one root.

    Parameters
    ----------
    root : Root
    of : str
        Of which files: `files` of data sets, or `weights`.
    """

    def __init__(self, root: Root, of: str = "files") -> None:
        self._root = root
        self._folder = f"stat_cache/{of}"
        self._known: dict[str, tuple[int, int, bytes]] = {}
        self._fresh: dict[str, tuple[int, int, bytes]] = {}
        self._parts = [part for part in root.names_in(self._folder) if part.endswith(".parquet")]
        for part in self._parts:
            try:
                columns = root.read_table(self._folder, part).to_pydict()
            except FileNotFoundError:  # folded by another run since it was listed
                continue
            except Damaged:  # what it held is read again from the files
                with contextlib.suppress(OSError, StoreError):
                    root.remove(self._folder, part)
                continue
            self._known.update(
                zip(
                    columns["uri"],
                    zip(columns["size_bytes"], columns["mtime_ns"], columns["key"], strict=True),
                    strict=True,
                )
            )

    def get(self, stat: Stat) -> bytes | None:
        """The key of a file last seen with this very size and time, or None."""
        uri, size_bytes, mtime_ns = stat
        known = self._known.get(uri)
        return known[2] if known and known[:2] == (size_bytes, mtime_ns) else None

    def put(self, stat: Stat, key: bytes) -> None:
        """Remember; `save` makes it last."""
        uri, size_bytes, mtime_ns = stat
        self._known[uri] = self._fresh[uri] = (size_bytes, mtime_ns, key)

    def save(self) -> None:
        """Write what is new as one more part; fold the parts into one when there are many."""
        if not self._fresh:
            return
        folded = len(self._parts) >= _MANY_PARTS
        name = f"part-{uuid.uuid4().hex}.parquet"
        rows = self._known if folded else self._fresh
        self._root.write_table(_table(rows.items()), self._folder, name)
        if folded:
            for part in self._parts:
                with contextlib.suppress(FileNotFoundError):  # folded by another run at the same time
                    self._root.remove(self._folder, part)
            self._parts = []
        self._parts.append(name)
        self._fresh = {}


def _table(rows: Iterable[tuple[str, tuple[int, int, bytes]]]) -> pa.Table:
    flat = [(uri, *rest) for uri, rest in rows]
    return pa.Table.from_arrays(
        [pa.array([row[i] for row in flat], type=field.type) for i, field in enumerate(_SCHEMA)], schema=_SCHEMA
    )
