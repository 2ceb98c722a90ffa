"""Overlap: found by name in any spelling, by distance as E2E's equation says, and never silently."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.class_names import KINETICS_400, class_names
from pipelines.errors import UsageError
from pipelines.learn.protocols.protocols import protocol
from pipelines.texts.overlap import Overlap, distances, overlap, removed


def test_classes_are_found_by_name_in_any_spelling():
    found = overlap(["HandstandPushups", "Shotput", "Archery"], ["archery", "hand stand pushup", "javelin throw"])
    assert found == (
        Overlap("HandstandPushups", "hand stand pushup", "name", None),
        Overlap("Archery", "archery", "name", None),
    )


def test_names_without_letters_are_not_one_class():
    assert overlap(["?", "!"], ["-", "run"]) == ()


def test_classes_are_found_by_distance_and_a_pair_once():
    test = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    pretraining = np.array([[5.0, 0.1], [1.0, 0.0], [-1.0, 0.0]])
    found = overlap(["archery", "run", "walk"], ["bow", "Archery", "Walking"], test, pretraining)
    assert [(row.test, row.pretraining, row.how) for row in found] == [
        ("archery", "Archery", "name"),
        ("archery", "bow", "distance"),
        ("walk", "Walking", "name"),
    ]
    assert [row.distance for row in found] == pytest.approx([0, 1 - 5 / np.hypot(5, 0.1), 1 + np.sqrt(0.5)])
    assert len(overlap(["archery"], ["bow"], test[:1], pretraining[:1], tau=1e-5)) == 0


def test_truze_has_no_unseen_class_by_the_name_of_one_in_kinetics_400():
    kinetics = class_names(KINETICS_400)
    for name in ("ucf101-truze", "hmdb51-truze"):
        assert overlap(protocol(name).splits[0].unseen, kinetics) == ()
    assert len({row.test for row in overlap(protocol("ucf101-50").splits[0].classes, kinetics)}) > 20


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.floats(0.01, 1.5), st.integers(0, 1000))
def test_e2es_removal_is_its_equation_written_as_loops(training, test, tau, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(training, 4)), rng.normal(size=(test, 4))
    expected = []
    for s in range(training):
        least = np.inf
        for u in range(test):
            dot = sum(a[s, i] * b[u, i] for i in range(4))
            cos = dot / sum(x * x for x in a[s]) ** 0.5 / sum(x * x for x in b[u]) ** 0.5
            least = min(least, 1 - cos)
        expected.append(least < tau)
    assert removed(a, b, tau).tolist() == expected


def test_a_class_is_never_kept_for_want_of_a_vector():
    good, holes = np.ones((2, 3)), np.array([[1.0, 0, 0], [0, 0, 0], [np.nan, 0, 0]])
    with pytest.raises(UsageError, match="Number 1, 2 of the training classes: no word vector"):
        removed(holes, good)
    with pytest.raises(UsageError, match="Number 1, 2 of the test classes"):
        removed(good, holes)
    with pytest.raises(UsageError, match="Pretraining classes without a word vector: b, c[.]"):
        overlap(["x", "y"], ["a", "c", "b"], good, holes)


def test_vectors_come_for_both_sides_and_every_class():
    with pytest.raises(UsageError, match="Word vectors of one side only"):
        overlap(["a"], ["b"], np.ones((1, 3)))
    with pytest.raises(UsageError, match="2 test classes need a word vector each; got 1"):
        overlap(["a", "c"], ["b"], np.ones((1, 3)), np.ones((1, 3)))


def test_a_class_is_at_distance_zero_of_itself_whatever_its_length():
    vectors = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    own = np.diag(distances(vectors, 7 * vectors))
    assert (own >= 0).all()
    assert (own < 1e-6).all()
