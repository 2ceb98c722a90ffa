"""The training engine: killed and run again in the same bits; every setting does what it says."""

import dataclasses
import itertools
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.errors import Stopped, UsageError
from pipelines.learn import checkpoints
from pipelines.learn import engine as training
from pipelines.learn.engine import train
from pipelines.learn.training import Training


class Numbers:
    """Samples that are their own numbers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.labels = torch.arange(count) % 2

    def __len__(self) -> int:
        return self.count

    def batches(self, order: Sequence[Tensor], draw: int | None) -> Iterator[Tensor]:
        assert draw is not None
        return iter(order)


class Regression:
    """A task: y from x, with dropout; what validation says is given, or told from the loss."""

    is_long = False

    def __init__(self, samples: int = 48, dropout: float = 0.5, validation: list[float] | None = None) -> None:
        torch.manual_seed(7)
        self.model: nn.Module = nn.Sequential(nn.Linear(5, 8), nn.Dropout(dropout), nn.ReLU(), nn.Linear(8, 2))
        self.samples = Numbers(samples)
        generator = torch.Generator().manual_seed(3)
        self.x = torch.randn(samples, 5, generator=generator)
        self.y = self.x[:, :2] - 2 * self.x[:, 2:4]
        self.said = validation
        self.validated = 0
        self.seen: list[int] = []

    def loss(self, batch: Tensor) -> dict[str, Tensor]:
        self.seen += batch.tolist()
        error = self.model(self.x[batch]) - self.y[batch]
        return {"square": (error**2).mean(), "far": 0.1 * error.abs().mean()}

    def epoch(self) -> None:
        return

    def parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        return [*self.model.parameters()], []

    def finish(self) -> None:
        return

    def validate(self) -> float | None:
        self.validated += 1
        if self.said is not None:
            return self.said[self.validated - 1]
        return float(1 / (1 + (self.model(self.x) - self.y).abs().mean()))


class NoValidation(Regression):
    def validate(self) -> float | None:
        return None


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def always_saved(monkeypatch):
    """A checkpoint after each epoch: the clock runs."""
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=itertools.count(0, 100).__next__))


def weights(folder: Path) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in load_file(folder / "weights.safetensors").items()}


SETTINGS = {
    "adam": Training(lr=0.01, batch=10, epochs=6, weight_decay=0.01),
    "adamw": Training("adamw", lr=0.01, batch=10, epochs=6, weight_decay=0.01, accumulate=2, clip=0.5),
    "sgd": Training("sgd", lr=0.02, batch=10, epochs=6),
    "cosine": Training(lr=0.01, batch=10, epochs=6, schedule="cosine", warmup_steps=7),
    "steps": Training("sgd", lr=0.02, batch=10, epochs=6, schedule="steps", milestones=(2, 4), factor=0.3),
    "plateau": Training(lr=0.5, batch=10, epochs=6, schedule="plateau", patience=0, factor=0.5),
    "best": Training(lr=0.5, batch=10, epochs=6, keep="best", schedule="plateau", patience=0),
    "stop": Training(lr=0.5, batch=10, epochs=6, keep="best", stop_after=3),
    "listed": Training(lr=0.01, batch=10, epochs=3, schedule="listed", lrs=(0.02, 0.01, 0.001)),
    "bf16": Training(lr=0.01, batch=10, epochs=3, precision="bf16"),
}


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_after_any_epoch_and_run_again_ends_in_the_same_bits(tmp_path, always_saved, name):
    settings = SETTINGS[name]
    whole = train(Regression(), settings, tmp_path / "whole")
    epochs = len(whole.epochs)
    assert 1 < epochs <= settings.epochs

    def dies(done: int, total: int, entry: dict[str, float]) -> None:
        if done in (2, epochs - 1) and done not in died:
            died.add(done)
            raise Killed

    died: set[int] = set()
    for _ in range(len({2, epochs - 1})):
        with pytest.raises(Killed):
            train(Regression(), settings, tmp_path / "again", told=dies)
        assert (tmp_path / "again/checkpoint.pt").exists()
    task = Regression()
    again = train(task, settings, tmp_path / "again", told=dies)
    assert again == whole
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")
    assert len(task.seen) < epochs * len(task.samples)  # it went on, and did not begin again
    assert not (tmp_path / "again/checkpoint.pt").exists()
    assert all(
        bool((value == task.model.state_dict()[key]).all())
        for key, value in load_file(tmp_path / "again/weights.safetensors").items()
    )


RUN = """
import itertools, sys, time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
import torch
from pipelines.learn import checkpoints
from pipelines.learn import engine as training
from tests.pipelines.learn.test_engine import SETTINGS, Regression
torch.set_num_threads(1)
training.time = SimpleNamespace(monotonic=itertools.count(0, 100).__next__)
def told(done, total, entry):
    print(done, flush=True)
    time.sleep(0.2)
training.train(Regression(), SETTINGS["best"], Path(sys.argv[1]), told=told)
"""


@pytest.mark.heavy
def test_killed_by_the_system_and_run_again_ends_in_the_same_bits(tmp_path, always_saved):
    whole = train(Regression(), SETTINGS["best"], tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path / "again")], stdout=subprocess.PIPE, env=os.environ, text=True
    )
    assert process.stdout is not None
    with process.stdout as stdout:
        while int(stdout.readline()) < 4:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "again/history.json").exists()
    assert torch.load(tmp_path / "again/checkpoint.pt", weights_only=True)["step"] == 3 * 5
    assert train(Regression(), SETTINGS["best"], tmp_path / "again") == whole
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


def test_a_checkpoint_is_loaded_with_weights_only_and_written_seldom(tmp_path, monkeypatch):
    clock = iter([0.0, 9.0, 11.0, 11.0, 12.0, 13.0, 14.0])
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    found = []

    def told(done: int, total: int, entry: dict[str, float]) -> None:
        path = tmp_path / "checkpoint.pt"
        found.append(len(torch.load(path, weights_only=True)["epochs"]) if path.exists() else 0)

    train(Regression(), dataclasses.replace(SETTINGS["best"], epochs=4), tmp_path, told=told)
    assert found == [0, 0, 2, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history.json", "tensorboard", "weights.safetensors"]


def test_a_finished_training_is_loaded_and_not_trained(tmp_path):
    first = train(Regression(), SETTINGS["best"], tmp_path)
    task = Regression()
    assert train(task, SETTINGS["best"], tmp_path) == first
    assert task.seen == []
    assert {k: v.numpy().tobytes() for k, v in task.model.state_dict().items()} == weights(tmp_path)


def test_history_and_tensorboard_hold_each_epoch(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    told: list[tuple[int, int]] = []
    task = Regression()
    history = train(task, SETTINGS["best"], tmp_path, told=lambda done, total, entry: told.append((done, total)))
    assert checkpoints.history(tmp_path) == {"epochs": list(history.epochs), "best": history.best}
    assert told == [(n, 6) for n in range(1, 7)]
    assert [set(entry) for entry in history.epochs] == [{"square", "far", "loss", "lr", "validation"}] * 6
    for entry in history.epochs:
        assert entry["loss"] == pytest.approx(entry["square"] + entry["far"], rel=1e-6)
    assert sorted(task.seen[:48]) == sorted(task.seen[48:96]) == list(range(48))  # each sample once an epoch
    assert task.seen[:48] != task.seen[48:96]
    (path,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    data, scalars, at = path.read_bytes(), {}, 0
    while at < len(data):  # length (8), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + length])
        scalars |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
        at += length + 16
    for number, entry in enumerate(history.epochs, start=1):
        for name, value in entry.items():
            assert scalars[number, name] == pytest.approx(value, rel=1e-6)


def lrs(settings: Training, folder: Path, said: list[float] | None = None) -> list[float]:
    return [entry["lr"] for entry in train(Regression(validation=said), settings, folder).epochs]


def test_plateau_lowers_lr_when_validation_has_not_improved_for_patience_epochs(tmp_path):
    said = [0.1, 0.3, 0.3, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1]
    settings = Training("sgd", lr=0.01, batch=24, epochs=10, schedule="plateau", factor=0.1, patience=1)
    expected, lr, best, waited = [], 0.01, -1.0, 0
    for value in said:
        expected.append(lr)
        waited = 0 if value > best else waited + 1
        best = max(best, value)
        if waited == 2:  # one epoch is waited for, the next lowers
            lr, waited = lr * 0.1, 0
    assert lrs(settings, tmp_path / "a", said) == pytest.approx(expected, rel=1e-12)
    assert expected[4] == pytest.approx(0.001)
    floor = dataclasses.replace(settings, min_lr=0.005)
    assert lrs(floor, tmp_path / "b", said) == pytest.approx([max(each, 0.005) for each in expected])


def test_training_stops_when_nothing_improves_and_keeps_the_best(tmp_path):
    said = [0.1, 0.5, 0.2, 0.5, 0.4, 0.9]
    settings = Training("sgd", lr=0.01, batch=24, epochs=6, stop_after=3, keep="best")
    history = train(Regression(validation=said), settings, tmp_path / "best")
    assert [entry["validation"] for entry in history.epochs] == said[:5]
    assert history.best == 2
    two = dataclasses.replace(settings, epochs=2, stop_after=0, keep="last")
    train(Regression(validation=said), two, tmp_path / "two")
    assert weights(tmp_path / "best") == weights(tmp_path / "two")
    last = train(Regression(validation=said), dataclasses.replace(settings, keep="last"), tmp_path / "last")
    assert last == history
    assert weights(tmp_path / "last") != weights(tmp_path / "two")


class Rates(Regression):
    """Notes the lr of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []
        self.optimisers: list[torch.optim.Optimizer] = []


@pytest.mark.parametrize("cosine_steps", [0, 11])
def test_warm_up_and_cosine_are_the_formula_step_by_step(tmp_path, monkeypatch, cosine_steps):
    used: list[float] = []
    real = training._Loop._set_lr

    def noted(self: training._Loop) -> float:
        real(self)
        assert self._optimiser is not None
        used.append(self._optimiser.param_groups[0]["lr"])
        return used[-1]

    monkeypatch.setattr(training._Loop, "_set_lr", noted)
    settings = Training(lr=0.01, batch=10, epochs=3, schedule="cosine", warmup_steps=4, cosine_steps=cosine_steps)
    train(Regression(), settings, tmp_path)
    expected = []
    last = cosine_steps or 3 * 5  # 48 samples are five steps
    for step in range(15):
        if step < 4:
            expected.append(0.01 / 10 * 10 ** (step / 4))  # from lr / batch, exponentially
        else:
            part = min((step - 4) / (last - 4), 1)
            expected.append(0.01 * (1 + math.cos(math.pi * part)) / 2)
    assert used == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert used[0] == pytest.approx(0.001)


def test_steps_and_listed_rates_are_as_given(tmp_path):
    steps = Training("sgd", lr=0.01, batch=24, epochs=5, schedule="steps", milestones=(2, 4), factor=0.5)
    assert lrs(steps, tmp_path / "a") == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025])
    listed = Training("sgd", batch=24, epochs=3, schedule="listed", lrs=(0.1, 0.01, 0.02))
    assert lrs(listed, tmp_path / "b") == [0.1, 0.01, 0.02]


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_accumulated_small_batches_equal_a_large_one(tmp_path, clip):
    large = Training("sgd", lr=0.05, batch=24, epochs=4, weight_decay=0.01, clip=clip)
    small = dataclasses.replace(large, batch=6, accumulate=4)
    for name, settings in (("large", large), ("small", small)):
        train(Regression(dropout=0.0), settings, tmp_path / name)
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("large", "small"))
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=1e-4, atol=1e-6)  # sums in another order
    apart = train(Regression(dropout=0.0), dataclasses.replace(small, accumulate=1), tmp_path / "apart")
    assert len(apart.epochs) == 4
    assert not torch.allclose(load_file(tmp_path / "apart/weights.safetensors")["0.weight"], one["0.weight"], 1e-3)


def test_a_gradient_is_clipped_to_its_largest_norm(tmp_path):
    for clip, name in ((0.0, "free"), (0.1, "clipped")):
        task = Regression(dropout=0.0)
        before = {key: value.clone() for key, value in task.model.state_dict().items()}
        train(task, Training("sgd", lr=1.0, momentum=0.0, batch=48, epochs=1, clip=clip), tmp_path / name)
        moved = torch.cat([(task.model.state_dict()[key] - before[key]).flatten() for key in before]).norm()
        if clip:
            assert float(moved) == pytest.approx(0.1, rel=1e-3)
        else:
            assert float(moved) > 0.5


def test_a_loss_that_is_not_finite_stops_with_one_line(tmp_path):
    task = Regression()
    task.x[5] = torch.nan
    with pytest.raises(
        Stopped, match=r"^The loss is no longer finite in epoch 1 at lr 0.01: square nan, far nan\. .*lr"
    ) as told:
        train(task, SETTINGS["adam"], tmp_path)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "weights.safetensors").exists()


def test_half_precision_runs_and_is_not_full_precision(tmp_path):
    half, full = (
        train(Regression(), dataclasses.replace(SETTINGS["adam"], precision=name), tmp_path / name)
        for name in ("bf16", "fp32")
    )
    assert half != full
    assert half.epochs[-1]["loss"] == pytest.approx(full.epochs[-1]["loss"], rel=0.1)
    assert load_file(tmp_path / "bf16/weights.safetensors")["0.weight"].dtype == torch.float32


def test_one_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(hash(name) % 1000)  # what was drawn before does not matter
        train(Regression(), dataclasses.replace(SETTINGS["adam"], seed=seed), tmp_path / name)
        torch.rand(3)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_a_model_with_nothing_to_learn_is_kept_as_it_is(tmp_path):
    task = NoValidation()
    for parameter in task.model.parameters():
        parameter.requires_grad_(False)
    before = {key: value.numpy().tobytes() for key, value in task.model.state_dict().items()}
    assert train(task, SETTINGS["adam"], tmp_path) == training.History((), 0)
    assert weights(tmp_path) == before
    assert task.seen == []


def test_without_classes_held_out_nothing_is_best(tmp_path):
    history = train(NoValidation(), SETTINGS["adam"], tmp_path)
    assert history.best == 0
    assert all("validation" not in entry for entry in history.epochs)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimiser": "lion"}, r"^optimiser is adam or adamw or sgd.*, got 'lion'\.$"),
        ({"schedule": "up"}, r"^schedule is constant or cosine or plateau or steps or listed, got 'up'\.$"),
        ({"keep": "all"}, r"^keep is last or best, got 'all'\.$"),
        ({"precision": "int8"}, r"^precision is fp32 or bf16 or fp16, got 'int8'\.$"),
        ({"batch": 0}, r"^batch must be at least 1, got 0\.$"),
        ({"lr": float("nan")}, r"^lr must be at least 0, got nan\.$"),
        ({"epochs": -1}, r"^epochs must be at least 0, got -1\.$"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(fields, message):
    with pytest.raises(UsageError, match=message):
        Training(**fields)


def test_validation_is_needed_where_it_decides():
    assert not Training().validates
    for fields in ({"schedule": "plateau"}, {"keep": "best"}, {"stop_after": 1}):
        assert Training(**fields).validates
