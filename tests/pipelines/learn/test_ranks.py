"""Two processes that train as one, through `torchrun`: the weights of one, one writer, and none waits for ever."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from extractors.errors import MachineFault
from pipelines import machine
from pipelines.errors import Stopped
from pipelines.learn import ranks
from pipelines.learn.finetune import finetune
from pipelines.learn.settings import FinetuneConfig
from stores.failures import Failures
from stores.root import Root
from tests.pipelines.learn.trainables.conftest import films  # noqa: F401
from tests.pipelines.learn.trainables.test_e2e import SMALL, config
from tests.pipelines.skeletons import dataset

#: the command, with checkpoints at each step and, where it is told so, a process that dies at a step
COMMAND = """
import os, signal, sys
from pipelines.learn import engine
from pipelines.command.main import main
engine._SAVE_STEP_S = engine._SAVE_EPOCH_S = 0
rank, at = map(int, os.environ.get("DIES", "-1,-1").split(","))
step, steps = engine._Loop._step_of, []
def dying(self, *given):
    steps.append(1)
    if len(steps) == at and int(os.environ["RANK"]) == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *given)
engine._Loop._step_of = dying
main()
"""
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def two(root: Root, folder: Path, *asked: str, dies: str = "-1,-1") -> subprocess.CompletedProcess[str]:
    """A command in two processes, as a user starts them."""
    (folder / "command.py").write_text(COMMAND)
    return subprocess.run(
        [*TORCHRUN, str(folder / "command.py"), *asked, "--root", root.url, "--json"],
        env=os.environ | {"DIES": dies, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=240,
    )


def pixels(root: Root, folder: Path, *more: str, dies: str = "-1,-1") -> subprocess.CompletedProcess[str]:
    """`finetune` on films, in two processes."""
    given = [f"--option={option}" for option in (*SMALL, "optimiser=sgd")]
    asked = ("finetune", "e2e_r2plus1d", "--dataset", "d", "--device=cpu", "--frames=8", "--threads=1")
    return two(root, folder, *asked, *given, *more, dies=dies)


def told(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()  # the first process says it, and it alone
    return dict(json.loads(line))


@pytest.mark.heavy
def test_two_processes_give_the_weights_of_one_that_takes_their_halves_in_turn(films, tmp_path):  # noqa: F811
    asked = ("--epochs=3", "--batch=4", "--dropout=0", "--lr=0.01")
    found = told(pixels(films, tmp_path, *asked))
    one = config(tmp_path, "optimiser=sgd", "accumulate=2", protocol="none", epochs=3, batch=2, dropout=0.0, lr=0.01)
    alone = Path(finetune(one, films).weights[0])
    mine, theirs = load_file(found["weights"]), load_file(alone)
    for name in theirs:
        if not name.rpartition(".")[2].startswith(("running_", "num_")):  # halves are measured at once, or in turn
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-4, atol=1e-6, msg=name)
    files = sorted(each.name for each in Path(found["weights"]).parent.iterdir())
    assert files == ["history.json", "split.json", "tensorboard", "weights.safetensors"]
    assert len(list((Path(found["weights"]).parent / "tensorboard").iterdir())) == 1
    histories = [json.loads((each.parent / "history.json").read_text()) for each in (Path(found["weights"]), alone)]
    losses = [[entry["loss"] for entry in each["epochs"]] for each in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.heavy
def test_a_process_that_is_killed_ends_the_other_and_they_go_on_in_the_same_bits(films, tmp_path):  # noqa: F811
    asked = ("--epochs=2", "--batch=4", "--option=ema=0.5")
    whole = Path(told(pixels(films, tmp_path, *asked))["weights"])
    kept = whole.read_bytes()
    whole.parent.parent.rename(tmp_path / "before")
    for rank, step in ((1, 2), (0, 3)):
        done = pixels(films, tmp_path, *asked, dies=f"{rank},{step}")
        assert done.returncode
        assert not whole.exists()
    assert Path(told(pixels(films, tmp_path, *asked))["weights"]) == whole
    assert whole.read_bytes() == kept
    other = told(pixels(films, tmp_path, "--epochs=2", "--batch=4", "--option=ema=0.5", "--seed=1"))
    assert Path(other["weights"]).read_bytes() != kept


@pytest.mark.heavy
def test_a_process_whose_films_all_broke_takes_part_with_nothing(films, tmp_path):  # noqa: F811
    for name in ("v03", "v07"):
        path = tmp_path / "films" / f"{name}.mp4"
        stat = path.stat()
        path.write_bytes(b"no film".ljust(stat.st_size))
        os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    found = told(pixels(films, tmp_path, "--epochs=1", "--batch=2"))  # a film a process
    assert {Path(row["uri"]).stem for row in Failures(films).latest().to_pylist()} == {"v03", "v07"}
    assert Path(found["weights"]).exists()


@pytest.mark.heavy
def test_what_is_wrong_is_said_in_a_line_and_other_commands_are_refused(films, tmp_path):  # noqa: F811
    done = pixels(films, tmp_path, "--set=none")
    lines = [line for line in done.stderr.splitlines() if line.startswith("zsar: ")]
    assert done.returncode
    assert len(lines) == 2
    assert any("'none'" in line for line in lines)
    assert any("stopped, because another one did: its own line says why." in line for line in lines)
    refused = two(films, tmp_path, "list", "features")
    assert refused.returncode
    assert "zsar: 2 processes were started, and `list` is done by one: run it without torchrun." in refused.stderr


@pytest.mark.heavy
def test_poses_are_learned_and_tested_by_two_with_one_number_and_a_last_batch_of_one(root, tmp_path):
    dataset(root, tmp_path, each=9)
    asked = ("finetune", "stgcn_small", "--dataset", "p", "--train", "subject=1,2", "--test", "subject=3")
    size = ("--frames=8", "--epochs=16", "--batch=7", "--lr=0.05", "--option=an_epoch=22")  # 7, 7, 7, and 1
    found = told(two(root, tmp_path, *asked, *size, "--device=cpu", "--threads=1"))
    assert 0.5 < found["top1"] <= 1
    Path(found["weights"]).with_name("split.json").unlink()
    alone = FinetuneConfig("stgcn_small", "p", train=("subject=1,2",), test=("subject=3",), options=("an_epoch=22",))
    alone = dataclasses.replace(alone, frames=8, epochs=16, batch=7, lr=0.05, device="cpu", threads=1)
    report = finetune(alone, root)
    assert (report.weights[0], report.top1) == (found["weights"], found["top1"])


@pytest.fixture
def second_of_two(monkeypatch):
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))


def test_a_batch_is_shared_as_it_stands(second_of_two):
    rows = torch.arange(5)
    assert ranks.share(rows).tolist() == [3, 4]
    assert ranks.share(rows[:1]).tolist() == []


def test_alone_nothing_is_exchanged():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    ranks.joined_gradients([weight], [])
    assert (ranks.share(torch.arange(3)).tolist(), ranks.gathered(4), weight.grad.tolist()) == ([0, 1, 2], [4], [1, 1])


def test_each_process_has_a_gpu_of_its_own(second_of_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [machine.device_of(asked) for asked in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    with pytest.raises(MachineFault, match=r"^Of 2 processes each takes a GPU of its own: ask for cuda, not"):
        machine.device_of("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(MachineFault, match="^torch sees 1 CUDA devices here, and 2 processes need as many"):
        machine.device_of("auto")


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.device_of("auto") == "cpu"
    for asked in ("cuda", "cuda:1"):
        with pytest.raises(MachineFault, match=rf"^Device '{asked}' was asked for .* no CUDA .* Use --device cpu\.$"):
            machine.device_of(asked)


def test_a_process_that_waits_for_one_that_ended_says_so(monkeypatch, second_of_two):
    monkeypatch.setattr(ranks, "_joined", lambda: None)

    def gone(*given: object) -> None:
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")

    monkeypatch.setattr(ranks.dist, "all_gather_object", gone)
    with pytest.raises(Stopped, match=r"^Process 1 of 2 stopped, because another one did: its own line says why\."):
        ranks.gathered(1)
