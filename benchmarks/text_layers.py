"""Training the last two layers of an encoder on cached token states, against running the whole encoder in each step.

Run: `python -m benchmarks.text_layers` (a minute; one core).

MiniLM's sizes, random weights, 256 texts of 8 to 32 tokens: forward and backward of the two layers on states that are
there, and the same with the four layers below run first, without a gradient. What the cache costs is bytes a token.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.bars import Bar, run
from extractors import bert
from extractors.bert_layers import BertLayers
from extractors.encoders import MINILM_ARCHITECTURE

_TEXTS, _LONGEST, _ROUNDS = 256, 32, 3


def bars() -> Iterator[Bar]:
    """One bar."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _step()
    finally:
        torch.set_num_threads(threads)


def _step() -> Bar:
    settings, cpu = MINILM_ARCHITECTURE, torch.device("cpu")
    arrays = bert.random(settings, 0)
    first = settings["num_hidden_layers"] - 2
    below, above = bert.Bert(arrays, settings, first, cpu, torch.float32), BertLayers(arrays, settings, first, True)
    drawn = np.random.default_rng(0)
    ids = torch.from_numpy(drawn.integers(1000, 30000, (_TEXTS, _LONGEST)))
    mask = torch.arange(_LONGEST) < torch.from_numpy(drawn.integers(8, _LONGEST + 1, (_TEXTS, 1)))

    def states() -> torch.Tensor:
        with torch.no_grad():
            return below(ids, mask).masked_fill(~mask[..., None], torch.nan)

    cached = states().half()

    def with_cache() -> None:
        above(cached.float()).sum().backward()

    def without() -> None:
        above(states()).sum().backward()

    with_cache()
    quick, slow = min(_seconds(with_cache) for _ in range(_ROUNDS)), min(_seconds(without) for _ in range(_ROUNDS))
    detail = (
        f"{quick:.2f} s a step of {_TEXTS} texts on cached states, {slow:.2f} s through the whole encoder; "
        f"{2 * settings['hidden_size']} bytes a token are stored"
    )
    return Bar.at_least("text-step-without-cache-over-with", slow / quick, 1.3, detail)


def _seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    run(bars())
