"""Imports: features made elsewhere, kept like our own under a recipe that says so.

Run    `zsar index FILE.h5 --dataset D` (also .npz, .npy, .parquet, or a folder of .npy)
Takes  a file of features; content keys from the file, or by video id through the manifest of the data set
Gives  a feature set `imported@...` with the recipe `imported:` + the file's digest, and an `ImportReport`

Video ids are matched as they stand; an id that the data set does not have is tried as the last part of a path, if
only one video ends so (files of others name videos without their folders). A second import of one file adds nothing.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from extractors.errors import NotFinite
from extractors.recipe import Recipe
from pipelines.errors import UsageError
from stores.errors import BadFile
from stores.failures import Failure, Failures
from stores.features import FeatureStore, ItemRows
from stores.foreign import Foreign, read_foreign
from stores.keys import KEY_BYTES, stream_key
from stores.manifest import Manifest
from stores.root import Root

_COMMIT_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    path : the file or folder
    feature : name of the feature set
    items, rows : what the file holds
    added : contents the feature set did not have before
    unknown : video ids that the data set does not have, sorted
    refused : video ids with NaN, infinity or no row at all, sorted
    """

    path: str
    feature: str
    items: int
    rows: int
    added: int
    unknown: tuple[str, ...]
    refused: tuple[str, ...]


def import_features(path: str, dataset: str, root: Root) -> ImportReport:
    """Copy a file of features into the store.

    Parameters
    ----------
    path : str
        A local file or folder, in any layout `stores.foreign` reads.
    dataset : str
        Whose video ids the file speaks of; needed where the file has no content keys.
    root : Root

    Raises
    ------
    BadFile
        The file cannot be read, or its layout is not known.
    UsageError
        A URL; a file that shares no video with the data set.
    NotInStore
        The file has no keys and the data set was never indexed.
    """
    if "://" in path:
        raise UsageError(
            f"Features are imported from a local file or folder, got {path!r}. Copy it to this machine first."
        )
    features = read_foreign(path)
    keys, known = keys_of(features, dataset, root)
    unknown = sorted(features.video_id[i] for i in np.flatnonzero(~known))
    if not known.any():
        raise UsageError(
            f"None of the {len(known)} video ids in {path} is in data set {dataset!r} "
            f"(the first: {', '.join(map(repr, unknown[:3]))}). "
            "Index the videos first, or name the data set they belong to."
        )
    recipe = _recipe(features, path)
    outputs = {"features": (tuple(features.values.shape[1:]), features.values.dtype.name)}
    feature_set = FeatureStore(root).create(recipe.name, recipe.to_dict(), recipe.key, outputs)
    refused: dict[int, tuple[str, str]] = {}
    added = sum(feature_set.append(batch) for batch in _batches(_items(features, keys, known, refused), features))
    failures = [
        Failure(keys[i].tobytes(), path, dataset, recipe.key, recipe.name, "import", error, message, 1)
        for i, (error, message) in refused.items()
    ]
    Failures(root).append(failures)
    names = tuple(sorted(features.video_id[i] for i in refused))
    return ImportReport(path, recipe.name, len(known), features.values.shape[0], added, tuple(unknown), names)


def keys_of(features: Foreign, dataset: str | None, root: Root) -> tuple[np.ndarray, np.ndarray]:
    """Content keys of a file's videos.

    Returns
    -------
    keys : (n, 32) uint8, zero where not known
    known : (n,) bool

    Raises
    ------
    UsageError
        The file has no keys and no data set was named.
    NotInStore
        The data set was never indexed.
    """
    if features.keys is not None:
        return features.keys, np.ones(len(features.keys), bool)
    if dataset is None:
        raise UsageError(
            "The file has video ids but no content keys, so it must be known whose ids they are. "
            "Name the data set with --dataset."
        )
    table = Manifest(root).read(dataset, columns=["video_id", "key"])
    by_id = dict(zip(table["video_id"].to_pylist(), table["key"].to_pylist(), strict=True))
    by_end = _by_end(table)
    found = [by_id.get(video_id) or by_end.get(video_id) for video_id in features.video_id]
    keys = np.frombuffer(b"".join(key or bytes(KEY_BYTES) for key in found), np.uint8).reshape(-1, KEY_BYTES)
    return keys, np.array([key is not None for key in found], bool)


def _by_end(table: pa.Table) -> dict[str, bytes | None]:
    """Key by last part of the video id; None where several contents share it."""
    by_end: dict[str, bytes | None] = {}
    for video_id, key in zip(table["video_id"].to_pylist(), table["key"].to_pylist(), strict=True):
        end = video_id.rpartition("/")[2]
        by_end[end] = key if by_end.get(end, key) == key else None
    return by_end


def _items(
    features: Foreign, keys: np.ndarray, known: np.ndarray, refused: dict[int, tuple[str, str]]
) -> Iterator[ItemRows]:
    """The rows of each known video; what cannot be kept goes to `refused`."""
    seen = set()
    for item in np.flatnonzero(known).tolist():
        key = keys[item].tobytes()
        rows, name = features.rows(item), features.video_id[item]
        if len(rows) == 0:
            refused[item] = "NoRows", f"{name!r} has no row at all. Extract it again where it was made."
        elif rows.dtype.kind == "f" and not np.isfinite(rows).all():
            message = f"{name!r} holds NaN or infinity. Extract it again where it was made."
            refused[item] = NotFinite.__name__, message
        elif key not in seen:  # twins: one row set, the first
            seen.add(key)
            times = (
                None if features.times is None else features.times[features.offsets[item] : features.offsets[item + 1]]
            )
            yield ItemRows(key, {"features": rows}, times)


def _batches(items: Iterable[ItemRows], features: Foreign) -> Iterator[list[ItemRows]]:
    row_bytes = features.values.dtype.itemsize * int(np.prod(features.values.shape[1:]))
    batch: list[ItemRows] = []
    rows = 0
    for item in items:
        batch.append(item)
        rows += len(item.values["features"])
        if rows * row_bytes >= _COMMIT_BYTES:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _recipe(features: Foreign, path: str) -> Recipe:
    shape, dtype = list(features.values.shape[1:]), features.values.dtype.name
    outputs = {"features": {"shape": shape, "dtype": dtype}}
    return Recipe("imported", 1, f"imported:{_digest(Path(path))}", {}, {}, outputs, source=_source(features))


def _source(features: Foreign) -> str | None:
    """Key of the recipe the file itself names."""
    try:
        return Recipe.from_dict(features.recipe).key if features.recipe else None
    except TypeError:
        return None


def _digest(path: Path) -> str:
    """Digest of the file, or of names and digests of a folder's files."""
    try:
        if path.is_dir():
            names = sorted(
                p.relative_to(path).as_posix()
                for p in path.rglob("*")
                if p.is_file() and p.name.endswith((".npy", ".json"))
            )
            listed = "".join(f"{name}\0{_digest(path / name)}\n" for name in names)
            return hashlib.blake2b(listed.encode(), digest_size=KEY_BYTES).hexdigest()
        with open(path, "rb") as file:
            return stream_key(file).hex()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}. Mend its permissions.") from error
