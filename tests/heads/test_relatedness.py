"""The transfer's programme: solved row by row as a solver of integer programmes solves it whole."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from heads.relatedness import chosen, composed, distinct, largest, relatedness
from tests.heads.loops import dot

WAYS = [(i, ii, iii) for i in (False, True) for ii in (False, True) for iii in (False, True)]


def by_loops(m: list[list[float]], k: int | None, theta: float | None) -> list[list[bool]]:
    """Eq. 2, 3 and 5: which entries may be 1."""
    unseen, seen = len(m), len(m[0])
    allowed = [[True] * seen for _ in range(unseen)]
    for j in range(unseen):
        near = sorted(range(seen), key=lambda i: 1 - m[j][i])[:k]
        for i in range(seen):
            if k is not None and i not in near:
                allowed[j][i] = False
            if theta is not None:
                least = math.inf
                for other in range(unseen):
                    if other != j:
                        least = min(least, (1 - m[other][i]) / (1 - m[j][i]))
                if least <= theta:
                    allowed[j][i] = False
    return allowed


def solved(m: np.ndarray, allowed: np.ndarray, rho: int | None) -> tuple[float, np.ndarray]:
    """Eq. 1 to 4 as one integer programme over the whole of A, by HiGHS; its value, and A."""
    unseen, seen = m.shape
    rows = np.kron(np.eye(unseen), np.ones(seen))
    constraints = [] if rho is None else [LinearConstraint(rows, ub=np.full(unseen, rho))]
    found = milp(-m.ravel(), integrality=np.ones(m.size), bounds=Bounds(0, allowed.ravel()), constraints=constraints)
    assert found.success
    return -found.fun, found.x.reshape(m.shape).round().astype(bool)


def taken(m: np.ndarray, k: int | None, theta: float | None, rho: int | None) -> tuple[np.ndarray, np.ndarray]:
    related = torch.from_numpy(m)
    allowed = torch.ones_like(related, dtype=torch.bool)
    if k is not None:
        allowed &= largest(related, k)
    if theta is not None:
        allowed &= distinct(related, related, torch.arange(len(m)), theta)
    return tuple(t.numpy() for t in chosen(related, allowed, rho or 0))


@pytest.mark.parametrize(("first", "second", "third"), WAYS)
@pytest.mark.parametrize("seed", range(40))
def test_rows_alone_are_the_solution_of_the_whole_programme(seed, first, second, third):
    rng = np.random.RandomState(seed)
    m = rng.uniform(-0.4, 1, (rng.randint(1, 7), rng.randint(1, 9)))
    k = int(rng.randint(1, 6)) if first else None
    theta = float(rng.uniform(0.3, 1.3)) if second else None
    rho = int(rng.randint(1, 5)) if third else None
    allowed = np.array(by_loops(m.tolist(), k, theta))
    value, whole = solved(m, allowed, rho)
    own, empty = taken(m, k, theta, rho)
    assert (empty == ~whole.any(1)).all()
    assert (own[~empty] == whole[~empty]).all()
    assert (m * own)[~empty].sum() == pytest.approx(value)
    for j in np.flatnonzero(empty):
        assert own[j].nonzero()[0].tolist() == [m[j].argmax()]


def test_what_is_composed_is_the_weighted_mean_of_eq_6():
    rng = np.random.RandomState(3)
    m, phi = rng.uniform(-0.2, 1, (4, 6)), rng.randn(6, 3)
    own, empty = taken(m, 4, 0.7, 2)
    found = composed(torch.from_numpy(m), torch.from_numpy(own), torch.from_numpy(phi))
    for j in range(4):
        if empty[j]:
            assert found[j].tolist() == pytest.approx(phi[m[j].argmax()].tolist())
            continue
        total, sums = 0.0, [0.0] * 3
        for i in range(6):
            a = 1 if own[j, i] else 0
            total += a * m[j, i]
            for d in range(3):
                sums[d] += a * m[j, i] * phi[i, d]
        assert found[j].tolist() == pytest.approx([s / total for s in sums])


def test_relatedness_is_the_cosine_and_0_with_a_vector_of_zeros():
    rng = np.random.RandomState(0)
    a, b = rng.randn(3, 5), rng.randn(4, 5)
    a[1] = 0
    found = relatedness(torch.from_numpy(a), torch.from_numpy(b))
    for j in range(3):
        for i in range(4):
            x, y = a[j].tolist(), b[i].tolist()
            length = math.sqrt(dot(x, x)) * math.sqrt(dot(y, y))
            assert float(found[j, i]) == pytest.approx(dot(x, y) / length if length else 0, abs=1e-11)


def test_what_is_not_positive_is_never_a_weight():
    m = np.array([[-0.1, 0.0, 0.5], [-0.3, -0.2, -0.9], [0.0, 0.0, 0.0]])
    own, empty = taken(m, None, None, None)
    assert own.tolist() == [[False, False, True], [False, True, False], [True, False, False]]
    assert empty.tolist() == [False, True, True]
    phi = torch.eye(3, dtype=torch.float64)
    assert composed(torch.from_numpy(m), torch.from_numpy(own), phi).tolist() == own.astype(float).tolist()


def test_more_neighbours_or_entries_than_there_are_seen_classes_are_all():
    m = np.random.RandomState(0).uniform(0.1, 1, (3, 4))
    assert taken(m, 9, None, 9)[0].all()


def test_one_seen_class_makes_every_class():
    m = np.array([[0.3], [-0.3]])
    own, empty = taken(m, 1, None, 1)
    assert own.all()
    assert empty.tolist() == [False, True]


def test_one_unseen_class_has_nobody_to_be_told_from():
    assert taken(np.array([[0.9, 0.1]]), None, 5.0, None)[0].all()


@pytest.mark.parametrize(("theta", "both"), [(0.5, True), (0.99, True), (1.0, False), (2.0, False)])
def test_two_classes_of_one_vector_are_as_near_to_each_other(theta, both):
    """0 / 0 counts as 1: both may have the seen class they equal, until theta says that it has to be nearer to one."""
    m = np.array([[1.0, 0.2], [1.0, 0.2], [0.1, 0.9]])
    own, empty = taken(m, None, theta, None)
    assert own[:2, 0].tolist() == [True, True]  # allowed, or kept as the nearest
    assert empty[:2].tolist() == [not both] * 2


def test_a_class_that_is_the_seen_one_has_it_whatever_theta_is_and_no_other_class_does():
    m = np.array([[1.0, 0.3], [0.8, 0.7]])
    own, _ = taken(m, None, 1e9, None)
    assert own[0, 0]
    assert not taken(m, None, 1e-9, None)[0][1, 0]  # min over the others is 0, and 0 <= theta


def test_a_class_that_is_not_among_the_rivals_is_compared_with_all_of_them():
    rng = np.random.RandomState(5)
    m, rivals = rng.uniform(0, 1, (1, 6)), rng.uniform(0, 1, (4, 6))
    found = distinct(torch.from_numpy(m), torch.from_numpy(rivals), torch.tensor([-1]), 1.0)
    assert found[0].tolist() == by_loops(np.vstack([m, rivals]).tolist(), None, 1.0)[0]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 7), st.integers(0, 10_000), st.floats(0, 2), st.integers(1, 8))
def test_a_stricter_constraint_allows_no_more(unseen, seen, seed, theta, count):
    m = torch.from_numpy(np.random.RandomState(seed).uniform(-1, 1, (unseen, seen)))
    own = torch.arange(unseen)
    assert not bool((distinct(m, m, own, theta + 0.1) & ~distinct(m, m, own, theta)).any())
    assert not bool((largest(m, count) & ~largest(m, count + 1)).any())
