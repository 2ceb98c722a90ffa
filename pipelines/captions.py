"""Captions: sentences that stand for videos, one or more a video, as items of a data set.

Run    `zsar index captions.jsonl.gz --kind captions --dataset ucf101`
Takes  JSON lines, plain or gzip: {"video": id, "class": label, "captions": [text, ...]}; other fields are passed over
Gives  a manifest row a video (kind `caption_group`) and `captions/DATASET.parquet`; failures for records that make no
       sense; an `IndexReport`

A video's captions are its segments, in their order. A file read again replaces what was read from it.
"""

import gzip
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import IndexConfig
from pipelines.errors import UsageError
from pipelines.index import IndexReport
from pipelines.lines import Problem, json_lines, lines, opened
from stores.captions import SCHEMA as CAPTIONS
from stores.captions import Captions, group_key
from stores.failures import Failure, Failures
from stores.keys import folded, text_key
from stores.manifest import SCHEMA as MANIFEST
from stores.manifest import Manifest
from stores.root import Root, checked_name

_ID_FIELDS = ("video", "video_id", "id")
_LABEL_FIELDS = ("class", "label", "action")
_TEXT_FIELDS = ("captions", "caption", "sentences", "texts")


class _Group(NamedTuple):
    """The captions of one video, and the line they stand in."""

    video_id: str
    label: str | None
    texts: tuple[str, ...]
    line: int


def index_captions(config: IndexConfig, root: Root) -> IndexReport:
    """Bring a data set's manifest up to date with files of captions.

    Raises
    ------
    UsageError
        A file that is not there, or holds no captions at all.
    """
    checked_name(config.dataset)
    found: dict[str, tuple[_Group, str]] = {}
    failures: list[Failure] = []
    for path in config.paths:
        uri = str(Path(path).absolute())
        for entry in _groups(path):
            if isinstance(entry, _Group) and entry.video_id in found:
                before, where = found[entry.video_id]
                reason = f"names {entry.video_id!r} again, after {where}:{before.line}; give each video one record"
                entry = Problem(entry.line, reason)
            if isinstance(entry, Problem):
                place = f"{uri}:{entry.line}"
                message = f"Line {entry.line} {entry.reason}."
                failures.append(Failure(None, place, config.dataset, "", "", "index", "BadRecord", message))
            else:
                found[entry.video_id] = (entry, uri)
    if not found:
        reason = f": {failures[0].message}" if failures else ""
        raise UsageError(f"{', '.join(config.paths)} holds no captions of a video{reason or '.'}")
    with root.lock("manifest"):
        report = _merge(config, root, found, len(failures))
    Failures(root).append(failures)
    return report


def _merge(config: IndexConfig, root: Root, found: Mapping[str, tuple[_Group, str]], failed: int) -> IndexReport:
    manifest, captions = Manifest(root), Captions(root)
    known = config.dataset in manifest.datasets()
    old = manifest.read(config.dataset) if known else MANIFEST.empty_table()
    is_group = pc.equal(old["kind"], "caption_group")
    uris = pa.array(sorted({uri for _, uri in found.values()}))
    again = pc.or_(pc.is_in(old["uri"], uris), pc.is_in(old["video_id"], pa.array(list(found))))
    before = old.filter(is_group)
    earlier = dict(zip(before["video_id"].to_pylist(), before["key"].to_pylist(), strict=True))
    rows, texts = [], []
    for group, uri in found.values():
        keys = [text_key(text) for text in group.texts]
        key = group_key(keys)
        rows.append((group, uri, key))
        texts += [
            (key, place, own, text, uri, group.line)
            for place, (own, text) in enumerate(zip(keys, group.texts, strict=True))
        ]
    table = pa.concat_tables([old.filter(pc.invert(pc.and_(is_group, again))), _rows(config.dataset, rows)])
    fresh = pa.Table.from_arrays(
        [pa.array(column, f.type) for column, f in zip(zip(*texts, strict=True), CAPTIONS, strict=True)],
        schema=CAPTIONS,
    )
    both = pa.concat_tables([fresh, captions.read(config.dataset)])  # of twins, where a text was read last
    both = both.filter(pc.is_in(both["group"], table["key"].combine_chunks()))
    first = both.append_column("row", pa.array(np.arange(both.num_rows)))
    first = first.group_by(["group", "place"]).aggregate([("row", "min")])["row_min"]  # twins have one group
    captions.write(config.dataset, both.take(first))
    manifest.write(config.dataset, table)
    unchanged = sum(earlier.get(group.video_id) == key for group, _, key in rows)
    return IndexReport(
        videos=len(rows),
        new=len(rows) - unchanged,
        unchanged=unchanged,
        contents=len({key for _, _, key in rows}),
        missing=0,
        failed=failed,
        unlabelled=sum(group.label is None for group, _, _ in rows),
        pruned=0,
        layout="captions",
    )


def _rows(dataset: str, rows: list[tuple[_Group, str, bytes]]) -> pa.Table:
    stats = {uri: os.stat(uri) for uri in {uri for _, uri, _ in rows}}
    count, now = len(rows), time.time_ns()
    columns: dict[str, Any] = {
        "dataset": [dataset] * count,
        "video_id": [group.video_id for group, _, _ in rows],
        "kind": ["caption_group"] * count,
        "uri": [uri for _, uri, _ in rows],
        "key": [key for _, _, key in rows],
        "label": [group.label for group, _, _ in rows],
        "size_bytes": [stats[uri].st_size for _, uri, _ in rows],
        "mtime_ns": [stats[uri].st_mtime_ns for _, uri, _ in rows],
        "seen_ns": [now] * count,
    }
    return pa.Table.from_arrays(
        [pa.array(columns.get(f.name, [None] * count), f.type) for f in MANIFEST], schema=MANIFEST
    )


def _groups(path: str) -> Iterator[_Group | Problem]:
    """The records of a file of JSON lines."""
    if not os.path.isfile(path):
        raise UsageError(f"There is no file {path}. Captions are read from a local file of JSON lines.")
    with opened(path) as stream:
        for entry in json_lines(lines(stream)):
            yield entry if isinstance(entry, Problem) else _group(entry[1], entry[0])


def _group(fields: Any, number: int) -> _Group | Problem:
    if not isinstance(fields, Mapping):
        return Problem(number, f"should be an object, got {type(fields).__name__}")
    video_id = next((fields[f] for f in _ID_FIELDS if f in fields), None)
    label = next((fields[f] for f in _LABEL_FIELDS if f in fields), None)
    told = next((fields[f] for f in _TEXT_FIELDS if f in fields), None)
    if not isinstance(video_id, str) or not video_id.strip():
        return Problem(number, f"names no video: a field {' or '.join(map(repr, _ID_FIELDS))} is needed")
    if label is not None and not isinstance(label, str):
        return Problem(number, f"has a label of {video_id!r} that is no name: {label!r}")
    texts = [told] if isinstance(told, str) else told
    if not isinstance(texts, list) or not texts:
        return Problem(number, f"has no captions of {video_id!r}: a field 'captions' with a list of texts is needed")
    if bad := [text for text in texts if not isinstance(text, str) or not folded(text)]:
        return Problem(number, f"has a caption of {video_id!r} that is no text: {bad[0]!r}")
    return _Group(video_id, label, tuple(folded(text) for text in texts), number)
