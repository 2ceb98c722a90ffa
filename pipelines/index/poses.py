"""Pose sequences as items of a data set: files of one sequence each, files of many, and feature sets of poses.

Run    `zsar index PATH... --kind poses --dataset utd [--layout kinect-20-utd] [--labels classes.txt]`
       `zsar index mediapipe@KEY --kind poses --dataset ucf101`
Takes  folders or files of poses as `extractors.pose_files` reads them (.skeleton .json .npy .npz .h5 .hdf5); or what a
       tracker found in the videos of this data set, by the name of the feature set
Gives  a manifest row a sequence (kind `pose`); failures for sequences that cannot be read; an `IndexReport`

Every sequence is read and checked. One that cannot be used is a failure with its reason, and the others are indexed. A
file of one sequence that was read before and has the same size and time is not read again, unless it is JSON, which
says its own label.

Labels are those a file of many has; the `label` of a Kinetics-skeleton file; of NTU's names (`...A043.skeleton`) the
action, which `--labels`, a class a line, gives its name; else the folder of the file below the path that was given.
`split` says what else is known of a sequence: `subject=s3,view=v02`.

Poses of a feature set take name, label and split of their videos. A data set has them of one set at a time: another
set's take their place.

Names. A sequence is called by its file, in a file of many with `#` and its number. Where two files have one name, the
first keeps it, and the next is called by its path below the path given, or by its whole path.
"""

import dataclasses
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from extractors import EXTRACTORS, joint_order, joints, pose_files
from extractors.errors import InputFault
from extractors.joints import Layout
from extractors.pose_axes import checked_axes
from extractors.poses import Poses
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.index import joint_layouts
from pipelines.index.files import exists, is_local, local_path
from pipelines.index.pose_places import Place, array_key, content_of
from pipelines.index.settings import IndexConfig
from pipelines.index.stored_poses import StoredPoses
from pipelines.index.videos import IndexReport
from pipelines.progress import Progress
from stores.failures import Failure, Failures
from stores.features import positions
from stores.keys import key_array, pose_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root, checked_name
from stores.stat_cache import StatCache

KIND = "pose"
SUFFIXES = (".skeleton", ".json", ".npy", ".npz", ".h5", ".hdf5")
_MANY = (".npz", ".h5", ".hdf5")
_NTU = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_NTU_PARTS = ("setup", "view", "subject", "repetition")
_ARRAYS = (".npy", ".npz", ".h5", ".hdf5")
_SAVE_EVERY_S = 30.0
_LOOKED_AT = 64  # sequences a layout that the order of the joints is looked at in

_Row = Mapping[str, Any]  # of the manifest


class _File(NamedTuple):
    """A file to read, and its path below the path that was given."""

    path: str
    below: str


class _Sequence(NamedTuple):
    """A sequence that can be used."""

    place: Place
    below: str
    key: bytes
    label: str | None
    split: str | None
    size_bytes: int
    mtime_ns: int
    name: str | None = None  # of its video, where it has one


def index_poses(config: IndexConfig, root: Root, progress: Progress | None = None) -> IndexReport:
    """Bring a data set's manifest up to date with files of poses.

    Raises
    ------
    UsageError
        A path that is not there, nothing below the paths that can be used, a feature set that holds no poses of the
        data set's videos.
    StoreError
        No feature set has this name, or several have.
    ExtractorError
        No layout of joints has this name.
    """
    checked_name(config.dataset)
    joint_layouts.load(root)
    if config.declare:
        layout: Layout | None = joint_layouts.declare(config.declare, root)
    else:
        layout = None if config.layout == "auto" else joints.layout(_whole_name(config.layout))
    sets = [StoredPoses(feature_sets.find(root, path)) for path in config.paths if _is_feature(path)]
    paths = [path for path in config.paths if not _is_feature(path)]
    files = [file for path in paths for file in _files(path)]
    names = _class_names(config.labels)
    reading = _Reading(config.dataset, layout, checked_axes(config.axes), names, StatCache(root, "poses"))
    for stored in sets:
        reading.read_set(stored, root)
    try:
        for done, file in enumerate(files, start=1):
            reading.read(file)
            if progress:
                progress(done, len(files))
    finally:
        reading.cache.save()
    if not reading.found:
        reason = f": {reading.failures[0].message}" if reading.failures else ""
        if not (reason or files):
            reason = f": poses are read from files that end in {' '.join(SUFFIXES)}."
        raise UsageError(f"{', '.join(config.paths)} holds no sequence of poses that can be used{reason or '.'}")
    scopes = tuple(local_path(path) for path in paths)
    with root.lock("manifest"):
        report = _merge(config, root, reading, scopes)
    Failures(root).append(reading.failures)
    return dataclasses.replace(report, doubts=reading.doubts())


def _whole_name(name: str) -> str:
    """A declared layout may be named without its digest, where there is but one of the name."""
    found = [known for known in joints.LAYOUTS if known.rpartition("-")[0] == name and name not in joints.LAYOUTS]
    return found[0] if len(found) == 1 else name


def values_of(split: str | None) -> dict[str, str]:
    """What the `split` column says of a sequence.

    Examples
    --------
    >>> values_of("subject=s3,view=v02")
    {'subject': 's3', 'view': 'v02'}
    """
    pairs = (part.partition("=") for part in (split or "").split(","))
    return {name: value for name, sign, value in pairs if sign}


# -- reading ----------------------------------------------------------------------------------------------------------


class _Reading:
    """What was read so far."""

    def __init__(self, dataset: str, layout: Layout | None, axes: str, names: Sequence[str], cache: StatCache) -> None:
        self.cache = cache
        self.found: list[_Sequence] = []
        self.failures: list[Failure] = []
        self.paths: set[str] = set()
        self.without = 0  #: videos of which a feature set has no poses
        self._dataset, self._layout, self._axes, self._names = dataset, layout, axes, names
        self._sampled: dict[str, _Sample] = {}  # by layout, to look at the order of the joints
        self._saved = time.monotonic()

    def read(self, file: _File) -> None:
        """Read a file; what cannot be used of it becomes failures."""
        if file.path in self.paths:
            return  # given twice
        self.paths.add(file.path)
        try:
            stat = os.stat(file.path)
            self._read(file, stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            self._failed(file.path, "Unreachable", f"It cannot be read: {error.strerror or error}.")
        except InputFault as fault:
            self._failed(file.path, type(fault).__name__, str(fault))
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self.cache.save()
            self._saved = time.monotonic()

    def read_set(self, stored: StoredPoses, root: Root) -> None:
        """Take the poses of a feature set that are of the data set's videos."""
        name, path = stored.feature_set.name, root.path("features", stored.feature_set.name)
        if any(Place(other, "").feature_set for other in self.paths):
            raise UsageError(f"A data set has poses of one feature set at a time, got {name} and another. Give one.")
        self.paths.add(path)
        videos = _videos(root, self._dataset)
        there = positions(stored.feature_set.keys(), key_array(videos["key"]))
        for number, row in zip(there.tolist(), videos.to_pylist(), strict=True):
            if number < 0:
                self.without += 1
                continue
            try:
                stored.poses(number)
            except InputFault as fault:
                self._failed(row["uri"], type(fault).__name__, str(fault))
                continue
            place, array = Place(path, stored.layout.name, number), stored.array(number)
            key = array_key(place.layout, array)
            named = row["video_id"]
            found = _Sequence(place, named, key, row["label"], row["split"], array.nbytes, -1, named)
            self.found.append(found)
        if self.without == len(there):
            raise UsageError(
                f"{name} has poses of none of the {len(there)} videos of {self._dataset!r}. "
                f"Run `zsar extract {name.partition('@')[0]} --dataset {self._dataset}` first, or give its other set."
            )

    def _read(self, file: _File, size_bytes: int, mtime_ns: int) -> None:
        asked = self._layout.name if self._layout else "auto"  # what a file was said to be is no news of itself
        axes = f":{self._axes}" if self._axes and file.path.lower().endswith(_ARRAYS) else ""
        for known in () if _is_json(file.path) else joints.LAYOUTS:
            place = Place(file.path, f"{known}{axes}")
            if key := self.cache.get((f"{place.uri}:{asked}", size_bytes, mtime_ns)):
                self._add(file, place, key, None, None, size_bytes, mtime_ns)
                return
        content = content_of(file.path)
        name = Path(file.path).name
        if name.lower().endswith(_MANY) and pose_files.holds_many(content, name):
            self._read_many(file, content, axes, size_bytes, mtime_ns)
            return
        poses = pose_files.read(content, name, self._layout, axes[1:])
        self._look(poses)
        place = Place(file.path, f"{poses.layout.name}{axes}")
        key = pose_key(place.layout, content)
        self.cache.put((f"{place.uri}:{asked}", size_bytes, mtime_ns), key)
        self._add(file, place, key, _json_label(content) if _is_json(file.path) else None, None, size_bytes, mtime_ns)

    def _read_many(self, file: _File, content: bytes, axes: str, size_bytes: int, mtime_ns: int) -> None:
        many = pose_files.read_many(content, Path(file.path).name, self._layout, axes[1:])
        labels = many.columns.get("label")
        others = {name: column for name, column in many.columns.items() if name != "label"}
        for number in range(len(many)):
            place = Place(file.path, f"{many.layout.name}{axes}", number)
            try:
                self._look(many.poses(number))
            except InputFault as fault:
                self._failed(place.uri, type(fault).__name__, str(fault))
                continue
            split = ",".join(f"{name}={column[number]}" for name, column in others.items()) or None
            label = None if labels is None else str(labels[number])
            key = array_key(many.layout.name, many.array(number))
            self._add(file, place, key, label, split, size_bytes, mtime_ns)

    def _add(
        self,
        file: _File,
        place: Place,
        key: bytes,
        label: str | None,
        split: str | None,
        size_bytes: int,
        mtime_ns: int,
    ) -> None:
        if place.number is None and (ntu := _NTU.search(Path(file.path).name)):
            parts = dict(zip((*_NTU_PARTS, "action"), map(int, ntu.groups()), strict=True))
            action = parts.pop("action")
            label = self._names[action - 1] if 0 < action <= len(self._names) else f"A{action:03d}"
            split = ",".join(f"{name}={value}" for name, value in parts.items())
        elif place.number is None and label is None:
            label = file.below.split("/")[-2] if "/" in file.below else None
        self.found.append(_Sequence(place, file.below, key, label, split, size_bytes, mtime_ns))

    def doubts(self) -> tuple[str, ...]:
        """Why the order of the joints is doubted, a line a layout of which sequences were read."""
        found = (joint_order.doubt(sample.kept) for sample in self._sampled.values())
        return tuple(line for line in found if line)

    def _look(self, poses: Poses) -> None:
        self._sampled.setdefault(poses.layout.name, _Sample()).add(poses)

    def _failed(self, uri: str, error: str, message: str) -> None:
        self.failures.append(Failure(None, uri, self._dataset, "", "", "index", error, message.replace("\n", " ")))


class _Sample:
    """Some sequences of many, evenly: when there are too many, every other one is left out from there on."""

    def __init__(self) -> None:
        self.kept: list[Poses] = []
        self._seen, self._every = 0, 1

    def add(self, poses: Poses) -> None:
        if self._seen % self._every == 0:
            self.kept.append(poses)
        self._seen += 1
        if len(self.kept) > _LOOKED_AT:
            self.kept, self._every = self.kept[::2], 2 * self._every


def _files(path: str) -> Iterator[_File]:
    """The files of poses below a path; one that is given itself is taken whatever it is called."""
    if not is_local(path):
        raise UsageError(f"Poses are read from this machine's disks, got {path}. Copy them into a folder.")
    base = local_path(path)
    if os.path.isfile(base):
        yield _File(base, os.path.basename(base))
        return
    if not os.path.isdir(base):
        raise UsageError(f"There is no file or folder {path}. Check the spelling, or mount its disk.")
    for folder, folders, names in os.walk(base, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                whole = os.path.join(folder, name)
                yield _File(whole, os.path.relpath(whole, base).replace(os.sep, "/"))


def _is_feature(path: str) -> bool:
    """Whether this names a feature set: `EXTRACTOR`, or `EXTRACTOR@KEY`."""
    return not os.path.exists(path) and path.partition("@")[0] in EXTRACTORS


def _videos(root: Root, dataset: str) -> pa.Table:
    """The rows of the data set's videos."""
    manifest = Manifest(root)
    table = manifest.read(dataset) if dataset in manifest.datasets() else SCHEMA.empty_table()
    if not (videos := table.filter(pc.equal(table["kind"], "video"))).num_rows:
        raise UsageError(
            f"Poses of a feature set take names and labels of a data set's videos, and {dataset!r} has no videos. "
            f"Give the data set they were extracted from, or index them: `zsar index PATH --dataset {dataset}`."
        )
    return videos


def _class_names(paths: Sequence[str]) -> list[str]:
    """Names of NTU's actions in their order, a line each."""
    names: list[str] = []
    for path in paths:
        try:
            names += [line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"The class names {path} cannot be read: {error}. Give a text file, a class a line."
            ) from error
    return names


def _is_json(path: str) -> bool:
    return path.lower().endswith(".json")


def _json_label(content: bytes) -> str | None:
    """The label that a Kinetics-skeleton file has; it was read as JSON before."""
    loaded = json.loads(content)
    label = loaded.get("label") if isinstance(loaded, Mapping) else None
    return label if isinstance(label, str) and label else None


# -- merging ----------------------------------------------------------------------------------------------------------


def _merge(config: IndexConfig, root: Root, reading: _Reading, scopes: Sequence[str]) -> IndexReport:
    """Rows of files read now replace those of the same files; rows of other files and of other kinds stay."""
    manifest = Manifest(root)
    old = manifest.read(config.dataset) if config.dataset in manifest.datasets() else SCHEMA.empty_table()
    is_pose = pc.equal(old["kind"], KIND)
    before = old.filter(is_pose).to_pylist()
    kept, missing, pruned = [], reading.without, 0
    of_a_set = any(each.place.feature_set for each in reading.found)
    for row in before:
        path = (place := Place.of(row["uri"])).path
        if path in reading.paths or (of_a_set and place.feature_set):
            continue
        gone = not exists(path) if is_local(path) else False
        below = any(path == scope or path.startswith(f"{scope.rstrip('/')}/") for scope in scopes)
        if gone and config.prune:
            pruned += 1
            continue
        missing += gone and below
        kept.append(row)
    ids = _ids(reading.found, before, kept)
    taken = set(ids)
    kept = [row for row in kept if row["video_id"] not in taken]
    rows = _rows(config.dataset, reading.found, ids)
    table = pa.concat_tables([old.filter(pc.invert(is_pose)), pa.Table.from_pylist(kept, schema=SCHEMA), rows])
    manifest.write(config.dataset, table)
    earlier = {row["video_id"]: row["key"] for row in before}
    unchanged = sum(earlier.get(name) == found.key for name, found in zip(ids, reading.found, strict=True))
    return IndexReport(
        videos=len(ids),
        new=len(ids) - unchanged,
        unchanged=unchanged,
        contents=len({found.key for found in reading.found}),
        missing=missing,
        failed=len(reading.failures),
        unlabelled=sum(found.label is None for found in reading.found),
        pruned=pruned,
        layout=", ".join(sorted({found.place.layout for found in reading.found})),
    )


def _ids(found: Sequence[_Sequence], before: Sequence[_Row], kept: Sequence[_Row]) -> list[str]:
    """A name for each sequence that no other has: the one it had, or the first free one.

    A name is free where its file is gone and the content is the same: a sequence that was moved keeps its name.
    """
    had = {(Place.of(row["uri"]).path, Place.of(row["uri"]).number): row["video_id"] for row in before}
    others = {row["video_id"]: row for row in kept}
    of_files = [s.place for s in found if s.name is None]
    given = {had[place.path, place.number] for place in of_files if (place.path, place.number) in had}
    names = []
    for sequence in found:
        place = sequence.place
        name = had.get((place.path, place.number)) if sequence.name is None else None
        if name is None:
            name = next(each for each in _ladder(sequence) if each not in given and _is_free(each, sequence, others))
            given.add(name)
        names.append(name)
    return names


def _is_free(name: str, sequence: _Sequence, others: Mapping[str, _Row]) -> bool:
    if name not in others:
        return True
    row = others[name]
    return bool(row["key"] == sequence.key and not os.path.exists(Place.of(row["uri"]).path))


def _ladder(sequence: _Sequence) -> Iterator[str]:
    """Names for a sequence, the wanted one first; the last is its own alone."""
    if sequence.name is not None:
        yield sequence.name
        yield f"{sequence.name}#{sequence.place.path}"
        return
    number = "" if sequence.place.number is None else f"#{sequence.place.number}"
    below, path = sequence.below, sequence.place.path
    yield from (f"{each}{number}" for each in (Path(path).stem, os.path.splitext(below)[0], below, path))


def _rows(dataset: str, found: Sequence[_Sequence], ids: Sequence[str]) -> pa.Table:
    count, now = len(found), time.time_ns()
    columns: dict[str, Any] = {
        "dataset": [dataset] * count,
        "video_id": list(ids),
        "kind": [KIND] * count,
        "uri": [each.place.uri for each in found],
        "key": [each.key for each in found],
        "label": [each.label for each in found],
        "split": [each.split for each in found],
        "size_bytes": [each.size_bytes for each in found],
        "mtime_ns": [each.mtime_ns for each in found],
        "seen_ns": [now] * count,
    }
    return pa.Table.from_arrays([pa.array(columns.get(f.name, [None] * count), f.type) for f in SCHEMA], schema=SCHEMA)
