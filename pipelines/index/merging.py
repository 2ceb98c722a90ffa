"""Merging: what was read now among what a data set has, whatever kind of item it is.

    rows of the manifest, entries read now ──merge──▶ rows of the manifest, new, missing, pruned

Rows of files that were read now replace the rows of these files; rows of other files and of other kinds stay.

Names. An item is called as it wants to be. Where another item has that name, both stay: the one that had it first keeps
it, and the next takes the first free name of its ladder. An item keeps the name it had as long as that is on its
ladder, and a file that was moved takes its name along: the same content, and nothing where it was.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.index.files import exists
from stores.manifest import SCHEMA


class Entry(NamedTuple):
    """An item that was read now.

    Attributes
    ----------
    name : what it wants to be called
    place : what makes it the same item when its content changes; several segments of a file have one
    """

    name: str
    place: str
    uri: str
    key: bytes
    label: str | None
    split: str | None
    size_bytes: int
    mtime_ns: int
    start_s: float | None = None
    end_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Ways:
    """How items of one kind are told apart.

    Attributes
    ----------
    place : `Entry.place` of a row, by its uri and its name
    file : of a row's uri, what must be there
    ladder : the names an entry may take, the wanted one first
    """

    ladder: Callable[[Entry], Iterable[str]] = lambda entry: (entry.name,)
    place: Callable[[str, str], str] = lambda uri, name: uri
    file: Callable[[str], str] = lambda uri: uri


@dataclasses.dataclass(frozen=True)
class Merged:
    """Old rows and new rows of a data set, put together.

    Attributes
    ----------
    table : of all kinds; the entries are its last rows, in their order
    new : entries whose content the data set did not have under this name before
    missing : names of rows whose file is gone
    pruned : such rows that were forgotten
    """

    table: pa.Table
    new: int
    missing: tuple[str, ...]
    pruned: int


class _Row(NamedTuple):
    """A row the data set has."""

    place: str
    file: str
    key: bytes


def merge(
    old: pa.Table,
    dataset: str,
    kind: str,
    entries: Sequence[Entry],
    read: Collection[str],
    ways: Ways,
    is_gone: Callable[[str], bool],
    prune: bool,
    replaced: Collection[str] = (),
) -> Merged:
    """Put entries of a kind among the rows of a data set.

    Parameters
    ----------
    old : (rows) of `stores.manifest.SCHEMA`, of all kinds
    dataset, kind : of the entries
    entries : what was read
    read : files that were read, whatever came of them
    ways : Ways
    is_gone : whether a file that was not read is not there any more
    prune : whether to forget rows of such files
    replaced : uris of rows that these entries take the place of
    """
    is_own = pc.equal(old["kind"], kind)
    own = old.filter(is_own)
    uris, names, keys = (own[column].to_pylist() for column in ("uri", "video_id", "key"))
    rows = [_Row(ways.place(uri, name), ways.file(uri), key) for uri, name, key in zip(uris, names, keys, strict=True)]
    stays = [uri not in replaced for uri in uris]
    held = {name: row for name, row, is_there in zip(names, rows, stays, strict=True) if is_there}
    naming = _Naming(held, {entry.place for entry in entries}, read, ways, prune)
    given = [naming.name(entry) for entry in entries]
    kept, missing, pruned = [], [], 0
    for number, (name, row, is_there) in enumerate(zip(names, rows, stays, strict=True)):
        if not is_there or row.file in read or row.place in naming.places or row.place in naming.moved:
            continue
        if is_gone(row.file):
            if prune:
                pruned += 1
                continue
            missing.append(name)
        kept.append(number)
    before = dict(zip(names, keys, strict=True))
    new = sum(before.get(name) != entry.key for name, entry in zip(given, entries, strict=True))
    others = old.filter(pc.invert(is_own))
    table = pa.concat_tables([others, own.take(pa.array(kept, pa.int64())), _table(dataset, kind, entries, given)])
    return Merged(table, new, tuple(missing), pruned)


class _Naming:
    """Gives each entry a name that no other has, and remembers which earlier rows moved."""

    def __init__(self, held: dict[str, _Row], places: set[str], read: Collection[str], ways: Ways, prune: bool) -> None:
        self._held = held
        self._read = read
        self._ways = ways
        self._prune = prune
        self._taken: set[str] = set()
        self.places = places
        self.moved: set[str] = set()

    def name(self, entry: Entry) -> str:
        """The name of an entry: the one it had, or the first free one."""
        name = entry.name
        if name in self._taken or (self._held and not self._had(name, entry)):
            ladder = list(self._ways.ladder(entry))
            had = [each for each in ladder if self._had(each, entry)]
            numbers = (f"{entry.uri}#{k}" for k in itertools.count(2))
            name = next(each for each in itertools.chain(had, ladder, numbers) if self._is_free(each, entry))
        self._taken.add(name)
        return name

    def _had(self, name: str, entry: Entry) -> bool:
        return name in self._held and self._held[name].place == entry.place

    def _is_free(self, name: str, entry: Entry) -> bool:
        if name in self._taken:
            return False
        if name not in self._held or self._had(name, entry):
            return True
        holder = self._held[name]
        if holder.place in self.places:
            return False
        if holder.file in self._read:  # it was read, and the holder is in it no more
            return True
        if (holder.key != entry.key and not self._prune) or exists(holder.file):
            return False
        self.moved.add(holder.place)
        return True


def _table(dataset: str, kind: str, entries: Sequence[Entry], names: Sequence[str]) -> pa.Table:
    count = len(entries)
    columns: dict[str, Any] = {
        "dataset": pc.fill_null(pa.nulls(count, pa.string()), dataset),
        "video_id": names,
        "kind": pc.fill_null(pa.nulls(count, pa.string()), kind),
        "recording": pa.nulls(count, pa.string()),  # at the end of `split`, from which the manifest takes it
        "seen_ns": np.full(count, time.time_ns(), np.int64),
    }
    for name in SCHEMA.names:
        if name not in columns:
            columns[name] = [getattr(entry, name) for entry in entries]
    return pa.Table.from_arrays([pa.array(columns[f.name], type=f.type) for f in SCHEMA], schema=SCHEMA)
