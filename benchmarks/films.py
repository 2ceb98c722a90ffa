"""Films for the benchmarks: H.264, 340 x 256, 10 s; texture and motion make decoding cost what it does on real ones."""

from pathlib import Path

import av
import cv2
import numpy as np


def film(path: Path, seed: int = 0, seconds: float = 10, size: tuple[int, int] = (340, 256)) -> Path:
    """Write a film of drifting texture with some noise, 25 frames a second, a keyframe every 2 s."""
    random = np.random.default_rng(seed)
    width, height = size
    texture = cv2.GaussianBlur(random.integers(0, 256, (height * 2, width * 2, 3), np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "50", "crf": "23", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(round(25 * seconds)):
            x, y = int(width / 2 * (1 + np.sin(t / 40 + seed))), int(height / 2 * (1 + np.cos(t / 55)))
            picture = texture[y : y + height, x : x + width].astype(np.int16)
            picture = np.clip(picture + random.integers(-6, 7, picture.shape, np.int16), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return path
