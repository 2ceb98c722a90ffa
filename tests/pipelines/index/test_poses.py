"""Poses as items: indexed from every kind of file, extracted in full batches; bad ones are named, the rest goes on."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from extractors import pose_files
from extractors.errors import ExtractorError, Unreachable
from extractors.joints import KINECT_20, KINECT_20_UTD, NTU_25
from extractors.poses import Form, checked, prepared
from pipelines.command.main import app
from pipelines.errors import Stopped, UsageError
from pipelines.extract import compute
from pipelines.extract.extraction import extract
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.shards import cut, work
from pipelines.extract.verify import verify
from pipelines.index.pose_places import Place, PoseReader
from pipelines.index.poses import index_poses, values_of
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index as index_videos
from pipelines.learn.samples.failed import failed_items
from pipelines.look.listing import failures
from stores.errors import StoreError
from stores.failures import Failures
from stores.features import FeatureStore
from stores.handover import Handover
from stores.manifest import Manifest
from stores.root import Root
from tests.conftest import contents, make_video
from tests.extractors.test_pose_files import kinetics, person, skeleton
from tests.pipelines.skeletons import CLASSES, body, dataset, index, many, npz, rows

SMALL = ("stgcn_small=random:0",)


def config(*features: str, **more: object) -> ExtractConfig:
    return ExtractConfig(features or ("stgcn_small",), "p", SMALL, workers=1, **more)  # type: ignore[arg-type]


def reasons(root: Root, stage: str = "decode") -> dict[str, str]:
    """Class of each fault by the name of its place."""
    return {Path(row["file"]).name: row["error"] for row in failures(root) if row["stage"] == stage}


# -- index ------------------------------------------------------------------------------------------------------------


def test_a_file_of_many_gives_a_row_a_sequence_with_label_subject_and_place(root, tmp_path):
    path = dataset(root, tmp_path, each=2)
    found = rows(root)
    assert set(found) == {f"many#{i}" for i in range(8)}
    row = found["many#3"]
    assert (row["kind"], row["label"], row["split"]) == ("pose", "clap", "subject=s2")
    assert row["uri"] == f"{path}#3,kinect-20"
    assert (row["size_bytes"], row["start_s"]) == (path.stat().st_size, None)
    again = index(root, path)
    assert (again.videos, again.new, again.unchanged, again.contents, again.failed) == (8, 0, 8, 8, 0)
    assert again.layout == "kinect-20"


def test_the_key_is_of_the_sequence_and_its_layout_wherever_it_lies(root, tmp_path):
    one, other = body(0), body(1)
    (tmp_path / "a.npz").write_bytes(many([one, other], [0, 1]))
    (tmp_path / "b.npz").write_bytes(many([other, other], [1, 1]))
    (tmp_path / "c.npz").write_bytes(many([other], [1], layout="kinect-20-utd"))
    report = index(root, tmp_path)
    assert (report.videos, report.contents) == (5, 3)
    found = rows(root)
    assert found["a#1"]["key"] == found["b#0"]["key"] == found["b#1"]["key"]
    assert found["a#1"]["key"] not in (found["a#0"]["key"], found["c#0"]["key"])


def test_every_kind_of_file_is_read_and_tells_its_label(root, tmp_path):
    (tmp_path / "bow").mkdir()
    np.save(tmp_path / "bow" / "x.npy", body(0))
    (tmp_path / "bow" / "y.npz").write_bytes(npz(data=body(1), layout=np.array("kinect-20")))
    (tmp_path / "k.json").write_bytes(kinetics({i: [person(0.1 * i)] for i in range(4)}))
    still = {1: body(0, layout=NTU_25)[0]}
    (tmp_path / "S003C002P007R001A043.skeleton").write_text(skeleton([still, still, still]))
    (tmp_path / "notes.txt").write_text("no poses")
    (tmp_path / ".hidden.npy").write_bytes(b"")
    (tmp_path / "names.csv").write_text("\n".join(f"action {i}" for i in range(1, 61)))
    with pytest.raises(UsageError, match="arrays do not say what their joints are; name a layout"):
        index(root, tmp_path / "bow" / "x.npy")
    assert index(root, tmp_path, layout="kinect-20").failed == 2  # files that say another layout than the one asked for
    report = index(root, tmp_path, labels=(str(tmp_path / "names.csv"),))
    assert (report.videos, report.failed, report.layout) == (3, 1, "kinect-20, ntu-25, openpose-18")
    found = {name: (row["label"], row["split"]) for name, row in rows(root).items()}
    assert found["y"] == ("bow", None)
    assert found["k"] == ("archery", None)
    assert found["S003C002P007R001A043"] == (
        "action 43",
        "setup=3,view=2,subject=7,repetition=1",
    )
    assert rows(root)["S003C002P007R001A043"]["recording"] == "S003P007R001A043"
    index(root, tmp_path)
    assert rows(root)["S003C002P007R001A043"]["label"] == "A043"


def test_bad_sequences_fail_by_name_and_the_rest_is_indexed(root, tmp_path):
    good, short = body(0), body(0)[:1]
    bad = body(1)
    bad[3, 4, 1] = np.nan
    (tmp_path / "m.npz").write_bytes(many([good, np.zeros_like(good), bad, short, good[:0], good], [0] * 6))
    (tmp_path / "joints.npz").write_bytes(npz(data=body(0)[:, :18], layout=np.array("kinect-20")))
    (tmp_path / "other.npz").write_bytes(npz(data=body(0), layout=np.array("kinect-21")))
    whole = skeleton([{1: body(0, layout=NTU_25)[i]} for i in range(5)])
    (tmp_path / "cut.skeleton").write_text(whole[: len(whole) // 2])
    (tmp_path / "empty.skeleton").write_text(skeleton([{}, {}, {}]))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:700])
    (tmp_path / "broken.json").write_text('{"data": [')
    (tmp_path / "dangling.npy").symlink_to(tmp_path / "nowhere.npy")
    report = index(root, tmp_path)
    assert (report.videos, report.contents, report.failed) == (2, 1, 11)
    assert set(rows(root)) == {"m#0", "m#5"}
    assert reasons(root, "index") == {
        "m.npz#1,kinect-20": "NothingSeen",
        "m.npz#2,kinect-20": "BadJoint",
        "m.npz#3,kinect-20": "TooShort",
        "m.npz#4,kinect-20": "NoBody",
        "joints.npz": "WrongJoints",
        "other.npz": "LayoutMismatch",
        "cut.skeleton": "Truncated",
        "empty.skeleton": "NoBody",
        "torn.npz": "NotPoses",
        "broken.json": "NotPoses",
        "dangling.npy": "Unreachable",
    }
    told = {Path(row["file"]).name: row["reason"] for row in failures(root)}
    assert "'left shoulder' of person 0 in frame 3" in told["m.npz#2,kinect-20"]
    assert all("\n" not in reason and reason.endswith((".", ")")) for reason in told.values())


def test_what_was_mended_is_no_failure_any_more(root, tmp_path):
    path = tmp_path / "m.npz"
    path.write_bytes(many([body(0), np.zeros_like(body(0))], [0, 1]))
    index(root, path)
    assert len(failures(root)) == 1
    path.write_bytes(many([body(0), body(1)], [0, 1]))
    report = index(root, path)
    assert (report.new, report.unchanged, failures(root)) == (1, 1, [])


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(root, tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    path.write_bytes(npz(data=body(0), layout=np.array("kinect-20")))
    index(root, path)
    before = rows(root)["x"]["key"]
    real = pose_files.read
    monkeypatch.setattr(pose_files, "read", lambda *a: pytest.fail("it was read"))
    assert index(root, path).unchanged == 1
    monkeypatch.setattr(pose_files, "read", real)
    path.write_bytes(npz(data=body(2), layout=np.array("kinect-20")))
    report = index(root, path)
    assert (report.new, report.unchanged) == (1, 0)
    assert rows(root)["x"]["key"] != before


def test_files_of_one_name_get_names_of_their_own_and_keep_them(root, tmp_path):
    for k, folder in enumerate(("a", "b", "c")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "x.npz").write_bytes(npz(data=body(k), layout=np.array("kinect-20")))
    report = index(root, tmp_path / "in", tmp_path / "in" / "a" / "x.npz")
    assert report.videos == 3  # given twice, read once
    names = {row["uri"]: name for name, row in rows(root).items()}
    assert sorted(names.values()) == ["b/x", "c/x", "x"]
    index(root, tmp_path / "in" / "b", tmp_path / "in")
    assert {row["uri"]: name for name, row in rows(root).items()} == names


def test_a_file_that_was_moved_keeps_its_name_and_one_that_is_gone_is_counted(root, tmp_path):
    for k, name in enumerate(("x", "y")):
        (tmp_path / f"{name}.npz").write_bytes(npz(data=body(k), layout=np.array("kinect-20")))
    index(root, tmp_path)
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "x.npz", tmp_path / "moved" / "x.npz")
    report = index(root, tmp_path)
    assert (report.videos, report.new) == (2, 0)
    assert rows(root)["x"]["uri"] == f"{tmp_path}/moved/x.npz#kinect-20"
    (tmp_path / "y.npz").unlink()
    assert (index(root, tmp_path).missing, set(rows(root))) == (1, {"x", "y"})
    assert (index(root, tmp_path, prune=True).pruned, set(rows(root))) == (1, {"x"})


def test_poses_and_videos_of_one_data_set_stay_side_by_side(root, tmp_path):
    make_video(tmp_path / "film.mp4", frames=4)
    index_videos(IndexConfig((str(tmp_path / "film.mp4"),), "p"), root)
    path = dataset(root, tmp_path, each=1)
    assert sorted(row["kind"] for row in rows(root).values()) == ["pose"] * 4 + ["video"]
    index_videos(IndexConfig((str(tmp_path / "film.mp4"),), "p"), root)
    assert len(rows(root)) == 5
    assert plan(config(), root).contents == 4
    assert index(root, path).unchanged == 4


@pytest.mark.parametrize(
    ("paths", "more", "error", "message"),
    [
        (("nowhere",), {}, UsageError, "There is no file or folder .*nowhere"),
        (("s3://bucket/ntu",), {}, UsageError, "from this machine's disks"),
        ((".",), {}, UsageError, "holds no sequence of poses that can be used"),
        ((".",), {"layout": "kinect-21"}, ExtractorError, "No layout of joints is called 'kinect-21'"),
        ((".",), {"labels": ("none.txt",)}, UsageError, "class names none.txt cannot be read"),
    ],
)
def test_a_mistake_is_told_in_one_line(root, tmp_path, monkeypatch, paths, more, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        index_poses(IndexConfig(paths, "p", kind="poses", **more), root)


def test_a_data_set_needs_a_name_that_files_can_have(root, tmp_path):
    with pytest.raises(StoreError, match="letters, digits"):
        index_poses(IndexConfig((str(tmp_path),), "../p", kind="poses"), root)


def test_what_is_known_of_a_sequence_is_read_from_its_row():
    assert values_of("subject=s3,view=v02") == {"subject": "s3", "view": "v02"}
    assert values_of(None) == values_of("train") == {}


@pytest.mark.parametrize("place", [Place("/a#b/c.npz", "ntu-25"), Place("/a,b.npz", "kinect-20", 17)])
def test_a_place_is_written_and_read_back(place):
    assert Place.of(place.uri) == place


# -- extract ----------------------------------------------------------------------------------------------------------


def test_rows_are_those_of_the_network_on_the_prepared_sequence(root, tmp_path):
    dataset(root, tmp_path, each=5)  # 20 sequences: one full batch and one that is filled up
    report = extract(config(), root).features[0]
    assert (report.planned, report.extracted, report.failed) == (20, 20, 0)
    feature_set = FeatureStore(root).find("stgcn_small")
    assert feature_set.shape() == (20, 20)
    ((_, feature),) = [(f.name, f) for f in plan(config(), root).features]
    feature.extractor.load("cpu")
    one = checked(KINECT_20, body(1, 2)[:, None])
    batch = np.repeat(prepared(one, Form(32, 1))[None], 16, 0)
    wanted = feature.extractor(batch)["features"][0].astype(np.float16)
    got = feature_set.load(np.frombuffer(rows(root)["many#7"]["key"], np.uint8)[None]).values
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)
    assert extract(config(), root).features[0].skipped == 20


def test_mates_order_and_an_earlier_kill_change_no_bit(root, tmp_path):
    dataset(root, tmp_path, each=5)
    extract(config(), root)
    other = Root(tmp_path / "other")
    sequences = [(body(k, seed), k) for k in range(4) for seed in range(5)]
    order = np.random.default_rng(1).permutation(20)
    mixed = tmp_path / "mixed.npz"
    mixed.write_bytes(many([sequences[i][0] for i in order[:7]], [sequences[i][1] for i in order[:7]]))
    index(other, mixed)
    extract(config(), other)
    mixed.write_bytes(many([sequences[i][0] for i in order], [sequences[i][1] for i in order]))
    index(other, mixed)
    assert extract(config(), other).features[0].planned == 13
    assert contents(root, "stgcn_small") == contents(other, "stgcn_small")


def test_segments_give_a_row_each_in_the_order_of_time(root, tmp_path):
    dataset(root, tmp_path, each=1)
    extract(config("stgcn_small:segments=4", "stgcn_small"), root)
    store = FeatureStore(root)
    four, one = sorted((store.find(name) for name in store.names()), key=lambda s: -s.shape()[1])
    assert (four.shape(), one.shape()) == ((4, 16), (4, 4))
    keys = one.keys()
    parts = four.load(keys).values.astype(np.float32).reshape(4, 4, 256)
    np.testing.assert_allclose(parts.mean(1), one.load(keys).values.astype(np.float32), atol=2e-3)
    with pytest.raises(ExtractorError, match="8 time steps of 32 frames, too few for 9 segments"):
        extract(config("stgcn_small:segments=9"), root)


def test_what_cannot_be_used_is_quarantined_with_its_reason_and_the_rest_is_done(root, tmp_path):
    flat, lost, brief = body(0), body(1), body(2)
    flat[:, list(KINECT_20.neck)] = flat[:, list(KINECT_20.hips)]
    lost[:, 5] = 0  # an elbow never seen
    brief[1:] = 0  # seen in one frame alone
    (tmp_path / "m.npz").write_bytes(many([flat, lost, brief, body(3)], [0, 1, 2, 3]))
    (tmp_path / "k.json").write_bytes(kinetics({i: [person(0.1 * i)] for i in range(4)}))
    assert index(root, tmp_path).failed == 0
    report = extract(config(), root).features[0]
    assert (report.planned, report.extracted, report.failed) == (5, 1, 4)
    assert reasons(root) == {
        "m.npz#0,kinect-20": "NoSpine",
        "m.npz#1,kinect-20": "JointNeverSeen",
        "m.npz#2,kinect-20": "TooShort",
        "k.json#openpose-18": "LayoutMismatch",
    }
    again = extract(config(), root).features[0]
    assert (again.planned, again.quarantined) == (0, 4)
    assert extract(config(retry_failed=True), root).features[0].failed == 4


def test_many_in_a_row_that_fail_alike_stop_the_run(root, tmp_path):
    (tmp_path / "m.npz").write_bytes(many([np.concatenate([body(0, i)[:1], 0 * body(0)]) for i in range(4)], [0] * 4))
    index(root, tmp_path)
    with pytest.raises(Stopped, match="4 items in a row failed alike"):
        extract(config(same_errors=4), root)
    assert failures(root) == []


def test_a_file_that_went_or_changed_is_unreachable_until_it_is_indexed_again(root, tmp_path):
    path = dataset(root, tmp_path, each=1)
    (tmp_path / "x.npz").write_bytes(npz(data=body(0, 9), layout=np.array("kinect-20")))
    index(root, tmp_path / "x.npz")
    path.write_bytes(many([body(0, 0), body(3, 7)], [0, 1]))
    (tmp_path / "x.npz").unlink()
    report = extract(config(), root).features[0]
    assert (report.extracted, report.failed) == (1, 4)
    assert set(reasons(root).values()) == {"Unreachable"}
    told = {row["reason"] for row in failures(root)}
    assert told == {
        "the file is not there (any more)",
        "the file has 2 sequences now; index the data set again",
        "its content changed since it was indexed; index the data set again",
    }
    index(root, path)
    assert extract(config(), root).features[0].extracted == 1


def test_a_twin_stands_in_for_a_file_that_went(root, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.npz").write_bytes(many([body(0), body(1)], [0, 1]))
    index(root, tmp_path)
    (tmp_path / "a.npz").unlink()
    report = extract(config(), root).features[0]
    assert (report.planned, report.extracted, report.failed) == (2, 2, 0)


def test_a_file_of_many_is_read_once(root, tmp_path, monkeypatch):
    dataset(root, tmp_path, each=3)
    read = []
    real = pose_files.read_many
    monkeypatch.setattr(pose_files, "read_many", lambda *a: read.append(a[1]) or real(*a))
    extract(config(), root)
    assert read == ["many.npz"]
    reader = PoseReader()
    row = rows(root)["many#2"]
    with pytest.raises(Unreachable, match="content changed"):
        reader.read(row["uri"], bytes(32))
    with pytest.raises(Unreachable, match="has 12 sequences now"):
        reader.read(row["uri"].replace("#2,", "#12,"), row["key"])


def test_shards_hand_over_the_same_rows(root, tmp_path):
    dataset(root, tmp_path, each=2)
    settings = config(same_errors=3)
    todo = plan(settings, root)
    shards = cut(todo, settings, root, 3)
    assert [work(shard) for shard in shards] == [3, 3, 2]
    handover = Handover(root, todo.features[0].name)
    assert len(handover.read(handover.parts())[0]) == 8


def test_recomputed_rows_are_the_same_bits(root, tmp_path):
    dataset(root, tmp_path, each=2)
    extract(config(), root)
    (report,) = verify(VerifyConfig(recompute=5), root)
    assert (report.recomputed, report.differing, report.note) == (5, (), "")


def test_one_run_reads_one_kind_of_items(root, tmp_path, fake):
    dataset(root, tmp_path, each=1)
    with pytest.raises(ExtractorError, match="these features read pose, video"):
        plan(ExtractConfig(("stgcn_small", "fake"), "p", SMALL), root)
    with pytest.raises(UsageError, match="stgcn_small reads poses: give --dataset, not --set t"):
        plan(ExtractConfig(("stgcn_small",), set="t", weights=SMALL), root)


def test_the_command_indexes_plans_and_extracts(tmp_path):
    (tmp_path / "m.npz").write_bytes(many([body(0), np.zeros_like(body(0))], [0, 1], layout="kinect-20-utd"))

    def zsar(*arguments: str) -> dict[str, object]:
        done = CliRunner().invoke(app, [*arguments, "--json", "--root", str(tmp_path / "root")])
        return json.loads(done.stdout.strip().splitlines()[-1])

    found = zsar("index", str(tmp_path / "m.npz"), "--kind", "poses", "--dataset", "p", "--layout", "kinect-20-utd")
    assert found == {"videos": 1, "new": 1, "unchanged": 0, "contents": 1, "failed": 1}
    assert "stgcn_small has no weights of its own" in str(zsar("extract", "stgcn_small", "--dataset", "p")["error"])
    done = zsar("extract", "stgcn_small", "--dataset", "p", "--weights", *SMALL, "--workers", "1")
    assert (done["planned"], done["extracted"], done["failed"]) == (1, 1, 0)


# -- on real motion capture -------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "layout", "counts"),
    [("utd_mhad", KINECT_20_UTD.name, (861, 861, 0, 27)), ("nw_ucla", KINECT_20.name, (1482, 1388, 2, 10))],
)
def test_real_data_sets_are_indexed(root, shared_data, name, layout, counts):
    """NW-UCLA has two sequences of one frame, and 94 that stand in it twice, as two views."""
    report = index(root, shared_data / "skeleton" / f"{name}.npz", layout=layout)
    labels = {row["label"] for row in rows(root).values()}
    assert (report.videos, report.contents, report.failed, len(labels)) == counts
    assert all(re.fullmatch(r"subject=s\d+(,view=v0[123])?", row["split"]) for row in rows(root).values())


def test_a_model_is_loaded_once_a_process(root, tmp_path):
    dataset(root, tmp_path, each=1)
    extract(config(), root)
    name = plan(config(), root).features[0].recipe.key
    assert (name, "cpu") in compute._loaded
    assert Manifest(root).read("p").num_rows == len(CLASSES)


def test_a_sequence_that_failed_is_told_with_its_label(root, tmp_path):
    sequences = [body(0), np.full((3, 20, 3), np.nan, np.float32), body(1)]
    (tmp_path / "many.npz").write_bytes(many(sequences, [0, 1, 1]))
    assert index(root, tmp_path / "many.npz").failed == 1
    (row,) = Failures(root).latest().to_pylist()
    assert (row["stage"], row["label"]) == ("index", CLASSES[1])
    (item,) = failed_items("p", "pose", set(), root)
    assert (item.name, item.label) == ("many#1", CLASSES[1])
