"""How much faster heads are trained and judged in arrays than in loops, and FAISS against numpy.

Run: `python -m benchmarks.heads` (two minutes; one core).

The training step is that of group alignment (JigsawNet, eq. 3-8): 512 videos of 8 segments against 400 classes of 10
phrases, 768 wide, forward and backward. The loops are the equations as they are printed: for each video and each class,
the similarities of its segments and phrases; a part of the videos is timed and the whole taken in proportion.
Judging is 13,318 videos against 101 classes by FAISS, as `zsar evaluate` does it, and by numpy's product and sort.
Times are the best of the rounds, because noise only ever adds time.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.bars import Bar, run
from heads import metrics
from heads.jigsaw import group_scores
from heads.prototypes import nearest

_VIDEOS, _SEGMENTS, _CLASSES, _PHRASES, _WIDTH = 512, 8, 400, 10, 768
_LOOPED = 8  # videos the loops are timed on
_TAU = 0.1
_ROUNDS = 3


def bars() -> Iterator[Bar]:
    """The training step, the judging, and FAISS over numpy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _alignment()
        yield from _judging()
    finally:
        torch.set_num_threads(threads)


def _alignment() -> Bar:
    draw = torch.Generator().manual_seed(0)
    segments = functional.normalize(torch.randn(_VIDEOS, _SEGMENTS, _WIDTH, generator=draw), dim=-1)
    phrases = functional.normalize(torch.randn(_CLASSES * _PHRASES, _WIDTH, generator=draw), dim=-1)
    labels = torch.randint(_CLASSES, (_VIDEOS,), generator=draw)
    table = torch.arange(_CLASSES * _PHRASES).view(_CLASSES, _PHRASES)

    def arrays() -> Tensor:
        return group_scores(segments @ phrases.T, table)

    def loops() -> Tensor:
        rows = []
        groups = phrases.view(_CLASSES, _PHRASES, _WIDTH).unbind()
        for video in segments[:_LOOPED].unbind():
            row = [(video @ group.T).amax(1).mean() for group in groups]
            rows.append(torch.stack(row))
        return torch.stack(rows)

    with torch.no_grad():
        assert torch.allclose(arrays()[:_LOOPED], loops(), atol=1e-5)
    for tensor in (segments, phrases):
        tensor.requires_grad_()
    fast = _best(lambda: functional.cross_entropy(arrays() / _TAU, labels).backward())
    slow = _best(lambda: functional.cross_entropy(loops() / _TAU, labels[:_LOOPED]).backward(), 1) * _VIDEOS / _LOOPED
    detail = f"{slow:.1f} s in loops, {fast * 1e3:.0f} ms in arrays; {_VIDEOS} x {_SEGMENTS} x {_CLASSES} x {_PHRASES}"
    return Bar.at_least("group-alignment-step-over-loops", slow / fast, 15, detail)


def _judging() -> Iterator[Bar]:
    random = np.random.RandomState(0)
    videos, classes = (random.randn(n, 384).astype(np.float32) for n in (13_318, 101))
    labels = random.randint(101, size=len(videos))

    def judged() -> None:
        _, top = nearest(videos, classes, 5)
        metrics.top_k(top, labels, 1)
        metrics.top_k(top, labels, 5)
        metrics.mean_class_top1(top, labels, 101)
        metrics.hubness(top, 101)
        metrics.confusion(top, labels, 101)

    seconds = _best(judged)
    detail = f"{seconds * 1e3:.0f} ms for 101 classes, allowed 2 s"
    yield Bar.at_most("judging-13318-videos-of-2s", seconds / 2, 1, detail)
    by_faiss = _best(lambda: nearest(videos, classes, 5))
    by_numpy = _best(lambda: np.argsort(-(videos @ classes.T), 1, kind="stable")[:, :5])
    detail = f"numpy {by_numpy * 1e3:.0f} ms, FAISS {by_faiss * 1e3:.0f} ms"
    yield Bar.measured("faiss-over-numpy", by_numpy / by_faiss, detail)


def _best(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    run(bars())
