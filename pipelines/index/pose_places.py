"""Where a pose sequence lies, and reading it from there.

    /data/S001C001P001R001A001.skeleton#ntu-25      the one sequence of a file, and the layout of its joints
    /data/utd_mhad.npz#17,kinect-20-utd             the sequence of this number in a file of many
    /data/one.npy#ntu-25:ctvm                       of an array whose axes were told
    /root/features/mediapipe@8e98...#17,mediapipe-33    the item of this number in a feature set of poses

Such a place is the `uri` of a row of the manifest. A file of many is read once and kept while sequences of it are asked
for: the manifest keeps them together.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from extractors import joints, pose_files
from extractors.errors import ExtractorError, InputFault, TooLarge, Unreachable
from extractors.pose_files import Collection
from extractors.poses import Poses
from pipelines.index.stored_poses import StoredPoses
from stores.keys import pose_key
from untrusted import places
from untrusted.limits import Room, Unsafe

_FEATURE_SET = re.compile(r"(.*)/features/([^/]+@[0-9a-f]+)")


class Place(NamedTuple):
    """One sequence in a file or a feature set; `number` is None where the file has but one.

    `layout` is the name of the joints' layout, with the order of an array's axes behind a colon where it was told.
    """

    path: str
    layout: str
    number: int | None = None

    @classmethod
    def of(cls, uri: str) -> "Place":
        """The place that `uri` wrote."""
        path, _, fragment = uri.rpartition("#")
        number, comma, layout = fragment.rpartition(",")
        return cls(path, layout, int(number) if comma else None)

    @property
    def name(self) -> str:
        """Of the layout."""
        return self.layout.partition(":")[0]

    @property
    def axes(self) -> str:
        """The order of an array's axes, where it was told."""
        return self.layout.partition(":")[2]

    @property
    def feature_set(self) -> tuple[str, str] | None:
        """URL of the root and full name of the feature set it lies in; None where it lies in a file."""
        found = _FEATURE_SET.fullmatch(self.path)
        return (found[1], found[2]) if found else None

    @property
    def uri(self) -> str:
        """As the manifest has it."""
        return f"{self.path}#{self.layout}" if self.number is None else f"{self.path}#{self.number},{self.layout}"


class PoseReader:
    """Reads sequences; the last file of many stays in memory. For one thread."""

    def __init__(self) -> None:
        self._many: tuple[tuple[str, str], Collection | StoredPoses] | None = None

    def read(self, uri: str, key: bytes) -> Poses:
        """The sequence at a place.

        Raises
        ------
        Unreachable
            The file is gone, may not be read, or holds another sequence there than the one of this key.
        InputFault
            As `pose_files.read` and `poses.checked`.
        """
        place = Place.of(uri)
        if place.number is None:
            content = content_of(place.path)
            _refuse_changed(pose_key(place.layout, content), key)
            return pose_files.read(content, Path(place.path).name, _layout(place.name), place.axes)
        collection = self._collection(place)
        if place.number >= len(collection):
            what = "feature set" if place.feature_set else "file"
            raise Unreachable(f"the {what} has {len(collection)} sequences now; index the data set again")
        _refuse_changed(array_key(place.name, collection.array(place.number)), key)
        return collection.poses(place.number)

    def _collection(self, place: Place) -> Collection | StoredPoses:
        asked = (place.path, place.layout)
        if self._many is None or self._many[0] != asked:
            self._many = None  # two at once may be more than memory holds
            self._many = (asked, _many_of(place))
        return self._many[1]


def _many_of(place: Place) -> Collection | StoredPoses:
    if place.feature_set:
        return StoredPoses.at(*place.feature_set)
    content, name = content_of(place.path), Path(place.path).name
    return pose_files.read_many(content, name, _layout(place.name), place.axes)


def content_of(path: str) -> bytes:
    """The bytes of a file; Unreachable where it cannot be read, TooLarge where it is more than memory is to hold."""
    try:
        with places.opened(path) as file:
            Room().take(os.fstat(file.fileno()).st_size, "it is read whole")
            return file.read()
    except Unsafe as error:
        raise TooLarge(f"it {error}") from error
    except FileNotFoundError as error:
        raise Unreachable("the file is not there (any more)") from error
    except OSError as error:
        raise Unreachable(f"the file cannot be reached: {error.strerror or error}") from error


def array_key(layout: str, array: np.ndarray) -> bytes:
    """Content key of a sequence of a file of many: the same in whichever file it lies."""
    return pose_key(layout, np.ascontiguousarray(array).tobytes(), f"{array.dtype.str}{array.shape}")


def _layout(name: str) -> joints.Layout:
    try:
        return joints.layout(name)
    except ExtractorError as error:
        raise InputFault(str(error)) from error


def _refuse_changed(found: bytes, key: bytes) -> None:
    if found != key:
        raise Unreachable("its content changed since it was indexed; index the data set again")
