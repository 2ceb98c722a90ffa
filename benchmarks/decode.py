"""Bar of the decoder: sampling segments of a video against merely decoding the same file.

python -m benchmarks decode
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import av
import cv2

from benchmarks.bars import Bar
from benchmarks.films import film
from extractors import clips
from extractors.sampling import Geometry, Sampling, View

VIEW = View(Sampling(clips=8, frames=16, stride=4), Geometry((128, 171), 112))


def bars() -> Iterator[Bar]:
    """Eight segments of 16 frames, stride 4, to 112 x 112, against raw YUV frames of the same file, one thread each."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = film(Path(folder) / "film.mp4")
        ours, raw = [], []
        for _ in range(15):
            start = time.perf_counter()
            clips.read(str(path), {"view": VIEW})
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            decode_raw(path)
            raw.append(time.perf_counter() - start)
    ratio = median(a / b for a, b in zip(ours, raw, strict=True))
    detail = f"segments {1e3 * median(ours):.1f} ms, raw YUV decode {1e3 * median(raw):.1f} ms a video, medians of 15"
    yield Bar.at_most("segment-decode", ratio, 1.5, detail)


def decode_raw(path: Path) -> None:
    """Every frame as the decoder gives it, on one thread, nothing converted."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass
