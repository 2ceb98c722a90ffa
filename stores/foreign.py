"""Features in files of others' and for others: one way in, one way out.

    read_foreign(path) ──▶ Foreign ──▶ write_foreign(path, format, layout)

    hdf5     ragged      one file, see `hdf5.py`
             per-video   one file, a dataset a video id
    npy      ragged      a folder of values.npy, offsets.npy, keys.npy, times.npy, video_id.json; or an .npz of the same
             per-video   a folder of ID.npy, each (r, D) or (1, D)
    parquet  ragged      a table row a feature row, see `row_tables.py`
    lance    ragged      the same, in a folder NAME.lance

A folder that was written here also holds `zsar.json`: the recipe and, per video, names and keys. What else is known of
videos (label, split, uri, ...) and of rows (text) lies beside: arrays of an npz, `about.json` and `beside.json` of a
folder, columns. Nothing is ever unpickled. Equal features give equal bytes, but in Lance, which draws names of files.

Files of others may have ids and values under other names (`ids`, `features`). What extractors write beside features
(`ID_fps`, `ID_timestamps_ms`) is none: it is named as `unread`, and the milliseconds become times where they fit.
"""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from stores import hdf5, row_tables
from stores.errors import BadFile
from stores.keys import KEY_BYTES
from stores.ragged import (
    MARKER,
    Foreign,
    Gathered,
    Rows,
    Watched,
    blocks,
    checked,
    named_parts,
    put_in_place,
    safe_names,
    stacked,
    told,
)
from untrusted import arrays
from untrusted.limits import Unsafe

__all__ = [
    "FORMATS",
    "MARKER",
    "SUFFIXES",
    "Foreign",
    "Gathered",
    "Rows",
    "Watched",
    "is_feature_file",
    "read_foreign",
    "write_foreign",
]

SUFFIXES = (*hdf5.SUFFIXES, ".npy", ".npz", ".parquet", ".lance")
_MAP_ABOVE_BYTES = 1 << 20
_STAMPS = "_timestamps_ms"
_BESIDE = ("_fps", _STAMPS)  # video_features writes them beside ID_clip and ID_resnet
_KNOWN = "HDF5 or npz (values, offsets, video_id; or an array a video), a folder of .npy, Parquet (video_id, values)"


def is_feature_file(path: str | Path) -> bool:
    """True if the name ends like a file of features."""
    return Path(path).suffix.lower() in SUFFIXES


def read_foreign(path: str | Path) -> Foreign:
    """Features from a file or folder, in any layout known here.

    Raises
    ------
    BadFile
        There is no such file, it cannot be read, or its layout is not known; nothing is guessed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            return row_tables.read_lance(path) if suffix == ".lance" else _read_folder(path)
        if suffix in hdf5.SUFFIXES:
            return hdf5.read(path)
        if suffix == ".npy":
            return _read_folder(path.parent) if _is_ragged(path.parent) and path.stem == "values" else _one(path)
        if suffix == ".npz":
            return _read_npz(path)
        if suffix == ".parquet":
            return row_tables.read_parquet(path)
    except FileNotFoundError:
        raise BadFile(f"There is no file of features {str(path)!r}. Check the spelling.") from None
    except Unsafe as error:
        raise BadFile(f"{path} {error}.") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "allow_pickle" in reason:
            raise BadFile(
                f"{path} cannot be read: it holds pickled Python objects, which are never loaded (allow_pickle=False), "
                "for they can run code. Save plain arrays where it was made: `np.savez(FILE, **{ID: array, ...})`."
            ) from error
        raise BadFile(
            f"{path} cannot be read: {reason}. It is cut short or of another kind; known are {_KNOWN}."
        ) from error
    if not path.exists():
        raise BadFile(f"There is no file of features {str(path)!r}. Check the spelling.")
    raise BadFile(f"{path} is of no layout known here; known are {_KNOWN}.")


def write_foreign(path: str | Path, features: Foreign, format: str, layout: str = "ragged") -> None:
    """Write features; the file or folder appears whole or not at all.

    Raises
    ------
    BadFile
        No such format and layout; a name that the format cannot hold.
    WriteFailed
        Nothing was written; what was there before is untouched.
    """
    if (format, layout) not in FORMATS:
        known = ", ".join(f"{f} {kind}" for f, kind in FORMATS)
        raise BadFile(f"No export is called {format!r} {layout!r}; there are: {known}.")
    _refuse_names(features.video_id, format)
    FORMATS[format, layout](path, features)


def _refuse_names(video_ids: Sequence[str], format: str) -> None:
    """Names that a format cannot hold: halves of characters nowhere, NUL not in HDF5."""
    for name in video_ids:
        is_half = any("\ud800" <= character <= "\udfff" for character in name)
        if is_half or ("\0" in name and format == "hdf5"):
            what = "half a character (a surrogate)" if is_half else "a NUL"
            mend = "Rename it and index again" if is_half else "Export as npy or parquet"
            raise BadFile(f"The video id {ascii(name)[:100]} holds {what}, which {format} does not. {mend}.")


# -- npy --------------------------------------------------------------------------------------------------------------


def _is_ragged(folder: Path) -> bool:
    return (folder / "values.npy").is_file() and any((folder / f"video_id{s}").is_file() for s in (".json", ".npy"))


def _load(path: Path, mapped: bool = False) -> np.ndarray:
    if mapped and path.stat().st_size > _MAP_ABOVE_BYTES:
        return arrays.mapped(path)
    return arrays.npy(path)


def _one(path: Path) -> Foreign:
    return stacked(path, [path.stem], [_load(path)], None)


def _read_folder(folder: Path) -> Foreign:
    marker = _marker(folder)
    if "items" not in marker and _is_ragged(folder):
        return _read_ragged(folder, marker)
    if "items" in marker:
        files, ids, keys = ([item[i] for item in marker["items"]] for i in range(3))
        _refuse_outside(folder, files)
        found = None if None in keys else _keys_of(keys)
        features = stacked(folder, ids, [_load(folder / name) for name in files], found)
        return Foreign(ids, found, features.values, features.offsets, None, marker.get("recipe"))
    there = [p for p in folder.rglob("*.npy") if p.is_file() and not p.name.startswith(".")]
    names = sorted(p.relative_to(folder).as_posix().removesuffix(".npy") for p in there)
    beside = _beside(names)
    if not (names := [name for name in names if name not in beside]):
        raise BadFile(f"The folder {folder} holds no features; known are {_KNOWN}.")
    features = stacked(folder, names, [_load(folder / f"{name}.npy") for name in names], None)
    times = _instants(folder, features, beside)
    return dataclasses.replace(features, times=times, unread=tuple(sorted(beside)))


def _refuse_outside(folder: Path, files: Sequence[Any]) -> None:
    """A marker names files of its own folder: anything else would be read into a store unseen by its digest."""
    own = folder.resolve()
    for name in files:
        if not isinstance(name, str) or not name.endswith(".npy") or not _is_below(folder / name, own):
            raise BadFile(
                f"{folder / MARKER} names {str(name)[:100]!r}, and features lie in its folder, in .npy files. "
                "Nothing outside it is read; take the marker away to read the .npy files by their names."
            )


def _is_below(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder)
    except (ValueError, OSError, RuntimeError):  # a NUL, a ring of links
        return False


def _beside(names: Sequence[str]) -> dict[str, str]:
    """What lies beside the features of a video and is none, as extractors call it: the name to that of the video."""
    ends = ((name, name.removesuffix(end)) for name in names for end in _BESIDE if name.endswith(end))
    stems = {name.rpartition("_")[0] for name in names if not name.endswith(_BESIDE)} | set(names)
    return {name: stem for name, stem in ends if stem in stems}


def _instants(folder: Path, features: Foreign, beside: Mapping[str, str]) -> np.ndarray | None:
    """(rows, 2) times of the frames, where each video has a file of as many rising milliseconds as it has rows."""
    stamps = {stem: name for name, stem in beside.items() if name.endswith(_STAMPS)}
    parts = []
    for item, name in enumerate(features.video_id):
        beside_it = stamps.get(name) or stamps.get(name.rpartition("_")[0])
        found = np.empty(0) if beside_it is None else _load(folder / f"{beside_it}.npy")
        fits = found.ndim == 1 and found.dtype.kind in "fiu" and len(found) == np.diff(features.offsets)[item]
        if beside_it is None or not fits or not np.isfinite(found).all() or (np.diff(found) < 0).any():
            return None
        parts.append(found)
    seconds = (np.concatenate(parts) / 1000).astype(np.float32)
    return np.stack([seconds, seconds], 1)


def _marker(folder: Path) -> dict[str, Any]:
    marker = _json(folder / MARKER) if (folder / MARKER).is_file() else {}
    items = marker.get("items", []) if isinstance(marker, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, list) and len(item) == 3 for item in items):
        raise BadFile(
            f"{folder / MARKER} is not what an export writes. Take it away to read the .npy files by their names."
        )
    return dict(marker)


def _read_ragged(folder: Path, marker: dict[str, Any]) -> Foreign:
    values = _load(folder / "values.npy", mapped=True)
    as_json = folder / "video_id.json"
    video_id = _json(as_json) if as_json.is_file() else _load(folder / "video_id.npy").tolist()
    side = {
        name: _load(folder / f"{name}.npy") if (folder / f"{name}.npy").is_file() else None
        for name in ("offsets", "keys", "times")
    }
    return _from_parts(folder, video_id, values, side, marker.get("recipe"))


def _from_parts(
    path: Path, video_id: Any, values: np.ndarray, side: dict[str, np.ndarray | None], recipe: dict[str, Any] | None
) -> Foreign:
    if not isinstance(video_id, list) or not all(isinstance(name, str) for name in video_id) or values.ndim == 0:
        raise BadFile(
            f"{path}: video_id must be a list of names and values (rows, D), "
            f"got {type(video_id).__name__} and {values.shape}."
        )
    offsets, times = side["offsets"], side["times"]
    offsets = np.arange(len(video_id) + 1) if offsets is None else offsets
    times = None if times is None else times.astype(np.float32)
    return checked(Foreign(video_id, side["keys"], values, offsets.astype(np.int64), times, recipe), path)


def _read_npz(path: Path) -> Foreign:
    found = arrays.npz(path)
    if not (parts := named_parts(list(found))):
        return stacked(path, list(found), list(found.values()), None)
    recipe = json.loads(found["recipe"].item()) if "recipe" in found else None
    side = {name: found.get(name) for name in ("offsets", "keys", "times")}
    features = _from_parts(path, _texts(found[parts["video_id"]]), found[parts["values"]], side, recipe)
    unread = set(found) - {*parts.values(), *side, "recipe"}
    return dataclasses.replace(features, unread=tuple(sorted(unread)))


def _texts(names: np.ndarray) -> list[Any]:
    return [name.decode() if isinstance(name, bytes) else name for name in names.tolist()]


def _write_npy_ragged(path: str | Path, features: Foreign) -> None:
    if Path(path).suffix.lower() == ".npz":
        _write_npz(path, features)
        return
    with put_in_place(path) as folder:
        folder.mkdir()
        for name, values in _arrays(features):
            with open(folder / f"{name}.npy", "wb") as file:
                _stream(file, values)
        _write_json(folder / f"{features.named}.json", features.video_id)
        for name, table in (("about", features.about), ("beside", features.beside)):
            if table is not None:
                _write_json(folder / f"{name}.json", table.to_pydict())
        _write_json(folder / MARKER, {"layout": "ragged", "recipe": features.recipe})


def _write_npz(path: str | Path, features: Foreign) -> None:
    texts = [(features.named, np.array(features.video_id, np.str_)), *told(features, np.str_)]
    if features.recipe is not None:
        texts.append(("recipe", np.array(json.dumps(features.recipe, sort_keys=True))))
    with put_in_place(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, values in [*_arrays(features), *texts]:
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                _stream(file, values)


def _arrays(features: Foreign) -> Iterator[tuple[str, Rows]]:
    yield "values", features.values
    yield "offsets", features.offsets
    if features.keys is not None:
        yield "keys", features.keys
    if features.times is not None:
        yield "times", features.times


def _stream(file: IO[bytes], values: Rows) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(values.dtype), "fortran_order": False, "shape": values.shape}
    np.lib.format.write_array_header_1_0(file, header)
    if values.shape == ():
        file.write(np.asarray(values).tobytes())
        return
    for _, block in blocks(values):
        file.write(np.ascontiguousarray(block).tobytes())


def _write_npy_per_video(path: str | Path, features: Foreign) -> None:
    names = [f"{name}.npy" for name in safe_names(features.video_id, ".npy")]
    with put_in_place(path) as folder:
        folder.mkdir()
        for item, name in enumerate(names):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, features.rows(item), allow_pickle=False)
        keys = [None] * len(names) if features.keys is None else [key.tobytes().hex() for key in features.keys]
        marker: dict[str, Any] = {"layout": "per-video", "recipe": features.recipe}
        marker["items"] = list(zip(names, features.video_id, keys, strict=True))
        if features.about is not None:
            marker["about"] = features.about.to_pydict()
        _write_json(folder / MARKER, marker)


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, sort_keys=True), "utf-8")


def _keys_of(texts: list[str]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(texts)), np.uint8).reshape(-1, KEY_BYTES)


FORMATS: dict[tuple[str, str], Callable[[str | Path, Foreign], None]] = {
    ("hdf5", "ragged"): hdf5.write_ragged,
    ("hdf5", "per-video"): hdf5.write_per_video,
    ("npy", "ragged"): _write_npy_ragged,
    ("npy", "per-video"): _write_npy_per_video,
    ("parquet", "ragged"): row_tables.write_parquet,
    ("lance", "ragged"): row_tables.write_lance,
}
