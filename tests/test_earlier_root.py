"""A root that an earlier version made is read by this one: nothing is computed again, and every number comes back.

`golden/root-0.1.0.zip` holds 18 sequences of poses of six classes, their raw joints, texts with vectors and two runs,
as version 0.1.0 wrote them (`raw_joints:frames=4`, `random_vectors:width=20`, a split of four and two classes). What is
expected here is what its own commands printed then.
"""

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import h5py
import pytest

from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.judge.evaluate import evaluate
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.finetune import run_name as network_name
from pipelines.learn.finetune import trainable
from pipelines.learn.fit import fit
from pipelines.learn.parts import named
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.learn.study import Study
from pipelines.learn.trained import run_name
from pipelines.look.export import export
from pipelines.look.listing import datasets, failures, features, runs
from pipelines.look.settings import ExportConfig
from stores.root import Root
from stores.runs import Runs

GOLDEN = Path(__file__).parent / "golden/root-0.1.0.zip"
RUNS = {"eszsl-toy-split-4ced835b87": 1 / 2, "devise-toy-split-deccc8ccc8": 1 / 3}
#: what the settings of every head, and of networks, called their runs before this code named them
NAMES = [
    "nearest-toy-split-5fdea3bdb6",
    "jigsaw-toy-split-de42f365da",
    "pseudo-toy-split-c5becf516f",
    "conse-toy-split-c3a096c3a1",
    "ridge-toy-split-5e620b1d4c",
    "eszsl-toy-split-4ced835b87",
    "gcn-toy-split-f32a171292",
    "relation-toy-split-6717eebef8",
    "e2e-toy-split-6e40416999",
]
#: those that were trained by counts of steps of another data set then, and so have another name now
LINEAR = {"clip": 10.0, "warmup_steps": 2000, "cosine_steps": 50000, "warmup": 0.0}
TRAINED_OTHERWISE = {
    "er-toy-split-4d97361a4c": {"warmup_steps": 1700, "cosine_steps": 17000, "warmup": 0.0},
    "coco-toy-split-af69a3c9b2": {"warmup_steps": 20, "warmup": 0.0},
    "devise-toy-split-a173bab48f": LINEAR,
    "ale-toy-split-957339d330": LINEAR,
    "sje-toy-split-7caee15c3b": LINEAR,
    "dem-toy-split-99a26e3a01": LINEAR,
}
NETWORKS = {
    "stgcn_small-toy-none-3e59c35b1e": {},
    "stgcn_small-toy-split-30c0af065c": {"protocol": "split.json"},
    "stgcn-toy-split-5a2acaca68": {
        "model": "stgcn",
        "protocol": "split.json",
        "gzsl": True,
        "splits": "0",
        "threads": 3,
    },
}
VALUES = "7338def836843601"  # BLAKE2b-64 of the exported values


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "split.json").write_text(
        json.dumps({"seen": ["wave", "jump", "sit down", "walk"], "unseen": ["clap", "bow"]})
    )
    with zipfile.ZipFile(GOLDEN) as archive:
        archive.extractall(tmp_path)
    return Root("root")


def test_what_it_holds_is_listed(earlier):
    assert [(row["name"], row["items"], row["state"]) for row in features(earlier)] == [
        ("random_vectors@98d39c85c26b", 6, "good"),
        ("raw_joints@0564838e9be8", 18, "good"),
    ]
    assert [(row["dataset"], row["videos"], row["classes"]) for row in datasets(earlier)] == [("toy", 18, 6)]
    assert {row["run"]: row["top1"] for row in runs(earlier)} == pytest.approx(RUNS)
    assert {row["run"]: row["state"] for row in results(earlier) if row["run"]} == dict.fromkeys(RUNS, "good")
    assert failures(earlier) == []


def test_its_rows_are_what_was_written_and_nothing_is_missing(earlier, tmp_path):
    assert [(report.items, report.damaged) for report in verify(VerifyConfig(), earlier)] == [(6, ()), (18, ())]
    (feature,) = plan(ExtractConfig(("raw_joints:frames=4",), "toy"), earlier).features
    assert (feature.name, feature.planned, feature.skipped) == ("raw_joints@0564838e9be8", 0, 18)
    export(ExportConfig(feature="raw_joints", dataset="toy", out=str(tmp_path / "f.h5"), format="hdf5"), earlier)
    with h5py.File(tmp_path / "f.h5") as file:
        assert hashlib.blake2b(file["values"][:].tobytes(), digest_size=8).hexdigest() == VALUES


def test_the_same_fit_finds_its_run(earlier):
    name = next(run for run in RUNS if run.startswith("eszsl"))
    config = FitConfig("eszsl", "toy", "raw_joints", "split.json", encoder="random_vectors:width=20", workers=1)
    report = fit(config, earlier)
    assert (report.run, report.splits, report.fitted) == (name, 1, 0), "a setting that is new has renamed the run"


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_judged_alike_whatever_is_the_default_now(earlier, name):
    assert evaluate(EvaluateConfig(name), earlier).zsl["top1"][0] == pytest.approx(RUNS[name])


def test_a_fit_that_trains_otherwise_now_is_another_run(earlier):
    name, options = next(run for run in RUNS if run.startswith("devise")), ("epochs=2", "batch=4", "warmup_steps=0")
    config = FitConfig(
        "devise", "toy", "raw_joints", "split.json", encoder="random_vectors:width=20", options=options, workers=1
    )  # the cosine was to end at step 50,000
    report = fit(config, earlier)
    assert (report.run != name, report.fitted) == (True, 1)
    assert set(RUNS) < set(Runs(earlier).names())


@pytest.mark.parametrize("name", TRAINED_OTHERWISE)
def test_settings_that_trained_otherwise_have_their_name_with_what_the_run_says_of_itself(earlier, name):
    config = FitConfig(name.split("-")[0], "toy", "raw_joints", "split.json", encoder="random_vectors:width=20")
    now = Study(config, earlier)
    assert run_name(now) != name
    then = dataclasses.asdict(now.training) | TRAINED_OTHERWISE[name]
    assert run_name(Study(config, earlier, fitted={"training": then})) == name


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_a_head_still_have_the_run_they_had(earlier, name):
    config = FitConfig(name.split("-")[0], "toy", "raw_joints", "split.json", encoder="random_vectors:width=20")
    assert run_name(Study(config, earlier)) == name, "a setting that is new must say `later` to enter no name unset"


def test_settings_of_a_network_still_have_the_run_they_had(earlier):
    for name, more in NETWORKS.items():
        config = FinetuneConfig(**{"model": "stgcn_small", "dataset": "toy", **more})
        trained = trainable(config, earlier)
        assert network_name(config, trained, named(config, trained, earlier)) == name
    config = FinetuneConfig("stgcn_small", "toy", options=("momentum=0.5",))  # a field that came later, and is set
    trained = trainable(config, earlier)
    assert network_name(config, trained, named(config, trained, earlier)) not in NETWORKS
