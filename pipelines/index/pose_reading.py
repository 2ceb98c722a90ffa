"""Reading poses for the index: the sequences of files and feature sets that can be used, and the faults of the others.

A file of one sequence that was read before and has the same size and time is not read again, unless it is JSON, which
says its own label.

Labels are those a file of many has; the `label` of a Kinetics-skeleton file; of NTU's names (`...A043.skeleton`) the
action, which a list of class names gives its name; else the folder of the file below the path that was given. `split`
says what else is known of a sequence: `subject=s3,view=v02`, and of NTU the performance that its three cameras saw.
Poses of a feature set take both of their videos.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from extractors import joint_order, joints, pose_files
from extractors.errors import InputFault
from extractors.joints import Layout
from extractors.poses import Poses
from pipelines.errors import UsageError
from pipelines.index.files import is_local, local_path
from pipelines.index.pose_places import Place, array_key, content_of
from pipelines.index.recordings import with_recording
from pipelines.index.stored_poses import StoredPoses
from stores.failures import Failure
from stores.features import positions
from stores.keys import key_array, pose_key
from stores.manifest import Manifest
from stores.root import Root
from stores.stat_cache import StatCache

SUFFIXES = (".skeleton", ".json", ".npy", ".npz", ".h5", ".hdf5")
_MANY = (".npz", ".h5", ".hdf5")
_NTU = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_NTU_PARTS = ("setup", "view", "subject", "repetition")
_ARRAYS = (".npy", ".npz", ".h5", ".hdf5")
_SAVE_EVERY_S = 30.0
_LOOKED_AT = 64  # sequences a layout that the order of the joints is looked at in


class PoseFile(NamedTuple):
    """A file to read, and its path below the path that was given."""

    path: str
    below: str


class PoseSequence(NamedTuple):
    """A sequence that can be used."""

    place: Place
    below: str
    key: bytes
    label: str | None
    split: str | None
    size_bytes: int
    mtime_ns: int
    name: str | None = None  # of its video, where it has one


class Reading:
    """What was read so far."""

    def __init__(self, dataset: str, layout: Layout | None, axes: str, names: Sequence[str], cache: StatCache) -> None:
        self.cache = cache
        self.found: list[PoseSequence] = []
        self.failures: list[Failure] = []
        self.paths: set[str] = set()
        self.without = 0  #: videos of which a feature set has no poses
        self._dataset, self._layout, self._axes, self._names = dataset, layout, axes, names
        self._sampled: dict[str, _Sample] = {}  # by layout, to look at the order of the joints
        self._saved = time.monotonic()

    def read(self, file: PoseFile) -> None:
        """Read a file; what cannot be used of it becomes failures."""
        if file.path in self.paths:
            return  # given twice
        self.paths.add(file.path)
        try:
            stat = os.stat(file.path)
            self._read(file, stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            self._failed(file.path, "Unreachable", f"It cannot be read: {error.strerror or error}.", self._label(file))
        except InputFault as fault:
            self._failed(file.path, type(fault).__name__, str(fault), self._label(file))
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
                self._failed(row["uri"], type(fault).__name__, str(fault), row["label"])
                continue
            place, array = Place(path, stored.layout.name, number), stored.array(number)
            key = array_key(place.layout, array)
            named, split = row["video_id"], with_recording(row["split"], row["recording"])
            found = PoseSequence(place, named, key, row["label"], split, array.nbytes, -1, named)
            self.found.append(found)
        if self.without == len(there):
            raise UsageError(
                f"{name} has poses of none of the {len(there)} videos of {self._dataset!r}. "
                f"Run `zsar extract {name.partition('@')[0]} --dataset {self._dataset}` first, or give its other set."
            )

    def _read(self, file: PoseFile, size_bytes: int, mtime_ns: int) -> None:
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

    def _read_many(self, file: PoseFile, content: bytes, axes: str, size_bytes: int, mtime_ns: int) -> None:
        many = pose_files.read_many(content, Path(file.path).name, self._layout, axes[1:])
        labels = many.columns.get("label")
        others = {name: column for name, column in many.columns.items() if name != "label"}
        for number in range(len(many)):
            place = Place(file.path, f"{many.layout.name}{axes}", number)
            label = None if labels is None else str(labels[number])
            try:
                self._look(many.poses(number))
            except InputFault as fault:
                self._failed(place.uri, type(fault).__name__, str(fault), label)
                continue
            told = {name: str(column[number]) for name, column in others.items()}
            recording = told.pop("recording", None)
            split = with_recording(",".join(f"{name}={value}" for name, value in told.items()) or None, recording)
            key = array_key(many.layout.name, many.array(number))
            self._add(file, place, key, label, split, size_bytes, mtime_ns)

    def _add(
        self,
        file: PoseFile,
        place: Place,
        key: bytes,
        label: str | None,
        split: str | None,
        size_bytes: int,
        mtime_ns: int,
    ) -> None:
        if place.number is None and (ntu := _NTU.search(Path(file.path).name)):
            parts = dict(zip(_NTU_PARTS, map(int, ntu.groups()), strict=False))
            setup, _, subject, repetition, action = ntu.groups()
            performance = f"S{setup}P{subject}R{repetition}A{action}"  # seen by three cameras
            label = self._label(file)
            split = with_recording(",".join(f"{name}={value}" for name, value in parts.items()), performance)
        elif place.number is None and label is None:
            label = self._label(file)
        self.found.append(PoseSequence(place, file.below, key, label, split, size_bytes, mtime_ns))

    def _label(self, file: PoseFile) -> str | None:
        """What the name of a file of one sequence says it shows."""
        if ntu := _NTU.search(Path(file.path).name):
            action = int(ntu[5])
            return self._names[action - 1] if 0 < action <= len(self._names) else f"A{action:03d}"
        return file.below.split("/")[-2] if "/" in file.below else None

    def doubts(self) -> tuple[str, ...]:
        """Why the order of the joints is doubted, a line a layout of which sequences were read."""
        found = (joint_order.doubt(sample.kept) for sample in self._sampled.values())
        return tuple(line for line in found if line)

    def _look(self, poses: Poses) -> None:
        self._sampled.setdefault(poses.layout.name, _Sample()).add(poses)

    def _failed(self, uri: str, error: str, message: str, label: str | None = None) -> None:
        told = message.replace("\n", " ")
        self.failures.append(Failure(None, uri, self._dataset, "", "", "index", error, told, label=label))


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


def files_of(path: str) -> Iterator[PoseFile]:
    """The files of poses below a path; one that is given itself is taken whatever it is called."""
    if not is_local(path):
        raise UsageError(f"Poses are read from this machine's disks, got {path}. Copy them into a folder.")
    base = local_path(path)
    if os.path.exists(base) and not os.path.isdir(base):  # a pipe too, which is told when it is read
        yield PoseFile(base, os.path.basename(base))
        return
    if not os.path.isdir(base):
        raise UsageError(f"There is no file or folder {path}. Check the spelling, or mount its disk.")
    for folder, folders, names in os.walk(base, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                whole = os.path.join(folder, name)
                yield PoseFile(whole, os.path.relpath(whole, base).replace(os.sep, "/"))


def _videos(root: Root, dataset: str) -> pa.Table:
    """The rows of the data set's videos."""
    table = Manifest(root).rows(dataset)
    if not (videos := table.filter(pc.equal(table["kind"], "video"))).num_rows:
        raise UsageError(
            f"Poses of a feature set take names and labels of a data set's videos, and {dataset!r} has no videos. "
            f"Give the data set they were extracted from, or index them: `zsar index PATH --dataset {dataset}`."
        )
    return videos


def _is_json(path: str) -> bool:
    return path.lower().endswith(".json")


def _json_label(content: bytes) -> str | None:
    """The label that a Kinetics-skeleton file has; it was read as JSON before."""
    loaded = json.loads(content)
    label = loaded.get("label") if isinstance(loaded, Mapping) else None
    return label if isinstance(label, str) and label else None
