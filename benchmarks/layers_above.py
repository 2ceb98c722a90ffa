"""Training the last layers of a network on what is cached below them, against running all of it in each step.

Run: `python -m benchmarks.layers_above` (two minutes; one core).

MiniLM's sizes, random weights, 256 texts of 8 to 32 tokens: forward and backward of two layers on token states that are
there, and the same with the four layers below run first, without a gradient. R(2+1)D-18, random weights, two videos of
32 frames of 112 x 112: the last stage, or block, on maps that are there, and the same from pixels. Decoding, which the
cache saves too, is not counted. What the cache costs is bytes.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.bars import Bar, run, seconds
from extractors import bert, options
from extractors.below import MAPS, Below
from extractors.bert_layers import BertLayers
from extractors.encoders import MINILM_ARCHITECTURE

_TEXTS, _LONGEST, _VIDEOS, _ROUNDS = 256, 32, 2, 3


def bars() -> Iterator[Bar]:
    """Three bars."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _texts()
        yield from map(_videos, ("stage", "block"))
    finally:
        torch.set_num_threads(threads)


def _texts() -> Bar:
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

    quick, slow = _both(with_cache, without)
    detail = (
        f"{quick:.2f} s a step of {_TEXTS} texts on cached states, {slow:.2f} s through the whole encoder; "
        f"{2 * settings['hidden_size']} bytes a token are stored"
    )
    return Bar.at_least("text-step-without-cache-over-with", slow / quick, 1.3, detail)


def _videos(above: str) -> Bar:
    lower = options.asked(f"r2plus1d_18_below_{above}", "random:0", "fp32")
    assert isinstance(lower, Below)
    layers = lower.above()
    lower.load("cpu")
    units = np.random.default_rng(0).integers(0, 256, (lower.batch_units["cpu"], 32, 112, 112, 3), np.uint8)
    cached = [torch.from_numpy(lower.rows(lower(units))[MAPS]) for _ in range(_VIDEOS)]

    def with_cache() -> None:
        layers(torch.stack(cached).float()).sum().backward()

    def without() -> None:
        maps = [torch.from_numpy(lower(units)["features"]) for _ in range(_VIDEOS)]
        layers(torch.stack(maps)).sum().backward()

    quick, slow = _both(with_cache, without)
    size = cached[0].numel() * cached[0].element_size()
    detail = (
        f"{quick:.2f} s a step of {_VIDEOS} videos on cached maps, {slow:.2f} s from pixels; {size / 1e3:.0f} kB a "
        "video are stored"
    )
    return Bar.at_least(f"video-step-without-cache-over-with-last-{above}", slow / quick, 1.5, detail)


def _both(quick: Callable[[], None], slow: Callable[[], None]) -> tuple[float, float]:
    quick()
    return min(seconds(quick) for _ in range(_ROUNDS)), min(seconds(slow) for _ in range(_ROUNDS))


if __name__ == "__main__":
    run(bars())
