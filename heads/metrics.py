"""How good a ranking of classes is: fractions in [0, 1].

    top      (N, k) int64, the best classes of each video, best first        labels (N,) int64

Top-1 and top-5 count videos, as the papers do; the mean over classes counts classes, which none of them prints.
"""

import numpy as np


def top_k(top: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of the videos whose class is among the first k; `top` may hold fewer columns than k."""
    return float((top[:, :k] == labels[:, None]).any(1).mean()) if len(labels) else float("nan")


def per_class(top: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(K,) top-1 of each class; NaN for a class without a video."""
    counts = np.bincount(labels, minlength=classes).astype(float)
    right = np.bincount(labels[top[:, 0] == labels], minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.asarray(right / counts)


def mean_class_top1(top: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Mean over the classes that have videos of their top-1."""
    each = per_class(top, labels, classes)
    return float(np.nanmean(each)) if len(labels) else float("nan")


def confusion(top: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) int64: row the class, column what it was taken for."""
    return np.bincount(labels * classes + top[:, 0], minlength=classes * classes).reshape(classes, classes)


def hubness(top: np.ndarray, classes: int) -> float:
    """Skewness of N_1, the number of videos that each class is nearest to: E[(N_1 - mean)^3] / std^3; 0 where all are
    alike.

    References
    ----------
    ResT, supplement eq. 10; Radovanovic et al. 2010.
    """
    counts = np.bincount(top[:, 0], minlength=classes).astype(float)
    deviation = counts - counts.mean()
    spread = counts.std()
    return float((deviation**3).mean() / spread**3) if spread else 0.0


def harmonic_mean(seen: float, unseen: float) -> float:
    """H = 2SU / (S + U); 0 where both are."""
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
