"""Imports: features made elsewhere, kept like our own under a recipe that says so.

Run    `zsar index FILE.h5 --dataset D` (also .npz, .npy, .parquet, or a folder of .npy)
Takes  a file of features; content keys from the file, or by video id through the manifest of the data set
Gives  a feature set `imported@...` with the recipe `imported:` + the file's digest, and an `ImportReport`

Video ids are matched as `spellings.py` says. A second import of one file adds nothing. Features are kept as they are,
but for the order of bytes; what would become infinity where it is used (training reads float32) is refused.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from extractors.errors import NotFinite
from extractors.recipe import Recipe
from pipelines.errors import UsageError
from pipelines.index.foreign_ids import unknown_message, whose
from pipelines.index.spellings import AS_IT_STANDS, counted, first
from stores.errors import BadFile
from stores.failures import Failure, Failures
from stores.features import FeatureStore, ItemRows
from stores.foreign import Foreign, read_foreign
from stores.keys import KEY_BYTES, stream_key
from stores.root import Root
from untrusted import places

_COMMIT_BYTES = 256 << 20
_LARGEST = float(np.finfo(np.float32).max)


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
    refused : video ids with NaN, infinity, numbers beyond float32, or no row at all, sorted
    matched : how many ids were found by which rules of `spellings.py`, the most first; empty for a file with keys
    ambiguous : those of the unknown that are alike to several ids of the data set, or several to one
    lacking : video ids of the data set that the file has no features of, sorted
    unread : names of arrays in the file that are no features
    """

    path: str
    feature: str
    items: int
    rows: int
    added: int
    unknown: tuple[str, ...]
    refused: tuple[str, ...]
    matched: dict[str, int] = dataclasses.field(default_factory=dict)
    ambiguous: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def told(self) -> list[str]:
        """What must be said in words, a line each."""
        lines = []
        if set(self.matched) - {AS_IT_STANDS}:
            lines.append(f"Ids of {self.path} matched: {counted(self.matched)}.")
        if self.unknown or self.lacking:
            lines.append(
                f"{len(self.unknown)} ids of {self.path} are not in the data set: {first(self.unknown)}; "
                f"{len(self.lacking)} of the data set are not in the file: {first(self.lacking)}."
            )
        if self.ambiguous:
            lines.append(
                f"{len(self.ambiguous)} ids are alike to several and were not matched: {first(self.ambiguous)}."
            )
        if self.refused:
            lines.append(f"{len(self.refused)} were refused: {first(self.refused)}; `zsar list failures` says why.")
        if self.unread:
            lines.append(f"{len(self.unread)} other arrays of the file are no features: {first(self.unread)}.")
        return lines


def features_of(path: str) -> Foreign:
    """Features of a file, if a feature set can be made of them.

    Raises
    ------
    BadFile
        The file cannot be read, or its layout is not known.
    UsageError
        A URL; rows that are no vectors.
    """
    if "://" in path:
        raise UsageError(
            f"Features are imported from a local file or folder, got {path!r}. Copy it to this machine first."
        )
    features = read_foreign(path)
    shape, dtype = features.values.shape[1:], features.values.dtype
    if 0 in shape:
        raise UsageError(f"The rows of {path} hold no number: they are {tuple(shape)}. Extract them again.")
    if len(shape) > 1 and features.recipe is None:
        if max(shape) < np.prod(shape):
            raise UsageError(
                f"A row of features is D numbers, and those of {path} are {tuple(shape)}: several crops, places of a "
                "picture, or a batch? Save one vector a row: `x.mean(1)` of (rows, crops, D), `x.mean((2, 3))` of "
                "(rows, D, H, W), `x[0]` of (1, rows, D)."
            )
        # (rows, D, 1, 1), as pooling leaves it
        features = dataclasses.replace(features, values=features.values[:].reshape(-1, max(shape)))
    if dtype.itemsize > 8:
        raise UsageError(f"{path} holds {dtype.name}, which no table holds. Save float32: `x.astype('float32')`.")
    return features


def import_features(path: str, features: Foreign, dataset: str, root: Root) -> ImportReport:
    """Copy a file of features into the store.

    Parameters
    ----------
    path : str
        The file or folder.
    features : Foreign
        What it holds.
    dataset : str
        Whose video ids the file speaks of; needed where the file has no content keys.
    root : Root

    Raises
    ------
    BadFile
        The file cannot be read again for its digest.
    UsageError
        A file that shares no video with the data set, or none of whose features can be kept.
    """
    who = whose(path, features, dataset, root)
    if not who.known.any():
        raise UsageError(unknown_message(path, features, who, dataset))
    recipe = _recipe(features, path)
    outputs = {"features": (tuple(features.values.shape[1:]), features.values.dtype.name)}
    refused: dict[int, tuple[str, str]] = {}
    added, feature_set = 0, None
    for batch in _batches(_items(features, who.keys, who.known, refused), features):
        feature_set = feature_set or FeatureStore(root).create(recipe.name, recipe.to_dict(), recipe.key, outputs)
        added += feature_set.append(batch)
    failures = [
        Failure(who.keys[i].tobytes(), path, dataset, recipe.key, recipe.name, "import", error, message, 1)
        for i, (error, message) in refused.items()
    ]
    if feature_set is None:
        raise UsageError(
            f"None of the {len(refused)} features in {path} can be kept: {next(iter(refused.values()))[1]}"
        )
    Failures(root).append(failures)
    return ImportReport(
        path=path,
        feature=recipe.name,
        items=len(who.known),
        rows=features.values.shape[0],
        added=added,
        unknown=tuple(sorted(features.video_id[i] for i in np.flatnonzero(~who.known))),
        refused=tuple(sorted(features.video_id[i] for i in refused)),
        matched=who.rules,
        ambiguous=who.ambiguous,
        lacking=who.lacking,
        unread=features.unread,
    )


def _items(
    features: Foreign, keys: np.ndarray, is_known: np.ndarray, refused: dict[int, tuple[str, str]]
) -> Iterator[ItemRows]:
    """The rows of each known video; what cannot be kept goes to `refused`."""
    seen = set()
    for item in np.flatnonzero(is_known).tolist():
        key = keys[item].tobytes()
        rows, name = features.rows(item), features.video_id[item]
        if len(rows) == 0:
            refused[item] = "NoRows", f"{name!r} has no row at all. Extract it again where it was made."
        elif rows.dtype.kind == "f" and not np.isfinite(rows).all():
            message = f"{name!r} holds NaN or infinity. Extract it again where it was made."
            refused[item] = NotFinite.__name__, message
        elif rows.dtype == np.float64 and np.abs(rows).max() > _LARGEST:
            message = (
                f"{name!r} holds {np.abs(rows).max():.3g}, and training reads float32, which ends at {_LARGEST:.3g}. "
                "Scale the features where they were made."
            )
            refused[item] = "TooLarge", message
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
        with places.opened(path) as file:
            return stream_key(file).hex()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}. Mend that, and run again.") from error
