"""What a GPU does: the rate of each backbone on it, and how busy it is while a whole extraction runs.

Run: `python -m benchmarks.cuda [EXTRACTOR ...]`; says so and stops where torch sees no CUDA device. No bar binds these
figures yet. For each backbone and precision it prints two lines:

    NAME-PRECISION-cuda-over-matmul   achieved / matrix product rate of the same device in the same precision
    NAME-PRECISION-cuda-busy          time with a batch on the device / wall time of an extraction of generated films

The second says what the run waited for: `decode` where decoding the same films alone, on as many threads, took longer
than all forward passes. A batch is on the device from its pixels' way in to its rows' way out, so the share counts gaps
between kernels; the device's own counter stands beside it where it can be read.
"""

import abc
import contextlib
import dataclasses
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.arithmetic import batch, gflop, matrices
from benchmarks.bars import Bar
from benchmarks.films import film
from benchmarks.forward import BACKBONES
from extractors import clips, find
from extractors.base import Output, VideoExtractor
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Runner
from pipelines.extract.runners.videos import Videos

_PRECISIONS = ("fp32", "bf16")
_FILMS = 16
_REPEATS = 12  # of each film, as an item of its own
_ROUNDS = 10
_SAMPLE_S = 0.2


class Device(abc.ABC):
    """What is measured: its clock, its memory, and its own idea of how busy it is."""

    name: str
    #: side of the matrices of the rate
    side: int

    @abc.abstractmethod
    def seconds(self, work: Callable[[], object]) -> float:
        """Time of some work on the device, from its start to its end there."""

    @abc.abstractmethod
    def forget_peak(self) -> None:
        """Start counting the peak of memory anew."""

    @abc.abstractmethod
    def peak_bytes(self) -> int:
        """Most memory in use at once since then."""

    @abc.abstractmethod
    def utilization(self) -> float | None:
        """Share of the last moment in which a kernel ran, by the device's own counter; None without one."""


class Cuda(Device):
    """A CUDA device, timed by its own events."""

    name = "cuda"
    side = 8192

    def seconds(self, work: Callable[[], object]) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    def forget_peak(self) -> None:
        torch.cuda.init()  # there are no figures to forget before
        torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        return torch.cuda.max_memory_allocated()

    def utilization(self) -> float | None:
        try:
            return torch.cuda.utilization() / 100
        except Exception:  # the counter's library may lack, be of another version or be forbidden: each raises its own
            return None


class Cpu(Device):
    """The processor in the GPU's place, so that all but the calls above runs in a test."""

    name = "cpu"
    side = 256

    def seconds(self, work: Callable[[], object]) -> float:
        start = time.monotonic()
        work()
        return time.monotonic() - start

    def forget_peak(self) -> None:
        pass  # the kernel keeps no other peak than that of the whole process

    def peak_bytes(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def utilization(self) -> float | None:
        return None


class Timed(VideoExtractor):
    """An extractor whose time on the device is summed up in `busy_s`."""

    name = "timed"
    version = 1

    def __init__(self, inner: VideoExtractor, device: Device) -> None:
        super().__init__(inner.weights, inner.precision, inner.sampling, inner.geometry)
        self.inner, self.device = inner, device
        self.busy_s = 0.0

    @property
    def outputs(self) -> Mapping[str, Output]:
        return self.inner.outputs

    def weights_path(self) -> Path:
        return self.inner.weights_path()

    def load(self, device: str) -> None:
        self.inner.load(device)

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        found: list[dict[str, np.ndarray]] = []
        self.busy_s += self.device.seconds(lambda: found.append(self.inner(units)))
        return found[0]

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.inner.rows(units)

    def columns(self) -> dict[str, list[str]]:
        return self.inner.columns()


@dataclasses.dataclass(frozen=True)
class Whole:
    """A whole extraction: items, their clips, seconds of wall time, of forward passes and of decoding alone."""

    items: int
    clips: int
    wall_s: float
    busy_s: float
    decode_s: float
    utilization: float | None


def bars(names: tuple[str, ...] = (), device: Device | None = None, films: int = _FILMS) -> Iterator[Bar]:
    """Two lines a backbone and precision; one that says skipped without a GPU."""
    if device is None and not torch.cuda.is_available():
        yield Bar.skipped("cuda", "no bar", "torch sees no CUDA device here")
        return
    device = device or Cuda()
    with tempfile.TemporaryDirectory() as folder:
        videos = [film(Path(folder) / f"v{i}.mp4", seed=i) for i in range(films)]
        for name in names or BACKBONES:
            for precision in _PRECISIONS:
                if precision in find(name).precisions:
                    yield from measured(name, precision, device, videos)


def measured(name: str, precision: str, device: Device, videos: list[Path], repeats: int = _REPEATS) -> Iterator[Bar]:
    """The two lines of one backbone in one precision."""
    extractor = find(name)("random:0", precision)
    device.forget_peak()
    extractor.load(device.name)
    yield _rate(f"{name}-{precision}-{device.name}-over-matmul", extractor, device)
    run = whole(extractor, device, videos, repeats)
    waits = "decode" if run.decode_s > run.busy_s else "forward"
    own = "" if run.utilization is None else f"; its own counter {run.utilization:.2f}"
    yield Bar.measured(
        f"{name}-{precision}-{device.name}-busy",
        run.busy_s / run.wall_s,
        f"{run.items} videos, {run.clips / run.wall_s:.1f} clips/s, {run.wall_s:.2f} s: forward {run.busy_s:.2f} s, "
        f"decode alone {run.decode_s:.2f} s on {decoders()} threads, {waits}-bound{own}; "
        f"peak memory {device.peak_bytes() / 2**30:.2f} GiB",
    )


def _rate(title: str, extractor: VideoExtractor, device: Device) -> Bar:
    """Rate of full batches one after the other, pixels in host memory, against a matrix product."""
    units, (a, b) = batch(extractor, device.name), matrices(extractor.precision, device.name, device.side)
    work = gflop(extractor, units)  # also the first call, which warms up
    a @ b
    forward = min(device.seconds(lambda: extractor(units)) for _ in range(_ROUNDS))
    product = min(device.seconds(lambda: a @ b) for _ in range(_ROUNDS))
    achieved, rate = work / forward, 2e-9 * device.side**3 / product
    detail = (
        f"{achieved:.1f} / {rate:.1f} GFLOP/s, {len(units) / forward:.1f} clips/s, {work:.1f} GFLOP a batch of "
        f"{len(units)}"
    )
    return Bar.measured(title, achieved / rate, detail)


def whole(extractor: VideoExtractor, device: Device, videos: list[Path], repeats: int) -> Whole:
    """Every film `repeats` times through the real runner, one forward thread and a decoder a core."""
    timed = Timed(extractor, device)
    runner = Runner({"f": timed}, Videos({"f": extractor}, device.name), 1, decoders())
    paths = videos * repeats
    items = (Item(str(i).encode(), ((str(path), None),), None, str(i), ("f",)) for i, path in enumerate(paths))
    with _sampled(device) as samples:
        start = time.monotonic()
        with contextlib.closing(runner.results(items)) as results:
            outcomes = [result.outcome for result in results if result is not None]
        wall = time.monotonic() - start
    if faults := [outcome for outcome in outcomes if isinstance(outcome, Exception)]:
        raise RuntimeError(f"{len(faults)} of {len(outcomes)} films gave no features: {faults[0]}") from faults[0]
    start = time.monotonic()
    with ThreadPoolExecutor(decoders()) as pool:
        list(pool.map(lambda path: clips.read(str(path), {"f": extractor.view}), paths))
    decode = time.monotonic() - start
    used = statistics.fmean(samples) if samples else None
    return Whole(len(outcomes), len(outcomes) * extractor.sampling.clips, wall, timed.busy_s, decode, used)


def decoders() -> int:
    """Decode threads: one a core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _sampled(device: Device) -> Iterator[list[float]]:
    """What the device's counter says every `_SAMPLE_S` while the block runs; nothing where it has none."""
    samples: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        while (used := device.utilization()) is not None and not ended.wait(_SAMPLE_S):
            samples.append(used)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def main(names: tuple[str, ...]) -> None:
    """Print the lines as they are measured."""
    if not torch.cuda.is_available():
        print("skipped: torch sees no CUDA device here")
        return
    print(torch.cuda.get_device_name())
    for bar in bars(names):
        print(bar, flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
