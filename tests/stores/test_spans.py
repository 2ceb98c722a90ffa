"""Spans of rows: what a scan gives, whatever chunks they lie in, and one line where they cannot be read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores import features
from stores.errors import Damaged
from stores.features import FeatureStore, ItemRows
from stores.root import Root
from stores.spans import Spans

ROWS = 50


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A set of 50 rows in chunks of 7, and the rows; some are nought for more than a chunk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_CHUNK_ROWS", 7)
        root = Root(tmp_path_factory.mktemp("root"))
        own = FeatureStore(root).create("x@1", {}, "1", {"features": ((2, 3), "int16")})
    rows = np.random.default_rng(0).integers(-9, 9, (ROWS, 2, 3)).astype(np.int16)
    rows[20:30] = 0
    own.append([ItemRows(bytes([k]) * 32, {"features": rows[10 * k : 10 * k + 10]}) for k in range(3)])
    own.append([ItemRows(bytes([3]) * 32, {"features": rows[30:]})])
    return own, rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(1, ROWS)), min_size=1, max_size=6))
def test_spans_are_what_a_scan_gives(written, spans):
    own, rows = written
    spans = [(start, min(start + length, ROWS)) for start, length in spans]
    for (start, stop), got in zip(spans, Spans(own, "features").read(spans), strict=True):
        assert got.dtype == rows.dtype
        assert np.array_equal(got, rows[start:stop])


def test_no_span_is_nothing(written):
    assert Spans(written[0], "features").read([]) == []


def test_rows_that_were_appended_to_and_collected_meanwhile_are_still_read(tmp_path):
    own = FeatureStore(Root(tmp_path)).create("x@1", {}, "1", {"features": ((2,), "int16")})
    own.append([ItemRows(b"a" * 32, {"features": np.ones((3, 2), np.int16)})])
    spans = Spans(own, "features")
    own.append([ItemRows(b"b" * 32, {"features": np.ones((3, 2), np.int16)})])
    own.collect()
    assert spans.read([(0, 3)])[0].tolist() == [[1, 1]] * 3


def test_rows_that_are_gone_are_one_line(tmp_path):
    own = FeatureStore(Root(tmp_path)).create("x@1", {}, "1", {"features": ((1000,), "int16")})
    own.append([ItemRows(b"a" * 32, {"features": np.ones((3, 1000), np.int16)})])
    for chunk in (tmp_path / "features" / "x@1" / "chunks").rglob("*"):
        if chunk.is_file() and chunk.stat().st_size > 4_000_000:
            chunk.unlink()
    with pytest.raises(Damaged, match=r"^Rows of x@1 are damaged: .* Run `zsar verify x@1 --repair`, then go on\.$"):
        Spans(own, "features").read([(0, 3)])


def test_a_long_item_is_written_a_few_chunks_at_a_time(tmp_path):
    """Of 200 MB mapped from a file, memory holds 32 MiB and their copies, as tracemalloc sees it."""
    import tracemalloc

    rows = np.memmap(tmp_path / "rows", np.uint8, "w+", shape=(200_000, 1024))
    rows[::4096, 0] = 1
    own = FeatureStore(Root(tmp_path / "root")).create("x@1", {}, "1", {"frames": ((1024,), "uint8")})
    tracemalloc.start()
    try:
        own.append(
            [ItemRows(b"a" * 32, {"frames": rows}), ItemRows(b"b" * 32, {"frames": np.ones((3, 1024), np.uint8)})]
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 120e6
    assert own.shape() == (2, 200_003)
    assert not list(own.damage())
    assert Spans(own, "frames").read([(199_999, 200_002)])[0][:, 0].tolist() == [rows[-1, 0], 1, 1]
