"""Training from films: what the loader and the engine add to the network's own forward and backward passes.

`loader-share-of-a-step` is the time a training waits for its next batch over the time of the whole step, with a process
that decodes beside the training. `step-over-bare-module` is the CPU time of a step of the engine's task (loss,
backward, optimiser) over that of forward and backward of the bare network on the same tensors, and
`rest-step-over-bare-modules` the same of ResT: the network of frames, and the transformer with the label's words.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.bars import Bar, run, seconds
from benchmarks.films import film
from extractors.frame_encoders import FrameEncoder
from extractors.r2plus1d_network import R2Plus1D
from heads.base import ClassTexts, Texts, Videos
from heads.e2e import E2E, E2eOptions
from heads.rest import ResT, RestOptions
from heads.words import tokens_of
from pipelines.extract.items import Item
from pipelines.learn.samples.pixels import Form, Pixels, VideoSet
from pipelines.learn.tasks import Task

_FILMS, _CLASSES, _WIDTH, _BATCH, _STEPS = 64, 4, 8, 16, 12
_FORM = Form(frames=16, stride=2, resize=64, crop=56)


def bars() -> Iterator[Bar]:
    """Two bars."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [film(Path(folder) / f"v{k}.mp4", seed=k) for k in range(8)]
        yield _loader(paths)
        yield _step(paths)
        yield _rest_step(paths)


def _loader(paths: list[Path]) -> Bar:
    samples, task, optimiser = _task(paths, loaders=1)
    order = [torch.randint(len(samples), (_BATCH,)) for _ in range(_STEPS)]
    waited, worked = [], []
    with contextlib.closing(samples.batches(order, draw=1)) as batches:
        mark = time.monotonic()
        for batch in batches:
            arrived = time.monotonic()
            _whole_step(task, optimiser, batch)
            done = time.monotonic()
            waited.append(arrived - mark)
            worked.append(done - arrived)
            mark = done
    share = sum(waited[2:]) / (sum(waited[2:]) + sum(worked[2:]))  # the first ones wait for the process to begin
    detail = (
        f"waits {np.mean(waited[2:]):.3f} s of {np.mean(waited[2:]) + np.mean(worked[2:]):.3f} s a step of {_BATCH}"
    )
    return Bar.at_most("loader-share-of-a-step", share, 0.1, f"{detail} clips, 340 x 256, one process decodes")


def _step(paths: list[Path]) -> Bar:
    samples, task, optimiser = _task(paths, loaders=0)
    (batch,) = samples.batches([torch.arange(_BATCH)], draw=1)
    network = R2Plus1D(_WIDTH).train()

    def bare() -> None:
        network.zero_grad(set_to_none=True)
        network(batch.segments).sum().backward()

    return _over(bare, task, optimiser, batch, "step-over-bare-module", 1.1)


def _rest_step(paths: list[Path]) -> Bar:
    samples, texts = _samples(paths, loaders=0)
    network = FrameEncoder("r2plus1d", _WIDTH)
    head = ResT(network.features, 300, RestOptions(hidden_size=128, depth=4, heads=4), network.tokens(_FORM.frames))
    head.begin(Videos(torch.empty(0)), texts)
    task = Task(samples, head, texts, visual=network)
    task.model.train()
    optimiser = torch.optim.AdamW(task.model.parameters(), 1e-4)
    (batch,) = samples.batches([torch.arange(_BATCH)], draw=1)
    words = tokens_of(texts.names)[0][batch.labels]

    def bare() -> None:
        task.model.zero_grad(set_to_none=True)
        x, states = head.network(network(batch.segments), head.words(words))
        (x.sum() + states.sum()).backward()

    return _over(bare, task, optimiser, batch, "rest-step-over-bare-modules", 1.15)


def _over(
    bare: Callable[[], None], task: Task, optimiser: torch.optim.Optimizer, batch: Videos, name: str, bound: float
) -> Bar:
    """A whole step of a task over forward and backward of its bare modules."""
    bare()
    _whole_step(task, optimiser, batch)
    pairs = [(seconds(bare), seconds(lambda: _whole_step(task, optimiser, batch))) for _ in range(5)]
    least, taken = (min(values) for values in zip(*pairs, strict=True))
    detail = f"{taken:.3f} s a step of {_BATCH} clips, forward and backward alone {least:.3f} s; best of 5"
    return Bar.at_most(name, taken / least, bound, detail)


def _samples(paths: list[Path], loaders: int) -> tuple[Pixels, ClassTexts]:
    names = tuple(f"class {k}" for k in range(_CLASSES))
    items = tuple(
        Item(k.to_bytes(32, "big"), ((str(paths[k % len(paths)]), None),), None, str(k), ()) for k in range(_FILMS)
    )
    labels = tuple(names[k % _CLASSES] for k in range(_FILMS))
    keys, nothing = tuple(item.key for item in items), ({},) * _FILMS
    videos = VideoSet(
        tuple(map(str, range(_FILMS))), keys, labels, nothing, (), 0, _FORM, items, np.zeros(_FILMS, bool)
    )
    samples = Pixels(videos, np.arange(_FILMS), names, "cpu", loaders=loaders)
    vectors = torch.nn.functional.normalize(torch.randn(_CLASSES, 300), dim=1)
    return samples, ClassTexts(names, {"class": Texts(vectors, torch.arange(_CLASSES), torch.arange(_CLASSES))})


def _task(paths: list[Path], loaders: int) -> tuple[Pixels, Task, torch.optim.Optimizer]:
    samples, texts = _samples(paths, loaders)
    network = R2Plus1D(_WIDTH)
    head = E2E(network.features, 300, E2eOptions(one_clip=False))
    head.begin(Videos(torch.empty(0)), texts)
    task = Task(samples, head, texts, visual=network)
    task.model.train()
    return samples, task, torch.optim.Adam(task.model.parameters(), 1e-3)


def _whole_step(task: Task, optimiser: torch.optim.Optimizer, batch: Videos) -> None:
    total = torch.stack(list(task.loss(batch).values())).sum()
    float(total.detach())  # the engine asks whether it is finite
    total.backward()
    optimiser.step()
    optimiser.zero_grad()


if __name__ == "__main__":
    run(bars())
