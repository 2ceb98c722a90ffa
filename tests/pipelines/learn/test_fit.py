"""Fitting: seen and unseen never meet, choices rest on seen classes, and a run is found again by all it depends on."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.errors import Stopped, UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.learn import choosing
from pipelines.learn import fit as fitting
from pipelines.learn.doubts import doubts
from pipelines.learn.engine import History, train
from pipelines.learn.fit import fit
from pipelines.learn.protocols.splits import hold_out
from pipelines.learn.runs import Run
from pipelines.learn.samples import features as videos
from pipelines.learn.settings import FitConfig
from pipelines.learn.study import Study
from pipelines.learn.trained import command, config_of, run_name
from pipelines.learn.training import Training
from pipelines.learn.trials import Trial, task_of
from stores.errors import NotInStore
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import studies
from tests.pipelines.studies import CLASSES, ER, SPLITS

pytestmark = pytest.mark.usefixtures("fake")
PSEUDO = ("texts=class+definition", "epochs=2", "batch=16", "lr=0.01")
PLATEAU = ("epochs=6", "batch=16", "lr=0.05", "schedule=plateau", "warmup_steps=0", "patience=0", "dropout=0.2")
NONE = np.empty(0, np.int64)


@pytest.fixture(autouse=True)
def _one_thread():
    """As `fit` has it: what a test trains beside it must not have other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(tmp_path: Path) -> Root:
    return studies.made(tmp_path)


def unseen_videos(found) -> np.ndarray:
    """Videos of the unseen classes of split 0."""
    return np.isin(found.labels, SPLITS[0])


# -- seen and unseen never meet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trial",
    [
        Trial(np.array([0, 1]), np.array([1]), NONE),
        Trial(np.array([0, 1]), NONE, np.array([1, 2])),
        Trial(np.array([0, 1]), np.array([2]), np.array([2])),
    ],
)
def test_a_trial_whose_classes_meet_is_refused(data, tmp_path, trial):
    study = Study(studies.config(tmp_path), data)
    with pytest.raises(UsageError, match=r"^A class would both train and test\. Seen, validation and unseen classes m"):
        task_of(study, trial, study.options, "cpu")


def test_a_task_holds_videos_of_its_seen_classes_and_no_others(data, tmp_path):
    study = Study(studies.config(tmp_path), data)
    task = task_of(study, Trial(np.array([0, 2, 3]), np.array([1]), np.array([5, 6])), study.options, "cpu")
    rows = [k for k, label in enumerate(study.videos.labels) if label in (0, 2, 3)]
    assert len(task.samples) == len(rows) == 30
    (batch,) = task.samples.batches([torch.arange(30)], draw=1)
    assert np.array_equal(batch.segments.numpy(), study.videos.segments[rows])
    assert [(0, 2, 3)[k] for k in batch.labels.tolist()] == study.videos.labels[rows].tolist()


@pytest.mark.parametrize(
    ("head", "options", "more"),
    [
        ("er", ER, {}),
        ("er", PLATEAU, {}),
        ("pseudo", PSEUDO, {}),
        ("coco", ("texts=ad", "epochs=2", "batch=16"), {}),
        ("er", ER, {"tune": ("lr=0.01,0.0001",), "folds": 2}),
        ("er", ER, {"gzsl": True}),
        ("transfer", ("texts=definition", "rho=1"), {"tune": ("theta=0.5,1",), "folds": 2}),
    ],
    ids=["er", "plateau", "pseudo", "coco", "tuned", "gzsl", "transfer"],
)
def test_videos_of_unseen_classes_change_nothing_that_is_learned_or_chosen(tmp_path, monkeypatch, head, options, more):
    config = studies.config(tmp_path, head, options, splits="0", **more)
    clean, poisoned = studies.made(tmp_path, "clean"), studies.made(tmp_path, "poisoned")
    run = fit(config, clean).run
    studies.poison(monkeypatch, unseen_videos)
    assert fit(config, poisoned).run == run
    assert studies.same(studies.weights(clean, run, 0), studies.weights(poisoned, run, 0))
    assert studies.history(clean, run, 0) == studies.history(poisoned, run, 0)
    assert studies.about(clean, run, 0) == studies.about(poisoned, run, 0)
    assert all(np.isfinite(value).all() for value in studies.weights(poisoned, run, 0).values())


def test_a_video_of_a_seen_class_does_change_it(data, tmp_path, monkeypatch):
    studies.poison(monkeypatch, lambda found: np.arange(len(found.labels)) == np.flatnonzero(~unseen_videos(found))[0])
    with pytest.raises(Stopped, match=r"^The loss is no longer finite in epoch 1 "):
        fit(studies.config(tmp_path, splits="0"), data)


def test_what_gzsl_keeps_back_is_not_trained_on(tmp_path, monkeypatch):
    config = studies.config(tmp_path, splits="0", gzsl=True)
    clean, poisoned = studies.made(tmp_path, "clean"), studies.made(tmp_path, "poisoned")
    kept_back = Study(config, clean).kept_back
    run = fit(config, clean).run
    studies.poison(monkeypatch, lambda found: kept_back)
    fit(config, poisoned)
    assert studies.same(studies.weights(clean, run, 0), studies.weights(poisoned, run, 0))
    with pytest.raises(Stopped, match="no longer finite"):
        fit(dataclasses.replace(config, gzsl=False), poisoned)


def test_of_a_part_no_other_class_and_no_other_video_is_learned_from(data, tmp_path, monkeypatch):
    asked = studies.config(tmp_path, splits="0")
    whole = fit(asked, data).run
    few = dataclasses.replace(asked, part=("classes=3", "share=0.5"))
    run = fit(few, data).run
    assert run != whole
    told = Run(data, run).told(0)
    assert (len(told["seen"]), told["unseen"]) == (3, Run(data, whole).told(0)["unseen"])
    weights = studies.weights(data, run, 0)
    study = Study(few, data)
    rows = study.trained_on(study.numbers(told["seen"]))
    assert 5 < len(rows) < 25  # half of 30, drawn one by one
    shutil.rmtree(studies.folder_of(data, run, 0))
    studies.poison(monkeypatch, lambda found: ~np.isin(np.arange(len(found.ids)), rows))
    assert fit(few, data).run == run
    assert studies.same(studies.weights(data, run, 0), weights)


def test_classes_held_out_are_seen_ones(data, tmp_path):
    config = studies.config(tmp_path, tune=("lr=0.01,0.001",), folds=3, hold_out=0.3)
    study = Study(config, data)
    for number, unseen in enumerate(SPLITS):
        split = study.split(number)
        assert study.numbers(split.unseen).tolist() == sorted(unseen)
        trials = list(choosing._trials(study, split))
        assert len(trials) == 3
        for trial in trials:
            assert len(trial.validation)
            assert not set(trial.train) & set(trial.validation)
            assert set(trial.train) | set(trial.validation) == set(range(8)) - set(unseen)
            assert not len(trial.unseen)  # nor are texts of unseen classes read
        held = [number for trial in trials for number in trial.validation]
        assert len(held) == len(set(held))


def test_published_validation_classes_are_those_held_out(data, tmp_path):
    path = tmp_path / "v.json"
    sides = {"seen": CLASSES[:4], "validation": CLASSES[4:6], "unseen": CLASSES[6:]}
    path.write_text(json.dumps(sides))
    config = studies.config(tmp_path, tune=("lr=0.01,0.001",), protocol=str(path))
    study = Study(config, data)
    (trial,) = choosing._trials(study, study.split(0))
    assert (trial.train.tolist(), trial.validation.tolist()) == ([0, 1, 2, 3], [4, 5])


@pytest.mark.parametrize(("head", "options"), [("coco", ()), ("gcn", ("batch=1000",)), ("devise", ("others=all",))])
def test_heads_read_the_texts_of_all_classes_that_are_not_seen_and_one_model_serves_all_such_splits(
    data, tmp_path, monkeypatch, head, options
):
    """As KineticsZSAR has it: 220 new classes, of which each split validates on some and tests on the others."""
    path = tmp_path / "v.json"
    new, sides = CLASSES[4:], {"seen": CLASSES[:4]}
    halves = [{"validation": new[:2], "unseen": new[2:]}, {"validation": new[2:], "unseen": new[:2]}]
    path.write_text(json.dumps([sides | half for half in halves]))
    given = {"coco": ("texts=ad", "epochs=2", "batch=16", "warmup=0")}.get(head, ("epochs=2", *options))
    config = studies.config(tmp_path, head, given, protocol=str(path), splits="")
    studies.poison(monkeypatch, lambda found: found.labels >= 4)  # no video of a new class is looked at
    run = fit(config, data).run
    assert studies.same(studies.weights(data, run, 0), studies.weights(data, run, 1))
    study = Study(config, data)
    assert [study.new(study.split(number)).tolist() for number in (0, 1)] == [[4, 5, 6, 7]] * 2
    monkeypatch.setattr(Study, "new_texts", "")  # those of the split's own unseen classes alone
    assert not studies.same(studies.weights(data, run, 0), studies.weights(data, fit(config, data).run, 0))


def test_a_run_of_before_validation_classes_had_texts_keeps_its_name(data, tmp_path):
    path = tmp_path / "v.json"
    path.write_text(json.dumps({"seen": CLASSES[:4], "validation": CLASSES[4:6], "unseen": CLASSES[6:]}))
    config = studies.config(tmp_path, "coco", ("texts=ad", "epochs=1", "warmup=0"), protocol=str(path), splits="")
    now = Study(config, data)
    told = {"training": dataclasses.asdict(now.training)}
    before = Study(config, data, fitted=told)
    assert run_name(now) != run_name(before)
    assert before.new(before.split(0)).tolist() == [6, 7]
    reads_none = dataclasses.replace(config, options=(*config.options, "invariance=false"))
    assert run_name(Study(reads_none, data)) == run_name(Study(reads_none, data, fitted=told))


# -- choosing ---------------------------------------------------------------------------------------------------------


def deceptive(root: Root, folder: Path) -> FitConfig:
    """Of seen classes the definition tells, of unseen ones the name: who looks at unseen videos takes the name."""
    rng = np.random.RandomState(5)
    names = [
        studies.said(rng, studies.letters(k) if k in SPLITS[0] else studies.letters(7 - k), 0, 9) for k in range(8)
    ]
    definitions = [studies.said(rng, studies.letters((k + 3) % 8 if k in SPLITS[0] else k), 0, 9) for k in range(8)]
    studies.classes(root, folder, names)
    studies.texts(root, folder, "definition", {name: [text] for name, text in zip(names, definitions, strict=True)})
    rows = [row | {"class": names[CLASSES.index(row["class"])]} for row in studies.caption_rows(0.2)]
    path = studies.json_lines(folder / "captions.jsonl", rows)
    index_captions(IndexConfig((path,), "d", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "d", workers=1), root)
    unseen = [names[k] for k in SPLITS[0]]
    sides = {"seen": [name for name in names if name not in unseen], "unseen": unseen}
    (folder / "p.json").write_text(json.dumps(sides))
    return studies.config(folder, "nearest", (), protocol=str(folder / "p.json"), tune=("texts=class,definition",), folds=2)  # fmt: skip # noqa: E501


def test_what_is_best_on_held_out_classes_is_taken_whatever_unseen_videos_say(tmp_path, monkeypatch):
    from pipelines.judge.evaluate import evaluate
    from pipelines.judge.settings import EvaluateConfig

    root = Root(tmp_path / "root")
    config = deceptive(root, tmp_path)
    run = fit(config, root).run
    chosen = studies.about(root, run, 0)
    assert chosen["options"]["texts"] == "definition"
    assert set(chosen["held_out"]) == {"texts=class", "texts=definition"}
    assert chosen["held_out"]["texts=definition"] > 0.9 > chosen["held_out"]["texts=class"]
    by_name = fit(dataclasses.replace(config, tune=(), options=("texts=class",)), root).run
    tops = [evaluate(EvaluateConfig(name), root).zsl["top1"][0] for name in (run, by_name)]
    assert tops[0] < 0.5 < tops[1]  # looking at unseen videos would have paid
    again = Root(tmp_path / "again")
    deceptive(again, tmp_path)
    studies.poison(monkeypatch, unseen_videos)
    assert fit(config, again).run == run
    assert studies.about(again, run, 0) == chosen


def test_tuned_options_are_judged_by_the_mean_over_folds(data, tmp_path):
    config = studies.config(tmp_path, tune=("lr=0.05,1e-9", "batch=40"), folds=2, splits="0")
    run = fit(config, data).run
    stored = studies.about(data, run, 0)
    study = Study(config, data)
    trials = list(choosing._trials(study, study.split(0)))
    tops = {}
    for lr in ("0.05", "1e-9"):
        given = dict(each.split("=") for each in ER) | {"residual": "true", "lr": lr, "batch": "40"}
        options, training = study.settings(given)
        each = []
        for number, trial in enumerate(trials):
            task = task_of(study, trial, options, "cpu")
            history = train(task, training, tmp_path / f"{lr}-{number}")
            each.append(history.epochs[-1]["validation"])  # no epoch is chosen, so the last one counts
        tops[lr] = sum(each) / 2
    assert stored["held_out"] == {f"lr={lr}": pytest.approx(top) for lr, top in tops.items()}
    assert tops["0.05"] != tops["1e-9"]
    assert stored["training"]["lr"] == float(max(tops, key=lambda lr: tops[lr]))
    assert stored["training"]["batch"] == 40
    assert not (tmp_path / "root/runs" / run / "split-000/held-out").exists()


@pytest.mark.parametrize(("folds", "hold_out", "lone"), [(5, 0.2, True), (2, 0.5, False)])
def test_a_choice_among_sets_of_one_class_says_that_it_chose_nothing(data, tmp_path, folds, hold_out, lone):
    tune = ("nearest=1,3",)
    config = studies.config(tmp_path, "conse", ("texts=definition",), tune=tune, folds=folds, hold_out=hold_out)
    report = fit(dataclasses.replace(config, splits="0"), data)
    assert any("each held-out set has one class" in note for note in report.notes) == lone
    stored = studies.about(data, report.run, 0)
    if lone:
        assert set(stored["held_out"].values()) == {1.0}
        assert stored["options"]["nearest"] == 1


def test_after_plateau_all_seen_classes_are_trained_on_for_as_long_and_at_the_same_rates(data, tmp_path):
    config = studies.config(tmp_path, options=PLATEAU, splits="1")
    run = fit(config, data).run
    study = Study(config, data)
    split = study.split(1)
    training, validation = hold_out(split.seen, 0.5, config.seed + 1)
    trial = Trial(study.numbers(training), study.numbers(validation), NONE)
    held = train(task_of(study, trial, study.options, "cpu"), study.training, tmp_path / "held")
    best = max(range(len(held.epochs)), key=lambda k: held.epochs[k]["validation"]) + 1
    assert held.best == best
    told = studies.about(data, run, 1)
    rates = [entry["lr"] for entry in held.epochs[:best]]
    assert (told["training"]["schedule"], told["training"]["epochs"]) == ("listed", best)
    assert told["training"]["lrs"] == rates
    history = studies.history(data, run, 1)
    assert [entry["lr"] for entry in history] == rates
    assert all("validation" not in entry for entry in history)
    again = Training(**told["training"] | {"lrs": tuple(rates), "milestones": ()})
    everything = Trial(study.numbers(split.seen), NONE, study.numbers(split.unseen))
    task = task_of(study, everything, study.options, "cpu")
    assert len(task.samples) == 50
    train(task, again, tmp_path / "all")
    state = {name: value.numpy() for name, value in task.model.state_dict().items()}
    assert studies.same(state, studies.weights(data, run, 1))


def test_the_trial_with_the_median_best_epoch_says_for_how_long():
    def history(best: int, lr: float) -> History:
        return History(tuple({"lr": lr / n} for n in range(1, 8)), best)

    training = Training(schedule="plateau")
    histories = [history(5, 3.0), history(2, 2.0), history(3, 1.0)]
    assert choosing._as_long(training, histories) == (3, (1.0, 0.5, 1 / 3))
    assert choosing._as_long(Training(epochs=4), histories) == (4, ())


# -- the same command finds the same run ------------------------------------------------------------------------------


def test_the_same_command_finds_the_same_run_and_fits_nothing(data, tmp_path, monkeypatch):
    config = studies.config(tmp_path, splits="0")
    ticks: list[tuple[int, int]] = []
    first = fit(config, data, lambda done, total: ticks.append((done, total)))
    assert (first.splits, first.fitted, ticks) == (1, 1, [(1, 1)])
    monkeypatch.setattr(fitting, "train", None)
    again = fit(config, data)
    assert (again.run, again.splits, again.fitted) == (first.run, 1, 0)
    assert Runs(data).names() == [first.run]


def test_more_splits_are_added_to_the_same_run(data, tmp_path):
    config = studies.config(tmp_path)
    first = fit(dataclasses.replace(config, splits="1"), data)
    before = studies.weights(data, first.run, 1)
    more = fit(config, data)
    assert (more.run, more.splits, more.fitted) == (first.run, 3, 2)
    assert studies.same(before, studies.weights(data, first.run, 1))
    assert [studies.about(data, first.run, n)["number"] for n in range(3)] == [0, 1, 2]
    for number, unseen in enumerate(SPLITS):
        told = studies.about(data, first.run, number)
        assert told["unseen"] == [CLASSES[k] for k in sorted(unseen)]
        assert sorted(told["seen"] + told["unseen"]) == list(CLASSES)


def test_killed_after_one_split_it_goes_on_and_ends_in_the_same_bits(tmp_path, monkeypatch):
    config = studies.config(tmp_path)
    whole, killed = studies.made(tmp_path, "whole"), studies.made(tmp_path, "killed")
    run = fit(config, whole).run
    real = fitting._fit_split

    def dies(study, number, *rest):
        if number == 1:
            raise KeyboardInterrupt
        real(study, number, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "_fit_split", dies)
        with pytest.raises(KeyboardInterrupt):
            fit(config, killed)
    assert Runs(killed).names() == [run]
    again = fit(config, killed)
    assert (again.run, again.fitted) == (run, 2)
    for number in range(3):
        assert studies.same(studies.weights(whole, run, number), studies.weights(killed, run, number))


def test_a_split_half_described_is_fitted_again(data, tmp_path, monkeypatch):
    config = studies.config(tmp_path, splits="0")
    real = Path.write_text

    def dies(self: Path, text: str, *rest: object) -> int:
        if "split.json" in self.name:
            real(self, text[: len(text) // 2])
            raise KeyboardInterrupt
        return real(self, text, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", dies)
        with pytest.raises(KeyboardInterrupt):
            fit(config, data)
    report = fit(config, data)
    assert report.fitted == 1
    assert studies.about(data, report.run, 0)["number"] == 0


@pytest.mark.heavy
def test_two_workers_give_the_same_bits_as_one(tmp_path, monkeypatch):
    config = studies.config(tmp_path, tune=("lr=0.01,0.001",), folds=1)
    one, two = studies.made(tmp_path, "one"), studies.made(tmp_path, "two")
    run = fit(config, one).run
    monkeypatch.setattr(fitting, "_begin", studies.begin)
    report = fit(dataclasses.replace(config, workers=2), two)
    assert (report.run, report.fitted) == (run, 3)
    for number in range(3):
        assert studies.same(studies.weights(one, run, number), studies.weights(two, run, number))
        assert studies.about(one, run, number) == studies.about(two, run, number)


def test_a_worker_that_is_killed_ends_the_fit_in_one_line_and_it_goes_on(data, tmp_path, monkeypatch):
    config = studies.config(tmp_path, workers=2, splits="0-1")
    monkeypatch.setattr(fitting, "_begin", studies.begin_and_be_killed)
    with pytest.raises(Stopped, match=r"memory short\? 2 ran at once\. .*--workers 1`"):
        fit(config, data)
    assert fit(dataclasses.replace(config, workers=1), data).fitted == 2


def test_a_worker_maps_the_features_that_were_read_before_it_and_reads_none(data, tmp_path, monkeypatch):
    config = studies.config(tmp_path, splits="0")
    reads = []
    real = videos.read
    monkeypatch.setattr(videos, "read", lambda *given: reads.append(given) or real(*given))
    monkeypatch.setattr(fitting.signal, "signal", lambda *given: None)  # this process is no worker
    for name in ("_study", "_root"):
        monkeypatch.setattr(fitting, name, None)
    study = Study(config, data)
    assert len(reads) == 1
    with study.videos.shared() as shared:
        assert shared.videos.segments.size == 0  # what is sent to a worker does not grow with the features
        for _ in range(3):
            fitting._begin(config, data.url, shared)
            worker = fitting._study
            assert isinstance(worker.videos.segments, np.memmap)
            assert run_name(worker) == run_name(study)
            np.testing.assert_array_equal(worker.videos.segments, study.videos.segments)
        folder = shared.path.parent
    assert len(reads) == 1
    assert not folder.exists()


@pytest.mark.heavy
def test_two_workers_read_nothing_of_what_was_read_for_them(tmp_path, monkeypatch):
    root = studies.made(tmp_path)
    monkeypatch.setattr(fitting, "_begin", studies.begin_and_refuse_to_read)
    assert fit(studies.config(tmp_path, workers=2), root).fitted == 3


CHANGES = {
    "head": ("pseudo", PSEUDO, {}),
    "option": ("er", (*ER, "tau=0.2"), {}),
    "training": ("er", (*ER[1:], "epochs=4"), {}),
    **{
        name: ("er", ER, {name: value})
        for name, value in {
            "tune": ("lr=0.1,0.2",), "folds": 4, "hold_out": 0.3, "gzsl": True, "standardise": True, "seed": 1,
            "segments": 2, "k": 5,
        }.items()
    },
}  # fmt: skip


def test_whatever_weights_depend_on_gives_another_run(data, tmp_path):
    config = studies.config(tmp_path)
    named = {"as it is": run_name(Study(config, data))}
    study = Study(config, data)
    for name, (head, options, more) in CHANGES.items():
        changed = studies.config(tmp_path, head, options, **more)
        if options == ER:  # the settings alone
            study.config = changed
            named[name] = run_name(study)
        else:
            named[name] = run_name(Study(changed, data))
    for fields in ({"splits": "0"}, {"workers": 2}, {"device": "auto"}):
        assert run_name(Study(dataclasses.replace(config, **fields), data)) == named["as it is"]
    studies.texts(data, tmp_path, "definition", {"golf": ["a sport with a ball"]})
    named["a text"] = run_name(Study(config, data))
    rows = studies.caption_rows()
    rows[3]["captions"][0] = "something else"
    path = studies.json_lines(tmp_path / "captions.jsonl", rows)
    index_captions(IndexConfig((path,), "d", kind="captions"), data)
    extract(ExtractConfig(("fake_text",), "d", workers=1), data)
    named["a feature"] = run_name(Study(config, data))
    rows[3]["class"] = "golf"
    index_captions(IndexConfig((studies.json_lines(tmp_path / "captions.jsonl", rows),), "d", kind="captions"), data)
    named["a label"] = run_name(Study(config, data))
    extract(ExtractConfig(("fake_text:longest=8",), "d", workers=1), data)
    other = next(f for f in _feature_names(data) if f not in Study(config_named(config, data), data).videos.feature)
    named["another encoder"] = run_name(Study(dataclasses.replace(config, feature=other, encoder="fake_text:longest=8"), data))  # fmt: skip # noqa: E501
    assert len(set(named.values())) == len(named), named


def _feature_names(root: Root) -> list[str]:
    from stores.features import FeatureStore

    return list(FeatureStore(root).names())


def config_named(config: FitConfig, root: Root) -> FitConfig:
    """The configuration with its feature in full, where there are several of the name."""
    return dataclasses.replace(config, feature=_feature_names(root)[0], encoder="fake_text")


def test_a_protocol_file_that_has_changed_gives_another_run(data, tmp_path):
    config = studies.config(tmp_path)
    first = run_name(Study(config, data))
    studies.protocol(tmp_path, ((0, 1, 2), *SPLITS[1:]))  # under the same name: what was seen is unseen now
    assert run_name(Study(config, data)) != first
    studies.protocol(tmp_path)
    assert run_name(Study(config, data)) == first


# -- what is written down ---------------------------------------------------------------------------------------------


def test_a_run_holds_all_it_depends_on(data, tmp_path):
    config = studies.config(tmp_path, splits="0")
    Study(config, data)  # encodes what it reads
    run = fit(config, data).run
    about, study = Runs(data).about(run), Study(config, data)
    for name, held in (("config", study.config), ("options", study.options), ("training", study.training)):
        fields = {f.name: getattr(held, f.name) for f in dataclasses.fields(held)}
        assert about[name] == json.loads(json.dumps(fields))
    assert about["training"]["epochs"] == 3
    assert about["options"]["dropout"] == 0.2
    assert config_of(about) == config
    assert about["protocol"] == {"name": config.protocol, "source": config.protocol, "splits": 3}
    videos, texts = study.videos, study.texts
    assert about["videos"] | {"pretraining": 0} == {
        "dataset": "d", "feature": videos.feature, "recipe": videos.recipe, "snapshot": videos.snapshot,
        "digest": videos.digest, "segments": 3, "resampled": 0, "unlabelled": 0, "captions": True, "pretraining": 0,
        "layers_trained": False,
    }  # fmt: skip
    assert about["texts"] == {
        "set": "d", "feature": texts.feature, "recipe": texts.recipe, "snapshot": texts.snapshot,
        "digest": texts.digest, "kinds": ["elaboration"], "state": texts.state, "cut": {},
        "layers_trained": False,
        "a_class": {"elaboration": 1.0},
    }  # fmt: skip
    assert about["notes"] == ["videos lie in the space of the texts: residual projections"]
    assert {"zsar", "torch", "numpy"} <= set(about["versions"])
    assert about["reads_unseen_texts"] is False


def test_the_command_of_a_run_says_what_was_set(tmp_path):
    config = studies.config(tmp_path, options=("lr=0.1", "texts=class"), gzsl=True, hold_out=0.3, device="auto", workers=0)  # fmt: skip # noqa: E501
    assert command(config) == (
        f"zsar fit er --dataset d --feature fake_text --protocol {tmp_path}/own.json --k 0 --option lr=0.1 "
        "--option texts=class --hold-out 0.3 --gzsl"
    )


def test_heads_that_read_texts_of_unseen_classes_say_so(data, tmp_path):
    for options, reads in ((PSEUDO, True), ((*PSEUDO, "weight=0"), False)):
        run = fit(studies.config(tmp_path, "pseudo", options, splits="0"), data).run
        assert Runs(data).about(run)["reads_unseen_texts"] is reads


def test_texts_a_set_lacks_are_left_out_and_noted(tmp_path):
    root = studies.made(tmp_path)
    study = Study(studies.config(tmp_path, "nearest", ()), root)
    assert study.options.texts == "class+definition+description"
    bare = Root(tmp_path / "bare")
    studies.classes(bare, tmp_path)
    path = studies.json_lines(tmp_path / "c.jsonl", studies.caption_rows())
    index_captions(IndexConfig((path,), "d", kind="captions"), bare)
    extract(ExtractConfig(("fake_text",), "d", workers=1), bare)
    study = Study(studies.config(tmp_path, "nearest", ()), bare)
    assert study.options.texts == "class"
    assert study.notes == ["set 'd' has no definition, description"]
    study = Study(studies.config(tmp_path, "coco", ()), bare)
    assert study.options.texts == "ad"
    assert study.notes[0] == "set 'd' has no descriptions: definitions only"


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"head": "resnet"}, r"^No head is called 'resnet'; there are: nearest, er, jigsaw, "),
        ({"options": ("speed=1",)}, r"^er has no option 'speed'; it has: joint, tau, .*optimiser, lr, "),
        ({"options": ("lr=fast",)}, r"^lr should be float, got 'fast'\.$"),
        ({"options": ("residual=maybe",)}, r"^residual should be true or false, got 'maybe'\.$"),
        ({"options": ("milestones=1/x",)}, r"^milestones should be a list with / between its values, got '1/x'\.$"),
        ({"options": ("lr",)}, r"^An option is NAME=VALUE, got 'lr'\.$"),
        ({"options": ("lr=",)}, r"^An option is NAME=VALUE, got 'lr='\.$"),
        ({"options": ("schedule=up",)}, r"^schedule is constant or .*, got 'up'\.$"),
        ({"tune": ("lr=0.1,fast",)}, r"^lr should be float, got 'fast'\.$"),
        ({"tune": ("speed=1,2",)}, r"^er has no option 'speed'"),
        ({"head": "coco", "options": ("texts=xy",)}, r"^CoCo's texts are ad\+vc, ad, vc, got 'xy'\.$"),
        ({"head": "jigsaw", "options": ("groups=false", "heads=2")}, r"^jigsaw on fake_text@\S+: 2 heads do not div"),
        ({"protocol": "mine"}, r"^No protocol is called 'mine'\. There are: ucf101-50, "),
        ({"protocol": "ucf101-50"}, r"^Split 'ucf101-50' #0 does not fit the 8 classes of the data set: "),
        ({"splits": "3"}, r"^The protocol has splits 0 to 2; got '3' in '3'\.$"),
        ({"splits": "a"}, r"^Splits are given as 0-9,12 or all; got 'a'"),
        ({"feature": "fake_text@0000"}, r"fake_text@0000"),
        ({"dataset": "e"}, r"^No data set is called 'e'"),
        ({"set": "e"}, r"^No set of classes is called 'e'"),
        ({"device": "tpu"}, r"tpu"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line_and_trains_nothing(data, tmp_path, monkeypatch, fields, message):
    monkeypatch.setattr(fitting, "train", None)
    config = dataclasses.replace(studies.config(tmp_path, options=()), **fields)
    with pytest.raises(Exception, match=message) as told:
        fit(config, data)
    assert isinstance(told.value, UsageError | NotInStore) or "device" in fields
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"k": -1}, r"^k must be at least 0, got -1\.$"),
        ({"folds": 0}, r"^folds must be at least 1, got 0\.$"),
        ({"hold_out": 1.0}, r"^hold_out is a share between 0 and 1, got 1\.0\.$"),
        ({"workers": -1}, r"^workers must be at least 0, got -1\.$"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(fields, message):
    with pytest.raises(UsageError, match=message):
        FitConfig("er", "d", "f", "p", **fields)


def test_a_class_without_a_video_is_refused_by_name_before_any_training(data, tmp_path, monkeypatch):
    rows = [row for row in studies.caption_rows() if row["class"] not in ("bowling", "golf")]
    path = studies.json_lines(tmp_path / "less.jsonl", rows)
    bare = Root(tmp_path / "bare")
    studies.classes(bare, tmp_path)
    index_captions(IndexConfig((path,), "d", kind="captions"), bare)
    extract(ExtractConfig(("fake_text",), "d", workers=1), bare)
    monkeypatch.setattr(fitting, "task_of", None)
    monkeypatch.setattr(fitting, "train", None)
    with pytest.raises(UsageError, match=r"^Split .* #0 needs videos of bowling, golf; 'd' has none with fake_text@"):
        fit(studies.config(tmp_path), bare)
    assert Runs(bare).names() == []


@pytest.mark.parametrize(
    ("head", "options"), [("er", ER), ("ridge", ("texts=class",)), ("pseudo", (*PSEUDO, "epochs=0"))]
)
def test_a_head_that_learns_is_refused_where_there_is_nothing_to_learn_from(data, tmp_path, head, options):
    config = studies.config(tmp_path, head, options, protocol="cross-0/50", splits="0")
    with pytest.raises(UsageError, match=rf"^{head} learns, and Split 'cross-0/50' #0 has no seen class .*--judge d"):
        fit(config, data)
    assert Runs(data).names() == []


def test_a_head_that_learns_nothing_is_judged_without_seen_classes_and_cannot_choose(data, tmp_path):
    config = studies.config(tmp_path, "nearest", (), protocol="cross-0/50", splits="0")
    assert fit(config, data).fitted == 1
    with pytest.raises(UsageError, match=r"of 0 seen classes cannot"):
        fit(dataclasses.replace(config, gzsl=True), data)


# -- how long it is trained, and whether that was enough --------------------------------------------------------------


def test_a_warm_up_as_long_as_the_training_is_refused_before_anything_is_trained(data, tmp_path):
    options = ("epochs=3", "batch=16", "warmup_steps=12")  # 50 videos of five seen classes, 4 steps an epoch
    with pytest.raises(UsageError, match=r"^A warm-up of 12 steps is as long as the training, 12 steps: .*warmup=0\.1"):
        fit(studies.config(tmp_path, "er", options, splits="0"), data)
    assert Runs(data).names() == []
    assert fit(studies.config(tmp_path, "er", (*options[:2], "warmup_steps=11"), splits="0"), data).fitted == 1


def test_so_is_one_that_is_as_long_as_a_training_on_which_something_is_chosen(data, tmp_path):
    options = (
        "epochs=3",
        "batch=16",
        "warmup_steps=9",
    )  # shorter than all, 12 steps, not than without held-out classes
    assert fit(studies.config(tmp_path, "er", options, splits="0"), data).fitted == 1
    before = Runs(data).names()
    with pytest.raises(UsageError, match=r"^A warm-up of 9 steps is as long as the training, [369] steps"):
        fit(studies.config(tmp_path, "er", options, splits="0", tune=("dropout=0,0.3",)), data)
    assert Runs(data).names() == before


@pytest.mark.parametrize("head", ["er", "coco", "devise", "ale", "sje", "dem"])
def test_a_published_training_leaves_its_warm_up_on_any_data(data, tmp_path, head):
    training = Study(studies.config(tmp_path, head, ()), data).training
    assert training.schedule == "cosine"
    assert (training.warmup > 0, training.warmup_steps, training.cosine_steps) == (True, 0, 0)
    steps = 4 * training.epochs
    rates = [training.rate(step, step // 4, 4, 1.0) for step in range(steps)]
    assert max(rates) > 0.9 * training.lr
    assert rates[-1] < 0.1 * training.lr


@pytest.mark.parametrize("head", ["er", "jigsaw", "coco", "pseudo", "devise", "dem", "gcn", "relation", "e2e"])
def test_a_head_can_be_the_average_of_its_weights_on_the_way(data, tmp_path, head):
    own = ("epochs=2", *(("heads=3",) if head == "jigsaw" else ()))
    run = fit(studies.config(tmp_path, head, (*own, "ema=0.9"), splits="0"), data).run
    assert run != fit(studies.config(tmp_path, head, own, splits="0"), data).run
    assert Run(data, run).weights(0).exists()


def test_another_schedule_keeps_nothing_of_the_published_one(data, tmp_path):
    training = Study(studies.config(tmp_path, "devise", ("schedule=constant", "lr=0.01")), data).training
    assert (training.warmup, training.warmup_steps, training.clip) == (0.0, 0, 0.0)
    assert training.rate(0, 0, 4, 1.0) == 0.01
    kept = Study(studies.config(tmp_path, "devise", ("schedule=constant", "clip=10", "warmup=0.5")), data).training
    assert (kept.warmup, kept.clip) == (0.5, 10.0)


def test_a_fit_that_ends_below_what_nobody_had_to_train_says_so(data, tmp_path):
    good = fit(studies.config(tmp_path, "pseudo", PSEUDO), data)
    assert not [note for note in good.notes if note.startswith("split")]
    spoilt = studies.config(tmp_path, "pseudo", ("texts=definition", "lr=30", "epochs=3", "batch=16"), splits="0")
    report = fit(spoilt, data)
    said = [note for note in report.notes if note.startswith("split 0: ends right on ")]
    assert any("the nearest prototype, which learns nothing" in note for note in said)
    assert fit(spoilt, data).notes == report.notes  # and again where nothing is trained


def test_below_chance_is_said(data, tmp_path, monkeypatch):
    study = Study(studies.config(tmp_path, "pseudo", PSEUDO), data)
    labels = study.videos.labels
    monkeypatch.setattr(Study, "scores", lambda self, head, rows, classes: -1.0 * (labels[rows][:, None] == classes))
    (found,) = doubts(study, study.model(), np.arange(8))
    assert found.startswith("ends right on 0.0 % of the videos it was trained on, chance is 12.5 %")
    assert doubts(study, Study(studies.config(tmp_path, "nearest", ()), data).model(), np.arange(8)) == []
