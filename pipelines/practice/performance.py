"""How a class is performed once: its motions one after another, at somebody's own pace, size and way to stand.

    motions, numbers drawn from (seed, class, number) ─perform─▶ Performance: body, channels name -> (T,), segments

A performance takes 2 to 4 seconds. Pace, amplitude, pauses, the starting pose and where somebody faces vary.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipelines.practice.motions import LASTING, Motion, curves
from pipelines.practice.skeleton import Body, places

SHORTEST_S, LONGEST_S = 2.0, 4.0
_PACE = (0.85, 1.2)
_SIZE = (0.86, 1.1)
_PAUSE_S = (0.02, 0.16)
_STEADY = (*LASTING, "lift", "left roll", "right roll")  # channels whose size is not somebody's taste


@dataclasses.dataclass(frozen=True)
class Segment:
    """Which motion is done from when to when, in seconds of the film."""

    motion: str
    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Performance:
    """One performance of a class.

    Attributes
    ----------
    body : Body
    channels : mapping of str to (T,), as `skeleton.places` takes them
    segments : what is done when, in order
    """

    body: Body
    channels: dict[str, np.ndarray]
    segments: tuple[Segment, ...]

    def places(self) -> np.ndarray:
        """(T, 20, 3) metres: the joints of the figure."""
        return places(self.body, self.channels)


def perform(motions: Sequence[Motion], fps: int, body: Body, draw: np.random.Generator) -> Performance:
    """Perform some motions.

    Parameters
    ----------
    motions : one or more, in order
    fps : int
        Frames a second.
    body : Body
    draw : numpy.random.Generator
        Whose numbers decide all that varies.
    """
    seconds = np.array([motion.seconds for motion in motions]) / draw.uniform(*_PACE, len(motions))
    pauses = draw.uniform(*_PAUSE_S, len(motions) + 1)
    whole = float(seconds.sum() + pauses.sum())
    scale = min(max(whole, SHORTEST_S), LONGEST_S) / whole
    seconds, pauses = seconds * scale, pauses * scale
    frames = round(whole * scale * fps)
    times = np.arange(frames) / fps
    channels = _standing(times, draw)
    segments, at = [], 0.0
    for motion, own, pause in zip(motions, seconds, pauses, strict=False):
        start, size = at + pause, draw.uniform(*_SIZE)
        at = start + own
        for name, values in curves(motion, (times - start) / own).items():
            grown = values if motion.is_round or name in _STEADY else values * size
            channels[name] = channels.get(name, np.zeros(frames)) + grown
        segments.append(Segment(motion.name, round(float(start), 3), round(float(min(at, frames / fps)), 3)))
    return Performance(body, channels, tuple(segments))


def somebody(draw: np.random.Generator) -> Body:
    """A body."""
    return Body.of_height(
        draw.uniform(1.5, 1.92),
        arms=draw.uniform(0.93, 1.07),
        legs=draw.uniform(0.94, 1.06),
        breadth=draw.uniform(0.9, 1.14),
        girth=draw.uniform(0.84, 1.25),
    )


def _standing(times: np.ndarray, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Channels of somebody who stands, and sways a little."""
    found = {name: _sway(times, draw, degrees) for name, degrees in (("bow", 2.0), ("lean", 1.5), ("twist", 3.0))}
    found["turn"] = np.full(len(times), draw.uniform(-12, 12))
    apart = draw.uniform(1, 8)
    for side in ("left", "right"):
        found[f"{side} spread"] = draw.uniform(4, 13) + _sway(times, draw, 1.5)
        found[f"{side} elbow"] = draw.uniform(4, 28) + _sway(times, draw, 2)
        found[f"{side} raise"] = draw.uniform(-6, 10) + _sway(times, draw, 2)
        found[f"{side} splay"] = np.full(len(times), apart)
        found[f"{side} knee"] = np.full(len(times), draw.uniform(0, 5))
    return found


def _sway(times: np.ndarray, draw: np.random.Generator, degrees: float) -> np.ndarray:
    """(T,) a slow and small wave."""
    return degrees * draw.uniform(0.3, 1) * np.sin(times * draw.uniform(1, 3) + draw.uniform(0, 2 * np.pi))
