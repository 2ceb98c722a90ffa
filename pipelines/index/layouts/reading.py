"""The layouts data sets are published in: which video is which, what its label is, and in which split it stands.

    files, label files ──LAYOUTS[name].read──▶ Reading: Found(video_id, uri, label, split, start_s, end_s) rows,
                                               entries of the label files without a video, entries that make no sense

    layout       files                                      label files                              video_id
    folder       any folder or file                         none                                     relative path (1)
    class-video  CLASS/VIDEO, also below train/val/test     none                                     relative path (1)
    sun397       LETTER/CLASS[/KIND]/IMAGE                  none                                     relative path (1)
    ucf101       v_CLASS_gNN_cNN.avi, flat or by class      trainlistNN, testlistNN, classInd .txt   file name (1)
    hmdb51       CLASS/VIDEO.avi                            CLASS_test_splitN.txt                    file name (1)
    kinetics     ID_000010_000020.mp4, ID.mp4, flat or by   csv: label, youtube_id, time_start,      file name (1)
                 class, also below train/val/test           time_end[, split]
    activitynet  v_ID.mp4 or ID.mp4                         activity_net.v1-3.json                   ID#k (2)
    list         any, flat or by class                      .txt: CLASS/VIDEO.mp4 NUMBER             file name (1)
    table        any                                        csv: id, label[, split, start_s, end_s]  relative path (3)

(1) without extension; (2) its k-th segment, from 0; ID where the label file names none; (3) with times `PATH#k`.

Where label files are given they alone decide: a video that they do not name has no label. Without them labels come from
class folders or file names. Splits are `train`, `val` and `test`; where the files of several numbered splits are given,
as `1:train,2:test`. Where names tell which items were cut from one recording (UCF101's group, HMDB51's film, a YouTube
video), the column says that too (`recordings.py`). Label files that name none of the files are of another data set, and
refused.
"""

import os
import re
import sys
from collections.abc import Sequence

from pipelines.errors import LayoutError
from pipelines.index.files import EXTENSIONS, File, Files
from pipelines.index.layouts.activitynet import activitynet, activitynet_names
from pipelines.index.layouts.base import Found, Layout, Reading, class_folders, split_folder
from pipelines.index.layouts.label_files import LabelFile, label_files
from pipelines.index.layouts.lists import (
    UCF_NAME,
    hmdb51,
    hmdb51_names,
    is_hmdb_list,
    is_numbered_list,
    is_ucf_list,
    numbered,
    numbered_names,
    ucf101,
    ucf101_names,
)
from pipelines.index.layouts.tables import kinetics, kinetics_names, layout_of, table, table_names
from pipelines.index.spellings import TIMES, counted, first

__all__ = ["LAYOUTS", "Found", "Reading", "pick", "read"]

_SAMPLE = 1000  # names that `auto` looks at, spread over the data set
_HMDB_NAME = re.compile(r"(.+)_[a-z]+_(?:cm|nm)_np\d_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+")
_KINETICS_STRICT = re.compile(r"[\w-]{11}_\d{6}_\d{6}")


def read(layout: str, files: Files, labels: Sequence[str]) -> Reading:
    """Make items of files, in the layout of that name; `auto` picks one.

    Parameters
    ----------
    layout : str
        `auto` or one of `LAYOUTS`.
    files : Files
        What lies below the indexed paths.
    labels : paths of label files, or of folders that hold them

    Raises
    ------
    LayoutError
        No such layout; no video at all; a label file that cannot be read, is not of the layout's form, or gives one
        video two labels; label files that name none of the videos.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise LayoutError(f"No layout is called {layout!r}; there are: auto, {', '.join(LAYOUTS)}.")
    if not files.files and not files.faults:
        raise LayoutError(
            f"No {'video' if files.endings == EXTENSIONS else 'image'} below {', '.join(files.scopes)}: "
            f"{sum(files.not_taken.values())} other files{_by_ending(files)}, none ends in "
            f"{' '.join(sorted(files.endings))}. Give the folder that holds them."
        )
    texts = label_files(labels)
    name = pick(files.files, texts) if layout == "auto" else layout
    reading = LAYOUTS[name].read(files.files, texts)
    if told := LAYOUTS[name].recording:
        reading = reading._replace(found=[_told(found, told(found)) for found in reading.found])
    if texts and files.files and not any(found.label or found.split for found in reading.found):
        raise LayoutError(_unlinked(reading, files.files, texts))
    return reading


def _by_ending(files: Files) -> str:
    return f" ({counted(files.not_taken)})" if files.not_taken else ""


def _unlinked(reading: Reading, files: Sequence[File], texts: Sequence[LabelFile]) -> str:
    """What is said where label files and files have nothing in common."""
    of = ", ".join(text.name for text in texts[:3])
    names = [fault.uri for fault in reading.missing]
    told = f"they name {len(names)}: {first(names)}" if names else "they name none"
    return (
        f"The label files ({of}) name none of the {len(files)} videos: {told}; the files are "
        f"{first([file.name for file in files])}. Give the label files of this data set, rename what differs, or leave "
        "--labels out."
    )


def pick(files: Sequence[File], labels: Sequence[LabelFile]) -> str:
    """The layout of files and label files, by their names.

    Raises
    ------
    LayoutError
        Label files of no known form, or of several.
    """
    if labels:
        kinds = {kind for kind in map(_kind, labels) if kind}
        if len(kinds) == 1:
            return kinds.pop()
        names = ", ".join(label.name for label in labels[:4])
        raise LayoutError(
            f"Cannot tell the layout from the label files {names}: "
            f"{'they are of ' + ' and '.join(sorted(kinds)) if kinds else 'none is of a published form'}. "
            f"Name it with --layout ({_LABELLED})."
        )
    sample = files[:: 1 + len(files) // _SAMPLE]
    for name, pattern in (("ucf101", UCF_NAME), ("hmdb51", _HMDB_NAME), ("kinetics", _KINETICS_STRICT)):
        if sample and sum(bool(pattern.fullmatch(f.stem)) for f in sample) >= 0.9 * len(sample):
            return name
    folders = {tuple(class_folders(f)) for f in files}
    if len(folders) > 1 and all(_is_sun(f) for f in folders):
        return "sun397"
    return "class-video" if len(folders) > 1 and all(len(f) == 1 for f in folders) else "folder"


def _kind(label: LabelFile) -> str | None:
    name = label.name.lower()
    if name.endswith(".json"):
        return "activitynet"
    if name.endswith((".csv", ".tsv")):
        return "list" if is_numbered_list(label) else layout_of(label)
    if is_ucf_list(label):
        return "ucf101"
    if is_hmdb_list(label):
        return "hmdb51"
    return "list" if is_numbered_list(label) else None


# -- layouts without label files --------------------------------------------------------------------------------------


def _folder(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    _no_labels("folder", labels)
    return Reading("folder", [Found(_path_id(f), f.uri, None, None, None, None) for f in files], [], [])


def _class_video(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    _no_labels("class-video", labels)
    found = []
    for file in files:
        folders = class_folders(file)
        label = sys.intern(folders[0]) if folders else None
        found.append(Found(_path_id(file), file.uri, label, split_folder(file), None, None))
    return Reading("class-video", found, [], [])


def _sun397(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    _no_labels("sun397", labels)
    found = []
    for file in files:
        label = sys.intern("/".join(file.folders[1:])) if _is_sun(file.folders) else None
        found.append(Found(_path_id(file), file.uri, label, None, None, None))
    return Reading("sun397", found, [], [])


def _is_sun(folders: Sequence[str]) -> bool:
    """Whether these are a letter and a class that begins with it, of one name or of two."""
    return len(folders) in (2, 3) and len(folders[0]) == 1 and folders[1].startswith(folders[0])


def _no_labels(layout: str, labels: Sequence[LabelFile]) -> None:
    if labels:
        raise LayoutError(
            f"The layout {layout} takes no label files, got {labels[0].path!r}. "
            f"Leave --labels out, or name a layout that has them ({_LABELLED})."
        )


def _path_id(file: File) -> str:
    return os.path.splitext(file.rel)[0]


def _told(found: Found, recording: str | None) -> Found:
    """An item with its recording, which is not worth a word where it is all of it."""
    return found if recording == found.video_id else found._replace(recording=recording)


# -- recordings -------------------------------------------------------------------------------------------------------


def _ucf_group(found: Found) -> str | None:
    """`v_X_g01` of `v_X_g01_c03`."""
    return found.video_id.rpartition("_c")[0] if UCF_NAME.fullmatch(found.video_id) else None


def _hmdb_film(found: Found) -> str | None:
    """`April_09` of `April_09_brush_hair_u_nm_np1_ba_goo_0`: the film, of which there are clips of many classes."""
    if (match := _HMDB_NAME.fullmatch(found.video_id)) is None:
        return None
    film = match[1].removesuffix(f"_{found.label}")
    return film or match[1]


def _youtube_video(found: Found) -> str | None:
    """`ID` of `ID_000010_000020`."""
    return TIMES.sub("", found.video_id) or None


def _whole(found: Found) -> str | None:
    """`ID` of the segment `ID#3`."""
    return found.video_id.partition("#")[0]


LAYOUTS: dict[str, Layout] = {
    "folder": Layout(_folder),
    "class-video": Layout(_class_video),
    "sun397": Layout(_sun397),
    "ucf101": Layout(ucf101, ucf101_names, _ucf_group),
    "hmdb51": Layout(hmdb51, hmdb51_names, _hmdb_film),
    "kinetics": Layout(kinetics, kinetics_names, _youtube_video),
    "activitynet": Layout(activitynet, activitynet_names, _whole),
    "list": Layout(numbered, numbered_names),
    "table": Layout(table, table_names),
}
_LABELLED = ", ".join(name for name, own in LAYOUTS.items() if own.names)  # those that take label files
