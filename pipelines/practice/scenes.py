"""What a film shows beside the motion: clothes, the camera, the room, and what else moves there.

    numbers drawn from (seed, class, number) ─scene─▶ Scene: look, camera, background, things, bystander

A `Camera` turns places of the world (`skeleton`) into places before it as a Kinect has them (x to its left, y up, z
away, metres), and these into pixels.
"""

import dataclasses
from typing import Literal

import cv2
import numpy as np

from pipelines.practice.performance import somebody
from pipelines.practice.skeleton import Body, places

Colour = tuple[int, int, int]  # red, green, blue

KINDS: tuple["Kind", ...] = ("plain", "gradient", "texture", "room")
Kind = Literal["plain", "gradient", "texture", "room"]
_SKINS: tuple[Colour, ...] = (
    (255, 219, 186), (236, 188, 148), (224, 172, 125), (196, 138, 92), (150, 98, 62), (104, 66, 44),
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = ((30, 24, 22), (62, 40, 26), (110, 72, 40), (190, 150, 84), (150, 148, 146), (120, 44, 24))
_CLOTHES: tuple[Colour, ...] = (
    (196, 48, 52), (42, 92, 176), (36, 128, 82), (236, 186, 52), (112, 62, 146), (232, 120, 50), (240, 240, 236),
    (52, 58, 70), (38, 150, 168), (204, 92, 140), (128, 136, 60), (150, 180, 220),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((40, 48, 82), (60, 62, 66), (120, 98, 70), (34, 34, 38), (86, 110, 140), (92, 40, 44))
_SHOES: tuple[Colour, ...] = ((24, 24, 26), (230, 230, 230), (170, 40, 40), (96, 62, 38))
_VIEWS = {"front": (-18.0, 18.0), "left": (28.0, 52.0), "right": (-52.0, -28.0)}  # degrees about the figure
SEEN_M = (2.55, 3.1)  #: so high is what is seen where the figure stands
_ROOM = 1.16  # what is seen is so much higher and wider than the way of the figure
_BYSTANDERS, _THINGS = 0.3, 0.4  # shares of films that have one, that have some


@dataclasses.dataclass(frozen=True)
class Look:
    """Colours of a figure, and whether sleeves and trousers are long."""

    skin: Colour
    hair: Colour
    top: Colour
    trousers: Colour
    shoes: Colour
    long_sleeves: bool
    long_trousers: bool
    long_hair: bool
    girth: float

    @classmethod
    def drawn(cls, draw: np.random.Generator, girth: float) -> "Look":
        """A look; the colours of skin, top and trousers differ enough to be told apart."""
        skin, top = _one_of(_SKINS, draw), _one_of(_CLOTHES, draw)
        while _difference(skin, top) < 90:
            top = _one_of(_CLOTHES, draw)
        trousers = _one_of(_TROUSERS, draw)
        while _difference(trousers, top) < 80:
            trousers = _one_of(_TROUSERS, draw)
        sleeves, legs, hair = (bool(each) for each in draw.random(3) < (0.45, 0.75, 0.35))
        return cls(skin, _one_of(_HAIRS, draw), top, trousers, _one_of(_SHOES, draw), sleeves, legs, hair, girth)


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
        yaw, distance = np.radians(draw.uniform(*_VIEWS[view])), draw.uniform(3.2, 6.5)
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


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something that moves through the picture behind the figure.

    Attributes
    ----------
    kind : a ball, or a box
    colour : of it
    radius : share of the picture's height
    path : (T, 2) shares of the picture
    """

    kind: Literal["ball", "box"]
    colour: Colour
    radius: float
    path: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scene:
    """All that a film shows beside its figure.

    Attributes
    ----------
    look, camera : of the figure, onto it
    background : (S, S, 3) uint8, of the size asked for
    things : that move behind the figure
    bystander : (T, 20, 3) metres of the world and the look of somebody who stands or walks by, or None
    gain : how bright the light is
    """

    look: Look
    camera: Camera
    background: np.ndarray
    things: tuple[Thing, ...]
    bystander: tuple[np.ndarray, Look] | None
    gain: float


def viewed(
    figure: np.ndarray,
    girth: float,
    draw: np.random.Generator,
    views: tuple[str, ...] = tuple(_VIEWS),
    seen_m: tuple[float, float] = SEEN_M,
) -> tuple[Look, Camera]:
    """The look and the camera of the scene that the same numbers give."""
    return Look.drawn(draw, girth), Camera.drawn(figure, draw, views, seen_m)


def scene(
    figure: np.ndarray,
    size: int,
    fps: int,
    girth: float,
    draw: np.random.Generator,
    views: tuple[str, ...] = tuple(_VIEWS),
    seen_m: tuple[float, float] = SEEN_M,
) -> Scene:
    """A scene.

    Parameters
    ----------
    figure : (T, 20, 3) float, metres of the world
        What it is about, all of which is seen.
    size : int
        Pixels of the background, each side; it should be larger than the picture, so that it can shake.
    fps : int
    girth : float
        Of the figure's body.
    draw : numpy.random.Generator
    views : of which the camera has one
    seen_m : between which and which height is seen where the figure stands, or more where it needs more room
    """
    frames = len(figure)
    look, camera = viewed(figure, girth, draw, views, seen_m)
    background = _background(camera, size, look, draw)
    count = int(draw.integers(1, 4)) if draw.random() < _THINGS else 0
    things = tuple(_thing(frames, fps, draw) for _ in range(count))
    bystander = _bystander(frames, fps, camera, draw) if draw.random() < _BYSTANDERS else None
    return Scene(look, camera, background, things, bystander, draw.uniform(0.86, 1.1))


def _one_of(colours: tuple[Colour, ...], draw: np.random.Generator) -> Colour:
    return colours[int(draw.integers(len(colours)))]


def _difference(a: Colour, b: Colour) -> float:
    return float(np.linalg.norm(np.subtract(a, b)))


def _thing(frames: int, fps: int, draw: np.random.Generator) -> Thing:
    """Something that crosses the picture, or bounces in it."""
    seconds = np.arange(frames)[:, None] / fps
    start, speed = draw.uniform((-0.1, 0.05), (1.1, 0.8)), draw.uniform((-0.35, -0.08), (0.35, 0.08))
    path = start + seconds * speed
    if draw.random() < 0.4:
        path[:, 1] += 0.12 * np.abs(np.sin(seconds[:, 0] * draw.uniform(2, 5)))
    kind: Literal["ball", "box"] = "ball" if draw.random() < 0.6 else "box"
    return Thing(kind, _one_of(_CLOTHES, draw), draw.uniform(0.02, 0.055), path)


def _bystander(frames: int, fps: int, camera: Camera, draw: np.random.Generator) -> tuple[np.ndarray, Look]:
    """Somebody further from the camera, at one side, who stands or walks."""
    body: Body = somebody(draw)
    seconds = np.arange(frames) / fps
    side, pace = (1 if draw.random() < 0.5 else -1), draw.uniform(5, 8)
    walks = draw.random() < 0.5
    swing = np.sin(seconds * pace) * (1 if walks else 0)
    channels = {"turn": np.full(frames, 90.0 * side if walks else draw.uniform(-60, 60))}
    channels["ahead"] = seconds * (0.55 if walks else 0) - 0.4
    for name, sign in (("left", 1), ("right", -1)):
        channels[f"{name} hip"] = sign * 24 * swing
        channels[f"{name} knee"] = 12 - 12 * sign * np.cos(seconds * pace) * (1 if walks else 0)
        channels[f"{name} raise"] = -sign * 20 * swing
        channels[f"{name} spread"] = np.full(frames, 7.0)
        channels[f"{name} elbow"] = np.full(frames, draw.uniform(8, 30))
    lasting = channels.pop("ahead")
    moved = places(body, channels)
    away = (camera.towards - camera.at) * (1, 0, 1)
    away /= np.linalg.norm(away)
    across = np.array([away[2], 0, -away[0]])
    where = away * draw.uniform(1.0, 2.4) - side * across * draw.uniform(0.8, 1.15)
    heading = np.array([side, 0, 0]) if walks else np.zeros(3)
    ground = camera.towards * (1, 0, 1)
    return moved + ground + where + lasting[:, None, None] * heading, Look.drawn(draw, body.girth)


# -- backgrounds ------------------------------------------------------------------------------------------------------


def _background(camera: Camera, size: int, look: Look, draw: np.random.Generator) -> np.ndarray:
    """(S, S, 3) uint8; not of the colour of the figure's clothes."""
    kind = KINDS[int(draw.integers(len(KINDS)))]
    base = _quiet(draw)
    while min(_difference(base, look.top), _difference(base, look.trousers)) < 70:
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
        fill(inner, ((170.0, 205.0, 235.0), tuple(map(float, _one_of(_CLOTHES, draw))), wood)[kind])
    return picture
