"""The layouts data sets are published in: which video is which, what its label is, and in which split it stands.

    files, label files ──LAYOUTS[name]──▶ Reading: Found(video_id, uri, label, split, start_s, end_s) rows,
                                          entries of the label files without a video, entries that make no sense

    layout       files                                      label files                              video_id
    folder       any folder or file                         none                                     relative path (1)
    class-video  CLASS/VIDEO, also below train/val/test     none                                     relative path (1)
    ucf101       v_CLASS_gNN_cNN.avi, flat or by class      trainlistNN, testlistNN, classInd .txt   file name (1)
    hmdb51       CLASS/VIDEO.avi                            CLASS_test_splitN.txt                    file name (1)
    kinetics     ID_000010_000020.mp4, ID.mp4, flat or by   csv: label, youtube_id, time_start,      file name (1)
                 class, also below train/val/test           time_end[, split]
    activitynet  v_ID.mp4 or ID.mp4                         activity_net.v1-3.json                   ID#k (2)

(1) without extension; (2) its k-th segment, from 0; ID where the label file names none.

Where label files are given they alone decide: a video that they do not name has no label. Without them labels come from
class folders or file names. Splits are `train`, `val` and `test`; where the files of several numbered splits are given,
as `1:train,2:test`.
"""

import csv
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import fsspec

from pipelines.errors import LayoutError
from pipelines.files import EXTENSIONS, Fault, File, Files, is_local, local_path

_SAMPLE = 1000  # names that `auto` looks at, spread over the data set
_SPLITS = {"training": "train", "valid": "val", "validate": "val", "validation": "val", "testing": "test"}
_SPLIT_FOLDER = re.compile(
    r"(?:videos?[_-])?(train|training|val|valid|validate|validation|test|testing)(?:[_-]?\d+)?", re.I
)
_UCF_NAME = re.compile(r"v_([A-Za-z]+)_g\d+_c\d+")
_HMDB_NAME = re.compile(r".+_[a-z]+_(?:cm|nm)_np\d_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+")
_KINETICS_NAME = re.compile(r"(.+)_(\d{1,6})_(\d{1,6})")
_KINETICS_STRICT = re.compile(r"[\w-]{11}_\d{6}_\d{6}")
_UCF_LIST = re.compile(r"(train|test)list(\d+)\.txt")
_HMDB_LIST = re.compile(r"(.+)_test_split(\d+)\.txt")
_UCF_FOLDERS = {"HandStandPushups": "HandstandPushups"}  # the one class the archive spells in two ways


class Found(NamedTuple):
    """One item: a whole file, or `start_s` to `end_s` seconds of it."""

    video_id: str
    uri: str
    label: str | None
    split: str | None
    start_s: float | None
    end_s: float | None


class LabelFile(NamedTuple):
    """A label file, read."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """File name."""
        return self.path.rpartition("/")[2]


class Reading(NamedTuple):
    """What a layout made of the files; `missing` are label-file entries without a file, named by video id."""

    layout: str
    found: list[Found]
    missing: list[Fault]
    faults: list[Fault]


Layout = Callable[[Sequence[File], Sequence[LabelFile]], Reading]


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
        video two labels.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise LayoutError(f"No layout is called {layout!r}; there are: auto, {', '.join(LAYOUTS)}.")
    if not files.files and not files.faults:
        raise LayoutError(
            f"No video below {', '.join(files.scopes)}: {files.others} other files, none ends in "
            f"{' '.join(sorted(EXTENSIONS))}. Give the folder that holds the videos."
        )
    texts = label_files(labels)
    name = _pick(files.files, texts) if layout == "auto" else layout
    return LAYOUTS[name](files.files, texts)


def label_files(paths: Sequence[str]) -> list[LabelFile]:
    """Read label files; a folder stands for the .txt, .csv and .json files in it."""
    return [_text(path) for given in paths for path in _expand(given)]


def _expand(given: str) -> list[str]:
    if not is_local(given):
        return [given]
    path = local_path(given)
    if not os.path.isdir(path):
        return [path]
    found = [f"{path}/{n}" for n in sorted(os.listdir(path)) if n.endswith((".txt", ".csv", ".json")) and n[0] != "."]
    if not found:
        raise LayoutError(
            f"The label folder {given!r} holds no .txt, .csv or .json file. Give the label files themselves."
        )
    return found


def _text(path: str) -> LabelFile:
    try:
        with fsspec.open(path, "rb") as file:
            return LabelFile(path, file.read().decode("utf-8-sig"))
    except FileNotFoundError:
        raise LayoutError(f"There is no label file {path!r}. Check the spelling of --labels.") from None
    except OSError as error:
        raise LayoutError(f"The label file {path!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise LayoutError(
            f"The label file {path!r} is not UTF-8 text (byte {error.start}). Give the published file, unpacked."
        ) from error


def _pick(files: Sequence[File], labels: Sequence[LabelFile]) -> str:
    if labels:
        kinds = {kind for kind in map(_kind, labels) if kind}
        if len(kinds) == 1:
            return kinds.pop()
        names = ", ".join(label.name for label in labels[:4])
        raise LayoutError(
            f"Cannot tell the layout from the label files {names}: "
            f"{'they are of ' + ' and '.join(sorted(kinds)) if kinds else 'none is of a published form'}. "
            f"Name it with --layout ({', '.join(LAYOUTS)})."
        )
    sample = files[:: 1 + len(files) // _SAMPLE]
    for name, pattern in (("ucf101", _UCF_NAME), ("hmdb51", _HMDB_NAME), ("kinetics", _KINETICS_STRICT)):
        if sample and sum(bool(pattern.fullmatch(f.stem)) for f in sample) >= 0.9 * len(sample):
            return name
    folders = {tuple(_class_folders(f)) for f in files}
    return "class-video" if len(folders) > 1 and all(len(f) == 1 for f in folders) else "folder"


def _kind(label: LabelFile) -> str | None:
    if label.name.endswith(".json"):
        return "activitynet"
    if label.name.endswith(".csv"):
        return "kinetics"
    if _UCF_LIST.fullmatch(label.name) or label.name == "classInd.txt":
        return "ucf101"
    return "hmdb51" if _HMDB_LIST.fullmatch(label.name) else None


# -- layouts without label files --------------------------------------------------------------------------------------


def _folder(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    _no_labels("folder", labels)
    return Reading("folder", [Found(_path_id(f), f.uri, None, None, None, None) for f in files], [], [])


def _class_video(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    _no_labels("class-video", labels)
    found = []
    for file in files:
        folders = _class_folders(file)
        label = sys.intern(folders[0]) if folders else None
        found.append(Found(_path_id(file), file.uri, label, _split_folder(file), None, None))
    return Reading("class-video", found, [], [])


def _no_labels(layout: str, labels: Sequence[LabelFile]) -> None:
    if labels:
        raise LayoutError(
            f"The layout {layout} takes no label files, got {labels[0].path!r}. "
            f"Leave --labels out, or name a layout that has them ({', '.join(_WITH_LABELS)})."
        )


def _path_id(file: File) -> str:
    return os.path.splitext(file.rel)[0]


def _class_folders(file: File) -> list[str]:
    return [folder for folder in file.folders if not _SPLIT_FOLDER.fullmatch(folder)]


def _split_folder(file: File) -> str | None:
    for folder in file.folders:
        if match := _SPLIT_FOLDER.fullmatch(folder):
            return _split(match[1])
    return None


def _split(name: str) -> str | None:
    name = name.strip().lower()
    return sys.intern(_SPLITS.get(name, name)) if name else None


# -- layouts whose label files name video files -----------------------------------------------------------------------


class _Entry(NamedTuple):
    """One line of a split file: where it stands, the number of the split, and what it says of which file name."""

    where: str
    number: int
    label: str
    name: str
    split: str | None


def _ucf101(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    if labels:
        return _named("ucf101", files, [entry for label in labels for entry in _ucf_entries(label, labels)])
    found = [Found(f.stem, f.uri, _ucf_class(f), _split_folder(f), None, None) for f in files]
    return Reading("ucf101", found, [], [])


def _ucf_class(file: File) -> str | None:
    match = _UCF_NAME.fullmatch(file.stem)
    folders = _class_folders(file)
    if match is None:
        return sys.intern(folders[-1]) if folders else None
    return sys.intern(_UCF_FOLDERS.get(match[1], match[1]))


def _ucf_entries(label: LabelFile, labels: Sequence[LabelFile]) -> Iterable[_Entry]:
    if label.name == "classInd.txt":
        return
    match = _UCF_LIST.fullmatch(label.name)
    if match is None:
        raise LayoutError(
            f"{label.path!r} is no UCF101 label file; those are called trainlist01.txt, testlist01.txt, classInd.txt."
        )
    numbers = _class_numbers(labels)
    for line, text in _lines(label):
        path, *number = text.split()
        folder, slash, name = path.rpartition("/")
        if not slash or len(number) > 1:
            raise LayoutError(f"{label.path} line {line} must read CLASS/VIDEO.avi [NUMBER], got {text!r}.")
        if numbers and number and numbers.get(number[0]) != folder:
            raise LayoutError(
                f"{label.path} line {line} gives class {folder!r} the number {number[0]}, "
                f"which classInd.txt gives to {numbers.get(number[0])!r}. Use files of one release."
            )
        yield _Entry(f"{label.name}:{line}", int(match[2]), sys.intern(folder), os.path.splitext(name)[0], match[1])


def _class_numbers(labels: Sequence[LabelFile]) -> dict[str, str]:
    pairs = [text.split() for label in labels if label.name == "classInd.txt" for _, text in _lines(label)]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _hmdb51(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    if labels:
        return _named("hmdb51", files, [entry for label in labels for entry in _hmdb_entries(label)])
    found = []
    for file in files:
        folders = _class_folders(file)
        found.append(Found(file.stem, file.uri, folders[-1] if folders else None, _split_folder(file), None, None))
    return Reading("hmdb51", found, [], [])


def _hmdb_entries(label: LabelFile) -> Iterable[_Entry]:
    match = _HMDB_LIST.fullmatch(label.name)
    if match is None:
        raise LayoutError(f"{label.path!r} is no HMDB51 split file; those are called CLASS_test_split1.txt.")
    for line, text in _lines(label):
        name, _, digit = text.rpartition(" ")
        if digit not in {"0", "1", "2"} or not name:
            raise LayoutError(f"{label.path} line {line} must read VIDEO.avi 0|1|2, got {text!r}.")
        split = {"0": None, "1": "train", "2": "test"}[digit]
        yield _Entry(
            f"{label.name}:{line}", int(match[2]), sys.intern(match[1]), os.path.splitext(name.strip())[0], split
        )


def _lines(label: LabelFile) -> Iterable[tuple[int, str]]:
    for line, text in enumerate(label.text.splitlines(), 1):
        if text.strip():
            yield line, text.strip()


def _named(layout: str, files: Sequence[File], entries: list[_Entry]) -> Reading:
    """Join files with entries by file name (without extension: many keep the videos re-encoded).

    The class folder tells two files of one name apart.
    """
    by_name: dict[str, dict[str, dict[int, _Entry]]] = {}
    for entry in entries:
        same = by_name.setdefault(entry.name, {}).setdefault(entry.label, {})
        other = same.setdefault(entry.number, entry)
        if other.split != entry.split:
            _refuse(entry.name, f"{other.split} in {other.where}", f"{entry.split} in {entry.where}")
    places = {(f.folders[-1] if f.folders else "", f.stem) for f in files if f.stem in by_name}
    for name, by_label in by_name.items():
        if len(by_label) > 1 and not all((label, name) in places for label in by_label):
            first, second, *_ = (next(iter(same.values())) for same in by_label.values())
            _refuse(name, f"{first.label!r} in {first.where}", f"{second.label!r} in {second.where}")
    several = len({entry.number for entry in entries}) > 1
    found, met = [], set()
    for file in files:
        by_label = by_name.get(file.stem, {})
        folder = file.folders[-1] if file.folders else ""
        label = folder if folder in by_label else next(iter(by_label), None)
        met.add((file.stem, label))
        split = _numbered(by_label[label], several) if label is not None else None
        found.append(Found(file.stem, file.uri, label, split, None, None))
    missing = [
        _missing(name, next(iter(same.values())).where)
        for name, by_label in by_name.items()
        for label, same in by_label.items()
        if (name, label) not in met
    ]
    return Reading(layout, found, missing, [])


def _numbered(entries: dict[int, _Entry], several: bool) -> str | None:
    if not several:
        return next(iter(entries.values())).split
    return ",".join(f"{number}:{entry.split}" for number, entry in sorted(entries.items()) if entry.split) or None


def _refuse(video: str, one: str, other: str) -> None:
    raise LayoutError(
        f"The label files name {video!r} twice and differently: {one}, {other}. Keep one of the two lines."
    )


def _missing(video_id: str, where: str) -> Fault:
    return Fault(video_id, "Missing", f"{where} names it, but no such file is there. Fetch it, or index what there is.")


# -- Kinetics ---------------------------------------------------------------------------------------------------------


class _Clip(NamedTuple):
    """One row of a Kinetics csv."""

    where: str
    start_s: int
    end_s: int
    label: str | None
    split: str | None


def _kinetics(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    if not labels:
        found = []
        for file in files:
            folders = _class_folders(file)
            label = sys.intern(folders[-1].replace("_", " ")) if folders else None
            found.append(Found(file.stem, file.uri, label, _split_folder(file), None, None))
        return Reading("kinetics", found, [], [])
    clips: dict[str, list[_Clip]] = {}
    for label_file in labels:
        for youtube_id, clip in _kinetics_rows(label_file):
            _add_clip(clips, youtube_id, clip)
    found, met = [], set()
    for file in files:
        youtube_id, clip_ = _clip_of(file, clips)
        met.add((youtube_id, clip_))
        label, split = (clip_.label, clip_.split or _split_folder(file)) if clip_ else (None, None)
        found.append(Found(file.stem, file.uri, label, split, None, None))
    missing = [
        _missing(f"{youtube_id}_{clip.start_s:06d}_{clip.end_s:06d}", clip.where)
        for youtube_id, own in clips.items()
        for clip in own
        if (youtube_id, clip) not in met
    ]
    return Reading("kinetics", found, missing, [])


def _kinetics_rows(label: LabelFile) -> Iterable[tuple[str, _Clip]]:
    rows = csv.DictReader(io.StringIO(label.text, newline=""))
    columns = [name.strip() for name in rows.fieldnames or []]
    rows.fieldnames = columns
    wanted = (
        ["youtube_id", "time_start", "time_end"]
        if "split" in columns
        else ["label", "youtube_id", "time_start", "time_end"]
    )
    absent = [name for name in wanted if name not in columns]
    if absent:
        raise LayoutError(
            f"The Kinetics csv {label.path!r} lacks the column {', '.join(absent)}; "
            f"it has: {', '.join(columns) or 'none'}. "
            "Give the published csv (label,youtube_id,time_start,time_end,split)."
        )
    try:
        for row in rows:
            yield row["youtube_id"], _clip(row, f"{label.name}:{rows.line_num}", "label" in columns)
    except csv.Error as error:
        raise LayoutError(f"The Kinetics csv {label.path!r} breaks off at line {rows.line_num}: {error}.") from error


def _clip(row: dict[str, str], where: str, labelled: bool) -> _Clip:
    try:
        start_s, end_s = (int(float(row[name])) for name in ("time_start", "time_end"))
    except (TypeError, ValueError, OverflowError):
        raise LayoutError(
            f"{where} needs numbers for time_start and time_end, got {row['time_start']!r} and {row['time_end']!r}. "
            "Mend the line or take it out."
        ) from None
    split = _split(row.get("split") or "")
    if not labelled and split != "test":
        raise LayoutError(
            f"{where} has no label and is not of the test split (only its labels are held back). "
            "Give the csv with labels."
        )
    label = sys.intern(row["label"].strip()) if labelled and row["label"] else None
    return _Clip(where, start_s, end_s, label or None, split)


def _add_clip(clips: dict[str, list[_Clip]], youtube_id: str, clip: _Clip) -> None:
    own = clips.setdefault(youtube_id, [])
    for other in own:
        if (other.start_s, other.end_s) == (clip.start_s, clip.end_s):
            if (other.label, other.split) != (clip.label, clip.split):
                one, two = (f"{c.label!r}, split {c.split}, in {c.where}" for c in (other, clip))
                _refuse(youtube_id, one, two)
            return
    own.append(clip)


def _clip_of(file: File, clips: dict[str, list[_Clip]]) -> tuple[str, _Clip | None]:
    own = clips.get(file.stem)
    if own:
        if len({clip.label for clip in own}) > 1:
            _refuse(file.stem, f"{own[0].label!r} in {own[0].where}", f"{own[1].label!r} in {own[1].where}")
        return file.stem, own[0]
    match = _KINETICS_NAME.fullmatch(file.stem)
    if match:
        for clip in clips.get(match[1], []):
            if (clip.start_s, clip.end_s) == (int(match[2]), int(match[3])):
                return match[1], clip
    return file.stem, None


# -- ActivityNet ------------------------------------------------------------------------------------------------------


def _activitynet(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    if len(labels) != 1:
        raise LayoutError(
            f"The layout activitynet takes one label file (activity_net.v1-3.json), got {len(labels)}. "
            "Give it with --labels."
        )
    database = _database(labels[0])
    found: list[Found] = []
    faults: list[Fault] = []
    met = set()
    for file in files:
        youtube_id = file.stem if file.stem in database else file.stem.removeprefix("v_")
        entry = database.get(youtube_id)
        met.add(youtube_id)
        if entry is None:
            found.append(Found(youtube_id, file.uri, None, None, None, None))
        else:
            _segments(file, youtube_id, entry, labels[0], found, faults)
    missing = [_missing(youtube_id, labels[0].name) for youtube_id in database if youtube_id not in met]
    return Reading("activitynet", found, missing, faults)


def _database(label: LabelFile) -> dict[str, Any]:
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
    return database


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that stands in it twice must say the same."""
    content = dict(pairs)
    if len(content) < len(pairs):
        for name, value in pairs:
            if content[name] != value:
                _refuse(name, json.dumps(value)[:120], json.dumps(content[name])[:120])
    return content


def _segments(
    file: File, youtube_id: str, entry: dict[str, Any], label: LabelFile, found: list[Found], faults: list[Fault]
) -> None:
    """A row for each labelled segment; the test split has none, its videos are whole items without label."""
    split = _split(str(entry.get("subset") or ""))
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
    fits = isinstance(name, str) and 0 <= start_s < end_s and math.isfinite(end_s)
    return (sys.intern(name), start_s, end_s) if fits else None


_WITH_LABELS = ("ucf101", "hmdb51", "kinetics", "activitynet")
LAYOUTS: dict[str, Layout] = {
    "folder": _folder,
    "class-video": _class_video,
    "ucf101": _ucf101,
    "hmdb51": _hmdb51,
    "kinetics": _kinetics,
    "activitynet": _activitynet,
}
