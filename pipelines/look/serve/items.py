"""Items by their keys: the only way from an address of a page to a file.

    64 hexadecimal digits ──manifests──▶ rows with this content key ──▶ kind, label, and where the file is

An address never holds a path. What no manifest lists is not there.
"""

import dataclasses
import os
import threading
import time
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from stores.errors import NotInStore
from stores.keys import KEY_BYTES
from stores.manifest import Manifest
from stores.root import Root

_COLUMNS = ["dataset", "video_id", "kind", "uri", "key", "label", "split", "recording", "start_s", "end_s"]
_KEPT_S = 60  # so long rows are taken for what the manifests of an object store hold


@dataclasses.dataclass(frozen=True)
class Item:
    """A row of a manifest; `key` in hexadecimal digits."""

    dataset: str
    video_id: str
    kind: str
    uri: str
    key: str
    label: str | None
    split: str | None
    recording: str | None
    start_s: float | None
    end_s: float | None


class Items:
    """The rows of all manifests of a root.

    Parameters
    ----------
    root : Root
    """

    def __init__(self, root: Root) -> None:
        self._root, self._lock = root, threading.Lock()
        self._table: pa.Table | None = None
        self._stamp: object = None

    def table(self) -> pa.Table:
        """All rows, read again where a manifest was written."""
        manifest = Manifest(self._root)
        with self._lock:
            names, stamp = self.stamp()
            if self._table is None or (names, stamp) != self._stamp:
                parts = [manifest.read(name, _COLUMNS) for name in names]
                self._table = pa.concat_tables([manifest.rows("").select(_COLUMNS), *parts])
                self._stamp = names, stamp
            return self._table

    def stamp(self) -> tuple[tuple[str, ...], object]:
        """The names of the manifests, and what is another thing once one was written."""
        names = tuple(Manifest(self._root).datasets())
        return names, self._written(names)

    def _written(self, names: tuple[str, ...]) -> object:
        """What is another thing once a manifest was written; of an object store once a minute."""
        if not self._root.is_local:
            return time.monotonic() // _KEPT_S
        told = [os.stat(self._root.path("manifest", f"{name}.parquet")) for name in names]
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in told)

    def of(self, key: str) -> list[Item]:
        """The rows with a content key, of which files may lie in several places.

        Raises
        ------
        NotInStore
            It is no key, or no manifest has it.
        """
        try:
            content = bytes.fromhex(key)
        except ValueError:
            content = b""
        if len(content) != KEY_BYTES:
            raise NotInStore(f"{key[:80]!r} is no key of an item; a key has {2 * KEY_BYTES} hexadecimal digits.")
        table = self.table()
        found = _items(table.filter(pc.equal(table["key"], content)))
        if not found:
            raise NotInStore(f"No data set has an item {key[:12]}...: it was removed, or is of another cache.")
        return found

    def film_of(self, dataset: str, video_id: str) -> Item | None:
        """The film that is called so in a data set, where it has one beside captions or poses of it."""
        table = self.table()
        named = pc.and_(pc.equal(table["dataset"], dataset), pc.equal(table["video_id"], video_id))
        found = _items(table.filter(pc.and_(named, pc.equal(table["kind"], "video"))).slice(0, 1))
        return found[0] if found else None

    def named(self, dataset: str, names: Collection[str]) -> dict[str, Item]:
        """The items of a data set that are called so, by name; of several the first."""
        table = self.table()
        own = pc.is_in(table["video_id"], pa.array(sorted(names), pa.string()))
        found = _items(table.filter(pc.and_(pc.equal(table["dataset"], dataset), own)))
        return {each.video_id: each for each in reversed(found)}

    def labelled(self, labels: list[str], start: int, count: int) -> tuple[list[Item], int]:
        """Some items of some labels, and how many there are."""
        table = self.table()
        own = table.filter(pc.is_in(table["label"], pa.array(labels, pa.string())))
        return _items(own.slice(start, count)), own.num_rows

    def labels(self) -> dict[str, int]:
        """Every label, and how many items have it."""
        counts: list[dict[str, Any]] = pc.value_counts(self.table()["label"].drop_null()).to_pylist()
        return {each["values"]: each["counts"] for each in counts}


def _items(table: pa.Table) -> list[Item]:
    return [Item(**row | {"key": row["key"].hex()}) for row in table.to_pylist()]


def seconds(told: str, name: str) -> float | None:
    """A moment in seconds, as an address has it; None of nothing."""
    if not told:
        return None
    try:
        value = float(told)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:  # and not nan
        raise UsageError(f"{name} is a number of seconds, got {told[:40]!r}.")
    return value
