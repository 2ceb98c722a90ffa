"""How the probe clips beside this file were made: `python extractors/probes/_make.py`. Run once; the clips are kept.

A clip made again by another encoder has other bytes, so the probe digest of every recipe would change: add clips if you
must, and leave these as they are.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLIPS = {
    "h264.mp4": ("libx264", 64, 48, {"bf": "2", "g": "8", "crf": "28"}),
    "mpeg4.avi": ("mpeg4", 56, 40, {"bf": "2", "g": "6", "qscale": "5"}),
    "vp9.webm": ("libvpx-vp9", 49, 37, {"crf": "36", "b": "0", "g": "8"}),
}
FRAMES = 16


def main() -> None:
    """Write each clip: a slanted ramp that drifts, under a disc that crosses it."""
    for name, (codec, width, height, options) in CLIPS.items():
        y, x = np.mgrid[:height, :width]
        with av.open(str(Path(__file__).parent / name), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = Fraction(1, 25)
            for t in range(FRAMES):
                ramp = np.stack([(x * 3 + t * 5) % 256, (y * 4 + t * 3) % 256, (x + y + t * 7) % 256], -1)
                disc = (x - 3 * t - 6) ** 2 + (y - height / 2) ** 2 < 64
                rgb = np.where(disc[..., None], (240, 60, 30), ramp).astype(np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode(None):
                container.mux(packet)


if __name__ == "__main__":
    main()
