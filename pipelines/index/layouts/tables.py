"""Tables of labels, a line a video: Kinetics' csv, and any table with an id and a label.

    kinetics    label, youtube_id, time_start, time_end[, split]     a file is what was cut out
    table       id, label[, split][, start_s, end_s]                 a line with times is a part of its file: `ID#k`

A file of Kinetics is called `ID_000010_000020` or `ID`, that of a table as `spellings.py` knows it.
"""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipelines.errors import LayoutError
from pipelines.index.files import File
from pipelines.index.layouts.base import Found, Reading, class_folders, missing, refuse, split_folder, split_of
from pipelines.index.layouts.label_files import LabelFile, Record, columns_of, records
from pipelines.index.layouts.lists import is_numbered_list
from pipelines.index.spellings import TIMES, match

_LABEL = ("class", "class_name", "classname", "label_name", "action", "category")
_SPLIT = ("subset", "set")
_START = ("start", "start_time", "start_s", "start_sec", "start_seconds", "t_start")
_END = ("end", "end_time", "end_s", "end_sec", "end_seconds", "t_end")
_KINETICS = {
    "label": _LABEL,
    "youtube_id": ("youtubeid", "youtube", "yt_id", "ytid", "video_id", "videoid"),
    "time_start": _START,
    "time_end": _END,
    "split": _SPLIT,
}
#: columns of any table of labels, and how else they are spelt
TABLE = {
    "id": ("video_id", "videoid", "video", "video_name", "name", "filename", "file_name", "file", "path", "youtube_id"),
    "label": _LABEL,
    "split": _SPLIT,
    "start_s": tuple(name for name in (*_START, "time_start") if name != "start_s"),
    "end_s": tuple(name for name in (*_END, "time_end") if name != "end_s"),
}


class _Clip(NamedTuple):
    """One row of a Kinetics csv."""

    where: str
    start_s: int
    end_s: int
    label: str | None
    split: str | None

    def name(self, youtube_id: str) -> str:
        """What its file is called."""
        return f"{youtube_id}_{self.start_s:06d}_{self.end_s:06d}"


def layout_of(label: LabelFile) -> str:
    """`table` where a table has an id and a label, and no times beside an id as Kinetics'; else `kinetics`."""
    of_kinetics = columns_of(label, _KINETICS)
    timed = {"time_start", "time_end"} & set(of_kinetics) and "youtube_id" in of_kinetics
    return "table" if not timed and {"id", "label"} <= set(columns_of(label, TABLE)) else "kinetics"


def _filled(record: Record, column: str) -> str:
    """What a record has in a column; LayoutError where that is nothing, as in a line that is cut short."""
    if not (value := record.values.get(column)):
        raise LayoutError(f"{record.where} has no {column}. Mend the line or take it out.")
    return value


# -- Kinetics ---------------------------------------------------------------------------------------------------------


def kinetics(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    """Labels of Kinetics' csv; without any of the folders."""
    if not labels:
        found = []
        for file in files:
            folders = class_folders(file)
            label = sys.intern(folders[-1].replace("_", " ")) if folders else None
            found.append(Found(file.stem, file.uri, label, split_folder(file), None, None))
        return Reading("kinetics", found, [], [])
    clips = _clips(labels)
    found, met = [], set()
    for file in files:
        youtube_id, clip = _clip_of(file, clips)
        met.add((youtube_id, clip))
        label, split = (clip.label, clip.split or split_folder(file)) if clip else (None, None)
        found.append(Found(file.stem, file.uri, label, split, None, None))
    absent = [
        missing(clip.name(youtube_id), clip.where)
        for youtube_id, own in clips.items()
        for clip in own
        if (youtube_id, clip) not in met
    ]
    return Reading("kinetics", found, absent, [])


def kinetics_names(labels: Sequence[LabelFile]) -> Mapping[str, str]:
    """The names of files that the csv speaks of."""
    return {
        name: name for youtube_id, own in _clips(labels).items() for clip in own for name in [clip.name(youtube_id)]
    }


def _clips(labels: Sequence[LabelFile]) -> dict[str, list[_Clip]]:
    clips: dict[str, list[_Clip]] = {}
    for label_file in labels:
        for youtube_id, clip in _kinetics_rows(label_file):
            _add_clip(clips, youtube_id, clip)
    return clips


def _kinetics_rows(label: LabelFile) -> Iterator[tuple[str, _Clip]]:
    if is_numbered_list(label):
        raise LayoutError(
            f"{label.path!r} has lines CLASS/VIDEO.mp4 NUMBER and is no Kinetics csv. Read it with --layout list."
        )
    there = columns_of(label, _KINETICS)
    needed = ["youtube_id", "time_start", "time_end"]
    needed = needed if "split" in there else ["label", *needed]
    for record in records(label, _KINETICS, needed, "Kinetics csv", ", or id and label where there are no times"):
        clip = _clip(record, "label" in there)
        yield _filled(record, "youtube_id"), clip


def _clip(record: Record, labelled: bool) -> _Clip:
    start, end = (record.values.get(name) for name in ("time_start", "time_end"))
    try:
        start_s, end_s = (int(float((text or "").replace(",", "."))) for text in (start, end))
    except (ValueError, OverflowError):
        raise LayoutError(
            f"{record.where} needs numbers for time_start and time_end, got {start!r} and {end!r}. "
            "Mend the line or take it out."
        ) from None
    split = split_of(record.values.get("split", ""))
    if not labelled and split != "test":
        raise LayoutError(
            f"{record.where} has no label and is not of the test split (only its labels are held back). "
            "Give the csv with labels."
        )
    return _Clip(record.where, start_s, end_s, sys.intern(record.values.get("label", "")) or None, split)


def _add_clip(clips: dict[str, list[_Clip]], youtube_id: str, clip: _Clip) -> None:
    own = clips.setdefault(youtube_id, [])
    for other in own:
        if (other.start_s, other.end_s) == (clip.start_s, clip.end_s):
            if (other.label, other.split) != (clip.label, clip.split):
                one, two = (f"{c.label!r}, split {c.split}, in {c.where}" for c in (other, clip))
                refuse(youtube_id, one, two)
            return
    own.append(clip)


def _clip_of(file: File, clips: Mapping[str, list[_Clip]]) -> tuple[str, _Clip | None]:
    own = clips.get(file.stem)
    if own:
        if len({clip.label for clip in own}) > 1:
            refuse(file.stem, f"{own[0].label!r} in {own[0].where}", f"{own[1].label!r} in {own[1].where}")
        return file.stem, own[0]
    if named := TIMES.search(file.stem):
        youtube_id = file.stem[: named.start()]
        for clip in clips.get(youtube_id, []):
            if (clip.start_s, clip.end_s) == (int(named[1]), int(named[2])):
                return youtube_id, clip
    return file.stem, None


# -- any table --------------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """What a table says of a video, or of a part of it."""

    where: str
    label: str | None
    split: str | None
    start_s: float | None
    end_s: float | None


def table(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    """Labels of tables with an id and a label; a video is called by its path without extension."""
    rows = _rows(labels)
    ids = [os.path.splitext(file.rel)[0] for file in files]
    names = list(rows)
    at = match(ids, names).at
    found = []
    for file, video_id, number in zip(files, ids, at, strict=True):
        own = rows[names[number]] if number >= 0 else [_Row("", None, None, None, None)]
        for part, row in enumerate(own):
            name = video_id if row.start_s is None else f"{video_id}#{part}"
            split = row.split or (split_folder(file) if number >= 0 else None)
            found.append(Found(name, file.uri, row.label, split, row.start_s, row.end_s))
    met = set(at)
    absent = [missing(name, rows[name][0].where) for number, name in enumerate(names) if number not in met]
    return Reading("table", found, absent, [])


def table_names(labels: Sequence[LabelFile]) -> Mapping[str, str]:
    """The ids of tables."""
    return {name: name for name in _rows(labels)}


def _rows(labels: Sequence[LabelFile]) -> dict[str, list[_Row]]:
    """What is said of each video: one row of it whole, or some of its parts, in the order of the table."""
    if not labels:
        raise LayoutError("The layout table takes a table with the columns id and label. Give it with --labels.")
    rows: dict[str, list[_Row]] = {}
    for label in labels:
        for record in records(label, TABLE, ("id", "label"), "table"):
            name, row = _filled(record, "id"), _row(record)
            own = rows.setdefault(name, [])
            alike = [other for other in own if other[3:] == row[3:] or None in (other.start_s, row.start_s)]
            if alike and alike[0][1:] != row[1:]:
                refuse(name, *(_said(each) for each in (alike[0], row)))
            if not alike:
                own.append(row)
    return rows


def _row(record: Record) -> _Row:
    told = [record.values.get(name, "") for name in ("start_s", "end_s")]
    times: list[float | None] = [None, None]
    if any(told):
        try:
            times = [float(text.replace(",", ".")) for text in told]
        except ValueError:
            times = [math.nan, math.nan]
        start, end = (math.nan if each is None else each for each in times)
        if not 0 <= start < end < math.inf:
            raise LayoutError(
                f"{record.where} needs seconds from start_s to end_s, or neither, got {told[0]!r} and {told[1]!r}. "
                "Mend the line or take it out."
            )
    label = sys.intern(record.values.get("label", "")) or None
    return _Row(record.where, label, split_of(record.values.get("split", "")), times[0], times[1])


def _said(row: _Row) -> str:
    part = "" if row.start_s is None else f" of {row.start_s:g} to {row.end_s:g} s"
    return f"{row.label!r}{part}, split {row.split}, in {row.where}"
