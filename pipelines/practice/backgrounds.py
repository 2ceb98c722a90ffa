"""What is behind a figure: a plain colour, a gradient, a texture, or a room.

camera, look, numbers drawn from (seed, class, number) ─background─▶ (S, S, 3) uint8
"""

from typing import Literal

import cv2
import numpy as np

from pipelines.practice.cameras import Camera
from pipelines.practice.looks import CLOTHES, Colour, Look, difference, one_of

KINDS: tuple["Kind", ...] = ("plain", "gradient", "texture", "room")
Kind = Literal["plain", "gradient", "texture", "room"]


def background(camera: Camera, size: int, look: Look, draw: np.random.Generator) -> np.ndarray:
    """(S, S, 3) uint8; not of the colour of the figure's clothes."""
    kind = KINDS[int(draw.integers(len(KINDS)))]
    base = _quiet(draw)
    while min(difference(base, look.top), difference(base, look.trousers)) < 70:
        base = _quiet(draw)
    if kind == "plain":
        return np.full((size, size, 3), base, np.uint8)
    if kind == "gradient":
        ramp = np.linspace(0, 1, size)[:, None, None]
        ends = np.array([np.clip(np.add(base, 34), 0, 255), np.multiply(base, 0.62)])
        across = ramp if draw.random() < 0.6 else ramp.transpose(1, 0, 2)
        return np.broadcast_to(ends[0] * (1 - across) + ends[1] * across, (size, size, 3)).astype(np.uint8)
    return _texture(base, size, draw) if kind == "texture" else _room(camera, base, size, draw)


def _quiet(draw: np.random.Generator) -> Colour:
    """A colour that is not loud."""
    grey, tint = draw.uniform(70, 215), draw.uniform(-28, 28, 3)
    red, green, blue = np.clip(grey + tint, 20, 245).astype(int)
    return int(red), int(green), int(blue)


def _texture(base: Colour, size: int, draw: np.random.Generator) -> np.ndarray:
    """Blots, stripes or checks."""
    style = int(draw.integers(3))
    if style == 0:
        coarse = draw.normal(0, 1, (int(draw.integers(5, 16)),) * 2).astype(np.float32)
        pattern = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    else:
        y, x = np.mgrid[:size, :size] / size
        angle, often = draw.uniform(0, np.pi), draw.uniform(3, 9)
        first = np.sin(2 * np.pi * often * (x * np.cos(angle) + y * np.sin(angle)))
        second = np.sin(2 * np.pi * often * (y * np.cos(angle) - x * np.sin(angle)))
        pattern = np.sign(first) if style == 1 else np.sign(first * second)
    tint = draw.uniform(8, 22) * draw.uniform(0.5, 1, 3)
    return np.asarray(np.clip(np.array(base) + pattern[..., None] * tint, 0, 255), np.uint8)


def _room(camera: Camera, base: Colour, size: int, draw: np.random.Generator) -> np.ndarray:
    """A wall with a skirting board, a floor of boards, and a window, a picture or a cupboard."""
    picture: np.ndarray = np.full((size, size, 3), base, np.uint8)
    back, turned = draw.uniform(1.6, 3.2), np.radians(draw.uniform(-14, 14))
    away = (camera.towards - camera.at) * (1, 0, 1)
    away /= np.linalg.norm(away)
    cos, sin = np.cos(turned), np.sin(turned)
    away = np.array([cos * away[0] + sin * away[2], 0, cos * away[2] - sin * away[0]])
    across = np.array([away[2], 0, -away[0]])
    wood = tuple(np.clip(np.array([148, 110, 74]) * draw.uniform(0.6, 1.25) + draw.uniform(-14, 14, 3), 0, 255))

    def on_floor(x: float, z: float, y: float = 0) -> np.ndarray:
        return np.asarray(camera.towards * (1, 0, 1) + across * x + away * z + np.array([0, y, 0]))

    def fill(corners: list[np.ndarray], colour: "tuple[float, ...]") -> None:
        seen = camera.before(np.array(corners))
        if (seen[:, 2] > 0.2).all():
            points = np.rint(camera.pixels(seen, size) * 16).astype(np.int32)
            cv2.fillPoly(picture, [points], colour, cv2.LINE_AA, 4)

    near = -0.85 * float(np.linalg.norm((camera.towards - camera.at) * (1, 0, 1)))
    boards = np.arange(-7, 7, 0.45)
    for x in boards:
        shade = draw.uniform(0.9, 1.08)
        corners = [on_floor(x, back), on_floor(x + 0.45, back), on_floor(x + 0.45, near), on_floor(x, near)]
        fill(corners, tuple(min(255.0, part * shade) for part in wood))
    skirting = tuple(float(min(255, part * 1.18 + 8)) for part in base)
    fill([on_floor(-7, back), on_floor(7, back), on_floor(7, back, 0.12), on_floor(-7, back, 0.12)], skirting)
    for kind in draw.permutation(3)[: int(draw.integers(1, 3))]:
        x = draw.uniform(0.5, 1.5) * (1 if draw.random() < 0.5 else -1)
        low, high, half = ((1.0, 2.1, 0.45), (1.3, 1.85, 0.3), (0.0, 1.1, 0.4))[kind]
        frame = [on_floor(x + s * half, back - 0.01, y) for s, y in ((-1, low), (1, low), (1, high), (-1, high))]
        inner = [on_floor(x + s * (half - 0.06), back - 0.02, y) for s, y in
                 ((-1, low + 0.06), (1, low + 0.06), (1, high - 0.06), (-1, high - 0.06))]  # fmt: skip
        fill(frame, (235.0, 235.0, 230.0) if kind == 0 else tuple(part * 0.6 for part in wood))
        fill(inner, ((170.0, 205.0, 235.0), tuple(map(float, one_of(CLOTHES, draw))), wood)[kind])
    return picture
