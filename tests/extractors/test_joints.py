"""Layouts of joints: that each is one connected body, and that the tables between them mean what their names say."""

import numpy as np
import pytest

from extractors.errors import ExtractorError
from extractors.joints import (
    COCO_17,
    KINECT_20,
    KINECT_20_UTD,
    LAYOUTS,
    MEDIAPIPE_33,
    NTU_25,
    OPENPOSE_18,
    JointMap,
    Layout,
    layout,
    mapping,
)

every = pytest.mark.parametrize("body", LAYOUTS.values(), ids=LAYOUTS)
MAPS = [
    (KINECT_20_UTD, KINECT_20),
    (KINECT_20, KINECT_20_UTD),
    (NTU_25, KINECT_20),
    (COCO_17, OPENPOSE_18),
    (MEDIAPIPE_33, COCO_17),
    (MEDIAPIPE_33, OPENPOSE_18),
    (MEDIAPIPE_33, NTU_25),
    (MEDIAPIPE_33, KINECT_20),
    (MEDIAPIPE_33, KINECT_20_UTD),
]


@every
def test_name_says_how_many_joints_and_no_two_share_a_name(body: Layout) -> None:
    assert int(body.name.split("-")[1]) == len(body.joints) == len(set(body.joints))


@every
def test_bones_join_all_joints_without_a_loop(body: Layout) -> None:
    assert len(body.bones) == len(body.joints) - 1
    inward = body.inward()
    assert set(inward) == set(range(len(body.joints))) - {body.centre}
    for joint in inward:
        way = [joint]
        while way[-1] != body.centre:
            way.append(inward[way[-1]])
            assert len(way) <= len(body.joints)
    assert {frozenset(bone) for bone in body.bones} == {frozenset(pair) for pair in inward.items()}


@every
def test_landmarks_are_the_joints_their_names_say(body: Layout) -> None:
    assert [body.joints[joint] for joint in body.shoulders] == ["left shoulder", "right shoulder"]
    assert {body.joints[joint] for joint in body.hips} in (
        {"left hip", "right hip"},
        {"hip centre"},
        {"base of spine"},
    )


@every
def test_left_and_right_mirror_each_other(body: Layout) -> None:
    swap = {"left": "right", "right": "left"}
    twin = [" ".join(swap.get(word, word) for word in name.split(" ")) for name in body.joints]
    to = [body.joints.index(name) for name in twin]
    assert {frozenset((to[a], to[b])) for a, b in body.bones} == {frozenset(bone) for bone in body.bones}
    assert {to[joint] for joint in body.optional} == set(body.optional)


@pytest.mark.parametrize(("source", "target"), MAPS, ids=[f"{a.name} to {b.name}" for a, b in MAPS])
def test_a_map_keeps_joints_of_one_name_and_takes_sides_from_their_side(source: Layout, target: Layout) -> None:
    table = mapping(source, target)
    for name, row in zip(target.joints, table.rows, strict=True):
        parts = [source.joints[joint] for joint in row]
        if name in source.joints and name != "neck":
            assert parts == [name]
        side = name.split(" ")[0]
        if side in ("left", "right"):
            assert {part.split(" ")[0] for part in parts} == {side}


def test_a_mapped_joint_is_the_mean_of_its_sources_and_as_sure_as_the_least_of_them() -> None:
    places = np.random.default_rng(0).standard_normal((4, 2, 33, 3)).astype(np.float32)
    scores = np.random.default_rng(1).uniform(size=(4, 2, 33)).astype(np.float32)
    table = mapping(MEDIAPIPE_33, NTU_25)
    got, sure = table.apply(places), table.confidence(scores)
    at = {name: MEDIAPIPE_33.joints.index(name) for name in MEDIAPIPE_33.joints}
    for joint, names in {
        "base of spine": ["left hip", "right hip"],
        "spine at shoulders": ["left shoulder", "right shoulder"],
        "middle of spine": ["left hip", "right hip", "left shoulder", "right shoulder"],
        "left thumb": ["left thumb"],
    }.items():
        own = NTU_25.joints.index(joint)
        total = sum(places[:, :, at[name]] for name in names)
        np.testing.assert_allclose(got[:, :, own], total / len(names), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(sure[:, :, own], np.min([scores[:, :, at[name]] for name in names], 0))


def test_both_kinect_orders_are_made_of_the_same_landmarks() -> None:
    rows = {
        to.name: dict(zip(to.joints, mapping(MEDIAPIPE_33, to).rows, strict=True)) for to in (KINECT_20, KINECT_20_UTD)
    }
    assert rows["kinect-20"] == rows["kinect-20-utd"]
    at = MEDIAPIPE_33.joints.index
    hips, shoulders = (at("left hip"), at("right hip")), (at("left shoulder"), at("right shoulder"))
    assert rows["kinect-20"]["hip centre"] == hips
    assert rows["kinect-20"]["shoulder centre"] == shoulders
    assert rows["kinect-20"]["spine"] == (*hips, *shoulders)
    assert rows["kinect-20"]["head"] == (at("left ear"), at("right ear"))
    assert rows["kinect-20"]["left ankle"] == (at("left ankle"),)


def test_a_missing_source_leaves_the_mean_missing() -> None:
    places = np.ones((33, 3), np.float32)
    places[MEDIAPIPE_33.joints.index("left hip")] = np.nan
    got = mapping(MEDIAPIPE_33, NTU_25).apply(places)
    lost = {NTU_25.joints[joint] for joint in np.flatnonzero(np.isnan(got).any(-1))}
    assert lost == {"base of spine", "middle of spine", "left hip"}


def test_there_and_back_between_the_two_kinect_orders_is_identity() -> None:
    places = np.random.default_rng(0).standard_normal((3, 20, 3)).astype(np.float32)
    there = mapping(KINECT_20_UTD, KINECT_20).apply(places)
    np.testing.assert_array_equal(there[:, 0], places[:, 3])
    np.testing.assert_array_equal(mapping(KINECT_20, KINECT_20_UTD).apply(there), places)
    assert mapping(NTU_25, NTU_25) == JointMap(NTU_25, NTU_25, tuple((joint,) for joint in range(25)))


def test_an_unknown_layout_or_pair_lists_those_there_are() -> None:
    with pytest.raises(ExtractorError, match=r"'body-25'; there are: ntu-25, kinect-20,"):
        layout("body-25")
    with pytest.raises(ExtractorError, match=r"from ntu-25 there is: kinect-20\."):
        mapping(NTU_25, COCO_17)
