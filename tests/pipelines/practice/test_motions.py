"""Motions begin and end where they say, and do what they are called."""

import numpy as np
import pytest

from pipelines.practice.motions import BY_NAME, LASTING, MOTIONS, Motion, curves
from pipelines.practice.performance import LONGEST_S, SHORTEST_S, perform, somebody
from pipelines.practice.skeleton import JOINTS, Body, places

BODY = Body.of_height(1.75)


def ways(name: str) -> dict[str, np.ndarray]:
    """(T, 3) of each joint through a motion."""
    found = places(BODY, curves(BY_NAME[name], np.linspace(0, 1, 101)))
    return dict(zip(JOINTS, found.transpose(1, 0, 2), strict=True))


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.name)
def test_a_motion_begins_and_ends_at_rest_but_for_where_it_brings_somebody(motion):
    for name, values in curves(motion, np.array([-1.0, 0.0, 1.000001, 3.0])).items():
        assert np.allclose(values[:2], 0)
        assert np.allclose(values[2:], motion.ends.get(name, 0))


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.name)
def test_nothing_jumps_from_one_moment_to_the_next(motion):
    for values in curves(motion, np.linspace(0, 1, 1001)).values():
        turned = np.abs(np.diff(values)) % 720  # twice round is where it was
        assert turned.max() <= 0.02 * max(np.ptp(values), 1e-9)


def test_where_motions_bring_somebody():
    assert BY_NAME["step left"].ends == {"aside": 0.68}
    assert BY_NAME["step right"].ends == {"aside": -0.68}
    assert BY_NAME["spin"].ends == {"turn": 360.0}
    lasting = {motion.name for motion in MOTIONS if any(motion.ends.values())}
    assert lasting == {"step left", "step right", "spin"}
    assert set(LASTING) == {"turn", "aside", "ahead"}


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_sided_motions_move_that_side(side):
    other = {"left": "right", "right": "left"}[side]
    kick, wave, punch = ways(f"kick {side}"), ways(f"wave {side}"), ways(f"punch {side}")
    assert kick[f"{side} ankle"][:, 1].max() > 0.7 > 0.4 > kick[f"{other} ankle"][:, 1].max()
    assert wave[f"{side} hand"][:, 1].max() > 1.5 > 1.2 > wave[f"{other} hand"][:, 1].max()
    assert punch[f"{side} hand"][:, 2].max() > punch[f"{other} hand"][:, 2].max() + 0.15
    outwards = 1 if side == "left" else -1
    assert ways(f"lean {side}")["head"][-1, 0] == pytest.approx(0, abs=1e-9)
    assert (outwards * ways(f"lean {side}")["head"][:, 0]).max() > 0.3


def test_what_is_up_is_up_and_what_is_low_is_low():
    rest = ways("squat")["head"][0, 1]
    assert ways("squat")["head"][:, 1].min() < rest - 0.4
    assert ways("bow")["head"][:, 1].min() < rest - 0.5
    assert ways("jump")["left foot"][:, 1].max() > 0.25
    assert ways("raise arms")["right hand"][:, 1].max() > rest + 0.2
    hands = ways("clap")
    gap = np.linalg.norm(hands["left hand"] - hands["right hand"], axis=1)
    assert gap.min() < 0.12 < 0.9 < gap.max()
    assert (np.diff((gap < 0.3).astype(int)) == 1).sum() == 3  # it claps three times
    assert ways("star jump")["left ankle"][:, 0].max() > 0.3
    assert ways("spread arms")["left hand"][:, 0].max() > 0.6


def test_a_performance_lasts_two_to_four_seconds_and_does_each_motion_in_its_segment():
    for seed in range(20):
        draw = np.random.default_rng(seed)
        names = ("jump", "wave left", "bow")[: 2 + seed % 2]
        done = perform([BY_NAME[name] for name in names], 30, somebody(draw), draw)
        frames = len(done.channels["turn"])
        assert SHORTEST_S - 0.05 <= frames / 30 <= LONGEST_S + 0.05
        assert [segment.motion for segment in done.segments] == list(names)
        ends = [0.0, *(time for each in done.segments for time in (each.start_s, each.end_s)), frames / 30]
        assert ends == sorted(ends)
        (aloft,) = np.nonzero(done.channels["lift"] > 0.01)
        jump = done.segments[0]
        assert jump.start_s <= aloft[0] / 30 < aloft[-1] / 30 <= jump.end_s
        (waved,) = np.nonzero(done.channels["left roll"] > 1)
        wave = done.segments[1]
        assert wave.start_s <= waved[0] / 30 < waved[-1] / 30 <= wave.end_s


def test_a_spin_is_a_whole_turn_whoever_does_it():
    motion: Motion = BY_NAME["spin"]
    assert motion.is_round
    assert not BY_NAME["squat"].is_round
    for seed in range(5):
        draw = np.random.default_rng(seed)
        turn = perform([motion, BY_NAME["bow"]], 15, somebody(draw), draw).channels["turn"]
        assert turn[-1] - turn[0] == pytest.approx(360)
