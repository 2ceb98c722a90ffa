"""Searches of segments: as near as exact ones, with few stored rows read."""

import numpy as np
import pytest

from benchmarks.search import drawn, made
from pipelines.look.searching import Searcher
from stores import vector_index
from stores.root import Root
from stores.vector_index import unit


@pytest.fixture
def searcher(root: Root, monkeypatch: pytest.MonkeyPatch) -> Searcher:
    """Of 8,192 generated segments in lists."""
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 1000)
    return Searcher(root, made(root, 8192))


def test_as_many_rows_are_read_as_rounding_leaves_in_doubt(searcher, monkeypatch):
    stored = unit(np.concatenate(list(searcher.segments.feature_set.scan())).astype(np.float32))
    queries = drawn(60, np.random.default_rng(1))[:, 0].astype(np.float32)
    read, some = [], searcher.compared.some
    monkeypatch.setattr(searcher.compared, "some", lambda rows: read.append(len(rows)) or some(rows))
    few = [searcher.search(query, 10) for query in queries]
    assert 10 <= np.mean(read) < 16
    right = []
    for query, (found, scores) in zip(queries, few, strict=True):
        exact = stored @ unit(query[None])[0]
        assert scores == pytest.approx(exact[found.row], abs=1e-5)
        assert (np.diff(scores) <= 0).all()
        right.append(len(set(found.row) & set(np.argsort(-exact)[:10])) / 10)
    assert np.mean(right) >= 0.95
    monkeypatch.setattr(searcher.index, "doubt", lambda query: np.inf)
    for query, (found, _) in zip(queries, few, strict=True):
        assert np.array_equal(searcher.search(query, 10)[0].row, found.row), "as all forty that were looked at say"
    assert read[-1] == 40
