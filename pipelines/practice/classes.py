"""Classes of the practice world: two or three atomic motions in an order, and what is said of them.

    how many, seed ─compositions─▶ Composition: motions, name, definition, phrases

Each motion is in about as many classes as any other. No two classes have the same motions, whatever their order, and
none the same words: a mean of word vectors knows no order, and could not tell them apart.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines.errors import UsageError
from pipelines.practice.motions import MOTIONS, Motion

_EACH = 4  # classes at least that a motion is in, before another motion is taken
_FEWEST = 4
_TRIES = 2000
_THEN = (", then ", ", and finally ")


@dataclasses.dataclass(frozen=True)
class Composition:
    """A class.

    Attributes
    ----------
    number : from 0
    motions : two or three different ones, in order
    """

    number: int
    motions: tuple[Motion, ...]

    @property
    def name(self) -> str:
        """Such as "squat then kick left"."""
        return " then ".join(motion.name for motion in self.motions)

    @property
    def motion_names(self) -> tuple[str, ...]:
        """The names of its motions."""
        return tuple(motion.name for motion in self.motions)

    @property
    def definition(self) -> str:
        """What somebody is seen to do, in a sentence."""
        told = self.motions[0].told
        for then, motion in zip(_THEN, self.motions[1:], strict=False):
            told += then + motion.told
        return f"Somebody {told}."

    @property
    def phrases(self) -> tuple[str, ...]:
        """A verb phrase a motion, in order."""
        return tuple(motion.phrase for motion in self.motions)


def compositions(count: int, seed: int) -> tuple[Composition, ...]:
    """Draw classes: every third has three motions, the others two.

    Parameters
    ----------
    count, seed : int

    Raises
    ------
    UsageError
        More than there are different ones.
    """
    draw = np.random.default_rng([seed, count])
    lengths = [3 if number % 3 == 2 else 2 for number in range(count)]
    kept = min(len(MOTIONS), max(_FEWEST, sum(lengths) // _EACH))
    motions = [MOTIONS[place] for place in sorted(draw.permutation(len(MOTIONS))[:kept])]
    uses: Counter[str] = Counter()
    met: set[tuple[str, ...]] = set()
    found = []
    for number, length in enumerate(lengths):
        own = _drawn(motions, length, uses, met, draw)
        uses.update(motion.name for motion in own)
        met.add(_words(own))
        found.append(Composition(number, own))
    return tuple(found)


def _drawn(
    motions: Sequence[Motion], length: int, uses: Counter[str], met: set[tuple[str, ...]], draw: np.random.Generator
) -> tuple[Motion, ...]:
    """Motions that were used seldom, in a way that was not."""
    for tried in range(_TRIES):
        rank = [uses[motion.name] + draw.uniform(0, 1.5 + 0.01 * tried) for motion in motions]
        own = tuple(motions[place] for place in draw.permutation(np.argsort(rank)[:length]))
        if _words(own) not in met:
            return own
    raise UsageError(f"There are not so many classes of {len(motions)} motions without two alike; ask for fewer.")


def _words(motions: Sequence[Motion]) -> tuple[str, ...]:
    """The words of a class's name, in no order."""
    return tuple(sorted(re.findall(r"\w+", " ".join(motion.name for motion in motions))))
