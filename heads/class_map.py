"""A map from class names to a classifier's rows: what a class looks like, told from its name alone.

    texts (S, A) ─kernel─┐
    rows (S, D) ─────────┴─▶ fit;      texts (U, A) ─▶ prototypes (U, D);      videos (N, D) ─▶ scores (N, U)

A linear classifier's row is a visual prototype of its class: the direction in which a video's feature must lie to be
called by that name. Kernel ridge regression from names to rows gives a row to a name that has none:

    x_j = norm(row_j - mean row)                                        centred rows of unit length
    k(a, b) = exp(g (sum_i w_i cos_i(a, b) - 1))                        cos of encoding i, centred on the training names
    P = norm(k(new, train) (k(train, train) + l I)^-1 X)
    s(v, u) = v.P_u - c t(v) h_u,   h_u = mean of the k largest x_j.P_u,   t(v) = mean of the k largest v.x_j / t_0

The second term is cross-domain similarity local scaling: a prototype near many rows (a hub) is no evidence. t_0 is t's
numerator for a row among the others, so that a video's scale takes part in both terms alike. From names to rows and not
back, because a regression shrinks what it predicts, and shrunk targets are hubs (Shigeto et al.); measured on the rows
of I3D that alone is 7 points. An encoding a name lacks (a word without a vector) is NaN and counts as the mean name.

References
----------
Shigeto et al., "Ridge Regression, Hubness, and Zero-Shot Learning", ECML 2015.
Conneau et al., "Word Translation Without Parallel Data", ICLR 2018, eq. 2-3 (CSLS).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

Texts = Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class MapOptions:
    """Settings of `ClassMap`; the defaults are what folds of the rows of I3D choose most often.

    Attributes
    ----------
    sharpness : g, how fast the kernel falls with the angle between two names
    ridge : l
    last : weight of the last encoding; the others share the rest evenly
    hubs : c
    nearest : k
    """

    sharpness: float = 2.0
    ridge: float = 0.5
    last: float = 0.3
    hubs: float = 0.5
    nearest: int = 10


GRID = tuple(
    MapOptions(sharpness, ridge, last, hubs)
    for sharpness, ridge, last, hubs in itertools.product(
        (2.0, 3.0, 4.0), (0.25, 0.5, 1.0), (0.15, 0.3), (0.3, 0.5, 0.7)
    )
)


class ClassMap:
    """The map.

    Parameters
    ----------
    options : MapOptions

    Attributes
    ----------
    rows_ : (S, D) float64, centred training rows of unit length
    length_ : mean length of the centred rows, which scores lack

    Examples
    --------
    >>> rows = np.eye(3) + 1
    >>> fitted = ClassMap(MapOptions(nearest=1)).fit(rows, [np.eye(3)])
    >>> fitted.scores(rows, [np.eye(3)]).argmax(1).tolist()
    [0, 1, 2]
    """

    def __init__(self, options: MapOptions | None = None) -> None:
        self.options = options or MapOptions()

    def fit(self, rows: np.ndarray, texts: Texts) -> "ClassMap":
        """Learn from classes that have both.

        Parameters
        ----------
        rows : (S, D), a classifier's rows
        texts : arrays (S, A_i), one an encoding of the names

        Raises
        ------
        ValueError
            Another number of rows than of names, or fewer than two.
        """
        if len(rows) < 2 or any(len(encoding) != len(rows) for encoding in texts):
            counts = ", ".join(str(len(encoding)) for encoding in texts)
            raise ValueError(f"A map needs two classes or more, a row and a text each; got {len(rows)} and {counts}.")
        centred = np.asarray(rows, np.float64) - np.mean(rows, 0, np.float64)
        self.length_ = float(np.linalg.norm(centred, axis=1).mean())
        self.rows_ = unit(centred)
        self._means = [np.nanmean(np.asarray(encoding, np.float64), 0) for encoding in texts]
        self._texts = self._centred(texts)
        gram = self._kernel(self._texts) + self.options.ridge * np.eye(len(rows))
        self._solved = np.linalg.solve(gram, self.rows_)
        alike = self.rows_ @ self.rows_.T
        np.fill_diagonal(alike, -np.inf)
        self._scale = self._top(alike, 1).mean()
        return self

    def prototypes(self, texts: Texts) -> np.ndarray:
        """(U, D) float64, unit length: where in the space of the rows classes of these names should lie."""
        return unit(self._kernel(self._centred(texts)) @ self._solved)

    def scores(self, videos: np.ndarray, texts: Texts) -> np.ndarray:
        """How much each video looks like each name.

        Parameters
        ----------
        videos : (N, D), features of the layer the rows stand on, or rows
        texts : arrays (U, A_i), the encodings of `fit` in its order

        Returns
        -------
        (N, U) float64, in the units of the features; times `length_` in those of a logit
        """
        prototypes = self.prototypes(texts)
        hubs = self._top(self.rows_ @ prototypes.T, 0)
        scale = self._top(videos @ self.rows_.T, 1) / self._scale
        return np.asarray(videos @ prototypes.T - self.options.hubs * scale[:, None] * hubs)

    def sources(self, texts: Texts, k: int) -> np.ndarray:
        """(U, k) int64: for each name the training classes its prototype is most made of, most first."""
        alike = self._kernel(self._centred(texts))
        return np.argsort(-alike, 1, kind="stable")[:, :k]

    def _kernel(self, texts: list[np.ndarray]) -> np.ndarray:
        """(U, S): kernel of centred unit texts against those of the training classes."""
        last = self.options.last if len(texts) > 1 else 1.0
        weights = [(1 - last) / max(1, len(texts) - 1)] * (len(texts) - 1) + [last]
        alike = sum(w * (a @ b.T) for w, a, b in zip(weights, texts, self._texts, strict=True))
        return np.asarray(np.exp(self.options.sharpness * (alike - 1)))

    def _centred(self, texts: Texts) -> list[np.ndarray]:
        return [unit(np.nan_to_num(np.asarray(t, np.float64) - m)) for t, m in zip(texts, self._means, strict=True)]

    def _top(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Mean of the k largest along an axis."""
        k = min(self.options.nearest, values.shape[axis] - (axis == 1))
        return np.asarray(np.take(np.sort(values, axis), range(-k, 0), axis).mean(axis))


def folds(classes: int, parts: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Seeded folds of classes: numbers of those kept and of those held out, each held out once."""
    order = np.random.RandomState(seed).permutation(classes)
    for part in range(parts):
        held = np.sort(order[part::parts])
        yield np.setdiff1d(order, held), held


def ranks(scores: np.ndarray) -> np.ndarray:
    """(N,): how many classes score above a video's own, where video i is of class i; a tie counts half.

    >>> ranks(np.array([[2.0, 1.0, 3.0], [0.0, 5.0, 1.0], [1.0, 1.0, 1.0]])).tolist()
    [1.0, 0.0, 1.0]
    """
    own = np.diagonal(scores)[:, None]
    return np.asarray((scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2)


def chosen(rows: np.ndarray, texts: Texts, grid: Sequence[MapOptions] = GRID, parts: int = 4) -> MapOptions:
    """The options that find the names of held-out rows most often, by folds of the rows given and nothing else."""
    found = dict.fromkeys(grid, 0.0)
    for kept, held in folds(len(rows), parts, seed=0):
        for options in grid:
            fitted = ClassMap(options).fit(rows[kept], [encoding[kept] for encoding in texts])
            rank = ranks(fitted.scores(rows[held], [encoding[held] for encoding in texts]))
            found[options] += float((1 / (1 + rank)).sum())  # the reciprocal rank tells more apart than top-1
    return max(grid, key=lambda options: found[options])


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; zeros, and what rounding leaves of them, become zeros."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-12))
