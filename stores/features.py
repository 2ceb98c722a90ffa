"""Feature sets: Icechunk repositories of Zarr arrays, appended to by one committer and never otherwise changed.

One repository a feature set, at `features/NAME@KEY`. Each output is one array of rows of all items; the items share

    offsets (items + 1,) int64    rows of item i are offsets[i] : offsets[i + 1]   (ragged, as CSR)
    keys    (items, 32) uint8     content keys, in the order of commits
    times   (rows, 2) float32     seconds, for outputs of video; NaN where a row has no time
    digest  (items, 16) uint8     of the item's row bytes
    seal    (items, 16) uint8     of its key, its times and that digest; sets of before have none, and go on without
    columns (bytes,) uint8        the names of outputs' columns, as zlib-compressed JSON; written once

A commit appends to all of them at once or not at all. Rows are kept uncompressed in chunks of 4,096, wide ones (maps)
in chunks of 4 MiB: float16 features hardly compress, and a scan then runs at the speed of a memmap.
"""

import contextlib
import dataclasses
import datetime
import functools
import json
import platform
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import icechunk
import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.errors import GroupNotFoundError

from stores.errors import Ambiguous, Damaged, Hollow, NotInStore, StoreError, WriteFailed
from stores.keys import DIGEST_BYTES, KEY_BYTES, rows_digest
from stores.object_store import bounded
from stores.root import Root
from untrusted.names import few

_FOLDER = "features"
_CHUNK_ROWS = 4096
_CHUNK_ITEMS = 16384
_WIDE, _WIDE_CHUNK = 64 << 10, 4 << 20  # bytes of a row that is asked for by itself, and of a chunk of such rows
_BLOCK_CHUNKS = 8  # written at a time: what memory holds of an item of any length
_SHARED = ("offsets", "keys", "times", "digest")
_SEAL = "seal"
_COLUMNS = "columns"
_BRANCH = "main"
_COMMITS_BETWEEN_COLLECTIONS = 64
_GRACE = datetime.timedelta(hours=1)  # readers that opened a snapshot this long ago may still read it
_RETRIES = 20
_T = TypeVar("_T")
_LIBRARIES = ("numpy", "av", "opencv-python-headless", "torch", "torchvision", "zarr", "icechunk")


@dataclasses.dataclass(frozen=True)
class ItemRows:
    """What one item gave.

    Attributes
    ----------
    key : 32 bytes
    values : output name to (r, ...) array; r is the same for all outputs
    times : (r, 2) float32 seconds, or None
    """

    key: bytes
    values: Mapping[str, np.ndarray]
    times: np.ndarray | None = None

    @property
    def digest(self) -> bytes:
        """Digest of the row bytes, output by output in the order of their names."""
        return rows_digest(*(_bytes_of(self.values[name]) for name in sorted(self.values)))

    @property
    def stored_times(self) -> np.ndarray:
        """(r, 2) float32, NaN where a row has no time."""
        if self.times is None:
            return np.full((len(next(iter(self.values.values()))), 2), np.nan, np.float32)
        return np.asarray(self.times, np.float32)


@dataclasses.dataclass(frozen=True)
class Features:
    """One output of some items, contiguous in memory (or in a memmap).

    Attributes
    ----------
    keys : (n, 32) uint8
    values : (rows, ...) in the stored dtype
    offsets : (n + 1,) int64; rows of item i are values[offsets[i] : offsets[i + 1]]
    times : (rows, 2) float32 seconds
    """

    keys: np.ndarray
    values: np.ndarray
    offsets: np.ndarray
    times: np.ndarray

    def mean(self) -> np.ndarray:
        """(n, ...) float32: each item's mean over its rows."""
        sums = np.add.reduceat(self.values.astype(np.float32), self.offsets[:-1], axis=0)
        counts = np.diff(self.offsets).reshape(-1, *[1] * (self.values.ndim - 1))
        return np.asarray(sums / counts, np.float32)


@dataclasses.dataclass(frozen=True)
class Damage:
    """An item whose stored rows cannot be read back as they were written."""

    item: int
    key: bytes
    reason: str


class FeatureStore:
    """All feature sets of one root.

    Parameters
    ----------
    root : Root
    wrap : callable, optional
        Puts something between Zarr and Icechunk (a store that fails on the k-th write, in tests).
    """

    def __init__(self, root: Root, wrap: Callable[[Store], Store] | None = None) -> None:
        self._root = root
        self._wrap = wrap

    def names(self) -> list[str]:
        """Full names of the feature sets, sorted."""
        names = [name for name in self._root.names_in(_FOLDER) if "@" in name]
        # a stray file is no set
        return [name for name in names if not self._root.is_file(_FOLDER, name)]

    def find(self, name: str) -> "FeatureSet":
        """The feature set called `extractor` or `extractor@keyprefix`.

        Raises
        ------
        NotInStore, Ambiguous
            None or several match; the message lists them.
        """
        return FeatureSet(self._root, self.resolve(name), self._wrap)

    def resolve(self, name: str) -> str:
        """The full name `find` would open; opens nothing, so that a set that is damaged can be named too."""
        extractor, _, prefix = name.partition("@")
        there = self.names()
        found = [n for n in there if n.partition("@")[0] == extractor and n.partition("@")[2].startswith(prefix)]
        if not found:
            raise NotInStore(
                f"No feature set matches {name!r} in {self._root.url}; "
                f"there are: {few(there, like=name) or 'none yet'}. Run `zsar extract {extractor} --dataset NAME`."
            )
        if len(found) > 1:
            raise Ambiguous(f"{name!r} matches {len(found)} feature sets: {few(found)}. Name one of these.")
        return found[0]

    def get(self, name: str) -> "FeatureSet | None":
        """The feature set of this full name, or None; one whose creation was cut short holds nothing and is none."""
        try:
            return FeatureSet(self._root, name, self._wrap) if self._root.exists(_FOLDER, name) else None
        except Hollow:
            return None

    def create(
        self,
        name: str,
        recipe: Mapping[str, Any],
        key: str,
        outputs: Mapping[str, tuple[tuple[int, ...], str]],
        columns: Mapping[str, list[str]] | None = None,
    ) -> "FeatureSet":
        """Make an empty feature set, or open the one that is there.

        Parameters
        ----------
        name : str
            `extractor@keyprefix`.
        recipe, key
            What the features depend on, and its hash.
        outputs : name to (row shape, dtype)
        columns : output name to the names of its columns, optional
        """
        with self._root.lock(name):
            if there := self.get(name):
                return there
            with _writing(name):
                repository = self._begun(name)
                session = repository.writable_session(_BRANCH)
                group = zarr.create_group(session.store)
                group.attrs.update(
                    {
                        "format": 1,
                        "recipe": dict(recipe),
                        "key": key,
                        "outputs": list(outputs),
                    }
                )
                # no attribute: those are written again with every commit, and 21,843 names are long
                packed = np.frombuffer(zlib.compress(json.dumps(dict(columns or {})).encode()), np.uint8)
                self._root.bounded(
                    lambda: group.create_array(_COLUMNS, data=packed, compressors=None), f"making {name}"
                )
                for output, (shape, dtype) in outputs.items():
                    _create(group, output, shape, dtype, _chunk_rows(shape, dtype))
                _create(group, "times", (2,), "float32", _CHUNK_ITEMS)
                _create(group, "keys", (KEY_BYTES,), "uint8", _CHUNK_ITEMS)
                _create(group, "digest", (DIGEST_BYTES,), "uint8", _CHUNK_ITEMS)
                _create(group, _SEAL, (DIGEST_BYTES,), "uint8", _CHUNK_ITEMS)
                _create(group, "offsets", (), "int64", _CHUNK_ITEMS)
                _extend(_array(group, "offsets"), np.zeros(1, np.int64))
                with contextlib.suppress(icechunk.ConflictError):  # another made it at the same time
                    self._root.bounded(lambda: session.commit("empty", metadata=environment()), f"making {name}")
        return FeatureSet(self._root, name, self._wrap)

    def _begun(self, name: str) -> icechunk.Repository:
        """A repository without anything in it; what a creation that was cut short has left is gone on with."""
        return self._root.bounded(lambda: self._begun_now(name), f"making {name}")

    def _begun_now(self, name: str) -> icechunk.Repository:
        storage = self._root.storage(_FOLDER, name)
        if icechunk.Repository.exists(storage):
            return icechunk.Repository.open(storage, self._root.repository_config())
        try:
            return icechunk.Repository.create(storage, self._root.repository_config())
        except icechunk.IcechunkError:
            if icechunk.Repository.exists(storage):  # another was first
                return icechunk.Repository.open(storage, self._root.repository_config())
            # the beginning of a repository, which is none: whoever holds the lock is the only one to make it
            self._root.remove(_FOLDER, name)
            return icechunk.Repository.create(storage, self._root.repository_config())

    def drop(self, name: str) -> None:
        """Remove a feature set and all it holds. A folder operation: nothing else is touched."""
        name = self.resolve(name)
        with self._root.lock(name):
            self._root.remove(_FOLDER, name)


class FeatureSet:
    """One feature set, opened at its newest snapshot each time it is asked."""

    def __init__(self, root: Root, name: str, wrap: Callable[[Store], Store] | None = None) -> None:
        self._root = root
        self._wrap = wrap
        self.name = name
        self._commits = 0
        advice = f"Its creation was cut short, or its files are damaged: `zsar drop {name}` and extract again."
        storage = root.storage(_FOLDER, name)
        try:
            if not root.bounded(lambda: icechunk.Repository.exists(storage), f"opening {name}"):
                raise Hollow(f"Feature set {name} in {root.url} cannot be opened: it holds nothing. {advice}")
            config = root.repository_config()
            self._repository = root.bounded(lambda: icechunk.Repository.open(storage, config), f"opening {name}")
            attributes: Any = self._group().attrs
        except GroupNotFoundError as error:
            raise Hollow(f"Feature set {name} in {root.url} cannot be opened: it holds nothing. {advice}") from error
        except icechunk.IcechunkError as error:
            raise Damaged(
                f"Feature set {name} in {root.url} cannot be opened: {_first_line(error)}. {advice}"
            ) from error
        self.recipe: dict[str, Any] = attributes["recipe"]
        self.key: str = attributes["key"]
        self.outputs: list[str] = attributes["outputs"]
        of_outputs = self.recipe.get("outputs") or {}
        #: outputs in which NaN says that nothing was seen
        self._gaps = {name for name in self.outputs if of_outputs.get(name, {}).get("gaps")}

    def __repr__(self) -> str:
        return f"FeatureSet({self.name!r})"

    # -- reading ------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def columns(self) -> dict[str, list[str]]:
        """Output name to the names of its columns, for those that have any; they never change."""
        named: dict[str, list[str]] = json.loads(zlib.decompress(_read(_array(self._reading(), _COLUMNS)).tobytes()))
        return named

    @property
    def snapshot(self) -> str:
        """Id of the newest snapshot."""
        return self._root.bounded(lambda: self._repository.lookup_branch(_BRANCH), f"reading {self.name}")

    def keys(self) -> np.ndarray:
        """(items, 32) uint8, in the order of commits."""
        return _read(_array(self._reading(), "keys"))

    def shape(self) -> tuple[int, int]:
        """(items, rows)."""
        group = self._reading()
        return _array(group, "keys").shape[0], _array(group, "times").shape[0]

    def array(self, output: str, group: zarr.Group | None = None) -> Any:
        """The Zarr array of one output (or of offsets, keys, times, digest), read-only.

        Raises
        ------
        NotInStore
            No such output; the message lists those there are.
        """
        if output not in (*self.outputs, *_SHARED):
            raise NotInStore(f"{self.name} has no output {output!r}; it has: {', '.join(self.outputs)}.")
        return _array(group or self._reading(), output)

    def load(
        self,
        keys: np.ndarray | None = None,
        output: str = "features",
        memmap: str | Path | None = None,
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> Features:
        """Scan one output once into one contiguous array, in the order of `keys`.

        Parameters
        ----------
        keys : (n, 32) uint8, optional
            Which items, in which order; None: all, as committed.
        output : str
        memmap : path, optional
            Write the values into this file and map it, for sets larger than memory.
        advance : is told how many rows of the set were gone through, of how many

        Raises
        ------
        NotInStore
            Some keys are not in the set; the message counts them.
        """
        group = self._reading()  # one snapshot for everything that is read here
        array = self.array(output, group)
        stored, offsets = _read(_array(group, "keys")), _read(_array(group, "offsets"))
        times = _read(_array(group, "times"))
        order = np.arange(len(stored)) if keys is None else positions(stored, keys)
        if (order < 0).any():
            raise NotInStore(
                f"{self.name} has no rows for {int((order < 0).sum())} of the {len(order)} items asked for. "
                "Run `zsar extract` for this data set, or ask for the items it has."
            )
        sizes = offsets[order + 1] - offsets[order]
        new_offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        shape = (int(new_offsets[-1]), *array.shape[1:])
        values = (
            np.empty(shape, array.dtype)
            if memmap is None or 0 in shape
            else np.memmap(memmap, mode="w+", dtype=array.dtype, shape=shape)
        )
        # rows of the stored order -> rows of the wanted order; scanned chunk by chunk, so memory holds one chunk more
        target = np.full(array.shape[0], -1, np.int64)
        wanted_rows = np.repeat(offsets[order] - new_offsets[:-1], sizes) + np.arange(shape[0])
        first_use, again = np.unique(wanted_rows, return_index=True)
        target[first_use] = again
        for start, block in self._blocks(array):
            rows = target[start : start + len(block)]
            values[rows[rows >= 0]] = block[rows >= 0]
            advance(start + len(block), array.shape[0])
        if len(first_use) < len(wanted_rows):  # twins asked for twice: copy the rows already placed
            values[:] = values[target[wanted_rows]]
        return Features(stored[order], values, new_offsets, times[wanted_rows])

    def some(self, which: np.ndarray, output: str = "features") -> np.ndarray:
        """Some rows of one output, by their numbers (k,), rising: the chunks that hold them are read, and no other."""
        return _read(self.array(output), which)

    def scan(self, output: str = "features") -> Iterator[np.ndarray]:
        """The rows of one output, a block of whole chunks at a time, in the order of commits."""
        for _, block in self._blocks(self.array(output)):
            yield block

    def to_dask(self, output: str = "features") -> Any:
        """The rows of one output as a Dask array, a chunk a task."""
        import dask.array

        return dask.array.from_zarr(self.array(output))

    def to_xarray(self) -> Any:
        """Every output as a lazy xarray Dataset over `row`, with the item number of each row."""
        import xarray

        offsets = _read(self.array("offsets"))
        variables = {
            name: (("row", *(f"{name}_{i}" for i in range(self.array(name).ndim - 1))), self.to_dask(name))
            for name in (*self.outputs, "times")
        }
        return xarray.Dataset(
            variables, coords={"item": ("row", np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)))}
        )

    def _blocks(self, array: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Whole chunks, the next one read while the last one is used."""
        step = array.chunks[0]
        starts = range(0, array.shape[0], step)
        with ThreadPoolExecutor(1) as reader:
            coming = deque(reader.submit(_read, array, slice(s, s + step)) for s in starts[:1])
            for start in starts:
                block = coming.popleft().result()
                if start + step < array.shape[0]:
                    coming.append(reader.submit(_read, array, slice(start + step, start + 2 * step)))
                yield start, block

    def _reading(self) -> zarr.Group:
        with self._damages("its newest snapshot"):
            return self._group()

    def _group(self) -> zarr.Group:
        def opened() -> zarr.Group:
            return zarr.open_group(self._repository.readonly_session(_BRANCH).store, mode="r")

        return self._root.bounded(opened, f"reading {self.name}")

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, items: Sequence[ItemRows], metadata: Mapping[str, Any] | None = None) -> int:
        """Append items in one commit; those the set already has are left out. Returns how many were added.

        Raises
        ------
        WriteFailed
            Nothing of this call was committed; what was there before is untouched.
        """
        for item in items:
            if len({len(values) for values in item.values.values()}) != 1 or not len(next(iter(item.values.values()))):
                raise StoreError(
                    f"{self.name}: item {item.key.hex()[:12]} needs as many rows in each output, and at least one."
                )
        asked = {item.key: item for item in items}
        with self._root.lock(self.name), _writing(self.name):
            for _ in range(_RETRIES):
                session, group = self._session()
                keys = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, KEY_BYTES)
                there = positions(_read(_array(group, "keys")), keys)
                fresh = {key: item for (key, item), at in zip(asked.items(), there, strict=True) if at < 0}
                if not fresh:
                    return 0
                self._append_rows(group, list(fresh.values()))
                try:
                    self._commit(session, f"{len(fresh)} items", metadata or {})
                except icechunk.ConflictError:
                    continue  # an object store, and somebody else was first: look again at what is missing
                self._collect_sometimes()
                return len(fresh)
        raise WriteFailed(f"Commit to {self.name} lost the race {_RETRIES} times; run the same command again.")

    def repair(self, fresh: Mapping[int, ItemRows]) -> None:
        """Rewrite the rows of items (by their number), in one commit that records the old and the new digests.

        The only exception to append-only. Chunks that cannot be read are rebuilt from `fresh` alone.

        Raises
        ------
        StoreError
            An item now has another number of rows than it had.
        """
        with self._root.lock(self.name), _writing(self.name):
            session, group = self._session()
            offsets, digests = _read(_array(group, "offsets")), _read(_array(group, "digest"))
            record = {}
            for item, rows in fresh.items():
                start, end = int(offsets[item]), int(offsets[item + 1])
                count = len(next(iter(rows.values.values())))
                if count != end - start:
                    raise StoreError(
                        f"{self.name} item {rows.key.hex()[:12]} has {end - start} rows, recomputed it gives {count}. "
                        "It cannot be repaired in place; drop the feature set and extract again."
                    )
                record[rows.key.hex()] = [digests[item].tobytes().hex(), rows.digest.hex()]
                _set(_array(group, "digest"), slice(item, item + 1), np.frombuffer(rows.digest, np.uint8)[None])
                if _SEAL in group:
                    seal = _seal(rows.key, rows.stored_times, rows.digest)
                    _set(_array(group, _SEAL), slice(item, item + 1), np.frombuffer(seal, np.uint8)[None])
            for name in self.outputs:
                spans = [(int(offsets[item]), rows.values[name]) for item, rows in fresh.items()]
                _overwrite(_array(group, name), spans)
            _overwrite(_array(group, "times"), [(int(offsets[i]), rows.stored_times) for i, rows in fresh.items()])
            self._commit(session, "repair", {"digests": record})

    def damage(self) -> Iterator[Damage]:
        """Items whose stored rows, key or times are not what was written: unreadable, changed, or not finite."""
        group = self._reading()
        keys, digests, offsets = (_read(_array(group, name)) for name in ("keys", "digest", "offsets"))
        rows = _array(group, "times").shape[0]
        if len(offsets) != len(keys) + 1 or (np.diff(offsets) < 0).any() or offsets[0] != 0 or offsets[-1] != rows:
            raise Damaged(
                f"{self.name}: offsets do not fit its {len(keys)} items and {rows} rows. Drop it and extract again."
            )
        if len(digests) != len(keys):
            raise Damaged(
                f"{self.name}: it has {len(digests)} digests of {len(keys)} items. Drop it and extract again."
            )
        seals = _read(_array(group, _SEAL)) if _SEAL in group else None
        names = sorted(self.outputs)
        arrays = [_array(group, name) for name in names]
        item, step = 0, min(array.chunks[0] for array in arrays)
        while item < len(keys):
            last = int(np.searchsorted(offsets, offsets[item] + step, side="right")) - 1
            last = min(max(last, item + 1), len(keys))
            block = slice(int(offsets[item]), int(offsets[last]))
            try:
                values = [_read(array, block) for array in arrays]
            except (Damaged, OSError, ValueError):
                values = None
            times = None if seals is None else _read_or_none(_array(group, "times"), block)
            for i in range(item, last):
                own = slice(int(offsets[i]), int(offsets[i + 1]))
                digest = digests[i].tobytes()
                reason = self._damage_of(own, block, values, arrays, digest)
                if not reason and seals is not None:
                    mine = None if times is None else times[own.start - block.start : own.stop - block.start]
                    if mine is None or _seal(keys[i].tobytes(), mine, digest) != seals[i].tobytes():
                        reason = "changed: its key or its times do not fit their seal"
                if reason:
                    yield Damage(i, keys[i].tobytes(), reason)
            item = last

    def rows(self, item: int) -> ItemRows:
        """The stored rows of one item, by its number."""
        group = self._reading()
        start, end = (int(v) for v in _read(_array(group, "offsets"), slice(item, item + 2)))
        own = slice(start, end)
        return ItemRows(
            _read(_array(group, "keys"), slice(item, item + 1)).tobytes(),
            {name: _read(_array(group, name), own) for name in self.outputs},
            _read(_array(group, "times"), own),
        )

    def collect(self, keep: datetime.timedelta = datetime.timedelta(0)) -> int:
        """Forget snapshots older than `keep` (tagged ones survive) and remove what only they held; bytes freed.

        Their commits leave the history too. Where no lock keeps other writers away (an object store) what is younger
        than an hour stays, for it may belong to a commit under way.
        """
        keep = keep if self._root.is_local else max(keep, _GRACE)
        with self._root.lock(self.name), _writing(self.name):
            return self._collect(keep)

    def commits(self) -> list[dict[str, Any]]:
        """Every commit, newest first: snapshot, time, message and what it was made with."""
        with self._damages("its history"):
            return [
                {
                    "snapshot": info.id,
                    "time": info.written_at.isoformat(timespec="seconds"),
                    "message": info.message,
                    "with": dict(info.metadata),
                }
                for info in self._repository.ancestry(branch=_BRANCH)
            ]

    def size_bytes(self) -> int:
        """Bytes of all chunks the repository holds, those of old snapshots included."""
        with self._damages("one of its manifests"):
            return int(self._repository.chunk_storage_stats().native_bytes)

    @contextlib.contextmanager
    def _damages(self, what: str) -> Iterator[None]:
        """Turn what Icechunk says of files that are damaged into one line."""
        try:
            yield
        except (icechunk.IcechunkError, GroupNotFoundError) as error:
            raise Damaged(
                f"Feature set {self.name} in {self._root.url} is damaged, {what} cannot be read: {_first_line(error)}. "
                f"`zsar verify {self.name}` says which items are; else `zsar drop {self.name}` and extract again."
            ) from error

    def _damage_of(
        self, own: slice, block: slice, values: list[np.ndarray] | None, arrays: list[Any], digest: bytes
    ) -> str | None:
        try:
            if values is None:  # something in the block is unreadable: find out whether it is this item
                mine = [_read(array, own) for array in arrays]
            else:
                mine = [v[own.start - block.start : own.stop - block.start] for v in values]
        except (Damaged, OSError, ValueError) as error:
            return f"unreadable: {_first_line(error)}"
        if rows_digest(*map(_bytes_of, mine)) != digest:
            return "changed: its rows do not fit their digest"
        for name, v in zip(sorted(self.outputs), mine, strict=True):
            if v.dtype.kind == "f" and not (np.isfinite(v) | (name in self._gaps and np.isnan(v))).all():
                return "not finite"
        return None

    def _session(self) -> tuple[icechunk.Session, zarr.Group]:
        def opened() -> tuple[icechunk.Session, zarr.Group]:
            session = self._repository.writable_session(_BRANCH)
            store: Store = session.store
            return session, zarr.open_group(self._wrap(store) if self._wrap else store, mode="r+")

        return self._root.bounded(opened, f"opening {self.name} to write")

    def _commit(self, session: icechunk.Session, message: str, metadata: Mapping[str, Any]) -> None:
        told = environment() | dict(metadata)
        self._root.bounded(lambda: session.commit(message, metadata=told), f"a commit to {self.name}")

    def _append_rows(self, group: zarr.Group, items: list[ItemRows]) -> None:
        counts = [len(next(iter(item.values.values()))) for item in items]
        for name in self.outputs:
            _append(_array(group, name), [item.values[name] for item in items])
        _extend(_array(group, "times"), np.concatenate([item.stored_times for item in items]))
        offsets = _array(group, "offsets")
        end = int(_read(offsets, slice(offsets.shape[0] - 1, None))[0])
        _extend(offsets, end + np.cumsum(counts))
        _extend(_array(group, "keys"), np.stack([np.frombuffer(item.key, np.uint8) for item in items]))
        digests = [item.digest for item in items]
        _extend(_array(group, "digest"), np.stack([np.frombuffer(digest, np.uint8) for digest in digests]))
        if _SEAL in group:
            seals = [_seal(item.key, item.stored_times, digest) for item, digest in zip(items, digests, strict=True)]
            _extend(_array(group, _SEAL), np.stack([np.frombuffer(seal, np.uint8) for seal in seals]))

    def _collect_sometimes(self) -> None:
        """Small commits leave many dead copies of the tail chunk: every 64 commits take them away."""
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN_COLLECTIONS == 0:
            self._collect(_GRACE)

    def _collect(self, keep: datetime.timedelta) -> int:
        before = datetime.datetime.now(datetime.UTC) - keep
        self._repository.expire_snapshots(older_than=before)
        return int(self._repository.garbage_collect(before).bytes_deleted)


def positions(stored: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(n,) int64: where each of `keys` (n, 32) stands in `stored` (items, 32), -1 where it does not."""
    if len(stored) == 0 or len(keys) == 0:
        return np.full(len(keys), -1, np.int64)
    # compare the first 8 bytes by sorting, then all 32: content keys are hashes, so 8 bytes hardly ever collide
    short = np.ascontiguousarray(stored[:, :8]).view(np.uint64).ravel()
    order = np.argsort(short, kind="stable")
    wanted = np.ascontiguousarray(keys[:, :8]).view(np.uint64).ravel()
    at = np.searchsorted(short[order], wanted)
    found = np.full(len(keys), -1, np.int64)
    open_ = np.arange(len(keys))
    while len(open_):
        open_ = open_[at[open_] < len(order)]
        candidate = order[at[open_]]
        same_short = short[candidate] == wanted[open_]
        open_, candidate = open_[same_short], candidate[same_short]
        equal = (stored[candidate] == keys[open_]).all(1)
        found[open_[equal]] = candidate[equal]
        open_ = open_[~equal]
        at[open_] += 1
    return found


def environment() -> dict[str, str]:
    """Library versions and machine, for a commit's metadata: known later, not part of any key."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "host": platform.node()}
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = version(library)
    return found


def _chunk_rows(shape: tuple[int, ...], dtype: str) -> int:
    """Rows a chunk: of wide ones (maps) so few that those of one item are read without many others."""
    row = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return _CHUNK_ROWS if row < _WIDE else max(1, _WIDE_CHUNK // row)


def _create(group: zarr.Group, name: str, shape: tuple[int, ...], dtype: str, chunk: int) -> None:
    group.create_array(
        name,
        shape=(0, *shape),
        chunks=(chunk, *(max(1, s) for s in shape)),
        dtype=dtype,
        compressors=None,
        fill_value=0,
    )


def _array(group: zarr.Group, name: str) -> Any:
    return group[name]


def _read(array: Any, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
    try:
        whole = isinstance(rows, slice)
        return _asked(array, lambda: np.asarray(array[rows] if whole else array.oindex[rows]))
    except icechunk.IcechunkError as error:
        raise Damaged(
            f"{array.name.lstrip('/')} of a feature set cannot be read: {_first_line(error)}. Run `zsar verify`, which "
            "says what of it is damaged."
        ) from error


def _asked(array: Any, request: Callable[[], _T]) -> _T:
    """What a request to Zarr gives: its arrays wait for Icechunk without end, whatever its `async.timeout` says."""
    if zarr.config.get("async.timeout") is None:  # no root of this process lies on an object store
        return request()
    return bounded(request, f"rows of {array.name.lstrip('/')}")


def _extend(array: Any, rows: np.ndarray) -> None:
    _asked(array, lambda: array.append(rows))


def _set(array: Any, rows: slice, values: np.ndarray) -> None:
    _asked(array, lambda: array.__setitem__(rows, values))


def _read_or_none(array: Any, rows: slice) -> np.ndarray | None:
    try:
        return _read(array, rows)
    except (Damaged, OSError, ValueError):
        return None


def _seal(key: bytes, times: np.ndarray, digest: bytes) -> bytes:
    """Digest of what an item's digest does not cover, and of that."""
    return rows_digest(key, _bytes_of(times), digest)


def _append(array: Any, parts: Sequence[np.ndarray]) -> None:
    """Rows of many items behind those that are there, some whole chunks at a time: parts may be mapped from files."""
    at, block, total = array.shape[0], _BLOCK_CHUNKS * array.chunks[0], sum(map(len, parts))
    array.resize((at + total, *array.shape[1:]))
    held: list[np.ndarray] = []
    for part in parts:
        while len(part):
            room = block - at % block - sum(map(len, held))
            held.append(part[:room])
            part = part[room:]
            if len(held[-1]) == room:
                at, held = _put(array, at, held), []
    if held:
        _put(array, at, held)


def _put(array: Any, at: int, parts: list[np.ndarray]) -> int:
    rows = np.concatenate(parts)
    _set(array, slice(at, at + len(rows)), rows)
    return at + len(rows)


def _bytes_of(rows: np.ndarray) -> memoryview:
    """The bytes of an array, not copied: rows may be mapped from a file that is larger than memory."""
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


def _overwrite(array: Any, spans: list[tuple[int, np.ndarray]]) -> None:
    """Write row spans chunk by chunk; a chunk that cannot be read starts from zeros: all its rows are in `spans`."""
    step = array.chunks[0]
    touched = {c for start, rows in spans for c in range(start // step, (start + len(rows) - 1) // step + 1)}
    for chunk in sorted(touched):
        first, last = chunk * step, min((chunk + 1) * step, array.shape[0])
        try:
            content = _read(array, slice(first, last)).copy()
        except (Damaged, OSError, ValueError):
            content = np.zeros((last - first, *array.shape[1:]), array.dtype)
        for start, rows in spans:
            low, high = max(start, first), min(start + len(rows), last)
            if low < high:
                content[low - first : high - first] = rows[low - start : high - start]
        _set(array, slice(first, last), content)


def _first_line(error: BaseException) -> str:
    lines = [line.strip(" │├╰─▶x") for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    """Turn a failed write into one line that says what is safe."""
    try:
        yield
    except (icechunk.IcechunkError, OSError) as error:
        text = str(error)
        full = "No space left" in text or getattr(error, "errno", None) == 28
        reason = "no space left on the disk" if full else _first_line(error)
        raise WriteFailed(
            f"Commit to {name} failed: {reason}. Nothing of this commit is in the store, everything before it is. "
            f"{'Free space' if full else 'Mend the cause'} and run the same command again."
        ) from error
