"""Features on their way in or out: ragged rows of some videos, whatever file they lie in.

    values (rows, ...)   offsets (n + 1,) int64   video_id (n)   keys (n, 32) uint8   times (rows, 2) float32   recipe

Rows of video i are values[offsets[i] : offsets[i + 1]]. `hdf5.py` and `foreign.py` read and write these.
"""

import contextlib
import dataclasses
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from stores.errors import BadFile, WriteFailed
from stores.keys import KEY_BYTES

_PARTS = {
    "video_id": ("video_ids", "videoid", "ids", "id", "names", "name", "video_names", "videos", "filenames"),
    "values": ("features", "feature", "feats", "feat", "embeddings", "embedding", "vectors"),
}
BLOCK_BYTES = 64 << 20  # how much of the values is in memory at once while writing


class Rows(Protocol):
    """An array of which spans of rows are asked: an ndarray, a memmap, or rows gathered from one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, ...)."""
        ...

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of the values."""
        ...

    def __getitem__(self, span: slice, /) -> np.ndarray:
        """Some consecutive rows."""
        ...


@dataclasses.dataclass(frozen=True)
class Gathered:
    """Rows of an array in another order, some of them several times, without a copy of it all.

    Attributes
    ----------
    values : (m, ...)
    order : (rows,) int64, which row of `values` each row is
    """

    values: np.ndarray
    order: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, ...)."""
        return (len(self.order), *self.values.shape[1:])

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of the values."""
        return self.values.dtype

    def __getitem__(self, span: slice) -> np.ndarray:
        """Some consecutive rows."""
        return np.asarray(self.values[self.order[span]])


@dataclasses.dataclass(frozen=True)
class Watched:
    """Rows of which somebody is told how many were asked for, from the first to the last.

    Attributes
    ----------
    values : Rows
    advance : is told so many of how many
    """

    values: Rows
    advance: Callable[[int, int], None]

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, ...)."""
        return self.values.shape

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of the values."""
        return self.values.dtype

    def __getitem__(self, span: slice) -> np.ndarray:
        """Some consecutive rows."""
        found = np.asarray(self.values[span])
        self.advance(span.indices(self.shape[0])[1], self.shape[0])
        return found


@dataclasses.dataclass(frozen=True)
class Foreign:
    """Features as a file holds them.

    Attributes
    ----------
    video_id : n names
    keys : (n, 32) uint8 content keys, or None where the file has none
    values : (rows, ...) of a numeric dtype
    offsets : (n + 1,) int64
    times : (rows, 2) float32 seconds, or None
    recipe : what they depend on, or None
    unread : names of what else the file holds, which is no feature
    about : what else is known of each of the n videos, as columns; written, never read
    beside : the same of each row
    named : what the n names are of: `video_id` or `class`
    """

    video_id: list[str]
    keys: np.ndarray | None
    values: Rows
    offsets: np.ndarray
    times: np.ndarray | None = None
    recipe: dict[str, Any] | None = None
    unread: tuple[str, ...] = ()
    about: pa.Table | None = None
    beside: pa.Table | None = None
    named: str = "video_id"

    def rows(self, item: int) -> np.ndarray:
        """(r, ...) rows of one video, in this machine's order of bytes."""
        rows = np.asarray(self.values[slice(int(self.offsets[item]), int(self.offsets[item + 1]))])
        return rows.astype(rows.dtype.newbyteorder("="), copy=False)


def told(features: Foreign, texts: Any) -> Iterator[tuple[str, np.ndarray]]:
    """What is known of videos and rows as arrays: texts (empty where nothing is known), numbers (NaN)."""
    for table in (features.about, features.beside):
        columns = [] if table is None else zip(table.column_names, table.columns, strict=True)
        for name, column in columns:
            if pa.types.is_floating(column.type):
                yield name, column.to_numpy()
            else:
                yield name, np.array([value or "" for value in column.to_pylist()], texts)


def checked(foreign: Foreign, path: str | Path) -> Foreign:
    """The same, if its parts fit each other.

    Raises
    ------
    BadFile
        Offsets, keys, names, times or values that contradict each other.
    """
    n, rows = len(foreign.video_id), foreign.values.shape[0]
    offsets = foreign.offsets
    if foreign.values.dtype.kind not in "fiub":
        raise BadFile(
            f"{path}: values must be numbers, got dtype {foreign.values.dtype}. Save them as float16 or float32."
        )
    if offsets.shape != (n + 1,) or offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 0).any():
        raise BadFile(
            f"{path}: offsets must be {n + 1} rising numbers from 0 to {rows} for {n} video ids, got {len(offsets)}, "
            f"from {offsets[:1]} to {offsets[-1:]}. The file is cut short or of another layout."
        )
    if foreign.keys is not None and (foreign.keys.shape != (n, KEY_BYTES) or foreign.keys.dtype != np.uint8):
        raise BadFile(f"{path}: keys must be ({n}, {KEY_BYTES}) uint8, got {foreign.keys.shape} {foreign.keys.dtype}.")
    if foreign.times is not None and foreign.times.shape != (rows, 2):
        raise BadFile(f"{path}: times must be ({rows}, 2), got {foreign.times.shape}.")
    if len(set(foreign.video_id)) < n:
        seen: set[str] = set()
        twice = next(v for v in foreign.video_id if v in seen or seen.add(v))  # type: ignore[func-returns-value]
        raise BadFile(f"{path}: the video id {twice!r} stands there twice. Keep one of the two.")
    return foreign


def stacked(path: str | Path, video_id: list[str], arrays: Sequence[np.ndarray], keys: np.ndarray | None) -> Foreign:
    """One ragged array from an array a video; a plain vector is one row, an empty one no row.

    Raises
    ------
    BadFile
        Arrays whose rows differ in shape; the message names the video.
    """
    parts = [a.reshape(1, -1) if a.ndim == 1 else a for a in arrays]
    width = next((part.shape[1:] for part in parts if part.size), None)
    parts = [part.reshape(0, *width) if part.shape == (1, 0) and width else part for part in parts]
    for name, part in zip(video_id, parts, strict=True):
        if part.ndim < 2 or part.dtype.kind not in "fiub" or part.shape[1:] != parts[0].shape[1:]:
            turned = (
                " They seem to be (D, rows): turn each round with `.T` and save them again."
                if len({p.shape[:1] for p in parts}) == 1 and all(p.ndim == 2 for p in parts)
                else ""
            )
            raise BadFile(
                f"{path}: the features of {name!r} are {part.shape} {part.dtype}, "
                f"those of {video_id[0]!r} {parts[0].shape} {parts[0].dtype}. "
                f"All must be (rows, D) numbers with the same D.{turned}"
            )
    if not parts:
        raise BadFile(f"{path} holds no features. Give a file of a layout that `zsar export` writes.")
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return checked(Foreign(video_id, keys, np.concatenate(parts), offsets), path)


def rows_of(offsets: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows some items have, one item after another, and the offsets of these.

    Examples
    --------
    >>> rows, offsets = rows_of(np.array([0, 2, 3, 5]), np.array([2, 0]))
    >>> rows.tolist(), offsets.tolist()
    ([3, 4, 0, 1], [0, 2, 4])
    """
    sizes = np.diff(offsets)[items]
    own = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.repeat(offsets[:-1][items] - own[:-1], sizes) + np.arange(own[-1]), own


def named_parts(names: Sequence[str]) -> dict[str, str]:
    """Which arrays of a file hold the names of videos and their values, as others call them; empty where it is unclear.

    Examples
    --------
    >>> named_parts(["ids", "features", "labels"])
    {'video_id': 'ids', 'values': 'features'}
    """
    found = {}
    for part, spellings in _PARTS.items():
        there = [part] if part in names else [name for name in names if name.lower() in spellings]
        if len(there) == 1:
            found[part] = there[0]
    return found if len(found) == len(_PARTS) else {}


def blocks(values: Rows) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows), some 64 MiB at a time."""
    row_bytes = max(1, int(np.prod(values.shape[1:])) * values.dtype.itemsize)
    step = max(1, BLOCK_BYTES // row_bytes)
    for start in range(0, values.shape[0], step):
        yield start, np.asarray(values[slice(start, start + step)])


def safe_names(video_ids: Sequence[str], extension: str = "") -> list[str]:
    """Where each video lies among entries of one video each: its id where that is a path, else `_items/NUMBER`.

    An id with slashes is a path of folders. An id that cannot be one (empty or dotted parts, too long, or another id
    stands where it needs a folder) gets a number; its true name stands beside it.
    """
    ids = {video_id + extension for video_id in video_ids}
    return [
        video_id if _is_path(video_id + extension, ids) else f"_items/{number:08d}"
        for number, video_id in enumerate(video_ids)
    ]


def _is_path(name: str, names: set[str]) -> bool:
    parts = name.split("/")
    if any(p in {"", ".", ".."} or len(p.encode()) > 240 or "\0" in p for p in parts) or parts[0] == "_items":
        return False
    return not any("/".join(parts[:i]) in names for i in range(1, len(parts)))


@contextlib.contextmanager
def put_in_place(target: str | Path) -> Iterator[Path]:
    """A path to write a file or folder at; it takes its place when all is written, or nothing happens.

    Raises
    ------
    WriteFailed
        No space, no permission, no such folder, or a folder that holds other things.
    """
    target = Path(os.path.abspath(target))
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            _check_ours(target)
        yield partial
        if target.is_dir() or partial.is_dir():
            _swap(partial, target)
        else:
            os.replace(partial, target)
    except (OSError, RuntimeError) as error:  # h5py raises RuntimeError where closing finds the disk full
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise WriteFailed(
            f"Writing {target} failed: {reason}. What was there before is untouched; free space, mend permissions or "
            "give another path, and run the same command again."
        ) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                partial.unlink()


def _check_ours(folder: Path) -> None:
    """An export may take the place of an earlier one, never of anything else."""
    strangers = [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(_OURS)]
    ours = (folder / MARKER).exists() or not any(folder.iterdir())
    if strangers or not ours:
        raise WriteFailed(
            f"The folder {folder} holds things that are no export of zsar. Give another path, or an empty folder."
        )


def _swap(partial: Path, target: Path) -> None:
    old = partial.with_suffix(".old")
    if target.exists():
        os.replace(target, old)
    os.replace(partial, target)
    if old.is_dir():
        shutil.rmtree(old)
    elif old.exists():
        old.unlink()


_OURS = (".npy", ".json", ".lance", ".manifest", ".txn")
MARKER = "zsar.json"  # in a folder of npy files: names, keys and recipe
