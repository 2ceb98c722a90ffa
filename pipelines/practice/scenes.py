"""What a film shows beside the motion: clothes, the camera, the room, and what else moves there.

numbers drawn from (seed, class, number) ─scene─▶ Scene: look, camera, background, things, bystander
"""

import dataclasses
from typing import Literal

import numpy as np

from pipelines.practice.backgrounds import background
from pipelines.practice.cameras import VIEWS, Camera
from pipelines.practice.looks import CLOTHES, Colour, Look, one_of
from pipelines.practice.performance import somebody
from pipelines.practice.skeleton import Body, places

SEEN_M = (2.55, 3.1)  #: so high is what is seen where the figure stands
_BYSTANDERS, _THINGS = 0.3, 0.4  # shares of films that have one, that have some


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
    views: tuple[str, ...] = tuple(VIEWS),
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
    views: tuple[str, ...] = tuple(VIEWS),
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
    behind = background(camera, size, look, draw)
    count = int(draw.integers(1, 4)) if draw.random() < _THINGS else 0
    things = tuple(_thing(frames, fps, draw) for _ in range(count))
    bystander = _bystander(frames, fps, camera, draw) if draw.random() < _BYSTANDERS else None
    return Scene(look, camera, behind, things, bystander, draw.uniform(0.86, 1.1))


def _thing(frames: int, fps: int, draw: np.random.Generator) -> Thing:
    """Something that crosses the picture, or bounces in it."""
    seconds = np.arange(frames)[:, None] / fps
    start, speed = draw.uniform((-0.1, 0.05), (1.1, 0.8)), draw.uniform((-0.35, -0.08), (0.35, 0.08))
    path = start + seconds * speed
    if draw.random() < 0.4:
        path[:, 1] += 0.12 * np.abs(np.sin(seconds[:, 0] * draw.uniform(2, 5)))
    kind: Literal["ball", "box"] = "ball" if draw.random() < 0.6 else "box"
    return Thing(kind, one_of(CLOTHES, draw), draw.uniform(0.02, 0.055), path)


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
