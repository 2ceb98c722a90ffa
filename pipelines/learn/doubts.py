"""Doubts: what is said of a head that ends below what nobody had to train, on the very videos it was trained on.

Takes  a study, a head that was trained, the classes it was trained on
Gives  a line where it is right less often than chance, and one where less often than the nearest prototype

Unseen videos are not looked at: `fit` never does. The nearest prototype is defined where videos lie in the space of the
texts, as captions do; it is told by the texts the head reads.
"""

import numpy as np

from heads.base import Head
from heads.nearest import Nearest, NearestOptions
from pipelines.learn.study import Study

_LOOKED_AT = 2000  # videos, evenly: it is a question of the whole, not of a tenth of a percent


def doubts(study: Study, head: Head, seen: np.ndarray) -> list[str]:
    """What is doubtful about a head that was trained on these classes; nothing where it learns nothing.

    Parameters
    ----------
    study : Study
    head : Head
    seen : (S,) int64 numbers of the classes trained on

    Returns
    -------
    list of str
        Each a clause that a note can end in.
    """
    rows = study.trained_on(seen)
    if not (head.learns and len(rows)):
        return []
    rows = rows[:: -(-len(rows) // _LOOKED_AT)]
    own, found = _top1(study, head, rows, seen), []
    if own < 1 / len(seen):
        found.append(_line(own, f"chance is {100 / len(seen):.1f} %"))
    if study.in_one_space:
        free = _top1(study, _training_free(study), rows, seen)
        if own < free:
            found.append(_line(own, f"the nearest prototype, which learns nothing, on {100 * free:.1f} %"))
    return found


def _line(own: float, beside: str) -> str:
    return f"ends right on {100 * own:.1f} % of the videos it was trained on, {beside}: look at lr, schedule and epochs"


def _training_free(study: Study) -> Head:
    free: Head = Nearest(study.width, study.width, NearestOptions("+".join(study.texts.tensors.kinds)))
    return study.above(free)


def _top1(study: Study, head: Head, rows: np.ndarray, seen: np.ndarray) -> float:
    best = seen[study.scores(head, rows, seen).argmax(1)]
    return float((best == study.videos.labels[rows]).mean())
