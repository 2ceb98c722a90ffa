"""Pictures as they are meant to be seen: turned and mirrored as a film's display matrix says."""

from typing import Any, NamedTuple

import numpy as np
from av.sidedata.sidedata import Type


class Display(NamedTuple):
    """How pictures are to be shown: first rows and columns change places, then each may run backwards."""

    is_turned: bool = False
    down: int = 1
    across: int = 1

    def upright(self, rgb: np.ndarray) -> np.ndarray:
        """A picture (h, w, 3) as it is to be shown."""
        rgb = rgb.swapaxes(0, 1) if self.is_turned else rgb
        return rgb[:: self.down, :: self.across]


def display_of(frame: Any) -> Display:
    """How the pictures of a film are to be shown, as one of its frames says it.

    The matrix takes column p and row q of what was coded to column a p + c q and row b p + d q. The nearest of the
    eight ways to turn and mirror a picture is taken; an angle between them is left to it. A frame whose side data was
    looked at lives until the garbage is collected, so only the first one of a film is asked.
    """
    side = frame.side_data.get(Type.DISPLAYMATRIX)
    if side is None:
        return Display()
    a, b, _, c, d = np.frombuffer(side, np.int32)[:5].tolist()
    is_turned = abs(a) + abs(d) < abs(b) + abs(c)
    across, down = (c, b) if is_turned else (a, d)
    return Display(is_turned, -1 if down < 0 else 1, -1 if across < 0 else 1)
