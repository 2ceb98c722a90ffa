"""A body stands on the ground whatever it does, and its own left is at its left."""

import numpy as np
import pytest

from pipelines.practice.motions import MOTIONS, curves
from pipelines.practice.skeleton import JOINTS, Body, places

BODY = Body.of_height(1.75)
SHARES = np.linspace(0, 1, 21)


def at(found: np.ndarray, joint: str) -> np.ndarray:
    return found[:, JOINTS.index(joint)]


def posed(**channels: float) -> np.ndarray:
    return places(BODY, {name.replace("_", " "): np.array([value]) for name, value in channels.items()})


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.name)
def test_the_lowest_foot_is_on_the_ground_or_as_far_above_it_as_the_motion_lifts(motion):
    channels = curves(motion, SHARES)
    found = places(BODY, channels)
    ankles = np.minimum(at(found, "left ankle")[:, 1], at(found, "right ankle")[:, 1])
    assert np.abs(ankles - 0.05 - channels.get("lift", 0)).max() < 1e-9


def test_the_figure_stands_upright_and_has_its_left_at_x():
    (found,) = posed(turn=0.0)
    height = dict(zip(JOINTS, found[:, 1], strict=True))
    assert height["head"] > height["shoulder centre"] > height["spine"] > height["hip centre"] > height["left knee"]
    assert found[JOINTS.index("left shoulder"), 0] > 0.1 > -0.1 > found[JOINTS.index("right shoulder"), 0]


def test_channels_go_the_way_they_say():
    rest = posed(turn=0.0)
    assert at(posed(left_raise=90), "left hand")[0, 2] > 0.5
    assert at(posed(left_spread=90), "left hand")[0, 0] > 0.6
    assert at(posed(right_spread=90), "right hand")[0, 0] < -0.6
    assert at(posed(right_spread=90, right_roll=90, right_elbow=90), "right hand")[0, 1] > 1.5
    assert at(posed(bow=90), "head")[0, 2] > 0.5
    assert at(posed(lean=40), "head")[0, 0] > 0.3
    assert at(posed(right_hip=90), "right ankle")[0, 2] > at(rest, "right ankle")[0, 2] + 0.5
    assert at(posed(turn=90, left_raise=90), "left hand")[0, 0] > 0.5
    assert np.allclose(posed(aside=0.5, ahead=0.2) - rest, (0.5, 0, 0.2))
