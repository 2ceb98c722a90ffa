"""ActivityNet's label file: activity_net.v1-3.json, in which a video has labelled segments.

A segment is an item: `ID#k` is the k-th, from 0; a video that the file names without segments is one whole.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.errors import LayoutError
from pipelines.index.files import Fault, File
from pipelines.index.layouts.base import Found, Reading, missing, refuse, split_of
from pipelines.index.layouts.label_files import LabelFile


def activitynet(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    """The labelled segments of the files."""
    database = _database(labels)
    found: list[Found] = []
    faults: list[Fault] = []
    met = set()
    for file in files:
        spellings = (file.stem, file.stem.removeprefix("v_"), f"v_{file.stem}")
        youtube_id = next((s for s in spellings if s in database), file.stem.removeprefix("v_"))
        entry = database.get(youtube_id)
        met.add(youtube_id)
        if entry is None:
            found.append(Found(youtube_id, file.uri, None, None, None, None))
        else:
            _segments(file, youtube_id, entry, labels[0], found, faults)
    absent = [missing(youtube_id, labels[0].name) for youtube_id in database if youtube_id not in met]
    return Reading("activitynet", found, absent, faults)


def activitynet_names(labels: Sequence[LabelFile]) -> Mapping[str, str]:
    """The ids of the file."""
    return {name: name for name in _database(labels)}


def _database(labels: Sequence[LabelFile]) -> dict[str, Any]:
    if len(labels) != 1:
        raise LayoutError(
            f"The layout activitynet takes one label file (activity_net.v1-3.json), got {len(labels)}. "
            "Give it with --labels."
        )
    label = labels[0]
    try:
        content = json.loads(label.text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise LayoutError(
            f"The label file {label.path!r} is broken JSON at line {error.lineno} column {error.colno}: {error.msg}. "
            "Fetch it again."
        ) from error
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise LayoutError(f"The label file {label.path!r} has no object 'database'. Give activity_net.v1-3.json.")
    for youtube_id, entry in database.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("annotations", []), list):
            raise LayoutError(
                f"{label.path!r}: the entry of {youtube_id!r} is not an object with a list 'annotations'."
            )
    return {youtube_id.strip(): entry for youtube_id, entry in database.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that stands in it twice must say the same."""
    content = dict(pairs)
    if len(content) < len(pairs):
        for name, value in pairs:
            if content[name] != value:
                refuse(name, json.dumps(value)[:120], json.dumps(content[name])[:120])
    return content


def _segments(
    file: File, youtube_id: str, entry: dict[str, Any], label: LabelFile, found: list[Found], faults: list[Fault]
) -> None:
    """A row for each labelled segment; the test split has none, its videos are whole items without label."""
    split = split_of(str(entry.get("subset") or ""))
    seen = set()
    annotations = entry.get("annotations", [])
    for k, annotation in enumerate(annotations):
        segment = _segment(annotation)
        if segment is None:
            message = (
                f"{label.name}: annotation {k} must have a label and a segment [start, end] with start < end, got "
            )
            faults.append(Fault(f"{file.uri}#{k}", "BadSegment", f"{message}{json.dumps(annotation)[:120]}."))
        elif segment not in seen:
            seen.add(segment)
            name, start_s, end_s = segment
            found.append(Found(f"{youtube_id}#{k}", file.uri, name, split, start_s, end_s))
    if not annotations:
        found.append(Found(youtube_id, file.uri, None, split, None, None))


def _segment(annotation: Any) -> tuple[str, float, float] | None:
    try:
        name, (start_s, end_s) = annotation["label"], (float(v) for v in annotation["segment"])
    except (KeyError, TypeError, ValueError):
        return None
    fits = isinstance(name, str) and name.strip() and 0 <= start_s < end_s and math.isfinite(end_s)
    return (sys.intern(name.strip()), start_s, end_s) if fits else None
