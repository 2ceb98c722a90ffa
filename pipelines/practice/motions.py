"""The atomic motions, as data: what is said of each, how long it takes, and the angles it goes through.

    Motion.keys: (share of its time, {channel: value}) ... ─curves(motion, shares)─▶ channels: name -> (T,)

Channels are those of `skeleton`. A key names what is not at rest; between keys a channel eases in and out. `near` and
`far` stand for the side a motion is of and the other one, `both` for either. Each motion begins and ends at rest, but
for `LASTING` channels: who stepped to the left is there from then on.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from pipelines.practice.skeleton import SIDES

LASTING = ("turn", "aside", "ahead")  #: channels that stay where a motion brings them

Key = tuple[float, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Motion:
    """An atomic motion.

    Attributes
    ----------
    name : what it is called among others: "kick left"
    phrase : the verb phrase: "kick with the left leg"
    told : what somebody is seen to do: "swings the straight left leg up to the front"
    seconds : how long it takes at an even pace
    keys : (share of its time in [0, 1], {channel: value}), in order, without the rest at 0 and at 1
    """

    name: str
    phrase: str
    told: str
    seconds: float
    keys: tuple[Key, ...]

    @property
    def is_round(self) -> bool:
        """Whether it goes round in whole turns, which nobody makes smaller or larger."""
        return any(abs(value) >= 360 for _, values in self.keys for value in values.values())

    @property
    def ends(self) -> dict[str, float]:
        """What it adds to the lasting channels: how far it brings somebody."""
        share, last = self.keys[-1]
        return {name: value for name, value in last.items() if name in LASTING and share == 1}


def curves(motion: Motion, shares: np.ndarray) -> dict[str, np.ndarray]:
    """The channels of a motion at some moments of it.

    Parameters
    ----------
    motion : Motion
    shares : (T,) float in [0, 1]
        Of its time; what is outside counts as the nearer end.

    Returns
    -------
    dict of str to (T,) float
        Every channel that the motion moves.
    """
    names = dict.fromkeys(name for _, values in motion.keys for name in values)
    return {name: _curve(motion, name, shares) for name in names}


def _curve(motion: Motion, name: str, shares: np.ndarray) -> np.ndarray:
    """(T,) one channel: eased from key to key; a lasting one between the keys that name it."""
    keys = [(at, values.get(name, 0.0)) for at, values in motion.keys if name in values or name not in LASTING]
    times = np.array([0, *(at for at, _ in keys), 1])
    goals = np.array([0, *(value for _, value in keys), motion.ends.get(name, 0.0)])
    before = np.clip(np.searchsorted(times, shares, side="right") - 1, 0, len(times) - 2)
    between = np.clip((shares - times[before]) / np.maximum(np.diff(times)[before], 1e-9), 0, 1)
    eased = between * between * (3 - 2 * between)
    return np.asarray(goals[before] * (1 - eased) + goals[before + 1] * eased)


# -- the motions ------------------------------------------------------------------------------------------------------


def _spelled(keys: tuple[Key, ...], near: str) -> tuple[Key, ...]:
    """Keys with `near`, `far` and `both` replaced by sides; what goes `aside` goes to the near one."""
    sides = {"near": (near,), "far": tuple(side for side in SIDES if side != near), "both": SIDES}
    sign = -1 if near == "right" else 1
    found = []
    for share, values in keys:
        spelled: dict[str, float] = {}
        for name, value in values.items():
            start, _, rest = name.partition(" ")
            if start in sides:
                spelled |= {f"{side} {rest}": value for side in sides[start]}
            else:
                spelled[name] = value * (sign if name in ("aside", "lean", "twist", "turn") else 1)
        found.append((share, spelled))
    return tuple(found)


def _one(name: str, phrase: str, told: str, seconds: float, *keys: Key) -> tuple[Motion, ...]:
    return (Motion(name, phrase, told, seconds, _spelled(keys, "left")),)


def _either(name: str, phrase: str, told: str, seconds: float, *keys: Key) -> tuple[Motion, ...]:
    """A motion of the left and one of the right; `~` stands for the side, `!` for the other one."""
    found = []
    for side, other in (SIDES, SIDES[::-1]):
        called, said, seen = (text.replace("~", side).replace("!", other) for text in (name, phrase, told))
        found.append(Motion(called, said, seen, seconds, _spelled(keys, side)))
    return tuple(found)


_UP = {"both raise": 174.0, "both spread": -24.0}
_SIDEWAYS = {"both spread": 88.0}
_LOW = {"both hip": 96.0, "both knee": 118.0, "bow": 26.0, "both raise": 72.0}
_CROUCH = {"both hip": 52.0, "both knee": 82.0, "bow": 24.0, "both raise": -40.0}
_ALOFT = {"lift": 0.36, "both raise": 152.0, "both spread": -24.0, "both splay": 6.0}
_HAND_UP = {"near spread": 70.0, "near roll": 90.0, "near elbow": 100.0}
_OPEN = {"both raise": 82.0, "both swing": 48.0, "both elbow": 14.0}
_SHUT = {"both raise": 82.0, "both swing": -20.0, "both elbow": 14.0}
_GUARD = {"both raise": 42.0, "both elbow": 128.0, "near hip": 4.0, "far hip": -4.0}
_STRUCK = {**_GUARD, "near raise": 90.0, "near elbow": 4.0, "near swing": -10.0, "bow": 6.0, "twist": -28.0}
_STAR = {"both spread": 162.0, "both splay": 26.0}
_HOP = {"both spread": 90.0, "both splay": 12.0, "lift": 0.12}
_KNEE = {"near hip": 92.0, "near knee": 96.0, "far raise": 44.0, "far elbow": 70.0, "near raise": -24.0}
_OTHER_KNEE = {"far hip": 92.0, "far knee": 96.0, "near raise": 44.0, "near elbow": 70.0, "far raise": -24.0}
_BEND = {"lean": 42.0, "far spread": 160.0, "far elbow": 14.0, "near spread": 6.0}
_FORWARD = {"ahead": 0.32, "right hip": 78.0, "right knee": 84.0, "left hip": -34.0, "left knee": 28.0}
_SIDE_HIGH = {"near splay": 24.0, "near knee": 24.0, "near hip": 18.0, "aside": 0.24, "both spread": 16.0}
_SIDE_WIDE = {"near splay": 17.0, "far splay": 17.0, "aside": 0.42, "both spread": 22.0}
_SIDE_SHUT = {"far splay": 8.0, "far hip": 14.0, "far knee": 28.0, "aside": 0.62, "both spread": 12.0}

MOTIONS: tuple[Motion, ...] = (
    *_one("raise arms", "raise both arms", "raises both arms up above the head and lowers them again", 1.2,
          (0.36, _UP), (0.62, _UP)),
    *_one("spread arms", "spread both arms", "spreads both arms out to the sides like wings and lowers them again", 1.2,
          (0.34, _SIDEWAYS), (0.64, _SIDEWAYS)),
    *_one("squat", "squat down", "squats down low on bent knees and stands up again", 1.3,
          (0.42, _LOW), (0.58, _LOW)),
    *_either("kick ~", "kick with the ~ leg", "kicks, swinging the straight ~ leg up to the front", 1.0,
             (0.2, {"near hip": -24.0, "near knee": 52.0, "bow": 4.0}),
             (0.48, {"near hip": 96.0, "near knee": 4.0, "bow": -10.0, "both spread": 26.0}),
             (0.6, {"near hip": 92.0, "near knee": 6.0, "bow": -10.0, "both spread": 26.0})),
    *_one("spin", "spin around", "spins around once on the spot, so that the back is seen for a moment", 1.5,
          (0.25, {"both spread": 28.0, "left hip": 24.0, "left knee": 40.0}), (0.5, {"both spread": 34.0}),
          (0.75, {"both spread": 28.0, "right hip": 24.0, "right knee": 40.0}), (1.0, {"turn": 360.0})),
    *_either("wave ~", "wave with the ~ hand", "waves hello with the ~ hand held up beside the head", 1.4,
             (0.2, _HAND_UP), (0.34, {**_HAND_UP, "near elbow": 38.0}), (0.48, _HAND_UP),
             (0.62, {**_HAND_UP, "near elbow": 38.0}), (0.76, _HAND_UP)),
    *_one("jump", "jump up", "bends the knees and jumps up into the air with both feet", 1.2,
          (0.3, _CROUCH), (0.4, {"lift": 0.03, "both raise": 90.0}), (0.52, _ALOFT),
          (0.66, {"lift": 0.02, "both raise": 50.0, "both hip": 8.0, "both knee": 12.0}),
          (0.78, {"both hip": 34.0, "both knee": 54.0, "bow": 12.0})),
    *_one("bow", "bow down", "bows deeply, bending the upper body forward over straight legs, and straightens up", 1.3,
          (0.42, {"bow": 88.0, "nod": 14.0, "both raise": 20.0}),
          (0.6, {"bow": 88.0, "nod": 14.0, "both raise": 20.0})),
    *_either("step ~", "step to the ~", "takes a wide step sideways to the ~", 1.1,
             (0.26, _SIDE_HIGH), (0.5, _SIDE_WIDE), (0.74, _SIDE_SHUT), (1.0, {"aside": 0.68})),
    *_one("clap", "clap both hands", "claps both hands together in front of the chest several times", 1.4,
          (0.18, _OPEN), (0.3, _SHUT), (0.42, _OPEN), (0.54, _SHUT), (0.66, _OPEN), (0.78, _SHUT)),
    *_either("punch ~", "punch with the ~ arm", "punches straight to the front with the ~ fist", 1.1,
             (0.24, _GUARD), (0.4, _STRUCK), (0.5, _STRUCK), (0.64, _GUARD), (0.8, _GUARD)),
    *_one("march", "march on the spot", "marches on the spot, lifting one knee after the other", 1.5,
          (0.14, _KNEE), (0.27, {}), (0.4, _OTHER_KNEE), (0.52, {}), (0.65, _KNEE), (0.77, {}), (0.89, _OTHER_KNEE)),
    *_one("lunge", "lunge forward", "lunges forward onto the bent right knee and comes back", 1.3,
          (0.18, {"right hip": 60.0, "right knee": 62.0, "ahead": 0.08}), (0.42, _FORWARD), (0.6, _FORWARD),
          (0.8, {"right hip": 40.0, "right knee": 50.0, "ahead": 0.06})),
    *_one("circle arms", "circle both arms", "circles both straight arms through the air like a windmill", 1.6,
          (0.5, {"both raise": 360.0, "both spread": 16.0}), (1.0, {"both raise": 720.0})),
    *_one("star jump", "do a star jump", "does a star jump: the legs fly apart and the arms meet overhead", 1.3,
          (0.12, {"both hip": 20.0, "both knee": 34.0}), (0.26, _HOP), (0.42, _STAR), (0.56, _STAR), (0.7, _HOP),
          (0.86, {"both hip": 14.0, "both knee": 24.0})),
    *_either("lean ~", "lean over to the ~", "leans the whole upper body over to the ~ with the ! arm overhead", 1.3,
             (0.4, _BEND), (0.62, _BEND)),
)  # fmt: skip
BY_NAME = {motion.name: motion for motion in MOTIONS}
