"""Stand-ins for videos, drawn from a classifier's rows, and what a map's scores are worth as logits by them.

A map is learned from rows alone, so there is no video to say how far its scores can be trusted. A stand-in is a class's
row blurred by the others, in the units of logits:

    v = a x_j + b sum_k e_k x_k / sqrt(S),   e_k ~ N(0, 1)          class j, unit rows x, logits v.x_k |row_k|

a and b are such that the classifier is right as often as it is published to be, and that its softmax needs no
temperature. Then, on stand-ins of classes held out from the map and of as many seen ones, in lists of ten and of
eighteen of which one is unseen or half are, a scale and a shift of the map's scores are found that make the joint
softmax likeliest. By lists that are half unseen alone, seen classes win wherever many of them are asked for.

    logit of an unseen class = scale |row| s + shift

The shift is calibrated stacking (Chao et al.): without it seen classes win by their certainty.

References
----------
Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object Recognition", ECCV 2016.
Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017: I3D's RGB stream is right in 71.1 % of Kinetics.
"""

import dataclasses

import numpy as np

from heads.class_map import ClassMap, MapOptions, Texts, folds, unit

PUBLISHED_TOP1 = 0.711
_DRAWS = 2  # stand-ins a class
_LISTS = ((10, 1), (10, 5), (18, 1), (18, 9))  # classes a list, and how many of them are unseen
_SCALES = np.geomspace(0.05, 2, 20)
_SHIFTS = np.linspace(-5, 20, 51)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What makes a map's scores logits beside a classifier's.

    Attributes
    ----------
    scale, shift : of the map's score
    error : expected calibration error of the joint answer on the stand-ins of other folds, a fraction
    """

    scale: float
    shift: float
    error: float


@dataclasses.dataclass(frozen=True)
class Lists:
    """Short lists of candidates for stand-ins of known class.

    Attributes
    ----------
    seen : (N, L) float64, logits of the classifier
    mapped : (N, L) float64, scores of the map times |row|
    unseen : (N, L) bool, which candidates are unseen
    own : (N,) int64, the place of the true class
    """

    seen: np.ndarray
    mapped: np.ndarray
    unseen: np.ndarray
    own: np.ndarray

    def logits(self, scale: float, shift: float) -> np.ndarray:
        """(N, L) joint logits."""
        return np.where(self.unseen, scale * self.mapped + shift, self.seen)


def stand_ins(
    rows: np.ndarray, top1: float = PUBLISHED_TOP1, draws: int = _DRAWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Blurred rows.

    Parameters
    ----------
    rows : (S, D), a classifier's rows
    top1 : how often the classifier shall be right about them
    draws : so many a class

    Returns
    -------
    videos : (S * draws, D) float64, such that `videos @ (rows - mean).T` are logits
    labels : (S * draws,) int64
    """
    centred = np.asarray(rows, np.float64) - np.mean(rows, 0, np.float64)
    units = unit(centred)
    labels = np.repeat(np.arange(len(rows)), draws)
    noise = np.random.RandomState(seed).randn(len(labels), len(rows)) @ units / np.sqrt(len(rows))
    own, blurring = units[labels] @ centred.T, noise @ centred.T
    low, high = 0.0, 1e3
    for _ in range(20):  # the share of right answers falls with the blur
        blur = (low + high) / 2
        right = (own + blur * blurring).argmax(1) == labels
        low, high = (blur, high) if right.mean() > top1 else (low, blur)
    logits = own + low * blurring
    strengths = np.geomspace(0.005, 20, 60)
    strength = min(strengths, key=lambda a: _surprise(a * logits, labels))
    return strength * (units[labels] + low * noise), labels


def calibrate(rows: np.ndarray, texts: Texts, options: MapOptions, parts: int = 4) -> Calibration:
    """Scale and shift by folds of the rows: each fold's classes are unseen to a map learned from the others."""
    videos, labels = stand_ins(rows)
    split = list(folds(len(rows), parts, seed=1))
    fold_of = [fold for fold in range(len(split)) for _ in _LISTS]
    lists = [
        found
        for seed, (kept, _) in enumerate(split)
        for found in candidates(rows, texts, options, kept, videos, labels, seed)
    ]
    pairs = [(float(scale), float(shift)) for scale in _SCALES for shift in _SHIFTS]
    surprises = np.array([[_surprise(one.logits(*pair), one.own) for pair in pairs] for one in lists])
    scale, shift = pairs[surprises.sum(0).argmin()]
    errors = []
    for fold, one in zip(fold_of, lists, strict=True):
        others = [number for number, other in enumerate(fold_of) if other != fold]
        best = pairs[surprises[others].sum(0).argmin()]
        errors.append(calibration_error(one.logits(*best), one.own))
    return Calibration(scale, shift, float(np.mean(errors)))


def candidates(
    rows: np.ndarray,
    texts: Texts,
    options: MapOptions,
    kept: np.ndarray,
    videos: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> list[Lists]:
    """Lists of each make-up, for the stand-ins of all unseen classes and of as many seen ones."""
    draw = np.random.RandomState(seed)
    held = np.setdiff1d(np.arange(len(rows)), kept)
    chosen = np.isin(labels, np.concatenate([held, draw.choice(kept, min(len(held), len(kept)), replace=False)]))
    videos, labels = videos[chosen], labels[chosen]
    fitted = ClassMap(options).fit(rows[kept], [encoding[kept] for encoding in texts])
    mapped = np.full((len(videos), len(rows)), np.nan)
    mapped[:, held] = fitted.scores(videos, [encoding[held] for encoding in texts]) * fitted.length_
    logits = videos @ (np.asarray(rows, np.float64) - np.mean(rows, 0, np.float64)).T
    found = []
    for length, new in _LISTS:
        unseen = min(new, len(held))
        listed = np.stack(
            [_list(draw, label, (kept, held), (min(length - new, len(kept)), unseen)) for label in labels]
        )
        is_new = np.isin(listed, held)
        taken = [np.take_along_axis(values, listed, 1) for values in (logits, mapped)]
        found.append(Lists(taken[0], np.where(is_new, taken[1], 0), is_new, np.zeros(len(listed), np.int64)))
    return found


def calibration_error(logits: np.ndarray, own: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: how far the first answer's probability is from how often it is right."""
    odds = softmax(logits)
    sure, right = odds.max(1), odds.argmax(1) == own
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [(place == b).mean() * abs(sure[place == b].mean() - right[place == b].mean()) for b in np.unique(place)]
    return float(sum(gaps))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def _list(
    draw: np.random.RandomState, label: int, sides: tuple[np.ndarray, np.ndarray], counts: tuple[int, int]
) -> np.ndarray:
    """The true class first, then others, so that there are as many of each side as are counted."""
    others = []
    for side, count in zip(sides, counts, strict=True):
        own = bool(np.isin(label, side))
        others.append(draw.choice(side[side != label], count - own, replace=False))
    return np.concatenate([[label], *others])


def _surprise(logits: np.ndarray, own: np.ndarray) -> float:
    """Mean negative log-likelihood."""
    shifted = logits - logits.max(1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(own)), own]).mean())
