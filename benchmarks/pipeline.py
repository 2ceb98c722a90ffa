"""Bars of the whole extraction: overlap, its overhead in CPU time, and against a plain loop on the same videos.

python -m benchmarks pipeline
"""

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.bars import Bar
from benchmarks.films import film
from extractors import allocator, clips, find
from extractors.base import Output, VideoExtractor
from extractors.sampling import Geometry, Sampling
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Runner
from pipelines.extract.runners.videos import Videos

VIDEOS = 27


class Stub(VideoExtractor):
    """A model whose forward pass costs a given CPU time a clip."""

    name = "stub"
    version = 1
    outputs = {"features": Output((4,), "float16")}
    default_sampling = Sampling(clips=8, frames=16, stride=4)
    default_geometry = Geometry((128, 171), 112)
    batch_units = {"cpu": 8, "cuda": 8}
    normalisation = "none"
    seconds = 0.0

    def weights_path(self) -> Path:
        return Path(__file__)

    def load(self, device: str) -> None:
        self._bytes = bytes(1 << 20)

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            hashlib.blake2b(self._bytes)  # one core busy for a millisecond, outside the interpreter, as a real model is
        return {"features": np.zeros((len(units), 4), np.float32)}

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"features": units["features"].astype(np.float16)}

    def columns(self) -> dict[str, list[str]]:
        return {}


def bars() -> Iterator[Bar]:
    """The bars, each from one run."""
    with tempfile.TemporaryDirectory() as folder:
        videos = [film(Path(folder) / f"v{i}.mp4", seed=i) for i in range(VIDEOS)]
        yield from overlap(videos)
        yield shared_decode(videos)
        yield from whole(videos[:3])


def overlap(videos: list[Path]) -> Iterator[Bar]:
    """One decode thread and one forward thread, the forward made to cost what the decode costs."""
    cv2.setNumThreads(1)
    stub = Stub()
    stub.load("cpu")
    best: tuple[float, ...] = (9.0, 9.0, 0, 0, 0)
    for _ in range(3):
        wall, cpu = time.monotonic(), time.process_time()
        for path in videos:
            clips.read(str(path), {"stub": stub.view})
        decode, decode_cpu = time.monotonic() - wall, time.process_time() - cpu
        stub.seconds = decode / len(videos)
        wall, cpu = time.monotonic(), time.process_time()
        for _ in videos:
            stub(np.empty((8, 1)))
        forward, forward_cpu = time.monotonic() - wall, time.process_time() - cpu
        wall, cpu = time.monotonic(), time.process_time()
        done = run(stub, videos, forwards=1, decoders=1)
        both, both_cpu = time.monotonic() - wall, time.process_time() - cpu
        if done != len(videos):
            raise RuntimeError(f"{done} of {len(videos)} videos came out")
        ratios = (both / max(decode, forward), both_cpu / (decode_cpu + forward_cpu), both, decode, forward)
        best = min(best, ratios)
    detail = f"wall {best[2]:.2f} s, decode {best[3]:.2f} s, forward {best[4]:.2f} s, best of 3"
    yield Bar.at_most("overlap-wall", best[0], 1.10, detail)
    yield Bar.at_most("overlap-cpu", best[1], 1.07, "CPU time of the overlapped run / (decode + forward)")


def shared_decode(videos: list[Path]) -> Bar:
    """Two features of the same clips from one run, against a run each; the models cost nothing, so decoding is all."""
    stubs = [Stub(), Stub(sampling=Sampling(clips=4, frames=16, stride=4))]
    for stub in stubs:
        stub.load("cpu")
    apart, together = [], []
    for _ in range(3):
        apart.append(sum(_seconds(lambda stub=stub: run(stub, videos, 1, 1)) for stub in stubs))  # type: ignore[misc]
        together.append(_seconds(lambda: run_all(stubs, videos, 1, 1)))
    ratio = min(t / a for t, a in zip(together, apart, strict=True))
    detail = f"together {min(together):.2f} s, a run each {min(apart):.2f} s for {len(videos)} videos, best of 3"
    return Bar.at_most("two-features-over-one-by-one", ratio, 0.65, detail)


def run(extractor: VideoExtractor, videos: list[Path], forwards: int, decoders: int) -> int:
    """Videos through the runner; how many came out."""
    return run_all([extractor], videos, forwards, decoders)


def run_all(extractors: list[VideoExtractor] | list[Stub], videos: list[Path], forwards: int, decoders: int) -> int:
    """Videos through the runner for several extractors at once; how many (video, feature) pairs came out."""
    by_name = {str(i): extractor for i, extractor in enumerate(extractors)}
    runner = Runner(by_name, Videos(by_name, "cpu"), forwards, decoders)
    names = tuple(by_name)
    items = (Item(str(i).encode(), ((str(path), None),), None, str(i), names) for i, path in enumerate(videos))
    with contextlib.closing(runner.results(items)) as results:
        done = sum(result is not None and not isinstance(result.outcome, Exception) for result in results)
    if runner.opened != len(videos):
        raise RuntimeError(f"{runner.opened} decodes of {len(videos)} videos")
    return done


def whole(videos: list[Path]) -> Iterator[Bar]:
    """Against the loop of a widely used extractor: decode everything, float transform, batch 1, eager fp32.

    bf16 has a bar only where its matrix products are the faster ones: with AVX512-BF16 but no AMX they are not.
    """
    import torch

    torch.set_num_threads(2)
    plain = _plain_model()
    slow = min(_seconds(lambda: [_plain_loop(path, Stub.default_sampling, plain) for path in videos]) for _ in range(2))
    allocator.keep_freed_memory()
    yield _against(slow, videos, "fp32", 1.1)
    rates = {dtype: _matrix_rate(dtype) for dtype in (torch.float32, torch.bfloat16)}
    if rates[torch.bfloat16] > rates[torch.float32]:
        yield _against(slow, videos, "bf16", 2.3)
    else:
        detail = (
            f"matrix products here: {rates[torch.bfloat16]:.0f} GFLOP/s in bf16, {rates[torch.float32]:.0f} in fp32"
        )
        yield Bar.skipped("whole-extraction-bf16", ">= 2.3", detail)


def _against(slow: float, videos: list[Path], precision: str, least: float) -> Bar:
    """The runner with R(2+1)D-18 on the same videos, two forward and two decode threads."""
    extractor = find("r2plus1d_18")(weights="random:0", precision=precision)
    extractor.load("cpu")
    fast = min(_seconds(lambda: run(extractor, videos, forwards=2, decoders=2)) for _ in range(2))
    detail = f"plain loop {slow:.1f} s, here {fast:.1f} s for {len(videos)} videos of 8 clips, 2 cores both, best of 2"
    return Bar.at_least(f"whole-extraction-{precision}", slow / fast, least, detail)


def _matrix_rate(dtype: Any) -> float:
    """GFLOP/s of a matrix product on one core."""
    import torch

    torch.set_num_threads(1)
    a = torch.ones((2048, 2048), dtype=dtype)
    a @ a
    return 2 * 2048**3 / min(_seconds(lambda: a @ a) for _ in range(5)) / 1e9


def _seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _plain_model() -> object:
    import torch
    from torchvision.models.video import r2plus1d_18

    torch.manual_seed(0)
    return r2plus1d_18().eval()


def _plain_loop(path: Path, sampling: Sampling, model: object) -> None:
    """Every frame decoded and resized as floats by torch, then the clips one by one."""
    import torch

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    video = torch.nn.functional.interpolate(video, (128, 171), mode="bilinear")[:, :, 8:120, 30:142]
    indices, _ = sampling.frame_indices(np.arange(len(frames)) / 25)
    with torch.inference_mode():
        for clip in indices:
            model(video[clip].permute(1, 0, 2, 3)[None])  # type: ignore[operator]
