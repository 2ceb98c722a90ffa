"""Outliers: videos that are far from all others.

Takes  neighbours of clips
Gives  findings `outlier`; the score is how many robust standard deviations the distance lies above the median

The distance d is the mean of the Euclidean ones to the k nearest others (by cosine) that are no near duplicates. The
modified z-score (d - median) / (1.4826 MAD) is doubted above 3.5.

References
----------
Ramaswamy, Rastogi, Shim, "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000 (distance to
neighbours). Iglewicz, Hoaglin, "How to Detect and Handle Outliers", 1993 (3.5).
"""

from collections.abc import Iterator

import numpy as np

from pipelines.look.audit.clips import Clips
from pipelines.look.audit.findings import Finding

_ABOVE = 3.5


def scores(clips: Clips, others: np.ndarray, cosines: np.ndarray, group: np.ndarray, k: int) -> np.ndarray:
    """(N,) float64: the modified z-score of each video; -inf where nothing is known of its neighbours."""
    allowed = (others >= 0) & (group[others] != group[:, None])
    allowed &= np.cumsum(allowed, 1) <= k
    mine, theirs = clips.lengths[:, None].astype(np.float64), clips.lengths[others].astype(np.float64)
    distances = np.sqrt(np.maximum(mine**2 + theirs**2 - 2 * mine * theirs * cosines, 0))
    counts = allowed.sum(1)
    if not (known := counts > 0).any():
        return np.full(len(clips), -np.inf)
    mean = np.where(allowed, distances, 0).sum(1) / np.maximum(counts, 1)
    middle = np.median(mean[known])
    spread = 1.4826 * np.median(np.abs(mean[known] - middle))
    return np.where(known, (mean - middle) / max(spread, 1e-9), -np.inf)


def outliers(clips: Clips, others: np.ndarray, cosines: np.ndarray, group: np.ndarray, k: int) -> Iterator[Finding]:
    """A finding for each video far from its nearest others, the nearest of which is told."""
    z = scores(clips, others, cosines, group, k)
    for at in np.flatnonzero(z > _ABOVE):
        why = (
            f"{z[at]:.1f} deviations further from its neighbours than most; the nearest has cosine {cosines[at, 0]:.2f}"
        )
        yield Finding("outlier", int(at), float(z[at]), int(others[at, 0]), None, why)
