"""Overlap: test classes that pretraining has already seen, and the training classes that E2E therefore drops.

Takes  class names of both sides, and their mean word vectors where there are any
Gives  rows (test class, pretraining class, how it was found, distance); a mask of training classes to drop

A class is found by name, in any published spelling ("HandStandPushups", "handstand pushups"), or by a cosine distance
of the word vectors below `tau`. Names that only mean the same ("punching bag", "BoxingPunchingBag") are found by
vectors or not at all, so that an empty result without vectors proves little.

References
----------
Brattoli et al., "Rethinking Zero-shot Video Classification", CVPR 2020, eq. 3-4; tau = .05.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from extractors.names import unspaced
from pipelines.errors import UsageError
from untrusted.names import few

TAU = 0.05


@dataclasses.dataclass(frozen=True)
class Overlap:
    """A test class that is among the pretraining classes.

    Attributes
    ----------
    test, pretraining : the class, as each side spells it
    how : "name" or "distance"
    distance : cosine distance of the two word vectors; None where there are no vectors
    """

    test: str
    pretraining: str
    how: Literal["name", "distance"]
    distance: float | None


def overlap(
    test: Sequence[str],
    pretraining: Sequence[str],
    test_vectors: np.ndarray | None = None,
    pretraining_vectors: np.ndarray | None = None,
    tau: float = TAU,
) -> tuple[Overlap, ...]:
    """Pairs of a test class and a pretraining class that are one class, in the order of the test classes.

    Parameters
    ----------
    test, pretraining : names
    test_vectors, pretraining_vectors : (K, A), a row a name; both or none
    tau : float
        E2E's cosine distance below which two classes are one.

    Returns
    -------
    tuple of Overlap
        A pair once: those found by name first, then the others by distance.

    Raises
    ------
    UsageError
        Vectors of one side only, another number of vectors than of names, or a class without a vector.

    References
    ----------
    Brattoli et al. 2020, eq. 3.

    Examples
    --------
    >>> overlap(["HandstandPushups", "Archery"], ["archery", "bowling"])
    (Overlap(test='Archery', pretraining='archery', how='name', distance=None),)
    """
    distance = _distances(test, pretraining, test_vectors, pretraining_vectors)
    same: dict[str, list[int]] = {}
    for j, name in enumerate(pretraining):
        same.setdefault(unspaced(name), []).append(j)
    found = []
    for i, name in enumerate(test):
        named = same.get(unspaced(name), []) if unspaced(name) else []
        order = np.argsort(distance[i], kind="stable").tolist()
        near = [j for j in order if distance[i, j] < tau and j not in named]
        for j in [*named, *near]:
            own = None if test_vectors is None else float(distance[i, j])
            found.append(Overlap(name, pretraining[j], "name" if j in named else "distance", own))
    return tuple(found)


def removed(train_vectors: np.ndarray, test_vectors: np.ndarray, tau: float = TAU) -> np.ndarray:
    """E2E's class removal: which training classes are closer than `tau` to any test class.

    Parameters
    ----------
    train_vectors : (S, A)
    test_vectors : (U, A)
    tau : float

    Returns
    -------
    (S,) bool, True for a training class to drop

    Raises
    ------
    UsageError
        A class without a vector: whether it is to be dropped cannot be told.

    References
    ----------
    Brattoli et al. 2020, eq. 3-4: a training class s stays if the minimum over test classes u of the cosine distance of
    W(s) and W(u) is at least tau.

    Examples
    --------
    >>> removed(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 0.1]])).tolist()
    [True, False]
    """
    for side, vectors in (("training", train_vectors), ("test", test_vectors)):
        if lacking := _without(vectors):
            raise UsageError(f"Number {few(lacking)} of the {side} classes: no word vector (from 0).")
    return np.asarray((distances(train_vectors, test_vectors) < tau).any(1))


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(K, L) float64: cosine distances of the rows of `a` (K, A) and `b` (L, A); NaN where a row has no direction.

    >>> distances(np.array([[3.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])).tolist()
    [[0.0, 1.0], [nan, nan]]
    """
    return np.asarray(np.maximum(1 - unit(a) @ unit(b).T, 0))


def unit(vectors: np.ndarray) -> np.ndarray:
    """(K, A) float64: rows of length 1; NaN where a row has no direction."""
    rows = np.asarray(vectors, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _without(vectors: np.ndarray) -> list[int]:
    return [int(k) for k in np.flatnonzero(~np.isfinite(unit(vectors)).all(1))]


def _distances(
    test: Sequence[str], pretraining: Sequence[str], a: np.ndarray | None, b: np.ndarray | None
) -> np.ndarray:
    """(K, L) distances; NaN where neither side has vectors."""
    if a is None and b is None:
        return np.full((len(test), len(pretraining)), np.nan)
    if a is None or b is None:
        raise UsageError("Word vectors of one side only: nothing can be compared. Give those of both sides, or none.")
    for side, names, vectors in (("test", test, a), ("pretraining", pretraining, b)):
        if len(names) != len(vectors):
            raise UsageError(f"{len(names)} {side} classes need a word vector each; got {len(vectors)}.")
        if lacking := _without(vectors):
            named = few(sorted(names[k] for k in lacking))
            raise UsageError(f"{side.capitalize()} classes without a word vector: {named}. Give other vectors.")
    return distances(a, b)
