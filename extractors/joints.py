"""Layouts of joints as data: their names, bones and landmarks, and the tables that turn one layout into another.

    layout("ntu-25") ─▶ Layout(joints, bones, centre, hips, neck, shoulders)
    mapping(MEDIAPIPE_33, NTU_25).apply((..., 33, 3)) ─▶ (..., 25, 3), each joint the mean of one or more of the source

Left and right are the person's own. The bones of a layout make a connected graph, the one that ST-GCN runs on.

Sources: NTU-25 and OpenPose-18 as ST-GCN publishes them (Yan et al., AAAI 2018), with joint 21 and the neck as centres;
Kinect-20 is the skeleton of the first Kinect in the order of its SDK, as NW-UCLA has it, and `kinect-20-utd` the same
joints in UTD-MHAD's order, which runs from the head down; COCO-17 is the order of its key points, MediaPipe-33 that of
BlazePose's landmarks; OpenPose-25 that of its BODY_25, H36M-17 that of Human3.6M's 17 joints as lifters from pictures
into space write them. COCO and MediaPipe have no neck: their nose is joined to both shoulders and is the centre.
"""

import dataclasses

import numpy as np

from extractors.errors import ExtractorError


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to number the joints of a body.

    Parameters
    ----------
    name : str
    joints : tuple of str
        V names, in order.
    bones : tuple of (int, int)
        Pairs of joints, the one further from the centre first.
    centre : int
        The joint that the spatial partition of the graph measures distances to.
    hips, neck : tuple of int
        Joints whose mean is the lower and the upper end of the spine.
    shoulders : (int, int)
        Left and right.
    axes : int
        3 for positions in space, 2 for positions in an image with a score.
    optional : frozenset of int
        Ends of limbs and of the face, which a sequence may do without: one never seen stands where the next joint
        towards the centre is. Any other joint has to be seen once.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    centre: int
    hips: tuple[int, ...]
    neck: tuple[int, ...]
    shoulders: tuple[int, int]
    axes: int
    optional: frozenset[int]

    def inward(self) -> dict[int, int]:
        """The next joint towards the centre of each joint but the centre, nearest joints first."""
        found: dict[int, int] = {}
        edge = [self.centre]
        while edge:
            at = edge.pop(0)
            joined = [b if a == at else a for a, b in self.bones if at in (a, b)]
            fresh = [joint for joint in joined if joint != self.centre and joint not in found]
            found.update(dict.fromkeys(fresh, at))
            edge += fresh
        return found


@dataclasses.dataclass(frozen=True)
class JointMap:
    """How the joints of one layout are made of another's.

    Parameters
    ----------
    source, target : Layout
    rows : tuple of tuple of int
        For each joint of `target` the joints of `source` whose mean it is.
    """

    source: Layout
    target: Layout
    rows: tuple[tuple[int, ...], ...]

    def apply(self, joints: np.ndarray) -> np.ndarray:
        """(..., V of target, 3) float32 of (..., V of source, 3); NaN where one of the joints averaged is NaN."""
        if (single := self._single) is not None:
            return np.asarray(joints[..., single, :], np.float32)
        return np.stack([joints[..., list(row), :].mean(-2) for row in self.rows], -2).astype(np.float32)

    def confidence(self, values: np.ndarray) -> np.ndarray:
        """(..., V of target) float32 of (..., V of source): the least of the joints averaged."""
        if (single := self._single) is not None:
            return np.asarray(values[..., single], np.float32)
        return np.stack([values[..., list(row)].min(-1) for row in self.rows], -1).astype(np.float32)

    @property
    def _single(self) -> list[int] | None:
        """The one source joint of each joint, where none is a mean."""
        return [row[0] for row in self.rows] if all(len(row) == 1 for row in self.rows) else None


def layout(name: str) -> Layout:
    """The layout of this name.

    Raises
    ------
    ExtractorError
        No such name; the message lists those there are.
    """
    if name not in LAYOUTS:
        raise ExtractorError(f"No layout of joints is called {name!r}; there are: {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def declare(own: Layout) -> Layout:
    """Make a layout that a user declares known by its name, to this process; the name stands for what it says."""
    return LAYOUTS.setdefault(own.name, own)


def mapping(source: Layout, target: Layout) -> JointMap:
    """The table that makes `target` of `source`; of a layout into itself, the joints as they are.

    Raises
    ------
    ExtractorError
        No table is stated for this pair; the message lists those that start from `source`.
    """
    if source == target:
        return JointMap(source, target, tuple((joint,) for joint in range(len(source.joints))))
    alike = source.axes == target.axes and set(target.joints) <= set(source.joints)
    if {source.name, target.name} - _OURS and alike:
        return JointMap(source, target, _rows(source, target, {}))  # declared ones: joints of one name are one joint
    if (source.name, target.name) not in _TABLES:
        known = ", ".join(to for start, to in _TABLES if start == source.name) or "none"
        raise ExtractorError(
            f"Joints of {source.name} cannot be turned into {target.name}; from {source.name} there is: {known}. "
            "Take weights of one of these layouts, or poses of the weights' own."
        )
    return JointMap(source, target, _rows(source, target, _TABLES[source.name, target.name]))


def _rows(source: Layout, target: Layout, table: dict[str, str]) -> tuple[tuple[int, ...], ...]:
    """A joint of the target that the table leaves out has its own name in the source."""
    names = [table.get(joint, joint).split(" + ") for joint in target.joints]
    return tuple(tuple(source.joints.index(name) for name in parts) for parts in names)


def _sides(*names: str) -> tuple[str, ...]:
    """The names with `left` before them, then with `right`."""
    return tuple(f"{side} {name}" for side in ("left", "right") for name in names)


def _bones(text: str) -> tuple[tuple[int, int], ...]:
    """`1-0 2-1` as pairs."""
    pairs = (pair.split("-") for pair in text.split())
    return tuple((int(a), int(b)) for a, b in pairs)


NTU_25 = Layout(
    name="ntu-25",
    joints=(
        *("base of spine", "middle of spine", "neck", "head"),
        *_sides("shoulder", "elbow", "wrist", "hand"),
        *_sides("hip", "knee", "ankle", "foot"),
        *("spine at shoulders", "left hand tip", "left thumb", "right hand tip", "right thumb"),
    ),
    bones=_bones(
        "0-1 1-20 2-20 3-2 4-20 5-4 6-5 7-6 8-20 9-8 10-9 11-10 "
        "12-0 13-12 14-13 15-14 16-0 17-16 18-17 19-18 21-22 22-7 23-24 24-11"
    ),
    centre=20,
    hips=(0,),
    neck=(20,),
    shoulders=(4, 8),
    axes=3,
    optional=frozenset({3, 7, 11, 15, 19, 21, 22, 23, 24}),
)

_KINECT_LIMBS = (*_sides("shoulder", "elbow", "wrist", "hand"), *_sides("hip", "knee", "ankle", "foot"))
_KINECT_LIMB_BONES = "5-4 6-5 7-6 9-8 10-9 11-10 13-12 14-13 15-14 17-16 18-17 19-18"

KINECT_20 = Layout(
    name="kinect-20",
    joints=("hip centre", "spine", "shoulder centre", "head", *_KINECT_LIMBS),
    bones=_bones(f"0-1 1-2 3-2 4-2 8-2 12-0 16-0 {_KINECT_LIMB_BONES}"),
    centre=2,
    hips=(0,),
    neck=(2,),
    shoulders=(4, 8),
    axes=3,
    optional=frozenset({3, 7, 11, 15, 19}),
)

KINECT_20_UTD = Layout(
    name="kinect-20-utd",
    joints=("head", "shoulder centre", "spine", "hip centre", *_KINECT_LIMBS),
    bones=_bones(f"3-2 2-1 0-1 4-1 8-1 12-3 16-3 {_KINECT_LIMB_BONES}"),
    centre=1,
    hips=(3,),
    neck=(1,),
    shoulders=(4, 8),
    axes=3,
    optional=frozenset({0, 7, 11, 15, 19}),
)

OPENPOSE_18 = Layout(
    name="openpose-18",
    joints=(
        *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
        *("right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
        *("right eye", "left eye", "right ear", "left ear"),
    ),
    bones=_bones("4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14"),
    centre=1,
    hips=(8, 11),
    neck=(1,),
    shoulders=(5, 2),
    axes=2,
    optional=frozenset(range(18)),
)

COCO_17 = Layout(
    name="coco-17",
    joints=(
        *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
        *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
        *("left knee", "right knee", "left ankle", "right ankle"),
    ),
    bones=_bones("15-13 13-11 16-14 14-12 11-5 12-6 9-7 7-5 10-8 8-6 5-0 6-0 1-0 3-1 2-0 4-2"),
    centre=0,
    hips=(11, 12),
    neck=(5, 6),
    shoulders=(5, 6),
    axes=2,
    optional=frozenset(range(17)),
)

MEDIAPIPE_33 = Layout(
    name="mediapipe-33",
    joints=(
        *("nose", "left inner eye", "left eye", "left outer eye", "right inner eye", "right eye", "right outer eye"),
        *("left ear", "right ear", "left mouth", "right mouth", "left shoulder", "right shoulder"),
        *("left elbow", "right elbow", "left wrist", "right wrist", "left pinky", "right pinky"),
        *("left index", "right index", "left thumb", "right thumb", "left hip", "right hip"),
        *("left knee", "right knee", "left ankle", "right ankle", "left heel", "right heel"),
        *("left foot tip", "right foot tip"),
    ),
    bones=_bones(
        "1-0 2-1 3-2 7-3 4-0 5-4 6-5 8-6 9-0 10-0 11-0 12-0 13-11 15-13 17-15 19-15 21-15 "
        "14-12 16-14 18-16 20-16 22-16 23-11 24-12 25-23 27-25 29-27 31-29 26-24 28-26 30-28 32-30"
    ),
    centre=0,
    hips=(23, 24),
    neck=(11, 12),
    shoulders=(11, 12),
    axes=3,
    optional=frozenset({*range(11), *range(17, 23), *range(29, 33)}),
)

OPENPOSE_25 = Layout(
    name="openpose-25",
    joints=(
        *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
        *("hip centre", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
        *("right eye", "left eye", "right ear", "left ear"),
        *(f"{side} {part}" for side in ("left", "right") for part in ("big toe", "small toe", "heel")),
    ),
    bones=_bones(
        "4-3 3-2 7-6 6-5 5-1 2-1 0-1 15-0 16-0 17-15 18-16 8-1 9-8 10-9 11-10 12-8 13-12 14-13 "
        "19-14 20-19 21-14 22-11 23-22 24-11"
    ),
    centre=1,
    hips=(8,),
    neck=(1,),
    shoulders=(5, 2),
    axes=2,
    optional=frozenset(range(25)),
)

H36M_17 = Layout(
    name="h36m-17",
    joints=(
        *("hip centre", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
        *("spine", "shoulder centre", "nose", "head", "left shoulder", "left elbow", "left wrist"),
        *("right shoulder", "right elbow", "right wrist"),
    ),
    bones=_bones("1-0 2-1 3-2 4-0 5-4 6-5 7-0 8-7 9-8 10-9 11-8 12-11 13-12 14-8 15-14 16-15"),
    centre=8,
    hips=(0,),
    neck=(8,),
    shoulders=(11, 14),
    axes=3,
    optional=frozenset({3, 6, 9, 10, 13, 16}),
)

LAYOUTS = {
    each.name: each
    for each in (NTU_25, KINECT_20, KINECT_20_UTD, OPENPOSE_18, OPENPOSE_25, COCO_17, H36M_17, MEDIAPIPE_33)
}
_OURS = frozenset(LAYOUTS)

_SHOULDERS, _HIPS = "left shoulder + right shoulder", "left hip + right hip"
_MEDIAPIPE_TO_KINECT = {
    "hip centre": _HIPS,
    "spine": f"{_HIPS} + {_SHOULDERS}",
    "shoulder centre": _SHOULDERS,
    "head": "left ear + right ear",
    "left hand": "left pinky + left index",
    "right hand": "right pinky + right index",
    "left foot": "left foot tip",
    "right foot": "right foot tip",
}
#: target joint to the source joints it is the mean of; joints of one name in both are not repeated
_TABLES: dict[tuple[str, str], dict[str, str]] = {
    ("kinect-20-utd", "kinect-20"): {},
    ("kinect-20", "kinect-20-utd"): {},
    ("ntu-25", "kinect-20"): {
        "hip centre": "base of spine",
        "spine": "middle of spine",
        "shoulder centre": "spine at shoulders",
    },
    ("coco-17", "openpose-18"): {"neck": _SHOULDERS},
    ("openpose-25", "openpose-18"): {},
    ("openpose-25", "coco-17"): {},
    ("openpose-18", "coco-17"): {},
    ("mediapipe-33", "coco-17"): {},
    ("mediapipe-33", "openpose-18"): {"neck": _SHOULDERS},
    ("mediapipe-33", "ntu-25"): {
        "base of spine": _HIPS,
        "middle of spine": f"{_HIPS} + {_SHOULDERS}",
        "spine at shoulders": _SHOULDERS,
        "neck": f"{_SHOULDERS} + left mouth + right mouth",
        "head": "left ear + right ear",
        "left hand": "left pinky + left index",
        "right hand": "right pinky + right index",
        "left hand tip": "left index",
        "right hand tip": "right index",
        "left foot": "left foot tip",
        "right foot": "right foot tip",
    },
    ("mediapipe-33", "kinect-20"): _MEDIAPIPE_TO_KINECT,
    ("mediapipe-33", "kinect-20-utd"): _MEDIAPIPE_TO_KINECT,
}
