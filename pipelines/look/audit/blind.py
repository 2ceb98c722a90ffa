"""How likely the label of each video was drawn blindly: what it looks like explains it, or nothing does.

Takes  (N, K) float32: what neighbours, and what a classifier that never saw the film, say of each video; the labels
Gives  the share of blind labels, and of each video the probability that its own is one

Both are judges of one opinion, z_j = a * said_j + b * log((k * share_j + 1/K) / (k + 1)), whose softmax q_j is what the
label of a video like this is (a, b >= 0). A label is drawn from q, or, in a share e of cases, evenly from all classes:

    P(label i) = (1 - e) q_i + e/K                 w = (e/K) / ((1 - e) q_i + e/K)

a, b and e are the likeliest given the labels, so that classes which are hard to tell apart have flat q and are
not doubted for it. A video that looks nothing like its label is. Labels that are wrong in one way, of one class for
its neighbour, are learned as part of q where they are many: these it does not see. Where the judges know nothing, q is
flat and e could be anything: the prior of e, (1 - e)^20, as if twenty more labels were known to be right, keeps it at
none.

References
----------
Copas, "Binary Regression Models for Contaminated Data", JRSS B 1988, section 2 (the same for two classes). Wolpert,
"Stacked Generalization", Neural Networks 1992 (judges that are weighed by what they say of what they never saw).
"""

from typing import NamedTuple

import numpy as np

_MOST = 20_000  # videos that a, b and e are learned from
_BLOCK = 8192
_RIGHT = 20  # labels known to be right beside those there are
_START, _BOUNDS = (5.0, 1.0, -3.0), ((0.0, 200.0), (0.0, 20.0), (-9.0, 0.0))


class Blind(NamedTuple):
    """What was learned, and what follows of each video.

    Attributes
    ----------
    classifier, neighbours, share : a, b, e
    probability : (N,) float64, w of each video; 0 where it has no label
    other : (N,) int64, the class whose label is likeliest; -1 where it has no label
    """

    classifier: float
    neighbours: float
    share: float
    probability: np.ndarray
    other: np.ndarray


def blind(near: np.ndarray, said: np.ndarray, own: np.ndarray, k: int) -> Blind:
    """How likely each label was drawn blindly.

    Parameters
    ----------
    near : (N, K) shares of the neighbours of each video
    said : (N, K) what the classifier says of it
    own : (N,) number of its label; -1 for none
    k : so many neighbours were asked
    """
    from scipy.optimize import minimize  # type: ignore[import-untyped,unused-ignore]

    labelled = np.flatnonzero(own >= 0)
    some = labelled[
        ((np.arange(min(_MOST, len(labelled))) + 0.5) * len(labelled) / min(_MOST, len(labelled))).astype(int)
    ]
    judges = np.stack(_judges(near[some], said[some], k))
    learned = minimize(_unlikely, _START, (judges, own[some]), "L-BFGS-B", jac=True, bounds=_BOUNDS).x
    a, b, share = float(learned[0]), float(learned[1]), float(1 / (1 + np.exp(-learned[2])))
    probability, other = np.zeros(len(own)), np.full(len(own), -1)
    for start in range(0, len(labelled), _BLOCK):
        at = labelled[start : start + _BLOCK]
        one, two = _judges(near[at], said[at], k)
        q, rows = _softmax(a * one + b * two), np.arange(len(at))
        even = share / q.shape[1]
        probability[at] = even / ((1 - share) * q[rows, own[at]] + even)
        other[at] = q.argmax(1)
    return Blind(a, b, share, probability, other)


def _judges(near: np.ndarray, said: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return said.astype(np.float64), np.log((k * near.astype(np.float64) + 1 / near.shape[1]) / (k + 1))


def _softmax(z: np.ndarray) -> np.ndarray:
    found = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(found / found.sum(1, keepdims=True))


def _unlikely(given: np.ndarray, judges: np.ndarray, own: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean negative log-posterior of (a, b, logit e), less what is constant, and its gradient."""
    share = 1 / (1 + np.exp(-given[2]))
    q = _softmax(np.tensordot(given[:2], judges, 1))
    rows, even = np.arange(len(own)), 1 / q.shape[1]
    mine = q[rows, own]
    likely = (1 - share) * mine + share * even
    by_weights = [(1 - share) * mine * (each[rows, own] - (q * each).sum(1)) / likely for each in judges]
    by_share = (even - mine) / likely * share * (1 - share) - _RIGHT * share / len(own)
    value = -np.log(likely).mean() - _RIGHT * np.log(1 - share) / len(own)
    return float(value), -np.array([each.mean() for each in (*by_weights, by_share)])
