"""Poses in files: the bytes of one in, a sequence out; and files of many sequences.

    .skeleton     NTU RGB+D: 25 joints in space of any number of bodies a frame, by their body numbers
    .json         Kinetics-skeleton: {"data": [{"frame_index", "skeleton": [{"pose": x y ..., "score"}]}]}; or a list of
                  OpenPose's own objects, one a frame: [{"people": [{"pose_keypoints_2d": x y score ...}]}]
    .npy          one array (T, V, D) or (T, M, V, D); D is the layout's axes, or one more with the score behind them;
                  in another order of axes where that is told (`pose_axes`)
    .npz .h5      the array `data`, and what is there of `confidence` (T, [M,] V), `layout`; with `length` (n,) the
    .hdf5         sequences lie one behind another in `data`, and `label`, `subject`, `view`, ... (n,) and `class_names`
                  are about them

JSON has no body numbers: from frame to frame a body goes on as the nearest one of the frame before, if it is within
its own size. Nothing is ever unpickled. A file that is not what its name says is NotPoses, one that ends early
Truncated; the other faults are those of `extractors.poses`. All are of one file and quarantine that alone.
"""

import contextlib
import dataclasses
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import h5py
import numpy as np

import untrusted.arrays
import untrusted.hdf5
from extractors import joints, pose_axes
from extractors.errors import InputFault, Truncated
from extractors.joints import COCO_17, NTU_25, OPENPOSE_18, OPENPOSE_25, Layout
from extractors.poses import BadJoint, LayoutMismatch, NoBody, Poses, WrongJoints, checked
from untrusted.limits import Unsafe
from untrusted.names import few

_BODY_NUMBERS = 10
_JOINT_NUMBERS = 12
_TRACKED = 2
_NOT_SEEN = -1  # a score that some trackers write for it
_FRAMES_MOST = 1_000_000
_BODIES_MOST = 1_000_000
_DAMAGE = (OSError, ValueError, EOFError, KeyError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error)


class NotPoses(InputFault):
    """Not the kind of file its name says, or a part of it is of another kind."""


@dataclasses.dataclass(frozen=True, eq=False)
class Collection:
    """Many sequences of one file.

    Parameters
    ----------
    layout : Layout
    data : (frames, [M,] V, D)
        All sequences, one behind another.
    confidence : (frames, [M,] V), or None
    offsets : (n + 1,) int64
        Where they begin and end.
    columns : mapping of str to (n,) array
        What else the file says of them: `label`, `subject`, `view`; labels are names where it has `class_names`.
    """

    layout: Layout
    data: np.ndarray
    confidence: np.ndarray | None
    offsets: np.ndarray
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def array(self, item: int) -> np.ndarray:
        """(T, [M,] V, D) of one sequence, its scores behind if there are any: all that it holds, to be kept as .npy."""
        own = slice(self.offsets[item], self.offsets[item + 1])
        if self.confidence is None:
            return np.asarray(self.data[own])
        return np.concatenate([self.data[own], self.confidence[own][..., None]], -1)

    def poses(self, item: int) -> Poses:
        """One sequence.

        Raises
        ------
        InputFault
            As `poses.checked`.
        """
        return _of_array(self.array(item), self.layout)


def read(content: bytes, name: str, layout: Layout | None = None, axes: str = "") -> Poses:
    """The one sequence in a file.

    Parameters
    ----------
    content : bytes
    name : str
        Of the file; its suffix says which kind it is, and messages carry it.
    layout : Layout or None
        Of the joints in arrays, where the file does not say it; other kinds have their own.
    axes : str
        The order of the axes of an array, see `pose_axes`; other kinds have their own.

    Raises
    ------
    NotPoses
        A suffix not known here, another kind of file inside, or a file of many sequences.
    UnsureAxes
        An array whose axes could be in another order, or not in the one told.
    Truncated
        The file ends early.
    LayoutMismatch
        The file is of another layout than `layout`, or arrays of which none is stated.
    InputFault
        As `poses.checked`.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in _READERS:
        raise NotPoses(f"{name} is no file of poses known here; known are {', '.join(_READERS)}.")
    with _of_file(name):
        return _READERS[suffix](content, layout, axes)


def read_many(content: bytes, name: str, layout: Layout | None = None, axes: str = "") -> Collection:
    """All sequences of an .npz or HDF5 file with `length`.

    Raises
    ------
    NotPoses, Truncated, LayoutMismatch
        As `read`; lengths that do not add up to the frames there are Truncated.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in _ARRAYS:
        raise NotPoses(f"{name} holds no more than one sequence; many are read from {', '.join(_ARRAYS)}.")
    with _of_file(name):
        return _collection(_ARRAYS[suffix](content), layout, axes)


def holds_many(content: bytes, name: str) -> bool:
    """True if a file has the `length` of many sequences; NotPoses where it is not the kind of file its name says."""
    suffix = PurePath(name).suffix.lower()
    with _of_file(name):
        return suffix in _ARRAYS and "length" in _ARRAYS[suffix](content)


@contextlib.contextmanager
def _of_file(name: str) -> Iterator[None]:
    """Puts the file's name before a fault's message."""
    try:
        yield
    except InputFault as fault:
        raise type(fault)(f"{name}: {fault}") from fault.__cause__


def _room(frames: int, people: int, layout: Layout) -> np.ndarray:
    """Zeros (T, M, V, axes + 1) for coordinates and score; a file must not ask for more memory than bodies can need."""
    if frames * people > _BODIES_MOST:
        raise NotPoses(f"its {people:,} bodies in {frames:,} frames are more than the {_BODIES_MOST:,} read at once.")
    return np.zeros((frames, people, len(layout.joints), layout.axes + 1))


# -- NTU RGB+D --------------------------------------------------------------------------------------------------------


class _Lines:
    """The lines of a .skeleton file, one by one."""

    def __init__(self, content: bytes) -> None:
        self.lines = content.splitlines()
        self.at = 0
        self.frame = "before its first frame"

    def numbers(self, count: int, what: str) -> list[bytes]:
        """The `count` numbers of the next line; the last line of a file cut in the middle has fewer."""
        if self.at >= len(self.lines):
            raise Truncated(f"it ends {self.frame}, where {what} should follow. Get the whole file.")
        found = self.lines[self.at].split()
        self.at += 1
        if len(found) < count and not any(line.strip() for line in self.lines[self.at :]):
            raise Truncated(
                f"it ends {self.frame}, in line {self.at}: {what} has {count} numbers, got {len(found)}. "
                "Get the whole file."
            )
        if len(found) != count:
            raise NotPoses(f"line {self.at}, {self.frame}: {what} has {count} numbers, got {len(found)}.")
        return found

    def count(self, what: str) -> int:
        """A line of one number that counts what follows."""
        (text,) = self.numbers(1, what)
        if not text.isdigit() or len(text) > len(str(_FRAMES_MOST)) or int(text) > _FRAMES_MOST:
            raise NotPoses(f"line {self.at}, {self.frame}: {what} should be a count, got {_shown(text)}.")
        return int(text)


def _ntu(content: bytes, layout: Layout | None, axes: str) -> Poses:
    if layout not in (None, NTU_25):
        raise LayoutMismatch(f"a .skeleton file is of {NTU_25.name}, not of {layout.name}. Name no layout.")
    lines = _Lines(content)
    announced = lines.count("the number of frames")
    frames: list[dict[tuple[bytes, int], np.ndarray]] = []
    for frame in range(announced):
        lines.frame = f"in frame {frame + 1} of {announced}"
        bodies: dict[tuple[bytes, int], np.ndarray] = {}
        for _ in range(lines.count("the number of bodies")):
            number = lines.numbers(_BODY_NUMBERS, "a body")[0]
            # one number for two bodies of a frame: both are kept
            twin = sum(number == known for known, _ in bodies)
            bodies[number, twin] = _ntu_joints(lines)
        frames.append(bodies)
    if any(line.strip() for line in lines.lines[lines.at :]):
        raise NotPoses(f"it announces {announced} frames and goes on after them, in line {lines.at + 1}.")
    order = list(dict.fromkeys(body for bodies in frames for body in bodies))
    found = _room(len(frames), len(order), NTU_25)
    for frame, bodies in enumerate(frames):
        for body, values in bodies.items():
            found[frame, order.index(body)] = values
    return _scored(NTU_25, found)


def _ntu_joints(lines: _Lines) -> np.ndarray:
    """(25, 4): x, y, z and the tracking state over 2: inferred joints are .5."""
    count = lines.count("the number of joints")
    if count != len(NTU_25.joints):
        raise WrongJoints(f"line {lines.at}, {lines.frame}: {NTU_25.name} has 25 joints, got {count}.")
    rows = [lines.numbers(_JOINT_NUMBERS, "a joint") for _ in range(count)]
    try:
        found = np.array([(*row[:3], row[-1]) for row in rows]).astype(np.float64)
    except ValueError:
        raise NotPoses(f"lines {lines.at - count + 1} to {lines.at}, {lines.frame}: joints must be numbers.") from None
    found[:, 3] /= _TRACKED
    return found


# -- JSON -------------------------------------------------------------------------------------------------------------


def _json(content: bytes, layout: Layout | None, axes: str) -> Poses:
    layout = layout or OPENPOSE_18
    if layout not in (OPENPOSE_18, OPENPOSE_25, COCO_17):
        known = f"{OPENPOSE_18.name}, {OPENPOSE_25.name} or {COCO_17.name}"
        raise LayoutMismatch(f"JSON is of {known}, not of {layout.name}.")
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotPoses(f"it is no JSON, or cut short: {str(error).splitlines()[0]}. Get the whole file.") from error
    try:
        frames = _json_frames(loaded, layout)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise NotPoses(
            "it is neither Kinetics-skeleton (data, frame_index, skeleton, pose, score) nor a list of OpenPose's "
            f"objects (people, pose_keypoints_2d): {type(error).__name__} {error}."
        ) from error
    return _scored(layout, _tracked(frames, layout))


def _json_frames(loaded: Any, layout: Layout) -> list[list[np.ndarray]]:
    """The people (V, 3) of each frame: x, y, score."""
    if isinstance(loaded, dict) and "people" in loaded:
        loaded = [loaded]  # OpenPose writes a file a frame: found out as a sequence of one
    if isinstance(loaded, list):
        return [[_person(one["pose_keypoints_2d"], layout) for one in frame["people"]] for frame in loaded]
    by_frame = {int(entry["frame_index"]): entry["skeleton"] for entry in loaded["data"]}
    if not by_frame:
        return []
    if max(by_frame) - min(by_frame) > _FRAMES_MOST:
        raise ValueError(f"frame_index runs from {min(by_frame)} to {max(by_frame)}")
    frames = []
    for index in range(min(by_frame), max(by_frame) + 1):
        people = by_frame.get(index, [])
        pairs = [(np.asarray(one["pose"], float).reshape(-1, 2), np.asarray(one["score"], float)) for one in people]
        frames.append([_person(np.column_stack(pair), layout) for pair in pairs])
    return frames


def _person(values: Any, layout: Layout) -> np.ndarray:
    found = np.asarray(values, float).reshape(-1, 3)
    if len(found) != len(layout.joints):
        raise WrongJoints(
            f"{layout.name} has {len(layout.joints)} joints, a person here has {len(found)}. "
            "Of OpenPose's models COCO (18) is read, and BODY_25 where --layout openpose-25 says it."
        )
    return found


def _tracked(frames: list[list[np.ndarray]], layout: Layout) -> np.ndarray:
    """(T, M, V, 3): people (V, 3) of each frame followed through time; 0 where a person is not there."""
    last: list[np.ndarray] = []
    places: list[tuple[int, int, np.ndarray]] = []
    for frame, people in enumerate(frames):
        pairs = [(_apart(known, one), at, new) for at, known in enumerate(last) for new, one in enumerate(people)]
        taken: dict[int, int] = {}
        for apart, at, new in sorted(pairs):
            if apart <= 1 and at not in taken.values() and new not in taken:
                taken[new] = at
        for new, one in enumerate(people):
            at = taken.get(new, len(last))
            last[at : at + 1] = [one]
            places.append((frame, at, one))
    found = _room(len(frames), len(last), layout)
    for frame, at, one in places:
        found[frame, at] = one
    return found


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two people's joints, in sizes of the first; infinite if they share no joint."""
    both = (a[:, 2] > 0) & (b[:, 2] > 0)
    if not both.any():
        return float("inf")
    seen = a[a[:, 2] > 0, :2]
    size = float(np.linalg.norm(seen.max(0) - seen.min(0)))
    return float(np.linalg.norm(a[both, :2] - b[both, :2], axis=1).mean()) / max(size, 1e-9)


# -- arrays -----------------------------------------------------------------------------------------------------------


def _npz(content: bytes) -> dict[str, np.ndarray]:
    try:
        return untrusted.arrays.npz(io.BytesIO(content))
    except Unsafe as error:
        raise NotPoses(f"it {error}.") from error
    except (*_DAMAGE, AttributeError) as error:
        raise NotPoses(
            f"it cannot be read as .npz: {_first_line(error)}. It is cut short or of another kind."
        ) from error


def _hdf5(content: bytes) -> dict[str, np.ndarray]:
    """The datasets at the top of the file; one that refers to others is refused."""
    try:
        with untrusted.hdf5.opened(io.BytesIO(content), len(content)) as file:
            top = file.top
            sets = {name: top[name] for name in top if name in top and isinstance(top[name], h5py.Dataset)}
            texts = {name for name, thing in sets.items() if h5py.check_string_dtype(thing.dtype) is not None}
            found = {name: file.texts(one) if name in texts else file.numbers(one) for name, one in sets.items()}
            return {"layout": np.asarray(top.attrs["layout"]), **found} if "layout" in top.attrs else found
    except Unsafe as error:
        raise NotPoses(f"it {error}.") from error
    except _DAMAGE as error:
        raise NotPoses(
            f"it cannot be read as HDF5: {_first_line(error)}. It is cut short or of another kind."
        ) from error


def _npy(content: bytes, layout: Layout | None, axes: str) -> Poses:
    try:
        if content[:2] == b"PK":
            raise NotPoses("it is no .npy file but an archive. Call it .npz.")
        found = untrusted.arrays.npy(io.BytesIO(content))
    except Unsafe as error:
        raise NotPoses(f"it {error}.") from error
    except _DAMAGE as error:
        raise NotPoses(
            f"it cannot be read as .npy: {_first_line(error)}. It is cut short or of another kind."
        ) from error
    own = _layout_of({}, layout)
    return _of_array(_ordered(found, own, axes), own)


def _one_npz(content: bytes, layout: Layout | None, axes: str) -> Poses:
    return _one(_npz(content), layout, axes)


def _one_hdf5(content: bytes, layout: Layout | None, axes: str) -> Poses:
    return _one(_hdf5(content), layout, axes)


def _one(arrays: dict[str, np.ndarray], layout: Layout | None, axes: str) -> Poses:
    if "length" in arrays:
        raise NotPoses(f"it holds {arrays['length'].size} sequences, and one was asked for. Read it as a file of many.")
    own = _layout_of(arrays, layout)
    data = arrays["data"] = _ordered(_data(arrays), own, axes)
    confidence = _confidence(arrays)
    scored = data if confidence is None else np.concatenate([data, confidence[..., None]], -1)
    return _of_array(scored, own)


def _collection(arrays: dict[str, np.ndarray], layout: Layout | None, axes: str) -> Collection:
    own, length = _layout_of(arrays, layout), arrays.get("length")
    data = arrays["data"] = _ordered(_data(arrays), own, axes)
    if length is None or length.ndim != 1 or length.dtype.kind not in "iu" or (length < 0).any():
        raise NotPoses("a file of many sequences needs their lengths: `length`, one whole number each.")
    if int(length.sum()) != len(data) or (length > len(data)).any():
        raise Truncated(
            f"the lengths of its {len(length)} sequences add up to {int(length.sum()):,} frames, `data` has "
            f"{len(data):,}. Get the whole file."
        )
    confidence = _confidence(arrays)
    others = set(arrays) - {"data", "length", "confidence", "layout", "class_names"}
    columns = {name: arrays[name] for name in sorted(others) if arrays[name].shape == length.shape}
    if "label" in columns and "class_names" in arrays:
        columns["label"] = _named(columns["label"], arrays["class_names"])
    offsets = np.concatenate([[0], np.cumsum(length, dtype=np.int64)])
    return Collection(own, data, confidence, offsets, columns)


def _ordered(data: np.ndarray, layout: Layout, axes: str) -> np.ndarray:
    return pose_axes.ordered(data, layout, axes) if data.dtype.kind in "fiu" else data


def _named(label: np.ndarray, names: np.ndarray) -> np.ndarray:
    if label.dtype.kind not in "iu":
        return label
    wrong = np.flatnonzero((label < 0) | (label >= len(names)))
    if len(wrong):
        raise NotPoses(
            f"labels are numbers of `class_names`, 0 to {len(names) - 1}; sequence {wrong[0]} has {label[wrong[0]]}, "
            f"and {len(wrong) - 1} more are outside."
        )
    return np.asarray(names[label])


def _data(arrays: dict[str, np.ndarray]) -> np.ndarray:
    named = arrays["data"] if "data" in arrays else next(iter(arrays.values())) if len(arrays) == 1 else None
    if named is None:
        raise NotPoses(f"poses are in an array `data`, there are: {few(sorted(arrays)) or 'none'}.")
    if named.ndim == 0:
        raise NotPoses(f"poses are in an array `data` (frames, [people,] joints, axes), got one {named.dtype}.")
    return named


def _confidence(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """(frames, [M,] V), if there is any."""
    found, data = arrays.get("confidence"), _data(arrays)
    if found is not None and (found.shape != data.shape[:-1] or found.dtype.kind not in "fiu"):
        raise NotPoses(
            f"`confidence` should be numbers {data.shape[:-1]}, as `data` is, got {found.shape} {found.dtype}."
        )
    return found


def _layout_of(arrays: Mapping[str, np.ndarray], layout: Layout | None) -> Layout:
    """The layout stated by the file or the caller; they must not contradict each other."""
    stated = str(arrays["layout"]) if "layout" in arrays else None
    if stated is not None and stated not in joints.LAYOUTS:
        raise LayoutMismatch(f"its layout is {stated!r}; known are: {', '.join(joints.LAYOUTS)}.")
    if stated is not None and layout is not None and stated != layout.name:
        raise LayoutMismatch(f"it says that its layout is {stated}, and {layout.name} was asked for.")
    if stated is not None:
        return joints.layout(stated)
    if layout is None:
        raise LayoutMismatch(f"arrays do not say what their joints are; name a layout: {', '.join(joints.LAYOUTS)}.")
    return layout


def _of_array(data: np.ndarray, layout: Layout) -> Poses:
    axes = layout.axes
    if data.ndim not in (3, 4) or data.dtype.kind not in "fiu" or data.shape[-1] not in (axes, axes + 1):
        raise NotPoses(
            f"poses of {layout.name} are numbers (frames, [people,] joints, {axes}), or {axes + 1} with the score, "
            f"got {data.shape} {data.dtype}."
        )
    people = data if data.ndim == 4 else data[:, None]
    return checked(layout, people) if data.shape[-1] == axes else _scored(layout, people)


def _scored(layout: Layout, found: np.ndarray) -> Poses:
    """Poses of (T, M, V, axes + 1), the confidence last; a joint at the exact origin was not seen whatever it says."""
    places, scores = found[..., : layout.axes], found[..., layout.axes]
    if found.shape[1] == 0:
        raise NoBody(f"A sequence needs a body; of {len(found)} frames none has one. Leave it out, or track it again.")
    if (strange := scores[(scores < 0) & (scores != _NOT_SEEN)]).size:
        raise BadJoint(
            f"of {layout.name} the number behind {layout.axes} coordinates is a score, which is 0 or more; here it is "
            f"{strange.min():.4g}. If it is a third coordinate, name a layout of places in space, or declare one."
        )
    return checked(layout, places, np.where(places.any(-1), np.maximum(scores, 0), 0))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("ascii", "replace"))


_ARRAYS: dict[str, Callable[[bytes], dict[str, np.ndarray]]] = {".npz": _npz, ".h5": _hdf5, ".hdf5": _hdf5}
_READERS: dict[str, Callable[[bytes, Layout | None, str], Poses]] = {
    ".skeleton": _ntu,
    ".json": _json,
    ".npy": _npy,
    ".npz": _one_npz,
    ".h5": _one_hdf5,
    ".hdf5": _one_hdf5,
}
