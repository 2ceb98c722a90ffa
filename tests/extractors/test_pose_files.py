"""Files of poses: written out by hand in each published format, read back, and damaged in every way named."""

import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from extractors.errors import InputFault, TooShort, Truncated
from extractors.joints import COCO_17, KINECT_20, KINECT_20_UTD, NTU_25, OPENPOSE_18, OPENPOSE_25, Layout
from extractors.pose_files import NotPoses, holds_many, read, read_many
from extractors.poses import BadJoint, LayoutMismatch, NoBody, NothingSeen, Poses, WrongJoints

DRAW = np.random.default_rng(0)


def skeleton(frames: list[dict[int, np.ndarray]], state: int = 2, joints: int = 25) -> str:
    """A .skeleton file of bodies (25, 3) by their number, as NTU RGB+D writes it."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, places in bodies.items():
            lines.append(f"{number} 0 1 1 1 1 0 -0.4 0.03 2")
            lines.append(str(joints))
            lines += [
                f"{x:.7f} {y:.7f} {z:.7f} 2.8 2.1 1007.2 547.9 -0.2 0.04 0.99 0.06 {state}"
                for x, y, z in places[:joints]
            ]
    return "\n".join(lines) + "\n"


def bodies(count: int) -> list[np.ndarray]:
    return [DRAW.uniform(-1, 3, (25, 3)) for _ in range(count)]


def kinetics(frames: dict[int, list[np.ndarray]]) -> bytes:
    """Kinetics-skeleton's JSON of people (V, 3): x, y, score."""
    data = [
        {
            "frame_index": index,
            "skeleton": [{"pose": one[:, :2].ravel().tolist(), "score": one[:, 2].tolist()} for one in people],
        }
        for index, people in frames.items()
    ]
    return json.dumps({"data": data, "label": "archery", "label_index": 5}).encode()


def person(at: float, joints: int = 18) -> np.ndarray:
    found = np.random.default_rng(0).uniform(0, 0.2, (joints, 3)) + at
    found[:, 2] = 0.5
    return found


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def hdf5(layout: str | None = None, **arrays: object) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as target:
        for name, values in arrays.items():
            target[name] = values
        if layout is not None:
            target.attrs["layout"] = layout
    return file.getvalue()


def same(got: Poses, expected: np.ndarray, layout: Layout) -> None:
    assert got.layout == layout
    np.testing.assert_allclose(np.nan_to_num(got.coordinates)[..., : expected.shape[-1]], expected, atol=1e-6)


# -- NTU RGB+D --------------------------------------------------------------------------------------------------------


def test_two_bodies_keep_their_numbers_through_missing_frames_and_another_order() -> None:
    a, b, c, d, e = bodies(5)
    got = read(skeleton([{7: a}, {}, {9: b, 7: c}, {7: d, 9: e}]).encode(), "S001.skeleton")
    expected = np.zeros((4, 2, 25, 3))
    expected[0, 0], expected[2, 0], expected[3, 0] = a, c, d
    expected[2, 1], expected[3, 1] = b, e
    same(got, expected, NTU_25)
    assert got.there.tolist() == [[True, False], [False, False], [True, True], [True, True]]


def test_joints_not_tracked_are_missing_and_inferred_ones_half_sure() -> None:
    a, b = bodies(2)
    text = skeleton([{1: a}, {1: b}]).splitlines()
    text[4] = text[4][:-1] + "0"
    text[5] = text[5][:-1] + "1"
    got = read("\n".join(text).encode(), "a.skeleton")
    assert got.confidence[0, 0, :3].tolist() == [0, 0.5, 1]
    assert np.isnan(got.coordinates[0, 0, 0]).all()


def test_two_bodies_of_one_number_in_a_frame_are_both_kept() -> None:
    a, b, c = bodies(3)
    twice = skeleton([{1: a, 2: b}, {1: c}]).replace("\n2 0 1", "\n1 0 1")
    assert read(twice.encode(), "a.skeleton").there.tolist() == [[True, True], [True, False]]


def test_an_ntu_file_cut_after_any_line_is_truncated_or_a_fault_and_never_a_shorter_sequence() -> None:
    lines = skeleton([{1: a} for a in bodies(3)]).splitlines()
    for kept in range(1, len(lines)):
        with pytest.raises(Truncated, match=r"a\.skeleton: it ends .* Get the whole file"):
            read("\n".join(lines[:kept]).encode(), "a.skeleton")


def test_an_ntu_file_cut_in_the_middle_of_a_line_says_where() -> None:
    lines = skeleton([{1: a} for a in bodies(3)]).splitlines()
    content = "\n".join([*lines[:39], " ".join(lines[39].split()[:5])]).encode()
    with pytest.raises(Truncated, match=r"it ends in frame 2 of 3, in line 40: a joint has 12 numbers, got 5"):
        read(content, "a.skeleton")


@pytest.mark.parametrize(
    ("fault", "content", "message"),
    [
        (NoBody, skeleton([{}, {}, {}]), "of 3 frames none has one"),
        (NoBody, "0\n", "of 0 frames none"),
        (Truncated, "", "it ends before its first frame"),
        (TooShort, skeleton([{1: np.ones((25, 3))}]), "1 frame has no motion"),
        (NothingSeen, skeleton([{1: np.zeros((25, 3))}] * 3), "zero or of confidence 0"),
        (NothingSeen, skeleton([{1: np.ones((25, 3))}] * 3, state=0), "zero or of confidence 0"),
        (BadJoint, skeleton([{1: np.full((25, 3), np.nan)}] * 2), "'base of spine' of person 0 in frame 0"),
        (WrongJoints, skeleton([{1: np.ones((25, 3))}] * 2, joints=20), "ntu-25 has 25 joints, got 20"),
        (
            NotPoses,
            skeleton([{1: np.ones((25, 3))}] * 2) + "3\n",
            "announces 2 frames and goes on after them, in line 58",
        ),
        (NotPoses, "what is this\nfile\n", "the number of frames has 1 numbers, got 3"),
        (NotPoses, "9" * 5000 + "\n", "should be a count, got '999"),
        (NotPoses, "-4\n", "the number of frames should be a count, got '-4'"),
        (NotPoses, skeleton([{1: np.ones((25, 3))}] * 2).replace("1.0000000", "x"), "joints must be numbers"),
    ],
)
def test_damaged_ntu_files_are_faults_of_a_name(fault: type[InputFault], content: str, message: str) -> None:
    with pytest.raises(fault, match=message) as raised:
        read(content.encode(), "a.skeleton")
    assert "\n" not in str(raised.value)


# -- JSON -------------------------------------------------------------------------------------------------------------


def test_kinetics_people_are_followed_though_the_file_changes_their_order() -> None:
    near, far = person(0.1), person(0.7)
    got = read(kinetics({1: [near, far], 2: [far, near], 4: [near]}), "v.json")
    expected = np.zeros((4, 2, 18, 2))
    expected[[0, 1, 3], 0], expected[[0, 1], 1] = near[:, :2], far[:, :2]
    same(got, expected, OPENPOSE_18)
    assert got.confidence.max() == 0.5
    assert not got.confidence[2].any()


def test_somebody_far_from_everybody_is_a_new_person() -> None:
    assert read(kinetics({1: [person(0.1)], 2: [person(0.8)]}), "v.json").there.tolist() == [
        [True, False],
        [False, True],
    ]


def test_a_list_of_openposes_own_objects_is_a_frame_each() -> None:
    frames = [{"version": 1.3, "people": [{"pose_keypoints_2d": (person(0.1) * 640).ravel().tolist()}]}] * 3
    got = read(json.dumps(frames).encode(), "v.json")
    same(got, np.repeat(person(0.1)[None, None, :, :2] * 640, 3, 0), OPENPOSE_18)
    coco = [{"people": [{"pose_keypoints_2d": person(0.1, 17).ravel().tolist()}]}] * 2
    assert read(json.dumps(coco).encode(), "v.json", COCO_17).layout == COCO_17


def test_a_joint_at_the_corner_of_the_picture_was_not_seen_whatever_its_score() -> None:
    one = person(0.1)
    one[4, :2] = 0
    assert not read(kinetics({1: [one], 2: [one]}), "v.json").seen[:, 0, 4].any()


@pytest.mark.parametrize(
    ("fault", "content", "message"),
    [
        (NoBody, kinetics({}), "of 0 frames none"),
        (NoBody, kinetics({1: [], 2: []}), "of 2 frames none"),
        (NothingSeen, kinetics({1: [np.zeros((18, 3))], 2: [np.zeros((18, 3))]}), "zero or of confidence 0"),
        (TooShort, json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 54}]}).encode(), "1 frame"),
        (BadJoint, kinetics({1: [person(0.1)], 2: [person(0.1) * np.nan]}), "person 0|person 1"),
        (
            WrongJoints,
            kinetics({1: [person(0, 25)]}),
            "openpose-18 has 18 joints, a person here has 25.*--layout openpose-25",
        ),
        (NotPoses, kinetics({1: [person(0.1)]})[:50], "no JSON, or cut short"),
        (NotPoses, b"[" * 100_000, "no JSON, or cut short"),
        (NotPoses, b"\xff\xfe\x00", "no JSON, or cut short"),
        (NotPoses, b"3", "neither Kinetics-skeleton"),
        (NotPoses, b'{"data": [{"frame_index": 1}]}', "neither Kinetics-skeleton"),
        (NotPoses, b'{"data": [{"frame_index": 1, "skeleton": [{"pose": ["x"], "score": []}]}]}', "neither"),
        (NotPoses, b'{"data": [{"frame_index": Infinity, "skeleton": []}]}', "OverflowError"),
        (NotPoses, kinetics({1: [], 10**12: []}), "frame_index runs from 1 to 1000000000000"),
    ],
)
def test_damaged_json_is_a_fault_of_a_name(fault: type[InputFault], content: bytes, message: str) -> None:
    with pytest.raises(fault, match=message) as raised:
        read(content, "v.json")
    assert "\n" not in str(raised.value)


# -- arrays -----------------------------------------------------------------------------------------------------------


PLACES = DRAW.uniform(1, 2, (6, 20, 3)).astype(np.float32)


@pytest.mark.parametrize("write", [npz, hdf5])
def test_one_array_is_one_sequence_with_people_or_without(write: object) -> None:
    assert callable(write)
    suffix = {npz: "a.npz", hdf5: "a.h5"}[write]  # type: ignore[index]
    same(read(write(data=PLACES), suffix, KINECT_20), PLACES[:, None], KINECT_20)
    same(read(write(joints=PLACES), suffix, KINECT_20), PLACES[:, None], KINECT_20)
    two = np.stack([PLACES, PLACES + 1], 1)
    same(read(write(data=two, confidence=np.ones(two.shape[:-1])), suffix, KINECT_20), two, KINECT_20)


def test_a_third_number_in_a_picture_is_the_score() -> None:
    flat = DRAW.uniform(0.1, 1, (6, 18, 3))
    scored = read(npz(data=flat), "a.npz", OPENPOSE_18)
    np.testing.assert_allclose(scored.confidence[:, 0], flat[..., 2], rtol=1e-6)
    assert (read(npz(data=flat[..., :2]), "a.npz", OPENPOSE_18).confidence == 1).all()


@pytest.mark.parametrize("scored", [True, False])
def test_npy_bytes_of_one_sequence_of_many_give_that_sequence(scored: bool) -> None:
    scores = {"confidence": DRAW.uniform(size=(6, 20)).astype(np.float32)} if scored else {}
    many = read_many(npz(data=PLACES, length=[2, 4], **scores), "many.npz", KINECT_20)
    file = io.BytesIO()
    np.save(file, many.array(1), allow_pickle=False)
    one = read(file.getvalue(), "one.npy", KINECT_20)
    same(one, PLACES[2:, None], KINECT_20)
    np.testing.assert_array_equal(one.confidence, many.poses(1).confidence)
    np.testing.assert_array_equal(one.confidence[:, 0], scores["confidence"][2:] if scored else 1)


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_many_sequences_come_with_their_labels_and_columns(suffix: str) -> None:
    columns = {"length": [2, 4], "label": [1, 0], "subject": ["s1", "s2"], "class_names": ["Wave", "Clap"]}
    content = (
        npz(data=PLACES, layout="kinect-20", **columns)
        if suffix == ".npz"
        else hdf5("kinect-20", data=PLACES, **columns)
    )
    assert holds_many(content, f"many{suffix}")
    many = read_many(content, f"many{suffix}")
    assert (len(many), many.layout) == (2, KINECT_20)
    assert {name: list(map(str, values)) for name, values in many.columns.items()} == {
        "label": ["Clap", "Wave"],
        "subject": ["s1", "s2"],
    }
    same(many.poses(1), PLACES[2:, None], KINECT_20)


@pytest.mark.parametrize(
    ("fault", "arrays", "message"),
    [
        (Truncated, {"data": PLACES, "length": [2, 5]}, "2 sequences add up to 7 frames, `data` has 6"),
        (NotPoses, {"data": PLACES}, "needs their lengths"),
        (NotPoses, {"data": PLACES, "length": [-1, 7]}, "needs their lengths"),
        (NotPoses, {"length": [2, 4], "label": [0, 1]}, "in an array `data`, there are: label, length"),
        (NotPoses, {"data": PLACES, "length": [6], "label": [3], "class_names": ["a"]}, "0 to 0; sequence 0 has 3"),
        (
            NotPoses,
            {"data": PLACES, "length": [6], "confidence": np.ones(6)},
            r"`confidence` should be numbers \(6, 20\)",
        ),
        (LayoutMismatch, {"data": PLACES, "length": [6], "layout": "ntu-25"}, "its layout is ntu-25, and kinect-20"),
        (LayoutMismatch, {"data": PLACES, "length": [6], "layout": "mine"}, "its layout is 'mine'; known are: ntu-25"),
    ],
)
def test_files_of_many_whose_parts_contradict_each_other_are_faults(
    fault: type[InputFault], arrays: dict[str, object], message: str
) -> None:
    with pytest.raises(fault, match=message):
        read_many(npz(**arrays), "many.npz", KINECT_20)


@pytest.mark.parametrize(
    ("fault", "content", "name", "message"),
    [
        (NotPoses, npz(data=PLACES)[:200], "a.npz", "cannot be read as .npz"),
        (NotPoses, hdf5(data=PLACES)[:300], "a.h5", "cannot be read as HDF5"),
        (NotPoses, b"", "a.npy", "cannot be read as .npy"),
        (NotPoses, npz(data=PLACES), "a.npy", "Call it .npz"),
        (NotPoses, npz(data=PLACES, length=[6]), "a.npz", "holds 1 sequences"),
        (NotPoses, npz(data=3.0), "a.npz", "got one float64"),
        (NotPoses, npz(data=PLACES[0]), "a.npz", r"got \(20, 3\) float32"),
        (NotPoses, npz(data=PLACES.astype(str)), "a.npz", "are numbers"),
        (NotPoses, npz(data=PLACES[..., :2]), "a.npz", r"\(frames, \[people,\] joints, 3\), or 4 with the score"),
        (NotPoses, npz(data=np.array([{}])), "a.npz", "allow_pickle"),
        (NotPoses, b"", "a.pkl", "no file of poses known here; known are .skeleton, .json"),
        (WrongJoints, npz(data=PLACES[:, :17]), "a.npz", "kinect-20 have 20 joints, got 17"),
        (LayoutMismatch, skeleton([{}]).encode(), "a.skeleton", "is of ntu-25, not of kinect-20"),
        (LayoutMismatch, kinetics({}), "a.json", "openpose-18, openpose-25 or coco-17, not of kinect-20"),
    ],
)
def test_damaged_arrays_and_other_kinds_are_faults_of_a_name(
    fault: type[InputFault], content: bytes, name: str, message: str
) -> None:
    with pytest.raises(fault, match=message) as raised:
        read(content, name, KINECT_20)
    assert str(raised.value).startswith(name)
    assert "\n" not in str(raised.value)


def test_arrays_without_a_layout_ask_for_one() -> None:
    with pytest.raises(LayoutMismatch, match="name a layout: ntu-25, kinect-20"):
        read(npz(data=PLACES), "a.npz")


def test_links_out_of_an_hdf5_file_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.h5").write_bytes(hdf5(data=PLACES))
    file = io.BytesIO()
    with h5py.File(file, "w") as target:
        target["data"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/data")
    with pytest.raises(NotPoses, match="link to .*Nothing outside it is read"):
        read(file.getvalue(), "a.h5", KINECT_20)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "layout", "count", "classes", "subjects"),
    [("utd_mhad", KINECT_20_UTD, 861, 27, 8), ("nw_ucla", KINECT_20, 1484, 10, 10)],
)
def test_real_collections_are_read_with_their_published_counts(
    name: str, layout: Layout, count: int, classes: int, subjects: int, shared_data: Path
) -> None:
    path = shared_data / "skeleton" / f"{name}.npz"
    many = read_many(path.read_bytes(), path.name, layout)
    assert len(many) == count
    assert len(set(many.columns["label"].tolist())) == classes
    assert len(set(many.columns["subject"].tolist())) == subjects
    assert many.poses(0).coordinates.shape == (int(many.offsets[1]), 1, 20, 3)


def test_body_25_is_read_where_the_layout_is_told() -> None:
    people = [{"pose_keypoints_2d": np.random.default_rng(0).uniform(0.1, 1, 75).tolist()}]
    content = json.dumps([{"people": people}] * 4).encode()
    found = read(content, "v.json", OPENPOSE_25)
    assert (found.layout, found.coordinates.shape) == (OPENPOSE_25, (4, 1, 25, 3))
    assert found.mapped(COCO_17).layout == COCO_17
