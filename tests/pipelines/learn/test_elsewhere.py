"""Learning on one data set and judging on another: classes of the other are left out, and what is left out is said."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.learn.protocols import removal
from pipelines.learn.protocols.removal import removed_classes
from pipelines.learn.runs import Run
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.learn.study import Study
from pipelines.learn.trained import run_name, study_of
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import studies
from tests.pipelines.studies import CLASSES

pytestmark = pytest.mark.usefixtures("fake")
PSEUDO = ("texts=class+definition", "epochs=2", "batch=16", "lr=0.01")
OTHERS = ("ARCHERY", "golf swing", "knitting", "luge")  # the first is a class of `d` by its name


@pytest.fixture
def data(tmp_path: Path) -> Root:
    """`d` of the studies, and `e` beside it."""
    root = studies.made(tmp_path)
    studies.classes(root, tmp_path, OTHERS, "e")
    rng = np.random.RandomState(5)
    told = {name: [studies.said(rng, studies.letters(k + 2), 0.3)] for k, name in enumerate(OTHERS)}
    studies.texts(root, tmp_path, "definition", told, "e")
    rows = [
        {"video": f"e{k}-{n}", "class": name, "captions": [studies.said(rng, studies.letters(k + 2)) for _ in range(3)]}
        for k, name in enumerate(OTHERS)
        for n in range(6)
    ]
    path = studies.json_lines(tmp_path / "e.jsonl", rows)
    index_captions(IndexConfig((path,), "e", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "e", workers=1), root)
    extract(ExtractConfig(("fake_text",), set="e", workers=1), root)
    return root


def asked(tmp_path: Path, **more) -> FitConfig:
    more = {"protocol": "cross-0/50", "splits": "0-1", "judge": "e", "tau": 0.0} | more
    return studies.config(tmp_path, "pseudo", PSEUDO, **more)


def test_it_trains_on_the_classes_of_one_that_are_none_of_the_other_and_judges_on_the_other(data, tmp_path):
    config = asked(tmp_path)
    report = fit(config, data)
    assert report.run.startswith("pseudo-d-e-cross-0-50-")
    assert any(
        "learned from 7 classes of d; 1 are classes of e by name" in n and n.endswith("archery") for n in report.notes
    )
    about = Runs(data).about(report.run)["learned_from"]
    assert (about["dataset"], about["removed"], about["classes"]) == ("d", ["archery"], list(CLASSES[1:]))
    judged = evaluate(EvaluateConfig(report.run), data)
    assert (judged.splits, judged.n) == (2, 24)
    rows = Runs(data).read(report.run, "results").to_pylist()
    assert all((row["dataset"], row["learned_from"], row["removed"]) == ("e", "d", ["archery"]) for row in rows)
    assert all(row["classes"] == 2 for row in rows)
    videos = Runs(data).read(report.run, "judged").to_pylist()
    assert {row["label"] for row in videos} <= set(OTHERS)
    assert all(row["video_id"].startswith("e") and set(row["best"]) <= set(OTHERS) for row in videos)
    for number in (0, 1):
        told = studies.about(data, report.run, number)
        assert told["seen"] == sorted(CLASSES[1:])
        assert set(told["unseen"]) <= set(OTHERS)
    (listed,) = [row for row in results(data) if row["run"]]
    assert (listed["dataset"], listed["state"]) == ("e", "good")
    assert listed["given"].startswith("learned from d without 1 classes")
    study, is_as_it_was = study_of(Run(data, report.run))
    assert is_as_it_was
    assert study.videos.segments.shape[0] == 70 + 24


def test_the_workers_learn_the_same(data, tmp_path, monkeypatch):
    from pipelines.learn import fit as fitting

    run = fit(asked(tmp_path), data).run
    one = studies.weights(data, run, 1)
    (studies.folder_of(data, run, 0) / "split.json").unlink()
    (studies.folder_of(data, run, 1) / "split.json").unlink()
    for number in (0, 1):
        (studies.folder_of(data, run, number) / "history.json").unlink()
    monkeypatch.setattr(fitting, "_begin", studies.begin)
    assert fit(asked(tmp_path, workers=2), data).fitted == 2
    assert studies.same(studies.weights(data, run, 1), one)


def test_videos_of_the_other_data_set_change_nothing_that_is_learned(data, tmp_path, monkeypatch):
    run = fit(asked(tmp_path, splits="0"), data).run
    before = studies.weights(data, run, 0)
    (studies.folder_of(data, run, 0) / "split.json").unlink()
    (studies.folder_of(data, run, 0) / "history.json").unlink()
    studies.poison(monkeypatch, lambda found: np.array([name.startswith("e") for name in found.ids]))
    assert fit(asked(tmp_path, splits="0"), data).run == run
    assert studies.same(studies.weights(data, run, 0), before)


def test_a_run_that_judges_where_it_learned_keeps_its_name(data, tmp_path):
    config = studies.config(tmp_path, "pseudo", PSEUDO)
    assert run_name(Study(config, data)) == run_name(Study(dataclasses.replace(config, judge=""), data))
    assert run_name(Study(asked(tmp_path), data)) != run_name(Study(asked(tmp_path, tau=0.0, seed=1), data))


def test_what_is_near_is_removed_and_tau_says_how_near(monkeypatch):
    at = {"wave": 0.0, "hail": 0.2, "sit": 1.4, "greet": 0.1}  # angles: 1 - cos .1 = .005, 1 - cos .2 = .02
    monkeypatch.setattr(
        removal, "word_vectors", lambda names: np.array([[np.cos(at[n]), np.sin(at[n])] for n in names])
    )
    assert removed_classes(["wave", "hail", "sit"], ["greet"], 0.05) == ("wave", "hail")
    assert removed_classes(["wave", "hail", "sit"], ["greet"], 0.001) == ()
    assert removed_classes(["wave", "Greet", "sit"], ["greet"], 0) == ("Greet",)


def test_a_class_without_a_vector_is_named(monkeypatch):
    monkeypatch.setattr(removal, "word_vectors", lambda names: np.full((len(names), 1), np.nan))
    with pytest.raises(UsageError, match=r"^Without a word vector .* near to another: wave, sit\. .*--tau 0"):
        removed_classes(["wave"], ["sit"], 0.05)


def test_what_does_not_fit_is_refused_in_a_line(data, tmp_path):
    for more, said in (
        ({"gzsl": True}, "^With --judge unseen classes alone"),
        ({"judge": "d"}, "^'d' is what is learned from"),
        ({"tau": 1.5}, "^tau is a cosine distance from 0"),
    ):
        with pytest.raises(UsageError, match=said):
            asked(tmp_path, **more)
    own = tmp_path / "e.json"
    own.write_text(json.dumps({"seen": OTHERS[:2], "unseen": OTHERS[2:]}))
    with pytest.raises(UsageError, match=r"^Split .*e.json' #0 says itself which classes are seen"):
        fit(asked(tmp_path, protocol=str(own), splits="0"), data)
    with pytest.raises(UsageError, match="leave --protocol out"):
        FinetuneConfig("stgcn_small", "d", protocol="own.json", judge=("e",))
