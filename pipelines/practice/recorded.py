"""Recorded motion for the practice world: the sequences of a data set of poses in the cache, ready to be drawn.

    manifest rows of poses ─recorded─▶ Recording each: name, label, figures (T, 20, 3) metres of the world

Poses as a Kinect has them (x to the camera's left, y up, z away) are turned about, so that who looks into the camera
looks along z; the lowest the feet come is the ground, and the middle of the hips' way is over the origin. Gaps are
filled in time, jitter is smoothed, and frames are interpolated to those of the film.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc
from scipy.ndimage import gaussian_filter1d

from extractors import joints
from extractors.errors import InputFault
from extractors.joints import KINECT_20, Layout
from extractors.poses import Poses, most_moving
from pipelines.errors import UsageError
from pipelines.index import joint_layouts
from pipelines.index.pose_places import Place, PoseReader
from pipelines.index.poses import KIND
from stores.manifest import Manifest
from stores.root import Root
from untrusted.names import few

_SMOOTH = 1.2  # frames
_LEAST_S = 1.0  # a shorter film stands still at its end
_PEOPLE = 2
_ABOUT = np.array([-1.0, 1.0, -1.0])  # half a turn about the vertical
_FEET = [KINECT_20.joints.index(f"{side} {part}") for side in ("left", "right") for part in ("ankle", "foot")]
_SOLE_M = 0.03
_HEIGHTS_M = (0.8, 2.4)  # a person's, head to foot; what is far off is in another unit


@dataclasses.dataclass(frozen=True)
class Recording:
    """A sequence of a data set, to be drawn.

    Attributes
    ----------
    name : of the sequence, in the data set
    label : its class
    number : from 0, among those of its class
    key : of its content
    figures : of each person (T, 20, 3) metres of the world, at the film's pace
    """

    name: str
    label: str
    number: int
    key: bytes
    figures: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Rows:
    """The labelled sequences of a data set, in the manifest's order, and how many have no label."""

    rows: tuple[dict[str, object], ...]
    unlabelled: int


def rows(dataset: str, root: Root) -> Rows:
    """The sequences of a data set that can be drawn.

    Raises
    ------
    UsageError
        No such data set, none of its items is a sequence of poses, none has a label, or their joints have no depth or
        cannot be turned into a Kinect's.
    """
    manifest = Manifest(root)
    known = manifest.datasets()
    with_poses = [name for name in known if pc.any(pc.equal(manifest.read(name, ["kind"])["kind"], KIND)).as_py()]
    if dataset not in with_poses:
        what = "holds no poses" if dataset in known else "is not in the cache"
        named = f"with poses there are: {few(with_poses)}" if with_poses else "no data set there has poses"
        raise UsageError(
            f"The data set {dataset!r} {what} {root.url}; {named}. `zsar index PATH --kind poses --dataset {dataset}` "
            "brings them."
        )
    joint_layouts.load(root)
    every = [row for row in manifest.read(dataset).to_pylist() if row["kind"] == KIND]
    labelled = tuple(row for row in every if row["label"])
    if not labelled:
        raise UsageError(f"None of the {len(every)} sequences of {dataset!r} has a label, so there are no classes.")
    for name in sorted({Place.of(row["uri"]).name for row in labelled}):
        _refuse_flat(joints.layout(name))
    return Rows(labelled, len(every) - len(labelled))


def _refuse_flat(layout: Layout) -> None:
    if layout.axes != KINECT_20.axes:
        raise UsageError(
            f"Poses of {layout.name} are places in an image; a film is drawn of places in space. Take a data set of "
            "ntu-25, kinect-20, kinect-20-utd or mediapipe-33."
        )
    joints.mapping(layout, KINECT_20)


def recorded(found: Rows, fps: int, rate: float) -> Iterator[Recording | str]:
    """The sequences one by one; in place of one that cannot be used why.

    Parameters
    ----------
    found : Rows
    fps : int
        Pictures a second of the films.
    rate : float
        Frames a second of the sequences.
    """
    reader, counts = PoseReader(), Counter[str]()
    for row in found.rows:
        label = str(row["label"])
        number = counts[label]
        counts[label] += 1
        try:
            poses = reader.read(str(row["uri"]), bytes(row["key"]))  # type: ignore[call-overload]
            figures = _figures(poses, fps, rate)
        except InputFault as fault:
            yield f"{row['video_id']}: {fault}"
            continue
        yield Recording(str(row["video_id"]), label, number, bytes(row["key"]), figures)  # type: ignore[call-overload]


def _figures(poses: Poses, fps: int, rate: float) -> tuple[np.ndarray, ...]:
    """Of each person (T, 20, 3) metres of the world."""
    moving = most_moving(poses.mapped(KINECT_20), _PEOPLE)
    filled = [_filled(moving.coordinates[:, person]) for person in range(moving.coordinates.shape[1])]
    people = [each * _ABOUT for each in filled if each is not None]
    if not people:
        raise InputFault("somebody's trunk or limbs are in no frame, so nobody can be drawn")
    ground = np.percentile(people[0][:, _FEET, 1], 3) - _SOLE_M
    middle = np.median(people[0][:, 0], 0)
    height = float(np.median(np.ptp(people[0][..., 1], 1)))
    scale = 1.0 if _HEIGHTS_M[0] / 2 < height < _HEIGHTS_M[1] else 1.6 / max(height, 1e-6)
    origin = np.array([middle[0], ground, middle[2]])
    return tuple(_paced((each - origin) * scale, fps, rate) for each in people)


def _filled(places: np.ndarray) -> np.ndarray | None:
    """(T, 20, 3) without gaps; a joint never seen stands at the next one inwards; None where the centre never is."""
    found = places.astype(np.float64)
    seen = np.asarray(np.isfinite(found).all(-1))
    if not seen[:, KINECT_20.centre].any():
        return None
    time = np.arange(len(found))
    for joint, inwards in {KINECT_20.centre: KINECT_20.centre, **KINECT_20.inward()}.items():
        at = np.flatnonzero(seen[:, joint])
        for axis in range(3):
            own = found[at, joint, axis] if len(at) else found[:, inwards, axis]
            found[:, joint, axis] = np.interp(time, at if len(at) else time, own)
    return found


def _paced(places: np.ndarray, fps: int, rate: float) -> np.ndarray:
    """The same motion at the film's pace, smooth."""
    smooth = gaussian_filter1d(places, _SMOOTH, axis=0, mode="nearest")
    seconds = max((len(places) - 1) / rate, _LEAST_S)
    at = np.clip(np.arange(int(seconds * fps) + 1) / fps * rate, 0, len(places) - 1)
    before = np.minimum(at.astype(int), len(places) - 2)
    share = (at - before)[:, None, None]
    return np.asarray(smooth[before] * (1 - share) + smooth[before + 1] * share)
