"""Features in HDF5, out and in.

Ragged: datasets `values` (rows, ...), `offsets` (n + 1,) int64, `keys` (n, 32) uint8, `video_id` (n,) UTF-8 and, for
video, `times` (rows, 2) float32. Per-video: a dataset (r, ...) a video id, with its `video_id`, `key` and `position` as
attributes and the root's `layout`; a file from elsewhere needs none of them, and may have its ids and values under
other names (`ids`, `features`). In both the root's attribute `recipe` is JSON. No times of creation are stored: equal
features give equal bytes. What else is known of videos (label, split, uri, ...) and rows (text) are datasets of their
length, texts empty and numbers NaN where nothing is known; per video, attributes.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stores.errors import BadFile
from stores.ragged import Foreign, blocks, checked, named_parts, put_in_place, safe_names, stacked, told
from untrusted import hdf5 as guarded
from untrusted.limits import Unsafe
from untrusted.names import few

SUFFIXES = (".h5", ".hdf5")
_PER_VIDEO = "per-video"


def write_ragged(path: str | Path, features: Foreign) -> None:
    """Write the ragged layout, 64 MiB at a time.

    Raises
    ------
    WriteFailed
        Nothing was written; what was there before is untouched.
    """
    with put_in_place(path) as partial, h5py.File(partial, "w") as file:
        _write_recipe(file, features.recipe)
        values = _create(file, "values", features.values.shape, features.values.dtype)
        for start, block in blocks(features.values):
            values[start : start + len(block)] = block
        _put(file, "offsets", features.offsets)
        for name, column in [(features.named, np.array(features.video_id, object)), *told(features, object)]:
            kind = h5py.string_dtype("utf-8") if column.dtype == object else column.dtype
            _create(file, name, column.shape, kind)[:] = column
        if features.keys is not None:
            _put(file, "keys", features.keys)
        if features.times is not None:
            _put(file, "times", features.times)


def write_per_video(path: str | Path, features: Foreign) -> None:
    """Write a dataset a video id; times are not kept.

    Raises
    ------
    WriteFailed
        Nothing was written; what was there before is untouched.
    """
    with put_in_place(path) as partial, h5py.File(partial, "w") as file:
        _write_recipe(file, features.recipe)
        file.attrs["layout"] = _PER_VIDEO
        about = [{}] * len(features.video_id) if features.about is None else features.about.to_pylist()
        for item, name in enumerate(safe_names(features.video_id)):
            dataset = _put(file, name, features.rows(item))
            dataset.attrs["video_id"] = features.video_id[item]
            dataset.attrs["position"] = item
            if features.keys is not None:
                dataset.attrs["key"] = features.keys[item]
            for known, value in about[item].items():
                if value is not None:
                    dataset.attrs[known] = value


def read(path: str | Path) -> Foreign:
    """Read either layout; large values are mapped, not read, where the file allows.

    Raises
    ------
    BadFile
        No HDF5, neither layout, or parts that contradict each other.
    """
    try:
        with guarded.opened(path, Path(path).stat().st_size) as file:
            top = file.top
            parts = {} if top.attrs.get("layout") == _PER_VIDEO else named_parts(list(top))
            return _ragged(path, file, parts) if parts else _per_video(path, file)
    except FileNotFoundError:
        raise
    except Unsafe as error:
        raise BadFile(f"{path} {error}.") from error
    except (OSError, RuntimeError, KeyError) as error:
        raise BadFile(
            f"{path} cannot be read as HDF5: {str(error).splitlines()[0]}. It is cut short or of another kind."
        ) from error


def _ragged(path: str | Path, file: guarded.File, parts: dict[str, str]) -> Foreign:
    top = file.top
    there = parts | {name: name for name in ("offsets", "keys", "times") if name in top}
    for name in there.values():
        if not isinstance(top[name], h5py.Dataset):
            raise BadFile(
                f"{path}: {name!r} must be a dataset, it is a group. Give a file of a layout that `zsar export` writes."
            )
    values, names = top[parts["values"]], top[parts["video_id"]]
    if values.ndim == 0 or names.ndim != 1 or h5py.check_string_dtype(names.dtype) is None:
        raise BadFile(
            f"{path}: needs values (rows, D) and video_id (n) of strings, got {values.shape} and "
            f"{names.shape} {names.dtype}."
        )
    video_id = [str(name) for name in file.texts(names)]
    side = {name: file.numbers(top[name]) for name in ("offsets", "keys", "times") if name in there}
    for name, array in side.items():
        if array.dtype.kind not in "fiu":
            raise BadFile(f"{path}: {name!r} must be numbers, got {array.dtype}.")
    return checked(
        Foreign(
            video_id,
            side.get("keys"),
            _values(path, file, values),
            side.get("offsets", np.arange(len(video_id) + 1)).astype(np.int64),
            side["times"].astype(np.float32) if "times" in side else None,
            _recipe(path, top),
            tuple(sorted(set(top) - set(there.values()))),
        ),
        path,
    )


def _values(path: str | Path, file: guarded.File, dataset: Any) -> np.ndarray:
    if h5py.check_vlen_dtype(dataset.dtype) is not None:
        return _of_lists(path, file, dataset)
    offset = dataset.id.get_offset()
    if offset is None or dataset.size == 0 or dataset.dtype.kind not in "fiub":
        return file.numbers(dataset)
    return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)


def _of_lists(path: str | Path, file: guarded.File, dataset: Any) -> np.ndarray:
    """(n, D) of n lists of equal length; of others nobody can tell how many rows each is."""
    lists = file.lists(dataset)
    lengths = sorted({len(one) for one in lists})
    if len(lengths) != 1:
        raise BadFile(
            f"{path}: {dataset.name!r} holds flat lists of {few(lengths, 3)} numbers, and nothing "
            "says how many rows each is. Save a dataset (rows, D) a video, or all rows with `offsets`."
        )
    return np.stack(lists)


def _per_video(path: str | Path, file: guarded.File) -> Foreign:
    found: list[tuple[int, str, Any]] = []
    ours = file.top.attrs.get("layout") == _PER_VIDEO

    def visit(name: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset):
            attributes = thing.attrs if ours else {}
            found.append((int(attributes.get("position", len(found))), str(attributes.get("video_id", name)), thing))

    file.top.visititems(visit)
    found.sort(key=lambda entry: entry[0])
    datasets = [dataset for _, _, dataset in found]
    keys = None
    if ours and datasets and all("key" in dataset.attrs for dataset in datasets):
        keys = np.stack([np.asarray(dataset.attrs["key"], np.uint8) for dataset in datasets])
    for _, name, dataset in found:
        if dataset.ndim == 0 or dataset.dtype.kind not in "fiub":
            raise BadFile(
                f"{path}: neither `values` with `video_id` nor a dataset of numbers a video: "
                f"{name!r} is {dataset.shape} {dataset.dtype}. Give a file of a layout that `zsar export` writes."
            )
    features = stacked(path, [name for _, name, _ in found], [file.numbers(dataset) for dataset in datasets], keys)
    return Foreign(features.video_id, keys, features.values, features.offsets, None, _recipe(path, file.top))


def _recipe(path: str | Path, file: Any) -> dict[str, Any] | None:
    text = file.attrs.get("recipe")
    if text is None:
        return None
    try:
        recipe = json.loads(text)
    except (TypeError, ValueError):
        recipe = None
    if not isinstance(recipe, dict):
        raise BadFile(f"{path}: the attribute 'recipe' must be a JSON object, got {str(text)[:60]!r}.")
    return recipe


def _write_recipe(file: Any, recipe: dict[str, Any] | None) -> None:
    if recipe is not None:
        file.attrs["recipe"] = json.dumps(recipe, sort_keys=True)


def _create(file: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    return file.create_dataset(name, shape=shape, dtype=dtype, track_times=False)


def _put(file: Any, name: str, values: np.ndarray) -> Any:
    return file.create_dataset(name, data=values, track_times=False)
