"""Splits of the practice world's classes into seen and unseen ones.

    classes with their motions ─random_splits─▶ every motion of an unseen class is one of a seen class too
                               ─control_splits─▶ but for one motion, which no seen class has

Both are lists of {"seen": [names], "unseen": [names]}, as `--protocol FILE.json` takes them; a control split names the
motion that it `lacks`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.errors import UsageError
from pipelines.practice.classes import Composition

_TRIES = 200


def random_splits(classes: Sequence[Composition], unseen: int, count: int, seed: int) -> list[dict[str, Any]]:
    """Splits in which all that is unseen is made of motions that are seen.

    Parameters
    ----------
    classes : K
    unseen : int
        How many of them are unseen.
    count : int
    seed : int

    Raises
    ------
    UsageError
        So many cannot be unseen.
    """
    draw = np.random.default_rng([seed, len(classes), 1])
    found = []
    for _ in range(count):
        split = next(filter(None, (_split(classes, unseen, set(), draw) for _ in range(_TRIES))), None)
        if split is None:
            raise UsageError(
                f"No {unseen} of these {len(classes)} classes can be unseen so that each of their motions is one of a "
                "seen class too. Ask for fewer unseen ones, or for more classes."
            )
        found.append(split)
    return found


def control_splits(classes: Sequence[Composition], unseen: int, count: int, seed: int) -> list[dict[str, Any]]:
    """Splits in which one motion is in no seen class; a motion each, fewer than `count` where there are no more.

    At least `unseen` classes are unseen, more where the motion is in more.
    """
    draw = np.random.default_rng([seed, len(classes), 2])
    motions = sorted({motion.name for each in classes for motion in each.motions})
    found: list[dict[str, Any]] = []
    for place in draw.permutation(len(motions)):
        lacks = motions[place]
        tries = (_split(classes, unseen, {lacks}, draw) for _ in range(_TRIES))
        if len(found) < count and (split := next(filter(None, tries), None)):
            found.append({**split, "lacks": lacks})
    return found


def _split(
    classes: Sequence[Composition], unseen: int, lacks: set[str], draw: np.random.Generator
) -> dict[str, Any] | None:
    """One split: classes that have what it lacks are unseen, and others as long as the rest has their motions."""
    motions = {each.name: {motion.name for motion in each.motions} for each in classes}
    hidden = [name for name, own in motions.items() if own & lacks]
    left = Counter(motion for name, own in motions.items() if name not in hidden for motion in own)
    if any(not left[motion] for name in hidden for motion in motions[name] - lacks):
        return None
    others = [each.name for each in classes if each.name not in hidden]
    for place in draw.permutation(len(others)):
        own = motions[others[place]]
        if len(hidden) < unseen and all(left[motion] > 1 for motion in own):
            hidden.append(others[place])
            left.subtract(own)
    if len(hidden) < unseen or len(hidden) >= len(classes) - 1:
        return None
    return {"seen": sorted(set(motions) - set(hidden)), "unseen": sorted(hidden)}
