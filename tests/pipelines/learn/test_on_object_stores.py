"""Trainings of a root on an object store: killed and gone on with in the bits of a disk, judged and shown there."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.fuse import fuse
from pipelines.judge.network import judge
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig, FuseConfig, JudgeConfig
from pipelines.learn.engine import train
from pipelines.learn.finetune import finetune
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run, network
from pipelines.learn.settings import FinetuneConfig
from pipelines.learn.training import Training
from pipelines.look.run.page import run_page
from stores.errors import WriteFailed
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import skeletons, studies
from tests.pipelines.learn.test_engine import Regression

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("fake")]

#: trains, and is killed when it has handed over so often; between two files of a hand-over where it says so
KILLED = """import dataclasses, json, os, signal, sys
import extractors; extractors.EXTRACTORS["fake_text"] = "tests.fake:FakeTextExtractor"
import torch; torch.set_num_threads(1)
from pipelines.learn import engine; engine._SAVE_EPOCH_S = -1
from pipelines.learn.settings import FinetuneConfig, FitConfig
from stores.object_store import ObjectStore; from stores.root import Root
stage, url, told, after = sys.argv[1:]
after, puts, real = int(after), [0], ObjectStore.put
def put(self, path, content, expected):
    if "/split-" in path and "locks" not in path:
        puts[0] += 1
        if puts[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(self, path, content, expected)
ObjectStore.put = put
config = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(told).items()}
if stage == "fit":
    from pipelines.learn.fit import fit
    fit(FitConfig(**config), Root(url))
else:
    from pipelines.learn.finetune import finetune
    finetune(FinetuneConfig(**config), Root(url))
"""


def there(root: Root, s3: Root) -> Root:
    """A root of a disk, put on an object store object by object."""
    for path in Path(root.url).rglob("*"):
        if path.is_file() and "locks" not in path.parts:
            s3._objects.put(s3.path(path.relative_to(root.url).as_posix()), path, None)
    return s3


def killed(stage: str, config: object, root: Root, after: int) -> int:
    """How a process ends that trains, and kills itself at a put."""
    told = json.dumps(dataclasses.asdict(config))
    command = [sys.executable, "-c", KILLED, stage, root.url, told, str(after)]
    return subprocess.run(command, env=os.environ, timeout=200, capture_output=True).returncode


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where folders of this machine are made, to see what is left there."""
    (folder := tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_a_fit_that_is_killed_again_and_again_ends_in_the_bits_of_a_disk(tmp_path, object_root, scratch):
    config = studies.config(tmp_path, splits="0-1", tune=("lr=0.01,0.001",), folds=1)
    disk = studies.made(tmp_path)
    root = there(disk, object_root)
    run = fit(config, disk).run
    endings = [killed("fit", config, root, after) for after in (1, 2, 3, 5, 8, 13)]
    assert endings[0] == -signal.SIGKILL
    assert all(ending in (0, -signal.SIGKILL) for ending in endings)
    assert list(scratch.glob("zsar-*"))  # of those that were killed
    report = fit(config, root)
    assert report.run == run
    assert list(scratch.glob("zsar-*")) == []
    for number in (0, 1):
        assert studies.same(studies.weights(disk, run, number), studies.weights(root, run, number))
        assert studies.history(disk, run, number) == studies.history(root, run, number)
        assert studies.about(disk, run, number) == studies.about(root, run, number)
        assert sorted(Runs(root).files(run, f"split-{number:03d}")) == sorted(
            each.name for each in studies.folder_of(disk, run, number).iterdir()
        )
    assert fit(config, root).fitted == 0


def test_what_is_fitted_there_is_judged_and_shown_there(tmp_path, object_root):
    config = studies.config(tmp_path, splits="0-1")
    disk = studies.made(tmp_path)
    root = there(disk, object_root)
    run = fit(config, disk).run
    assert fit(config, root).run == run
    for splits in ("0", "1"):
        evaluate(EvaluateConfig(run, splits), root)
    evaluate(EvaluateConfig(run), disk)
    own, other = ([{k: v for k, v in row.items() if k != "time_ns"} for row in results(each)] for each in (root, disk))
    assert own == other
    assert Runs(root).read(run, "results").num_rows == 2
    assert run_page(run, root).startswith(root.url)
    assert Run(root, run).state() == "done"
    other = fit(studies.config(tmp_path, splits="0-1", seed=1), root).run
    fused = fuse(FuseConfig((run, other)), root)
    fit(studies.config(tmp_path, splits="0-1", seed=1), disk)
    assert fused.zsl == fuse(FuseConfig((run, other)), disk).zsl
    assert run_page(fused.run, root).startswith(root.url)


def test_a_network_that_is_killed_ends_in_the_bits_of_a_disk_and_is_judged_there(tmp_path, object_root):
    disk = Root(tmp_path / "root")
    skeletons.dataset(disk, tmp_path)
    studies.classes(disk, tmp_path, skeletons.CLASSES, "p")
    extract(ExtractConfig(("fake_text",), set="p", workers=1), disk)
    root = there(disk, object_root)
    splits = [
        {"seen": [n for n in skeletons.CLASSES if n not in own], "unseen": list(own)} for own in (("bow", "clap"),)
    ]
    (tmp_path / "own.json").write_text(json.dumps(splits))
    config = FinetuneConfig(
        "stgcn_small", "p", protocol=str(tmp_path / "own.json"), frames=8, epochs=4, batch=8, threads=1, device="cpu"
    )
    whole = finetune(config, disk)
    endings = [killed("finetune", config, root, after) for after in (1, 3, 4)]
    assert endings[0] == -signal.SIGKILL
    report = finetune(config, root)
    assert report.run == whole.run
    assert Path(report.weights[0]).read_bytes() == Path(whole.weights[0]).read_bytes()
    assert network(root, report.run)["splits"][0]["weights"].startswith(root.url)
    assert run_page(report.run, root).startswith(root.url)
    asked = JudgeConfig(report.run, head="eszsl", encoder="fake_text", set="p", device="cpu")
    assert judge(asked, root).zsl == judge(asked, disk).zsl


def test_of_two_that_train_the_same_none_spoils_it(tmp_path, object_root):
    config = studies.config(tmp_path, splits="0")
    disk = studies.made(tmp_path)
    root = there(disk, object_root)
    run = fit(config, disk).run
    told = json.dumps(dataclasses.asdict(config))
    command = [sys.executable, "-c", KILLED, "fit", root.url, told, "0"]
    both = [subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert 0 in [process.returncode for process in both]
    for process, text in zip(both, said, strict=True):
        assert process.returncode == 0 or "which trains the same" in text.splitlines()[-1]
    assert studies.same(studies.weights(disk, run, 0), studies.weights(root, run, 0))


def test_who_finds_another_training_stops_and_a_put_whose_answer_was_lost_counts(tmp_path, object_root):
    settings = Training(epochs=2, batch=4)
    with object_root.workplace("runs", "r", "split-000") as place:
        train(Regression(), settings, place)
        object_root.write_text("of another", "runs", "r", "split-000", "weights.safetensors")
        (place.path / "weights.safetensors").write_bytes(b"changed")
        with pytest.raises(WriteFailed, match="trains the same"):
            place.hand_over()
        (place.path / "weights.safetensors").write_bytes(b"of another")
    store, path = object_root._objects, object_root.path("a")
    tag = store.put(path, b"once", "")
    assert store.put(path, b"once", "") == tag


def test_a_damaged_checkpoint_is_called_by_its_place_there(object_root):
    object_root.write_text("none", "runs", "r", "split-000", "checkpoint.pt")
    with (
        pytest.raises(UsageError, match=f"^{object_root.url}/runs/r/split-000/checkpoint.pt cannot be read"),
        object_root.workplace("runs", "r", "split-000") as place,
    ):
        train(Regression(), Training(epochs=1, batch=4), place)
