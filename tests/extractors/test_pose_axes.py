"""Axes of arrays of poses: ours where nothing else fits, told by letters, never taken as another order in silence."""

import io
from pathlib import Path

import numpy as np
import pytest

from extractors import pose_files
from extractors.errors import ExtractorError
from extractors.joints import COCO_17, NTU_25, OPENPOSE_18, Layout
from extractors.pose_axes import UnsureAxes, checked_axes, ordered
from extractors.poses import BadJoint, Form, checked, prepared

RANDOM = np.random.default_rng(0)
PEOPLE = RANDOM.normal(size=(40, 2, 25, 3)).astype(np.float32)  # frames, people, joints, coordinates


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("order", ["tmvc", "ctvm", "mtvc", "tvcm", "mctv", "vmtc"])
def test_a_told_order_gives_the_same_poses(order):
    turned = np.moveaxis(PEOPLE, range(4), [order.index(letter) for letter in "tmvc"])
    found = pose_files.read(npy(turned), "a.npy", NTU_25, order)
    assert np.array_equal(found.coordinates, PEOPLE)
    one = turned.take(0, order.index("m"))
    assert np.array_equal(ordered(one, NTU_25, order.replace("m", "")), PEOPLE[:, 0])


@pytest.mark.parametrize(
    ("shape", "layout", "fits"),
    [
        ((3, 300, 25, 2), NTU_25, ["ctvm"]),
        ((2, 64, 25, 3), NTU_25, ["mtvc"]),
        ((3, 64, 17, 2), COCO_17, ["ctvm"]),
        ((120, 2, 18), OPENPOSE_18, ["tcv"]),
        ((3, 120, 18), OPENPOSE_18, ["ctv"]),
    ],
)
def test_another_order_is_refused_with_the_option_that_reads_it(
    shape: tuple[int, ...], layout: Layout, fits: list[str]
):
    array = RANDOM.uniform(0.1, 1, shape)
    with pytest.raises(UnsureAxes, match="is not certain to be .frames") as refused:
        pose_files.read(npy(array), "a.npy", layout)
    for order in fits:
        assert f"--axes {order} (" in str(refused.value)
        read = pose_files.read(npy(array), "a.npy", layout, order)
        assert len(read.coordinates) == shape[order.index("t")]


def test_many_sequences_in_one_array_are_told_how_to_be_saved(tmp_path):
    array = RANDOM.uniform(0.1, 1, (5, 3, 30, 18, 2))
    with pytest.raises(UnsureAxes, match=r"nctvm here: `np.savez\(FILE, data=x.transpose\(0, 2, 4, 3, 1\)"):
        pose_files.read(npy(array), "a.npy", OPENPOSE_18)
    n, c, t, v, m = array.shape
    file = io.BytesIO()
    np.savez(file, data=array.transpose(0, 2, 4, 3, 1).reshape(-1, m, v, c), length=[t] * n)
    many = pose_files.read_many(file.getvalue(), "a.npz", OPENPOSE_18)
    assert len(many) == n
    np.testing.assert_allclose(many.poses(3).coordinates[7, 1, 5, :2], array[3, :2, 7, 5, 1], rtol=1e-6)


def test_our_order_is_taken_where_no_other_fits_even_of_a_few_frames():
    for frames in (3, 4, 40):
        assert ordered(PEOPLE[:frames], NTU_25) is not None
        assert ordered(PEOPLE[:frames, 0], NTU_25).shape == (frames, 25, 3)


def test_an_order_that_does_not_fit_or_is_none_is_refused():
    with pytest.raises(UnsureAxes, match="is not .people, frames, joints, coordinates. of ntu-25"):
        ordered(np.moveaxis(PEOPLE, 3, 0), NTU_25, "mtvc")
    for axes in ("tv", "tvcx", "ttvc", "ntvc", "TVC"):
        with pytest.raises(ExtractorError, match="told by a letter each"):
            checked_axes(axes)
    assert checked_axes("") == ""
    assert checked_axes("ctvm") == "ctvm"


@pytest.mark.shared
def test_arrays_as_people_have_them_are_never_taken_as_another_order(shared_data: Path):
    told = {
        "coco_ctvm": "ctvm",
        "coco_mtvc": "mtvc",
        "ctv": "ctv",
        "tcv": "tcv",
        "ntu_ctvm": "ctvm",
        "ntu_mtvc": "mtvc",
    }
    folder = shared_data / "odd/poses_axes"
    for path in [*folder.glob("*.npy"), *folder.glob("p/*.npy")]:
        layout = NTU_25 if "ntu" in path.name else COCO_17 if "coco" in path.name else OPENPOSE_18
        with pytest.raises(UnsureAxes):
            pose_files.read(path.read_bytes(), path.name, layout)
        if order := told.get(path.stem):
            array = np.load(path)
            found = pose_files.read(path.read_bytes(), path.name, layout, order)
            assert found.coordinates.shape[0] == array.shape[order.index("t")]


def test_a_third_coordinate_is_not_taken_for_a_score():
    places = RANDOM.normal(size=(12, 18, 3))
    with pytest.raises(BadJoint, match=r"behind 2 coordinates is a score, which is 0 or more; here it is -\d"):
        pose_files.read(npy(places), "a.npy", OPENPOSE_18)
    places[..., 2] = RANDOM.uniform(size=(12, 18))
    places[3, 4] = (0.1, 0.2, -1)  # not seen, as some trackers write it
    assert not pose_files.read(npy(places), "a.npy", OPENPOSE_18).seen[3, 0, 4]


def test_millimetres_are_not_taken_for_metres_in_the_raw_frame():
    people = PEOPLE[:, :1]
    assert prepared(checked(NTU_25, people), Form(16, 1, frame="raw")).shape == (3, 16, 25, 1)
    with pytest.raises(BadJoint, match="Divide millimetres by 1000"):
        prepared(checked(NTU_25, people * 1000), Form(16, 1, frame="raw"))
    prepared(checked(NTU_25, people * 1000), Form(16, 1, frame="body"))
