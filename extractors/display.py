"""A picture as it is meant to be seen: turned and mirrored as its display matrix says."""

from typing import Any

import numpy as np
from av.sidedata.sidedata import Type


def upright(frame: Any, rgb: np.ndarray) -> np.ndarray:
    """One picture (h, w, 3), as a phone or a camera held otherwise says that it is to be shown.

    The matrix takes column p and row q of what was coded to column a p + c q and row b p + d q. The nearest of the
    eight ways to turn and mirror a picture is taken; an angle between them is left to it.
    """
    side = frame.side_data.get(Type.DISPLAYMATRIX)
    if side is None:
        return rgb
    a, b, _, c, d = np.frombuffer(side, np.int32)[:5].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        rgb, a, d = rgb.swapaxes(0, 1), c, b
    return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
