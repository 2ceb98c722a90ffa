"""What somebody adds is one file and one line: a head and a trainable that nothing in the project knows.

Each file lies in a folder of the user's, each line is one in a table; then every stage takes them as it takes its own.
"""

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from typer.testing import CliRunner

import heads
from pipelines.command.main import app
from pipelines.judge.evaluate import evaluate
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn import trainables
from pipelines.learn.fit import fit
from pipelines.look.run.page import run_page
from tests.pipelines import skeletons, studies

HEAD = '''
"""Cosine of a linear map of the mean segment and of the class's name, the map drawn towards the video's own class."""

import dataclasses

import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from heads.base import Head


@dataclasses.dataclass(frozen=True)
class Options:
    texts: str = "class"
    tau: float = 0.1


class Toy(Head):
    Options = Options
    published = {"epochs": 3, "batch": 16, "lr": 0.01}
    needs_segments = True

    def __init__(self, width, text_width, options, segments):
        super().__init__()
        self.options, self.segments = options, segments
        self.map = nn.Linear(width, text_width)

    def loss(self, videos, seen, unseen=None):
        return {"cosine": cross_entropy(self.scores(videos, seen) / self.options.tau, videos.labels)}

    def scores(self, videos, classes):
        assert videos.segments.shape[1] == self.segments
        vectors, told = self.video_vectors(videos), self.class_vectors(classes)
        return cosine_similarity(vectors[:, None], told[None], dim=-1)

    def class_vectors(self, classes):
        own = classes[self.options.texts]
        return own.mean(own.features, len(classes))

    def video_vectors(self, videos):
        return self.map(videos.segments.mean(1))

    def attention(self, seen, unseen):
        return torch.eye(len(seen))
'''

TRAINABLE = '''
"""A linear classifier of the first frame's joints; what it is trained on need be no network of the project."""

import dataclasses

import torch
from torch import nn

from extractors.poses import Form
from heads.base import Videos
from heads.classifier import Classifier, ClassifierOptions
from pipelines.learn.samples.sequences import read
from pipelines.learn.trainables.base import Trainable


@dataclasses.dataclass(frozen=True)
class Options:
    smoothing: float = 0.5  # a setting of the stage, whose value it takes
    scale: float = 1.0  # one of its own, given by --option


class First:
    at_once = 8

    def __init__(self, values, labels):
        self.values, self.labels = values, labels

    def __len__(self):
        return len(self.labels)

    def batches(self, order, draw):
        for rows in order:
            louder = 1 + 0.01 * torch.rand(1) * (draw is not None)
            yield Videos(self.values[rows] * louder, self.labels[rows])


class Linear(Trainable):
    Options = Options
    reads = "pose"
    trained_by = {"epochs": 3, "batch": 4, "lr": 0.1, "weight_decay": 0.0}
    about = {"frame": "first"}

    def __init__(self, name, options, dataset, root):
        self.name, self.options, self.dataset = name, options, dataset
        self.items = read(dataset, root, "", Form(4, 1))

    def training(self, epochs, steps):
        return {"schedule": "cosine", "warmup_steps": steps // 2}

    def samples(self, rows, classes, device):
        values = torch.from_numpy(self.items.whole[rows][:, :, 0]).flatten(1) * self.options.scale
        return First(values, self.items.numbers(rows, classes))

    def network(self, classes):
        return nn.Linear(60, len(classes))

    def head(self, texts):
        return Classifier(ClassifierOptions(self.options.smoothing))

    def begin(self, network, path, unseen):
        raise AssertionError("no weights were given")

    def header(self, classes, kept_back, before=None):
        return {"said": f"{self.name} of {self.dataset}: {', '.join(classes)}; {self.options}"}
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of somebody's modules, and a line in each table."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "toy_head_from_outside.py").write_text(HEAD)
    (folder / "toy_trainable_from_outside.py").write_text(TRAINABLE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(heads.HEADS, "toy", "toy_head_from_outside:Toy")
    monkeypatch.setitem(trainables.TRAINABLES, "linear", "toy_trainable_from_outside:Linear")


@pytest.mark.usefixtures("outside", "fake")
def test_a_head_from_outside_is_fitted_tuned_judged_listed_and_drawn(tmp_path):
    root = studies.made(tmp_path)
    more = {"splits": "0", "gzsl": True, "tune": ("lr=0.01,0.001",), "folds": 1}
    report = fit(studies.config(tmp_path, "toy", ("tau=0.2",), **more), root)
    assert report.run.startswith("toy-d-own-")
    told = studies.about(root, report.run, 0)
    assert (told["options"], told["training"]["epochs"]) == ({"texts": "class", "tau": 0.2}, 3)
    assert set(told["held_out"]) == {"lr=0.01", "lr=0.001"}
    judged = evaluate(EvaluateConfig(report.run), root)
    assert judged.zsl["top1"][0] >= 0
    assert {row["setting"]: row["system"] for row in results(root) if row["run"]} == {"zsl": "toy", "gzsl": "toy"}
    page = Path(run_page(report.run, root).removeprefix("file://")).read_text()
    for part in ("space", "attention", "classes"):
        assert f'id="{part}"' in page, part
    seen = [name for k, name in enumerate(studies.CLASSES) if k not in studies.SPLITS[0]]
    assert all(name in page.partition('id="attention"')[2] for name in seen)


def call(*arguments: str) -> dict:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert (done.exit_code == 0) == ("error" not in told)
    return told


@pytest.mark.usefixtures("outside")
def test_a_trainable_from_outside_is_trained_gone_on_with_listed_and_shown(root, tmp_path):
    skeletons.dataset(root, tmp_path, each=6)
    (tmp_path / "own.json").write_text(json.dumps({"seen": ["clap", "dive", "fence"], "unseen": ["bow"]}))
    asked = ["finetune", "linear", "--dataset", "p", "--protocol", str(tmp_path / "own.json"), "--root", root.url]
    asked += ["--epochs", "3", "--smoothing", "0", "--train", "subject=1,2", "--test", "subject=3", "--device", "cpu"]
    options = ["--option", "scale=2", "--option", "optimiser=adam"]
    found = call(*asked, *options)
    assert 0 <= found["top1"] <= 1
    assert found["run"].startswith("linear-p-own-")
    with safe_open(found["weights"], "np") as file:
        assert file.metadata()["said"] == "linear of p: clap, dive, fence; Options(smoothing=0.0, scale=2.0)"
        assert file.get_tensor("weight").shape == (3, 60)
    again = call(*asked, *options)
    assert (again["run"], again["weights"]) == (found["run"], found["weights"])
    others = {call(*asked)["run"], call(*asked, "--option", "scale=3")["run"], found["run"]}
    assert len(others) == 3
    listed = call("list", "runs", "--root", root.url)["runs"]
    assert {row["run"]: (row["network"], row["state"]) for row in listed} == dict.fromkeys(others, ("linear", "done"))
    shown = call("show", found["run"], "--root", root.url)
    assert (shown["about"]["frame"], shown["about"]["config"]["options"]) == ("first", ["scale=2", "optimiser=adam"])
    assert "--option scale=2 --option optimiser=adam" in shown["about"]["command"]
    assert shown["splits"][0]["unseen"] == ["bow"]
    error = call(*asked, "--option", "smoothing=1")["error"]
    assert error.startswith("linear has no option 'smoothing'; it has: scale, optimiser, momentum, accumulate, ")
    assert call(*asked, "--option", "scale=wide")["error"] == "scale should be float, got 'wide'."
