"""Metrics on cases worked out by hand, and what must always hold of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from heads import metrics

# four classes, five videos; class 3 has no video
LABELS = np.array([0, 0, 1, 2, 2])
TOP = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [1, 2, 0, 3], [0, 1, 3, 2], [2, 3, 1, 0]])
fractions = st.floats(0, 1)


@st.composite
def rankings(draw):
    """Rankings of up to eight classes for up to twelve videos, and their labels."""
    classes, videos = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    top = np.array([draw(st.permutations(range(classes))) for _ in range(videos)])
    return top, draw(arrays(np.int64, videos, elements=st.integers(0, classes - 1))), classes


@pytest.mark.parametrize(("k", "share"), [(1, 3 / 5), (2, 4 / 5), (3, 4 / 5), (4, 1.0), (5, 1.0)])
def test_top_k_is_the_share_of_videos_whose_class_is_among_the_first_k(k, share):
    assert metrics.top_k(TOP, LABELS, k) == pytest.approx(share)


def test_top_k_of_fewer_columns_than_k_counts_those_there_are():
    assert metrics.top_k(TOP[:, :2], LABELS, 5) == pytest.approx(4 / 5)


def test_without_videos_nothing_can_be_said():
    assert math.isnan(metrics.top_k(np.zeros((0, 4), np.int64), np.zeros(0, np.int64), 1))
    assert math.isnan(metrics.mean_class_top1(np.zeros((0, 4), np.int64), np.zeros(0, np.int64), 4))


def test_top1_of_each_class_is_unknown_for_a_class_without_a_video():
    assert metrics.per_class(TOP, LABELS, 4).tolist() == pytest.approx([0.5, 1.0, 0.5, math.nan], nan_ok=True)


def test_the_mean_over_classes_counts_classes_with_videos_alike():
    assert metrics.mean_class_top1(TOP, LABELS, 4) == pytest.approx(2 / 3)


def test_a_row_of_the_confusion_is_what_a_class_was_taken_for():
    assert metrics.confusion(TOP, LABELS, 4).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_hubness_by_hand():
    """N_1 = (2, 2, 1, 0): mean 5/4, deviations 3/4, 3/4, -1/4, -5/4, so m2 = 44/64 and m3 = (27 + 27 - 1 - 125)/256."""
    assert metrics.hubness(TOP, 4) == pytest.approx((-72 / 256) / (44 / 64) ** 1.5)


def test_hubness_is_largest_when_one_class_is_nearest_to_all_and_nought_when_all_are_alike():
    assert metrics.hubness(np.array([[0], [1], [2], [3]]), 4) == 0
    one = metrics.hubness(np.zeros((8, 1), np.int64), 4)
    assert one == pytest.approx(2 / math.sqrt(3))  # N_1 = (8, 0, 0, 0): m2 = 12, m3 = 48
    assert one > metrics.hubness(np.array([[0]] * 7 + [[1]]), 4) > 0


@given(rankings())
def test_hubness_is_the_biased_skewness_of_the_counts(ranking):
    top, _, classes = ranking
    counts = [sum(1 for row in top.tolist() if row[0] == k) for k in range(classes)]
    middle = sum(counts) / classes
    m2 = sum((c - middle) ** 2 for c in counts) / classes
    m3 = sum((c - middle) ** 3 for c in counts) / classes
    assert metrics.hubness(top, classes) == pytest.approx(m3 / m2**1.5 if len(set(counts)) > 1 else 0.0, abs=1e-9)


@given(rankings())
def test_top5_is_never_below_top1_and_all_classes_hold_every_video(ranking):
    top, labels, classes = ranking
    shares = [metrics.top_k(top, labels, k) for k in range(1, classes + 1)]
    assert shares == sorted(shares)
    assert metrics.top_k(top, labels, 5) >= metrics.top_k(top, labels, 1)
    assert shares[-1] == 1


@given(rankings())
def test_the_confusion_sums_to_the_videos_and_its_diagonal_is_top1(ranking):
    top, labels, classes = ranking
    confusion = metrics.confusion(top, labels, classes)
    assert confusion.sum(1).tolist() == np.bincount(labels, minlength=classes).tolist()
    assert confusion.sum(0).tolist() == np.bincount(top[:, 0], minlength=classes).tolist()
    assert np.trace(confusion) / len(labels) == pytest.approx(metrics.top_k(top, labels, 1))
    each = metrics.per_class(top, labels, classes)
    there = ~np.isnan(each)
    assert np.allclose(each[there], np.diag(confusion)[there] / confusion.sum(1)[there])
    assert metrics.mean_class_top1(top, labels, classes) == pytest.approx(each[there].mean())


@pytest.mark.parametrize(
    ("seen", "unseen", "mean"), [(0.5, 0.5, 0.5), (1.0, 0.5, 2 / 3), (0.8, 0.0, 0.0), (0.0, 0.0, 0.0), (0.6, 0.3, 0.4)]
)
def test_the_harmonic_mean_by_hand(seen, unseen, mean):
    assert metrics.harmonic_mean(seen, unseen) == pytest.approx(mean)


@given(fractions, fractions)
def test_the_harmonic_mean_lies_between_the_two_and_never_exceeds_the_arithmetic_mean(seen, unseen):
    mean = metrics.harmonic_mean(seen, unseen)
    slack = 1e-12
    assert mean <= (seen + unseen) / 2 + slack
    assert min(seen, unseen) - slack <= mean <= max(seen, unseen) + slack
    assert mean == metrics.harmonic_mean(unseen, seen)
