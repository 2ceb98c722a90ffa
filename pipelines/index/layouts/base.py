"""What a layout makes of files and label files, and what layouts share.

Found : a video id with its place, label and split      Reading : all of them, and what does not fit together
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from pipelines.errors import LayoutError
from pipelines.index.files import Fault, File
from pipelines.index.layouts.label_files import LabelFile
from pipelines.index.spellings import SPLIT_FOLDER

_SPLITS = {"training": "train", "valid": "val", "validate": "val", "validation": "val", "testing": "test"}


class Found(NamedTuple):
    """One item: a whole file, or `start_s` to `end_s` seconds of it; `recording` is the film it was cut from."""

    video_id: str
    uri: str
    label: str | None
    split: str | None
    start_s: float | None
    end_s: float | None
    recording: str | None = None


class Reading(NamedTuple):
    """What a layout made of the files; `missing` are label-file entries without a file, named by video id."""

    layout: str
    found: list[Found]
    missing: list[Fault]
    faults: list[Fault]


class Layout(NamedTuple):
    """A way to lay out a data set.

    Attributes
    ----------
    read : (files, label files) to a Reading
    names : label files to the names they speak of, each with the path that a file of that name would have; None for
        layouts without label files
    recording : an item to the name of what it was cut from; None where names do not tell
    """

    read: Callable[[Sequence[File], Sequence[LabelFile]], Reading]
    names: Callable[[Sequence[LabelFile]], Mapping[str, str]] | None = None
    recording: Callable[[Found], str | None] | None = None


def class_folders(file: File) -> list[str]:
    """The folders of a file that are not those of a split, outermost first."""
    return [folder for folder in file.folders if not SPLIT_FOLDER.fullmatch(folder)]


def split_folder(file: File) -> str | None:
    """The split that a folder of the file says."""
    for folder in file.folders:
        if match := SPLIT_FOLDER.fullmatch(folder):
            return split_of(match[1])
    return None


def split_of(name: str) -> str | None:
    """The name of a split as all data sets have it; None for an empty one."""
    name = name.strip().lower()
    return sys.intern(_SPLITS.get(name, name)) if name else None


def refuse(video: str, one: str, other: str) -> NoReturn:
    """Raise LayoutError: a video is named twice and differently."""
    raise LayoutError(
        f"The label files name {video!r} twice and differently: {one}, {other}. Keep one of the two lines."
    )


def missing(video_id: str, where: str) -> Fault:
    """An entry without a file."""
    return Fault(video_id, "Missing", f"{where} names it, but no such file is there. Fetch it, or index what there is.")
