"""The videos of a data set as a head sees them: labels, and one array of segments, read once into memory.

Maps, above which layers are trained, are not read into memory: they come with their batch (`StoredRows`).

Takes  a manifest, a feature set: of videos, or of texts where captions stand for the videos
Gives  `VideoFeatures`: (N, m, D) float32 in manifest order, with what is missing and where it all comes from

A video has as many segments as most have: where one has more or fewer, rows are picked at even distances (the count of
such videos is kept). A video without features is missing: it is counted and named, and nothing stands in its place.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.caption_rows import caption_rows, kind_of
from pipelines.index.released import of_one_name
from pipelines.kinds import KINDS
from pipelines.learn import begun
from pipelines.learn.samples.failed import FailedItem, failed_items
from pipelines.texts.adding import Linker, link
from stores.classes import Classes
from stores.features import FeatureSet, positions
from stores.keys import KEY_BYTES, key_array, rows_digest
from stores.manifest import Manifest
from stores.padded import STATES, has_states, padded
from stores.root import Root
from stores.scratch import scratch
from stores.stored_rows import MAPS, StoredRows, has_maps
from untrusted.names import few

_INDEXED = ("video", "pose")  # kinds that are read when they are indexed, and fail then
_MOST = 4096  # videos that are looked at together
_MOST_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class VideoFeatures:
    """Labelled videos of a data set with their features.

    Attributes
    ----------
    dataset, feature, recipe, snapshot : where they come from; `feature` is the full name of the feature set
    digest : of the rows that were read: it changes where they do
    classes : names of the classes, as the set of texts spells them
    ids : N video ids
    keys : (N, 32) uint8 content keys
    labels : (N,) int64 numbers of classes
    segments : (N, m, D) float32; of captions told by token states (N, m, L, D), NaN where one has ended; of maps what
        reads (n, m, ...) float32 of the videos it is asked for
    missing : ids of labelled videos without features, and of those that failed when they were indexed
    missing_labels, missing_keys : (M,) int64 and (M, 32) uint8, of these; keys of those that were never read are nought
    resampled : videos that had another number of segments than m
    repeated : of these the videos that had fewer, some of whose rows stand for several segments
    unlabelled : videos without a label, which are left out
    of_captions : whether captions stand for the videos
    trained_on : classes that the feature's own weights were trained on, as far as its recipe says; none is unseen
    kept_back : whether every fifth group of videos, which GZSL judges on, was kept from that training
    weights : digest of the weights that the features were made with
    recordings, missing_recordings : what each video was cut from, as far as its layout tells
    told : what the recipe says that those weights were trained on: dataset, classes, kept_back; empty where nothing
    """

    dataset: str
    feature: str
    recipe: str
    snapshot: str
    digest: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    keys: np.ndarray
    labels: np.ndarray
    segments: np.ndarray | StoredRows
    missing: tuple[str, ...]
    missing_labels: np.ndarray
    missing_keys: np.ndarray
    resampled: int
    unlabelled: int
    of_captions: bool
    trained_on: tuple[str, ...] = ()
    kept_back: bool = False
    told: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str = ""
    repeated: int = 0
    recordings: tuple[str | None, ...] = ()
    missing_recordings: tuple[str | None, ...] = ()

    def of(self, classes: np.ndarray) -> np.ndarray:
        """Numbers of the videos of some classes."""
        return np.flatnonzero(np.isin(self.labels, classes))

    @property
    def at_once(self) -> int:
        """How many are looked at together where nothing is learned, so that memory does not grow with their number."""
        if isinstance(self.segments, StoredRows):
            return max(1, min(_MOST, _MOST_BYTES // self.segments.item_bytes))
        return _MOST

    @contextlib.contextmanager
    def shared(self) -> Iterator["SharedFeatures"]:
        """These videos for other processes, while the context is open: features in a file that all of them map.

        However many they are, memory holds the features once more, and only as long as nothing else needs it.
        """
        if isinstance(self.segments, StoredRows):
            yield SharedFeatures(self, None)
            return
        with scratch("features") as folder:
            path = folder / "segments.npy"
            np.save(path, self.segments)
            yield SharedFeatures(dataclasses.replace(self, segments=self.segments[:0]), path)


@dataclasses.dataclass(frozen=True)
class SharedFeatures:
    """Videos on their way to another process: all but their features, and the file, if any, that these lie in."""

    videos: VideoFeatures
    path: Path | None

    def mapped(self) -> VideoFeatures:
        """The videos, with features that are read from the file where they are looked at."""
        if self.path is None:
            return self.videos
        return dataclasses.replace(self.videos, segments=np.load(self.path, mmap_mode="r"))


def read(
    dataset: str, feature: str, texts: str, root: Root, segments: int = 0, output: str = "features"
) -> VideoFeatures:
    """The labelled videos of a data set with one of its features.

    Parameters
    ----------
    dataset : str
    feature : str
        Name of a feature set, in full or the extractor's.
    texts : str
        The set of texts whose classes the labels mean.
    root : Root
    segments : int
        m; 0: as many as most videos have.
    output : str
        Of the feature set.

    Raises
    ------
    NotInStore, Ambiguous
        No such data set, feature set, output or set of texts.
    UsageError
        Labels that mean no class of the set; no video with features.
    """
    found = _labelled(dataset, feature, texts, root)
    there = np.diff(found.offsets) > 0
    if not there.any():
        raise UsageError(
            f"None of the {len(found.keys)} labelled items of {dataset!r} has a feature in {found.feature_set.name}. "
            f"Run `{_made_by(found.feature_set, dataset)}`."
        )
    counts = np.diff(found.offsets)[there]
    m = segments or int(np.bincount(counts).argmax())
    picked = found.rows[found.offsets[:-1][there, None] + evenly(counts, m)]
    told = learned_from(found.feature_set)
    return VideoFeatures(
        dataset=dataset,
        feature=found.feature_set.name,
        recipe=found.feature_set.key,
        snapshot=found.feature_set.snapshot,
        digest=found.digest(),
        classes=found.classes,
        ids=tuple(found.ids[there]),
        keys=found.keys[there],
        labels=found.labels[there],
        segments=_segments(found, picked, output, root),
        missing=(*found.ids[~there], *(item.name for item, _ in found.failed)),
        missing_labels=np.concatenate([found.labels[~there], np.array([k for _, k in found.failed], np.int64)]),
        missing_keys=np.concatenate([found.keys[~there], np.zeros((len(found.failed), KEY_BYTES), np.uint8)]),
        resampled=int((counts != m).sum()),
        repeated=int((counts < m).sum()),
        unlabelled=found.unlabelled,
        of_captions=found.of_captions,
        trained_on=_trained_on(told, texts, dataset, root),
        kept_back=bool(told) and begun.keeps_back(told, dataset),
        told=told,
        weights=str(found.feature_set.recipe.get("weights", "")),
        recordings=tuple(found.recordings[there]),
        missing_recordings=(*found.recordings[~there], *(None for _ in found.failed)),
    )


def _segments(found: "_Labelled", picked: np.ndarray, output: str, root: Root) -> np.ndarray | StoredRows:
    """(N, m, ...) rows of what `found.wanted` gives, or what reads them."""
    held = found.feature_set
    if has_maps(held):
        offsets, order = np.asarray(held.array("offsets")[:]), positions(held.keys(), found.wanted)
        stored = np.concatenate([np.arange(offsets[item], offsets[item + 1]) for item in order])
        return StoredRows(root.url, held.name, MAPS, stored[picked])
    if found.of_captions and has_states(held):
        values = padded(held, found.wanted, STATES)
    else:
        loaded = held.load(found.wanted, output)
        values = loaded.values.reshape(len(loaded.values), -1)
    return np.asarray(values[picked].astype(np.float32))


def evenly(counts: np.ndarray, m: int) -> np.ndarray:
    """(N, m) int64: which m of so many rows each are taken, at even distances."""
    return np.asarray(((np.arange(m) + 0.5) * counts[:, None] / m).astype(np.int64))


def digest_of(dataset: str, feature: str, texts: str, root: Root) -> str:
    """The digest `read` would give, without reading the features; raises as it does."""
    return _labelled(dataset, feature, texts, root).digest()


def groups_of(dataset: str, feature: str, texts: str, root: Root) -> tuple[list[str], list[bytes], list[str | None]]:
    """Ids, content keys and recordings of the videos `read` would give, without the features; raises as it does."""
    found = _labelled(dataset, feature, texts, root)
    there = np.diff(found.offsets) > 0
    keys = [key.tobytes() for key in found.keys[there]]
    return found.ids[there].tolist(), keys, found.recordings[there].tolist()


def refuse_trained_on(found: VideoFeatures, unseen: Iterable[str], split: str) -> None:
    """Refuse a split whose unseen classes the feature's own weights were trained on.

    Raises
    ------
    UsageError
        The message names them.
    """
    if met := sorted(set(unseen) & set(found.trained_on)):
        raise UsageError(
            f"{split} has unseen classes that the weights of {found.feature} were trained on: "
            f"{few(met)}. Train them on the seen classes of this split "
            "(`zsar finetune`), and extract with those weights."
        )


def refuse_kept_back(found: VideoFeatures, kept: np.ndarray) -> list[str]:
    """Refuse weights that were trained on videos which GZSL keeps back now; notes where that cannot be told.

    Parameters
    ----------
    found : VideoFeatures
        Of weights that name classes they were trained on.
    kept : (N,) bool

    Raises
    ------
    UsageError
        They kept nothing back, or another fifth.
    """
    if not found.kept_back:
        raise UsageError(
            f"Seen videos to judge on were trained on by the weights of {found.feature}. "
            "Train them with `zsar finetune --gzsl`, which keeps the same fifth back, and extract with those."
        )
    met, named = begun.trained_on_now(found.told, found.dataset, (key.tobytes() for key in found.keys[kept]))
    if met:
        raise UsageError(
            f"The weights of {found.feature} were trained on videos that --gzsl keeps back now, {met} of the "
            f"{named} they name: recordings or names of {found.dataset!r} were told otherwise then. Train them "
            "anew with `zsar finetune --gzsl`, and extract with those."
        )
    if not any(found.recordings) or begun.says_which(found.told, found.dataset):
        return []
    return [
        f"the weights of {found.feature} do not say which videos they kept back: if they were trained before the "
        f"recordings of {found.dataset!r} were known, it was another fifth; train them anew to be sure"
    ]


def content_digest(feature_set: FeatureSet, keys: np.ndarray) -> str:
    """Digest of the rows of some items, from the digests the store keeps."""
    at = positions(feature_set.keys(), keys)
    digests = np.asarray(feature_set.array("digest")[:])[at[at >= 0]]
    return rows_digest(keys.tobytes(), digests.tobytes()).hex()


class _Labelled(NamedTuple):
    """The labelled items of a data set, and where their rows are: in what `feature_set.load(wanted)` gives."""

    feature_set: FeatureSet
    of_captions: bool
    classes: tuple[str, ...]
    ids: np.ndarray
    keys: np.ndarray
    labels: np.ndarray
    unlabelled: int
    recordings: np.ndarray
    failed: list[tuple[FailedItem, int]]
    rows: np.ndarray
    offsets: np.ndarray
    wanted: np.ndarray

    def digest(self) -> str:
        content = content_digest(self.feature_set, self.wanted)
        who = "\n".join(f"{name} {self.classes[k]}" for name, k in zip(self.ids, self.labels, strict=True))
        return rows_digest(content.encode(), who.encode(), self.keys.tobytes()).hex()


def _labelled(dataset: str, feature: str, texts: str, root: Root) -> _Labelled:
    feature_set = feature_sets.find(root, feature)
    kind = kind_of(feature_set)
    of_captions = kind == "caption_group"
    table = Manifest(root).read(dataset, ["video_id", "key", "kind", "label", "recording", "uri"])
    kinds = np.array(table["kind"].to_pylist())
    table = table.take(np.flatnonzero(kinds == kind if kind else kinds != "caption_group"))
    uris = set(table["uri"].to_pylist())
    table = of_one_name(table, feature_set.keys())
    if not table.num_rows:
        lacking = KINDS[kind or "video"]
        raise UsageError(
            f"Data set {dataset!r} has no {lacking.called}, which {feature_set.name} is made "
            f"from. Run `zsar index {lacking.given} --dataset {dataset}`."
        )
    means = link(texts, dataset, root)
    if strange := sorted(label for label, name in means.items() if name is None):
        raise UsageError(
            f"{len(strange)} labels of {dataset!r} mean no class of the set {texts!r}: {few(strange)}"
            f". Add them: `zsar texts add FILE --kind class --set {texts}`."
        )
    classes = tuple(Classes(root).read(texts)["name"].to_pylist())
    number = {name: k for k, name in enumerate(classes)}
    named = [-1 if label is None else number[str(means[label])] for label in table["label"].to_pylist()]
    labels = np.array(named, np.int64)
    labelled = np.flatnonzero(labels >= 0)
    ids, keys = np.array(table["video_id"].to_pylist(), object)[labelled], key_array(table["key"])[labelled]
    unlabelled = table.num_rows - len(labelled)
    recordings = np.array([*table["recording"].to_pylist(), None], object)[:-1][labelled]
    failed = _failed(feature_set, uris, texts, dataset, number, root)
    rows = _rows_of(feature_set, keys, dataset, root, of_captions)
    known = (feature_set, of_captions, classes, ids, keys, labels[labelled], unlabelled, recordings, failed)
    return _Labelled(*known, *rows)


def _failed(
    feature_set: FeatureSet, there: set[str], texts: str, dataset: str, number: Mapping[str, int], root: Root
) -> list[tuple[FailedItem, int]]:
    """The items that failed at index, with the number of the class that each one's label means."""
    kind = kind_of(feature_set)
    if kind not in (None, *_INDEXED) or not (failed := failed_items(dataset, kind, there, root)):
        return []
    means = Linker(Classes(root).read(texts))
    named = ((item, means(item.label)) for item in failed)
    return [(item, number[name]) for item, name in named if name is not None]


def learned_from(feature_set: FeatureSet) -> dict[str, Any]:
    """What a recipe tells of what its weights were trained on; of random ones that it was nothing."""
    recipe = feature_set.recipe
    if str(recipe.get("weights", "")).startswith("random:"):
        return {"dataset": "", "classes": [], "random": True}
    return (recipe.get("preprocessing") or {}).get("trained_on") or {}


def _trained_on(told: dict[str, Any], texts: str, dataset: str, root: Root) -> tuple[str, ...]:
    """Classes of the set that weights were trained on, by what the recipe tells of them."""
    if not told or told.get("random"):
        return ()
    table = Classes(root).read(texts)
    if not told["classes"] and dataset.startswith(told["dataset"].rstrip("0123456789")):
        return tuple(table["name"].to_pylist())  # published weights, which saw all classes of their data set
    means = Linker(table)
    own = {name for label in told["classes"] if (name := means(label))}
    return tuple(sorted(own.union(_trained_on(told.get("before") or {}, texts, dataset, root))))


def _made_by(feature_set: FeatureSet, dataset: str) -> str:
    """The command that gives a data set this feature."""
    name = feature_set.name.partition("@")[0]
    return f"zsar {'index FILE' if name == 'imported' else f'extract {name}'} --dataset {dataset}"


def _rows_of(
    feature_set: FeatureSet, keys: np.ndarray, dataset: str, root: Root, of_captions: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of each item, in the order of what is to be loaded: (rows,), offsets (items + 1,), keys to load."""
    if not of_captions:
        stored = feature_set.keys()
        there = positions(stored, keys) >= 0
        wanted = keys[there]
        sizes = np.zeros(len(keys), np.int64)
        offsets = np.asarray(feature_set.array("offsets")[:])
        sizes[there] = np.diff(offsets)[positions(stored, wanted)]
        total = np.concatenate([[0], np.cumsum(sizes)])
        return np.arange(total[-1]), total, wanted
    return caption_rows(feature_set, keys, dataset, root)
