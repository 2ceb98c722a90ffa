"""Recognised objects among texts: a video as the names of what was recognised in it, weighted by their scores.

    name_j ─encoder─▶ n_j (D,) of length 1        ids, scores (20,) of a video ─▶ v = sum_i score_i n_(id_i)  (D,)

A phrase goes through the same encoder, and its cosine with v is the score. v is as ConSE has it, over the 20 labels
that an extractor of objects stores: no film is read. Which names made a score: those of the greatest score_i (n_i . q).

Names are encoded once, those that occur, and kept beside the index of what they make:

    indexes/SET/objects-by-ENCODER/names.npz    ids (J,) int32, vectors (J, D) float32; NaN where an encoder has none

Papers: Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014; of objects in videos
Jain et al., Objects2action, ICCV 2015, who take the sum's product with a class, not its cosine.
"""

import contextlib
import io
import zipfile
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from stores.errors import WriteFailed
from stores.features import FeatureSet
from stores.root import Root
from stores.spans import Spans
from stores.vector_index import folder, unit

IDS, SCORES = "ids", "scores"  #: the outputs of an extractor of objects
_FILE = "names.npz"
_AT_ONCE = 256  # names
_TOLD = 2


def has_objects(feature_set: FeatureSet) -> bool:
    """Whether a feature set holds recognised objects: named labels with scores."""
    return {IDS, SCORES} <= set(feature_set.outputs) and IDS in feature_set.columns


class ObjectNames:
    """Vectors of the rows of a set of recognised objects, as `stores.vectors.Vectors`.

    Parameters
    ----------
    root : Root
    feature_set : FeatureSet
    encoder : full name of the set that names go through
    encode : n texts to (n, D), NaN for one that cannot be encoded
    keep : whether vectors of names are written
    """

    def __init__(
        self,
        root: Root,
        feature_set: FeatureSet,
        encoder: str,
        encode: Callable[[Sequence[str]], np.ndarray],
        keep: bool = True,
    ) -> None:
        self.name = f"objects-by-{encoder}"
        self._root, self._set, self._encode, self._keep = root, feature_set, encode, keep
        self._folder = folder(feature_set.name, self.name)
        self._names = feature_set.columns[IDS]
        self._few = Spans(feature_set, IDS), Spans(feature_set, SCORES)
        self._arrays = feature_set.array(IDS), feature_set.array(SCORES)
        self._known = np.zeros(len(self._names), bool)

    @cached_property
    def width(self) -> int:
        """D."""
        return int(self._vectors.shape[1])

    def ready(self, start: int, stop: int, advance: Callable[[int, int], None] = lambda done, total: None) -> None:
        """As `Vectors.ready`: the names that these rows have are encoded."""
        self._arrays = self._set.array(IDS), self._set.array(SCORES)
        if self._learn(np.asarray(self._arrays[0][start:stop]), advance) and self._keep:
            with contextlib.suppress(WriteFailed), self._root.new_file(self._folder, _FILE) as path:
                ids = np.flatnonzero(self._known).astype(np.int32)
                with path.open("wb") as file:
                    np.savez(file, ids=ids, vectors=self._vectors[ids])

    def span(self, start: int, stop: int) -> np.ndarray:
        """As `Vectors.span`."""
        return self._sums(*(np.asarray(array[start:stop]) for array in self._arrays))

    def some(self, rows: np.ndarray) -> np.ndarray:
        """As `Vectors.some`."""
        return self._sums(*self._read(rows))

    def told(self, rows: np.ndarray, queries: np.ndarray) -> list[str]:
        """The two names of each row that did most for its score, best first, with the scores of the objects.

        Parameters
        ----------
        rows : (n,) numbers
        queries : (n, D), what each was found by
        """
        if not len(rows):
            return []
        ids, scores = self._read(rows)
        self._learn(ids)
        cosines = np.einsum("ntd,nd->nt", self._vectors[ids], unit(np.asarray(queries, np.float32)))
        parts = np.nan_to_num(scores.astype(np.float32) * cosines)
        best = np.argsort(-parts, 1, kind="stable")[:, :_TOLD]
        return [
            "; ".join(f"{self._names[ids[row, i]]} {scores[row, i]:.2f}" for i in own if parts[row, i] > 0)
            for row, own in enumerate(best)
        ]

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked = [(int(row), int(row) + 1) for row in rows]
        ids, scores = (np.concatenate(spans.read(asked)) for spans in self._few)
        return ids, scores

    def _sums(self, ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(n, D) float32 of ids (n, t) and scores (n, t); a name without a vector counts for nothing."""
        from scipy.sparse import csr_array

        self._learn(ids)
        ends = np.arange(len(ids) + 1) * ids.shape[1]
        weights = np.nan_to_num(scores.astype(np.float32)).ravel()
        mixed = csr_array((weights, ids.ravel(), ends), shape=(len(ids), len(self._names)))
        return np.asarray(mixed @ np.nan_to_num(self._vectors), np.float32)

    def _learn(self, ids: np.ndarray, advance: Callable[[int, int], None] = lambda done, total: None) -> bool:
        """Encode those names that are not known yet; whether there were any."""
        vectors = self._vectors
        lacking = np.unique(ids)
        lacking = lacking[~self._known[lacking]]
        for at in range(0, len(lacking), _AT_ONCE):
            advance(at, len(lacking))
            some = lacking[at : at + _AT_ONCE]
            vectors[some] = unit(self._encode([self._names[i] for i in some]))
            self._known[some] = True
        return bool(len(lacking))

    @cached_property
    def _vectors(self) -> np.ndarray:
        """(J, D) float32: those that were kept, of the others NaN."""
        ids, kept = self._kept()
        if not len(ids):
            ids, kept = np.array([0]), unit(self._encode(self._names[:1]))
        vectors = np.full((len(self._names), kept.shape[1]), np.nan, np.float32)
        vectors[ids], self._known[ids] = kept, True
        return vectors

    def _kept(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and vectors of the names that were kept; none where there is no whole file."""
        if self._root.exists(self._folder, _FILE):
            with contextlib.suppress(ValueError, KeyError, EOFError, zipfile.BadZipFile):
                file = np.load(io.BytesIO(self._root.read_bytes(self._folder, _FILE)))
                return file["ids"], file["vectors"]
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
