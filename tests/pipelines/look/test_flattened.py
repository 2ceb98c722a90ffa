"""Vectors in the plane: what is near stays near, the same each time, and few of them are no trouble."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.look import flattened
from pipelines.look.flattened import flat, ways


def clusters(each: int = 40, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    of = np.repeat(np.arange(3), each)
    return (10 * draw.normal(size=(3, width))[of] + draw.normal(size=(3 * each, width))).astype(np.float32), of


def test_neighbours_in_the_plane_are_neighbours_and_the_same_each_time():
    vectors, of = clusters()
    found = flat(vectors)
    assert found.shape == (120, 2)
    far = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.eye(120) * 1e9
    assert (of[far.argmin(1)] == of).all()
    assert np.array_equal(found, flat(vectors))


@pytest.mark.parametrize("count", range(5))
def test_few_vectors_have_places(count):
    found = flat(np.eye(count, 6))
    assert found.shape == (count, 2)
    assert np.isfinite(found).all()


def test_umap_is_offered_where_it_is_installed(monkeypatch):
    told: list[tuple] = []

    class UMAP:
        def __init__(self, **settings: int) -> None:
            told.append(("made", settings))

        def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
            told.append(("given", vectors.shape))
            return vectors[:, :2]

    monkeypatch.setattr(flattened.importlib.util, "find_spec", lambda name: None)
    assert ways() == ("tsne",)
    monkeypatch.setattr(flattened.importlib.util, "find_spec", lambda name: name)
    assert ways() == ("tsne", "umap")
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    assert flat(clusters()[0], "umap").shape == (120, 2)
    assert told == [("made", {"n_neighbors": 15, "random_state": 0}), ("given", (120, 50))]
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UsageError, match="umap is not installed"):
        flat(clusters()[0], "umap")


def test_of_many_some_are_arranged_and_the_rest_lies_at_the_median_of_its_ten_nearest(monkeypatch):
    vectors, of = clusters()
    monkeypatch.setattr(flattened, "FITTED", 60)
    found = flat(vectors)
    fitted = flattened.evenly(60, 120)
    assert len(set(fitted.tolist())) == 60
    assert (np.bincount(of[fitted]) == 20).all()
    from sklearn.decomposition import PCA

    own = PCA(50, random_state=0).fit_transform(vectors).astype(float)
    places = flattened.tsne(own[fitted])
    for at in range(120):
        near = sorted(range(60), key=lambda number: sum((own[at] - own[fitted[number]]) ** 2))[:10]
        place = [sorted(places[number][axis] for number in near)[4:6] for axis in (0, 1)]
        expected = places[fitted.tolist().index(at)] if at in fitted else [sum(two) / 2 for two in place]
        assert np.allclose(found[at], expected, atol=1e-4), at
    far = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.eye(120) * 1e9
    assert (of[far.argmin(1)] == of).mean() > 0.95
