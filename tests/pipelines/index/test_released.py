"""Released features without their videos: from a file and label files to a number; and what if videos come."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipelines.errors import LayoutError, UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.index.recordings import with_recording
from pipelines.index.report import IndexReport
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.learn.samples.features import read
from pipelines.learn.settings import FitConfig
from pipelines.look.compare import compare
from pipelines.look.export import export
from pipelines.look.listing import datasets, failures, features
from pipelines.look.settings import CompareConfig, ExportConfig
from stores.features import FeatureStore
from stores.foreign import Foreign, read_foreign, write_foreign
from stores.keys import id_key, text_key
from stores.manifest import Manifest
from stores.root import Root
from tests.pipelines import studies
from tests.pipelines.index.layouts.test_reading import database, entry, text, tree
from tests.pipelines.studies import CLASSES

NAMES = tuple(f"v_{name}_g{g:02}_c01" for name in CLASSES for g in range(1, 6))


def archive(path: Path, ids: list[str] | tuple[str, ...], seed: int = 0, dim: int = 8) -> str:
    """An npz with an array of two rows an id; ids of one class have alike features."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in ids:
        centre = np.random.default_rng(sum(map(ord, name.split("_g")[0]))).normal(size=dim)
        arrays[name] = (centre + rng.normal(size=(2, dim)) / 9).astype(np.float32)
    np.savez(path, **arrays)
    return str(path)


def lists(folder: Path) -> tuple[str, ...]:
    """UCF101's lists of the same names."""
    lines = [f"{name.split('_')[1]}/{name}.avi" for name in NAMES]
    return (
        text(folder / "trainlist01.txt", "".join(f"{line} {1 + i // 5}\r\n" for i, line in enumerate(lines) if i % 5)),
        text(folder / "testlist01.txt", "".join(f"{line}\r\n" for line in lines[::5])),
        text(folder / "classInd.txt", "".join(f"{k} {name}\r\n" for k, name in enumerate(CLASSES, 1))),
    )


def run(root: Root, *paths: object, **options) -> IndexReport:
    return index(IndexConfig(tuple(map(str, paths)), options.pop("dataset", "d"), **options), root)


def rows(root: Root, dataset: str = "d") -> dict[str, dict]:
    return {row["video_id"]: row for row in Manifest(root).read(dataset).to_pylist()}


def labels(root: Root) -> dict[str, tuple]:
    """Of each item its label, and its split with its recording at the end."""
    told = rows(root).items()
    return {name: (row["label"], with_recording(row["split"], row["recording"])) for name, row in told}


def test_released_features_and_lists_give_a_number_without_any_video(root, tmp_path, fake):
    studies.classes(root, tmp_path)
    told = {name: studies.letters(k) * 4 for k, name in enumerate(CLASSES)}
    studies.texts(root, tmp_path, "definition", {name: [own] for name, own in told.items()})
    extract(ExtractConfig(("fake_text",), set="d", workers=1), root)
    keys = np.stack([np.frombuffer(text_key(each), np.uint8) for each in told.values()])
    vectors = FeatureStore(root).find("fake_text").load(keys).values
    of_class = dict(zip(told, vectors, strict=True))  # features as near to their class as they can be
    file = str(tmp_path / "i3d.npz")
    np.savez(file, **{f"{name}.avi": of_class[name.split("_")[1]][None] for name in NAMES})
    report = run(root, file, labels=lists(tmp_path))
    assert (report.videos, report.new, report.layout, report.missing, report.unlabelled) == (40, 40, "ucf101", 0, 0)
    (done,) = report.imports
    assert (done.added, done.unknown, done.lacking) == (40, (), ())
    found = rows(root)
    assert sorted(found) == sorted(NAMES)
    one = found["v_archery_g01_c01"]
    assert (one["kind"], one["label"], one["split"]) == ("feature", "archery", "test")
    assert one["recording"] == "v_archery_g01"
    assert (one["uri"], one["key"]) == (f"{file}#v_archery_g01_c01.avi", id_key("d", "v_archery_g01_c01"))

    protocol = studies.protocol(tmp_path)
    options = ("texts=definition",)
    config = FitConfig("nearest", "d", "imported", protocol, encoder="fake_text", options=options, workers=1)
    fitted = fit(config, root)
    judged = evaluate(EvaluateConfig(fitted.run), root)
    assert (judged.splits, judged.n, judged.missing) == (3, 45, 0)
    assert judged.zsl["top1"] == (1.0, 0.0)

    out = tmp_path / "out.h5"
    assert export(ExportConfig("imported", "d", str(out)), root).items == 40
    assert sorted(read_foreign(out).video_id) == sorted(NAMES)
    assert [(r.items, r.damaged) for r in verify(VerifyConfig(("imported",)), root)] == [(40, ())]
    assert compare(CompareConfig("imported", file, dataset="d"), root).cause == "identical"
    assert [(row["videos"], row["classes"]) for row in datasets(root)] == [(40, 8)]
    assert failures(root) == []
    assert {row["items"] for row in features(root)} == {40, 16}


def test_extraction_from_features_alone_is_refused_before_it_begins(root, tmp_path, fake):
    run(root, archive(tmp_path / "f.npz", NAMES), labels=lists(tmp_path))
    with pytest.raises(
        UsageError, match=r"'d' has features but no videos, and fake reads videos. Index them: `zsar ind"
    ):
        extract(ExtractConfig(("fake",), "d"), root)
    assert failures(root) == []


def test_two_files_of_the_same_videos_in_two_spellings_land_on_the_same_rows(root, tmp_path):
    run(root, archive(tmp_path / "one.npz", NAMES), labels=lists(tmp_path))
    before = {name: row["key"] for name, row in rows(root).items()}
    again = run(root, archive(tmp_path / "two.npz", [f"test/{n[2:]}_rgb" for n in NAMES], 1), labels=lists(tmp_path))
    assert (again.videos, again.new, again.unchanged) == (40, 0, 40)
    assert {name: row["key"] for name, row in rows(root).items()} == before
    without = run(root, archive(tmp_path / "three.npz", NAMES, 2))  # known now: nothing more need be said
    assert (without.videos, without.imports[0].added, len(FeatureStore(root).names())) == (0, 40, 3)


@pytest.mark.parametrize("ids", [("a", "b"), ("v_a.mp4", "train/b_rgb.mp4")])
def test_features_without_videos_labels_or_layout_are_refused_with_commands_that_work(ids, root, tmp_path):
    file = archive(tmp_path / "f.npz", ids)
    with pytest.raises(UsageError, match=r"has no videos yet, and .*f.npz has only ids \('.*'\)") as refused:
        run(root, file)
    assert f"`zsar index {file} --dataset d --labels FILE`" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (Manifest(root).datasets(), FeatureStore(root).names()) == ([], [])
    report = run(root, file, labels=(text(tmp_path / "l.csv", "id,label\na,Bow\nb,Sit\n"),))
    assert (report.layout, labels(root)) == ("table", {"a": ("Bow", None), "b": ("Sit", None)})


# -- the label files of each data set ---------------------------------------------------------------------------------


def test_class_folders_of_files_label_them(root, tmp_path):
    for name in ("bow/1", "bow/2", "sit/1"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"f/{name}.npy", np.ones((1, 4), np.float32))
    (tmp_path / "f/readme.txt").write_text("x")
    report = run(root, tmp_path / "f", layout="class-video")
    assert report.not_taken == {".txt": 1}
    assert labels(root) == {"bow/1": ("bow", None), "bow/2": ("bow", None), "sit/1": ("sit", None)}


def test_a_group_a_video_is_labelled_by_activitynets_json_as_a_whole(root, tmp_path):
    with h5py.File(tmp_path / "c3d.hdf5", "w") as file:
        for name in ("v_aaa", "v_bbb", "v_ccc"):
            file[f"{name}/c3d_features"] = np.ones((3, 4), np.float32)
    content = database(
        aaa=entry("training", ("Bow", 0, 1), ("Bow", 2, 3)),
        bbb=entry("validation", ("Bow", 0, 1), ("Sit", 2, 3)),
        ddd=entry("training", ("Sit", 0, 1)),
    )
    report = run(root, tmp_path / "c3d.hdf5", labels=(text(tmp_path / "a.json", content),))
    assert (report.videos, report.missing, report.unlabelled) == (3, 1, 2)
    assert labels(root) == {"aaa": ("Bow", "train"), "bbb": (None, "val"), "ccc": (None, None)}


def test_kinetics_ids_without_times_are_labelled_where_one_clip_has_them(root, tmp_path):
    header = "label, youtube_id, time_start, time_end, split\n"
    csv = f"{header}a b, abc, 1, 11, train\nc, xyz, 5, 15, val\nc, xyz, 25, 35, val\n"
    run(root, archive(tmp_path / "f.npz", ["abc", "xyz_25_35"]), labels=(text(tmp_path / "k.csv", csv),))
    assert labels(root) == {
        "abc_000001_000011": ("a b", "train,recording=abc"),
        "xyz_000025_000035": ("c", "val,recording=xyz"),
    }


def test_hmdb51_names_in_two_classes_are_told_apart_by_folder(root, tmp_path):
    files = (text(tmp_path / "hit_test_split1.txt", "a.avi 1\n"), text(tmp_path / "kick_test_split1.txt", "a.avi 2\n"))
    run(root, archive(tmp_path / "f.npz", ["hit/a", "kick/a"]), labels=files)
    assert labels(root) == {"hit/a": ("hit", "train"), "kick/a": ("kick", "test")}


def test_names_of_ucf101_say_their_class_by_themselves(root, tmp_path):
    run(root, archive(tmp_path / "f.npz", ["v_Bow_g01_c01_rgb", "v_Sit_g01_c01_rgb"]), layout="ucf101")
    assert labels(root) == {
        "v_Bow_g01_c01": ("Bow", "recording=v_Bow_g01"),
        "v_Sit_g01_c01": ("Sit", "recording=v_Sit_g01"),
    }


def test_label_files_of_other_videos_and_several_streams_are_refused_and_write_nothing(root, tmp_path):
    with pytest.raises(LayoutError, match=r"name none of the 1 videos: they name 1: 'b'; the files are 'a'"):
        run(root, archive(tmp_path / "f.npz", ["a"]), labels=(text(tmp_path / "l.csv", "id,label\nb,Sit\n"),))
    streams = archive(tmp_path / "s.npz", ["a_rgb", "a_flow"])
    with pytest.raises(UsageError, match=r"s.npz holds several features a video \(1 ids end in '_rgb', 1 ids end in"):
        run(root, streams, labels=(text(tmp_path / "l.csv", "id,label\na,Sit\n"),))
    assert Manifest(root).datasets() == []


def test_labels_come_later_and_stay_where_a_later_file_says_nothing(root, tmp_path):
    file = archive(tmp_path / "f.npz", ["a", "b"])
    assert run(root, file, layout="folder").unlabelled == 2
    table = text(tmp_path / "l.csv", "id,label,split\na,Bow,train\n")
    assert run(root, file, labels=(table,)).unlabelled == 1
    run(root, file, layout="folder")
    assert labels(root) == {"a": ("Bow", "train"), "b": (None, None)}


# -- when the videos come ---------------------------------------------------------------------------------------------


def test_videos_that_come_later_take_the_rows_over_and_no_video_counts_twice(root, tmp_path):
    studies.classes(root, tmp_path)
    file = archive(tmp_path / "f.npz", NAMES)
    run(root, file, labels=lists(tmp_path))
    tree(tmp_path / "films", *[f"{name.split('_')[1]}/{name}.avi" for name in NAMES[:20]])
    report = run(root, tmp_path / "films", layout="ucf101")
    assert (report.videos, report.new) == (20, 20)
    alone = read("d", "imported", "d", root)
    assert sorted(alone.ids) == sorted(NAMES)
    assert alone.missing == ()

    done = run(root, file).imports[0]
    assert (done.added, done.lacking) == (20, ())
    both = read("d", "imported", "d", root)
    assert sorted(both.ids) == sorted(NAMES)
    assert both.missing == ()
    video_keys = {row["key"] for row in Manifest(root).read("d").to_pylist() if row["kind"] == "video"}
    assert video_keys <= {key.tobytes() for key in both.keys}
    out = tmp_path / "out.h5"
    assert export(ExportConfig("imported", "d", str(out)), root).items == 40
    assert np.array_equal(np.sort(both.segments, 0), np.sort(alone.segments, 0))


def test_a_split_that_was_told_stays_where_only_the_recording_is_told_now(root, tmp_path):
    listed = "".join(f"{name.split('_')[1]}/{name}.avi\n" for name in NAMES[:8])
    lists = text(tmp_path / "testlist01.txt", listed)
    file = archive(tmp_path / "f.npz", NAMES)
    run(root, file, labels=(lists,), layout="ucf101")
    before = labels(root)
    assert [split.startswith("test,recording=") for _, split in before.values()].count(True) == 8
    run(root, file, layout="ucf101")
    assert {name: split for name, (_, split) in labels(root).items()} == {n: split for n, (_, split) in before.items()}


def test_a_film_without_a_label_takes_the_split_of_its_features_and_keeps_its_recording(root, tmp_path):
    csv = text(tmp_path / "k.csv", "label, youtube_id, time_start, time_end, split\na b, abcdefghijk, 1, 11, train\n")
    run(root, archive(tmp_path / "f.npz", ["abcdefghijk"]), labels=(csv,))
    run(root, tree(tmp_path / "films", "abcdefghijk_000001_000011.mp4"), layout="kinetics")
    told = [(r["kind"], r["label"], r["split"], r["recording"]) for r in Manifest(root).read("d").to_pylist()]
    assert ("video", "a b", "train", "abcdefghijk") in told


def test_a_video_that_comes_without_a_label_bears_that_of_its_features(root, tmp_path, fake):
    studies.classes(root, tmp_path)
    file = archive(tmp_path / "f.npz", NAMES)
    run(root, file, labels=lists(tmp_path))
    tree(tmp_path / "films", *[f"{name}.avi" for name in NAMES], "strange.avi")
    report = run(root, tmp_path / "films", layout="folder")
    assert (report.videos, report.unlabelled) == (41, 1)
    run(root, file)  # the features are the videos' own now
    found = read("d", "imported", "d", root)
    assert sorted(found.ids) == sorted(NAMES)
    assert [(row["split"] or "").split(",")[0] for row in rows(root).values() if row["kind"] == "video"].count(
        "test"
    ) == 8
    other = text(tmp_path / "l.csv", f"id,label\n{NAMES[0]},bowling\n")
    run(root, tmp_path / "films", labels=(other,))
    of_films = {r["video_id"]: r["label"] for r in Manifest(root).read("d").to_pylist() if r["kind"] == "video"}
    assert (of_films[NAMES[0]], of_films[NAMES[1]]) == ("bowling", "archery")


def test_features_of_films_that_are_there_are_theirs_and_their_labels_stay(root, tmp_path):
    tree(tmp_path / "films", "Bow/v_Bow_g01_c01.avi")
    run(root, tmp_path / "films", layout="ucf101")
    table = text(tmp_path / "l.csv", "id,label\nv_Bow_g01_c01,Other\nv_Sit_g01_c01,Sit\n")
    report = run(root, archive(tmp_path / "f.npz", ["v_Bow_g01_c01", "v_Sit_g01_c01"]), labels=(table,))
    assert (report.videos, report.of_videos) == (1, 1)
    assert report.told()[0] == "1 of the ids are of videos that are there: those keep their labels."
    found = rows(root)
    assert {name: (row["kind"], row["label"]) for name, row in found.items()} == {
        "v_Bow_g01_c01": ("video", "Bow"),
        "v_Sit_g01_c01": ("feature", "Sit"),
    }
    assert sorted(k.tobytes() for k in FeatureStore(root).find("imported").keys()) == sorted(
        row["key"] for row in found.values()
    )


def test_films_and_features_alone_can_be_compared_by_name(root, tmp_path, fake):
    file = archive(tmp_path / "f.npz", NAMES)
    run(root, file, labels=lists(tmp_path))
    run(root, archive(tmp_path / "g.npz", NAMES, 1), labels=lists(tmp_path))
    tree(tmp_path / "films", *[f"{name}.avi" for name in NAMES])
    run(root, tmp_path / "films")
    one, other = sorted(FeatureStore(root).names())
    run(root, file)
    assert compare(CompareConfig(one, other, dataset="d"), root).n == 40


def test_a_file_with_keys_makes_rows_of_these_keys(root, tmp_path):
    keys = np.arange(64, dtype=np.uint8).reshape(2, 32)
    write_foreign(tmp_path / "f.h5", Foreign(["a", "b"], keys, np.ones((2, 3), np.float16), np.arange(3)), "hdf5")
    run(root, tmp_path / "f.h5", labels=(text(tmp_path / "l.csv", "id,label\na,Bow\nb,Sit\n"),))
    assert [rows(root)[name]["key"] for name in "ab"] == [key.tobytes() for key in keys]


def test_rows_of_features_are_no_videos_that_could_be_gone(root, tmp_path):
    file = archive(tmp_path / "f.npz", ["a", "b"])
    run(root, file, layout="folder")
    Path(file).unlink()
    tree(tmp_path / "films", "c.mp4")
    report = run(root, tmp_path / "films", prune=True)
    assert (report.missing, report.pruned) == (0, 0)
    assert sorted(rows(root)) == ["a", "b", "c"]
    assert json.dumps(report.not_taken) == "{}"
