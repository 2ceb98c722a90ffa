"""Nearest prototype by FAISS: exact inner product, on a GPU where its build of FAISS is installed.

    features (N, d), prototypes (K, d) -> the k best classes of each video (N, k) and their scores

Of classes with one score the first comes first, as in `argmax`; FAISS itself gives them in any order, and past the k-th
place none at all. Classes of one prototype have one score: FAISS may round its sums otherwise for each of them, so each
different prototype is searched once.

A shift and a scale a class (standardised scores) stay an inner product: [v; 1].[z / s; -mean / s].
"""

import numpy as np

try:
    import faiss
except ImportError as error:  # two builds install the same folder, so neither is a dependency
    raise ImportError("FAISS is not installed. Run `pip install -e '.[cpu]'`, or '.[gpu]' on a GPU.") from error

_AT_ONCE = 4096  # videos with a score for every class


def nearest(features: np.ndarray, prototypes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best prototypes of each feature, best first.

    Parameters
    ----------
    features : (N, d) float32
    prototypes : (K, d) float32
    k : int
        At most K are given.

    Returns
    -------
    scores : (N, k) float32
    classes : (N, k) int64
    """
    features = np.ascontiguousarray(features, np.float32)
    different, which = np.unique(prototypes, axis=0, return_inverse=True)
    if len(different) < len(prototypes):
        return _of_twins(features, different, which.ravel(), k)
    index: faiss.Index = faiss.IndexFlatIP(prototypes.shape[1])
    if getattr(faiss, "get_num_gpus", lambda: 0)():
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(np.ascontiguousarray(prototypes, np.float32))
    count = len(prototypes)
    scores, classes = index.search(features, min(k + 1, count))  # one more tells whether the last place is shared
    if (tied := np.flatnonzero((scores[:, 1:] == scores[:, :-1]).any(1))).size:
        every_score, every_class = index.search(features[tied], count)
        order = np.lexsort((every_class, -every_score))[:, : scores.shape[1]]
        scores[tied] = np.take_along_axis(every_score, order, 1)
        classes[tied] = np.take_along_axis(every_class, order, 1)
    return scores[:, :k], classes[:, :k]


def _of_twins(features: np.ndarray, different: np.ndarray, which: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest`, of classes whose prototypes are the rows `which` (K,) of the different ones."""
    k = min(k, len(which))
    found = np.empty((len(features), k), np.float32), np.empty((len(features), k), np.int64)
    for start in range(0, len(features), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        scores, rows = nearest(features[block], different, len(different))
        by_row = np.empty_like(scores)
        np.put_along_axis(by_row, rows, scores, 1)
        every = by_row[:, which]
        order = np.argsort(-every, 1, kind="stable")[:, :k]
        found[0][block], found[1][block] = np.take_along_axis(every, order, 1), order
    return found


def standardised(
    features: np.ndarray, prototypes: np.ndarray, mean: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, d + 1) and prototypes (K, d + 1) whose inner product is (v.z - mean) / spread."""
    more = np.concatenate([features, np.ones((len(features), 1), features.dtype)], 1)
    return more, np.concatenate([prototypes / spread[:, None], -(mean / spread)[:, None]], 1)
