"""Poses from videos: tracked one video a thread, kept with their gaps, and indexed as sequences with their labels."""

import contextlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import extractors
from extractors.base import Output, Tracker
from extractors.errors import ExtractorError, Unreachable
from extractors.joints import MEDIAPIPE_33
from extractors.poses import NoBody
from extractors.sampling import every
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Runner
from pipelines.extract.runners.tracks import Tracks
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.index.pose_places import Place, PoseReader
from pipelines.index.poses import index_poses
from pipelines.index.settings import IndexConfig
from pipelines.index.stored_poses import StoredPoses
from pipelines.index.videos import index as index_videos
from pipelines.look.listing import failures
from stores.errors import NotInStore
from stores.features import FeatureStore, ItemRows
from stores.manifest import Manifest
from stores.root import Root
from tests.conftest import contents, make_video
from tests.pipelines.skeletons import body

STGCN = ExtractConfig(("stgcn_small",), "d", ("stgcn_small=random:0",), device="cpu", workers=1)


class FakeTracker(Tracker):
    """A body that moves with the colours of the frames; the second frame has nobody, a dark video nobody at all."""

    name = "fake_tracker"
    version = 1
    outputs = {"features": Output((132,), "float16", gaps=True)}
    default_options = {"stride": 1, "seconds": 0.0, "infinite": 0}

    def sampled(self) -> dict[str, Any]:
        return dict(self.options)

    def preprocessed(self) -> dict[str, Any]:
        return {"layout": "mediapipe-33"}

    def weights_path(self) -> Path:
        return Path(__file__)

    def load(self, device: str) -> None:
        pass

    def wanted(self, times: np.ndarray) -> np.ndarray:
        return every(times, self.options["stride"])

    def __call__(self, units: Iterable[np.ndarray], times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        colours = []
        for frame in units:
            time.sleep(self.options["seconds"])
            colours.append(frame.mean((0, 1)) / 255)
        if max(colour.max() for colour in colours) < 0.2:
            raise NoBody("nobody")
        rows = np.ones((len(colours), 33, 4), np.float16)
        rows[:, :, :3] = body(0, 1, len(colours), MEDIAPIPE_33) + np.array(colours)[:, None]
        rows[1] = (np.nan, np.nan, np.nan, 0)
        if self.options["infinite"]:
            rows[0, 0, 0] = np.inf
        return {"features": rows.reshape(len(colours), -1)}

    def columns(self) -> dict[str, list[str]]:
        return {}


@pytest.fixture
def tracker(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extractors.EXTRACTORS, "fake_tracker", f"{__name__}:FakeTracker")


def dark_video(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def root_with_poses(tracker: None, root: Root, tmp_path: Path) -> Root:
    """Videos of two classes, one with a twin, one broken and one dark, and what the small tracker finds in them."""
    for label, seeds in {"bow": (0, 1), "clap": (2, 3)}.items():
        (tmp_path / "v" / label).mkdir(parents=True)
        for seed in seeds:
            make_video(tmp_path / "v" / label / f"{label}{seed}.mp4", frames=8 + seed, seed=seed)
    shutil.copy(tmp_path / "v" / "bow" / "bow0.mp4", tmp_path / "v" / "bow" / "twin.mp4")
    whole = (tmp_path / "v" / "clap" / "clap2.mp4").read_bytes()
    (tmp_path / "v" / "clap" / "broken.mp4").write_bytes(whole[: len(whole) // 2])
    dark_video(tmp_path / "v" / "clap" / "dark.mp4")
    index_videos(IndexConfig((str(tmp_path / "v"),), "d"), root)
    extract(ExtractConfig(("fake_tracker",), "d", device="cpu", workers=2), root)
    return root


def index_set(root: Root, name: str = "fake_tracker", dataset: str = "d") -> Any:
    return index_poses(IndexConfig((name,), dataset, kind="poses"), root)


def poses_of(root: Root) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for row in Manifest(root).read("d").to_pylist() if row["kind"] == "pose"}


# -- tracking ---------------------------------------------------------------------------------------------------------


def test_a_row_a_frame_with_its_time_and_the_gaps_it_has(root_with_poses, tmp_path):
    feature_set = FeatureStore(root_with_poses).find("fake_tracker")
    assert feature_set.shape() == (4, 8 + 9 + 10 + 11)
    sizes = np.diff(feature_set.array("offsets")[:])
    assert sorted(sizes) == [8, 9, 10, 11]
    rows = feature_set.rows(0)
    assert np.isnan(rows.values["features"][1].reshape(33, 4)[:, :3]).all()
    np.testing.assert_allclose(rows.times[:3], [[0, 0.04], [0.04, 0.08], [0.08, 0.12]], atol=1e-6)
    np.testing.assert_allclose(rows.times[-1, 1], 0.04 * len(rows.times), atol=1e-6)


def test_a_broken_video_and_one_without_a_person_are_named_and_the_rest_goes_on(root_with_poses):
    found = {Path(row["file"]).name: row["error"] for row in failures(root_with_poses)}
    assert set(found) == {"broken.mp4", "dark.mp4"}
    assert found["dark.mp4"] == "NoBody"
    (again,) = extract(ExtractConfig(("fake_tracker",), "d", device="cpu"), root_with_poses).features
    assert (again.planned, again.skipped, again.quarantined) == (0, 4, 2)


def test_gaps_are_no_damage_and_recomputing_gives_the_same_bits(root_with_poses):
    (report,) = verify(VerifyConfig(("fake_tracker",), recompute=4, device="cpu"), root_with_poses)
    assert (report.damaged, report.recomputed, report.differing) == ((), 4, ())


def test_neither_threads_nor_order_change_the_rows(root_with_poses, tmp_path):
    other = Root(tmp_path / "other")
    index_videos(IndexConfig((str(tmp_path / "v"),), "d"), other)
    extract(ExtractConfig(("fake_tracker",), "d", device="cpu", workers=1), other)
    assert contents(other, "fake_tracker") == contents(root_with_poses, "fake_tracker")


def test_infinity_is_a_fault_even_where_gaps_are_none(root_with_poses):
    spec = "fake_tracker:infinite=1"
    (report,) = extract(ExtractConfig((spec,), "d", device="cpu"), root_with_poses).features
    assert (report.extracted, report.failed) == (0, 6)
    assert {row["reason"] for row in failures(root_with_poses)} >= {"output features holds infinity"}


def test_two_settings_in_one_run_and_clips_in_another(root_with_poses):
    config = ExtractConfig(("fake_tracker", "fake_tracker:stride=2"), "d", device="cpu")
    reports = extract(config, root_with_poses).features
    assert [(r.extracted, r.skipped) for r in reports] == [(0, 4), (4, 0)]
    with pytest.raises(ExtractorError, match="fake_tracker goes through whole videos.*a run of its own"):
        extract(ExtractConfig(("fake", "fake_tracker"), "d"), root_with_poses)


def test_a_run_that_is_closed_ends_at_the_next_frame(tracker, tmp_path):
    path = make_video(tmp_path / "long.mp4", frames=200)
    short = make_video(tmp_path / "short.mp4", frames=3, seed=1)
    items = [Item(bytes([k]) * 32, ((str(p), None),), None, p.stem, ("f",)) for k, p in enumerate((short, path))]
    runner = Runner({}, Tracks({"f": FakeTracker(options={"seconds": 0.05})}), 1, 2)
    start = time.monotonic()
    with contextlib.closing(runner.results(items)) as results:
        assert isinstance(next(filter(None, results)).outcome, ItemRows)
    assert time.monotonic() - start < 5
    assert runner.opened == 2


def test_a_twin_stands_in_where_the_first_place_is_gone(tracker, tmp_path):
    path = make_video(tmp_path / "there.mp4", frames=4)
    stat = path.stat()
    here = (str(path), (stat.st_size, stat.st_mtime_ns))
    for places, expected in (
        (((str(tmp_path / "gone.mp4"), None), here), ItemRows),
        (((str(path), (1, 2)),), Unreachable),
        ((), Unreachable),
    ):
        (result,) = Runner({}, Tracks({"f": FakeTracker()}), 1, 1).results([Item(b"k" * 32, places, None, "v", ("f",))])
        assert isinstance(result.outcome, expected)


# -- as sequences -----------------------------------------------------------------------------------------------------


def test_poses_bear_the_names_and_labels_of_their_videos(root_with_poses):
    table = Manifest(root_with_poses).read("d")
    split = pa.array([f"subject={i}" for i in range(table.num_rows)])
    Manifest(root_with_poses).write("d", table.set_column(table.schema.get_field_index("split"), "split", split))
    videos = {row["video_id"]: row for row in Manifest(root_with_poses).read("d").to_pylist()}
    report = index_set(root_with_poses)
    assert (report.videos, report.new, report.contents, report.missing) == (5, 5, 4, 2)
    assert (report.failed, report.layout) == (0, "mediapipe-33")
    found = poses_of(root_with_poses)
    assert set(found) == set(videos) - {"clap/broken", "clap/dark"}
    for name, row in found.items():
        assert (row["label"], row["split"]) == (videos[name]["label"], videos[name]["split"])
    assert found["bow/bow0"]["key"] == found["bow/twin"]["key"] != found["bow/bow1"]["key"]
    again = index_set(root_with_poses)
    assert (again.new, again.unchanged) == (0, 5)
    assert {name: row["uri"] for name, row in poses_of(root_with_poses).items()} == {
        name: row["uri"] for name, row in found.items()
    }


def test_a_sequence_read_back_is_what_was_stored_with_its_gaps(root_with_poses):
    index_set(root_with_poses)
    feature_set = FeatureStore(root_with_poses).find("fake_tracker")
    stored, reader = StoredPoses(feature_set), PoseReader()
    for row in poses_of(root_with_poses).values():
        place = Place.of(row["uri"])
        assert place.feature_set == (root_with_poses.url, feature_set.name)
        assert place.uri == row["uri"]
        poses = reader.read(row["uri"], row["key"])
        rows = feature_set.rows(place.number).values["features"].reshape(-1, 1, 33, 4)
        np.testing.assert_array_equal(poses.coordinates, rows[..., :3].astype(np.float32))
        np.testing.assert_array_equal(poses.confidence, rows[..., 3].astype(np.float32))
        assert poses.there[:, 0].tolist() == [frame != 1 for frame in range(len(rows))]
        np.testing.assert_array_equal(stored.array(place.number), rows.reshape(len(rows), -1))


def test_a_network_takes_them_through_the_stated_table(root_with_poses):
    index_set(root_with_poses)
    (report,) = extract(STGCN, root_with_poses).features
    assert (report.planned, report.extracted, report.failed) == (4, 4, 0)
    assert FeatureStore(root_with_poses).find("stgcn_small").shape() == (4, 4)


def test_indexing_the_videos_again_leaves_names_and_poses_alone(root_with_poses, tmp_path):
    index_set(root_with_poses)

    def rows() -> list[dict[str, Any]]:
        table = Manifest(root_with_poses).read("d").drop_columns(["seen_ns"])
        return table.sort_by([("kind", "ascending"), ("video_id", "ascending")]).to_pylist()

    before = rows()
    index_videos(IndexConfig((str(tmp_path / "v"),), "d"), root_with_poses)
    assert rows() == before


def test_another_sets_poses_take_their_place_and_files_of_poses_stay(root_with_poses, tmp_path):
    index_set(root_with_poses)
    (tmp_path / "bow").mkdir()
    np.save(tmp_path / "bow" / "file.npy", body(0))
    index_poses(IndexConfig((str(tmp_path / "bow"),), "d", kind="poses", layout="kinect-20"), root_with_poses)
    (made,) = extract(ExtractConfig(("fake_tracker:stride=2",), "d", device="cpu"), root_with_poses).features
    with pytest.raises(Exception, match="matches 2 feature sets"):
        index_set(root_with_poses)
    report = index_set(root_with_poses, made.name)
    assert (report.videos, report.new, report.missing) == (5, 5, 2)
    found = poses_of(root_with_poses)
    assert set(found) == {"bow/bow0", "bow/bow1", "bow/twin", "clap/clap2", "clap/clap3", "file"}
    assert {Place.of(row["uri"]).feature_set for name, row in found.items() if name != "file"} == {
        (root_with_poses.url, made.name)
    }
    both = tuple(name for name in FeatureStore(root_with_poses).names() if name.startswith("fake_tracker"))
    with pytest.raises(UsageError, match="one feature set at a time"):
        index_poses(IndexConfig(both, "d", kind="poses"), root_with_poses)


def test_a_set_that_is_gone_or_has_others_there_is_not_taken_for_what_was_indexed(root_with_poses):
    index_set(root_with_poses)
    row = poses_of(root_with_poses)["clap/clap3"]
    with pytest.raises(Unreachable, match="changed since it was indexed"):
        PoseReader().read(row["uri"], b"x" * 32)
    far = Place.of(row["uri"])._replace(number=99).uri
    with pytest.raises(Unreachable, match="the feature set has 4 sequences now"):
        PoseReader().read(far, row["key"])
    FeatureStore(root_with_poses).drop("fake_tracker")
    with pytest.raises(Unreachable, match="is not there"):
        PoseReader().read(row["uri"], row["key"])


def test_what_holds_no_poses_of_these_videos_is_refused_in_one_line(root_with_poses, tmp_path, make_dataset):
    with pytest.raises(UsageError, match="'other' has no videos.*zsar index PATH --dataset other"):
        index_set(root_with_poses, dataset="other")
    with pytest.raises(NotInStore, match="No feature set matches 'fake_tracker@123'"):
        index_set(root_with_poses, "fake_tracker@123")
    extract(ExtractConfig(("fake",), "d", device="cpu"), root_with_poses)
    with pytest.raises(UsageError, match=r"fake@\w+ holds no poses"):
        index_set(root_with_poses, "fake")
    make_dataset([make_video(tmp_path / "new.mp4", seed=9)], "e")
    with pytest.raises(UsageError, match="poses of none of the 1 videos of 'e'.*zsar extract fake_tracker --dataset e"):
        index_set(root_with_poses, dataset="e")
    assert Manifest(root_with_poses).read("e").num_rows == 1


def test_a_file_of_a_sets_name_is_a_file(root_with_poses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", body(0))
    (tmp_path / "x.npy").rename(tmp_path / "fake_tracker")
    with pytest.raises(UsageError, match="holds no sequence"):
        index_set(root_with_poses)


# -- the real one -----------------------------------------------------------------------------------------------------


@pytest.mark.pack
@pytest.mark.shared
def test_from_real_clips_to_features_of_a_network(root, tmp_path, shared_data):
    (tmp_path / "v").mkdir()
    for name in ("milk.mkv", "no.mkv"):
        shutil.copy(shared_data / "videos" / "asl_signs" / name, tmp_path / "v" / name)
    whole = (tmp_path / "v" / "no.mkv").read_bytes()
    (tmp_path / "v" / "broken.mkv").write_bytes(whole[: len(whole) // 2])
    make_video(tmp_path / "v" / "nobody.mp4")
    index_videos(IndexConfig((str(tmp_path / "v"),), "d"), root)
    config = ExtractConfig(("mediapipe:stride=3",), "d", device="cpu")
    (report,) = extract(config, root).features
    assert (report.planned, report.extracted, report.failed) == (4, 2, 2)
    reasons = {Path(row["file"]).name: (row["error"], row["reason"]) for row in failures(root)}
    assert reasons["nobody.mp4"][0] == "NoBody"
    assert "in 7 frames MediaPipe is never as sure" in reasons["nobody.mp4"][1]
    assert reasons["broken.mkv"][0] in ("Truncated", "Corrupt")
    (checked,) = verify(VerifyConfig(("mediapipe",), recompute=1, device="cpu"), root)
    assert (checked.damaged, checked.recomputed, checked.differing) == ((), 1, ())
    assert index_set(root, "mediapipe").videos == 2
    (report,) = extract(STGCN, root).features
    assert (report.extracted, report.failed) == (2, 0)
    values = FeatureStore(root).find("stgcn_small").load().values
    assert np.isfinite(values).all()
    assert not np.array_equal(values[0], values[1])
