"""Sequences of poses and the form a network takes them in: geometry by its invariances, gaps and faults by name."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from extractors import poses
from extractors.errors import InputFault, TooShort
from extractors.joints import COCO_17, KINECT_20, KINECT_20_UTD, MEDIAPIPE_33, NTU_25, OPENPOSE_18, Layout
from extractors.pose_files import read_many
from extractors.poses import (
    BadJoint,
    Form,
    JointNeverSeen,
    LayoutMismatch,
    NoBody,
    NoSpine,
    NothingSeen,
    Poses,
    WrongJoints,
    checked,
    most_moving,
    prepared,
)

ONE = Form(frames=16, people=1)


def body(layout: Layout, frames: int = 10, seed: int = 0, motion: float = 0.1) -> np.ndarray:
    """(T, 1, V, 3): a body of random proportions, hips below neck, whose joints wander."""
    draw = np.random.default_rng(seed)
    rest = draw.uniform(-1, 1, (len(layout.joints), 3)) + 5
    rest[list(layout.hips), 1] = 3
    rest[list(layout.neck), 1] = 6
    rest[list(layout.shoulders), 0] = (4, 6)
    steps = draw.standard_normal((frames, 1, len(layout.joints), 3)) * motion
    return (rest + steps.cumsum(0)).astype(np.float32)


def spine(x: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """(T, 3) lower and upper end, of (3, T, V, M)."""
    lower, upper = (x[:, :, list(part), 0].mean(2).T for part in (layout.hips, layout.neck))
    return lower, upper


def turned(places: np.ndarray, seed: int = 1) -> np.ndarray:
    """`places` turned, made larger and moved, all at random."""
    draw = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(draw.standard_normal((3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    return places @ turn.T * 3.7 + draw.standard_normal(3) * 10


@pytest.mark.parametrize("layout", [NTU_25, KINECT_20, KINECT_20_UTD, MEDIAPIPE_33], ids=lambda each: each.name)
def test_hips_start_at_the_origin_below_the_neck_with_shoulders_along_x_and_a_spine_of_one(layout: Layout) -> None:
    x = prepared(checked(layout, body(layout)), dataclasses.replace(ONE, frames=10))
    lower, upper = spine(x, layout)
    np.testing.assert_allclose(lower[0], 0, atol=1e-6)
    np.testing.assert_allclose(upper[0][[0, 2]], 0, atol=1e-5)
    assert upper[0][1] > 0
    across = x[:, 0, layout.shoulders[1], 0] - x[:, 0, layout.shoulders[0], 0]
    assert across[0] > 0
    assert across[2] == pytest.approx(0, abs=1e-5)
    assert np.median(np.linalg.norm(upper - lower, axis=1)) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("layout", [NTU_25, KINECT_20_UTD], ids=lambda each: each.name)
def test_neither_place_nor_size_nor_the_camera_change_what_a_network_is_given(layout: Layout) -> None:
    places = body(layout)
    np.testing.assert_allclose(
        prepared(checked(layout, turned(places)), ONE), prepared(checked(layout, places), ONE), atol=1e-4
    )


def test_a_mirror_image_is_another_sequence() -> None:
    places = body(KINECT_20)
    mirrored = places * np.array([-1, 1, 1], np.float32)
    assert np.abs(prepared(checked(KINECT_20, mirrored), ONE) - prepared(checked(KINECT_20, places), ONE)).max() > 0.1


def test_shoulders_along_the_spine_still_give_a_rotation() -> None:
    places = body(KINECT_20)
    places[:, :, KINECT_20.shoulders[0]] = places[:, :, KINECT_20.shoulders[1]]
    x = prepared(checked(KINECT_20, places), dataclasses.replace(ONE, frames=10))
    assert np.isfinite(x).all()
    now = x.transpose(1, 3, 2, 0)
    across = [np.linalg.norm(each[:, 0, 5] - each[:, 0, 9], axis=1) for each in (places, now)]
    height = np.median(np.linalg.norm(places[:, 0, 2] - places[:, 0, 0], axis=1))
    np.testing.assert_allclose(across[1], across[0] / height, rtol=1e-4)


def test_resampling_passes_through_first_and_last_frame_and_a_straight_line_stays_one() -> None:
    places = np.repeat(body(KINECT_20, 1), 7, 0)
    places[:, 0, 7, 0] += np.arange(7)
    x = prepared(checked(KINECT_20, places), dataclasses.replace(ONE, frames=31))
    y = prepared(checked(KINECT_20, places), dataclasses.replace(ONE, frames=7))
    np.testing.assert_allclose(x[:, [0, -1]], y[:, [0, -1]], atol=1e-6)
    np.testing.assert_allclose(x[:, ::5], y, atol=1e-5)
    np.testing.assert_allclose(np.diff(x[:, :, 7, 0], n=2, axis=1), 0, atol=1e-5)


def test_padding_keeps_the_frames_and_puts_zeros_behind_them_and_a_longer_sequence_is_resampled() -> None:
    sequence = checked(KINECT_20, body(KINECT_20, 10))
    padded = prepared(sequence, Form(frames=16, people=1, fit="pad"))
    np.testing.assert_allclose(padded[:, :10], prepared(sequence, Form(frames=10, people=1)), atol=1e-6)
    assert not padded[:, 10:].any()
    np.testing.assert_array_equal(
        prepared(sequence, Form(frames=8, people=1, fit="pad")), prepared(sequence, Form(frames=8, people=1))
    )


def test_the_most_moving_people_come_first_and_a_short_glitch_is_not_one_of_them() -> None:
    people = [body(KINECT_20, 20, seed, motion) for seed, motion in enumerate((0.01, 0.1, 0.03))]
    glitch = np.zeros_like(people[0])
    glitch[4:6] = people[0][4:6] + np.array([[0], [0.5]], np.float32)[:, :, None, None]
    sequence = checked(KINECT_20, np.concatenate([glitch, *people], 1))
    got = most_moving(sequence, 2)
    np.testing.assert_array_equal(got.coordinates[:, 0], people[1][:, 0])
    np.testing.assert_array_equal(got.coordinates[:, 1], people[2][:, 0])


def test_who_is_not_there_is_zero_and_the_second_is_placed_by_the_first() -> None:
    first, second = body(KINECT_20, 10, 0, 0.2), body(KINECT_20, 10, 1, 0.05)
    second[:4] = 0
    sequence = checked(KINECT_20, np.concatenate([second, first], 1))
    x = prepared(sequence, Form(frames=10, people=3))
    assert not x[:, :4, :, 1].any()
    assert not x[..., 2].any()
    gap = np.linalg.norm(first[5, 0, 3] - second[5, 0, 3])
    height = np.median(np.linalg.norm(first[:, 0, 2] - first[:, 0, 0], axis=1))
    assert np.linalg.norm(x[:, 5, 3, 0] - x[:, 5, 3, 1]) == pytest.approx(gap / height, rel=1e-4)


def test_a_gap_is_interpolated_between_where_it_was_seen_and_an_end_holds_the_nearest_place() -> None:
    places = body(KINECT_20, 9)
    holed = places.copy()
    holed[3:5, 0, 6] = 0
    holed[:2, 0, 10] = 0
    holed[7:, 0, 14] = 0
    mended = places.copy()
    mended[3, 0, 6] = places[2, 0, 6] * 2 / 3 + places[5, 0, 6] / 3
    mended[4, 0, 6] = places[2, 0, 6] / 3 + places[5, 0, 6] * 2 / 3
    mended[:2, 0, 10] = places[2, 0, 10]
    mended[7:, 0, 14] = places[6, 0, 14]
    got, expected = (prepared(checked(KINECT_20, each), ONE) for each in (holed, mended))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert checked(KINECT_20, holed).seen.sum() == 9 * 20 - 6


def test_frames_before_and_after_the_main_person_are_cut() -> None:
    places = body(KINECT_20, 10)
    empty = np.zeros_like(places[:3])
    around = np.concatenate([empty, places, empty])
    np.testing.assert_array_equal(prepared(checked(KINECT_20, around), ONE), prepared(checked(KINECT_20, places), ONE))


def test_an_optional_joint_never_seen_stands_at_the_next_joint_inwards() -> None:
    places = body(NTU_25)
    ends = [NTU_25.joints.index(f"left {end}") for end in ("hand", "thumb", "hand tip")]
    places[:, :, ends] = 0
    x = prepared(checked(NTU_25, places), ONE)
    for joint in ends:
        np.testing.assert_array_equal(x[:, :, joint], x[:, :, NTU_25.joints.index("left wrist")])


def test_a_picture_without_a_nose_still_has_everybody_finite() -> None:
    places = body(COCO_17)
    places[:, :, 0:3] = 0
    x = prepared(checked(COCO_17, places), ONE)
    assert np.isfinite(x).all()
    assert not x[2, :, 0:3].any()
    np.testing.assert_allclose(x[:2, :, 0, 0], x[:2, :, [5, 6], 0].mean(2), atol=1e-5)


def test_the_third_channel_of_a_picture_is_the_score_and_what_was_filled_has_none() -> None:
    places = body(OPENPOSE_18, 8)
    scores = np.random.default_rng(0).uniform(0.2, 1, places.shape[:3])
    scores[3, 0, 4] = 0
    x = prepared(checked(OPENPOSE_18, places, scores), Form(frames=8, people=1))
    np.testing.assert_allclose(x[2, :, :, 0], scores[:, 0], rtol=1e-6)
    np.testing.assert_allclose(x[:2, 3, 4, 0], x[:2, [2, 4], 4, 0].mean(1), atol=1e-5)


def test_the_raw_frame_of_a_picture_is_the_published_one() -> None:
    """The published feeder: x - .5, y - .5, score; and x = y = 0 where the score is 0; zeros behind the end."""
    draw = np.random.default_rng(0)
    places, scores = draw.uniform(0.1, 0.9, (6, 1, 18, 2)), draw.uniform(0.1, 1, (6, 1, 18))
    scores[2:4, 0, 5] = 0
    x = prepared(checked(OPENPOSE_18, places, scores), Form(frames=9, people=2, fit="pad", frame="raw"))
    expected = np.zeros((3, 9, 18, 2))
    for t in range(6):
        for joint in range(18):
            if scores[t, 0, joint]:
                expected[:, t, joint, 0] = [*(places[t, 0, joint] - 0.5), scores[t, 0, joint]]
    np.testing.assert_allclose(x, expected, atol=1e-6)
    with pytest.raises(
        BadJoint, match=r"shares of its width and height; of this sequence of openpose-18 they are up to 640"
    ):
        prepared(checked(OPENPOSE_18, places * 640 / places.max()), Form(frame="raw"))


def test_the_raw_frame_of_a_body_in_space_is_the_published_one() -> None:
    """The published NTU feeder: camera coordinates as they are, zeros for who is missing and behind the end."""
    places = body(NTU_25, 6)
    places[2:4, 0, 5] = 0
    x = prepared(checked(NTU_25, places), Form(frames=9, people=2, fit="pad", frame="raw"))
    np.testing.assert_array_equal(x[:, :6, :, 0], places[:, 0].transpose(2, 0, 1))
    assert not x[:, 6:].any()
    assert not x[..., 1].any()


@pytest.mark.parametrize("layout", [NTU_25, KINECT_20, COCO_17, MEDIAPIPE_33], ids=lambda each: each.name)
def test_the_hip_frame_moves_the_hips_to_the_origin_in_each_frame_and_nothing_else(layout: Layout) -> None:
    places = body(layout, 7)
    x = prepared(checked(layout, places), Form(frames=7, people=1, frame="hip"))
    for t in range(7):
        for axis in range(layout.axes):
            hips = sum(float(places[t, 0, joint, axis]) for joint in layout.hips) / len(layout.hips)
            for joint in range(len(layout.joints)):
                assert x[axis, t, joint, 0] == pytest.approx(places[t, 0, joint, axis] - hips, abs=1e-5)
    np.testing.assert_allclose(x[: layout.axes, :, list(layout.hips), 0].mean(2), 0, atol=1e-6)
    if layout.axes == 2:
        np.testing.assert_array_equal(x[2], 1)  # the score


def test_the_hip_frame_scales_and_turns_nothing() -> None:
    places, form = body(KINECT_20), dataclasses.replace(ONE, frame="hip")
    x = prepared(checked(KINECT_20, places), form)
    twice = prepared(checked(KINECT_20, 2 * places), form)
    np.testing.assert_allclose(twice, 2 * x, atol=1e-5)
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    across = prepared(checked(KINECT_20, places @ turn.T), form)
    np.testing.assert_allclose(across, np.einsum("ab,btvm->atvm", turn, x), atol=1e-5)
    drifting = places + np.linspace(0, 9, len(places), dtype=np.float32)[:, None, None, None]
    np.testing.assert_allclose(prepared(checked(KINECT_20, drifting), form), x, atol=1e-5)


def test_the_hip_frame_fills_gaps_and_the_second_stands_where_the_first_sees_them() -> None:
    first, second = body(KINECT_20, 9, 0, 0.2), body(KINECT_20, 9, 1, 0.05)
    holed = first.copy()
    holed[3, 0, 6] = holed[4, 0, KINECT_20.hips[0]] = 0
    mended = first.copy()
    mended[3, 0, 6] = first[[2, 4], 0, 6].mean(0)
    mended[4, 0, KINECT_20.hips[0]] = first[[3, 5], 0, KINECT_20.hips[0]].mean(0)
    second[:4] = 0
    form = Form(frames=9, people=2, frame="hip")
    x = prepared(checked(KINECT_20, np.concatenate([holed, second], 1)), form)
    hips = mended[:, 0, list(KINECT_20.hips)].mean(1)
    np.testing.assert_allclose(x[..., 0], (mended[:, 0] - hips[:, None]).transpose(2, 0, 1), atol=1e-5)
    assert not x[:, :4, :, 1].any()
    np.testing.assert_allclose(x[:, 4:, :, 1], (second[4:, 0] - hips[4:, None]).transpose(2, 0, 1), atol=1e-5)


def test_the_hip_frame_needs_the_inner_joints_but_no_length_of_the_spine() -> None:
    places, form = body(KINECT_20), dataclasses.replace(ONE, frame="hip")
    places[:, :, KINECT_20.neck[0]] = places[:, :, KINECT_20.hips[0]]
    assert np.isfinite(prepared(checked(KINECT_20, places), form)).all()
    places[:, :, 5] = 0
    with pytest.raises(JointNeverSeen, match="never seen: left elbow"):
        prepared(checked(KINECT_20, places), form)


def test_mapped_poses_keep_what_was_seen_and_an_unstated_pair_is_a_layout_mismatch() -> None:
    places = body(MEDIAPIPE_33)
    places[2, 0, MEDIAPIPE_33.joints.index("left hip")] = 0
    got = checked(MEDIAPIPE_33, places).mapped(NTU_25)
    assert isinstance(got, Poses)
    assert not got.seen[2, 0, NTU_25.joints.index("base of spine")]
    assert np.isnan(got.coordinates[2, 0, NTU_25.joints.index("base of spine")]).all()
    flat = checked(MEDIAPIPE_33, places).mapped(COCO_17)
    assert not flat.coordinates[flat.seen][:, 2].any()
    with pytest.raises(LayoutMismatch, match=r"Joints of kinect-20 cannot be turned into ntu-25.*kinect-20-utd"):
        checked(KINECT_20, body(KINECT_20)).mapped(NTU_25)


def broken(frame: int, joint: int, value: float) -> np.ndarray:
    places = body(KINECT_20)
    places[frame, 0, joint, 1] = value
    return places


@pytest.mark.parametrize(
    ("fault", "places", "message"),
    [
        (NoBody, np.zeros((5, 0, 20, 3)), "needs a body; of 5 frames none has one"),
        (NoBody, np.zeros((0, 1, 20, 3)), "of 0 frames none"),
        (NothingSeen, np.zeros((5, 2, 20, 3)), "all coordinates of its 5 frames and 2 people are zero"),
        (BadJoint, broken(4, 5, np.nan), r"'left elbow' of person 0 in frame 4 is \[.*nan.*\], and 0 more"),
        (BadJoint, broken(1, 0, np.inf), "'hip centre' of person 0 in frame 1"),
        (BadJoint, np.full((4, 1, 20, 3), np.nan), "and 79 more are like it"),
        (TooShort, body(KINECT_20, 1), "1 frame has no motion"),
        (WrongJoints, body(NTU_25), r"kinect-20 have 20 joints, got 25.*ntu-25 \(25\)"),
    ],
)
def test_bad_coordinates_are_faults_of_a_name(fault: type[InputFault], places: np.ndarray, message: str) -> None:
    with pytest.raises(fault, match=message) as raised:
        checked(KINECT_20, places)
    assert "\n" not in str(raised.value)


def test_a_score_of_nan_is_a_bad_joint() -> None:
    scores = np.ones((10, 1, 18))
    scores[3, 0, 1] = np.nan
    with pytest.raises(BadJoint, match="'neck' of person 0 in frame 3"):
        checked(OPENPOSE_18, body(OPENPOSE_18), scores)


def test_an_inner_joint_never_seen_is_a_fault_that_names_it() -> None:
    places = body(KINECT_20)
    places[:, :, [5, 13]] = 0
    with pytest.raises(JointNeverSeen, match="kinect-20 needs.*never seen: left elbow, left knee"):
        prepared(checked(KINECT_20, places), ONE)


def test_a_second_person_who_lacks_a_joint_is_left_out() -> None:
    first, second = body(KINECT_20, 10, 0, 0.2), body(KINECT_20, 10, 1, 0.05)
    second[:, :, 5] = 0
    x = prepared(checked(KINECT_20, np.concatenate([first, second], 1)), Form(frames=10))
    np.testing.assert_array_equal(x[..., :1], prepared(checked(KINECT_20, first), Form(frames=10, people=1)))
    assert not x[..., 1].any()


def test_a_person_seen_in_one_frame_is_too_short() -> None:
    places = np.zeros_like(body(KINECT_20))
    places[4] = body(KINECT_20)[4]
    with pytest.raises(TooShort, match="seen in 1 frame"):
        prepared(checked(KINECT_20, places), ONE)


def test_a_spine_without_length_is_a_fault() -> None:
    places = body(KINECT_20)
    places[:, :, KINECT_20.neck[0]] = places[:, :, KINECT_20.hips[0]]
    with pytest.raises(NoSpine, match="spine of kinect-20, whose length is 0 here"):
        prepared(checked(KINECT_20, places), ONE)


def test_every_fault_stands_in_the_list_of_the_file() -> None:
    named = [name for name, thing in vars(poses).items() if isinstance(thing, type) and issubclass(thing, InputFault)]
    assert all(f"\n{name}  " in (poses.__doc__ or "") for name in named if name != "InputFault")


@pytest.mark.shared
@pytest.mark.parametrize(("name", "layout"), [("utd_mhad", KINECT_20_UTD), ("nw_ucla", KINECT_20)])
def test_real_sequences_are_prepared_and_those_of_one_frame_are_faults(
    name: str, layout: Layout, shared_data: Path
) -> None:
    path = shared_data / "skeleton" / f"{name}.npz"
    many = read_many(path.read_bytes(), path.name, layout)
    short = set(np.flatnonzero(np.diff(many.offsets) == 1).tolist())
    faults = set()
    for item in sorted({*range(0, len(many), 5), *short}):
        try:
            x = prepared(many.poses(item), Form(frames=32))
        except TooShort:
            faults.add(item)
            continue
        assert x.shape == (3, 32, 20, 2)
        assert np.isfinite(x).all()
        assert 1 < np.abs(x[:, 0, :, 0]).max() < 10
    assert faults == short
    assert len(short) == {"utd_mhad": 0, "nw_ucla": 2}[name]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "layout", "other"), [("utd_mhad", KINECT_20_UTD, KINECT_20), ("nw_ucla", KINECT_20, KINECT_20_UTD)]
)
def test_real_bones_are_short_in_the_right_order_of_joints_and_not_in_the_other(
    name: str, layout: Layout, other: Layout, shared_data: Path
) -> None:
    path = shared_data / "skeleton" / f"{name}.npz"
    data = read_many(path.read_bytes(), path.name, layout).data
    total = [
        sum(float(np.linalg.norm(data[:, a] - data[:, b], axis=1).mean()) for a, b in each.bones)
        for each in (layout, other)
    ]
    assert total[0] < 0.8 * total[1]
