"""The figures of the practice world: their bones stay as long as they are, whatever they do."""

import numpy as np
import pytest

from extractors.joints import KINECT_20
from pipelines.practice.motions import MOTIONS, Motion
from pipelines.practice.performance import LONGEST_S, SHORTEST_S, perform, somebody

_FPS = 15


@pytest.mark.parametrize("motion", MOTIONS, ids=[motion.name for motion in MOTIONS])
def test_bones_keep_their_length_while_the_figure_moves(motion: Motion) -> None:
    draw = np.random.default_rng(3)
    places = perform([motion], _FPS, somebody(draw), draw).places()
    bones = KINECT_20.inward()
    assert len(bones) == len(KINECT_20.joints) - 1
    for joint, inwards in bones.items():
        lengths = np.linalg.norm(places[:, joint] - places[:, inwards], axis=-1)
        assert lengths.min() > 0.02
        assert np.ptp(lengths) < 1e-9, (KINECT_20.joints[joint], KINECT_20.joints[inwards])
    assert np.ptp(places, axis=0).max() > 0.25, "somebody who does a thing is seen to move"


@pytest.mark.parametrize("motion", MOTIONS, ids=[motion.name for motion in MOTIONS])
def test_nobody_sinks_into_the_ground(motion: Motion) -> None:
    draw = np.random.default_rng(4)
    places = perform([motion], _FPS, somebody(draw), draw).places()
    ankles = places[:, [KINECT_20.joints.index(f"{side} ankle") for side in ("left", "right")], 1]
    assert ankles.min() > 0.049
    rises = ankles.min(1).max() > 0.15
    assert rises == (motion.name in ("jump", "star jump"))


def test_segments_follow_one_another_within_the_performance() -> None:
    draw = np.random.default_rng(5)
    for _ in range(20):
        chosen = [MOTIONS[place] for place in draw.permutation(len(MOTIONS))[:3]]
        done = perform(chosen, _FPS, somebody(draw), draw)
        seconds = len(done.places()) / _FPS
        assert SHORTEST_S - 0.1 < seconds < LONGEST_S + 0.1
        assert [segment.motion for segment in done.segments] == [motion.name for motion in chosen]
        bounds = [bound for segment in done.segments for bound in (segment.start_s, segment.end_s)]
        assert bounds == sorted(bounds)
        assert bounds[0] > 0
        assert bounds[-1] <= seconds + 1e-3
