"""Films of pictures: H.264 in an mp4, the same bytes whenever the same pictures are written by the same FFmpeg.

pictures (S, S, 3) uint8 ─write─▶ PATH, which is there as a whole or not at all
"""

import os
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

# macroblock trees are left out: with them x264 writes other bytes now and then, of the same small pictures
_OPTIONS = {"preset": "veryfast", "crf": "23", "g": "15", "threads": "1", "x264-params": "mbtree=0"}


def write(path: Path, pictures: Iterable[np.ndarray], size: int, fps: int) -> int:
    """Write a film.

    Parameters
    ----------
    path : Path
        Ends in `.mp4`; what is written lies beside it until it is whole.
    pictures : of (size, size, 3) uint8
    size : int
        Even.
    fps : int

    Returns
    -------
    int
        How many pictures it has.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part")
    count = 0
    with av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            count += 1
        container.mux(stream.encode(None))
    os.replace(part, path)
    return count
