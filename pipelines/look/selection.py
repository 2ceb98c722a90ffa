"""An answer of a query as a data set of its own: named, versioned, with labels and splits of one's own.

Run    `zsar sql "select dataset, video_id, 'outdoors' as label from videos where ..." --save-as outdoors`
Takes  a table with a column video_id; dataset where several have it; label and split in place of those it has;
       start_s and end_s, with `parts`, for parts of the videos
Gives  a version of a selection (`stores/selections.py`), which every command takes as --dataset NAME or NAME@VERSION

Nothing is copied but rows of the manifest and captions. What is the same as the latest version makes no new one.
"""

import hashlib
import json
import re
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.index.contents import read_all
from stores.captions import Captions
from stores.keys import span_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from stores.selections import Selections
from stores.stat_cache import StatCache
from untrusted.names import few

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAMED = 5
_OWN = ("label", "split")


class Saved(NamedTuple):
    """What became of an answer.

    Attributes
    ----------
    dataset : NAME@VERSION
    videos : rows of it
    new : whether it is a new version; False where the latest one is the same
    """

    dataset: str
    videos: int
    new: bool


def save(table: pa.Table, name: str, question: str, root: Root, parts: bool = False) -> Saved:
    """Save the videos that an answer names as a version of a selection.

    Parameters
    ----------
    table : the answer
    name : of the selection
    question : what was asked, to be told with it
    root : Root
    parts : each row with start_s and end_s is an item of its own, a part of its file, whose features are to be
        extracted; else each video is one item, whatever the rows say of its segments

    Raises
    ------
    UsageError
        A name that is a data set's or cannot be one; no column video_id, no row; a video that no data set has, or
        several; a video with two labels.
    """
    _check(table, name, root)
    rows = _rows(table, root)
    items = _parts(table, rows, root) if parts else _whole(table, rows)
    own = pa.Table.from_pylist(items, schema=SCHEMA).sort_by([("video_id", "ascending"), ("start_s", "ascending")])
    sources = sorted({row["dataset"] for row in items})
    store = Selections(root)
    with root.lock("manifest"):
        digest = _digest(own)
        if (there := store.versions(name)) and store.about(name, there[-1])["digest"] == digest:
            return Saved(f"{name}@{there[-1]}", own.num_rows, False)
        full = f"{name}@{store.next(name)}"
        Captions(root).copy(sources, full, own["key"].combine_chunks())
        own = own.set_column(0, "dataset", pa.repeat(pa.scalar(full), own.num_rows))
        store.add(name, own, {"question": question, "sources": sources, "digest": digest})
    return Saved(full, own.num_rows, True)


def _check(table: pa.Table, name: str, root: Root) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"A data set's name is letters, digits, dot, dash and underscore, got {name!r}.")
    if name in Manifest(root).datasets():
        raise UsageError(f"{name!r} is a data set that was indexed; a selection needs a name of its own.")
    if "video_id" not in table.column_names:
        raise UsageError(
            f"A selection needs the column video_id (and dataset, where several have the video); the answer has: "
            f"{few(table.column_names)}."
        )
    if not table.num_rows:
        raise UsageError("The answer is empty: there is nothing to save.")


def _rows(table: pa.Table, root: Root) -> list[dict[str, Any]]:
    """The row of the manifest that each row of an answer names."""
    ids = table["video_id"].to_pylist()
    told = table["dataset"].to_pylist() if "dataset" in table.column_names else [None] * len(ids)
    manifest = Manifest(root)
    names = sorted({each for each in told if each}) if all(told) else manifest.datasets()
    full = {each: Selections(root).full(each) for each in names}
    by_id: dict[str, list[dict[str, Any]]] = {}
    wanted = pa.array(sorted({each for each in ids if each}), pa.string())
    for dataset in names:
        held = manifest.read(dataset)
        for row in held.filter(pc.is_in(held["video_id"], wanted)).to_pylist():
            by_id.setdefault(row["video_id"], []).append(row)
    found: list[dict[str, Any]] = []
    unknown: list[str] = []
    several: list[str] = []
    for video_id, dataset in zip(ids, told, strict=True):
        own = [row for row in by_id.get(video_id, ()) if dataset is None or row["dataset"] == full[dataset]]
        found += own[:1]
        if len(own) != 1:
            (several if own else unknown).append(str(video_id))
    if unknown:
        raise UsageError(f"{len(unknown)} videos of the answer are in no data set: {_some(unknown)}.")
    if several:
        raise UsageError(
            f"{len(several)} videos of the answer are in several data sets, or there twice: {_some(several)}. Name "
            "the column dataset too."
        )
    return found


def _own(table: pa.Table, row: dict[str, Any], number: int) -> dict[str, Any]:
    """A row of the manifest with the label and split that the answer gives it."""
    given = {name: table[name][number].as_py() for name in _OWN if name in table.column_names}
    return row | {name: None if value is None else str(value) for name, value in given.items()}


def _whole(table: pa.Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each video once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for number, row in enumerate(rows):
        own = _own(table, row, number)
        other = found.setdefault((row["dataset"], row["video_id"]), own)
        if (other["label"], other["split"]) != (own["label"], own["split"]):
            one, two = (f"label {each['label']!r}, split {each['split']!r}" for each in (other, own))
            raise UsageError(f"The answer says two things of {row['video_id']!r}: {one}; {two}. Keep one.")
    return _apart(list(found.values()))


def _parts(table: pa.Table, rows: list[dict[str, Any]], root: Root) -> list[dict[str, Any]]:
    """Each row a part of its file."""
    if not {"start_s", "end_s"} <= set(table.column_names):
        raise UsageError("--parts needs the columns start_s and end_s.")
    if other := sorted({row["kind"] for row in rows} - {"video"}):
        raise UsageError(f"--parts is of films; the answer has items of kind {', '.join(other)}.")
    contents, faults = read_all(sorted({row["uri"] for row in rows}), {}, StatCache(root))
    if faults:
        raise UsageError(f"{faults[0].uri}: {faults[0].message} Nothing was saved.")
    found, count = {}, {}  # type: dict[tuple[str, float, float], dict[str, Any]], dict[str, int]
    for number, row in enumerate(rows):
        start, end = (table[name][number].as_py() for name in ("start_s", "end_s"))
        if start is None or end is None or not 0 <= start < end:
            raise UsageError(f"--parts needs seconds from start_s to end_s; {row['video_id']!r} has {start} and {end}.")
        if (row["uri"], start, end) in found:
            continue
        base = row["video_id"].rpartition("#")[0] or row["video_id"]
        count[base] = count.get(base, -1) + 1
        own = {"video_id": f"{base}#{count[base]}", "start_s": start, "end_s": end}
        own["key"] = span_key(contents[row["uri"]].key, start, end)
        found[row["uri"], start, end] = _own(table, row, number) | own
    return _apart(list(found.values()))


def _apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, where one name is of several data sets called DATASET/NAME."""
    names, counts = np.unique([row["video_id"] for row in rows], return_counts=True)
    twice = set(names[counts > 1].tolist())
    return [
        row | {"video_id": f"{row['dataset']}/{row['video_id']}"} if row["video_id"] in twice else row for row in rows
    ]


def _digest(table: pa.Table) -> str:
    """Of what a version is: which contents under which names, labels and splits."""
    rows = [
        [key.hex(), *rest]
        for key, *rest in zip(*(table[n].to_pylist() for n in ("key", "video_id", *_OWN)), strict=True)
    ]
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()


def _some(names: list[str]) -> str:
    named = list(dict.fromkeys(names))
    return few(named, _NAMED)
