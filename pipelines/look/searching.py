"""Segments nearest to a vector: an index of one output, and whose segments its rows are.

    (D,) or (n, D) ──VectorIndex──▶ stored rows ──Segments──▶ segments, best first, with exact cosines

What may be found is told as a mask over all segments (`Segments.of`, `Segments.hold`). Where the index is not exact it
gives some more than are asked for, and the stored rows decide of those that its rounding leaves in doubt.
"""

from collections.abc import Callable

import numpy as np

from pipelines.look.segments import Segments, segments
from stores.features import FeatureSet
from stores.root import Root
from stores.vector_index import Among, VectorIndex, unit
from stores.vectors import OutputVectors, Vectors

_MORE = 4  # times as many as are asked for are looked at again at most


class Searcher:
    """Answers searches in one output of a feature set, as it is when this is made.

    Parameters
    ----------
    root : Root
    feature_set : FeatureSet
    compared : an output, or vectors made of several
    advance, keep, device : as of a VectorIndex
    selection : whose segments may be found; those of all data sets, if none is named

    Attributes
    ----------
    segments : all there are
    compared : Vectors
    output : its name
    index : VectorIndex
    """

    def __init__(
        self,
        root: Root,
        feature_set: FeatureSet,
        compared: str | Vectors = "features",
        advance: Callable[[int, int], None] = lambda done, total: None,
        keep: bool = True,
        selection: str = "",
        device: str = "auto",
    ) -> None:
        self.compared = OutputVectors(feature_set, compared) if isinstance(compared, str) else compared
        self.output = self.compared.name
        self.index = VectorIndex(root, feature_set, self.compared, advance, keep, device)
        self.segments: Segments = segments(feature_set, root, selection)
        self._order = np.argsort(self.segments.row, kind="stable")
        self._rows = self.segments.row[self._order]
        self._everywhere = self._among(self.segments.row)

    def search(self, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[Segments, np.ndarray]:
        """The k segments nearest to a vector.

        Parameters
        ----------
        query : (D,)
        k : int
        allowed : (segments,) bool, optional
            Which of `segments` may be found.

        Returns
        -------
        segments, scores : at most k, best first, with their cosines (k,) float32
        """
        among = self._everywhere if allowed is None else self._among(self.segments.row[allowed])
        exact = not self.index.about.lists
        scores, rows = self.index.search(query[None], k if exact else _MORE * k, among)
        scores, rows = scores[0][rows[0] >= 0], rows[0][rows[0] >= 0]
        if not exact and len(rows):
            rows = rows[scores >= scores[:k][-1] - self.index.doubt(query)]
            scores = unit(self.compared.some(rows)) @ unit(query[None])[0]
            best = np.argsort(-scores, kind="stable")[:k]
            scores, rows = scores[best], rows[best]
        first, last = (np.searchsorted(self._rows, rows, side=side) for side in ("left", "right"))
        scores = np.repeat(scores, last - first)
        held = np.concatenate([self._order[a:b] for a, b in zip(first, last, strict=True)] or [np.empty(0, np.int64)])
        if allowed is not None:  # one row may be of segments that may be found and of others
            scores, held = scores[allowed[held]], held[allowed[held]]
        return self.segments.take(held[:k]), scores[:k].astype(np.float32)

    def _among(self, rows: np.ndarray) -> Among | None:
        mask = np.zeros(len(self.index), bool)
        mask[rows[rows < len(mask)]] = True
        return self.index.among(mask)
