"""A part of what is seen: fewer classes, classes that are alike, fewer items; to ask what a method needs.

    `classes=50`    so many of the seen classes, drawn
    `clusters=3`    all out of one of so many clusters of class vectors: the more clusters, the more alike the classes
    `share=0.1`     so large a part of the items, drawn one by one whatever their class

Classes are drawn from the seed and the number of the split, items from the seed.

Paper: Brattoli et al., Rethinking Zero-Shot Video Classification, CVPR 2020, section 5.2, figures 4 and 5.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.errors import UsageError
from pipelines.learn import options
from pipelines.learn.protocols.met_before import word_vectors
from untrusted.names import few


@dataclasses.dataclass(frozen=True)
class Subset:
    """What is left of the seen.

    Attributes
    ----------
    classes : so many at most; 0: all
    clusters : of class vectors, one of which they are from; 1: from anywhere
    share : of the items, above 0 to 1
    seed : what it is drawn from
    """

    classes: int = 0
    clusters: int = 1
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.classes < 0 or self.classes == 1 or self.clusters < 1 or not 0 < self.share <= 1:
            raise UsageError(
                "--part takes classes=2 or more, clusters=1 or more, and a share above 0 to 1; got "
                f"classes={self.classes}, clusters={self.clusters}, share={self.share:g}."
            )

    def of_classes(self, names: Sequence[str], number: int) -> tuple[str, ...]:
        """Those that are left, in the order given.

        Parameters
        ----------
        names : K seen classes; they are clustered by their mean word vectors
        number : of the split

        Raises
        ------
        UsageError
            Fewer classes than clusters, classes without a vector.
        """
        drawn = np.random.default_rng([self.seed, number, 1])
        left: np.ndarray = np.arange(len(names))
        if self.clusters > 1:
            left = self._of_one_cluster(names, drawn)
        if self.classes and len(left) > self.classes:
            left = np.sort(drawn.permutation(left)[: self.classes])
        return tuple(names[int(k)] for k in left)

    def of_items(self, count: int) -> np.ndarray:
        """(count,) bool: the items that are left, of all items of a data set; the seen ones among them count."""
        return np.asarray(np.random.default_rng([self.seed, 2]).random(count) < self.share)

    def _of_one_cluster(self, names: Sequence[str], drawn: np.random.Generator) -> np.ndarray:
        from sklearn.cluster import KMeans

        vectors = word_vectors(tuple(names))
        lacking = [name for name, vector in zip(names, vectors, strict=True) if not np.isfinite(vector).all()]
        if lacking or len(names) < self.clusters:
            got = f"none for {few(lacking)}" if lacking else f"{len(names)} classes"
            raise UsageError(
                f"clusters={self.clusters} needs as many seen classes, each with a word vector; got {got}."
            )
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        of = KMeans(self.clusters, n_init=10, random_state=self.seed).fit_predict(unit)
        sizes = np.bincount(of, minlength=self.clusters)
        wanted = min(self.classes or 2, int(sizes.max()))
        return np.flatnonzero(of == drawn.choice(np.flatnonzero(sizes >= wanted)))


def subset(given: Sequence[str], seed: int) -> Subset:
    """What `--part NAME=VALUE ...` asks for.

    Raises
    ------
    UsageError
        A name that it has not, a value that is none.

    Examples
    --------
    >>> subset(("classes=50", "share=0.5"), 3)
    Subset(classes=50, clusters=1, share=0.5, seed=3)
    """
    asked = options.pairs(given)
    kinds: dict[str, Any] = {"classes": int, "clusters": int, "share": float}
    if strange := sorted(set(asked) - set(kinds)):
        raise UsageError(f"--part has no {', '.join(strange)}; it has: {', '.join(kinds)}.")
    try:
        return Subset(**{name: kinds[name](text) for name, text in asked.items()}, seed=seed)
    except ValueError as error:
        raise UsageError(f"--part takes numbers, got {' '.join(given)}.") from error
