"""A part of what is seen: as large as asked, drawn by the seed, alike where it is drawn from a cluster."""

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.learn.protocols import subsets
from pipelines.learn.protocols.subsets import Subset, subset

NAMES = tuple(f"class {k:02d}" for k in range(20))


def test_nothing_asked_leaves_all():
    assert Subset().of_classes(NAMES, 0) == NAMES
    assert Subset().of_items(100).all()


def test_so_many_classes_are_left_in_their_order_and_drawn_by_seed_and_split():
    own = subset(("classes=5",), 0)
    drawn = {
        (seed, number): subset(("classes=5",), seed).of_classes(NAMES, number) for seed in (0, 1) for number in (0, 1)
    }
    assert all(len(found) == 5 and list(found) == sorted(found) for found in drawn.values())
    assert len(set(drawn.values())) == 4
    assert own.of_classes(NAMES, 0) == drawn[0, 0]
    assert own.of_classes(NAMES[:4], 0) == NAMES[:4]


def test_a_share_of_the_items_is_left_whatever_their_class():
    kept = subset(("share=0.25",), 3).of_items(20_000)
    assert kept.mean() == pytest.approx(0.25, abs=0.01)
    assert (kept == subset(("share=0.25",), 3).of_items(20_000)).all()
    assert not (kept == subset(("share=0.25",), 4).of_items(20_000)).all()
    more = subset(("share=0.5",), 3).of_items(20_000)
    assert (more | ~kept).all()  # what is in a smaller part is in a larger one


def test_classes_of_one_cluster_are_alike(monkeypatch):
    side = np.arange(20) % 2  # even classes here, odd ones there
    rng = np.random.default_rng(0)
    vectors = np.stack([np.where(side, 1, -1), rng.normal(0, 0.1, 20)], 1)
    monkeypatch.setattr(subsets, "word_vectors", lambda names: vectors[[NAMES.index(name) for name in names]])
    sides = set()
    for seed in range(12):
        found = subset(("clusters=2", "classes=4"), seed).of_classes(NAMES, 0)
        (own,) = {side[NAMES.index(name)] for name in found}
        assert len(found) == 4
        sides.add(own)
    assert sides == {0, 1}
    assert len(subset(("clusters=2",), 0).of_classes(NAMES, 0)) == 10
    few = subset(("clusters=2", "classes=3"), 0).of_classes(NAMES[:1] + NAMES[1::2], 0)  # one cluster is too small
    assert {side[NAMES.index(name)] for name in few} == {1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("classes=1",), "got classes=1, clusters=1, share=1"),
        (("share=0",), "share above 0 to 1"),
        (("share=1.5",), "share above 0 to 1"),
        (("clusters=0",), "clusters=1 or more"),
        (("classes=many",), r"^--part takes numbers, got classes=many\.$"),
        (("videos=3",), r"^--part has no videos; it has: classes, clusters, share\.$"),
        (("half",), "An option is NAME=VALUE"),
    ],
)
def test_what_is_no_part_is_one_line(given, message):
    with pytest.raises(UsageError, match=message):
        subset(given, 0)


def test_clusters_need_vectors(monkeypatch):
    monkeypatch.setattr(subsets, "word_vectors", lambda names: np.full((len(names), 1), np.nan))
    with pytest.raises(UsageError, match="each with a word vector; got none for class 00"):
        subset(("clusters=2",), 0).of_classes(NAMES, 0)
    monkeypatch.setattr(subsets, "word_vectors", lambda names: np.ones((len(names), 2)))
    with pytest.raises(UsageError, match="got 2 classes"):
        subset(("clusters=3",), 0).of_classes(NAMES[:2], 0)
