"""Nearest prototypes: FAISS against a full sort, and standardised scores as an inner product."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heads.prototypes import nearest, standardised


def drawn(videos: int, classes: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features whose inner products are exact in single precision, so that no rounding decides a rank."""
    random = np.random.default_rng(seed)
    return (random.integers(-99, 100, (count, width)).astype(np.float32) / 8 for count in (videos, classes))


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 24), st.integers(1, 40), st.integers(0, 10**6))
def test_the_scores_are_the_k_largest_inner_products(videos, classes, width, k, seed):
    features, prototypes = drawn(videos, classes, width, seed)
    scores, found = nearest(features, prototypes, k)
    whole = features.astype(float) @ prototypes.astype(float).T
    assert np.array_equal(scores, -np.sort(-whole, 1)[:, :k])
    assert np.array_equal(np.take_along_axis(whole, found, 1), scores)
    assert all(len(set(row)) == len(row) == min(k, classes) for row in found.tolist())


@pytest.mark.parametrize("k", [1, 5, 50])
def test_faiss_ranks_as_a_full_sort_does(k):
    random = np.random.default_rng(1)
    features, prototypes = (random.normal(size=(count, 64)).astype(np.float32) for count in (300, 50))
    scores, found = nearest(features, prototypes, k)
    whole = features.astype(float) @ prototypes.astype(float).T
    order = np.argsort(-whole, 1)[:, :k]
    assert np.array_equal(found, order)
    assert np.allclose(scores, np.take_along_axis(whole, order, 1), atol=1e-4)
    assert (scores.dtype, found.dtype) == (np.float32, np.int64)


def test_no_more_classes_are_given_than_there_are():
    features, prototypes = drawn(3, 2, 4)
    scores, found = nearest(features, prototypes, 5)
    assert scores.shape == found.shape == (3, 2)
    assert {tuple(sorted(row)) for row in found.tolist()} == {(0, 1)}


def test_arrays_in_another_precision_or_order_are_taken_as_they_are_meant():
    features, prototypes = drawn(6, 5, 4)
    wanted = nearest(features, prototypes, 5)
    found = nearest(np.asfortranarray(features.astype(np.float64)), prototypes.astype(np.float16)[::1], 5)
    assert np.array_equal(found[1], wanted[1])
    assert np.array_equal(found[0], wanted[0])


def test_standardised_scores_are_the_distance_from_the_mean_in_spreads():
    random = np.random.default_rng(2)
    features, prototypes = random.normal(size=(9, 6)), random.normal(size=(4, 6))
    scores = features @ prototypes.T
    mean, spread = scores.mean(0), scores.std(0)
    more, shifted = standardised(features, prototypes, mean, spread)
    assert more.shape == (9, 7)
    assert shifted.shape == (4, 7)
    assert np.allclose(more @ shifted.T, (scores - mean) / spread)


def test_faiss_ranks_standardised_scores_too():
    random = np.random.default_rng(3)
    features, prototypes = (random.normal(size=(count, 16)).astype(np.float32) for count in (40, 10))
    mean, spread = random.normal(size=10).astype(np.float32), random.uniform(0.5, 2, 10).astype(np.float32)
    _, found = nearest(*standardised(features, prototypes, mean, spread), 10)
    whole = (features.astype(float) @ prototypes.astype(float).T - mean) / spread
    assert np.array_equal(found, np.argsort(-whole, 1))


@pytest.mark.parametrize("videos", [1, 7, 60])
def test_of_classes_with_one_score_the_first_comes_first_as_in_argmax(videos):
    features, few = drawn(videos, 3, 8)
    prototypes = np.concatenate([few] * 9)  # each score nine times: more than places
    scores, found = nearest(features, prototypes, 5)
    whole = features @ prototypes.T
    assert np.array_equal(found, np.argsort(-whole, 1, kind="stable")[:, :5])
    assert np.array_equal(found[:, 0], whole.argmax(1))
    assert np.array_equal(scores, np.take_along_axis(whole, found, 1))


def test_scores_that_are_all_alike_name_the_first_classes():
    _, found = nearest(np.zeros((40, 4), np.float32), np.ones((12, 4), np.float32), 5)
    assert (found == np.arange(5)).all()


@pytest.mark.parametrize(("d", "classes"), [(20, 6), (384, 50), (1280, 101)])
def test_of_classes_with_one_prototype_the_first_comes_first_and_all_have_one_score(d, classes):
    rng = np.random.RandomState(0)
    prototypes = rng.randn(classes, d).astype(np.float32)
    twins = [1, classes // 2, classes - 1]
    prototypes[twins] = prototypes[1]
    features = rng.randn(5000, d).astype(np.float32)
    features[:2500] += prototypes[1]
    scores, best = nearest(features, prototypes, 5)
    won = np.isin(best[:, 0], twins)
    assert won.sum() > 2000
    assert (best[won, :3] == twins).all()
    assert (scores[won, 0] == scores[won, 2]).all()
    exact = features.astype(float) @ prototypes.astype(float).T
    assert np.take_along_axis(exact, best, 1) == pytest.approx(-np.sort(-exact, 1)[:, :5], abs=1e-3)
    assert best.shape == (5000, 5)
    assert nearest(features[:3], prototypes[twins], 5)[1].tolist() == [[0, 1, 2]] * 3
