"""Sequences of poses, and the form in which a network takes them.

    Poses: coordinates (T, M, V, 3), confidence (T, M, V) ─prepared─▶ (3, frames, V, people) float32

T frames, M people, V joints. A joint that was not seen is NaN with confidence 0; a file's zeros never pass for a place.
`prepared` goes, in the `body` frame,

    people      the most moving first; the first is the main person, and frames before and after they are seen are cut
    gaps        joints are interpolated in time between two frames that have them; at an end the nearest frame's place
                holds; an optional joint never seen stands at the next joint towards the centre (see `joints.Layout`)
    place       the hips of the main person's first frame become the origin, of everybody
    direction   their spine there the y axis, and the line from the left to the right shoulder, made square to it, x
    size        the median length of their spine becomes 1
    time        resampled to `frames`, or padded with zeros

In the `hip` frame gaps are filled too, the main person's hips are the origin in each frame, and nothing is turned or
scaled. In the `raw` frame, which the published weights take, nothing is filled either, and a joint not seen is zero:
positions in space are metres from the camera; those in an image are shares of the picture less .5, with their score.

A person who is not there is zero, as in the published code; so are frames after a padded sequence's end. In a layout of
two axes the third channel is the confidence.

Faults are of one sequence: they quarantine it, and their class is the reason in the tables.

NoBody             no frame has a body
NothingSeen        bodies of which no joint was seen, or all of whose coordinates are zero
BadJoint           a coordinate that is NaN or infinite, a negative score, a unit that the raw frame does not take
WrongJoints        another number of joints than the layout's
JointNeverSeen     a joint that has to be seen is in no frame of the main person
NoSpine            a spine without length, so that nothing can be scaled by it
LayoutMismatch     joints of a layout that the network's cannot be made of
TooShort           of one frame: no motion (`extractors.errors`)
"""

import dataclasses
from typing import Literal

import numpy as np

from extractors import joints
from extractors.errors import ExtractorError, InputFault, TooShort
from extractors.joints import Layout

_LONGEST_SPINE_M = 10.0  # a giant's; a person's is half a metre


class NoBody(InputFault):
    """No frame has a body."""


class NothingSeen(InputFault):
    """Bodies without a joint that was seen: all zeros, or all of confidence 0."""


class BadJoint(InputFault):
    """A coordinate that is NaN or infinite."""


class WrongJoints(InputFault):
    """Another number of joints than the layout has."""


class JointNeverSeen(InputFault):
    """A joint that the layout cannot do without is in no frame."""


class NoSpine(InputFault):
    """The spine has no length."""


class LayoutMismatch(InputFault):
    """Joints of a layout that cannot be turned into the one asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Poses:
    """A sequence of poses; `checked` makes them.

    Parameters
    ----------
    layout : Layout
    coordinates : (T, M, V, 3) float32
        NaN where a joint was not seen. The third is 0 in a layout of two axes.
    confidence : (T, M, V) float32
        In [0, 1]; 0 where a joint was not seen.
    """

    layout: Layout
    coordinates: np.ndarray
    confidence: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """(T, M, V) bool."""
        return np.asarray(self.confidence > 0)

    @property
    def there(self) -> np.ndarray:
        """(T, M) bool: frames in which any joint of a person was seen."""
        return np.asarray(self.seen.any(2))

    def mapped(self, target: Layout) -> "Poses":
        """The same poses in another layout, by the tables of `joints`.

        Raises
        ------
        LayoutMismatch
            No table is stated for the two.
        """
        try:
            table = joints.mapping(self.layout, target)
        except ExtractorError as error:
            raise LayoutMismatch(str(error)) from None
        coordinates, confidence = table.apply(self.coordinates), table.confidence(self.confidence)
        coordinates[..., target.axes :] = 0
        coordinates[confidence == 0] = np.nan
        return Poses(target, coordinates, confidence)


@dataclasses.dataclass(frozen=True)
class Form:
    """What a network is given of a sequence; part of the recipe.

    Parameters
    ----------
    frames, people : int
        Size of what `prepared` gives.
    fit : "resample" or "pad"
        Stretch the sequence to `frames`, or put zeros behind it; one longer than `frames` is resampled in both.
    frame : "body", "hip" or "raw"
        Of reference, see this file's first lines.
    """

    frames: int = 64
    people: int = 2
    fit: Literal["resample", "pad"] = "resample"
    frame: Literal["body", "hip", "raw"] = "body"


def checked(layout: Layout, coordinates: np.ndarray, confidence: np.ndarray | None = None) -> Poses:
    """Poses of a file's numbers.

    Parameters
    ----------
    layout : Layout
    coordinates : (T, M, V, 2 or 3)
    confidence : (T, M, V), or None
        0 where a joint was not seen. None: a joint at the exact origin was not seen, as trackers write it.

    Raises
    ------
    WrongJoints, NoBody, TooShort, BadJoint, NothingSeen
        See this file's first lines; the message says what to do.
    """
    frames, people, found = coordinates.shape[:3]
    if frames == 0 or people == 0:
        raise NoBody(f"A sequence needs a body; of {frames} frames none has one. Leave it out, or track it again.")
    if found != len(layout.joints):
        raise WrongJoints(
            f"Poses of {layout.name} have {len(layout.joints)} joints, got {found}. Name the layout they are of; "
            f"there are: {', '.join(f'{each.name} ({len(each.joints)})' for each in joints.LAYOUTS.values())}."
        )
    if frames == 1:
        raise TooShort("A sequence of 1 frame has no motion; at least 2 are needed. Leave it out.")
    full = np.zeros((frames, people, found, 3), np.float32)
    with np.errstate(over="ignore"):
        full[..., : layout.axes] = coordinates[..., : layout.axes]
    scores = full.any(-1).astype(np.float32) if confidence is None else np.asarray(confidence, np.float32)
    seen = np.asarray(scores > 0)
    bad = np.argwhere((seen & ~np.isfinite(full).all(-1)) | ~np.isfinite(scores))
    if len(bad):
        frame, person, joint = (int(at) for at in bad[0])
        raise BadJoint(
            f"Coordinates must be finite; {layout.joints[joint]!r} of person {person} in frame {frame} is "
            f"{full[frame, person, joint].tolist()}, and {len(bad) - 1} more are like it. "
            "Write a joint that was not seen as zeros."
        )
    if not (seen & full.any(-1)).any():
        raise NothingSeen(
            f"A sequence needs joints that were seen; all coordinates of its {frames} frames and {people} people are "
            "zero or of confidence 0. Leave it out, or track it again."
        )
    full[~seen] = np.nan
    return Poses(layout, full, np.clip(scores, 0, 1))


def most_moving(poses: Poses, people: int) -> Poses:
    """The `people` that move most, the most moving first; fewer where there are fewer.

    A person's motion is the standard deviation of their joints' coordinates over the frames they are seen in, summed
    over joints and axes, times the share of all frames that they are seen in: a glitch of few frames moves little.
    """
    there = poses.there
    if people > 0 and there.shape[1] == 1 and there.any():
        return poses
    motion = np.zeros(there.shape[1])
    for person in range(len(motion)):
        places = np.where(poses.seen[:, person, :, None], poses.coordinates[:, person].astype(np.float64), 0)
        count = np.maximum(poses.seen[:, person].sum(0), 1)[:, None]
        mean = places.sum(0) / count
        spread = np.where(poses.seen[:, person, :, None], (places - mean) ** 2, 0).sum(0) / count
        motion[person] = np.sqrt(spread).sum() * there[:, person].mean()
    order = np.argsort(-motion, kind="stable")
    kept = [int(person) for person in order if there[:, person].any()][:people]
    return Poses(poses.layout, poses.coordinates[:, kept], poses.confidence[:, kept])


def prepared(poses: Poses, form: Form) -> np.ndarray:
    """What a network is given; this file's first lines say how it is made.

    Returns
    -------
    (3, form.frames, V, form.people) float32, finite

    Raises
    ------
    JointNeverSeen, NoSpine
        Of the main person, in the `body` frame. Somebody else who lacks a joint is left out.
    BadJoint
        Positions that are no shares of a picture, in the `raw` frame.
    TooShort
        The main person is seen in one frame only.
    """
    moving = most_moving(poses, form.people)
    frames = np.flatnonzero(moving.there[:, 0])
    if len(frames) < 2:
        raise TooShort(
            "The main person is seen in 1 frame, which has no motion; at least 2 are needed. Leave the sequence out."
        )
    whole = slice(frames[0], frames[-1] + 1)
    cut = Poses(poses.layout, moving.coordinates[whole], moving.confidence[whole])
    places, there = {"raw": _raw, "hip": _from_hips, "body": _in_body}[form.frame](cut)
    if poses.layout.axes == 2:
        places[..., 2] = cut.confidence
    found = np.zeros((form.frames, form.people, *places.shape[2:]), np.float32)
    fitted = _fitted(places, there, form)
    found[: len(fitted), : places.shape[1]] = fitted
    return np.ascontiguousarray(found.transpose(3, 0, 2, 1))


def _raw(poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """(T, M, V, 3) as the published code has it, zeros where nothing was seen; (T, M) True where somebody is."""
    flat = poses.layout.axes == 2
    middle = np.array([0.5, 0.5, 0] if flat else [0, 0, 0])
    places = np.where(poses.seen[..., None], poses.coordinates - middle, 0)
    if flat and np.abs(places).max() > 1:
        raise BadJoint(
            "In the raw frame positions in an image are shares of its width and height; of this sequence of "
            f"{poses.layout.name} they are up to {np.nanmax(np.abs(poses.coordinates)):.4g}. "
            "Divide by the picture's size, or use the body frame."
        )
    if not flat and (spine := _spine_length(poses)) > _LONGEST_SPINE_M:
        raise BadJoint(
            f"In the raw frame positions in space are metres; in this sequence of {poses.layout.name} the spine is "
            f"{spine:.4g} long. Divide millimetres by 1000, or use the body frame, which has no unit."
        )
    return places, poses.there


def _spine_length(poses: Poses) -> float:
    """Median length of the main person's spine over the frames that show it; 0 where none does."""
    upper, lower = (poses.coordinates[:, 0, list(ends)].mean(1) for ends in (poses.layout.neck, poses.layout.hips))
    lengths = np.linalg.norm(upper - lower, axis=-1)
    seen = lengths[np.isfinite(lengths)]
    return float(np.median(seen)) if seen.size else 0.0


def _from_hips(poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """(T, M, V, 3) from the main person's hips in each frame, and (T, M) True where somebody is."""
    places, there = _whole(poses)
    return places - places[:, :1, list(poses.layout.hips)].mean(2, keepdims=True), there


def _in_body(poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """(T, M, V, 3) in the main person's own frame, and (T, M) True where somebody is."""
    layout = poses.layout
    places, there = _whole(poses)
    lower = places[:, 0, list(layout.hips)].mean(1)
    spine = places[:, 0, list(layout.neck)].mean(1) - lower
    length = float(np.median(np.linalg.norm(spine, axis=-1)))
    start = float(np.linalg.norm(spine[0]))
    if not min(length, start) > 1e-6:
        raise NoSpine(
            f"Poses are scaled by the spine of {layout.name}, whose length is {length:.3g} here and {start:.3g} in the "
            "first frame. Its hips and neck lie in one place: leave the sequence out, or track it again."
        )
    left, right = (places[0, 0, joint] for joint in layout.shoulders)
    return (places - lower[0]) @ _axes(spine[0], right - left, layout.axes).T / length, there


def _whole(poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """(T, M, V, 3) without gaps, and (T, M) True where somebody is."""
    layout = poses.layout
    places = np.zeros_like(poses.coordinates, np.float64)
    there = np.zeros(places.shape[:2], bool)
    for person in range(places.shape[1]):
        lacking = _lacking(poses, person)
        if person == 0 and lacking:
            raise JointNeverSeen(
                f"A sequence of {layout.name} needs each of its inner joints in one frame at least; never seen: "
                f"{', '.join(lacking)}. Leave it out, or track it again."
            )
        if not lacking:
            frames = np.flatnonzero(poses.there[:, person])
            there[frames[0] : frames[-1] + 1, person] = True
            places[:, person] = _filled(poses, person)
    return places, there


def _axes(spine: np.ndarray, across: np.ndarray, axes: int) -> np.ndarray:
    """(3, 3) whose rows are the new x, y and z; a proper rotation."""
    y = spine / np.linalg.norm(spine)
    if axes == 2:
        return np.array([[y[1], -y[0], 0], [y[0], y[1], 0], [0, 0, 1]])
    x = across - across @ y * y
    if np.linalg.norm(x) < 1e-3 * np.linalg.norm(spine):
        # shoulders in one place or along the spine: any x square to it
        x = np.eye(3)[np.argmin(np.abs(y))]
        x = x - x @ y * y
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)])


def _lacking(poses: Poses, person: int) -> list[str]:
    """Names of the joints that have to be seen and never are."""
    layout = poses.layout
    seen = np.asarray(poses.seen[:, person].any(0))
    if not seen.any():
        return ["all"]
    spine = {*layout.hips, *layout.neck}
    needed = spine | (set(range(len(layout.joints))) - layout.optional)
    return [layout.joints[joint] for joint in sorted(needed) if not seen[joint]]


def _filled(poses: Poses, person: int) -> np.ndarray:
    """(T, V, 3) without gaps."""
    places = poses.coordinates[:, person].astype(np.float64)
    seen = poses.seen[:, person]
    if seen.all():
        return places
    time = np.arange(len(places))
    inward = poses.layout.inward()
    for joint in (poses.layout.centre, *inward):
        at = np.flatnonzero(seen[:, joint])
        if 0 < len(at) < len(time):
            for axis in range(3):
                places[:, joint, axis] = np.interp(time, at, places[at, joint, axis])
    for joint, towards in inward.items():
        if not seen[:, joint].any():
            places[:, joint] = places[:, towards]
    if not seen[:, poses.layout.centre].any():
        # an optional centre (a nose) has no joint towards it: it stands at the upper end of the spine
        lost = np.isnan(places).any((0, 2))
        places[:, lost] = places[:, list(poses.layout.neck)].mean(1, keepdims=True)
    return places


def _fitted(places: np.ndarray, there: np.ndarray, form: Form) -> np.ndarray:
    """(form.frames or fewer, M, V, 3), zero where nobody is; between frames linear, or the nearest in the raw frame.

    Raw zeros are joints not seen: nothing lies between them and a place.
    """
    length = len(places)
    if form.fit == "pad" and length <= form.frames:
        return np.where(there[..., None, None], places, 0)
    at = np.linspace(0, length - 1, form.frames)
    nearest = np.rint(at).astype(int)
    if form.frame == "raw":
        between = places[nearest]
    else:
        before = np.minimum(at.astype(int), length - 2)
        share = (at - before)[:, None, None, None]
        between = places[before] * (1 - share) + places[before + 1] * share
    return np.where(there[nearest][..., None, None], between, 0)
