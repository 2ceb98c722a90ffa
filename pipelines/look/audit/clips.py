"""A vector a video: the mean over its segments, less the mean over all videos, of length one.

Takes  a feature set, a data set
Gives  `Clips`: what is known of each video that has features, its vector, and its nearest others

Features of a network after a rectifier share a large mean, so that raw cosines of any two are near one; without it,
near ones tell more. Up to 65,536 videos are compared with all others, more through inverted lists.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.look.segments import segments
from stores.features import FeatureSet
from stores.root import Root

_EXACT = 1 << 16
_PROBED = 64


@dataclasses.dataclass(frozen=True)
class Clips:
    """The videos of a data set that have features.

    Attributes
    ----------
    table : N rows: dataset, video_id, kind, uri, key, label, split, recording, start_s, end_s
    vectors : (N, D) float32 of length one; nought where a video is the mean itself
    lengths : (N,) float32, from the mean of all to each
    without : videos of the data set that have no features
    """

    table: pa.Table
    vectors: np.ndarray
    lengths: np.ndarray
    without: int

    def __len__(self) -> int:
        return len(self.vectors)

    def column(self, name: str) -> np.ndarray:
        """(N,) object; None where nothing is known."""
        return np.array([*self.table[name].to_pylist(), None], object)[:-1]

    def neighbours(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest others of each video, nearest first.

        Returns
        -------
        others, cosines : (N, k) int64 and float32; fewer columns where there are fewer others, -1 where none was found
        """
        count = len(self)
        k = min(k, count - 1)
        cosines, found = _index(self.vectors).search(self.vectors, k + 1)
        is_self = found == np.arange(count)[:, None]
        is_self[~is_self.any(1), -1] = True  # of many that are alike it may not be among the first
        others = found[~is_self].reshape(count, k)
        return others, cosines[~is_self].reshape(count, k)


def clips(feature_set: FeatureSet, dataset: str, root: Root, output: str) -> Clips:
    """The videos of a data set that a feature set has, with a vector each; memory holds these.

    Raises
    ------
    UsageError, NotInStore
        As `segments`; no such output.
    """
    own = segments(feature_set, root, dataset)
    array = feature_set.array(output)
    sums = np.zeros((own.items.num_rows, math.prod(array.shape[1:])), np.float32)
    order = np.argsort(own.row, kind="stable")
    rows, at = own.row[order], 0
    for block in feature_set.scan(output):
        low, high = np.searchsorted(rows, (at, at + len(block)))
        values = block.reshape(len(block), -1)[rows[low:high] - at].astype(np.float32)
        np.add.at(sums, own.item[order[low:high]], values)
        at += len(block)
    counts = np.bincount(own.item, minlength=len(sums))
    there = np.flatnonzero(counts)
    means = sums[there] / counts[there, None].astype(np.float32)
    means -= means.mean(0)
    lengths = np.linalg.norm(means, axis=1)
    vectors = np.divide(means, lengths[:, None], out=np.zeros_like(means), where=lengths[:, None] > 0)
    return Clips(own.items.take(pa.array(there)), vectors, lengths, int((counts == 0).sum()))


def _index(vectors: np.ndarray) -> Any:
    import faiss

    width = vectors.shape[1]
    if len(vectors) <= _EXACT:
        index: Any = faiss.IndexFlatIP(width)
    else:
        lists = min(8192, int(4 * math.sqrt(len(vectors))))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = _PROBED
        index.train(vectors[:: max(1, len(vectors) // (40 * lists))])
    index.add(vectors)
    return index
