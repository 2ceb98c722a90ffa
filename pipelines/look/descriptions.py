"""A description to videos: each of its phrases finds the segment that tells it best.

    "He takes a bow. He aims. He shoots." ──phrases──▶ (P, D)     segments of a video (m, D)
    score(video) = mean_p max_s cos(phrase p, segment s)

Run    `zsar query "He takes a bow. He shoots." --each`
Takes  phrases' vectors, the segments that may be found
Gives  for each of the k best videos a segment a phrase

All segments are compared, a block at a time: a maximum over a video's segments is in no index of segments.

Reference
---------
Khattab, Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over BERT", SIGIR
2020, equation 3 (a sum there; of one description it ranks alike).
"""

import re
from collections.abc import Iterable

import numpy as np

from pipelines.look.segments import Segments
from stores.vector_index import unit

_ENDS = re.compile(r"[.;!?\n]+")


def phrases_of(description: str) -> list[str]:
    """The phrases of a description: what stands between full stops, semicolons and line ends.

    >>> phrases_of("He takes a bow. He shoots!")
    ['He takes a bow', 'He shoots']
    """
    return [phrase for part in _ENDS.split(description) if (phrase := " ".join(part.split()))]


def videos(
    phrases: np.ndarray, own: Segments, blocks: Iterable[np.ndarray], k: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k videos that tell phrases best, by late interaction.

    Parameters
    ----------
    phrases : (P, D)
    own : of all data sets
    blocks : (n, D) the vectors of all stored rows, some at a time
    k : so many videos
    allowed : (n,) bool, which of the segments may be found

    Returns
    -------
    chosen, cosines, totals : (V, P) int64 numbers of segments, (V, P) float32 and (V,) float32; best videos first
    """
    numbers = np.arange(len(own)) if allowed is None else np.flatnonzero(allowed)
    order = numbers[np.argsort(own.row[numbers], kind="stable")]
    rows, asked, at = own.row[order], unit(np.asarray(phrases, np.float32)), 0
    cosines = np.empty((len(order), len(asked)), np.float32)
    for block in blocks if len(order) else ():
        low, high = np.searchsorted(rows, (at, at + len(block)))
        if high > low:
            cosines[low:high] = unit(block[rows[low:high] - at].reshape(high - low, -1).astype(np.float32)) @ asked.T
        at += len(block)
    item, video = np.unique(own.item[order], return_inverse=True)
    best = np.full((len(item), len(asked)), -np.inf, np.float32)
    np.maximum.at(best, video, cosines)
    found = np.argsort(-best.mean(1), kind="stable")[:k]
    chosen = np.empty((len(found), len(asked)), np.int64)
    for place, number in enumerate(found):
        mine = np.flatnonzero(video == number)
        chosen[place] = order[mine[cosines[mine].argmax(0)]]
    return chosen, best[found], best[found].mean(1)
