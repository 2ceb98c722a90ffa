"""A clip of a still image: a camera that moves over it, from one square to another (Ken Burns).

    (h, w, 3) uint8 ─two squares, drawn by (seed, epoch, row)─▶ (T, H, W, 3) uint8

Squares differ in place and in side and are interpolated linearly, T of them, each resized to what the network sees.
The published code draws the sides as it draws crops; here a side is between half of the shorter side and all of it.

Paper: Brattoli et al., Rethinking Zero-Shot Video Classification, CVPR 2020, sections 3.4 and 4.1.
"""

import cv2
import numpy as np

from extractors import images
from extractors.errors import InputFault
from pipelines.extract.items import Item
from pipelines.extract.runners.places import at_first_place, unchanged
from pipelines.index.files import Stat

_SIDE = (0.5, 1.0)  # of the shorter side


def read(
    item: Item, frames: int, size: int, drawn: np.random.Generator | None, may_flip: bool
) -> np.ndarray | InputFault:
    """A clip of an image where it lies, drawn or not; a fault where it cannot be read, or is another one now."""

    def at(uri: str, stat: Stat | None) -> np.ndarray:
        with unchanged(uri, stat):
            image = images.read(uri, 2 * size)
        return still(image, frames, size) if drawn is None else clip(image, frames, size, drawn, may_flip)

    return at_first_place(item, at)


def clip(image: np.ndarray, frames: int, size: int, drawn: np.random.Generator, may_flip: bool) -> np.ndarray:
    """A clip of an image, drawn.

    Parameters
    ----------
    image : (h, w, 3) uint8
    frames, size : T, and H = W
    drawn : where it is drawn from
    may_flip : every other clip is mirrored

    Returns
    -------
    (T, H, W, 3) uint8
    """
    image = _shrunk(image, size)
    height, width = image.shape[:2]
    sides = drawn.uniform(*_SIDE, 2) * min(height, width)
    places = drawn.random((2, 2))  # first and last, across and down, of the room that is left
    flipped = bool(drawn.random() < 0.5) and may_flip
    corners = places * (np.array([width, height]) - sides[:, None])
    moves = np.linspace(0.0, 1.0, frames)[:, None]
    boxes = np.concatenate([corners, sides[:, None]], 1)
    between = (1 - moves) * boxes[0] + moves * boxes[1]
    out = np.stack([_square(image, left, top, side, size) for left, top, side in between.tolist()])
    return out[:, :, ::-1] if flipped else out


def still(image: np.ndarray, frames: int, size: int) -> np.ndarray:
    """The clip that is not drawn: the middle square, standing still; (T, H, W, 3) uint8."""
    image = _shrunk(image, size)
    height, width = image.shape[:2]
    side = min(height, width)
    one = _square(image, (width - side) / 2, (height - side) / 2, side, size)
    return np.repeat(one[None], frames, 0)


def _square(image: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """A square at any place between pixels, (size, size, 3)."""
    scale = size / side
    move = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    return np.asarray(
        cv2.warpAffine(image, move, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _shrunk(image: np.ndarray, size: int) -> np.ndarray:
    """The image with a shorter side of at most 2 `size`, so that no pixel lies unseen between those that are taken."""
    height, width = image.shape[:2]
    scale = 2 * size / min(height, width)
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA))
