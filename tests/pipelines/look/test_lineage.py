"""Lineage: every step from a number to the clips is told as the files have it; what features cost as it was spent."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.look.lineage import cost, of_run
from stores.failures import Failure, Failures
from stores.features import FeatureStore, ItemRows
from stores.keys import text_key
from stores.root import Root
from tests.pipelines import studies


@pytest.fixture
def judged(tmp_path, fake) -> tuple[Root, str]:
    root = studies.made(tmp_path)
    run = fit(studies.config(tmp_path, "nearest", ()), root).run
    evaluate(EvaluateConfig(run), root)
    return root, run


def test_a_number_leads_to_all_it_came_from(judged, tmp_path):
    root, run = judged
    told = of_run(run[:8], root, 1)
    folder = tmp_path / "root" / "runs" / run
    about = json.loads((folder / "run.json").read_text())
    numbers = pq.read_table(folder / "results.parquet").to_pylist()
    assert [(row["split"], row["top1"]) for row in told["splits"]] == [(row["split"], row["top1"]) for row in numbers]
    assert told["numbers"][0]["top1"] == pytest.approx(sum(row["top1"] for row in numbers) / len(numbers))
    for row in told["splits"]:
        split = json.loads((folder / f"split-{row['split']:03d}" / "split.json").read_text())
        assert (row["seen"], row["unseen"]) == (split["seen"], split["unseen"])
    for what in ("videos", "texts"):
        held = FeatureStore(root).find(about[what]["feature"])
        assert told[what]["recipe"] == held.key
        assert told[what]["made_from"]["weights"] == held.recipe["weights"]
        assert told[what]["now"] == ("the same" if held.snapshot == about[what]["snapshot"] else f"at {held.snapshot}")
    rows = pq.read_table(folder / "judged.parquet").to_pylist()
    own = {row["video_id"]: row for row in rows if row["split"] == 1}
    clips = told["clips"]
    assert {row["video_id"]: (row["label"], row["said"]) for row in clips["rows"]} == {
        name: (row["label"], row["best"][0]) for name, row in own.items()
    }
    assert clips["right"] / clips["judged"] == pytest.approx(told["splits"][1]["top1"])
    assert [row["right"] for row in clips["rows"]] == sorted(row["right"] for row in clips["rows"])
    assert all(row["uri"] for row in clips["rows"])


def test_what_failed_of_its_features_is_told(judged):
    root, run = judged
    feature = of_run(run, root)["videos"]["feature"]
    for dataset, name in (("d", feature), ("other", feature), ("d", "other@ab")):
        key = text_key(f"{dataset}{name}")
        Failures(root).append([Failure(key, f"/{dataset}", dataset, "k", name, "decode", "Corrupt", "bad")])
    assert [(row["file"], row["reason"]) for row in of_run(run, root)["failures"]] == [("/d", "bad")]


def test_a_run_that_has_no_number_says_how_to_get_one(tmp_path, fake):
    root = studies.made(tmp_path)
    run = fit(studies.config(tmp_path, "nearest", (), splits="0"), root).run
    with pytest.raises(UsageError, match=f"was not judged, so there is no number. Run `zsar evaluate {run}`"):
        of_run(run, root)
    evaluate(EvaluateConfig(run), root)
    with pytest.raises(UsageError, match="was not judged on split 2"):
        of_run(run, root, 2)


def test_the_command_shows_the_way_down(judged):
    root, run = judged
    told = CliRunner().invoke(app, ["show", run, "--lineage", "--split", "0", "--root", root.url])
    assert told.exit_code == 0
    for word in ("ZSL", "split 0", "snapshot", "made from", "again", "Clips, wrong ones first"):
        assert word in told.stdout
    feature = of_run(run, root)["videos"]["feature"]
    wrong = CliRunner().invoke(app, ["show", feature, "--lineage", "--root", root.url])
    assert "--lineage and --split are for runs" in wrong.stderr


def test_a_feature_set_says_what_it_cost(root, fake, videos):
    report = extract(ExtractConfig(("fake",), "d"), root)
    held = FeatureStore(root).find("fake")
    told = cost(held, 3.6)
    assert (told["seconds_known"], told["of"], told["items"]) == (1, 1, 6)
    assert 0 < told["seconds"] <= report.seconds + 0.01
    assert told["price"] == pytest.approx(told["seconds"] / 1000, abs=1e-6)
    assert told["price_a_thousand"] == pytest.approx(1000 * told["price"] / 6, abs=1e-3)
    assert told["bytes"] == held.size_bytes()
    assert "price" not in cost(held)


def test_seconds_of_several_features_at_once_are_shared(root, fake, videos):
    report = extract(ExtractConfig(("fake", "fake_still"), "d"), root)
    both = [cost(FeatureStore(root).find(name))["seconds"] for name in ("fake", "fake_still")]
    assert sum(both) <= report.seconds + 0.01


def test_commits_without_seconds_count_from_the_first_to_the_last_of_their_run(root):
    held = FeatureStore(root).create("x@ab", {"extractor": "x"}, "ab", {"features": ((2,), "float32")})
    for number in range(2):
        rows = {"features": [[number, 1.0]]}
        held.append(
            [ItemRows(text_key(str(number)), {n: np.array(v, np.float32) for n, v in rows.items()}, None)], {"run": "r"}
        )
    told = cost(held)
    assert (told["seconds_known"], told["of"]) == (0, 2)
    assert told["seconds"] >= 0
