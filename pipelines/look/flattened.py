"""Vectors in the plane, for people to look at.

    (n, D) ──the 50 directions of most variance──▶ (n, 50) ──t-SNE, or UMAP where it is installed──▶ (n, 2)

Both are drawn from a fixed seed: the same vectors lie in the same places. Only neighbourhoods mean something.

t-SNE takes longer than anyone waits beyond some thousands. Of more than `FITTED`, so many are arranged, evenly drawn,
and each other one is put at the median of the places of its ten nearest among these, x and y each, as single cells are
put into an atlas. UMAP arranges all.

References: t-SNE (van der Maaten and Hinton 2008); UMAP (McInnes et al. 2018); Kobak and Berens, "The art of using
t-SNE for single-cell transcriptomics", Nature Communications 2019 (placing others by the median of ten neighbours).
"""

import importlib.util
import warnings
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pipelines.look.tables import imported

WAYS = ("tsne", "umap")
FITTED = 5000  # the most that t-SNE arranges
_SEED = 0
_DIRECTIONS = 50
_PERPLEXITY = 30.0
_NEAREST = 10


def ways() -> tuple[str, ...]:
    """Those of `WAYS` that are installed here."""
    return tuple(way for way in WAYS if way == "tsne" or importlib.util.find_spec(way))


def flat(vectors: np.ndarray, way: str = "tsne") -> np.ndarray:
    """(n, 2) float of vectors (n, D).

    Raises
    ------
    UsageError
        UMAP is asked for and not installed.
    """
    found = np.asarray(vectors)
    if len(found) < 3:  # neither has anything to arrange
        return np.stack([np.arange(len(found)), np.zeros(len(found))], 1)
    if min(found.shape) > _DIRECTIONS:
        from sklearn.decomposition import PCA  # type: ignore[import-untyped,unused-ignore]

        found = PCA(_DIRECTIONS, random_state=_SEED).fit_transform(found)
    found = found.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # UMAP says that a seed costs it its threads
        return np.asarray(_umap(found) if way == "umap" else _some_arranged(found), float)


def evenly(count: int, of: int) -> np.ndarray:
    """(count,) int64: so many of the numbers below `of`, evenly over all."""
    return ((np.arange(count) + 0.5) * of / count).astype(np.int64)


def _some_arranged(vectors: np.ndarray) -> np.ndarray:
    """(n, 2) of (n, D): t-SNE of `FITTED` at most, the rest among them."""
    fitted = evenly(min(FITTED, len(vectors)), len(vectors))
    places = tsne(vectors[fitted])
    if len(fitted) == len(vectors):
        return places
    found = placed(vectors, vectors[fitted], places)
    found[fitted] = places
    return found


def placed(vectors: np.ndarray, fitted: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where vectors lie among others that were arranged: the median of the places of their ten nearest.

    Parameters
    ----------
    vectors : (n, D)
    fitted, places : (m, D), (m, 2)

    Returns
    -------
    (n, 2)
    """
    import faiss

    index: Any = faiss.IndexFlatL2(fitted.shape[1])
    index.add(np.ascontiguousarray(fitted, np.float32))
    _, nearest = index.search(np.ascontiguousarray(vectors, np.float32), min(_NEAREST, len(fitted)))
    return np.asarray(np.median(places[nearest], axis=1))


def tsne(vectors: np.ndarray) -> np.ndarray:
    """(n, 2) of (n, D) by t-SNE as it is, of at least three vectors."""
    from sklearn.manifold import TSNE  # type: ignore[import-untyped,unused-ignore]

    perplexity = min(_PERPLEXITY, max(1.0, (len(vectors) - 1) / 3))
    # one thread: with more of them than free cores most of their time goes in waiting for one another
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # of points that coincide
        return np.asarray(TSNE(2, perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(vectors))


def _umap(vectors: np.ndarray) -> Any:
    umap = imported("umap")
    return umap.UMAP(n_neighbors=min(15, len(vectors) - 1), random_state=_SEED).fit_transform(vectors)
