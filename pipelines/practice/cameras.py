"""Where the camera stands: places of the world in, places before it and pixels out.

A `Camera` turns places of the world (`skeleton`) into places before it as a Kinect has them (x to its left, y up, z
away, metres), and these into pixels.
"""

import dataclasses

import numpy as np

VIEWS = {"front": (-18.0, 18.0), "left": (28.0, 52.0), "right": (-52.0, -28.0)}  # degrees about the figure
_ROOM = 1.16  # what is seen is so much higher and wider than the way of the figure


@dataclasses.dataclass(frozen=True)
class Camera:
    """Where the camera stands and how it looks.

    Attributes
    ----------
    at, towards : (3,) metres, the world's: where it is and what is in the middle of its picture
    focal : pixels at a distance of 1 m for a length of 1 m, in a picture of height 1
    shake : (T, 2) shares of the picture's height by which it is off, to the left and down
    view : `front`, `left` or `right`: which side of the figure it sees more of
    """

    at: np.ndarray
    towards: np.ndarray
    focal: float
    shake: np.ndarray
    view: str

    @classmethod
    def drawn(
        cls, figure: np.ndarray, draw: np.random.Generator, views: tuple[str, ...], seen_m: tuple[float, float]
    ) -> "Camera":
        """A camera at one of the views, near or far, low or high, that sees all of a figure (T, 20, 3)."""
        view = views[int(draw.integers(len(views)))]
        yaw, distance = np.radians(draw.uniform(*VIEWS[view])), draw.uniform(3.2, 6.5)
        low, high = figure.min((0, 1)), figure.max((0, 1))
        middle = (low + high) / 2 + draw.uniform(-0.1, 0.1, 3)
        towards = np.array([middle[0], np.clip(middle[1] + 0.06, 0.7, 1.3), middle[2]])
        at = np.array([np.sin(yaw) * distance + middle[0], draw.uniform(0.7, 2.1), np.cos(yaw) * distance + middle[2]])
        seen = max(draw.uniform(*seen_m), _ROOM * float((high - low).max()))
        focal = float(np.linalg.norm(at - towards) / seen)
        walk = np.cumsum(draw.normal(0, 0.0028, (len(figure), 2)), 0)
        return cls(at, towards, focal, np.clip(walk - walk.mean(0), -0.025, 0.025), view)

    def before(self, world: np.ndarray) -> np.ndarray:
        """(..., 3) metres of (..., 3): x to the camera's left, y up, z away, as a Kinect has them."""
        ahead = (self.towards - self.at) / np.linalg.norm(self.towards - self.at)
        left = np.cross([0.0, 1.0, 0.0], ahead)
        left /= np.linalg.norm(left)
        return np.asarray((world - self.at) @ np.stack([left, np.cross(ahead, left), ahead], 1))

    def pixels(self, before: np.ndarray, size: int) -> np.ndarray:
        """(..., 2) of (..., 3): x to the right and y down, in a picture of size x size that does not shake."""
        depth = np.maximum(before[..., 2:], 0.1)
        return np.asarray(size * (0.5 - self.focal * before[..., :2] / depth))
