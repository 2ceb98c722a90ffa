"""The benchmarks' own machinery on small things: what a figure counts, and the GPU's loop on a processor."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import arithmetic, cuda, forward, proxies
from benchmarks.bars import Bar
from extractors import EXTRACTORS
from extractors.r2plus1d import R2Plus1D18
from extractors.sampling import Geometry, Sampling
from tests.conftest import make_video
from tests.fake import FakeExtractor


def test_arithmetic_of_a_batch_is_what_torchs_counter_sees_in_torchvisions_network() -> None:
    from torch.utils.flop_counter import FlopCounterMode
    from torchvision.models.video import r2plus1d_18

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        r2plus1d_18().eval()(torch.zeros(4, 3, 8, 32, 32))
    extractor = R2Plus1D18("random:0", sampling=Sampling(clips=1, frames=8), geometry=Geometry(40, 32))
    extractor.load("cpu")
    classifier = 4 * 2 * 512 * 400  # not counted here
    assert arithmetic.gflop(extractor, arithmetic.batch(extractor)) * 1e9 == counter.get_total_flops() - classifier


def test_every_backbone_of_the_rates_is_an_extractor() -> None:
    assert set(forward.BACKBONES) <= set(EXTRACTORS)


def test_ratio_without_a_bar_is_printed_as_such_and_holds() -> None:
    bar = Bar.measured("x", 0.5, "1 / 2")
    assert bar.holds
    assert str(bar) == "x 0.5 no bar (1 / 2)"


def test_gpu_figures_are_those_of_the_runner_and_the_device(
    fake: type[FakeExtractor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = [make_video(tmp_path / f"v{i}.mp4", frames=12, seed=i) for i in range(2)]
    run = cuda.whole(FakeExtractor(), cuda.Cpu(), films, repeats=3)
    assert (run.items, run.clips, run.utilization) == (6, 18, None)
    assert 0 < run.busy_s < run.wall_s
    assert run.decode_s > 0
    rate, busy = cuda.measured("fake", "fp32", cuda.Cpu(), films, repeats=1)
    assert (rate.name, busy.name) == ("fake-fp32-cpu-over-matmul", "fake-fp32-cpu-busy")
    assert rate.ratio == 0, "it has no convolutions"
    assert "clips/s" in rate.detail
    assert "-bound; peak memory" in busy.detail
    assert 0 < busy.ratio < 1
    monkeypatch.setattr(cuda.Cpu, "utilization", lambda self: 0.25)
    monkeypatch.setattr(cuda, "_SAMPLE_S", 0.001)
    _, busy = cuda.measured("fake", "fp32", cuda.Cpu(), films, repeats=20)
    assert "its own counter 0.25" in busy.detail


def test_gpu_figures_of_every_backbone_and_precision(fake: type[FakeExtractor]) -> None:
    names = [bar.name for bar in cuda.bars(("fake",), cuda.Cpu(), films=1)]
    assert names == [f"fake-{p}-cpu-{what}" for p in ("fp32", "bf16") for what in ("over-matmul", "busy")]


def test_film_that_gives_no_features_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no film")
    with pytest.raises(RuntimeError, match="1 of 1 films gave no features"):
        cuda.whole(FakeExtractor(), cuda.Cpu(), [tmp_path / "v.mp4"], repeats=1)


def test_clips_from_proxies_are_timed_beside_those_from_films(tmp_path: Path) -> None:
    films = [make_video(tmp_path / f"v{i}.mp4", frames=20, size=(320, 240), seed=i) for i in range(2)]
    ratio, detail = proxies._measured(films, tmp_path / "root")
    assert 0 < ratio < 2
    assert "320 x 240, 20 frames a film" in detail


def test_timed_extractor_is_the_one_it_times() -> None:
    inner = FakeExtractor("random:0")
    timed = cuda.Timed(inner, cuda.Cpu())
    timed.load("cpu")
    units = arithmetic.batch(inner)
    rows, theirs = (extractor.rows(extractor(units)) for extractor in (timed, inner))
    assert all(np.array_equal(rows[name], theirs[name]) for name in theirs)
    assert timed.view == inner.view
    assert timed.columns() == {}
    assert timed.weights_path() == inner.weights_path()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so_and_is_no_failure() -> None:
    assert [str(bar) for bar in cuda.bars()] == ["cuda - no bar skipped (torch sees no CUDA device here)"]
    done = subprocess.run([sys.executable, "-m", "benchmarks.cuda"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "skipped: torch sees no CUDA device here\n")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_gpu_figures_on_a_gpu() -> None:
    rate, busy = cuda.bars(("efficientnet_lite0_objects",), cuda.Cuda(), films=2)
    assert 0 < rate.ratio < 1.5
    assert 0 < busy.ratio <= 1
