"""Stick figures: seen from the front, in a layout's own bones, all of it on the drawing."""

import re

import numpy as np
import pytest

from extractors import joints
from extractors.joints import KINECT_20
from extractors.poses import Form, checked, prepared
from pipelines.pages.stick_figures import LEFT, RIGHT, Box, figure, side, view
from tests.pipelines.skeletons import body


def seen_of(places: np.ndarray, layout=KINECT_20, frames=24) -> np.ndarray:
    """What is drawn of somebody (T, V, 3)."""
    coordinates = places[:, None]
    poses = checked(layout, coordinates, np.ones(coordinates.shape[:3]))
    return view(prepared(poses, Form(frames, 1))[..., 0].transpose(1, 2, 0))


def numbers(drawn: str) -> np.ndarray:
    """(P, 2) the points of all paths."""
    found = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", " ".join(re.findall(r' d="([^"]*)"', drawn)))
    return np.array(found, float)


def strong(drawn: str, colour: str) -> str:
    """The path of the limbs in one colour of the pose drawn in full."""
    return re.search(rf'<path d="([^"]*)" stroke="{colour}" fill="none" stroke-width="3.6"[^>]*>', drawn)[1]


@pytest.mark.parametrize("layout", joints.LAYOUTS.values(), ids=lambda layout: layout.name)
def test_every_layout_is_drawn_with_all_its_bones_and_both_sides_told_apart(layout):
    seen = seen_of(body(0, layout=layout), layout)
    box = Box.around(seen)
    drawn = str(figure(seen, (0, 24), layout, box, "somebody"))
    assert "nan" not in drawn
    has_trunk = any(not side(layout.joints[outer]) for outer, _ in layout.bones)
    colours = (LEFT, RIGHT, "currentColor") if has_trunk else (LEFT, RIGHT)
    full = "".join(strong(drawn, colour) for colour in colours)
    assert full.count("M") == len(layout.bones)
    for colour, name in ((LEFT, "left"), (RIGHT, "right")):
        assert strong(drawn, colour).count("M") == sum(side(layout.joints[outer]) == name for outer, _ in layout.bones)
    assert drawn.count(f'r="4.6" fill="{LEFT}"') == 2
    assert drawn.count(f'height="8.6" fill="{RIGHT}"') == 2
    assert 'aria-label="somebody"' in drawn


def test_the_front_is_seen_so_left_is_on_the_right_and_the_head_is_above():
    places = np.full((4, 20, 3), 3.0, np.float32)
    for joint, at in {0: (0, 0, 3), 1: (0, 0.3, 3), 2: (0, 0.6, 3), 3: (0, 0.9, 3)}.items():
        places[:, joint] = at
    for start, x in ((4, -0.2), (8, 0.2), (12, -0.1), (16, 0.1)):
        for step in range(4):
            places[:, start + step] = (x, 0.5 - 0.2 * step, 3)
    seen = seen_of(places)
    assert (seen[:, 4, 0] > seen[:, 8, 0]).all()
    assert (seen[:, 3, 1] < seen[:, 0, 1]).all(), "y goes down"
    assert seen[0, 0] == pytest.approx([0, 0])
    assert np.linalg.norm(seen[0, 2] - seen[0, 0]) == pytest.approx(1, abs=1e-5)


def test_somebody_who_faces_the_camera_is_drawn_as_in_the_picture():
    layout = joints.OPENPOSE_18
    places = np.full((4, 18, 3), 0.5, np.float32)
    places[..., 2] = 0
    for name, at in {"neck": (0.5, 0.3), "left shoulder": (0.6, 0.3), "right shoulder": (0.4, 0.3)}.items():
        places[:, layout.joints.index(name), :2] = at
    for name, at in {"left hip": (0.55, 0.6), "right hip": (0.45, 0.6), "nose": (0.5, 0.2)}.items():
        places[:, layout.joints.index(name), :2] = at
    seen = seen_of(places, layout)
    drawn = {name: seen[0, layout.joints.index(name)] for name in ("left shoulder", "right shoulder", "nose")}
    wanted = {"left shoulder": (0.1, -0.3), "right shoulder": (-0.1, -0.3), "nose": (0, -0.4)}
    for name, at in wanted.items():
        assert drawn[name] * 0.3 == pytest.approx(at, abs=1e-5), "from the hips, in spines"


def test_the_pose_in_the_middle_of_the_part_is_strong_and_those_before_it_are_fainter_the_earlier():
    seen = seen_of(body(0))
    box = Box.around(seen)
    drawn = str(figure(seen, (6, 18), KINECT_20, box, ""))
    (x1, y1), (x2, y2) = box.at(seen[12])[[0, 1]]
    assert f"M{x2:.1f} {y2:.1f}L{x1:.1f} {y1:.1f}" in drawn or f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" in drawn
    opacities = [float(found) for found in re.findall(rf'stroke="{LEFT}"[^>]*opacity="([\d.]+)"', drawn)]
    assert len(opacities) == 3
    assert opacities == sorted(opacities)
    assert max(opacities) < 0.5


def test_the_way_of_a_wrist_runs_through_the_whole_part_and_ends_in_its_last_frame():
    seen = seen_of(body(0))  # of class 0 the left arm goes up and down
    box = Box.around(seen)
    drawn = str(figure(seen, (8, 16), KINECT_20, box, ""))
    wrist = KINECT_20.joints.index("left wrist")
    ways = re.findall(r'd="M([^"]*)" fill="none" stroke="([^"]*)"[^>]*dasharray', drawn)
    own = [np.array([point.split() for point in way.split("L")], float) for way, colour in ways if colour == LEFT]
    assert len(own) == 1, "the ankle stands still"
    assert own[0] == pytest.approx(box.at(seen[8:16, wrist]), abs=0.06)


@pytest.mark.parametrize("span", [(0, 24), (0, 1), (23, 24), (7.5, 7.9)])
def test_all_of_it_lies_on_the_drawing(span):
    seen = seen_of(body(2))
    drawn = str(figure(seen, span, KINECT_20, Box.around(seen), ""))
    wide, high = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups())
    points = numbers(drawn)
    assert (points > -12).all()
    assert (points < [wide + 12, high + 12]).all()


def test_who_runs_far_is_drawn_smaller_and_who_stands_is_not_drawn_larger():
    still = seen_of(body(0))
    far = still + np.linspace(0, 30, 24)[:, None, None] * [1, 0]
    assert Box.around(far).spine < Box.around(still / 10).spine == Box.around(still / 20).spine
    assert Box.around(far).size[0] <= 330.01


def test_one_frame_in_which_a_joint_jumps_does_not_shrink_the_others():
    seen = seen_of(body(0, frames=100), frames=100)
    jumped = seen.copy()
    jumped[50, 7] += 80
    assert Box.around(jumped).spine == pytest.approx(Box.around(seen).spine, rel=0.1)


def test_a_part_without_anybody_has_no_drawing():
    seen = seen_of(body(0))
    seen[12:] = np.nan
    box = Box.around(seen[:12])
    assert figure(seen, (12, 24), KINECT_20, box, "") is None
    assert figure(seen, (8, 16), KINECT_20, box, "") is not None
