"""The graph of joints against plain loops, and against what the published ST-GCN's graphs are known to hold."""

from collections import deque

import numpy as np
import pytest

from extractors import graph
from extractors.joints import COCO_17, KINECT_20, LAYOUTS, NTU_25, OPENPOSE_18, Layout

every = pytest.mark.parametrize("body", LAYOUTS.values(), ids=LAYOUTS)
caps = pytest.mark.parametrize("cap", [1, 2, None])


def walk(body: Layout, start: int) -> dict[int, int]:
    """Hops from a joint to every other, breadth first."""
    hops, queue = {start: 0}, deque([start])
    while queue:
        at = queue.popleft()
        for a, b in body.bones:
            for one, other in ((a, b), (b, a)):
                if one == at and other not in hops:
                    hops[other] = hops[at] + 1
                    queue.append(other)
    return hops


def loops(body: Layout, cap: int | None) -> np.ndarray:
    """The published partition entry by entry: v sends to w."""
    count = len(body.joints)
    hops = [walk(body, joint) for joint in range(count)]
    found = np.zeros((3, count, count))
    for w in range(count):
        degree = sum(hops[v][w] <= 1 for v in range(count))
        for v in range(count):
            if hops[v][w] > 1:
                continue
            to_v, to_w = (
                float("inf") if cap is not None and hops[joint][body.centre] > cap else hops[joint][body.centre]
                for joint in (v, w)
            )
            subset = 0 if v == w else 1 if to_v >= to_w else 2
            found[subset, v, w] = 1 / degree
    return found


@every
@caps
def test_partition_equals_plain_loops(body: Layout, cap: int | None) -> None:
    np.testing.assert_allclose(graph.spatial(body, cap), loops(body, cap), rtol=1e-6)


# counts of the published code's graphs of these two layouts; a tree's true ones are its joints and twice its bones
@pytest.mark.parametrize(
    ("body", "published", "true"),
    [
        (NTU_25, [25, 40, 8], [25, 24, 24]),
        (OPENPOSE_18, [18, 25, 9], [18, 17, 17]),
        (KINECT_20, None, [20, 19, 19]),
        (COCO_17, None, [17, 16, 16]),
    ],
)
def test_numbers_of_entries_are_the_published_ones(body: Layout, published: list[int] | None, true: list[int]) -> None:
    counts = [[int((part > 0).sum()) for part in graph.spatial(body, cap)] for cap in (graph.PUBLISHED_CAP, None)]
    assert counts[1] == true
    if published is not None:
        assert counts[0] == published


@every
@caps
def test_columns_of_the_whole_sum_to_one_and_subsets_do_not_meet(body: Layout, cap: int | None) -> None:
    parts = graph.spatial(body, cap)
    assert parts.dtype == np.float32
    np.testing.assert_allclose(parts.sum((0, 1)), 1, rtol=1e-6)
    assert ((parts > 0).sum(0) <= 1).all()
    np.testing.assert_array_equal(parts[0] > 0, np.eye(len(body.joints), dtype=bool))


@every
def test_in_the_true_partition_what_comes_in_one_way_goes_out_the_other(body: Layout) -> None:
    parts = graph.spatial(body, cap=None)
    np.testing.assert_array_equal(parts[1] > 0, (parts[2] > 0).T)


@every
def test_distances_are_symmetric_and_stop_at_the_cap(body: Layout) -> None:
    full = graph.distances(len(body.joints), body.bones)
    np.testing.assert_array_equal(full, full.T)
    assert np.isfinite(full).all()
    for cap in (0, 1, 3):
        capped = graph.distances(len(body.joints), body.bones, cap)
        np.testing.assert_array_equal(capped, np.where(full <= cap, full, np.inf))


def test_joints_without_a_way_between_them_are_infinitely_far() -> None:
    hops = graph.distances(3, ((0, 1),))
    assert hops[0, 1] == 1
    assert np.isinf(hops[0, 2])
