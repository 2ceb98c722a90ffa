"""Frames of a video at moments of it, for people to look at.

Takes  a file, moments in seconds from its first frame
Gives  the frame shown at each, as it was decoded
"""

from collections.abc import Sequence

import numpy as np

from extractors import clips


def frames_at(uri: str, moments: Sequence[float]) -> list[np.ndarray]:
    """The frame (H, W, 3) uint8 RGB that is shown at each moment, the last one at whatever comes after it.

    Raises
    ------
    InputFault
        The file is not there, or is no video that can be decoded.
    """
    wanted = np.zeros(0, np.int64)

    def choose(times: np.ndarray) -> np.ndarray:
        nonlocal wanted
        shown = times - times[0]
        wanted = np.clip(np.searchsorted(shown, np.asarray(moments, float), side="right") - 1, 0, len(shown) - 1)
        return np.unique(wanted)

    _, frames = clips.stream(uri, choose)
    found = list(frames)
    return [found[at] for at in np.searchsorted(np.unique(wanted), wanted)]
