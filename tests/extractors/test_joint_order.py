"""The order of joints is doubted where bones join what is far apart, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest

from extractors import joints, pose_files
from extractors.joint_order import doubt, length_ratio
from extractors.joints import KINECT_20, KINECT_20_UTD, NTU_25, Layout
from extractors.poses import Poses


def standing(layout: Layout, frames: int = 12, seed: int = 0) -> np.ndarray:
    """(T, V, 3): somebody of this layout who moves a little, each joint beside the one it is joined to, and apart."""
    random = np.random.default_rng(seed)
    places, there = np.zeros((len(layout.joints), 3)), [layout.centre]
    for joint, toward in layout.inward().items():
        steps = random.normal(size=(40, 3)) * ([1, 1, 1] if layout.axes == 3 else [1, 1, 0])
        ends = places[toward] + steps / np.linalg.norm(steps, axis=1, keepdims=True)
        places[joint] = ends[np.linalg.norm(ends[:, None] - places[there], axis=-1).min(1).argmax()]
        there.append(joint)
    return places + random.normal(size=(frames, *places.shape)) * 0.02


def poses(layout: Layout, places: np.ndarray) -> Poses:
    return Poses(layout, places[:, None].astype(np.float32), np.ones(places[:, None].shape[:-1], np.float32))


@pytest.mark.parametrize("layout", joints.LAYOUTS.values(), ids=lambda each: each.name)
def test_a_body_whose_bones_join_neighbours_is_not_doubted(layout):
    right = [poses(layout, standing(layout, seed=seed)) for seed in range(6)]
    assert all(length_ratio(one, layout) < 1.7 for one in right)
    assert doubt(right) is None


def test_shuffled_joints_are_of_no_order():
    order = np.random.default_rng(1).permutation(25)
    line = doubt([poses(NTU_25, standing(NTU_25, seed=seed)[:, order]) for seed in range(6)])
    assert line is not None
    assert "do not seem to be in the order of ntu-25" in line


def test_another_layout_of_as_many_joints_is_named_if_it_fits_better():
    line = doubt([poses(KINECT_20, standing(KINECT_20_UTD, seed=seed)) for seed in range(6)])
    assert line is not None
    assert "said to be in the order of kinect-20, and kinect-20-utd fits better" in line


def test_the_length_ratio_is_bones_over_the_shortest_tree():
    places = standing(KINECT_20, frames=2)
    places[1] = places[0]
    apart = np.linalg.norm(places[0][:, None] - places[0], axis=-1)
    inside, tree = {0}, 0.0
    while len(inside) < 20:  # Prim's algorithm
        short, joint = min((apart[a, b], b) for a in inside for b in range(20) if b not in inside)
        inside.add(joint)
        tree += short
    expected = sum(apart[a, b] for a, b in KINECT_20.bones) / tree
    assert length_ratio(poses(KINECT_20, places), KINECT_20) == pytest.approx(expected, rel=1e-5)


def test_nothing_seen_says_nothing():
    nothing = Poses(NTU_25, np.full((4, 1, 25, 3), np.nan, np.float32), np.zeros((4, 1, 25), np.float32))
    assert np.isnan(length_ratio(nothing, NTU_25))
    assert doubt([nothing]) is None


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "own", "other"), [("utd_mhad", KINECT_20_UTD, KINECT_20), ("nw_ucla", KINECT_20, KINECT_20_UTD)]
)
def test_real_skeletons_are_doubted_in_a_wrong_order_and_only_there(shared_data: Path, name, own, other):
    content = (shared_data / f"skeleton/{name}.npz").read_bytes()
    many = pose_files.read_many(content, f"{name}.npz", own)
    random = np.random.default_rng(0)
    drawn = [many.poses(int(number)) for number in random.choice(len(many), 64, replace=False)]
    assert doubt(drawn) is None
    said = doubt([Poses(other, one.coordinates, one.confidence) for one in drawn])
    assert said is not None
    assert f"{own.name} fits better" in said
    order = random.permutation(20)
    shuffled = [Poses(own, one.coordinates[:, :, order], one.confidence[:, :, order]) for one in drawn]
    assert "do not seem to be in the order" in str(doubt(shuffled))
