"""Index: which videos or images exist, what they are (content keys), and what was found out from label files.

Run    `zsar index PATH... --dataset D [--layout L --labels FILE]`
Takes  folders, files or URLs of videos, in one of `layouts.LAYOUTS`; features made elsewhere (see `features.py`), also
       without videos (see `released.py`)
Gives  the manifest of the data set, a row an item; failures for files that could not be read; an `IndexReport`

A file is stat'ed once, and read only where size or time differ from when it was read last, so a second index of
650,000 videos costs the listing and the stats. Several paths, at once or one after the other, add up to one data set.

The video id is what the layout says; where two different files have the same one, the next is called by its relative
path without extension, with extension, with the folder's name before it, or at last by its whole path.
"""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from extractors.images import ENDINGS as IMAGES
from pipelines import kinds
from pipelines.errors import UsageError
from pipelines.index.contents import Content, read_all
from pipelines.index.features import features_of, import_features
from pipelines.index.files import EXTENSIONS, Fault, Files, by_count, exists, is_local, joined, local_path, look
from pipelines.index.foreign_ids import refuse_streams
from pipelines.index.layouts import reading as layouts
from pipelines.index.layouts.reading import Found
from pipelines.index.merging import Entry, Ways, merge
from pipelines.index.recordings import with_recording
from pipelines.index.released import Released, index_released, taken_over
from pipelines.index.report import IndexReport
from pipelines.index.settings import IndexConfig
from pipelines.index.spellings import first
from pipelines.progress import Progress
from stores.errors import BadFile
from stores.failures import Failure, Failures
from stores.foreign import MARKER, Foreign, is_feature_file
from stores.keys import span_key
from stores.manifest import Manifest
from stores.root import Root
from stores.stat_cache import StatCache

_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Paths(NamedTuple):
    """The paths with videos as one listing (None if there are none), those that are features, and what is neither."""

    videos: Files | None
    features: list[str]
    not_taken: dict[str, int]


def index(config: IndexConfig, root: Root, progress: Progress | None = None) -> IndexReport:
    """Bring the manifest of a data set up to date with what lies below some paths.

    Parameters
    ----------
    config : IndexConfig
    root : Root
    progress : callable, optional
        Called with (files done, files in all).

    Raises
    ------
    LayoutError
        A path that is not there or holds no video; a label file that does not fit its layout, or names none of the
        videos.
    UsageError
        A name that no data set can have; no path at all; features whose videos nobody knows.
    """
    if not _DATASET.fullmatch(config.dataset):
        raise UsageError(
            f"A data set's name is letters, digits, dot, dash and underscore, got {config.dataset!r}. "
            "Choose another --dataset."
        )
    if not config.paths:
        raise UsageError(
            "Nothing to index: no path was given. Give a folder of videos: `zsar index PATH --dataset NAME`."
        )
    paths = _paths(config)
    if paths.videos is None:
        return _index_features(paths, config, root)
    files = paths.videos
    reading = layouts.read(config.layout, files, config.labels)
    uris = list(dict.fromkeys(item.uri for item in reading.found))
    contents, unread = read_all(uris, files.stats, StatCache(root), progress)
    faults = [*files.faults, *reading.faults, *unread]
    entries = [_entry(found, contents[found.uri]) for found in reading.found if found.uri in contents]
    out_of_reach = {fault.uri for fault in faults}

    def is_gone(uri: str) -> bool:
        """Below the indexed paths the listing knows; elsewhere the disk is asked, if rows shall be forgotten."""
        if any(uri == scope or (scope.endswith("/") and uri.startswith(scope)) for scope in files.scopes):
            folders = itertools.accumulate(uri.split("/"), lambda a, b: f"{a}/{b}")
            return uri not in out_of_reach and not (out_of_reach and any(f in out_of_reach for f in folders))
        return config.prune and not exists(uri)

    ways = Ways(lambda entry: _ladder(entry, files.scopes))
    with root.lock("manifest"):
        old = Manifest(root).rows(config.dataset)
        merged = merge(
            old, config.dataset, kinds.asked()[config.kind].name, entries, contents, ways, is_gone, config.prune
        )
        table = taken_over(merged.table)
        Manifest(root).write(config.dataset, table)
    labels = {found.uri: found.label for found in reading.found}
    readable = list(_readable(paths.features, faults, alone=False))
    _note_failures(root, config.dataset, faults, reading.missing, labels)
    return IndexReport(
        videos=len(entries),
        new=merged.new,
        unchanged=len(entries) - merged.new,
        contents=len({entry.key for entry in entries}),
        missing=len({fault.uri for fault in reading.missing}.union(merged.missing)),
        failed=len(faults),
        unlabelled=table["label"].slice(table.num_rows - len(entries)).null_count,
        pruned=merged.pruned,
        layout=reading.layout,
        imports=tuple(import_features(path, features, config.dataset, root) for path, features in readable),
        not_taken=paths.not_taken,
    )


def _entry(found: Found, content: Content) -> Entry:
    key = content.key
    if found.start_s is not None and found.end_s is not None:
        key = span_key(key, found.start_s, found.end_s)
    split = with_recording(found.split, found.recording)
    told = (found.label, split, content.size_bytes, content.mtime_ns, found.start_s, found.end_s)
    return Entry(found.video_id, found.uri, found.uri, key, *told)


def _ladder(entry: Entry, scopes: Sequence[str]) -> Iterator[str]:
    """Names for an item, the wanted one first; a segment keeps its number."""
    base = next((s for s in scopes if s.endswith("/") and entry.uri.startswith(s)), entry.uri.rpartition("/")[0] + "/")
    rel = entry.uri[len(base) :]
    folder = base.rstrip("/").rpartition("/")[2]
    number = "" if entry.start_s is None else "#" + entry.name.rpartition("#")[2]
    yield entry.name
    yield from (f"{name}{number}" for name in (os.path.splitext(rel)[0], rel, f"{folder}/{rel}", entry.uri))


# -- what lies where --------------------------------------------------------------------------------------------------


def _paths(config: IndexConfig) -> _Paths:
    parts, features = [], []
    is_stills = config.kind == "images"
    endings = IMAGES if is_stills else EXTENSIONS
    not_taken: Counter[str] = Counter()
    for given in config.paths:
        path = local_path(given) if is_local(given) else given
        if not is_stills and is_feature_file(path):
            features.append(path)
            continue
        files = look(given, endings)
        if files.files or is_stills or ".npy" not in files.not_taken:
            parts.append(files)
            not_taken.update(files.not_taken)
            continue
        features.append(path)
        if not os.path.exists(f"{path}/{MARKER}"):  # what lies beside an export of ours belongs to it
            not_taken.update({ending: n for ending, n in files.not_taken.items() if ending != ".npy"})
    return _Paths(joined(parts) if parts else None, features, by_count(not_taken))


def _index_features(paths: _Paths, config: IndexConfig, root: Root) -> IndexReport:
    """Features alone: of the data set's videos, or, with labels or a layout, items of their own."""
    alone = bool(config.labels) or config.layout != "auto"
    items: list[Released] = []
    imports = []
    unread: list[Fault] = []
    for path, features in _readable(paths.features, unread, alone=True):
        if alone:
            refuse_streams(path, features.video_id)
            items.append(index_released(path, features, config, root))
        elif features.keys is None and not _has_items(root, config.dataset):
            raise UsageError(_nobodys(path, features.video_id, config.dataset))
        imports.append(import_features(path, features, config.dataset, root))
    faults = [*unread, *(fault for each in items for fault in each.faults)]
    absent = [fault for each in items for fault in each.missing]
    _note_failures(root, config.dataset, faults, absent, {})
    rows, new = sum(each.items for each in items), sum(each.new for each in items)
    return IndexReport(
        videos=rows,
        new=new,
        unchanged=rows - new,
        contents=rows,
        missing=len({fault.uri for fault in absent}),
        failed=len(faults),
        unlabelled=sum(each.unlabelled for each in items),
        pruned=0,
        layout=items[0].layout if items else "",
        imports=tuple(imports),
        of_videos=sum(each.of_videos for each in items),
        not_taken=paths.not_taken,
    )


def _readable(paths: Sequence[str], faults: list[Fault], alone: bool) -> Iterator[tuple[str, Foreign]]:
    """The files of features that can be read; one that cannot is a fault, and the error where nothing else is there."""
    left = len(paths) if alone else -1
    for path in paths:
        try:
            features = features_of(path)
        except BadFile as error:
            left -= 1
            if not left:
                raise
            faults.append(Fault(path, type(error).__name__, str(error)))
            continue
        yield path, features


def _has_items(root: Root, dataset: str) -> bool:
    kinds = Manifest(root).rows(dataset)["kind"].to_pylist()
    return bool({"video", "feature", "pose"}.intersection(kinds))


def _nobodys(path: str, ids: Sequence[str], dataset: str) -> str:
    """What is said of features whose videos nobody knows."""
    return (
        f"Data set {dataset!r} has no videos yet, and {path} has only ids ({first(ids)}). To work with the features "
        f"alone, say what their labels are: `zsar index {path} --dataset {dataset} --labels FILE` (lists of UCF101 or "
        "HMDB51, Kinetics' csv, ActivityNet's json, or a csv with the columns id and label), or `--layout class-video` "
        f"for ids CLASS/ID. Where the videos are here, index them first: `zsar index FOLDER --dataset {dataset}`."
    )


# -- failures ---------------------------------------------------------------------------------------------------------


def _note_failures(
    root: Root, dataset: str, faults: Sequence[Fault], missing: Sequence[Fault], labels: Mapping[str, str | None]
) -> None:
    """Append what failed; a label-file entry without a file is noted once, not at every run."""
    if not faults and not missing:
        return
    failures = Failures(root)
    known: dict[str, tuple[str, int]] = {}
    for row in failures.latest().to_pylist():
        if row["stage"] == "index" and row["dataset"] == dataset:
            known[row["uri"]] = (row["error"], row["attempts"])
    fresh = [fault for fault in missing if known.get(fault.uri, ("", 0))[0] != fault.error]
    failures.append(
        [
            Failure(
                None, uri, dataset, "", "", "index", error, message, known.get(uri, ("", 0))[1] + 1, labels.get(uri)
            )
            for uri, error, message in [*faults, *fresh]
        ]
    )
