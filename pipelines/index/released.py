"""Released features without their videos: a data set of their own, labelled by the label files of the videos.

Run    `zsar index FILE --dataset D --labels L [--layout NAME]`, or `--layout class-video` for ids CLASS/ID
Takes  a file of features with ids, label files as for videos
Gives  a manifest row an id, of the kind `feature`: no file of it is ever opened

The key of such an item is of data set and id, so that another file of the same videos lands on the same rows. An id
that a video of the data set bears, in whatever spelling, makes no row: the features are that video's. Videos that come
later take the rows over by name (`of_one_name`, `taken_over`). See docs/decisions/0010-features-without-videos.md.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.index.files import Fault, File, Files
from pipelines.index.layouts import reading as layouts
from pipelines.index.layouts.base import Found
from pipelines.index.layouts.label_files import label_files
from pipelines.index.recordings import filled, with_recording
from pipelines.index.settings import IndexConfig
from pipelines.index.spellings import match, plain
from stores.features import positions
from stores.foreign import Foreign
from stores.keys import id_key, key_array
from stores.manifest import SCHEMA, Manifest
from stores.root import Root

KIND = "feature"


class Released(NamedTuple):
    """What an index of released features found; counts are rows.

    Attributes
    ----------
    layout : the layout used, or picked
    items, new, unlabelled : rows of this file; those that were not there before; those without a label
    of_videos : ids that are of videos of the data set, which keep their own labels
    missing, faults : as of a `Reading`
    """

    layout: str
    items: int
    new: int
    unlabelled: int
    of_videos: int
    missing: list[Fault]
    faults: list[Fault]


def index_released(path: str, features: Foreign, config: IndexConfig, root: Root) -> Released:
    """Write a row for each id of a file that no video of the data set bears.

    Raises
    ------
    LayoutError
        As for videos: label files that cannot be read, or name none of the ids.
    """
    layout, found, missing, faults = _read(path, features, config)
    manifest = Manifest(root)
    with root.lock("manifest"):
        old = manifest.rows(config.dataset)
        kinds = old["kind"].to_pylist()
        videos = [name for name, kind in zip(old["video_id"].to_pylist(), kinds, strict=True) if kind == "video"]
        is_video = [at >= 0 for at in match(features.video_id, videos).at]
        before = old.filter(pc.equal(old["kind"], KIND)).to_pylist()
        at = match([item.video_id for item in found], [row["video_id"] for row in before]).at
        rows, new, again = [], 0, set()
        for number, (item, j) in enumerate(zip(found, at, strict=True)):
            if is_video[number]:
                continue
            known = before[j] if j >= 0 else {}
            new += j < 0
            again.add(j)
            rows.append(_row(path, features, number, item, known, config.dataset))
        kept = [row for j, row in enumerate(before) if j not in again]
        others = old.filter(pa.array([kind != KIND for kind in kinds], pa.bool_()))
        manifest.write(config.dataset, pa.concat_tables([others, pa.Table.from_pylist([*kept, *rows], schema=SCHEMA)]))
    unlabelled = sum(row["label"] is None for row in rows)
    return Released(layout, len(rows), new, unlabelled, sum(is_video), missing, faults)


def taken_over(table: pa.Table) -> pa.Table:
    """A manifest in which features of what is now a video bear its id, and a video that has no label bears theirs."""
    kinds = table["kind"].to_pylist()
    if KIND not in kinds:
        return table
    names = table["video_id"].to_pylist()
    labels = table["label"].to_pylist()
    splits = [*map(with_recording, table["split"].to_pylist(), table["recording"].to_pylist())]
    alone, films = ([i for i, kind in enumerate(kinds) if kind == own] for own in (KIND, "video"))
    for i, at in zip(alone, match([names[i] for i in alone], [names[j] for j in films]).at, strict=True):
        if at < 0:
            continue
        names[i], j = names[films[at]], films[at]
        if labels[j] is None:  # nobody said anything of the film: what was said of its features is not lost
            labels[j], splits[j] = labels[i], filled(splits[j], splits[i])
    for column, values in (("video_id", names), ("label", labels), ("split", splits)):
        table = table.set_column(table.schema.get_field_index(column), column, pa.array(values, pa.string()))
    return table


def of_one_name(table: pa.Table, stored: np.ndarray) -> pa.Table:
    """A manifest without one of the two rows of a video that was features alone before.

    The video itself stays, unless a feature set has the features of the other row and not its own.

    Parameters
    ----------
    table : with the columns video_id, key and kind
    stored : (items, 32) uint8 keys of the feature set
    """
    kinds = table["kind"].to_pylist()
    if KIND not in kinds or "video" not in kinds:
        return table
    names, held = table["video_id"].to_pylist(), positions(stored, key_array(table["key"])) >= 0
    video = {name: i for i, (name, kind) in enumerate(zip(names, kinds, strict=True)) if kind == "video"}
    alone = {name: i for i, (name, kind) in enumerate(zip(names, kinds, strict=True)) if kind == KIND}
    dropped = {
        video[name] if held[alone[name]] and not held[video[name]] else alone[name] for name in video.keys() & alone
    }
    return table.take(pa.array([i for i in range(len(names)) if i not in dropped], pa.int64()))


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(path: str, features: Foreign, config: IndexConfig) -> tuple[str, list[Found], list[Fault], list[Fault]]:
    """An item an id, in their order, with what the layout says of a file that would be called so."""
    texts = label_files(config.labels)
    layout = layouts.pick((), texts) if config.layout == "auto" else config.layout
    ids = plain(features.video_id)
    own = layouts.LAYOUTS.get(layout)
    names = own.names(texts) if texts and own and own.names else {}
    spelt = list(names)
    at = match(ids, spelt).at
    files = [
        File(f"{path}#{number}", _as_file(names[spelt[j]] if j >= 0 else name))
        for number, (name, j) in enumerate(zip(ids, at, strict=True))
    ]
    reading = layouts.read(layout, Files(tuple(files), (path,), {}, ()), config.labels)
    number_of = {file.uri: number for number, file in enumerate(files)}
    of_item: dict[int, list[Found]] = {}
    for found in reading.found:
        of_item.setdefault(number_of[found.uri], []).append(found)
    items = [_whole(of_item.get(number), name) for number, name in enumerate(ids)]
    twice = {name for name, count in Counter(item.video_id for item in items).items() if count > 1}
    items = [
        item._replace(video_id=name) if item.video_id in twice else item
        for item, name in zip(items, ids, strict=True)
    ]  # fmt: skip
    return reading.layout, items, reading.missing, reading.faults


def _as_file(name: str) -> str:
    """A path whose stem is the name, whatever dots it has."""
    name = name.replace("\\", "/").strip("/")
    return f"{name}.npy" if "." in name.rpartition("/")[2] else name


def _whole(found: Sequence[Found] | None, name: str) -> Found:
    """One item of the segments of a video: features are of the whole, which has a label if all segments have one."""
    if not found:
        return Found(name, "", None, None, None, None)
    if found[0].start_s is None:
        return found[0]
    labels = {item.label for item in found}
    video_id = found[0].video_id.rpartition("#")[0]
    return Found(video_id, "", labels.pop() if len(labels) == 1 else None, found[0].split, None, None)


def _row(
    path: str, features: Foreign, number: int, item: Found, known: Mapping[str, Any], dataset: str
) -> dict[str, Any]:
    """The row of an id; what an earlier file's labels said stays where this one's say nothing."""
    name = known.get("video_id", item.video_id)
    key = known.get("key") or id_key(dataset, name)
    stat = os.stat(path)
    return {
        "dataset": dataset,
        "video_id": name,
        "kind": KIND,
        "uri": f"{path}#{features.video_id[number]}",
        "key": key if features.keys is None else features.keys[number].tobytes(),
        "label": item.label or known.get("label"),
        "split": filled(
            with_recording(item.split, item.recording), with_recording(known.get("split"), known.get("recording"))
        ),
        "recording": None,
        "start_s": None,
        "end_s": None,
        "size_bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "seen_ns": time.time_ns(),
    }
