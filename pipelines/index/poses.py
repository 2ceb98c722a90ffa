"""Pose sequences as items of a data set: files of one sequence each, files of many, and feature sets of poses.

Run    `zsar index PATH... --kind poses --dataset utd [--layout kinect-20-utd] [--labels classes.txt]`
       `zsar index mediapipe@KEY --kind poses --dataset ucf101`
Takes  folders or files of poses as `extractors.pose_files` reads them (.skeleton .json .npy .npz .h5 .hdf5); or what a
       tracker found in the videos of this data set, by the name of the feature set
Gives  a manifest row a sequence (kind `pose`); failures for sequences that cannot be read; an `IndexReport`

Every sequence is read and checked (`pose_reading.py`). One that cannot be used is a failure with its reason, and the
others are indexed. Poses of a feature set take name, label and split of their videos; a data set has them of one set at
a time: another set's take their place.

A sequence is called by its file, in a file of many with `#` and its number; where two files have one name, the next is
called by its path below the path given, or by its whole path.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc

from extractors import EXTRACTORS, joints
from extractors.joints import Layout
from extractors.pose_axes import checked_axes
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.index import joint_layouts
from pipelines.index.files import exists, is_local, local_path
from pipelines.index.merging import Entry, Ways, merge
from pipelines.index.pose_places import Place
from pipelines.index.pose_reading import SUFFIXES, PoseSequence, Reading, files_of
from pipelines.index.report import IndexReport
from pipelines.index.settings import IndexConfig
from pipelines.index.stored_poses import StoredPoses
from pipelines.progress import Progress
from stores.failures import Failures
from stores.manifest import Manifest
from stores.root import Root, checked_name
from stores.stat_cache import StatCache

KIND = "pose"


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
    files = [file for path in paths for file in files_of(path)]
    names = _class_names(config.labels)
    reading = Reading(config.dataset, layout, checked_axes(config.axes), names, StatCache(root, "poses"))
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
    return report


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


def _is_feature(path: str) -> bool:
    """Whether this names a feature set: `EXTRACTOR`, or `EXTRACTOR@KEY`."""
    return not os.path.exists(path) and path.partition("@")[0] in EXTRACTORS


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


def _merge(config: IndexConfig, root: Root, reading: Reading, scopes: Sequence[str]) -> IndexReport:
    manifest = Manifest(root)
    old = manifest.rows(config.dataset)
    before = old.filter(pc.equal(old["kind"], KIND))
    had, replaced = {}, set()
    of_a_set = any(found.place.feature_set for found in reading.found)
    for uri, name in zip(before["uri"].to_pylist(), before["video_id"].to_pylist(), strict=True):
        place = Place.of(uri)
        if of_a_set and place.feature_set:
            replaced.add(uri)
        else:
            had[_identity(place)] = name
    entries = [_entry(found) for found in reading.found]
    found_of = dict(
        zip(((entry.place, entry.name) for entry in entries), reading.found, strict=True)
    )  # twins share one

    def ladder(entry: Entry) -> Iterator[str]:
        if entry.place in had:
            yield had[entry.place]
        yield from _names(found_of[entry.place, entry.name])

    def is_gone(path: str) -> bool:
        below = any(path == scope or path.startswith(f"{scope.rstrip('/')}/") for scope in scopes)
        return (below or config.prune) and is_local(path) and not exists(path)

    ways = Ways(ladder, lambda uri, name: _identity(Place.of(uri)), lambda uri: Place.of(uri).path)
    merged = merge(old, config.dataset, KIND, entries, reading.paths, ways, is_gone, config.prune, replaced)
    manifest.write(config.dataset, merged.table)
    return IndexReport(
        videos=len(entries),
        new=merged.new,
        unchanged=len(entries) - merged.new,
        contents=len({entry.key for entry in entries}),
        missing=reading.without + len(merged.missing),
        failed=len(reading.failures),
        unlabelled=sum(found.label is None for found in reading.found),
        pruned=merged.pruned,
        layout=", ".join(sorted({found.place.layout for found in reading.found})),
        doubts=reading.doubts(),
    )


def _identity(place: Place) -> str:
    """One sequence of a file, whatever layout its joints are said to be in."""
    return place.path if place.number is None else f"{place.path}#{place.number}"


def _entry(found: PoseSequence) -> Entry:
    told = (found.label, found.split, found.size_bytes, found.mtime_ns)
    return Entry(next(_names(found)), _identity(found.place), found.place.uri, found.key, *told)


def _names(found: PoseSequence) -> Iterator[str]:
    """Names for a sequence, the wanted one first; the last is its own alone."""
    if found.name is not None:
        yield from (found.name, f"{found.name}#{found.place.path}")
        return
    number = "" if found.place.number is None else f"#{found.place.number}"
    below, path = found.below, found.place.path
    yield from (f"{each}{number}" for each in (Path(path).stem, os.path.splitext(below)[0], below, path))
