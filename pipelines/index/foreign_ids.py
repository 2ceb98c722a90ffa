"""Whose features are these: the ids of a file of features, found among those of a data set.

Takes  a file of features as `stores.foreign` reads it; the manifest of the data set
Gives  the content key of each of its videos, by which rule of `spellings.py` each was found, and who is missing where

`zsar index FILE` and `zsar compare A FILE` both ask here. A file with content keys speaks for itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.index.spellings import first, match, streams
from stores.foreign import Foreign
from stores.keys import KEY_BYTES
from stores.manifest import Manifest
from stores.root import Root

_SOONER = ("video", "feature", "pose")  #: of several items that bear one id, features are of the first of these


class Known(NamedTuple):
    """Who is who.

    Attributes
    ----------
    keys : (n, 32) uint8 content keys of the file's videos, zero where not known
    known : (n,) bool
    rules : how many were found by which rules of spelling; empty for a file with keys
    ambiguous : ids that met several others, so that none was taken
    lacking : ids of the data set that the file has no features of, sorted
    """

    keys: np.ndarray
    known: np.ndarray
    rules: dict[str, int]
    ambiguous: tuple[str, ...]
    lacking: tuple[str, ...]


def whose(path: str, features: Foreign, dataset: str | None, root: Root) -> Known:
    """Find the videos of a file.

    Raises
    ------
    UsageError
        The file has no keys and no data set was named; it has several streams a video.
    NotInStore
        The file has no keys and the data set was never indexed.
    """
    if features.keys is not None:
        there = dataset is not None and dataset in Manifest(root).datasets()
        table = _items(root, dataset) if there and dataset is not None else pa.table({"video_id": [], "key": []})
        held = {key.tobytes() for key in features.keys}
        lacking = [name for name, key in _pairs(table) if key not in held]
        return Known(features.keys, np.ones(len(features.keys), bool), {}, (), tuple(sorted(lacking)))
    if dataset is None:
        raise UsageError(
            "The file has video ids but no content keys, so it must be known whose ids they are. "
            "Name the data set with --dataset."
        )
    pairs = _pairs(_items(root, dataset))
    names, keys = [name for name, _ in pairs], [key for _, key in pairs]
    found, known = match(features.video_id, names, keys), set(names)
    refuse_streams(path, [name for name in features.video_id if name not in known])
    met = {keys[j] for j in found.at if j >= 0}
    own = b"".join(keys[j] if j >= 0 else bytes(KEY_BYTES) for j in found.at)
    return Known(
        np.frombuffer(own, np.uint8).reshape(-1, KEY_BYTES),
        np.array(found.at) >= 0,
        found.rules,
        found.ambiguous,
        tuple(sorted(name for name, key in pairs if key not in met)),
    )


def refuse_streams(path: str, ids: Sequence[str]) -> None:
    """Refuse a file that has several features of one video, or of some videos each another: `ID_rgb` and `ID_flow`.

    Raises
    ------
    UsageError
        The message names what the ids end in.
    """
    if ends := streams(ids):
        told = ", ".join(f"{count} ids end in {end!r}" for end, count in ends.items())
        raise UsageError(
            f"{path} holds several features a video ({told}), and one set is one feature. Put those of one ending "
            "into a folder or file of their own, and index each."
        )


def unknown_message(path: str, features: Foreign, who: Known, dataset: str | None) -> str:
    """What is said of a file that has none of a data set's videos: names of both sides."""
    several = f" {len(who.ambiguous)} of them are alike to several of its ids." if who.ambiguous else ""
    return (
        f"None of the {len(who.known)} video ids in {path} is in data set {dataset!r}: the file has "
        f"{first(sorted(features.video_id))}; the data set has {first(who.lacking)}.{several} "
        "Index the videos first, name the data set they belong to, or rename the ids of one side."
    )


def _items(root: Root, dataset: str) -> pa.Table:
    """The items that features may be of, those first that are sooner meant."""
    table = Manifest(root).read(dataset, columns=["video_id", "key", "kind"])
    kinds = table["kind"].to_pylist()
    rows = sorted((i for i, kind in enumerate(kinds) if kind in _SOONER), key=lambda i: _SOONER.index(kinds[i]))
    return table.take(pa.array(rows, pa.int64()))


def _pairs(table: pa.Table) -> list[tuple[str, bytes]]:
    """Ids and keys; of items that bear one id the first."""
    pairs: dict[str, bytes] = {}
    for name, key in zip(table["video_id"].to_pylist(), table["key"].to_pylist(), strict=True):
        pairs.setdefault(name, key)
    return list(pairs.items())
