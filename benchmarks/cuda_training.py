"""What a GPU does while a network learns from films: the rate of a step, and whether the loader keeps up with it.

Run: `python -m benchmarks.cuda_training`; says so and stops where torch sees no CUDA device. No bar binds these figures
yet. E2E's R(2+1)D-18 of the published size, 22 clips of 16 frames of 112 x 112, prints for each precision

    training-PRECISION-cuda-over-matmul   FLOP/s of whole steps on tensors that are there / matrix products' rate
    training-PRECISION-films-busy         time of these steps / wall time of as many from films, decoded by all cores
    training-PRECISION-proxies-busy       the same from proxies of the films
"""

import contextlib
import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.arithmetic import matrices
from benchmarks.bars import Bar, run
from benchmarks.cuda import Cuda, Device, decoders
from benchmarks.films import film
from extractors.r2plus1d_network import R2Plus1D
from heads.base import ClassTexts, Texts, Videos
from heads.e2e import E2E, E2eOptions
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.learn.samples.pixels import Form, Pixels, read
from pipelines.learn.tasks import Task
from stores.root import Root

_FILMS, _CLASSES = 32, 4
_BATCH, _STEPS, _ROUNDS = 22, 40, 10
_FORM = Form()


def bars(device: Device | None = None, width: int = 64, films: int = _FILMS, steps: int = _STEPS) -> Iterator[Bar]:
    """Three lines a precision; one that says skipped without a GPU."""
    if device is None and not torch.cuda.is_available():
        yield Bar.skipped("cuda-training", "no bar", "torch sees no CUDA device here")
        return
    device = device or Cuda()
    with tempfile.TemporaryDirectory() as folder:
        root = _films(Path(folder), films)
        for precision in ("fp32", "bf16"):
            yield from _measured(precision, device, width, steps, root)


def _films(folder: Path, count: int) -> Root:
    """A data set of films of 340 x 256 with labels, and their proxies."""
    (folder / "films").mkdir()
    for k in range(count):
        film(folder / "films" / f"v{k}.mp4", seed=k)
    with (folder / "labels.csv").open("w") as file:
        csv.writer(file).writerows([("id", "label"), *((f"v{k}", f"class {k % _CLASSES}") for k in range(count))])
    root = Root(folder / "root")
    index(IndexConfig((str(folder / "films"),), "d", labels=(str(folder / "labels.csv"),)), root)
    extract(ExtractConfig(("proxy",), "d"), root)
    return root


def _measured(precision: str, device: Device, width: int, steps: int, root: Root) -> Iterator[Bar]:
    task, optimiser = _task(device, width)
    cast = torch.autocast(device.name, torch.bfloat16, enabled=precision == "bf16")

    def step(batch: Videos) -> None:
        with cast:
            total = torch.stack(list(task.loss(batch).values())).sum()
        float(total.detach())  # the engine asks whether it is finite
        total.backward()
        optimiser.step()
        optimiser.zero_grad()

    pixels = torch.randn(_BATCH, 3, _FORM.frames, _FORM.crop, _FORM.crop, device=device.name)
    there = Videos(pixels, torch.arange(_BATCH, device=device.name) % _CLASSES)
    with FlopCounterMode(display=False) as counted:
        step(there)
    for _ in range(_ROUNDS):  # until clocks and algorithms have settled
        step(there)
    device.forget_peak()
    begun = time.monotonic()
    for _ in range(steps):
        step(there)
    taken = (time.monotonic() - begun) / steps  # a step ends with a number that is looked at here
    peak = device.peak_bytes()
    a, b = matrices(precision, device.name, device.side)
    a @ b
    rate = 2 * device.side**3 / min(device.seconds(lambda: a @ b) for _ in range(_ROUNDS))
    achieved = counted.get_total_flops() / taken
    yield Bar.measured(
        f"training-{precision}-{device.name}-over-matmul",
        achieved / rate,
        f"{1 / taken:.2f} steps/s of {_BATCH} clips, {achieved / 1e12:.1f} / {rate / 1e12:.1f} TFLOP/s, "
        f"peak memory {peak / 2**30:.2f} GiB",
    )
    for source, proxy in (("films", ""), ("proxies", "proxy")):
        videos = read("d", root, _FORM, proxy)
        samples = Pixels(videos, np.arange(len(videos.ids)), videos.classes, device.name, loaders=decoders())
        order = [torch.randint(len(samples), (_BATCH,)) for _ in range(steps + 2)]
        with contextlib.closing(samples.batches(order, draw=1)) as batches:
            for batch in (next(batches), next(batches)):  # they wait for the processes to begin
                step(batch)
            begun = time.monotonic()
            for batch in batches:
                step(batch)
            wall = time.monotonic() - begun
        yield Bar.measured(
            f"training-{precision}-{device.name}-{source}-busy",
            steps * taken / wall,
            f"{steps / wall:.2f} steps/s, {steps * _BATCH / wall:.0f} clips/s from {source} on {decoders()} cores",
        )


def _task(device: Device, width: int) -> tuple[Task, torch.optim.Optimizer]:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(_CLASSES, 300), dim=1)
    names = tuple(f"class {k}" for k in range(_CLASSES))
    told = ClassTexts(names, {"class": Texts(vectors, torch.arange(_CLASSES), torch.arange(_CLASSES))})
    texts = told.to(device.name)
    network = R2Plus1D(width)
    head = E2E(network.features, 300, E2eOptions(one_clip=False))
    head.begin(Videos(torch.empty(0)), texts)
    task = Task(None, head.to(device.name), texts, visual=network.to(device.name))  # type: ignore[arg-type]
    task.model.train()
    return task, torch.optim.Adam(task.model.parameters(), 1e-3)


if __name__ == "__main__":
    run(bars())
