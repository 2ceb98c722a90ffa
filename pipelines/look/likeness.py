"""How alike the rows of one video are on two sides, and what a difference looks like.

Takes  (r, D) float64 rows of each video on either side
Gives  a `Pair` a video: cosines, norms and counts of rows, and the cause that they speak for

With a, b the mean rows of a video,

    cosine  = a.b / |a||b|            centred = the same of a - mean(a), b - mean(b) over the common videos

The centred cosine is the one to look at: features after a ReLU share a large mean, so that even features of unrelated
videos have cosines of .7 and more. Where a video has as many rows on either side, rows are compared one by one too.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

IDENTICAL = "identical"
ROUNDED = "equal up to float16 rounding"
SCALED = "same up to scale"
PERMUTED = "same rows in another order"
COUNTS = "rows differ in count"
NOT_FINITE = "NaN or infinity"
CLOSE = "close"
DIFFERENT = "different"
UNRELATED = "unrelated"

_SAME = 0.9999  # cosine above which two rows are one row, scaled or rounded
_CLOSE = 0.99
_UNRELATED = 0.3  # centred cosine below which two vectors have nothing to do with each other
_MOST_PERMUTED = 1024  # rows of a video up to which another order is looked for
_MOST_MIXED = 2000  # videos up to which mixed-up names are looked for


@dataclasses.dataclass(frozen=True)
class Pair:
    """One video on both sides.

    Attributes
    ----------
    cosine, centred : of the mean rows
    norm_a, norm_b, ratio : norms of the mean rows, and the first over the second
    rows_a, rows_b : how many rows
    row_cosine, row_cosine_min : mean and least cosine of rows of the same number; None where counts differ
    cause : what the numbers say

    A number that is not finite is None.
    """

    video_id: str
    cosine: float | None
    centred: float | None
    norm_a: float | None
    norm_b: float | None
    ratio: float | None
    rows_a: int
    rows_b: int
    row_cosine: float | None
    row_cosine_min: float | None
    cause: str


def pairs(rows: Iterable[tuple[np.ndarray, np.ndarray]], names: Sequence[str], dim: int) -> tuple[list[Pair], bool]:
    """A pair a common video; memory holds the mean rows of both sides and the rows of one video.

    Parameters
    ----------
    rows : (r, D) float64 of each video on either side
    names : of the n videos
    dim : D

    Returns
    -------
    list of Pair, bool
        True where the videos of one side are those of the other under other names.
    """
    means = np.zeros((2, len(names), dim), np.float32)
    notes = []
    with np.errstate(all="ignore"):  # NaN and infinity are an answer here, not an accident
        for k, (a, b) in enumerate(rows):
            means[0, k], means[1, k] = _mean(a), _mean(b)
            notes.append((len(a), len(b), *_row_cosines(a, b), cause_of_rows(a, b)))
        finite = np.isfinite(means).all((0, 2))
        centred = means - means[:, finite].mean(1, keepdims=True) if finite.any() else means
        plain, off_mean = cosines(means[0], means[1]), cosines(centred[0], centred[1])
        norms = np.sqrt(np.einsum("snd,snd->sn", means, means, dtype=np.float64))
    if len(notes) == 1:
        off_mean[:] = np.nan  # one video less its own mean is nothing
    found = []
    for k, (rows_a, rows_b, row_cosine, row_least, cause) in enumerate(notes):
        norm_a, norm_b = norms[:, k]
        of_rows = (_known(row_cosine), _known(row_least), cause or _cause_of_means(plain[k], off_mean[k], len(notes)))
        of_norms = (_known(norm_a), _known(norm_b), _known(norm_a / norm_b) if norm_b else None)
        found.append(Pair(names[k], _known(plain[k]), _known(off_mean[k]), *of_norms, rows_a, rows_b, *of_rows))
    return found, _mixed_up(centred[:, finite])


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _mean(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.mean(0) if len(rows) else np.full(rows.shape[1], np.nan))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) cosines of rows; two zero vectors have 1, a zero vector and another 0."""
    dots, aa, bb = (np.einsum("nd,nd->n", x, y, dtype=np.float64) for x, y in ((a, b), (a, a), (b, b)))
    norms = np.sqrt(aa * bb)  # of one root: then equal vectors have a cosine of exactly 1
    zero = np.where((aa == 0) & (bb == 0), 1.0, 0.0)
    return np.where(norms == 0, zero, dots / np.where(norms == 0, 1, norms))


def _row_cosines(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    if len(a) != len(b) or not len(a):
        return np.nan, np.nan
    each = cosines(a, b)
    return float(each.mean()), float(each.min())


def cause_of_rows(a: np.ndarray, b: np.ndarray) -> str | None:
    """What the rows of one video say, if they say it by themselves."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or not len(a) or not len(b):
        return NOT_FINITE
    if len(a) != len(b):
        return COUNTS
    if (a == b).all():
        return IDENTICAL
    # half a unit in the last place of float16 on either side: 2^-11 of the value, 2^-25 below the normal numbers
    if (np.abs(a - b) <= 2.0**-10 * np.maximum(np.abs(a), np.abs(b)) + 2.0**-24).all():
        return ROUNDED
    if cosines(a, b).min() >= _SAME:
        norms_a, norms_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        return CLOSE if np.allclose(norms_a, norms_b, rtol=0.01) else SCALED
    return PERMUTED if _is_permuted(a, b) else None


def _is_permuted(a: np.ndarray, b: np.ndarray) -> bool:
    if not 1 < len(a) <= _MOST_PERMUTED:
        return False
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    each = a @ b.T / np.where(norms == 0, 1, norms)
    best = each.argmax(1)
    return bool(len(set(best.tolist())) == len(a) and each.max(1).min() >= _SAME)


def _cause_of_means(cosine: float, centred: float, n: int) -> str:
    if cosine >= _CLOSE and (n < 3 or centred >= _CLOSE):
        return CLOSE
    return UNRELATED if (centred if n > 2 else cosine) < _UNRELATED else DIFFERENT


def _mixed_up(centred: np.ndarray) -> bool:
    """True if the videos of B are those of A under other names: each has its double, but not at its own place."""
    n = centred.shape[1]
    if not 2 < n <= _MOST_MIXED:
        return False
    unit = centred / np.maximum(np.linalg.norm(centred, axis=2, keepdims=True), 1e-12)
    each = unit[0] @ unit[1].T
    return bool(np.median(np.diag(each)) < _CLOSE and np.median(each.max(1)) >= _SAME)
