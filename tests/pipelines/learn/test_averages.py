"""The moving average of the weights is the loop it is said to be, and is what is validated, saved and gone on with."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.errors import UsageError
from pipelines.learn import engine
from pipelines.learn.engine import train
from pipelines.learn.training import Training
from tests.pipelines.learn.test_engine import Killed, Regression, _one_thread, always_saved, weights  # noqa: F401

SETTINGS = Training(lr=0.01, batch=10, epochs=4, ema=0.8)


class Normed(Regression):
    """With BatchNorm, and so with buffers."""

    is_long = True

    def __init__(self) -> None:
        super().__init__(dropout=0.3)
        self.model = nn.Sequential(*self.model, nn.BatchNorm1d(2))


def states_of(settings: Training, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The weights after each step of a training."""
    task, found, stride = Normed(), [], engine._Loop._stride

    def noted(self: engine._Loop) -> None:
        stride(self)
        found.append({name: value.clone() for name, value in task.model.state_dict().items()})

    with monkeypatch.context() as patched:
        patched.setattr(engine._Loop, "_stride", noted)
        train(task, settings, folder)
    return found


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_weights_are_the_average_that_a_plain_loop_makes(tmp_path, monkeypatch, accumulate):
    settings = dataclasses.replace(SETTINGS, accumulate=accumulate)
    states = states_of(dataclasses.replace(settings, ema=0.0), tmp_path / "raw", monkeypatch)
    assert len(states) == {1: 20, 2: 12}[accumulate]  # 48 samples are five batches
    train(Normed(), settings, tmp_path / "averaged")
    found = load_file(tmp_path / "averaged/weights.safetensors")
    for name, value in found.items():
        wanted = states[0][name].double()
        for state in states[1:]:
            wanted = 0.8 * wanted + 0.2 * state[name].double()
        if name.endswith("num_batches_tracked"):
            assert value == states[-1][name] == 20
            continue
        torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-7, msg=name)
        assert not torch.allclose(value, states[-1][name], rtol=1e-3)


def test_what_is_validated_returned_and_saved_is_the_average_and_what_is_trained_is_not(tmp_path, monkeypatch):
    raw = states_of(dataclasses.replace(SETTINGS, ema=0.0), tmp_path / "raw", monkeypatch)
    same = states_of(SETTINGS, tmp_path / "same", monkeypatch)
    assert all(torch.equal(one[name], other[name]) for one, other in zip(raw, same, strict=True) for name in one)
    task = Normed()
    history = train(task, SETTINGS, tmp_path / "averaged")
    assert {k: v.numpy().tobytes() for k, v in task.model.state_dict().items()} == weights(tmp_path / "averaged")
    with torch.no_grad():
        assert task.validate() == history.epochs[-1]["validation"]
    said = history.epochs[1]["validation"]
    best = dataclasses.replace(SETTINGS, keep="best", epochs=2)
    kept = Normed()
    assert train(kept, best, tmp_path / "best").best == 2
    with torch.no_grad():
        assert kept.validate() == said


@pytest.mark.usefixtures("always_saved")
@pytest.mark.parametrize("middle", [False, True])
def test_killed_and_run_again_the_average_ends_in_the_same_bits(tmp_path, monkeypatch, middle):
    monkeypatch.setattr(engine, "_SAVE_STEP_S", 0)
    whole = train(Normed(), SETTINGS, tmp_path / "whole")
    steps, step = [], engine._Loop._step_of

    def dies(self, *given):
        steps.append(1)
        if len(steps) == (8 if middle else 11):  # the third step of the second epoch, the first of the third
            raise Killed
        return step(self, *given)

    monkeypatch.setattr(engine._Loop, "_step_of", dies)
    with pytest.raises(Killed):
        train(Normed(), SETTINGS, tmp_path / "again")
    found = torch.load(tmp_path / "again/checkpoint.pt", weights_only=True)
    assert bool(found["within"]) == middle
    assert found["step"] == found["average"]["n_averaged"] == len(steps) - 1
    assert train(Normed(), SETTINGS, tmp_path / "again") == whole
    assert len(steps) == 20 + 1
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


@pytest.mark.parametrize("ema", [1.0, -0.1, float("nan")])
def test_a_decay_that_is_none_is_refused(ema):
    with pytest.raises(UsageError, match=r"^ema is a decay from 0 to below 1, such as 0\.999, got "):
        Training(ema=ema)
