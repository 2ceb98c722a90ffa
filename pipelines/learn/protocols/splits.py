"""Splits of classes, and the seeded functions that draw classes: names in, names out, no file read.

    Split          which classes train, validate and test; a class is on one side
    half           E2E's 0/50: half of a data set's classes
    nearest, furthest, anywhere     5 unseen classes of NTU's 60 by how close their texts' vectors are, or by chance
    hold_out, folds                 validation classes from the seen ones: what chooses anything looks at these alone

All draws are numpy's legacy ones, `numpy.random.RandomState(seed)`, over the sorted names: the same on every machine
and in every order of the classes. A data set whose names are spelled otherwise sorts, and so draws, otherwise.

References
----------
Brattoli et al., "Rethinking Zero-shot Video Classification", CVPR 2020, section 4 and its code (0/50, 0/100).
Jasani and Mazagonwalla, "Skeleton based Zero Shot Action Recognition in Joint Pose-Language Semantic Space", 2019,
section 4.2 (nearest, furthest and random splits).
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from pipelines.errors import UsageError
from pipelines.texts.overlap import distances
from untrusted.names import few

_GAPS = (50, 40, 30, 20, 10, 0)  # percentiles of the distances between classes, tried in this order


@dataclasses.dataclass(frozen=True)
class Split:
    """A named partition of classes, spelled as the data set spells them.

    Attributes
    ----------
    protocol, number : which split of which protocol; the number of one that is drawn is its seed
    seen : classes to train on
    validation : published validation classes; empty where a protocol has none
    unseen : classes to test on

    Raises
    ------
    UsageError
        A class on two sides, a class that comes twice, or no unseen class.

    Examples
    --------
    >>> Split("mine", 0, ("run", "walk"), (), ("jump",)).classes
    ('jump', 'run', 'walk')
    """

    protocol: str
    number: int
    seen: tuple[str, ...]
    validation: tuple[str, ...]
    unseen: tuple[str, ...]

    def __post_init__(self) -> None:
        sides = (self.seen, self.validation, self.unseen)
        if twice := _repeated(name for side in sides for name in set(side)):
            raise UsageError(f"{self} has on two sides: {few(twice)}. A class trains, validates or tests.")
        if twice := [name for side in sides for name in _repeated(side)]:
            raise UsageError(f"{self} names twice: {few(sorted(twice))}. Name a class once.")
        if not self.unseen:
            raise UsageError(f"{self} has no unseen class: there is nothing to test on. Name some.")

    def __str__(self) -> str:
        return f"Split {self.protocol!r} #{self.number}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of all sides, sorted."""
        return tuple(sorted(self.seen + self.validation + self.unseen))


def half(classes: Sequence[str], seed: int) -> tuple[str, ...]:
    """Half of the classes (of an odd number the smaller half), as E2E draws them to test on; sorted.

    References
    ----------
    Brattoli et al. 2020, evaluation protocol 1: `permutation(n)[:n // 2]` after `numpy.random.seed(seed)`.

    Examples
    --------
    >>> half(["a", "b", "c", "d", "e"], 0)
    ('a', 'c')
    """
    return _drawn(classes, len(classes) // 2, seed)


def anywhere(classes: Sequence[str], seed: int, count: int = 5) -> tuple[str, ...]:
    """`count` unseen classes by chance, sorted; UsageError unless as many or more are left."""
    _check_count(classes, count)
    return _drawn(classes, count, seed)


def nearest(classes: Sequence[str], vectors: np.ndarray, count: int = 5) -> tuple[str, ...]:
    """Unseen classes that have a very close seen class, kept apart from each other; sorted.

    The paper does not publish how it chooses; this is ours. Distance is cosine distance. One class after another:

    1. Candidates are the classes that are neither unseen yet nor anybody's companion, and that are at least the median
       distance between any two classes away from every unseen one.
    2. The candidate with the closest class that is not unseen becomes unseen; that closest class becomes its companion
       and stays seen. Of equal ones the first by name is taken, both for the class and for the companion.

    Where the candidates run out before `count`, it starts again with the 40th percentile for the median, then with the
    30th, 20th, 10th and 0th, where nothing is kept apart.

    Parameters
    ----------
    classes : K names
    vectors : (K, A), a row a class
    count : int

    Returns
    -------
    tuple of str

    Raises
    ------
    UsageError
        A class without a vector, a class that comes twice, or fewer than `2 * count` classes.

    References
    ----------
    Jasani and Mazagonwalla 2019, section 4.2: "the top few classes with least distance from other classes [...],
    ensuring at the same time a sufficient amount of inter class variation between unseen test class names".
    """
    _check_count(classes, count)
    names, distance = _distances(classes, vectors)
    between = distance[np.triu_indices(len(names), 1)]
    for percentile in _GAPS:
        unseen = _near(distance, count, -np.inf if percentile == 0 else float(np.percentile(between, percentile)))
        if len(unseen) == count:
            break
    return tuple(sorted(names[k] for k in unseen))


def furthest(classes: Sequence[str], vectors: np.ndarray, count: int = 5) -> tuple[str, ...]:
    """Unseen classes that are the furthest from all others, sorted.

    The paper does not publish how it measures that; here it is the mean cosine distance to all other classes, seen or
    not, and of equal ones the first by name is taken. Parameters, result and errors are those of `nearest`.

    References
    ----------
    Jasani and Mazagonwalla 2019, section 4.2: "the top few classes with highest distance from all other classes".
    """
    _check_count(classes, count)
    names, distance = _distances(classes, vectors)
    np.fill_diagonal(distance, 0)
    order = np.argsort(-distance.sum(1), kind="stable")
    return tuple(sorted(names[k] for k in order[:count]))


def hold_out(seen: Sequence[str], size: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split seen classes into (training, validation), both sorted.

    Parameters
    ----------
    seen : names
    size : float
        Below 1 the part of the classes to hold out, rounded, at least one; else their number.
    seed : int

    Raises
    ------
    UsageError
        No class would be left on one of the sides, or one comes twice.

    Examples
    --------
    >>> hold_out(["a", "b", "c", "d"], 1, seed=0)
    (('a', 'b', 'd'), ('c',))
    """
    count = max(1, round(size * len(seen))) if 0 < size < 1 else size
    if not (0 < count < len(seen) and count == int(count)):
        raise UsageError(
            f"{size:g} of {len(seen)} seen classes cannot be held out for validation. "
            f"Give a whole number from 1 to {len(seen) - 1}, or a part between 0 and 1 that leaves some to train on."
        )
    validation = _drawn(seen, int(count), seed)
    return _others(seen, validation), validation


def folds(seen: Sequence[str], k: int, seed: int) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """`k` pairs (training, validation), sorted within: each seen class validates once, in parts as equal as can be.

    Raises
    ------
    UsageError
        Fewer than two folds, more folds than classes, or a class that comes twice.
    """
    if not 2 <= k <= len(seen):
        raise UsageError(f"{len(seen)} seen classes cannot make {k} folds. Give a number from 2 to {len(seen)}.")
    names = _sorted(seen)
    parts = np.array_split(np.random.RandomState(seed).permutation(len(names)), k)
    held = [tuple(sorted(names[i] for i in part)) for part in parts]
    return tuple((_others(seen, validation), validation) for validation in held)


def _drawn(classes: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    names = _sorted(classes)
    return tuple(sorted(names[i] for i in np.random.RandomState(seed).permutation(len(names))[:count]))


def _others(classes: Sequence[str], without: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(classes).difference(without)))


def _sorted(classes: Sequence[str]) -> list[str]:
    if twice := _repeated(classes):
        raise UsageError(f"Classes to draw from come twice: {few(twice)}. Name a class once.")
    return sorted(classes)


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _check_count(classes: Sequence[str], count: int) -> None:
    if not 0 < count <= len(classes) // 2:
        raise UsageError(
            f"{count} unseen classes need {2 * count} classes to be chosen from; there are {len(classes)}."
        )


def _distances(classes: Sequence[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Sorted names, and (K, K) cosine distances in their order, infinite to a class itself."""
    names = _sorted(classes)
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise UsageError(f"{len(names)} classes need a vector each; got an array of shape {vectors.shape}.")
    rows = vectors[np.argsort(np.array(classes, object), kind="stable")]
    # rounded: of two classes that are each other's nearest, the last bit would choose, and it differs between machines
    distance = distances(rows, rows).round(9)
    if lacking := [name for name, own in zip(names, np.diag(distance), strict=True) if not np.isfinite(own)]:
        raise UsageError(f"Classes without a text vector: {few(lacking)}. Add a text, or give other vectors.")
    np.fill_diagonal(distance, np.inf)
    return names, distance


def _near(distance: np.ndarray, count: int, gap: float) -> list[int]:
    """Up to `count` unseen classes, as `nearest` says; fewer where those far enough from each other run out."""
    unseen: list[int] = []
    companions: set[int] = set()
    while len(unseen) < count:
        seen = [k for k in range(len(distance)) if k not in unseen]
        free = [k for k in seen if k not in companions and (distance[k, unseen] >= gap).all()]
        if not free:
            break
        closest = distance[np.ix_(free, seen)]
        chosen = int(closest.min(1).argmin())
        companions.add(seen[int(closest[chosen].argmin())])
        unseen.append(free[chosen])
    return unseen
