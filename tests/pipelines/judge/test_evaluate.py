"""Judging: every number is what loops over the head's own scores give, and stands with what it rests on."""

import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from heads.base import Head
from heads.pseudo import Pseudo
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.judge import scoring
from pipelines.judge.evaluate import evaluate, judged_split
from pipelines.judge.results import results as listed
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.checkpoints import load
from pipelines.learn.engine import train
from pipelines.learn.fit import fit
from pipelines.learn.protocols.fifths import fifths
from pipelines.learn.protocols.splits import hold_out
from pipelines.learn.runs import Run
from pipelines.learn.samples.failed import failed_items
from pipelines.learn.settings import FitConfig
from pipelines.learn.study import Study
from pipelines.learn.trials import Trial, task_of, trained_in
from stores.errors import Ambiguous, NotInStore
from stores.failures import Failure, Failures
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from tests.fake import FakeExtractor
from tests.pipelines import studies
from tests.pipelines.studies import CLASSES, ER, SPLITS

pytestmark = pytest.mark.usefixtures("fake")
PSEUDO = ("texts=class+definition", "epochs=2", "batch=16", "lr=0.01")
HEADS = {"er": ER, "pseudo": PSEUDO, "nearest": ()}


@pytest.fixture
def data(tmp_path: Path) -> Root:
    return studies.made(tmp_path)


def results(root: Root, run: str) -> list[dict]:
    return Runs(root).read(run, "results").to_pylist()


def judged(root: Root, run: str, setting: str = "zsl", number: int = 0) -> list[dict]:
    rows = Runs(root).read(run, "judged").to_pylist()
    return [row for row in rows if row["setting"] == setting and row["split"] == number]


def head_of(study: Study, root: Root, run: str, number: int = 0) -> Head:
    head = study.model()
    load(head, studies.folder_of(root, run, number))
    return head.eval()


def told(study: Study, head: Head, rows: list[int], classes: list[int]) -> np.ndarray:
    with torch.no_grad():
        return head.scores(study.batch(np.array(rows)), study.told(np.array(classes))).double().numpy()


def top_one_and_five(scores: np.ndarray, labels: list[int], classes: list[int]) -> tuple[float, float, float, float]:
    """Top-1, top-5, the mean over classes of top-1, and the skewness of how often a class is nearest."""
    one = five = 0
    right: dict[int, list[int]] = {}
    taken = dict.fromkeys(classes, 0)
    for row, label in zip(scores, labels, strict=True):
        order = sorted(range(len(classes)), key=lambda k: -row[k])
        names = [classes[k] for k in order]
        one += names[0] == label
        five += label in names[:5]
        right.setdefault(label, []).append(int(names[0] == label))
        taken[names[0]] += 1
    mean = sum(sum(own) / len(own) for own in right.values()) / len(right)
    middle = sum(taken.values()) / len(taken)
    spread = (sum((n - middle) ** 2 for n in taken.values()) / len(taken)) ** 0.5
    skewness = sum((n - middle) ** 3 for n in taken.values()) / len(taken) / spread**3
    return one / len(labels), five / len(labels), mean, skewness


@pytest.mark.parametrize("head", HEADS)
def test_the_numbers_are_what_loops_over_the_heads_scores_give(data, tmp_path, head):
    path = studies.protocol(tmp_path, ((0, 1, 3, 4, 5, 7),), "six.json")
    config = studies.config(tmp_path, head, HEADS[head], protocol=path)
    run = fit(config, data).run
    report = evaluate(EvaluateConfig(run), data)
    study = Study(config, data)
    classes = [0, 1, 3, 4, 5, 7]
    rows = [k for k, label in enumerate(study.videos.labels) if label in classes]
    labels = [int(study.videos.labels[k]) for k in rows]
    scores = told(study, head_of(study, data, run), rows, classes)
    (row,) = results(data, run)
    expected = top_one_and_five(scores, labels, classes)
    assert [row[n] for n in ("top1", "top5", "mean_class_top1", "hubness")] == pytest.approx(expected)
    assert 0 < row["top1"] < 1 or head == "nearest"
    assert (row["classes"], row["n"], row["missing"], row["setting"]) == (6, 60, 0, "zsl")
    assert report.zsl["top1"] == (row["top1"], 0.0)
    found = judged(data, run)
    assert [row["video_id"] for row in found] == [study.videos.ids[k] for k in rows]
    for each, own, label in zip(found, scores, labels, strict=True):
        order = sorted(range(6), key=lambda k: -own[k])[:5]
        assert each["label"] == CLASSES[label]
        assert each["best"] == [CLASSES[classes[k]] for k in order]
        assert each["scores"] == pytest.approx([own[k] for k in order], abs=1e-6)


@pytest.mark.parametrize("more", [{}, {"standardise": True}, {"standardise": True, "gzsl": True}])
def test_the_faiss_path_of_a_prototype_head_equals_the_block_path(data, tmp_path, monkeypatch, more):
    run = fit(studies.config(tmp_path, "pseudo", PSEUDO, splits="0", **more), data).run
    evaluate(EvaluateConfig(run), data)
    by_faiss, one = Runs(data).read(run, "judged").to_pylist(), results(data, run)
    used = []
    monkeypatch.setattr(scoring, "nearest", lambda *args: used.append(1))
    prototypes = Pseudo.prototypes
    monkeypatch.setattr(Pseudo, "prototypes", lambda head, classes: None)
    monkeypatch.setattr(Pseudo, "scores", lambda head, own, classes: head.embedded(own) @ prototypes(head, classes).T)
    evaluate(EvaluateConfig(run), data)
    assert not used
    by_blocks, other = Runs(data).read(run, "judged").to_pylist(), results(data, run)
    assert [row["best"] for row in by_faiss] == [row["best"] for row in by_blocks]
    for a, b in zip(by_faiss, by_blocks, strict=True):
        assert a["scores"] == pytest.approx(b["scores"], abs=2e-4)
    assert [row["top1"] for row in one] == [row["top1"] for row in other]


def test_judged_and_missing_are_together_all_labelled_videos_of_the_classes(data, tmp_path):
    rows = [
        {"video": "x1", "class": CLASSES[5], "captions": ["123", "abc", "abd"]},
        {"video": "x2", "class": CLASSES[5], "captions": ["456", "abc", "abd"]},
        {"video": "x3", "class": CLASSES[0], "captions": ["789", "abc", "abd"]},
        {"video": "x4", "captions": ["no", "label", "here"]},
    ]
    path = studies.json_lines(tmp_path / "more.jsonl", rows)
    index_captions(IndexConfig((path,), "d", kind="captions"), data)
    extract(ExtractConfig(("fake_text",), "d", workers=1), data)
    run = fit(studies.config(tmp_path), data).run
    report = evaluate(EvaluateConfig(run), data)
    labels = Manifest(data).read("d", ["label"])["label"].to_pylist()
    for row, unseen in zip(results(data, run), SPLITS, strict=True):
        everything = sum(label in {CLASSES[k] for k in unseen} for label in labels)
        assert row["n"] + row["missing"] == everything
        assert row["missing"] == (2 if 5 in unseen else 0) + (1 if 0 in unseen else 0)
    assert (report.n, report.missing) == (90, 3)
    assert Runs(data).about(run)["videos"]["unlabelled"] == 1


def test_what_failed_at_index_is_missing_where_it_would_have_been_judged(data, tmp_path):
    rows = [
        Failure(None, f"/v/x{k}.avi", "d", "", "", "index", "Unreadable", "why", label=CLASSES[k]) for k in range(8)
    ]
    rows += [Failure(None, "/v/unknown.avi", "d", "", "", "index", "Unreadable", "why")]
    rows += [Failure(None, "/v/pose.skeleton#ntu-25", "d", "", "", "index", "BadPose", "why", label=CLASSES[5])]
    rows += [Failure(b"k" * 32, "/v/y.avi", "d", "r", "f", "decode", "BadVideo", "why", label=CLASSES[5])]
    Failures(data).append(rows)
    run = fit(studies.config(tmp_path, splits="0", gzsl=True), data).run
    study = Study(studies.config(tmp_path, splits="0", gzsl=True), data)
    assert study.videos.missing == ()  # captions are told, and none of them failed
    items = failed_items("d", "video", set(), data)
    assert [(item.name, item.label) for item in items] == [(f"x{k}", CLASSES[k]) for k in range(8)]
    assert failed_items("d", "video", {"/v/x3.avi"}, data) == [item for item in items if item.name != "x3"]
    assert [item.name for item in failed_items("d", "pose", set(), data)] == ["pose"]
    missing = {
        "missing": tuple(item.name for item in items),
        "missing_labels": np.arange(8),
        "missing_keys": np.zeros((8, 32), np.uint8),
        "missing_recordings": (None,) * 8,
    }
    study.videos = dataclasses.replace(study.videos, **missing)
    zsl, gzsl = judged_split(study, Run(data, run), 0)
    assert [k for k in range(8) if zsl.lacking[k]] == sorted(SPLITS[0])
    kept = fifths([f"x{k}" for k in range(8)], [f"{k}".encode() for k in range(8)]) == 0
    assert gzsl.lacking.sum() == 3 + sum(kept[k] for k in range(8) if k not in SPLITS[0]) < 8


def test_mean_and_deviation_are_the_populations_over_the_splits(data, tmp_path):
    run = fit(studies.config(tmp_path, gzsl=True), data).run
    ticks: list[tuple[int, int]] = []
    report = evaluate(EvaluateConfig(run[:-3]), data, lambda done, total: ticks.append((done, total)))
    assert (report.run, report.splits, ticks) == (run, 3, [(1, 3), (2, 3), (3, 3)])
    rows = results(data, run)
    for setting, found, names in (
        ("zsl", report.zsl, ("top1", "top5", "mean_class_top1", "hubness")),
        ("gzsl", report.gzsl, ("seen_top1", "unseen_top1", "harmonic_mean")),
    ):
        assert tuple(found) == names
        for name in names:
            values = [row[name] for row in rows if row["setting"] == setting]
            mean = sum(values) / 3
            deviation = (sum((value - mean) ** 2 for value in values) / 3) ** 0.5
            assert found[name] == pytest.approx((mean, deviation))
    assert report.zsl["top1"][1] > 0


@pytest.mark.parametrize("head", ["er", "pseudo"])
def test_standardised_scores_are_told_from_those_of_the_videos_trained_on(data, tmp_path, head):
    config = studies.config(tmp_path, head, HEADS[head], splits="0", standardise=True)
    run = fit(config, data).run
    evaluate(EvaluateConfig(run), data)
    study = Study(config, data)
    unseen = sorted(SPLITS[0])
    model = head_of(study, data, run)
    labels = study.videos.labels
    rows = [k for k, label in enumerate(labels) if label in unseen]
    seen = told(study, model, [k for k, label in enumerate(labels) if label not in unseen], unseen)
    scores = told(study, model, rows, unseen)
    for column in range(len(unseen)):
        mean = sum(seen[:, column]) / len(seen)
        deviation = (sum((value - mean) ** 2 for value in seen[:, column]) / len(seen)) ** 0.5
        scores[:, column] = (scores[:, column] - mean) / deviation
    for each, own in zip(judged(data, run), scores, strict=True):
        order = sorted(range(3), key=lambda k: -own[k])
        assert each["best"] == [CLASSES[unseen[k]] for k in order]
        assert each["scores"] == pytest.approx([own[k] for k in order], rel=1e-3, abs=1e-3)


def test_standardised_scores_need_seen_classes(data, tmp_path):
    config = studies.config(tmp_path, "nearest", (), protocol="cross-0/50", splits="0", standardise=True)
    run = fit(config, data).run
    with pytest.raises(
        UsageError, match=r"^Scores are standardised by videos of seen classes, and this protocol has no"
    ):
        evaluate(EvaluateConfig(run), data)


# -- GZSL -------------------------------------------------------------------------------------------------------------


def test_every_seed_keeps_the_same_videos_back(data, tmp_path):
    first, second = (Study(studies.config(tmp_path, seed=seed, gzsl=True), data) for seed in (0, 1))
    expected = fifths(first.videos.ids, [key.tobytes() for key in first.videos.keys]) == 0
    assert first.kept_back.tolist() == second.kept_back.tolist() == expected.tolist()
    assert 0 < expected.sum() < len(expected) / 2


def gzsl_loops(scores: np.ndarray, labels: list[int], classes: list[int], unseen: list[int], penalty: float) -> tuple:
    """S, U and H, a penalty taken from the scores of seen classes."""
    right: dict[bool, list[int]] = {True: [], False: []}
    for row, label in zip(scores, labels, strict=True):
        lowered = [s - (0 if k in unseen else penalty) for s, k in zip(row, classes, strict=True)]
        best = classes[max(range(len(classes)), key=lambda k: lowered[k])]
        right[label in unseen].append(int(best == label))
    seen, new = (sum(own) / len(own) for own in (right[False], right[True]))
    return seen, new, 2 * seen * new / (seen + new) if seen + new else 0.0


@pytest.mark.parametrize("number", [0, 1, 2])
def test_seen_unseen_and_their_harmonic_mean_are_those_of_loops(data, tmp_path, number):
    config = studies.config(tmp_path, "pseudo", PSEUDO, splits=str(number), gzsl=True)
    run = fit(config, data).run
    report = evaluate(EvaluateConfig(run), data)
    study = Study(config, data)
    unseen = sorted(SPLITS[number])
    labels = study.videos.labels
    rows = [k for k in range(len(labels)) if labels[k] in unseen or study.kept_back[k]]
    penalty = studies.about(data, run, number)["penalty"]
    assert penalty != 0  # else it would not show that it is taken from seen classes alone
    scores = told(study, head_of(study, data, run, number), rows, list(range(8)))
    expected = gzsl_loops(scores, [int(labels[k]) for k in rows], list(range(8)), unseen, penalty)
    zsl, row = results(data, run)
    assert (zsl["setting"], zsl["penalty"], zsl["harmonic_mean"]) == ("zsl", 0.0, None)
    assert (row["seen_top1"], row["unseen_top1"], row["harmonic_mean"]) == pytest.approx(expected)
    assert (row["penalty"], row["classes"], row["n"]) == (penalty, 8, len(rows))
    assert report.gzsl["harmonic_mean"][0] == row["harmonic_mean"]
    if number != 1:  # there none is as good, so that nothing would show
        without = gzsl_loops(scores, [int(labels[k]) for k in rows], list(range(8)), unseen, 0.0)
        assert without != pytest.approx(expected)
    ids = {row["video_id"] for row in judged(data, run, "gzsl", number)}
    assert ids == {study.videos.ids[k] for k in rows}


def test_the_penalty_is_the_best_on_classes_held_out_from_the_seen_ones(data, tmp_path):
    config = studies.config(tmp_path, splits="0", gzsl=True)
    run = fit(config, data).run
    study = Study(config, data)
    split = study.split(0)
    training, validation = hold_out(split.seen, config.hold_out, config.seed)
    trial = Trial(study.numbers(training), study.numbers(validation), np.empty(0, np.int64))
    task = task_of(study, trial, study.options, "cpu")
    train(task, study.training, tmp_path / "held")
    labels = study.videos.labels
    held = list(trial.validation)
    judged = study.kept_back  # a video that judges later chooses nothing now
    rows = [k for k in range(len(labels)) if labels[k] in held and not judged[k]]
    rows += [k for k in range(len(labels)) if labels[k] in trial.train and study.looked_at[k]]
    assert not set(rows) & set(trained_in(study, trial).tolist())
    classes = [*map(int, trial.train), *map(int, held)]
    head = task.model.eval()
    assert isinstance(head, Head)
    scores = told(study, head, rows, classes)
    every = np.linspace(-3, 3, 1201)  # of any unit
    best = max(gzsl_loops(scores, [int(labels[k]) for k in rows], classes, held, penalty)[2] for penalty in every)
    chosen = studies.about(data, run, 0)["penalty"]
    assert (
        gzsl_loops(scores, [int(labels[k]) for k in rows], classes, held, chosen)[2] >= best
    )  # which may step over it


def test_scores_in_another_unit_are_judged_alike(tmp_path, monkeypatch):
    config = studies.config(tmp_path, splits="0,1", gzsl=True)  # of a head that is judged by `Study.scores`
    found = {}
    real = Study.scores
    for unit in (1.0, 0.01):
        root = studies.made(tmp_path, f"unit-{unit}")
        monkeypatch.setattr(Study, "scores", lambda self, *given, unit=unit: np.float32(unit) * real(self, *given))
        run = fit(config, root).run
        found[unit] = evaluate(EvaluateConfig(run), root), [studies.about(root, run, k)["penalty"] for k in (0, 1)]
    assert found[1.0][0].gzsl == found[0.01][0].gzsl
    assert [100 * penalty for penalty in found[0.01][1]] == pytest.approx(found[1.0][1], rel=1e-4)
    assert found[1.0][0].gzsl["harmonic_mean"][0] > 0.1


# -- what a result stands on ------------------------------------------------------------------------------------------


def test_texts_that_changed_since_are_refused_with_the_command(data, tmp_path):
    config = studies.config(tmp_path, splits="0")
    run = fit(config, data).run
    evaluate(EvaluateConfig(run), data)
    studies.texts(data, tmp_path, "definition", {"golf": ["another sport"]})
    with pytest.raises(
        UsageError,
        match=rf"^The features or texts of {run}, .*have changed since .* Fit again: `zsar fit er .*--splits 0.*`\.$",
    ):
        evaluate(EvaluateConfig(run), data)
    again = fit(config, data)
    assert again.run != run
    evaluate(EvaluateConfig(again.run), data)


def test_a_protocol_file_that_changed_since_is_refused(data, tmp_path):
    run = fit(studies.config(tmp_path, splits="0"), data).run
    studies.protocol(tmp_path, ((0, 1, 2), *SPLITS[1:]))  # classes that were trained on pose as unseen
    with pytest.raises(UsageError, match="changed since it was fitted"):
        evaluate(EvaluateConfig(run), data)


def test_splits_that_are_not_fitted_are_named_with_a_command_that_fits_them(data, tmp_path):
    run = fit(studies.config(tmp_path, splits="0"), data).run
    with pytest.raises(
        UsageError, match=rf"^{run} has no weights of split 1, 2\. Run `zsar fit er .*--splits 1,2 .*`\."
    ):
        evaluate(EvaluateConfig(run, "0-2"), data)
    assert evaluate(EvaluateConfig(run), data).splits == 1
    with pytest.raises(UsageError, match=r"^The protocol has splits 0 to 2; got '7'"):
        evaluate(EvaluateConfig(run, "7"), data)


def test_runs_are_found_by_how_they_begin(data, tmp_path):
    with pytest.raises(NotInStore, match="No run is called 'er'.*none yet.*Run `zsar fit`"):
        evaluate(EvaluateConfig("er"), data)
    for seed in (0, 1):
        fit(studies.config(tmp_path, "nearest", (), seed=seed, splits="0"), data)
    with pytest.raises(Ambiguous, match="'nearest' begins 2 runs: "):
        evaluate(EvaluateConfig("nearest"), data)


def test_rows_say_what_they_depend_on(data, tmp_path):
    config = studies.config(tmp_path, "pseudo", PSEUDO, splits="0", tune=("lr=0.01,0.02",), folds=1)
    run = fit(config, data).run
    evaluate(EvaluateConfig(run), data)
    about, study = Runs(data).about(run), Study(config, data)
    (row,) = results(data, run)
    assert {name: row[name] for name in ("run", "head", "dataset", "protocol", "split", "unseen_texts")} == {
        "run": run, "head": "pseudo", "dataset": "d", "protocol": config.protocol, "split": 0, "unseen_texts": True,
    }  # fmt: skip
    assert (row["feature"], row["recipe"], row["texts"]) == (study.videos.feature, study.videos.recipe, study.texts.feature)  # fmt: skip # noqa: E501
    assert row["snapshot"] == about["videos"]["snapshot"]
    assert row["kinds"] == "class+definition"
    stored = studies.about(data, run, 0)
    assert json.loads(row["options"]) == stored["options"]
    assert row["held_out_top1"] == max(stored["held_out"].values())
    assert (row["overlap"], row["pretraining"]) == ([], "captioners, unknown")


@pytest.mark.parametrize("before", [("Kinetics-400",), ("ImageNet-1k",)])
def test_test_classes_that_the_features_were_trained_on_are_flagged(root, tmp_path, videos, monkeypatch, before):
    monkeypatch.setattr(FakeExtractor, "trained_on", before)
    monkeypatch.setattr(
        "pipelines.learn.protocols.met_before._near", lambda *args: []
    )  # by name alone, with word vectors or without
    names = ("archery", "bowling", "waiting", "queueing")
    studies.classes(root, tmp_path, names)
    studies.texts(root, tmp_path, "definition", {name: [f"some {name}"] for name in names})
    table = Manifest(root).read("d")
    labels = pa.array(["archery", "bowling", "waiting", "queueing", "archery", "bowling"], pa.string())
    Manifest(root).write("d", table.set_column(table.schema.get_field_index("label"), "label", labels))
    extract(ExtractConfig(("fake",), "d", workers=1, decoders=1), root)
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"seen": ["bowling", "queueing"], "unseen": ["archery", "waiting"]}))
    options = (*ER, "joint=8")
    config = FitConfig("er", "d", "fake", str(path), encoder="fake_text", k=0, options=options, workers=1, device="cpu")
    run = fit(config, root).run
    report = evaluate(EvaluateConfig(run), root)
    on_kinetics = before == ("Kinetics-400",)
    assert report.overlap == (("archery",) if on_kinetics else ())
    (row,) = results(root, run)
    assert row["overlap"] == list(report.overlap)  # bowling is seen, waiting is in no such list
    assert row["pretraining"] == ", ".join(before)
    assert dataclasses.asdict(report)["n"] == 3


def test_a_run_whose_kept_back_videos_are_others_now_is_stale(data, tmp_path):
    config = studies.config(tmp_path, "eszsl", ("texts=class",), gzsl=True, splits="0")
    run = fit(config, data).run
    evaluate(EvaluateConfig(run), data)
    assert {row["state"] for row in listed(data) if row["run"] == run} == {"good"}
    manifest = Manifest(data).read("d")
    told = pa.array([f"recording=take {k % 7}" for k in range(manifest.num_rows)])
    Manifest(data).write("d", manifest.set_column(manifest.schema.get_field_index("split"), "split", told))
    (state,) = {row["state"] for row in listed(data) if row["run"] == run}
    assert state.startswith("stale: what is kept back changed; run `zsar fit eszsl")
    with pytest.raises(UsageError, match="or the videos that are kept back, have changed since it was fitted"):
        evaluate(EvaluateConfig(run), data)


def test_splits_that_are_judged_at_once_are_all_kept(data, tmp_path, monkeypatch):
    run = fit(studies.config(tmp_path, "nearest", ()), data).run
    real = Runs.read

    def slowly(self, name, what):
        found = real(self, name, what)
        time.sleep(0.5)  # in which another could write what this one does not know of
        return found

    monkeypatch.setattr(Runs, "read", slowly)
    with ThreadPoolExecutor(3) as judges:
        list(judges.map(lambda split: evaluate(EvaluateConfig(run, splits=split), Root(data.url)), "012"))
    monkeypatch.undo()
    for what in ("results", "judged"):
        assert sorted(set(Runs(data).read(run, what)["split"].to_pylist())) == [0, 1, 2]


def test_splits_that_are_begun_at_once_are_all_told(root, monkeypatch):
    real = Run.about

    def slowly(self):
        found = real(self)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(Run, "about", slowly)
    with ThreadPoolExecutor(3) as trainings:
        list(trainings.map(lambda n: Run(Root(root.url), "r", "finetune").begin({"splits": [n]}), range(3)))
    monkeypatch.undo()
    assert Run(root, "r", "finetune").about()["splits"] == [0, 1, 2]
