"""The two sides of a comparison, each keyed alike: a feature set, and another or a file of features made elsewhere.

Takes  a root, names of feature sets, a file; a data set, whose ids the file speaks of
Gives  a `Side` each: keys, and the rows of a video; what of the file no content is known for

Both are keyed by content where both have keys, else the ids of the file are looked for among those of the data set.
Features that were there before their videos count as the videos', and a file of groups of captions is taken apart where
it has a row a caption.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipelines import feature_sets
from pipelines.index.foreign_ids import whose
from pipelines.look.export import loaded
from pipelines.look.settings import CompareConfig
from stores.captions import Captions
from stores.features import FeatureSet, positions
from stores.foreign import Foreign, Rows, is_feature_file, read_foreign
from stores.keys import keys_of
from stores.manifest import Manifest
from stores.ragged import rows_of
from stores.root import Root
from stores.scratch import scratch


@dataclasses.dataclass(frozen=True)
class Side:
    """Features of some videos, keyed.

    Attributes
    ----------
    name : of the feature set, or the path of the file
    keys : (n, 32) uint8
    values, offsets : ragged rows
    """

    name: str
    keys: np.ndarray
    values: Rows
    offsets: np.ndarray

    @property
    def dim(self) -> int:
        """Numbers a row."""
        return int(np.prod(self.values.shape[1:]))

    def rows(self, item: int) -> np.ndarray:
        """(r, D) float64 rows of one video."""
        rows = np.asarray(self.values[slice(int(self.offsets[item]), int(self.offsets[item + 1]))], np.float64)
        return rows.reshape(len(rows), self.dim)  # -1 says nothing where there is no row


class Sides(NamedTuple):
    """Both sides.

    Attributes
    ----------
    a, b : Side
    names : video id by content key
    unknown : names in the file that no content is known for
    rules : how many ids of the file were found by which rules of `spellings.py`
    """

    a: Side
    b: Side
    names: dict[bytes, str]
    unknown: list[str]
    rules: dict[str, int]

    def named(self, keys: np.ndarray) -> list[str]:
        """What contents are called: the first digits of the key where no id is known."""
        return [self.names.get(key.tobytes(), key.tobytes().hex()[:12]) for key in keys]


@contextlib.contextmanager
def opened(config: CompareConfig, root: Root) -> Iterator[Sides]:
    """Both sides of a comparison, as long as they are looked at.

    Raises
    ------
    UsageError
        A file with ids but no keys, and no data set was named.
    NotInStore, Ambiguous
        No feature set, output or data set is called so, or several are.
    BadFile
        B is a file of no layout known here.
    """
    names, twins = _names(config, root), _twins(config, root)
    with scratch("compare") as folder, contextlib.ExitStack() as stack:

        def of_set(name: str) -> Side:
            feature_set = feature_sets.find(root, name)
            keys = _wanted(feature_set, names)
            features = stack.enter_context(loaded(feature_set, keys, config.output, folder))
            return Side(feature_set.name, _of_videos(features.keys, twins), features.values, features.offsets)

        a = of_set(config.a)
        if is_feature_file(config.b) or os.path.exists(config.b):
            yield _with_file(a, config, root, names)
        else:
            yield Sides(a, of_set(config.b), names, [], {})


def _names(config: CompareConfig, root: Root) -> dict[bytes, str]:
    """Video id by content key; of twins the first."""
    if config.dataset is None:
        return {}
    table = Manifest(root).read(config.dataset, columns=["video_id", "key"])
    names = dict(reversed(list(zip(table["key"].to_pylist(), table["video_id"].to_pylist(), strict=True))))
    for caption in Captions(root).read(config.dataset, ["group", "place", "key"]).to_pylist():
        if caption["group"] in names:
            names.setdefault(caption["key"], f"{names[caption['group']]}#{caption['place']}")
    return names


def _twins(config: CompareConfig, root: Root) -> dict[bytes, bytes]:
    """Keys of features that were without their videos, and of the videos that have come since."""
    if config.dataset is None:
        return {}
    rows = Manifest(root).read(config.dataset, columns=["video_id", "key", "kind"]).to_pylist()
    videos = {row["video_id"]: row["key"] for row in rows if row["kind"] == "video"}
    return {
        row["key"]: videos[row["video_id"]] for row in rows if row["kind"] == "feature" and row["video_id"] in videos
    }


def _of_videos(keys: np.ndarray, twins: dict[bytes, bytes]) -> np.ndarray:
    """The same keys, but those of the videos where a set has the features under their names alone."""
    own = [key.tobytes() for key in keys]
    there = set(own)
    return keys_of(twins[key] if key in twins and twins[key] not in there else key for key in own)


def _wanted(feature_set: FeatureSet, names: dict[bytes, str]) -> np.ndarray:
    """Keys of a feature set, of one data set where one was named."""
    keys = feature_set.keys()
    return np.asarray(keys[positions(keys_of(names), keys) >= 0]) if names else keys


def _with_file(a: Side, config: CompareConfig, root: Root, names: dict[bytes, str]) -> Sides:
    """A beside a file, each content of it once."""
    features = read_foreign(config.b)
    who = whose(config.b, features, config.dataset, root)
    for i in np.flatnonzero(who.known):
        names.setdefault(who.keys[i].tobytes(), features.video_id[i])
    b = _texts_of(config, root, features, who.keys)
    if b is None:
        _, first = np.unique(who.keys, axis=0, return_index=True)
        keep = np.sort(first[who.known[first]])
        values, offsets = features.values, features.offsets
        if len(keep) < len(who.keys):
            order, offsets = rows_of(offsets, keep)
            values = np.asarray(values[:])[order]
        b = Side(config.b, who.keys[keep], values, offsets)
    return Sides(a, b, names, [features.video_id[i] for i in np.flatnonzero(~who.known)], who.rules)


def _texts_of(config: CompareConfig, root: Root, features: Foreign, keys: np.ndarray) -> Side | None:
    """The file's side by captions, where its items are groups of them with a row a caption; else None."""
    captions = Captions(root).read(config.dataset or "", ["group", "key"])
    own: dict[bytes, list[bytes]] = {}
    for group, key in zip(captions["group"].to_pylist(), captions["key"].to_pylist(), strict=True):
        own.setdefault(group, []).append(key)
    rows: dict[bytes, int] = {}
    for key, start, size in zip(keys, features.offsets[:-1].tolist(), np.diff(features.offsets), strict=True):
        texts = own.get(key.tobytes(), [])
        if len(texts) == size:
            rows.update({text: start + at for at, text in reversed(list(enumerate(texts)))})
    if not rows:
        return None
    return Side(config.b, keys_of(rows), np.asarray(features.values[:])[list(rows.values())], np.arange(len(rows) + 1))
