"""`zsar index`: what exists."""

import dataclasses
from typing import TYPE_CHECKING

from pipelines.command.base import command, without_zeros
from pipelines.command.screen import Bar, Shown, Table, counts
from pipelines.index.settings import IndexConfig

if TYPE_CHECKING:
    from stores.root import Root


@command("index", IndexConfig)
def index(settings: IndexConfig, root: "Root") -> Shown:
    """Find the videos of a data set and give each content its key.

    Layouts: folder, class-video, sun397, ucf101, hmdb51, kinetics, activitynet, list, table. Unchanged files are not
    read again. A file of features made elsewhere is matched with the data set's videos by their ids; with --labels or a
    --layout its ids are items of their own, without videos. With --kind images still images are found in place of
    videos, for `zsar finetune` to make clips of.

    With --kind captions each line is {"video": id, "class": label, "captions": [text, ...]}, or tells one caption of a
    video that other lines tell more of; a list, CSV and the files of MSR-VTT, VATEX and ActivityNet Captions are read
    too. A caption is a segment.

    With --kind poses files are .skeleton (NTU), .json (Kinetics-skeleton, OpenPose), .npy, .npz or HDF5, of one
    sequence or of many; --layout names the joints of arrays (ntu-25, kinect-20, ...), --labels NTU's class names, one a
    line. What `zsar extract mediapipe` found in the data set's videos is indexed by its name, mediapipe@KEY.

    JSON: videos, new, unchanged, contents (distinct contents); when not 0 without_file (rows and entries of label
    files whose file is not there), failed, unlabelled, pruned, not_taken (files passed over, by extension), left_out
    (fields of captions), doubts (why the order of joints is doubted), of_videos, and imports, a list with path,
    feature, items, rows, added, unknown, refused, matched (how many by which rules of spelling), ambiguous, lacking,
    unread.
    """
    from pipelines.index.indexing import index

    with Bar("Indexing") as advance:
        report = index(settings, root, advance)
    zeros = (
        "without_file",
        "failed",
        "unlabelled",
        "pruned",
        "imports",
        "of_videos",
        "not_taken",
        "doubts",
        "left_out",
    )
    told_of = dataclasses.asdict(report)  # `missing` is in all JSON what has no features
    fields = {"without_file" if name == "missing" else name: value for name, value in told_of.items()}
    fields = without_zeros(fields, *zeros)
    layout = fields.pop("layout")
    if report.unlabelled == report.videos and layout in ("folder", ""):  # nobody said that there are labels
        fields.pop("unlabelled", None)
    told = ("imports", "not_taken", "of_videos", "doubts", "left_out")
    totals = {name: value for name, value in fields.items() if name not in told}
    parts: list[str | Table] = [counts(f"{settings.dataset} ({layout})", totals)] if layout else []
    if imports := fields.get("imports"):
        names = ("path", "feature", "items", "rows", "added")
        parts.append(Table("Features read", [{name: each[name] for name in names} for each in imports]))
    said = report.told()
    if report.failed:
        said.append(f"Some could not be read: `zsar list failures --root {root.url}` names them.")
    return Shown(fields, parts, said)
