"""Results: judged runs beside what is published, and what they are not comparable in."""

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.judge import results as listing
from pipelines.judge.evaluate import evaluate
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.learn.protocols.protocols import protocol
from pipelines.learn.settings import FitConfig
from pipelines.look.listing import runs
from stores.features import FeatureStore
from stores.root import Root
from tests.pipelines import studies

pytestmark = pytest.mark.usefixtures("fake")


def judged(config: FitConfig, root: Root) -> str:
    run = fit(config, root).run
    evaluate(EvaluateConfig(run), root)
    return run


@pytest.fixture
def data(tmp_path: Path) -> Root:
    return studies.made(tmp_path)


def test_without_runs_there_is_nothing(root):
    assert results(root) == []


def test_a_run_that_is_fitted_and_not_judged_is_no_result(data, tmp_path):
    fit(studies.config(tmp_path, "nearest", (), splits="0"), data)
    assert results(data) == []


def test_a_run_that_is_damaged_is_named_and_the_others_are_listed(data, tmp_path):
    whole, damaged = (
        judged(studies.config(tmp_path, "nearest", (f"texts={kind}",), splits="0"), data)
        for kind in ("definition", "class")
    )
    studies.folder_of(data, damaged, 0).parent.joinpath("run.json").write_text("{}x")
    first, *_, last = results(data)
    assert (first["run"], first["top1"] is None) == (whole, False)
    assert (last["run"], last["top1"]) == (damaged, None)
    assert f"runs/{damaged}/run.json" in last["state"]
    shown = CliRunner().invoke(app, ["list", "results", "--root", data.url])
    assert shown.exit_code == 0
    assert "is damaged" in " ".join(shown.stdout.split())
    counted = CliRunner().invoke(app, ["sql", "select count(top1) n from results", "--root", data.url, "--json"])
    assert json.loads(counted.stdout)["rows"] == [{"n": 1}]


def test_runs_are_listed_with_what_is_done_of_them_and_top1_once_judged(data, tmp_path):
    run = fit(studies.config(tmp_path, "nearest", ("texts=definition",), splits="0-1"), data).run
    (row,) = runs(data)
    assert (row["run"], row["head"], row["network"], row["dataset"]) == (run, "nearest", "", "d")
    assert (row["fitted"], row["judged"], row["top1"], row["state"]) == (2, False, None, "done")
    report = evaluate(EvaluateConfig(run), data)
    studies.folder_of(data, run, 2).mkdir()
    (row,) = runs(data)
    assert row["top1"] == pytest.approx(report.zsl["top1"][0])
    assert (row["fitted"], row["judged"], row["state"]) == (2, True, "2 of 3 splits: in progress, or killed")
    assert "nearest" in CliRunner().invoke(app, ["list", "runs", "--root", data.url]).stdout


def test_a_row_is_the_mean_over_its_splits(data, tmp_path):
    run = fit(studies.config(tmp_path, "nearest", ("texts=definition",)), data).run
    report = evaluate(EvaluateConfig(run), data)
    (row,) = results(data)
    assert (row["top1"], row["std"]) == pytest.approx(report.zsl["top1"])
    assert row["top5"] == pytest.approx(report.zsl["top5"][0])
    assert row["class_mean"] == pytest.approx(report.zsl["mean_class_top1"][0])
    assert (row["system"], row["dataset"], row["setting"], row["splits"]) == ("nearest", "d", "zsl", 3)
    assert (row["n"], row["missing"], row["run"], row["state"]) == (report.n, 0, run, "good")
    assert (row["seen"], row["unseen"], row["h"]) == (None, row["top1"], None)
    assert row["given"] == "texts=definition"
    assert row["features"].startswith("fake_text@")
    assert row["features"].endswith(" (captions)")
    assert row["texts"] == "definition"


def test_gzsl_is_a_row_of_its_own(data, tmp_path):
    run = fit(studies.config(tmp_path, splits="0", gzsl=True), data).run
    report = evaluate(EvaluateConfig(run), data)
    rows = {row["setting"]: row for row in results(data)}
    assert set(rows) == {"zsl", "gzsl"}
    for name, own in (("seen", "seen_top1"), ("unseen", "unseen_top1"), ("h", "harmonic_mean")):
        assert rows["gzsl"][name] == pytest.approx(report.gzsl[own][0])


def test_published_rows_stand_beside_those_of_their_data_set_protocol_and_setting(root, tmp_path):
    names = protocol("ucf101-50").splits[0].classes
    studies.classes(root, tmp_path, names, "ucf101")
    rows = [{"video": f"v{k}", "class": name, "captions": [f"{name} again"]} for k, name in enumerate(names)]
    path = studies.json_lines(tmp_path / "c.jsonl", rows)
    index_captions(IndexConfig((path,), "ucf101", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "ucf101", workers=1), root)
    options = ("texts=class",)
    config = FitConfig("nearest", "ucf101", "fake_text", "ucf101-50", "0-1", options=options, k=0, workers=1, device="cpu")  # fmt: skip # noqa: E501
    run = judged(config, root)
    own, *others = results(root)
    assert own["run"] == run
    table = json.loads(listing.PUBLISHED.read_text())["rows"]
    expected = [r for r in table if (r["dataset"], r["protocol"], r["setting"]) == ("ucf101", "ucf101-50", "zsl")]
    assert len(expected) > 1
    assert [row["system"] for row in others] == [f"{r['system']}, published" for r in expected]
    for row, printed in zip(others, expected, strict=True):
        assert row["top1"] == pytest.approx(printed["top1"] / 100)
        assert row["std"] == (pytest.approx(printed["std"] / 100) if "std" in printed else None)
        assert (row["features"], row["state"], row["run"]) == (printed["features"], printed["source"], "")
        assert set(row) == set(own)
    judged(dataclasses.replace(config, protocol="cross-0/50"), root)
    groups = [(row["protocol"], row["run"] != "") for row in results(root)]
    assert groups == sorted(groups, key=lambda g: (g[0], not g[1]))  # each after its own
    assert ("cross-0/50", True) in groups


def test_a_missing_file_of_published_numbers_hides_no_run(data, tmp_path, monkeypatch):
    judged(studies.config(tmp_path, "nearest", (), splits="0"), data)
    monkeypatch.setattr(listing, "PUBLISHED", tmp_path / "none.json")
    assert len(results(data)) == 1


def test_rows_whose_texts_or_features_changed_are_stale_and_come_with_the_command(data, tmp_path):
    config = studies.config(tmp_path, splits="0")
    named = judged(studies.config(tmp_path, "nearest", ("texts=class",), splits="0"), data)
    run = judged(config, data)
    assert {row["state"] for row in results(data)} == {"good"}
    studies.texts(data, tmp_path, "definition", {"golf": ["another sport"]})

    def states() -> dict[str, str]:
        return {row["run"]: row["state"] for row in results(data)}

    assert states()[named] == "good"  # it reads no definitions
    assert states()[run].startswith(
        "stale: texts changed; run `zsar fit er --dataset d --feature fake_text --protocol "
    )
    assert " --splits 0" in states()[run]
    assert states()[run].endswith("`")
    again = judged(config, data)
    assert again != run
    assert states()[again] == "good"
    rows = studies.caption_rows()
    rows[0]["captions"][0] = "something else"
    index_captions(IndexConfig((studies.json_lines(tmp_path / "captions.jsonl", rows),), "d", kind="captions"), data)
    extract(ExtractConfig(("fake_text",), "d", workers=1), data)
    assert states()[named].startswith("stale: features changed; run `zsar fit nearest ")
    assert states()[run].startswith("stale: texts and features changed; run `")
    data.remove("features", FeatureStore(data).names()[0])
    assert states()[named].startswith("stale: its features or texts are gone; they were fake_text@")


def test_judged_counts_the_configurations_and_rows_of_other_features_stand_apart(data, tmp_path):
    extract(ExtractConfig(("fake_text:longest=4",), "d", workers=1), data)
    names = FeatureStore(data).names()
    assert len(names) == 2
    runs = []
    for feature in names:
        longest = FeatureStore(data).find(feature).recipe["sampling"]["longest"]
        for kind in ("definition", "class", "description"):
            config = studies.config(tmp_path, "nearest", (f"texts={kind}",), splits="0")
            config = dataclasses.replace(config, feature=feature, encoder=f"fake_text:longest={longest}")
            runs.append(judged(config, data))
    judged(dataclasses.replace(config, protocol=studies.protocol(tmp_path, name="other.json")), data)
    rows = results(data)
    (other,) = [row for row in rows if row["protocol"].endswith("other.json")]
    assert other["judged"] == 1
    own = [row for row in rows if row is not other]
    assert {row["run"] for row in own} == set(runs)
    assert [row["judged"] for row in own] == [6] * 6
    features = [row["features"] for row in own]
    assert features == sorted(features)
    assert len(set(features)) == 2
    tops = [[row["top1"] for row in own if row["features"] == feature] for feature in sorted(set(features))]
    assert tops == [sorted(each, reverse=True) for each in tops]
    together = sorted((row["top1"] for row in own), reverse=True)
    assert [row["top1"] for row in own] != together  # by number alone they would stand otherwise
