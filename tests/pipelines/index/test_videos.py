"""Index: what exists, found once, kept through moves, kills and failures. Tiny files; nothing is decoded."""

import os
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import LayoutError, UsageError
from pipelines.index import contents
from pipelines.index.report import IndexReport
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from stores.errors import BadFile
from stores.failures import Failures
from stores.features import FeatureStore
from stores.foreign import Foreign, write_foreign
from stores.keys import span_key, stream_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from tests.pipelines.index.layouts.test_reading import database, entry, text, tree


def run(root: Root, *paths: Path | str, dataset: str = "d", **options) -> IndexReport:
    return index(IndexConfig(tuple(map(str, paths)), dataset, **options), root)


def key_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return stream_key(file)


def counts(report: IndexReport) -> tuple[int, int, int, int]:
    return report.videos, report.new, report.unchanged, report.contents


def manifest(root: Root, dataset: str = "d") -> dict[str, dict]:
    return {row["video_id"]: row for row in Manifest(root).read(dataset).to_pylist()}


def failures(root: Root) -> list[tuple[str, str, str]]:
    return [(Path(r["uri"]).name, r["stage"], r["error"]) for r in Failures(root).latest().to_pylist()]


@pytest.fixture
def twenty(tmp_path: Path) -> Path:
    return tree(tmp_path / "videos", *[f"v{i:02}.mp4" for i in range(20)])


def test_twenty_fresh_videos_are_new_once_and_unchanged_ever_after(root, twenty):
    assert counts(run(root, twenty)) == (20, 20, 0, 20)
    assert counts(run(root, twenty)) == (20, 0, 20, 20)


def test_the_real_clips_give_the_documented_counts(root, shared_data):
    clips = shared_data / "videos/asl_signs"
    if not clips.is_dir():
        pytest.skip("shared test data not found beside the checkout")
    assert counts(run(root, clips)) == (20, 20, 0, 20)
    assert counts(run(root, clips)) == (20, 0, 20, 20)


def test_a_row_says_all_that_is_known_of_a_file(root, tmp_path):
    before = time.time_ns()
    tree(tmp_path, "train/bow/1.mp4", "train/sit/2.mp4")
    report = run(root, tmp_path / "train", layout="class-video")
    row = manifest(root)["bow/1"]
    path = tmp_path / "train/bow/1.mp4"
    assert report.layout == "class-video"
    assert row.pop("seen_ns") >= before
    assert row == {
        "dataset": "d",
        "video_id": "bow/1",
        "kind": "video",
        "uri": str(path),
        "key": key_of(path),
        "label": "bow",
        "split": None,
        "recording": None,
        "start_s": None,
        "end_s": None,
        "size_bytes": path.stat().st_size,
        "mtime_ns": path.stat().st_mtime_ns,
    }


def test_an_unchanged_file_is_not_read_twice(root, twenty, monkeypatch):
    run(root, twenty)
    monkeypatch.setattr(contents, "_hash", lambda *_: pytest.fail("read again"))
    assert counts(run(root, twenty)) == (20, 0, 20, 20)
    assert counts(run(root, twenty, dataset="another")) == (20, 20, 0, 20)


def test_a_changed_file_is_new_under_its_old_name(root, twenty):
    run(root, twenty)
    (twenty / "v03.mp4").write_bytes(b"another take")
    assert counts(run(root, twenty)) == (20, 1, 19, 20)
    assert manifest(root)["v03"]["key"] == key_of(twenty / "v03.mp4")


def test_same_bytes_under_two_names_are_two_rows_with_one_key(root, twenty):
    (twenty / "twin.mp4").write_bytes((twenty / "v00.mp4").read_bytes())
    assert counts(run(root, twenty)) == (21, 21, 0, 20)
    rows = manifest(root)
    assert rows["twin"]["key"] == rows["v00"]["key"]


def test_zero_byte_files_are_indexed_like_others(root, twenty):
    (twenty / "empty.mp4").touch()
    assert run(root, twenty).videos == 21


def test_segments_have_keys_of_their_own_and_their_file_is_read_once(root, tmp_path, monkeypatch):
    tree(tmp_path / "v", "v_aaa.mp4", "v_bbb.mp4")
    labels = text(
        tmp_path / "a.json",
        database(aaa=entry("training", ("Bow", 0.5, 1.5), ("Sit", 2, 3)), bbb=entry("testing"), ccc=entry("training")),
    )
    read = []
    real = contents._hash
    monkeypatch.setattr(contents, "_hash", lambda uri, stat: read.append(uri) or real(uri, stat))
    report = run(root, tmp_path / "v", labels=(labels,))
    assert counts(report) == (3, 3, 0, 3)
    assert (report.missing, report.unlabelled, report.layout) == (1, 1, "activitynet")
    assert len(read) == 2
    rows = manifest(root)
    key = key_of(tmp_path / "v/v_aaa.mp4")
    assert rows["aaa#0"]["key"] == span_key(key, 0.5, 1.5)
    assert rows["aaa#1"]["key"] == span_key(key, 2, 3)
    assert rows["bbb"]["key"] == key_of(tmp_path / "v/v_bbb.mp4")


# -- adding up --------------------------------------------------------------------------------------------------------


def test_paths_add_up_at_once_or_one_after_the_other(root, tmp_path):
    for name in ("a", "b"):
        tree(tmp_path / name, f"{name}1.mp4", f"{name}2.mp4")
    assert counts(run(root, tmp_path / "a", tmp_path / "b")) == (4, 4, 0, 4)
    other = Root(tmp_path / "other")
    run(other, tmp_path / "a")
    run(other, tmp_path / "b")
    assert {v: r["uri"] for v, r in manifest(other).items()} == {v: r["uri"] for v, r in manifest(root).items()}


def test_two_files_of_one_name_both_stay_and_keep_their_ids(root, tmp_path):
    tree(tmp_path, "a/x.mp4", "b/x.mp4", "b/x.avi", "b/y.mp4")
    expected = {"x": "a/x.mp4", "x.avi": "b/x.avi", "x.mp4": "b/x.mp4", "y": "b/y.mp4"}
    run(root, tmp_path / "a")
    for _ in range(2):
        run(root, tmp_path / "b")
        assert {v: r["uri"] for v, r in manifest(root).items()} == {v: f"{tmp_path}/{p}" for v, p in expected.items()}
    run(root, tmp_path / "b", tmp_path / "a")
    assert sorted(manifest(root)) == sorted(expected)


def test_an_id_once_given_stays_when_the_plain_one_becomes_free(root, tmp_path):
    tree(tmp_path, "a/x.mp4", "b/x.mp4")
    run(root, tmp_path / "a", tmp_path / "b")
    (tmp_path / "a/x.mp4").unlink()
    assert counts(run(root, tmp_path / "b", prune=True)) == (1, 0, 1, 1)
    assert list(manifest(root)) == ["x.mp4"]


def test_two_ucf101_files_of_one_name_are_told_apart_by_their_paths(root, tmp_path):
    tree(tmp_path, "Bow/v_Bow_g01_c01.avi", "copy/v_Bow_g01_c01.avi")
    assert run(root, tmp_path).layout == "ucf101"
    assert sorted(manifest(root)) == ["copy/v_Bow_g01_c01", "v_Bow_g01_c01"]


def test_a_moved_folder_keeps_ids_and_contents(root, tmp_path, twenty):
    run(root, twenty)
    twenty.rename(tmp_path / "elsewhere")
    report = run(root, tmp_path / "elsewhere")
    assert counts(report) == (20, 0, 20, 20)
    assert report.missing == 0
    assert {Path(row["uri"]).parent.name for row in manifest(root).values()} == {"elsewhere"}


def test_a_copy_is_a_second_row_while_the_first_is_there(root, tmp_path):
    tree(tmp_path, "a/x.mp4")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x.mp4").write_bytes((tmp_path / "a/x.mp4").read_bytes())
    run(root, tmp_path / "a")
    report = run(root, tmp_path / "b")
    assert counts(report) == (1, 1, 0, 1)
    assert sorted(manifest(root)) == ["x", "x.mp4"]


def test_another_content_of_the_same_name_never_takes_the_row_of_a_file_that_is_gone(root, tmp_path):
    tree(tmp_path / "a", "x.mp4")
    run(root, tmp_path / "a")
    (tmp_path / "a/x.mp4").unlink()
    text(tmp_path / "b/x.mp4", "another film")
    run(root, tmp_path / "b")
    assert [Path(row["uri"]).parent.name for row in manifest(root).values()] == ["a", "b"]


def test_a_newer_reading_of_the_same_file_replaces_the_older(root, tmp_path):
    tree(tmp_path / "v", "v_aaa.mp4", "v_bbb.mp4")
    run(root, tmp_path / "v")
    labels = text(
        tmp_path / "a.json", database(aaa=entry("training", ("Bow", 0, 1)), bbb=entry("training", ("Sit", 1, 2)))
    )
    run(root, tmp_path / "v", labels=(labels,))
    assert {v: r["label"] for v, r in manifest(root).items()} == {"aaa#0": "Bow", "bbb#0": "Sit"}


def test_rows_of_files_that_are_gone_stay_and_are_counted(root, twenty):
    run(root, twenty)
    seen_ns = manifest(root)["v07"]["seen_ns"]
    (twenty / "v07.mp4").unlink()
    report = run(root, twenty)
    assert counts(report) == (19, 0, 19, 19)
    assert (report.missing, report.pruned) == (1, 0)
    rows = manifest(root)
    assert rows["v07"]["seen_ns"] == seen_ns < rows["v08"]["seen_ns"]


def test_prune_forgets_rows_of_files_that_are_gone_wherever_they_lay(root, tmp_path, twenty):
    tree(tmp_path / "old", "o.mp4", "p.mp4")
    run(root, twenty, tmp_path / "old")
    (twenty / "v07.mp4").unlink()
    (tmp_path / "old/o.mp4").unlink()
    report = run(root, twenty, prune=True)
    assert (report.missing, report.pruned) == (0, 2)
    assert sorted(manifest(root)) == ["p", *[f"v{i:02}" for i in range(20) if i != 7]]


def test_missing_label_file_entries_are_named_in_the_failures_once(root, tmp_path):
    tree(tmp_path / "v", "abc_def-123.mp4")
    csv = text(
        tmp_path / "k.csv",
        "label,youtube_id,time_start,time_end,split\na,abc_def-123,1,11,train\nb,gone_gone_1,2,12,train\n",
    )
    for _ in range(2):
        report = run(root, tmp_path / "v", labels=(csv,))
        assert (report.videos, report.missing, report.failed, report.unlabelled) == (1, 1, 0, 0)
    assert failures(root) == [("gone_gone_1_000002_000012", "index", "Missing")]
    assert Failures(root).latest()["attempts"].to_pylist() == [1]


# -- what goes wrong --------------------------------------------------------------------------------------------------


def refuse(monkeypatch, name: str, error: OSError) -> None:
    real = open

    def opened(path, *rest, **options):
        if str(path).endswith(name):
            raise error
        return real(path, *rest, **options)

    monkeypatch.setattr(contents.places, "open", opened, raising=False)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied"), "It may not be read. Mend its permissions"),
        (OSError(5, "Input/output error"), "It cannot be read: Input/output error"),
        (FileNotFoundError(2, "No such file"), "It vanished between listing and reading"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_failure_and_the_others_are_indexed(error, message, root, twenty, monkeypatch):
    refuse(monkeypatch, "v05.mp4", error)
    report = run(root, twenty)
    assert counts(report) == (19, 19, 0, 19)
    assert report.failed == 1
    assert failures(root) == [("v05.mp4", "index", "Unreachable")]
    row = Failures(root).latest().to_pylist()[0]
    assert (row["key"], row["dataset"], row["recipe_key"]) == (None, "d", "")
    assert message in row["message"]
    run(root, twenty)
    assert Failures(root).latest()["attempts"].to_pylist() == [2]
    monkeypatch.undo()
    assert counts(run(root, twenty)) == (20, 1, 19, 20)


def test_a_file_that_failed_keeps_its_earlier_row(root, twenty, monkeypatch):
    run(root, twenty)
    (twenty / "v05.mp4").write_bytes(b"changed")
    refuse(monkeypatch, "v05.mp4", PermissionError(13, "Permission denied"))
    report = run(root, twenty)
    assert (report.videos, report.failed, report.missing) == (19, 1, 0)
    assert len(manifest(root)) == 20


def test_links_to_nothing_pipes_and_growing_files_are_failures(root, twenty, monkeypatch):
    (twenty / "lost.mp4").symlink_to(twenty / "nowhere.mp4")
    os.mkfifo(twenty / "pipe.mp4")
    real = contents.stream_key

    def growing(stream):
        key = real(stream)
        if stream.name.endswith("v01.mp4"):
            with open(stream.name, "ab") as file:
                file.write(b"more")
        return key

    monkeypatch.setattr(contents, "stream_key", growing)
    report = run(root, twenty)
    assert (report.videos, report.failed) == (19, 3)
    found = {row["uri"].rpartition("/")[2]: row["message"] for row in Failures(root).latest().to_pylist()}
    assert "link to nothing" in found["lost.mp4"]
    assert "it is a pipe, and no file" in found["pipe.mp4"]
    assert "it changed while it was read; index again once it is complete" in found["v01.mp4"]


def test_a_file_that_grew_once_is_read_again(root, twenty, monkeypatch):
    real = contents.stream_key
    grown = []

    def growing(stream):
        key = real(stream)
        if stream.name.endswith("v01.mp4") and not grown:
            grown.append(stream.name)
            (twenty / "v01.mp4").write_bytes(b"complete")
        return key

    monkeypatch.setattr(contents, "stream_key", growing)
    assert run(root, twenty).failed == 0
    monkeypatch.undo()
    assert manifest(root)["v01"]["key"] == key_of(twenty / "v01.mp4")
    assert manifest(root)["v01"]["size_bytes"] == len(b"complete")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_user_without_permission_gets_failures_not_a_traceback(tmp_path):
    folder = tree(tmp_path / "v", "mine.mp4", "yours.mp4", "shut/x.mp4")
    (folder / "mine.mp4").chmod(0o600)
    (folder / "shut").chmod(0o700)
    (tmp_path / "root").mkdir(mode=0o777)
    (tmp_path / "root").chmod(0o777)
    for parent in [tmp_path, *tmp_path.parents][:4]:
        parent.chmod(parent.stat().st_mode | 0o055)
    script = (
        "import os; from pipelines.index.videos import index; from pipelines.index.settings import IndexConfig\n"
        "from stores.root import Root\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"r = index(IndexConfig(({str(folder)!r},), 'd'), Root({str(tmp_path / 'root')!r})); print(r.videos, r.failed)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "1 2\n", done.stderr
    assert sorted(failures(Root(tmp_path / "root"))) == [
        ("mine.mp4", "index", "Unreachable"),
        ("shut", "index", "Unreachable"),
    ]


def test_rows_below_a_folder_that_cannot_be_listed_are_not_taken_for_gone(root, tmp_path, monkeypatch):
    tree(tmp_path / "v", "a/x.mp4", "b/y.mp4")
    run(root, tmp_path / "v")
    real = os.scandir

    def scandir(path):
        if str(path).rstrip("/").endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("pipelines.index.files.os.scandir", scandir)
    report = run(root, tmp_path / "v", prune=True)
    assert (report.failed, report.missing, report.pruned) == (1, 0, 0)
    assert sorted(manifest(root)) == ["a/x", "b/y"]


def test_a_killed_index_finds_again_what_was_saved(root, twenty, monkeypatch):
    monkeypatch.setattr(contents, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(contents, "_BATCH", 1)
    real, read = contents._hash, []

    def dying(uri, stat):
        if len(read) == 12:
            raise KeyboardInterrupt
        read.append(uri)
        return real(uri, stat)

    monkeypatch.setattr(contents, "_hash", dying)
    with pytest.raises(KeyboardInterrupt):
        run(root, twenty)
    again = []
    monkeypatch.setattr(contents, "_hash", lambda uri, stat: again.append(uri) or real(uri, stat))
    assert counts(run(root, twenty)) == (20, 20, 0, 20)
    assert len(again) <= 20 - len(read) + 2 * contents._THREADS


def test_progress_counts_up_to_all_files(root, twenty, monkeypatch):
    monkeypatch.setattr(contents, "_BATCH", 3)
    seen = []
    index(IndexConfig((str(twenty),), "d"), root, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (20, 20)
    assert len(seen) == 7


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "with space"])
def test_a_name_that_cannot_be_a_file_is_no_data_set(name, root, twenty):
    with pytest.raises(UsageError, match="A data set's name is letters, digits, dot, dash and underscore, got"):
        run(root, twenty, dataset=name)


def test_no_path_and_a_path_without_video_are_refused_and_write_nothing(root, tmp_path):
    with pytest.raises(UsageError, match="no path was given"):
        run(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match=r"No video below .*empty/: 0 other files"):
        run(root, tmp_path / "empty")
    assert Manifest(root).datasets() == []


# -- object stores ----------------------------------------------------------------------------------------------------


def test_urls_are_indexed_and_not_read_twice(root, monkeypatch):
    fs = fsspec.filesystem("memory")
    for name in ("walk/a.mp4", "run/b.mp4"):
        fs.pipe(f"/indexed/{name}", name.encode())
    assert counts(run(root, "memory://indexed")) == (2, 2, 0, 2)
    row = manifest(root)["walk/a"]
    assert (row["uri"], row["label"], row["size_bytes"]) == ("memory://indexed/walk/a.mp4", "walk", 10)
    monkeypatch.setattr(contents, "_hash", lambda *_: pytest.fail("read again"))
    assert counts(run(root, "memory://indexed")) == (2, 0, 2, 2)


def test_an_object_that_vanishes_is_a_failure(root, monkeypatch):
    fs = fsspec.filesystem("memory")
    for name in ("a.mp4", "b.mp4"):
        fs.pipe(f"/vanish/{name}", name.encode())
    real = contents.stream_key

    def vanish(stream):
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(contents, "stream_key", lambda s: vanish(s) if s.getvalue() == b"a.mp4" else real(s))
    report = run(root, "memory://vanish")
    assert (report.videos, report.failed) == (1, 1)
    assert failures(root) == [("a.mp4", "index", "Unreachable")]


# -- features made elsewhere ------------------------------------------------------------------------------------------


def er_folder(base: Path, *names: str) -> Path:
    base.mkdir(parents=True)
    for number, name in enumerate(names):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(base / f"{name}.npy", np.full((1, 4), number, np.float32))
    return base


def test_a_folder_of_npy_is_imported_by_video_id_and_a_second_time_adds_nothing(root, tmp_path, twenty):
    run(root, twenty)
    folder = er_folder(tmp_path / "er", "v00", "v01", "unknown")
    report = run(root, folder)
    (done,) = report.imports
    assert (done.items, done.rows, done.added, done.unknown, done.refused) == (3, 3, 2, ("unknown",), ())
    feature_set = FeatureStore(root).find("imported")
    assert feature_set.name == done.feature
    assert feature_set.recipe["weights"].startswith("imported:")
    assert sorted(feature_set.load().values[:, 0].tolist()) == [0, 1]
    assert run(root, folder).imports[0].added == 0
    np.save(folder / "v02.npy", np.full((1, 4), 9, np.float32))
    assert run(root, folder).imports[0].feature != done.feature


def test_videos_and_features_can_be_given_at_once(root, tmp_path, twenty):
    report = run(root, twenty, er_folder(tmp_path / "er", "v00"))
    assert counts(report) == (20, 20, 0, 20)
    assert report.imports[0].added == 1


def test_features_without_their_folders_are_matched_by_the_end_of_the_id(root, tmp_path):
    tree(tmp_path / "v", "bow/1.mp4", "bow/2.mp4", "sit/2.mp4", "sit/3.mp4")
    run(root, tmp_path / "v")
    (done,) = run(root, er_folder(tmp_path / "er", "1", "2", "sit/3")).imports
    assert (done.added, done.unknown) == (2, ("2",))


def test_nan_and_rowless_items_are_refused_by_name_and_the_others_kept(root, tmp_path, twenty):
    run(root, twenty)
    values = np.ones((3, 2), np.float16)
    values[1, 1] = np.nan
    features = Foreign(["v00", "v01", "v02", "v03"], None, values, np.array([0, 1, 2, 2, 3]))
    write_foreign(tmp_path / "f.h5", features, "hdf5")
    (done,) = run(root, tmp_path / "f.h5").imports
    assert (done.added, done.refused) == (2, ("v01", "v02"))
    rows = Failures(root).latest().to_pylist()
    assert [(row["stage"], row["error"]) for row in rows] == [("import", "NotFinite"), ("import", "NoRows")]
    assert "'v01' holds NaN or infinity" in rows[0]["message"]


def test_files_with_keys_need_no_manifest_and_name_their_source(root, tmp_path):
    keys = np.arange(64, dtype=np.uint8).reshape(2, 32)
    recipe = {"extractor": "x", "version": 1, "weights": "w", "sampling": {}, "preprocessing": {}, "outputs": {}}
    features = Foreign(
        ["a", "b"], keys, np.ones((2, 3), np.float16), np.array([0, 1, 2]), np.ones((2, 2), np.float32), recipe
    )
    write_foreign(tmp_path / "f.npz", features, "npy")
    (done,) = run(root, tmp_path / "f.npz", dataset="never-indexed").imports
    feature_set = FeatureStore(root).find(done.feature)
    assert np.array_equal(feature_set.keys(), keys)
    assert np.array_equal(feature_set.load().times, features.times)
    assert len(feature_set.recipe["source"]) == 64


def test_features_that_share_no_video_or_lie_elsewhere_are_refused(root, tmp_path, twenty):
    run(root, twenty)
    with pytest.raises(
        UsageError, match=r"None of the 2 video ids in .*er is in data set 'd': .* 'p', 'q'; .* has 'v00'"
    ):
        run(root, er_folder(tmp_path / "er", "p", "q"))
    with pytest.raises(UsageError, match=r"imported from a local file or folder, got 'memory://f.h5'"):
        run(root, "memory://f.h5")
    assert FeatureStore(root).names() == []


def one_each(path: Path, dtype: str = "f4", scale: float = 1.0, **rows: int) -> Path:
    """An HDF5 file of others: a dataset (rows, 4) an id."""
    with h5py.File(path, "w") as file:
        for name, count in rows.items():
            file[name.replace("__", "/")] = (np.arange(count * 4).reshape(count, 4) * scale + 1).astype(dtype)
    return path


def test_ids_in_other_spellings_are_matched_and_the_report_says_by_which_rule(root, tmp_path):
    tree(tmp_path / "v", "v_a.mp4", "b.mp4", "c_000010_000020.mp4", "rest.mp4")
    run(root, tmp_path / "v")
    (done,) = run(root, one_each(tmp_path / "f.h5", **{"a": 1, "train__v_b.avi": 2, "c": 3, "strange": 1})).imports
    assert (done.added, done.unknown, done.lacking) == (3, ("strange",), ("rest",))
    assert done.matched == {"v_": 1, "ending, folder, v_": 1, "times": 1}
    assert done.told() == [
        f"Ids of {tmp_path}/f.h5 matched: 1 v_, 1 ending, folder, v_, 1 times.",
        f"1 ids of {tmp_path}/f.h5 are not in the data set: 'strange'; 1 of the data set are not in the file: 'rest'.",
    ]


def test_an_id_that_meets_two_videos_is_matched_with_none_and_named(root, tmp_path):
    tree(tmp_path / "v", "bow/x.mp4", "sit/x.mp4", "sit/y.mp4")
    run(root, tmp_path / "v")
    (done,) = run(root, one_each(tmp_path / "f.h5", x=1, y=1)).imports
    assert (done.added, done.unknown, done.ambiguous, done.lacking) == (1, ("x",), ("x",), ("bow/x", "sit/x"))
    assert "1 ids are alike to several and were not matched: 'x'." in done.told()


def test_features_are_of_the_video_where_captions_and_poses_bear_its_name(root, tmp_path):
    tree(tmp_path / "v", "a.mp4")
    run(root, tmp_path / "v")
    row = manifest(root)["a"]
    others = [{**row, "kind": kind, "key": bytes([n]) * 32} for n, kind in enumerate(("pose", "caption_group"))]
    Manifest(root).write("d", pa.Table.from_pylist([row, *others], schema=SCHEMA))
    (done,) = run(root, one_each(tmp_path / "f.h5", a=1)).imports
    assert FeatureStore(root).find(done.feature).keys().tobytes() == row["key"]


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i2", "<f2"])
def test_features_of_another_order_of_bytes_are_stored_with_equal_values(dtype, root, tmp_path):
    tree(tmp_path / "v", "a.mp4")
    run(root, tmp_path / "v")
    run(root, one_each(tmp_path / "f.h5", dtype, a=3))
    stored = FeatureStore(root).find("imported")
    assert np.array_equal(stored.load().values, np.arange(12).reshape(3, 4) + 1)
    assert stored.load().values.dtype == np.dtype(dtype).newbyteorder("=")
    assert list(stored.damage()) == []


def test_numbers_beyond_float32_are_refused_by_name_and_never_become_infinity(root, tmp_path):
    tree(tmp_path / "v", "a.mp4", "b.mp4")
    run(root, tmp_path / "v")
    path = one_each(tmp_path / "f.h5", "f8", 1e30, a=1, b=1)
    with h5py.File(path, "a") as file:
        file["b"][0, 1] = -1e39
    (done,) = run(root, path).imports
    assert (done.added, done.refused) == (1, ("b",))
    assert "'b' holds 1e+39, and training reads float32" in Failures(root).latest()["message"][0].as_py()
    with h5py.File(path, "a") as file:
        file["a"][0, 1] = 1e39
    with pytest.raises(UsageError, match=r"None of the 2 features in .*f.h5 can be kept: 'a' holds 1e\+39"):
        run(root, path)
    assert len(FeatureStore(root).names()) == 1


def test_rows_with_axes_of_length_one_are_vectors_and_rows_without_numbers_are_refused(root, tmp_path):
    tree(tmp_path / "v", "a.mp4")
    run(root, tmp_path / "v")
    pooled = np.arange(12, dtype=np.float32).reshape(3, 4, 1, 1)
    np.savez(tmp_path / "f.npz", a=pooled)
    run(root, tmp_path / "f.npz")
    assert np.array_equal(FeatureStore(root).find("imported").load().values, pooled[:, :, 0, 0])
    np.savez(tmp_path / "none.npz", a=np.ones((3, 0)))
    with pytest.raises(UsageError, match=r"The rows of .*none.npz hold no number: they are \(0,\)"):
        run(root, tmp_path / "none.npz")


def test_an_empty_vector_is_no_row_of_one_video_and_the_others_are_kept(root, tmp_path, twenty):
    run(root, twenty)
    np.savez(tmp_path / "f.npz", v00=np.ones(0), v01=np.ones((2, 4)))
    (done,) = run(root, tmp_path / "f.npz").imports
    assert (done.added, done.refused) == (1, ("v00",))


def test_several_crops_are_refused_because_a_row_is_one_vector(root, tmp_path, twenty):
    run(root, twenty)
    np.savez(tmp_path / "f.npz", v00=np.ones((3, 10, 4)), v01=np.ones((2, 10, 4)))
    with pytest.raises(UsageError, match=r"A row of features is D numbers, and those of .*f.npz are \(10, 4\)"):
        run(root, tmp_path / "f.npz")


def test_streams_in_one_folder_are_two_features_and_refused_until_each_has_its_own(root, tmp_path, twenty):
    run(root, twenty)
    folder = er_folder(tmp_path / "out", "v00_rgb", "v00_flow", "v01_rgb", "v01_flow")
    with pytest.raises(UsageError, match=r"several features a video \(2 ids end in '_flow', 2 ids end in '_rgb'\)"):
        run(root, folder)
    (tmp_path / "rgb").mkdir()
    for path in folder.glob("*_rgb.npy"):
        path.rename(tmp_path / "rgb" / path.name)
    for one in ("rgb", "out"):
        assert run(root, tmp_path / one).imports[0].matched == {"stream": 2}
    assert len(FeatureStore(root).names()) == 2


def test_two_features_are_never_one_set_even_where_each_video_has_only_one_of_them(root, tmp_path, twenty):
    run(root, twenty)
    with pytest.raises(UsageError, match=r"several features .*\(1 ids end in '_rgb', 1 ids end in '_flow'\)"):
        run(root, one_each(tmp_path / "f.h5", v00_rgb=1, v01_flow=1))
    assert run(root, one_each(tmp_path / "g.h5", v00_rgb=1, v01=1)).imports[0].added == 2


def test_a_second_index_says_what_was_not_taken_here_and_on_object_stores(root, tmp_path):
    tree(tmp_path / "v", "a.mp4", "b.jpg", "c.jpg", "notes.txt", "README")
    fs = fsspec.filesystem("memory")
    fs.pipe("/mixed/a.mkv", b"x")
    fs.pipe("/mixed/b.jpg", b"x")
    report = run(root, tmp_path / "v", "memory://mixed")
    assert report.not_taken == {".jpg": 3, ".txt": 1, "without": 1}
    assert report.told() == ["Not taken, for they do not end like a video: 3 .jpg, 1 .txt, 1 without."]
    np.save(tmp_path / "v/f.npy", np.ones(3))
    assert run(root, tmp_path / "v").not_taken[".npy"] == 1
    folder = er_folder(tmp_path / "er", "a")
    (folder / "args.json").write_text("{}")
    assert run(root, folder).not_taken == {".json": 1}


@pytest.mark.shared
def test_features_of_others_are_matched_or_refused(root, shared_data):
    folder = shared_data / "odd/features_of_others"
    run(root, folder / "v")
    matched = {
        "anet_c3d.hdf5": "array",
        "big_endian_f8.h5": "as it stands",
        "ids_features.h5": "as it stands",
        "plain_id.h5": "v_",
        "with_extension.h5": "ending",
        "with_folder.npz": "folder",
        "video_features_clip": "stream",
    }
    for name, rule in matched.items():
        (done,) = run(root, folder / name).imports
        assert (done.added, done.matched, done.unknown, done.lacking) == (3, {rule: 3}, (), ()), name
        assert list(FeatureStore(root).find(done.feature).damage()) == []
    (done,) = run(root, folder / "empty_one.h5").imports
    assert (done.added, done.refused) == (2, ("v_ehGHCYKzyZ8",))
    refused = {
        "f4_overflow.h5": "training reads float32",
        "pickled.npy": "holds pickled Python objects, which are never loaded",
        "ten_crops.h5": r"are \(10, 16\): several crops",
        "transposed.h5": r"They seem to be \(D, rows\)",
        "vlen.h5": "nothing says how many rows each is",
        "video_features_out": "3 ids end in '_flow', 3 ids end in '_rgb'",
    }
    for name, message in refused.items():
        with pytest.raises((UsageError, BadFile), match=message) as error:
            run(root, folder / name)
        assert "\n" not in str(error.value)
    found = {path.name for path in folder.iterdir()} - {"v"}
    assert found == {*matched, *refused, "empty_one.h5"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.sampled_from(["a/x", "a/y", "x", "y", "b/a/x"]), unique=True, min_size=1), min_size=1, max_size=4
    )
)
def test_however_paths_are_given_every_file_has_one_row_of_its_own(tmp_path_factory, runs):
    base = tmp_path_factory.mktemp("base")
    root = Root(base / "root")
    for number, names in enumerate(runs):
        tree(base / f"v{number % 2}", *[f"{name}.mp4" for name in names])
        report = run(root, base / f"v{number % 2}")
        assert report.new + report.unchanged == report.videos
    on_disk = sorted(str(path) for path in base.glob("v*/**/*.mp4"))
    assert sorted(row["uri"] for row in manifest(root).values()) == on_disk
