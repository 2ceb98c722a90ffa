"""Index: which videos exist, what they are (content keys), and what was found out about them from label files.

Run    `zsar index PATH... --dataset D [--layout L --labels FILE]`
Takes  folders, files or URLs of videos, in one of `layouts.LAYOUTS`; features made elsewhere (see `imports.py`), also
       without videos (see `released.py`)
Gives  the manifest of the data set, a row an item; failures for files that could not be read; an `IndexReport`

A file is stat'ed once, and read only where size or time differ from when it was read last, so a second index of
650,000 videos costs the listing and the stats. Reading and hashing run on a few threads; what they found is saved every
30 s, so an index that is killed repeats at most that. Several paths, at once or one after the other, add up to one data
set.

Names. The video id is what the layout says. Where two different files have the same one, both stay: the file that had
it first keeps it, the next is called by its relative path without extension, with extension, with the folder's name
before it, or at last by its whole path: the first of these that is free. A file that was moved keeps its id.
"""

import dataclasses
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extractors.errors import Unreachable
from pipelines.errors import UsageError
from pipelines.index.features import ImportReport, features_of, import_features
from pipelines.index.files import Fault, Files, Stat, by_count, exists, is_local, joined, local_path, look, stat_of
from pipelines.index.foreign_ids import refuse_streams
from pipelines.index.layouts import reading as layouts
from pipelines.index.layouts.reading import Found
from pipelines.index.released import Released, index_released, taken_over
from pipelines.index.settings import IndexConfig
from pipelines.index.spellings import counted, first
from pipelines.progress import Progress
from stores.failures import Failure, Failures
from stores.foreign import MARKER, is_feature_file
from stores.keys import span_key, stream_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from stores.stat_cache import StatCache

_SAVE_EVERY_S = 30.0
_THREADS = 4
_BATCH = 32  # files a task: a future costs what hashing a small file does
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclasses.dataclass(frozen=True)
class IndexReport:
    """What an index run found.

    Attributes
    ----------
    videos : items found and read (files, or labelled segments of files)
    new, unchanged : those whose content the data set did not have under this video id before, and the others
    contents : distinct content keys among them
    missing : label-file entries without a file, earlier rows whose file is gone (unless pruned), and videos of which
        a feature set of poses has none
    failed : files that could not be read, and label-file entries that make no sense; `list failures` names them
    unlabelled : items without a label
    pruned : rows forgotten
    layout : the layout used, or picked; empty where only features were imported
    imports : features made elsewhere that were among the paths
    of_videos : of features that were indexed with labels those that are of videos, which keep their own labels
    doubts : why the order of the joints of poses is doubted
    not_taken : files below the paths that are neither videos nor features, by extension, the most first
    """

    videos: int
    new: int
    unchanged: int
    contents: int
    missing: int
    failed: int
    unlabelled: int
    pruned: int
    layout: str
    imports: tuple[ImportReport, ...] = ()
    of_videos: int = 0
    not_taken: dict[str, int] = dataclasses.field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def told(self) -> list[str]:
        """What must be said in words, a line each: what was not taken, and names of what did not meet."""
        lines = [*self.doubts]
        if self.not_taken:
            lines.append(f"Not taken, for they do not end like a video: {counted(self.not_taken)}.")
        if self.of_videos:
            lines.append(f"{self.of_videos} of the ids are of videos that are there: those keep their labels.")
        for each in self.imports:
            lines += each.told()
        return lines


class _Content(NamedTuple):
    """A file as read: its key, size and time."""

    key: bytes
    size_bytes: int
    mtime_ns: int


class _Paths(NamedTuple):
    """The paths with videos as one listing (None if there are none), those that are features, and what is neither."""

    videos: Files | None
    features: list[str]
    not_taken: dict[str, int]


class _Merged(NamedTuple):
    """Old rows and new rows of a data set, put together."""

    table: pa.Table
    new: int
    gone: list[str]
    pruned: int
    unlabelled: int


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
    contents, unread = _read_all(reading.found, files.stats, StatCache(root), progress)
    faults = [*files.faults, *reading.faults, *unread]
    rows = [found for found in reading.found if found.uri in contents]
    with root.lock("manifest"):
        merged = _merge(_old_rows(root, config.dataset), config, files.scopes, rows, contents, faults)
        Manifest(root).write(config.dataset, merged.table)
    _note_failures(root, config.dataset, faults, reading.missing)
    return IndexReport(
        videos=len(rows),
        new=merged.new,
        unchanged=len(rows) - merged.new,
        contents=len({_key(found, contents) for found in rows}),
        missing=len({fault.uri for fault in reading.missing}.union(merged.gone)),
        failed=len(faults),
        unlabelled=merged.unlabelled,
        pruned=merged.pruned,
        layout=reading.layout,
        imports=tuple(import_features(path, features_of(path), config.dataset, root) for path in paths.features),
        not_taken=paths.not_taken,
    )


# -- what lies where --------------------------------------------------------------------------------------------------


def _paths(config: IndexConfig) -> _Paths:
    parts, features = [], []
    not_taken: Counter[str] = Counter()
    for given in config.paths:
        path = local_path(given) if is_local(given) else given
        if is_feature_file(path):
            features.append(path)
            continue
        files = look(given)
        if files.files or ".npy" not in files.not_taken:
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
    for path in paths.features:
        features = features_of(path)
        if alone:
            refuse_streams(path, features.video_id)
            items.append(index_released(path, features, config, root))
        elif features.keys is None and not _has_items(root, config.dataset):
            raise UsageError(_nobodys(path, features.video_id, config.dataset))
        imports.append(import_features(path, features, config.dataset, root))
    faults = [fault for each in items for fault in each.faults]
    absent = [fault for each in items for fault in each.missing]
    _note_failures(root, config.dataset, faults, absent)
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


def _has_items(root: Root, dataset: str) -> bool:
    kinds = _old_rows(root, dataset)["kind"].to_pylist()
    return bool({"video", "feature", "pose"}.intersection(kinds))


def _nobodys(path: str, ids: Sequence[str], dataset: str) -> str:
    """What is said of features whose videos nobody knows."""
    return (
        f"Data set {dataset!r} has no videos yet, and {path} has only ids ({first(ids)}). To work with the features "
        f"alone, say what their labels are: `zsar index {path} --dataset {dataset} --labels FILE` (lists of UCF101 or "
        "HMDB51, Kinetics' csv, ActivityNet's json, or a csv with the columns id and label), or `--layout class-video` "
        f"for ids CLASS/ID. Where the videos are here, index them first: `zsar index FOLDER --dataset {dataset}`."
    )


# -- reading ----------------------------------------------------------------------------------------------------------


def _read_all(
    found: Sequence[Found], stats: dict[str, Stat], cache: StatCache, progress: Progress | None
) -> tuple[dict[str, _Content], list[Fault]]:
    """Content of each file by URI; a killed run finds again what was saved."""
    uris = list(dict.fromkeys(item.uri for item in found))
    contents: dict[str, _Content] = {}
    faults: list[Fault] = []
    saved = time.monotonic()
    done = 0
    try:
        for batch in _on_threads(uris, stats, cache):
            for uri, outcome, fresh in batch:
                done += 1
                if isinstance(outcome, Fault):
                    faults.append(outcome)
                    continue
                contents[uri] = outcome
                if fresh and outcome.mtime_ns >= 0:
                    cache.put((uri, outcome.size_bytes, outcome.mtime_ns), outcome.key)
            if time.monotonic() - saved > _SAVE_EVERY_S:
                cache.save()
                saved = time.monotonic()
            if progress:
                progress(done, len(uris))
    finally:
        cache.save()
    return contents, faults


_Outcome = tuple[str, _Content | Fault, bool]  # uri, what came of it, whether it was read now


def _on_threads(uris: list[str], stats: dict[str, Stat], cache: StatCache) -> Iterator[list[_Outcome]]:
    """Batches of outcomes as they come; few are in flight, so memory does not grow with the number of files."""
    batches = (uris[start : start + _BATCH] for start in range(0, len(uris), _BATCH))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="index") as pool:

        def submit(batch: list[str]) -> Future[list[_Outcome]]:
            return pool.submit(lambda: [_read(uri, stats.get(uri), cache) for uri in batch])

        running = {submit(batch) for batch in itertools.islice(batches, 2 * _THREADS)}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {submit(batch) for batch in itertools.islice(batches, len(finished))}
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(uri: str, known: Stat | None, cache: StatCache) -> _Outcome:
    try:
        size_bytes, mtime_ns = known or stat_of(uri)
        key = cache.get((uri, size_bytes, mtime_ns)) if mtime_ns >= 0 else None
        if key is not None:
            return uri, _Content(key, size_bytes, mtime_ns), False
        return uri, _hash(uri, (size_bytes, mtime_ns)), True
    except OSError as error:
        return uri, Fault(uri, Unreachable.__name__, _reason(error)), False


def _hash(uri: str, before: Stat) -> _Content:
    """The key of a file's bytes, with the size and time they had; read again if it grew meanwhile."""
    if not is_local(uri):
        fs, path = fsspec.core.url_to_fs(uri)
        with fs.open(path, "rb") as stream:
            return _Content(stream_key(stream), *before)
    for _ in range(2):
        with open(uri, "rb") as stream:
            key = stream_key(stream)
            now = os.fstat(stream.fileno())
        after = (now.st_size, now.st_mtime_ns)
        if after == before:
            return _Content(key, *after)
        before = after
    raise OSError("it changed while it was read; index again once it is complete")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "It vanished between listing and reading, or is a link to nothing. Index again once it is back."
    if isinstance(error, PermissionError):
        return "It may not be read. Mend its permissions (chmod +r) and index again."
    return f"It cannot be read: {error.strerror or error}."


# -- merging ----------------------------------------------------------------------------------------------------------


def _old_rows(root: Root, dataset: str) -> pa.Table:
    manifest = Manifest(root)
    return manifest.read(dataset) if dataset in manifest.datasets() else SCHEMA.empty_table()


def _merge(
    old: pa.Table,
    config: IndexConfig,
    scopes: tuple[str, ...],
    rows: Sequence[Found],
    contents: dict[str, _Content],
    faults: Sequence[Fault],
) -> _Merged:
    """Rows of files read now replace those of the same files; rows of other files stay."""
    files = old.filter(pc.equal(old["kind"], "video"))  # captions and poses of a video bear its name too
    names = _Names(files, scopes, contents, config.prune)
    ids = [names.name(found, _key(found, contents)) for found in rows]
    new = sum(names.key_before(video_id) != _key(found, contents) for video_id, found in zip(ids, rows, strict=True))
    kept, gone, pruned = [], [], 0
    out_of_reach = {fault.uri for fault in faults}
    for row, (video_id, uri, kind) in enumerate(_identity(old)):
        if uri in contents or uri in names.moved:
            continue
        if kind == "video" and _is_gone(uri, scopes, out_of_reach, config.prune):
            if config.prune:
                pruned += 1
                continue
            gone.append(video_id)
        kept.append(row)
    table = _table(config.dataset, rows, ids, contents)
    merged = taken_over(pa.concat_tables([old.take(pa.array(kept, pa.int64())), table]))
    return _Merged(merged, new, gone, pruned, merged["label"].slice(len(kept)).null_count)


def _identity(table: pa.Table) -> Iterator[tuple[str, str, str]]:
    columns = (table[name].to_pylist() for name in ("video_id", "uri", "kind"))
    return zip(*columns, strict=True)


def _is_gone(uri: str, scopes: Sequence[str], out_of_reach: set[str], ask: bool) -> bool:
    """Below the indexed paths the listing knows; elsewhere the disk is asked, if rows shall be forgotten."""
    if any(uri == scope or (scope.endswith("/") and uri.startswith(scope)) for scope in scopes):
        folders = itertools.accumulate(uri.split("/"), lambda a, b: f"{a}/{b}")
        return uri not in out_of_reach and not (out_of_reach and any(f in out_of_reach for f in folders))
    return ask and not exists(uri)


class _Names:
    """Gives each item a video id that no other has, and remembers which earlier rows moved."""

    def __init__(self, old: pa.Table, scopes: Sequence[str], contents: Mapping[str, _Content], prune: bool) -> None:
        uris_and_keys = zip(old["uri"].to_pylist(), old["key"].to_pylist(), strict=True)
        self._old: dict[str, tuple[str, bytes]] = dict(zip(old["video_id"].to_pylist(), uris_and_keys, strict=True))
        self._scopes = scopes
        self._contents = contents
        self._prune = prune
        self._taken: set[str] = set()
        self.moved: set[str] = set()

    def key_before(self, video_id: str) -> bytes | None:
        """The key this id had when the data set was last written."""
        return self._old.get(video_id, ("", None))[1]

    def name(self, found: Found, key: bytes) -> str:
        """The id of an item: the one it had, or the first free one."""
        name = found.video_id
        if name in self._taken or (self._old and self._old.get(name, ("",))[0] != found.uri):
            ladder = _ladder(found, self._scopes)
            had = [video_id for video_id in ladder if self._old.get(video_id, ("",))[0] == found.uri]
            numbers = (f"{found.uri}#{k}" for k in itertools.count(2))
            name = next(v for v in itertools.chain(had, ladder, numbers) if self._is_free(v, found.uri, key))
        self._taken.add(name)
        return name

    def _is_free(self, video_id: str, uri: str, key: bytes) -> bool:
        if video_id in self._taken:
            return False
        holder, its_key = self._old.get(video_id, (uri, key))
        if holder == uri:
            return True
        if holder in self._contents or (its_key != key and not self._prune) or exists(holder):
            return False
        self.moved.add(holder)  # the same bytes under the same name elsewhere, and nothing where they were
        return True


def _ladder(found: Found, scopes: Sequence[str]) -> list[str]:
    """Names for an item, the wanted one first; a segment keeps its number."""
    base = next((s for s in scopes if s.endswith("/") and found.uri.startswith(s)), found.uri.rpartition("/")[0] + "/")
    rel = found.uri[len(base) :]
    folder = base.rstrip("/").rpartition("/")[2]
    number = "" if found.start_s is None else "#" + found.video_id.rpartition("#")[2]
    return [found.video_id, *(f"{n}{number}" for n in (os.path.splitext(rel)[0], rel, f"{folder}/{rel}", found.uri))]


def _key(found: Found, contents: dict[str, _Content]) -> bytes:
    key = contents[found.uri].key
    return key if found.start_s is None or found.end_s is None else span_key(key, found.start_s, found.end_s)


def _table(dataset: str, rows: Sequence[Found], ids: list[str], contents: dict[str, _Content]) -> pa.Table:
    columns: dict[str, Any] = {
        "dataset": pc.fill_null(pa.nulls(len(rows), pa.string()), dataset),
        "video_id": ids,
        "kind": pc.fill_null(pa.nulls(len(rows), pa.string()), "video"),
        "uri": [found.uri for found in rows],
        "key": [_key(found, contents) for found in rows],
        "label": [found.label for found in rows],
        "split": [found.split for found in rows],
        "start_s": [found.start_s for found in rows],
        "end_s": [found.end_s for found in rows],
        "size_bytes": [contents[found.uri].size_bytes for found in rows],
        "mtime_ns": [contents[found.uri].mtime_ns for found in rows],
        "seen_ns": np.full(len(rows), time.time_ns(), np.int64),
    }
    return pa.Table.from_arrays([pa.array(columns[f.name], type=f.type) for f in SCHEMA], schema=SCHEMA)


# -- failures ---------------------------------------------------------------------------------------------------------


def _note_failures(root: Root, dataset: str, faults: Sequence[Fault], missing: Sequence[Fault]) -> None:
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
            Failure(None, uri, dataset, "", "", "index", error, message, known.get(uri, ("", 0))[1] + 1)
            for uri, error, message in [*faults, *fresh]
        ]
    )
