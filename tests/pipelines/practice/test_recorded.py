"""Recorded poses are put on the ground, turned to the camera, filled and paced."""

import numpy as np
import pytest

from extractors.joints import KINECT_20, KINECT_20_UTD
from pipelines.practice.cameras import Camera
from pipelines.practice.motions import BY_NAME, curves
from pipelines.practice.recorded import recorded, rows
from pipelines.practice.skeleton import Body, places
from stores.root import Root
from tests.pipelines import skeletons

AT = {name: place for place, name in enumerate(KINECT_20.joints)}


@pytest.fixture
def walker() -> np.ndarray:
    """(61, 20, 3) metres of the world: somebody who kicks with the left leg in two seconds."""
    return places(Body.of_height(1.8), curves(BY_NAME["kick left"], np.linspace(0, 1, 61)))


def seen(world: np.ndarray) -> np.ndarray:
    """As a Kinect before the figure has it."""
    camera = Camera(np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 0.0]), 1.0, np.zeros((len(world), 2)), "front")
    return camera.before(world).astype(np.float32)


def read(root: Root, tmp_path, data: np.ndarray, layout: str = "kinect-20") -> list[np.ndarray]:
    path = tmp_path / "m.npz"
    path.write_bytes(skeletons.many([data], [0], layout=layout))
    skeletons.index(root, path)
    (found,) = recorded(rows("p", root), 30, 30)
    assert not isinstance(found, str), found
    assert (found.label, found.number) == ("bow", 0)
    return list(found.figures)


def test_what_a_kinect_sees_of_a_figure_gives_the_figure_again(root, tmp_path, walker):
    (figure,) = read(root, tmp_path, seen(walker))
    assert figure.shape == walker.shape
    assert np.abs(figure - walker).max() < 0.09  # its jitter is smoothed; the kick is fast
    assert np.abs(np.median(figure, 0) - np.median(walker, 0)).max() < 0.05
    left, right = (figure[:, AT[f"{side} ankle"], 1].max() for side in ("left", "right"))
    assert left > 0.7 > 0.3 > right


def test_gaps_are_filled_and_an_end_never_seen_stands_at_the_next_joint(root, tmp_path, walker):
    data = seen(walker)
    data[20:24, AT["left knee"]] = 0  # as trackers write what they did not see
    data[:, AT["right hand"]] = 0
    (figure,) = read(root, tmp_path, data)
    assert np.isfinite(figure).all()
    assert np.allclose(figure[:, AT["right hand"]], figure[:, AT["right wrist"]])
    assert np.abs(figure[:, AT["left knee"]] - walker[:, AT["left knee"]]).max() < 0.12


def test_another_order_of_joints_is_the_same_figure(root, tmp_path, walker):
    order = [KINECT_20.joints.index(name) for name in KINECT_20_UTD.joints]
    (figure,) = read(root, tmp_path, seen(walker)[:, order], "kinect-20-utd")
    assert np.abs(np.median(figure, 0) - np.median(walker, 0)).max() < 0.05


def test_millimetres_are_brought_to_a_person_s_size(root, tmp_path, walker):
    (figure,) = read(root, tmp_path, seen(walker) * 1000)
    assert 1.2 < np.ptp(figure[0, :, 1]) < 2.0


def test_the_pace_of_the_film_is_that_of_the_poses(root, tmp_path, walker):
    path = tmp_path / "m.npz"
    path.write_bytes(skeletons.many([seen(walker)], [0]))
    skeletons.index(root, path)
    for fps, rate, frames in ((15, 30, 31), (15, 60, 16), (10, 20, 31)):
        (found,) = recorded(rows("p", root), fps, rate)
        assert not isinstance(found, str)
        assert len(found.figures[0]) == frames
