"""A small practice world: the same bytes however it is made, and every file is what the project's own stages take."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from extractors import clips
from extractors.joints import KINECT_20
from pipelines.errors import UsageError
from pipelines.index.poses import index_poses
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.learn.protocols.protocols import protocol
from pipelines.practice import takes
from pipelines.practice.practice import PracticeReport, practice
from pipelines.practice.settings import PracticeConfig
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.manifest import Manifest
from stores.root import Root
from tests.pipelines import skeletons

SMALL = {"classes": 6, "videos": 2, "size": 64, "splits": 2}


def made(folder: Path, root: Root, **more) -> PracticeReport:
    return practice(PracticeConfig(str(folder), **{**SMALL, "workers": 1, **more}), root)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("practice") / "world"
    report = made(folder, Root(folder.parent / "root"))
    assert (report.kind, report.classes, report.videos, report.drawn) == ("compositions", 6, 12, 12)
    return folder


def test_two_processes_write_the_bytes_that_one_writes(world, tmp_path, root):
    told = []
    practice(PracticeConfig(str(tmp_path / "w"), **SMALL, workers=2), root, lambda *done: told.append(done))
    assert contents(tmp_path / "w") == contents(world)
    assert told[-1] == (12, 12)


def test_another_seed_is_another_world(world, tmp_path, root):
    made(tmp_path / "w", root, seed=1)
    other, here = contents(tmp_path / "w"), contents(world)
    assert all(other[name] != here[name] for name in other if name.endswith((".mp4", ".npz")))


def test_more_films_of_a_class_leave_those_there_were_as_they_are(world, tmp_path, root):
    made(tmp_path / "w", root, videos=3)
    more, here = contents(tmp_path / "w"), contents(world)
    films = [name for name in here if name.endswith(".mp4")]
    assert all(more[name] == here[name] for name in films)
    assert sum(name.endswith(".mp4") for name in more) == 18


def test_a_second_call_makes_what_is_missing_and_then_nothing(world, tmp_path, root):
    folder = tmp_path / "w"
    before = contents(world)
    for name, content in before.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "videos" / "v003-01.mp4").unlink()
    (folder / "videos" / ".v003-01.77.part").write_bytes(b"half a film")
    (folder / "segments.csv").unlink()
    assert made(folder, root).drawn == 1
    assert contents(folder) == before
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert made(folder, root).drawn == 0
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_killed_call_leaves_whole_films_alone_and_is_gone_on_with(world, tmp_path, root, monkeypatch):
    pictures = takes.Take.pictures

    def stopping(take, size, fps):
        for number, picture in enumerate(pictures(take, size, fps)):
            if take.name == "v002-00" and number == 5:
                raise KeyboardInterrupt
            yield picture

    monkeypatch.setattr(takes.Take, "pictures", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "w", root)
    assert sorted(path.name for path in (tmp_path / "w" / "videos").glob("*.mp4"))[-1] == "v001-01.mp4"
    monkeypatch.undo()
    assert made(tmp_path / "w", root).drawn == 8
    assert contents(tmp_path / "w") == contents(world)


def test_films_decode_to_as_many_frames_as_were_drawn_and_show_somebody_move(world):
    archive = np.load(world / "poses.npz")
    assert list(archive["video"]) == [row["id"] for row in table(world / "labels.csv")]
    for name, frames in zip(archive["video"], archive["length"], strict=True):
        path = world / "videos" / f"{name}.mp4"
        assert len(clips.known(str(path)).times) == frames
        assert 2 * 15 - 1 <= frames <= 4 * 15 + 1
        first, *others = clips.thumbnails(str(path), 6, 64)
        assert first.shape == (64, 64, 3)
        assert max(np.abs(first.astype(int) - other).max() for other in others) > 60


def test_videos_poses_and_texts_are_indexed_under_the_same_classes(world, root):
    report = index(IndexConfig((str(world / "videos"),), "p", labels=(str(world / "labels.csv"),)), root)
    assert (report.videos, report.contents, report.missing, report.unlabelled) == (12, 12, 0, 0)
    poses = index_poses(IndexConfig((str(world / "poses.npz"),), "j", kind="poses"), root)
    assert (poses.videos, poses.contents, poses.failed, poses.layout) == (12, 12, 0, "kinect-20")
    assert not poses.doubts
    films, figures = (Manifest(root).read(name).to_pylist() for name in ("p", "j"))
    label_of = {row["video_id"]: row["label"] for row in films}
    for row in figures:
        told = dict(part.split("=") for part in row["split"].split(","))
        assert label_of[told["video"]] == row["label"]
        assert told["view"] in ("front", "left", "right")
    added = add(TextsConfig((str(world / "definitions.json"),), "definition", "p"), root)
    assert (added.new, added.unlinked, added.bad) == (6, 0, 0)
    assert set(added.classes) == set(label_of.values())
    phrases = add(TextsConfig((str(world / "phrases.json"),), "phrase", "p"), root)
    assert (phrases.unlinked, phrases.bad) == (0, 0)
    for name in ("splits.json", "control.json"):
        splits = protocol(str(world / name))
        assert splits.count == 2
        for number in range(splits.count):
            split = splits.split(number, sorted(set(label_of.values())))
            assert set(split.seen) | set(split.unseen) == set(label_of.values())


def test_segments_name_the_motions_of_each_film_in_their_order_within_it(world):
    archive = np.load(world / "poses.npz")
    seconds = dict(zip(archive["video"].tolist(), archive["length"] / 15, strict=True))
    rows = table(world / "segments.csv")
    for film in table(world / "labels.csv"):
        own = [row for row in rows if row["id"] == film["id"]]
        assert " then ".join(row["motion"] for row in own) == film["label"]
        assert [row["number"] for row in own] == [str(number) for number in range(len(own))]
        times = [float(row[name]) for row in own for name in ("start_s", "end_s")]
        assert [0, *times] == sorted([0, *times])
        assert times[-1] <= seconds[film["id"]] + 1e-3
    phrases = json.loads((world / "phrases.json").read_text())
    assert {row["phrase"] for row in rows} == {phrase for own in phrases.values() for phrase in own}


def test_poses_are_where_the_figure_is_in_the_picture(world):
    """The middle of the figure's joints, projected by its own camera, lies on what moves against a still background."""
    settings = json.loads((world / "practice.json").read_text())
    every = {take.name: take for take in _takes(world)}
    for name in ("v000-00", "v003-01"):
        take = every[name]
        performance = take.performance(settings["fps"])
        camera = take.camera(performance)
        pixels = camera.pixels(camera.before(performance.places()), settings["size"])
        assert (pixels > -2).all()
        assert (pixels < settings["size"] + 2).all()
        assert np.ptp(pixels[0, :, 1]) > 0.4 * settings["size"]
        heads, feet = pixels[:, KINECT_20.joints.index("head"), 1], pixels[:, KINECT_20.joints.index("left foot"), 1]
        assert (heads[0] < feet[0]).all()


def _takes(world: Path) -> list[takes.Take]:
    return [
        takes.Take(
            row["id"], row["label"], 0, int(row["id"][1:4]), int(row["id"][5:]), tuple(row["label"].split(" then "))
        )
        for row in table(world / "labels.csv")
    ]


def test_the_background_is_not_all_that_is_drawn(world):
    take = _takes(world)[0]
    performance = take.performance(15)
    scene = take.scene(performance.places(), performance.body.girth, 64, 15)
    wide = len(scene.background)
    still = cv2.resize(
        scene.background[wide // 20 :][:128, wide // 20 :][:, :128], (64, 64), interpolation=cv2.INTER_AREA
    )
    picture = next(take.pictures(64, 15))
    changed = (np.abs(picture / scene.gain - still).max(-1) > 25).mean()
    assert 0.03 < changed < 0.6


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"classes": 5}, "classes must be between 6 and 240, got 5"),
        ({"size": 63}, "size must be even"),
        ({"unseen": 5}, "unseen must leave 3 of the 6 classes"),
        ({"seed": -1}, "seed must be between"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given, told, tmp_path):
    with pytest.raises(UsageError, match=told):
        PracticeConfig(str(tmp_path), **{**SMALL, **given})


def test_a_folder_of_something_else_is_left_alone(tmp_path, root, world):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty and no practice world \(thesis.tex is in it\)"):
        made(tmp_path, root)
    with pytest.raises(UsageError, match="is a file"):
        made(tmp_path / "thesis.tex", root)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a practice world of seed 0 and not 7, videos 2 and not 4"):
        made(world, root, seed=7, videos=4)


# -- recorded motion --------------------------------------------------------------------------------------------------


def test_sequences_of_a_data_set_are_drawn_under_their_labels(tmp_path, root):
    skeletons.dataset(root, tmp_path, each=2)
    report = made(tmp_path / "w", root, poses="p")
    assert (report.kind, report.classes, report.videos, report.drawn) == ("poses of p", 4, 8, 8)
    rows = {row["video_id"].replace("#", "-"): row["label"] for row in Manifest(root).read("p").to_pylist()}
    assert {row["id"]: row["label"] for row in table(tmp_path / "w" / "labels.csv")} == rows
    for name in rows:
        assert len(clips.known(str(tmp_path / "w" / "videos" / f"{name}.mp4")).times) == 16  # a second, and its start
    films = index(
        IndexConfig((str(tmp_path / "w" / "videos"),), "f", labels=(str(tmp_path / "w" / "labels.csv"),)), root
    )
    assert (films.videos, films.unlabelled) == (8, 0)
    split = protocol(str(tmp_path / "w" / "splits.json")).split(0, skeletons.CLASSES)
    assert len(split.unseen) == 1
    assert (tmp_path / "w" / "classes.txt").read_text().splitlines() == list(skeletons.CLASSES)
    before = contents(tmp_path / "w")
    assert made(tmp_path / "w", root, poses="p").drawn == 0
    assert contents(tmp_path / "w") == before


def test_other_sequences_are_another_world(tmp_path, root):
    path = skeletons.dataset(root, tmp_path, each=1)
    made(tmp_path / "w", root, poses="p")
    path.write_bytes(skeletons.many([skeletons.body(k, 9) for k in range(4)], range(4)))
    skeletons.index(root, path)
    with pytest.raises(UsageError, match="is a practice world of sequences"):
        made(tmp_path / "w", root, poses="p")


def test_what_cannot_be_drawn_is_said_in_a_line(tmp_path, root, videos):
    with pytest.raises(UsageError, match="The data set 'nowhere' is not in the cache .* no data set there has poses"):
        made(tmp_path / "w", root, poses="nowhere")
    with pytest.raises(UsageError, match="The data set 'd' holds no poses"):
        made(tmp_path / "w", root, poses="d")
    flat = np.random.default_rng(0).uniform(0.2, 0.8, (12, 18, 2)).astype(np.float32)
    path = tmp_path / "flat" / "bow" / "one.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(skeletons.npz(data=flat, layout=np.array("openpose-18")))
    index_poses(IndexConfig((str(tmp_path / "flat"),), "flat", kind="poses"), root)
    with pytest.raises(UsageError, match="Poses of openpose-18 are places in an image"):
        made(tmp_path / "w", root, poses="flat")
    assert not (tmp_path / "w").exists()


def test_a_sequence_that_is_gone_is_left_out_with_its_reason(tmp_path, root):
    skeletons.dataset(root, tmp_path, each=1)
    lone = tmp_path / "lone" / "bow" / "lone.npz"
    lone.parent.mkdir(parents=True)
    lone.write_bytes(skeletons.npz(data=skeletons.body(0, 5), layout=np.array("kinect-20")))
    skeletons.index(root, tmp_path / "lone")
    lone.unlink()
    report = made(tmp_path / "w", root, poses="p")
    assert (report.videos, report.left_out) == (4, 1)
    assert "lone: the file is not there" in report.faults[0]


@pytest.mark.shared
def test_each_real_sequence_is_a_film_of_its_label_and_length(tmp_path, root, shared_data):
    archive = dict(np.load(shared_data / "skeleton" / "utd_mhad.npz"))
    kept = np.flatnonzero(archive["subject"] == "s1")[::9]
    starts = np.concatenate([[0], np.cumsum(archive["length"])])
    archive["data"] = np.concatenate([archive["data"][starts[k] : starts[k + 1]] for k in kept])
    for name in ("length", "label", "subject"):
        archive[name] = archive[name][kept]
    path = tmp_path / "utd.npz"
    path.write_bytes(skeletons.npz(**archive))
    index_poses(IndexConfig((str(path),), "utd", layout="kinect-20-utd", kind="poses"), root)
    report = made(tmp_path / "w", root, poses="utd")
    assert (report.videos, report.left_out) == (len(kept), 0)
    for row in table(tmp_path / "w" / "labels.csv"):
        number = int(row["id"].removeprefix("utd-"))
        assert row["label"] == archive["class_names"][archive["label"][number]]
        film = clips.known(str(tmp_path / "w" / "videos" / f"{row['id']}.mp4"))
        assert len(film.times) == int((archive["length"][number] - 1) / 30 * 15) + 1
