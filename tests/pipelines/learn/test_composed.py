"""Classes that nothing was left to compose of are named: by `fit`, by `evaluate`, in its rows and in JSON; K, theta and
rho are chosen on classes held out from the seen ones."""

import itertools
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from heads.transfer import Transfer
from pipelines.command.main import app
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn import choosing
from pipelines.learn.composed import kept_nearest, told_of
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run
from pipelines.learn.study import Study
from pipelines.learn.trained import head_of
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import studies
from tests.pipelines.studies import CLASSES, SPLITS

pytestmark = pytest.mark.usefixtures("fake")
NOTHING = ("texts=definition", "constraints=II", "theta=1e6")


@pytest.fixture
def data(tmp_path) -> Root:
    return studies.made(tmp_path)


def nearest_seen(study: Study, name: str, seen: list[int]) -> str:
    """The seen class whose definition is nearest to that of a class."""
    texts = study.texts.tensors["definition"]

    def vector(k: int) -> np.ndarray:
        own = texts.features[texts.text[texts.owner == k]].double().numpy().mean(0)
        return own / np.linalg.norm(own)

    cosines = [float(vector(CLASSES.index(name)) @ vector(k)) for k in seen]
    return CLASSES[seen[int(np.argmax(cosines))]]


def test_every_class_that_keeps_its_nearest_is_named_and_counted(data, tmp_path):
    config = studies.config(tmp_path, "transfer", NOTHING, splits="0-1")
    report = fit(config, data)
    study = Study(config, data)
    wanted = {}
    for number in (0, 1):
        unseen = sorted(SPLITS[number])
        seen = [k for k in range(8) if k not in unseen]
        wanted[number] = {CLASSES[k]: nearest_seen(study, CLASSES[k], seen) for k in unseen}
        assert studies.about(data, report.run, number)["kept_nearest"] == wanted[number]
    line = next(note for note in report.notes if "nothing was left" in note)
    assert line.startswith("nothing was left to compose 6 unseen classes of, which keep their nearest seen class: ")
    assert line.endswith(" and 1 more")
    assert evaluate(EvaluateConfig(report.run), data).kept_nearest == wanted
    rows = Runs(data).read(report.run, "results").to_pylist()
    assert rows[1]["kept_nearest"] == [f"{name} ~ {seen}" for name, seen in wanted[1].items()]
    shown = CliRunner().invoke(app, ["evaluate", report.run, "--json", "--root", data.url])
    printed = json.loads(shown.stdout.strip().splitlines()[-1])["kept_nearest"]
    assert printed == {str(number): own for number, own in wanted.items()}


def test_where_something_is_left_nothing_is_said(data, tmp_path):
    report = fit(studies.config(tmp_path, "transfer", ("constraints=III",), splits="0"), data)
    study = Study(studies.config(tmp_path, "transfer", ("constraints=III",), splits="0"), data)
    head, _ = head_of(study, Run(data, report.run), 0)
    found = head.relatedness(study.told(np.array(sorted(SPLITS[0]))))
    assert bool((found.matrix > 0).any(1).all())
    assert studies.about(data, report.run, 0)["kept_nearest"] == {}
    assert not any("nothing was left" in note for note in report.notes)
    assert evaluate(EvaluateConfig(report.run), data).kept_nearest == {}


def test_a_head_that_composes_nothing_keeps_nothing(data, tmp_path):
    study = Study(studies.config(tmp_path, "nearest", ()), data)
    assert kept_nearest(study.model(), study.told(np.array([0, 1]))) == {}
    assert told_of({}) == told_of({0: {}}) == ""


def test_k_theta_and_rho_are_those_that_are_best_on_held_out_seen_classes(data, tmp_path):
    tune = ("nearest=1,3", "theta=0.1,1", "rho=1,2")
    config = studies.config(tmp_path, "transfer", ("texts=definition",), tune=tune, folds=2, splits="0")
    run = fit(config, data).run
    stored, study = studies.about(data, run, 0), Study(config, data)
    seen = study.numbers(study.split(0).seen)
    trials = list(choosing._trials(study, study.split(0)))
    held = np.concatenate([trial.validation for trial in trials])
    assert sorted(held.tolist()) == sorted(seen.tolist()), "the folds hold out each seen class once"
    wanted = {}
    for k, theta, rho in itertools.product((1, 3), (0.1, 1.0), (1, 2)):
        options, _ = study.settings({"texts": "definition", "nearest": str(k), "theta": str(theta), "rho": str(rho)})
        tops = []
        for trial in trials:
            head = Transfer(study.videos.segments.shape[2], study.videos.segments.shape[2], options)
            rows = study.videos.of(trial.train)
            head.begin(study.batch(rows, trial.train), study.told(trial.train), study.told(trial.validation))
            own = study.videos.of(trial.validation)
            with torch.no_grad():
                best = head.scores(study.batch(own), study.told(trial.validation)).argmax(1).numpy()
            tops.append(float((trial.validation[best] == study.videos.labels[own]).mean()))
        wanted[f"nearest={k}, rho={rho}, theta={'1' if theta == 1 else theta}"] = sum(tops) / len(tops)
    assert stored["held_out"] == {label: pytest.approx(top1) for label, top1 in wanted.items()}
    assert len(set(wanted.values())) > 1
    best = max(stored["held_out"], key=stored["held_out"].get)
    assert best == ", ".join(f"{n}={stored['options'][n]:g}" for n in ("nearest", "rho", "theta"))


def test_beside_unseen_classes_seen_ones_are_judged_by_their_own_mean_and_pay_the_penalty(data, tmp_path):
    config = studies.config(tmp_path, "transfer", ("texts=definition",), splits="0", gzsl=True)
    run = fit(config, data).run
    evaluate(EvaluateConfig(run), data)
    rows = {row["setting"]: row for row in Runs(data).read(run, "results").to_pylist()}
    assert rows["gzsl"]["penalty"] == studies.about(data, run, 0)["penalty"] != 0
    study = Study(config, data)
    head, _ = head_of(study, Run(data, run), 0)
    seen = study.numbers(study.split(0).seen)
    with torch.no_grad():
        found = head.prototypes(study.told(seen)).numpy()
    for place, k in enumerate(seen):
        own = study.videos.of(np.array([k]))
        mean = study.videos.segments[own[~study.kept_back[own]]].mean(1).mean(0)
        assert found[place] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    every = np.arange(8)
    judged = np.concatenate(
        [study.videos.of(np.array(sorted(SPLITS[0]))), study.videos.of(seen)[study.kept_back[study.videos.of(seen)]]]
    )
    with torch.no_grad():
        scores = head.scores(study.batch(judged), study.told(every)).numpy()
    scores[:, seen] -= rows["gzsl"]["penalty"]
    labels = study.videos.labels[judged]
    right = scores.argmax(1) == labels
    assert rows["gzsl"]["seen_top1"] == pytest.approx(right[np.isin(labels, seen)].mean())
    assert rows["gzsl"]["unseen_top1"] == pytest.approx(right[~np.isin(labels, seen)].mean())
