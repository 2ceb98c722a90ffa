"""A body and its kinematics: angles of joints in, places of joints out.

    channels: name -> (T,) ─places(body, ...)─▶ (T, 20, 3) metres, joints of `kinect-20`

World: the ground is y = 0, y goes up; at rest the figure stands over the origin, looks along z, and has its left at x.

Channels are degrees, but for the last three, which are metres; one that is not given is 0. `SIDE` is left or right:

    bow, lean, twist         of the trunk: forward, to the left, to the left about the spine
    nod, turn                of the head, forward; of the whole figure, to the left
    SIDE raise, spread       of the arm: forward and up, sideways and up
    SIDE swing, roll, elbow  of the arm: outwards about the spine, about its own length outwards, bent
    SIDE hip, splay, knee    of the leg: forward and up, sideways, bent
    aside, ahead, lift       of the whole figure: to its left, forward, and of its lowest foot above the ground

Whatever the legs do, the lowest foot stands on the ground (or `lift` above it), and the feet that stand do not slide
forward or backward.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from extractors.joints import KINECT_20

SIDES = ("left", "right")
JOINTS = KINECT_20.joints
_AT = {name: place for place, name in enumerate(JOINTS)}
_STANDS = 0.03  # metres: a foot this much higher than the lowest carries a third of what that carries
_SOLE_MOST = 50.0  # degrees that an ankle bends to keep the sole flat


_Of = Callable[[str], np.ndarray]  # the values (T,) of a channel


@dataclasses.dataclass(frozen=True)
class Body:
    """Lengths of a body in metres; `of_height` makes one that is a person's.

    Attributes
    ----------
    trunk, neck : hip centre to shoulder centre, shoulder centre to the middle of the head
    shoulders, hips : half of the distance between them
    upper_arm, forearm, hand, thigh, shank : lengths
    foot : heel to tip
    girth : how thick it is beside the average; drawn, not moved
    """

    trunk: float
    neck: float
    shoulders: float
    hips: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shank: float
    foot: float
    girth: float = 1.0

    @classmethod
    def of_height(
        cls, height_m: float, arms: float = 1, legs: float = 1, breadth: float = 1, girth: float = 1
    ) -> "Body":
        """A body of a height; the others are ratios to the average."""
        h = height_m
        return cls(
            trunk=0.29 * h * (2 - legs),
            neck=0.135 * h,
            shoulders=0.112 * h * breadth,
            hips=0.052 * h * breadth,
            upper_arm=0.17 * h * arms,
            forearm=0.15 * h * arms,
            hand=0.055 * h * arms,
            thigh=0.245 * h * legs,
            shank=0.24 * h * legs,
            foot=0.12 * h,
            girth=girth,
        )


def places(body: Body, channels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Places of the joints of a body in motion.

    Parameters
    ----------
    body : Body
    channels : mapping of str to (T,) float
        See this file's first lines; at least one.

    Returns
    -------
    (T, 20, 3) float64, metres, in the order of `kinect-20`
    """
    frames = len(next(iter(channels.values())))
    nothing = np.zeros(frames)

    def of(name: str) -> np.ndarray:
        return channels.get(name, nothing)

    found = np.zeros((frames, len(JOINTS), 3))
    trunk = _about("y", of("twist")) @ _about("x", of("bow")) @ _about("z", -of("lean"))
    found[:, _AT["spine"]] = _along(trunk, (0, body.trunk / 2, 0))
    top = found[:, _AT["shoulder centre"]] = _along(trunk, (0, body.trunk, 0))
    found[:, _AT["head"]] = top + _along(trunk @ _about("x", of("nod")), (0, body.neck, 0))
    for side, sign in zip(SIDES, (1, -1), strict=True):
        _arm(found, body, side, sign, top, trunk, of)
        _leg(found, body, side, sign, of)
    _stand(found, of("lift"))
    turned = np.einsum("tij,tvj->tvi", _about("y", of("turn")), found)
    turned[..., 0] += of("aside")[:, None]
    turned[..., 2] += of("ahead")[:, None]
    return np.asarray(turned)


def _arm(found: np.ndarray, body: Body, side: str, sign: int, top: np.ndarray, trunk: np.ndarray, of: _Of) -> None:
    shoulder = top + _along(trunk, (sign * body.shoulders, -0.02, 0))
    upper = (
        trunk
        @ _about("y", sign * of(f"{side} swing"))
        @ _about("z", sign * of(f"{side} spread"))
        @ _about("x", -of(f"{side} raise"))
        @ _about("y", sign * of(f"{side} roll"))
    )
    lower = upper @ _about("x", -of(f"{side} elbow"))
    found[:, _AT[f"{side} shoulder"]] = shoulder
    found[:, _AT[f"{side} elbow"]] = elbow = shoulder + _along(upper, (0, -body.upper_arm, 0))
    found[:, _AT[f"{side} wrist"]] = elbow + _along(lower, (0, -body.forearm, 0))
    found[:, _AT[f"{side} hand"]] = elbow + _along(lower, (0, -body.forearm - body.hand, 0))


def _leg(found: np.ndarray, body: Body, side: str, sign: int, of: _Of) -> None:
    hip = np.broadcast_to(np.array([sign * body.hips, 0.0, 0.0]), (len(found), 3))
    flexed, bent = of(f"{side} hip"), of(f"{side} knee")
    upper = _about("z", sign * of(f"{side} splay")) @ _about("x", -flexed)
    lower = upper @ _about("x", bent)
    sole = lower @ _about("x", np.clip(flexed - bent, -_SOLE_MOST, _SOLE_MOST))
    found[:, _AT[f"{side} hip"]] = hip
    found[:, _AT[f"{side} knee"]] = knee = hip + _along(upper, (0, -body.thigh, 0))
    found[:, _AT[f"{side} ankle"]] = ankle = knee + _along(lower, (0, -body.shank, 0))
    found[:, _AT[f"{side} foot"]] = ankle + _along(sole, (0, -0.03, body.foot))


def _stand(found: np.ndarray, lift: np.ndarray) -> None:
    """Put the lowest foot on the ground, and what stands below the hips, as far forward as it is."""
    ankles = found[:, [_AT["left ankle"], _AT["right ankle"]]]
    soles = ankles[..., 1] - 0.05
    low = soles.min(1)
    carries = np.exp(-(soles - low[:, None]) / _STANDS)
    forward = (carries * ankles[..., 2]).sum(1) / carries.sum(1)
    found[..., 1] += (lift - low)[:, None]
    found[..., 2] -= forward[:, None]


def _about(axis: str, degrees: np.ndarray) -> np.ndarray:
    """(T, 3, 3) rotations about an axis of the world."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    found = np.zeros((len(degrees), 3, 3))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    found[:, range(3), range(3)] = 1
    found[:, first, first] = found[:, second, second] = cos
    found[:, second, first], found[:, first, second] = sin, -sin
    return found


def _along(rotations: np.ndarray, vector: tuple[float, float, float]) -> np.ndarray:
    """(T, 3): a vector, turned."""
    return np.asarray(rotations @ np.array(vector, np.float64))
