"""Winning phrases against what is done: shares by plain counting, and tables that do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.judge.named import _films, named
from pipelines.judge.settings import NamedConfig
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run
from pipelines.learn.trained import head_of, study_of
from stores.root import Root
from tests.pipelines import skeletons, studies

pytestmark = pytest.mark.usefixtures("fake")
OPTIONS = ("texts=description", "ge=none", "optimiser=adam", "schedule=constant", "epochs=2", "batch=16", "lr=0.01")


@pytest.fixture
def aligned(tmp_path: Path) -> tuple[Root, str]:
    """A run that compares segments with the two descriptions of each class."""
    root = studies.made(tmp_path)
    return root, fit(studies.config(tmp_path, "jigsaw", OPTIONS), root).run


def table(path: Path, rows: list[tuple[str, str, float, float]]) -> str:
    lines = ["id,phrase,start_s,end_s", *(f"{name},{phrase},{start},{end}" for name, phrase, start, end in rows)]
    path.write_text("\n".join(lines))
    return str(path)


def test_shares_are_those_of_plain_counting(aligned, tmp_path):
    root, run = aligned
    study, _ = study_of(Run(root, run))
    head, _ = head_of(study, Run(root, run), 0)
    said, texts = study.texts.said["description"], study.texts.tensors
    everything = range(len(study.videos.ids))
    labels = torch.from_numpy(study.videos.labels)
    with torch.no_grad():
        own = head.winners(study.batch(np.array(everything)), texts, labels)[0].tolist()
    drawn, rows, done = np.random.default_rng(0), [], {}
    for video in everything:  # each segment lasts a second; half of them are what their winner says
        done[video] = [own[video][x] if drawn.random() < 0.5 else int(drawn.integers(len(said))) for x in range(3)]
        rows += [(study.videos.ids[video], said[row].upper(), x, x + 1) for x, row in enumerate(done[video])]
    found = named(NamedConfig(run, table(tmp_path / "t.csv", rows)), root)
    split = study.split(0)
    features = head.groups(study.batch(np.array(everything)))[1] @ head.text(texts["description"].features).T
    for side, names in ((found.seen, split.seen), (found.unseen, split.unseen)):
        videos = [v for v in everything if study.classes[study.videos.labels[v]] in names]
        of_own = [own[v][x] == done[v][x] for v in videos for x in range(3)]
        of_all = [int(features[v, x].argmax()) == done[v][x] for v in videos for x in range(3)]
        assert (side.segments, side.among_own) == (len(of_own), pytest.approx(np.mean(of_own)))
        assert side.among_all == pytest.approx(np.mean(of_all))
        assert side.chance_own == pytest.approx(1 / 2)
        assert side.chance_all == pytest.approx(1 / len(said))
    assert found.without == 0


def test_videos_that_the_table_does_not_tell_of_are_counted(aligned, tmp_path):
    root, run = aligned
    study, _ = study_of(Run(root, run))
    said = study.texts.said["description"]
    ids = list(study.videos.ids)
    rows = [(name, said[0], 0, 3) for name in ids[:-3]] + [(ids[-1], "no such phrase", 0, 3)]
    path = table(tmp_path / "t.csv", rows)
    done = CliRunner().invoke(app, ["named", run, "--moments", path, "--root", root.url, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["without"] == 3
    assert told["seen"]["segments"] + told["unseen"]["segments"] == 3 * (len(ids) - 3)
    shown = CliRunner().invoke(app, ["named", run, "--moments", path, "--root", root.url])
    assert "3 videos are told of by no row of the table" in shown.output


def test_poses_are_told_of_by_the_film_that_they_are_of(tmp_path):
    root, sequences = Root(tmp_path / "poses"), [skeletons.body(k, k) for k in range(3)]
    whole = np.concatenate(sequences)
    lengths, films = np.array([len(each) for each in sequences]), np.array(["v1", "v2", "v2"])
    (tmp_path / "p.npz").write_bytes(
        skeletons.npz(data=whole, length=lengths, label=np.array(["a", "b", "b"]), video=films, layout="kinect-20")
    )
    skeletons.index(root, tmp_path / "p.npz")
    assert _films("p", root) == {"p#0": "v1", "p#1": "v2", "p#2": "v2"}


def test_what_does_not_fit_is_one_line(aligned, tmp_path):
    root, run = aligned
    told = [("v", "wave", 0, 1)]
    with pytest.raises(UsageError, match=r"tells nothing of the videos of 'd': are ids alike\?$"):
        named(NamedConfig(run, table(tmp_path / "a.csv", told)), root)
    (tmp_path / "b.csv").write_text("id,phrase,start_s,end_s\nv,wave,soon,1\n")
    with pytest.raises(UsageError, match=r"b\.csv, line 2: start_s and end_s are seconds"):
        named(NamedConfig(run, str(tmp_path / "b.csv")), root)
    (tmp_path / "c.csv").write_text("v,wave,0,1\n")
    with pytest.raises(UsageError, match=r"needs a first row that names its columns: id, phrase, start_s, end_s\."):
        named(NamedConfig(run, str(tmp_path / "c.csv")), root)
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        named(NamedConfig(run, str(tmp_path / "none.csv")), root)
    with pytest.raises(UsageError, match=r"has no split 9 that is fitted\. Run `zsar fit jigsaw"):
        named(NamedConfig(run, str(tmp_path / "a.csv"), split=9), root)
    other = fit(studies.config(tmp_path, "nearest", ()), root).run
    with pytest.raises(
        UsageError, match=r"compares no segments with phrases of one kind: fit `jigsaw` with its groups"
    ):
        named(NamedConfig(other, str(tmp_path / "a.csv")), root)
