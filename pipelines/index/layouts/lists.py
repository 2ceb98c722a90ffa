"""Lists of video files, a line a video: UCF101's, HMDB51's, and those with a class number behind a path.

    ucf101    trainlistNN.txt, testlistNN.txt    CLASS/v_CLASS_gNN_cNN.avi [NUMBER]; classInd.txt: NUMBER CLASS
    hmdb51    CLASS_test_splitN.txt              VIDEO.avi 0|1|2
    list      any .txt                           CLASS/VIDEO.mp4 NUMBER; a second file may name the classes, a line each

Blanks, tabs, commas and semicolons between the parts are all the same.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipelines.errors import LayoutError
from pipelines.index.files import EXTENSIONS, File, extension_of
from pipelines.index.layouts.base import Found, Reading, class_folders, missing, refuse, split_folder, split_of
from pipelines.index.layouts.label_files import LabelFile, lines
from pipelines.index.spellings import SPLIT_FOLDER

UCF_NAME = re.compile(r"v_([A-Za-z]+)_g\d+_c\d+")
_UCF_LIST = re.compile(r"(train|test)list(\d+)\.txt", re.I)
_UCF_FOLDERS = {"HandStandPushups": "HandstandPushups"}  # the one class the archive spells in two ways
_CLASS_NUMBERS = "classind.txt"
_HMDB_LIST = re.compile(r"(.+)_test_split(\d+)\.txt", re.I)
_GAP = re.compile(r"[\s,;]+")
_NUMBERED = re.compile(r"(.+?)[\s,;]+(\d+)")
_TIMED = re.compile(r".+_\d{6}_\d{6}")  # Kinetics, whose folders have underscores for the blanks of class names


class Entry(NamedTuple):
    """One line: where it stands, the number of the split, and what it says of which file name."""

    where: str
    number: int
    label: str
    name: str
    split: str | None


def is_ucf_list(label: LabelFile) -> bool:
    """Whether a label file is called as UCF101's are."""
    return bool(_UCF_LIST.fullmatch(label.name)) or label.name.lower() == _CLASS_NUMBERS


def is_hmdb_list(label: LabelFile) -> bool:
    """Whether a label file is called as HMDB51's are."""
    return bool(_HMDB_LIST.fullmatch(label.name))


def is_numbered_list(label: LabelFile) -> bool:
    """Whether the first line of a label file is a video file and a number."""
    match = _NUMBERED.fullmatch(next(lines(label), (0, ""))[1])
    return match is not None and extension_of(match[1].strip("\"'")) in EXTENSIONS


# -- UCF101 -----------------------------------------------------------------------------------------------------------


def ucf101(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    """Labels of UCF101's lists; without any of the names of the files."""
    entries = _ucf_entries(labels)
    if any(label.name.lower() != _CLASS_NUMBERS for label in labels):
        return named("ucf101", files, entries)
    found = [Found(f.stem, f.uri, _ucf_class(f), split_folder(f), None, None) for f in files]
    return Reading("ucf101", found, [], [])


def ucf101_names(labels: Sequence[LabelFile]) -> Mapping[str, str]:
    """The names its lists speak of."""
    return _names(_ucf_entries(labels))


def _ucf_class(file: File) -> str | None:
    match = UCF_NAME.fullmatch(file.stem)
    folders = class_folders(file)
    if match is None:
        return sys.intern(folders[-1]) if folders else None
    return sys.intern(_UCF_FOLDERS.get(match[1], match[1]))


def _ucf_entries(labels: Sequence[LabelFile]) -> list[Entry]:
    numbers = _class_numbers(labels)
    return [
        entry for label in labels if label.name.lower() != _CLASS_NUMBERS for entry in _ucf_lines(label, numbers)
    ]  # fmt: skip


def _ucf_lines(label: LabelFile, numbers: Mapping[int, str]) -> Iterator[Entry]:
    match = _UCF_LIST.fullmatch(label.name)
    if match is None:
        raise LayoutError(
            f"{label.path!r} is no UCF101 label file; those are called trainlist01.txt, testlist01.txt, classInd.txt. "
            "A list of another name with lines CLASS/VIDEO.avi NUMBER is read with --layout list."
        )
    for line, text in lines(label):
        path, *number = _GAP.split(text.strip("\"'"))
        folders, slash, name = path.replace("\\", "/").rpartition("/")
        folder = folders.rpartition("/")[2]
        if not slash or len(number) > 1 or not all(n.isdigit() for n in number):
            raise LayoutError(f"{label.path} line {line} must read CLASS/VIDEO.avi [NUMBER], got {text!r}.")
        if numbers and number and numbers.get(int(number[0])) != folder:
            raise LayoutError(
                f"{label.path} line {line} gives class {folder!r} the number {number[0]}, "
                f"which classInd.txt gives to {numbers.get(int(number[0]))!r}. Use files of one release."
            )
        split = match[1].lower()
        yield Entry(f"{label.name}:{line}", int(match[2]), sys.intern(folder), os.path.splitext(name)[0], split)


def _class_numbers(labels: Sequence[LabelFile]) -> dict[int, str]:
    numbers = {}
    for label in labels:
        if label.name.lower() != _CLASS_NUMBERS:
            continue
        for line, text in lines(label):
            number, *name = _GAP.split(text.strip("\"'"), maxsplit=1)
            if not number.isdigit() or not name:
                raise LayoutError(f"{label.path} line {line} must read NUMBER CLASS, got {text!r}.")
            numbers[int(number)] = name[0].strip()
    return numbers


# -- HMDB51 -----------------------------------------------------------------------------------------------------------


def hmdb51(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    """Labels of HMDB51's lists; without any of the folders."""
    if labels:
        return named("hmdb51", files, _hmdb_entries(labels))
    found = []
    for file in files:
        folders = class_folders(file)
        found.append(Found(file.stem, file.uri, folders[-1] if folders else None, split_folder(file), None, None))
    return Reading("hmdb51", found, [], [])


def hmdb51_names(labels: Sequence[LabelFile]) -> Mapping[str, str]:
    """The names its lists speak of."""
    return _names(_hmdb_entries(labels))


def _hmdb_entries(labels: Sequence[LabelFile]) -> list[Entry]:
    entries = []
    for label in labels:
        match = _HMDB_LIST.fullmatch(label.name)
        if match is None:
            raise LayoutError(f"{label.path!r} is no HMDB51 split file; those are called CLASS_test_split1.txt.")
        for line, text in lines(label):
            fields = _NUMBERED.fullmatch(text)
            if fields is None or fields[2] not in {"0", "1", "2"}:
                raise LayoutError(f"{label.path} line {line} must read VIDEO.avi 0|1|2, got {text!r}.")
            split = {"0": None, "1": "train", "2": "test"}[fields[2]]
            name = os.path.splitext(fields[1].strip("\"'"))[0].replace("\\", "/").rpartition("/")[2]
            entries.append(Entry(f"{label.name}:{line}", int(match[2]), sys.intern(match[1]), name, split))
    return entries


# -- path and number --------------------------------------------------------------------------------------------------


def numbered(files: Sequence[File], labels: Sequence[LabelFile]) -> Reading:
    """Labels of lists of paths with class numbers: the class is the folder, or the line of that number."""
    return named("list", files, _numbered_entries(labels))


def numbered_names(labels: Sequence[LabelFile]) -> Mapping[str, str]:
    """The names such lists speak of."""
    return _names(_numbered_entries(labels))


def _numbered_entries(labels: Sequence[LabelFile]) -> list[Entry]:
    lists = [label for label in labels if is_numbered_list(label)]
    classes = [label for label in labels if not is_numbered_list(label)]
    if not lists or len(classes) > 1:
        raise LayoutError(
            f"The layout list takes files with lines CLASS/VIDEO.mp4 NUMBER and at most one with a class a line, "
            f"got {', '.join(label.name for label in labels) or 'none'}. Give them with --labels."
        )
    names = [text for _, text in lines(classes[0])] if classes else []
    numbers: dict[int, tuple[str, str]] = {}
    entries = []
    for label in lists:
        split = _split_in(label.name)
        for line, text in lines(label):
            where = f"{label.name}:{line}"
            folder, name, number = _numbered_line(where, text)
            if names and number >= len(names):
                raise LayoutError(
                    f"{where} has class number {number}, and {classes[0].name} names {len(names)} classes (from 0). "
                    "Give the class names of this list."
                )
            if not names and not folder:
                raise LayoutError(
                    f"{where} names no folder, so nothing says what class {number} is. "
                    "Add a file of the class names, a line each, with --labels."
                )
            own = names[number] if names else folder.replace("_", " ") if _TIMED.fullmatch(name) else folder
            other, at = numbers.setdefault(number, (own, where))
            if other != own:
                raise LayoutError(
                    f"{where} gives {own!r} the number {number}, which {at} gives to {other!r}. "
                    "Add a file of the class names, a line each, with --labels."
                )
            entries.append(Entry(where, 0, sys.intern(own), name, split))
    return entries


def _numbered_line(where: str, text: str) -> tuple[str, str, int]:
    """Folder, name and number of a line."""
    match = _NUMBERED.fullmatch(text)
    path = match[1].strip("\"'").replace("\\", "/") if match else ""
    if match is None or extension_of(path) not in EXTENSIONS:
        raise LayoutError(f"{where} must read CLASS/VIDEO.mp4 NUMBER, got {text!r}. Mend the line or take it out.")
    folders, _, name = path.rpartition("/")
    classes = [folder for folder in folders.split("/") if folder and not SPLIT_FOLDER.fullmatch(folder)]
    return (classes[-1] if classes else ""), os.path.splitext(name)[0], int(match[2])


def _split_in(name: str) -> str | None:
    """The split that the name of a list says, if it says one."""
    said = {split_of(word) for word in re.split(r"[^A-Za-z]+", name) if SPLIT_FOLDER.fullmatch(word)}
    return said.pop() if len(said) == 1 else None


# -- joining ----------------------------------------------------------------------------------------------------------


def _names(entries: Iterable[Entry]) -> Mapping[str, str]:
    """Each name with the path of a file of it; where two classes have one, with its class."""
    places: dict[str, set[str]] = {}
    for entry in entries:
        places.setdefault(entry.name, set()).add(f"{entry.label}/{entry.name}")
    return {
        name if len(own) == 1 else place: place for name, own in places.items() for place in sorted(own)
    }  # fmt: skip


def named(layout: str, files: Sequence[File], entries: Sequence[Entry]) -> Reading:
    """Join files with entries by file name (without extension: many keep the videos re-encoded).

    The class folder tells two files of one name apart.

    Raises
    ------
    LayoutError
        Two entries that say different things of one file.
    """
    by_name: dict[str, dict[str, dict[int, Entry]]] = {}
    for entry in entries:
        same = by_name.setdefault(entry.name, {}).setdefault(entry.label, {})
        other = same.setdefault(entry.number, entry)
        if other.split != entry.split:
            refuse(entry.name, f"{other.split} in {other.where}", f"{entry.split} in {entry.where}")
    places = {(f.folders[-1] if f.folders else "", f.stem) for f in files if f.stem in by_name}
    for name, by_label in by_name.items():
        if len(by_label) > 1 and not all((label, name) in places for label in by_label):
            one, two, *_ = (next(iter(same.values())) for same in by_label.values())
            refuse(name, f"{one.label!r} in {one.where}", f"{two.label!r} in {two.where}")
    several = len({entry.number for entry in entries}) > 1
    found, met = [], set()
    for file in files:
        by_label = by_name.get(file.stem, {})
        folder = file.folders[-1] if file.folders else ""
        label = folder if folder in by_label else next(iter(by_label), None)
        met.add((file.stem, label))
        split = _split_numbers(by_label[label], several) if label is not None else None
        found.append(Found(file.stem, file.uri, label, split, None, None))
    absent = [
        missing(name, next(iter(same.values())).where)
        for name, by_label in by_name.items()
        for label, same in by_label.items()
        if (name, label) not in met
    ]
    return Reading(layout, found, absent, [])


def _split_numbers(entries: Mapping[int, Entry], several: bool) -> str | None:
    if not several:
        return next(iter(entries.values())).split
    return ",".join(f"{number}:{entry.split}" for number, entry in sorted(entries.items()) if entry.split) or None
