"""Captions: sentences that stand for videos, one or more a video, as items of a data set.

Run    `zsar index captions.jsonl.gz --kind captions --dataset ucf101`
Takes  files of captions (`caption_files.py`), a record a video or a record a caption, plain or gzip
Gives  a manifest row a video (kind `caption_group`) and `captions/DATASET.parquet`; failures for records that make no
       sense; an `IndexReport`; 3.6 million captions, a record each, in 40 s and .8 GB on 2 busy cores

All that the files of one call say of a video, in their order and in whatever records, is gathered; a caption is a
segment. A file read again replaces what was read from it, and a video told again what was told of it. A label that
contradicts an earlier one, and a list of captions that was there word for word, are failures.
"""

import array
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.index import caption_files
from pipelines.index.caption_files import Told
from pipelines.index.merging import Entry, Ways, merge
from pipelines.index.report import IndexReport
from pipelines.index.settings import IndexConfig
from pipelines.lines import Problem
from pipelines.progress import Progress
from stores.captions import ARRIVING, Captions, Gathering
from stores.failures import Failure, Failures
from stores.keys import text_key
from stores.manifest import Manifest
from stores.root import Root, checked_name

KIND = "caption_group"
_AT_ONCE = 50_000


def index_captions(config: IndexConfig, root: Root, progress: Progress | None = None) -> IndexReport:
    """Bring a data set's manifest up to date with files of captions.

    Raises
    ------
    UsageError
        A file that is not there, or holds no captions at all.
    """
    checked_name(config.dataset)
    if config.labels:
        raise UsageError("Captions tell the labels of their videos themselves (`class`). Leave --labels out.")
    if config.layout != "auto":
        raise UsageError(f"Files of captions are told apart by what they hold. Leave --layout {config.layout} out.")
    with Captions(root).gathering() as gathered:
        reading = _Reading(config, gathered)
        for path in config.paths:
            if not os.path.isfile(path):
                raise UsageError(f"There is no file {path}. Captions are read from local files: {caption_files.TAKEN}.")
        files = list(dict.fromkeys(str(Path(path).absolute()) for path in config.paths))
        for done, path in enumerate(files, start=1):
            reading.file(path)
            if progress:
                progress(done, len(files))
        if not reading.ids:
            left_out = ", ".join(reading.left_out)
            reason = f", but {left_out}, which is not taken." if left_out else "."
            reason = f": {reading.failures[0].message}" if reading.failures else reason
            raise UsageError(f"{', '.join(config.paths)} holds no captions of a video{reason}")
        with root.lock("manifest"):
            report = _merge(config, root, reading)
    Failures(root).append(reading.failures)
    return report


class _Reading:
    """What was read so far: the videos by their numbers; their captions are on their way.

    Attributes
    ----------
    uris : files, in their order
    ids, labels : of the videos
    first : number of the file and line that first tell of each
    """

    def __init__(self, config: IndexConfig, gathered: Gathering) -> None:
        self._dataset = config.dataset
        self.gathered = gathered
        self.uris: list[str] = []
        self.ids: dict[str, int] = {}
        self.labels: list[str | None] = []
        self.first: tuple[array.array[int], array.array[int]] = (array.array("i"), array.array("q"))
        self.failures: list[Failure] = []
        self.left_out: Counter[str] = Counter()
        self._count = array.array("i")
        self._lists: set[int] = set()

    def file(self, uri: str) -> None:
        """Read a file."""
        self.uris.append(uri)
        wrong: Counter[int] = Counter()
        rows: list[tuple[int, int, bytes, str, int]] = []
        for entry in caption_files.read(uri):
            if isinstance(entry, Told):
                self.left_out.update(entry.left_out)
                if not entry.texts:
                    continue
                entry = self._known(entry)
            if isinstance(entry, Problem):
                message = f"Line {entry.line} {entry.reason}."
                wrong[entry.line] += 1  # published JSON is one line: its failures must not take each other's place
                place = f"{uri}:{entry.line}" + (f"#{wrong[entry.line]}" if wrong[entry.line] > 1 else "")
                self.failures.append(Failure(None, place, self._dataset, "", "", "index", "BadRecord", message))
                continue
            number = self.ids[entry.video_id]
            for text in entry.texts:
                rows.append((number, self._count[number], text_key(text), text, entry.line))
                self._count[number] += 1
            if len(rows) >= _AT_ONCE:
                self._hand_over(rows, uri)
        self._hand_over(rows, uri)

    def _known(self, entry: Told) -> Told | Problem:
        """The record, its video among those known; or why it does not fit what was said before."""
        number = self.ids.get(entry.video_id)
        if number is None:
            self.ids[entry.video_id] = len(self.labels)
            self.labels.append(entry.label and sys.intern(entry.label))
            for column, value in zip(self.first, (len(self.uris) - 1, entry.line), strict=True):
                column.append(value)
            self._count.append(0)
        else:
            before = self.labels[number]
            if entry.label and before and entry.label != before:
                where = f"{self.uris[self.first[0][number]]}:{self.first[1][number]}"
                what = f"gives {entry.video_id!r} the label {entry.label!r}, after {before!r} in {where}"
                return Problem(entry.line, f"{what}; give a video one label")
            self.labels[number] = before or (entry.label and sys.intern(entry.label))
        if len(entry.texts) > 1:  # a single sentence may come twice: two people have said it
            told = hash((entry.video_id, entry.texts))
            if told in self._lists:
                return Problem(entry.line, f"tells of {entry.video_id!r} word for word what a record before it tells")
            self._lists.add(told)
        return entry

    def _hand_over(self, rows: list[tuple[int, int, bytes, str, int]], uri: str) -> None:
        if rows:
            video, place, key, text, line = zip(*rows, strict=True)
            columns: Sequence[Any] = (video, place, key, text, [uri] * len(rows), line)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, ARRIVING, strict=True)]
            self.gathered.add(pa.Table.from_arrays(arrays, schema=ARRIVING))
            rows.clear()


def _merge(config: IndexConfig, root: Root, reading: _Reading) -> IndexReport:
    manifest = Manifest(root)
    entries = _entries(reading)
    ways = Ways(place=lambda uri, name: name)  # a video told again, wherever, is told anew
    old = manifest.rows(config.dataset)
    merged = merge(old, config.dataset, KIND, entries, reading.uris, ways, _is_gone, config.prune)
    Captions(root).write(config.dataset, reading.gathered, merged.table["key"].combine_chunks())
    manifest.write(config.dataset, merged.table)
    return IndexReport(
        videos=len(entries),
        new=merged.new,
        unchanged=len(entries) - merged.new,
        contents=len({entry.key for entry in entries}),
        missing=len(merged.missing),
        failed=len(reading.failures),
        unlabelled=sum(label is None for label in reading.labels),
        pruned=merged.pruned,
        layout="captions",
        left_out=dict(reading.left_out),
    )


def _is_gone(uri: str) -> bool:
    return not os.path.exists(uri)


def _entries(reading: _Reading) -> list[Entry]:
    stats = [os.stat(uri) for uri in reading.uris]
    groups = reading.gathered.groups()
    entries = []
    for video_id, number in reading.ids.items():
        file = reading.first[0][number]
        stat = stats[file]
        told = (reading.labels[number], None, stat.st_size, stat.st_mtime_ns)
        entries.append(Entry(video_id, video_id, reading.uris[file], groups[number], *told))
    return entries
