"""Poses of other people, the whole way: declared layouts, told axes, doubted orders, what is refused when planning."""

import numpy as np
import pytest

from extractors import joints
from extractors.errors import ExtractorError
from extractors.joints import KINECT_20
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig
from pipelines.index import joint_layouts
from pipelines.index.poses import index_poses
from pipelines.index.settings import IndexConfig
from stores.features import FeatureStore
from stores.manifest import Manifest
from tests.extractors.test_declared_joints import text
from tests.extractors.test_joint_order import standing


@pytest.fixture
def only_ours(monkeypatch):
    """Declared layouts do not outlive a test."""
    monkeypatch.setattr(joints, "LAYOUTS", dict(joints.LAYOUTS))


@pytest.fixture
def tailed(tmp_path, only_ours):
    """A file of sequences of 21 joints, and one that declares their layout: Kinect's 20 backwards, and a tail."""
    more = [*KINECT_20.joints[::-1], "tail"]
    names = "[" + ", ".join(f'"{joint}"' for joint in more) + "]"
    bones = ", ".join(f'["{KINECT_20.joints[a]}", "{KINECT_20.joints[b]}"]' for a, b in KINECT_20.bones)
    declared = tmp_path / "tailed.toml"
    declared.write_text(text(joints=names, bones=f'[{bones}, ["tail", "hip centre"]]', centre='"shoulder centre"'))
    usual = np.concatenate([standing(KINECT_20, 8, seed) for seed in range(4)])
    tail = usual[:, :1] + [0, -1, 0]
    np.savez(tmp_path / "tailed.npz", data=np.concatenate([usual[:, ::-1], tail], 1), length=[8] * 4)
    np.savez(tmp_path / "usual.npz", data=usual, length=[8] * 4)
    return tmp_path


def test_a_declared_layout_is_kept_in_the_root_and_found_without_its_file(tailed, root, monkeypatch):
    declare = str(tailed / "tailed.toml")
    config = IndexConfig((str(tailed / "tailed.npz"),), "d", kind="poses", declare=declare)
    report = index_poses(config, root)
    assert report.videos == 4
    assert report.layout.startswith("tailed-")
    assert report.doubts == ()
    (tailed / "tailed.toml").unlink()
    monkeypatch.setattr(joints, "LAYOUTS", {name: joints.LAYOUTS[name] for name in joints._OURS})  # another process
    index_poses(IndexConfig((str(tailed / "usual.npz"),), "e", "kinect-20", kind="poses"), root)
    rows = []
    for dataset in ("d", "e"):
        name = extract(ExtractConfig(("raw_joints:frames=4",), dataset), root).features[0].name
        keys = np.frombuffer(b"".join(Manifest(root).read(dataset)["key"].to_pylist()), np.uint8).reshape(-1, 32)
        rows.append(FeatureStore(root).find(name).load(keys).values)
    assert np.array_equal(*rows), "joints of one name are one joint"
    again = IndexConfig((str(tailed / "tailed.npz"),), "d", "tailed", kind="poses")
    assert index_poses(again, root).unchanged == 4, "its name alone is enough"


def test_a_layout_file_that_is_not_there_is_said(root, only_ours):
    with pytest.raises(UsageError, match="The layout nowhere.toml cannot be read"):
        joint_layouts.declare("nowhere.toml", root)
    with pytest.raises(UsageError, match="are in one layout: kinect-20, or the one that x.toml declares"):
        IndexConfig(("p",), "d", "kinect-20", kind="poses", declare="x.toml")
    with pytest.raises(UsageError, match="axes is about poses"):
        IndexConfig(("p",), "d", axes="ctvm")


def test_told_axes_are_kept_with_the_place_and_read_again(tmp_path, root):
    places = standing(KINECT_20, 30)
    np.save(tmp_path / "a.npy", places.transpose(2, 0, 1))
    config = IndexConfig((str(tmp_path),), "d", "kinect-20", kind="poses")
    with pytest.raises(UsageError, match="--axes ctv"):
        index_poses(config, root)
    told = IndexConfig((str(tmp_path),), "d", "kinect-20", kind="poses", axes="ctv")
    assert index_poses(told, root).new == 1
    assert Manifest(root).read("d")["uri"].to_pylist() == [f"{tmp_path}/a.npy#kinect-20:ctv"]
    assert extract(ExtractConfig(("raw_joints",), "d"), root).features[0].extracted == 1
    assert index_poses(told, root).unchanged == 1


def test_a_wrong_order_of_joints_is_said(tmp_path, root):
    wrong = np.concatenate([standing(joints.KINECT_20_UTD, 8, seed) for seed in range(4)])
    np.savez(tmp_path / "w.npz", data=wrong, length=[8] * 4)
    report = index_poses(IndexConfig((str(tmp_path / "w.npz"),), "d", "kinect-20", kind="poses"), root)
    assert report.videos == 4
    assert ["kinect-20-utd fits better" in line for line in report.told()] == [True]


def test_poses_that_no_table_turns_into_an_extractors_layout_are_refused_when_planning(tmp_path, root):
    flat = np.random.default_rng(0).normal(size=(12, 18, 2))
    np.save(tmp_path / "a.npy", flat)
    index_poses(IndexConfig((str(tmp_path),), "d", "openpose-18", kind="poses"), root)
    with pytest.raises(ExtractorError, match="No sequence of 'd' can be put into raw_joints: Joints of openpose-18"):
        plan(ExtractConfig(("raw_joints",), "d"), root)


def test_a_folder_without_poses_says_which_files_hold_them(tmp_path, root):
    (tmp_path / "readme.txt").write_text("no poses")
    with pytest.raises(UsageError, match=r"files that end in \.skeleton \.json \.npy \.npz \.h5 \.hdf5"):
        index_poses(IndexConfig((str(tmp_path),), "d", kind="poses"), root)
