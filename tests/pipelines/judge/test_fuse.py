"""Runs judged as one: the numbers are those of loops over the heads' own scores; what is not comparable is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.fuse import fuse
from pipelines.judge.results import results as listed
from pipelines.judge.settings import EvaluateConfig, FuseConfig
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run
from pipelines.learn.settings import FitConfig
from pipelines.learn.study import Study
from pipelines.learn.trained import head_of
from pipelines.look.lineage import of_run
from pipelines.look.run.page import run_html
from stores.errors import NotInStore
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import studies
from tests.pipelines.studies import CLASSES, ER, SPLITS

pytestmark = pytest.mark.usefixtures("fake")
PSEUDO = ("texts=class+definition", "epochs=2", "batch=16", "lr=0.01")


@pytest.fixture
def data(tmp_path: Path) -> Root:
    return studies.made(tmp_path)


def fitted(root: Root, *configs: FitConfig) -> list[str]:
    return [fit(config, root).run for config in configs]


def two(folder: Path, **more) -> list[FitConfig]:
    return [studies.config(folder, "er", ER, **more), studies.config(folder, "pseudo", PSEUDO, **more)]


def scored(root: Root, config: FitConfig, run: str, number: int, rows: list[int], classes: list[int]) -> np.ndarray:
    """(rows, classes): scores less the mean of the class's on videos trained on, over their deviation."""
    study = Study(config, root)
    split = study.split(number)
    seen = study.numbers(split.seen).tolist()
    head, _ = head_of(study, Run(root, run), number)
    learned = [
        k for k, label in enumerate(study.videos.labels) if label in seen and not (config.gzsl and study.kept_back[k])
    ]

    def of(which: list[int]) -> np.ndarray:
        with torch.no_grad():
            return head.scores(study.batch(np.array(which)), study.told(np.array(classes))).double().numpy()

    values, told = of(rows), of(learned)
    penalty = studies.about(root, run, number)["penalty"] if config.gzsl and len(classes) > len(split.unseen) else 0.0
    for column, each in enumerate(classes):
        mean = sum(told[:, column]) / len(told)
        deviation = (sum((value - mean) ** 2 for value in told[:, column]) / len(told)) ** 0.5
        for row in range(len(rows)):
            taken = penalty if each in seen else 0.0
            if config.standardise:
                values[row, column] = (values[row, column] - mean) / deviation - taken
            else:
                values[row, column] = (values[row, column] - taken - mean) / deviation
    return values


@pytest.mark.parametrize("standardise", [False, True])
def test_the_numbers_are_the_mean_of_standardised_scores(data, tmp_path, standardise):
    configs = two(tmp_path, splits="0,2")
    configs[1] = studies.config(tmp_path, "pseudo", PSEUDO, splits="0,2", standardise=standardise)
    runs = fitted(data, *configs)
    report = fuse(FuseConfig(tuple(runs)), data)
    study = Study(configs[0], data)
    rows_of = Runs(data).read(report.run, "judged").to_pylist()
    found = {row["split"]: row for row in Runs(data).read(report.run, "results").to_pylist()}
    assert sorted(found) == [0, 2]
    for number in (0, 2):
        classes = sorted(SPLITS[number])
        labels = [int(label) for label in study.videos.labels]
        rows = [k for k, label in enumerate(labels) if label in classes]
        one, other = (scored(data, c, r, number, rows, classes) for c, r in zip(configs, runs, strict=True))
        fused = (one + other) / 2
        best = [classes[max(range(3), key=lambda k: own[k])] for own in fused]
        right = sum(said == labels[k] for said, k in zip(best, rows, strict=True)) / len(rows)
        assert found[number]["top1"] == pytest.approx(right)
        assert (found[number]["n"], found[number]["missing"]) == (30, 0)
        place = {study.videos.ids[k]: own for k, own in zip(rows, fused, strict=True)}
        judged = [row for row in rows_of if row["split"] == number]
        assert {row["video_id"] for row in judged} == set(place)
        for row in judged:
            own = place[row["video_id"]]
            order = sorted(range(3), key=lambda k: -own[k])
            assert row["best"] == [CLASSES[classes[k]] for k in order]
            assert row["scores"] == pytest.approx([own[k] for k in order], rel=1e-3, abs=1e-3)
    assert report.zsl["top1"][0] == pytest.approx(np.mean([row["top1"] for row in found.values()]))


def test_under_gzsl_each_takes_its_own_penalty_off_the_seen_classes(data, tmp_path):
    configs = two(tmp_path, splits="2", gzsl=True)
    runs = fitted(data, *configs)
    report = fuse(FuseConfig(tuple(runs)), data)
    study = Study(configs[0], data)
    labels = [int(label) for label in study.videos.labels]
    rows = [k for k in range(len(labels)) if labels[k] in SPLITS[2] or study.kept_back[k]]
    fused = sum(scored(data, c, r, 2, rows, list(range(8))) for c, r in zip(configs, runs, strict=True))
    right = {True: [], False: []}
    for own, k in zip(fused, rows, strict=True):
        right[labels[k] in SPLITS[2]].append(int(np.argmax(own)) == labels[k])
    seen, unseen = np.mean(right[False]), np.mean(right[True])
    (row,) = [row for row in Runs(data).read(report.run, "results").to_pylist() if row["setting"] == "gzsl"]
    assert (row["seen_top1"], row["unseen_top1"]) == pytest.approx((seen, unseen))
    assert (row["classes"], row["n"], row["penalty"]) == (8, len(rows), None)
    assert any(studies.about(data, run, 2)["penalty"] for run in runs)
    alone = fitted(data, configs[0], studies.config(tmp_path, "pseudo", PSEUDO, splits="2"))
    assert fuse(FuseConfig(tuple(alone)), data).gzsl == {}  # one of the two was not fitted for it


def test_a_video_that_one_cannot_judge_is_missing(data, tmp_path):
    for more in ({"dataset": "d"}, {"set": "d"}):
        extract(ExtractConfig(("random_vectors",), workers=1, **more), data)
    row = {"video": "x1", "class": CLASSES[5], "captions": ["abc", "abd", "abe"]}
    path = studies.json_lines(tmp_path / "more.jsonl", [*studies.caption_rows(), row])
    index_captions(IndexConfig((path,), "d", kind="captions"), data)
    extract(ExtractConfig(("fake_text",), "d", workers=1), data)
    one = studies.config(tmp_path, "nearest", (), splits="0")
    other = FitConfig("nearest", "d", "random_vectors", one.protocol, k=0, splits="0", device="cpu")
    runs = fitted(data, one, other)
    assert [evaluate(EvaluateConfig(run), data).n for run in runs] == [31, 30]
    for order in (runs, runs[::-1]):
        report = fuse(FuseConfig(tuple(order)), data)
        assert (report.n, report.missing) == (30, 1)
    (row,) = Runs(data).read(report.run, "results").to_pylist()
    assert row["feature"].split(" + ") == [Runs(data).about(run)["videos"]["feature"] for run in sorted(runs)]


def test_it_is_a_run_that_leads_to_those_it_is_of(data, tmp_path):
    configs = two(tmp_path)
    runs = sorted(fitted(data, *configs))
    run = fuse(FuseConfig(tuple(runs)), data).run
    assert fuse(FuseConfig(tuple(reversed(runs))), data).run == run
    assert run.startswith("fused-d-own-")
    (row,) = [row for row in listed(data) if row["run"] == run]
    assert (row["system"], row["splits"], row["state"], row["given"]) == ("fused", 3, "good", ", ".join(runs))
    told = of_run(run, data)
    assert [each["run"] for each in told["runs"]] == runs
    assert [each["head"]["name"] for each in told["runs"]] == [
        Runs(data).about(name)["config"]["head"] for name in runs
    ]
    assert len(told["splits"][0]["weights"]) == 2
    assert told["splits"][0]["unseen"] == [CLASSES[k] for k in SPLITS[0]]
    assert told["commands"] == [f"zsar fuse {runs[0]} {runs[1]}"]
    assert "0 missing; 1 configuration was judged on these unseen classes" in run_html(run, data)
    evaluate(EvaluateConfig(runs[0]), data)
    page = run_html(run, data)
    assert "0 missing; 2 configurations were judged on these unseen classes" in page
    assert f"the mean of the standardised scores of {runs[0]}, {runs[1]}" in page
    assert "2 runs judged as one" in page
    assert "What is taken for what" in page
    for command in (["show", run], ["show", run, "--lineage"], ["list", "runs"], ["list", "results"]):
        shown = CliRunner().invoke(app, [*command, "--root", data.url])
        assert shown.exit_code == 0, shown.stderr
        assert "fused" in shown.stdout
    shutil.move(studies.folder_of(data, runs[1]), tmp_path / "aside")
    (row,) = [row for row in listed(data) if row["run"] == run]
    assert row["state"] == f"stale: {runs[1]} is gone: fit it again; then `zsar fuse {runs[0]} {runs[1]}`"
    assert "is gone: fit it again" in run_html(run, data)
    shown = CliRunner().invoke(app, ["show", run, "--lineage", "--root", data.url])
    assert f"No run is called '{runs[1]}'" in shown.stderr
    shutil.move(tmp_path / "aside", studies.folder_of(data, runs[1]))
    studies.texts(data, tmp_path, "definition", {CLASSES[0]: ["another one"]})
    (row,) = [row for row in listed(data) if row["run"] == run]
    assert re.match(rf"stale: {runs[0]} is stale: texts changed; run `zsar fit .*`; then `zsar fuse ", row["state"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("er",), r"^Two runs or more are fused, got er-"),
        (("er", "er-"), r"^Two runs or more are fused, got er-"),
        (("er", "nearest"), r"is of the protocol '.*', nearest-.* of 'cross-0/50'\.$|of the protocol 'cross-0/50'"),
        (("er", "fused"), r"^fused-.* is several runs judged as one; name these in its place: er-.* pseudo-.*\.$"),
    ],
)
def test_what_cannot_be_fused_is_one_line(data, tmp_path, given, message):
    runs = fitted(data, *two(tmp_path, splits="0"))
    fuse(FuseConfig(tuple(runs)), data)
    fitted(data, studies.config(tmp_path, "nearest", (), protocol="cross-0/50", splits="0"))
    with pytest.raises(UsageError, match=message) as told:
        fuse(FuseConfig(given), data)
    assert "\n" not in str(told.value)


def test_splits_that_one_has_not_are_named_with_what_fits_them(data, tmp_path):
    runs = fitted(data, two(tmp_path, splits="0,1")[0], two(tmp_path, splits="1,2")[1])
    assert fuse(FuseConfig(tuple(runs)), data).splits == 1
    with pytest.raises(UsageError, match=r"has no weights of split \d\. Run `zsar fit .* --splits \d .*`\.$"):
        fuse(FuseConfig(tuple(runs), splits="0-2"), data)
    others = fitted(data, studies.config(tmp_path, "nearest", (), splits="0"))
    with pytest.raises(UsageError, match=r"^No split is fitted of all: nearest-\S+ has 0; pseudo-\S+ has 1, 2\. "):
        fuse(FuseConfig((others[0], runs[1])), data)


def test_other_unseen_classes_under_one_name_are_refused(data, tmp_path):
    (tmp_path / "other").mkdir()
    path = studies.protocol(tmp_path / "other", ((0, 5, 6), (0, 1, 2), (1, 3, 6)))
    runs = fitted(data, two(tmp_path, splits="0")[0])
    runs += fitted(data, studies.config(tmp_path, "pseudo", PSEUDO, protocol=path, splits="0"))
    for name in runs:  # as where vectors draw the splits, and encoders differ
        about = json.loads(data.read_text("runs", name, "run.json"))
        about["protocol"]["name"] = "drawn"
        data.write_json({k: v for k, v in about.items() if k != "seal"}, "runs", name, "run.json")
    with pytest.raises(UsageError, match=r"have other unseen classes in split 0 \(archery, juggling\)\.$"):
        fuse(FuseConfig(tuple(runs)), data)


def test_it_has_no_head_to_judge_anew(data, tmp_path):
    run = fuse(FuseConfig(tuple(fitted(data, *two(tmp_path, splits="0")))), data).run
    with pytest.raises(UsageError, match=r"^fused-.* is 2 runs judged as one, and has no head: `zsar fuse er-"):
        evaluate(EvaluateConfig(run), data)
    with pytest.raises(NotInStore):
        fuse(FuseConfig((run, "none")), data)
    asked = CliRunner().invoke(app, ["query", "abc", "--feature", run, "--root", data.url])
    assert "2 runs judged as one" in asked.stderr
