"""The threads: constant batches, nothing lost, and an end that always comes."""

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from extractors.clips import Clips
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Runner
from pipelines.extract.runners.videos import Videos, row_times
from stores.features import ItemRows
from tests.fake import FakeExtractor, FakeStillExtractor


def items(count: int, features: tuple[str, ...] = ("fake",)) -> Iterator[Item]:
    return (Item(i.to_bytes(32, "big"), ((str(i), None),), None, str(i), features) for i in range(count))


def read(uri, views, key, span_s):
    """A decoder that makes up its clips: item i has pixels of value i, and 1 to 5 units."""
    value = int(uri)
    out = {}
    for name, view in views.items():
        shape = (1 + value % 5, view.sampling.frames, *view.geometry.size, 3)
        out[name] = Clips(np.full(shape, value % 256, np.uint8), np.zeros((shape[0], 2), np.float32))
    return out


def make(extractor=None, forwards=2, decoders=3, read=read) -> Runner:
    extractor = extractor or FakeExtractor()
    extractor.load("cpu")
    return Runner({"fake": extractor}, Videos({"fake": extractor}, "cpu", read), forwards, decoders)


def ended(before: int) -> bool:
    for _ in range(100):
        if threading.active_count() <= before:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("forwards", "decoders"), [(1, 1), (2, 3), (5, 2)])
def test_every_item_comes_out_once_with_its_own_rows(forwards, decoders):
    found = {}
    for result in make(forwards=forwards, decoders=decoders).results(items(83)):
        if result is not None:
            assert result.item.key not in found
            found[result.item.key] = result.outcome
    assert len(found) == 83
    for i in range(83):
        rows = found[i.to_bytes(32, "big")]
        assert isinstance(rows, ItemRows)
        assert rows.values["features"].shape == (1 + i % 5, 12)
        assert (rows.values["features"][:, :3] == i).all()
        assert (rows.values["features"][:, 3:6] == 0).all()  # nothing of a batch mate leaked in


def test_every_batch_has_the_same_shape_and_the_filling_is_dropped(monkeypatch):
    shapes = []
    real = FakeExtractor.__call__
    monkeypatch.setattr(FakeExtractor, "__call__", lambda self, u: shapes.append(u.shape) or real(self, u))
    outcomes = [r.outcome for r in make().results(items(7)) if r is not None]
    assert len(set(shapes)) == 1
    assert sum(len(o.values["features"]) for o in outcomes if isinstance(o, ItemRows)) == sum(
        1 + i % 5 for i in range(7)
    )


def test_rows_of_whole_items_carry_the_span_of_their_units():
    extractor = FakeStillExtractor()

    def spans(uri, views, key, span_s):
        times = np.array([[0, 1], [4, 5], [2, 3]], np.float32)
        return {"fake": Clips(np.zeros((3, 1, 16, 16, 3), np.uint8), times)}

    (result,) = [r for r in make(extractor, read=spans).results(items(1)) if r is not None]
    assert isinstance(result.outcome, ItemRows)
    assert result.outcome.times is not None
    assert result.outcome.times.tolist() == [[0, 5]]


@pytest.mark.parametrize("trial", range(10))
def test_stopping_early_ends_every_thread(trial):
    before = threading.active_count()
    with contextlib.closing(make(forwards=1 + trial % 3, decoders=6).results(items(10**9))) as results:
        for number, _ in enumerate(results):
            if number == trial:
                break
    assert ended(before)


@pytest.mark.parametrize("where", ["decoder", "model", "items"])
def test_an_unexpected_error_reaches_the_consumer_and_ends_every_thread(monkeypatch, where):
    before = threading.active_count()

    def broken(*arguments):
        raise ZeroDivisionError(where)

    def source():
        yield from items(20)
        raise ZeroDivisionError(where)

    if where == "model":
        monkeypatch.setattr(FakeExtractor, "__call__", broken)
    runner = make(decoders=5, read=broken if where == "decoder" else read)
    with pytest.raises(ZeroDivisionError, match=where):
        list(runner.results(source() if where == "items" else items(1000)))
    assert ended(before)


def test_decoded_pixels_are_bounded_by_the_queues_and_not_by_the_items():
    alive: list[weakref.ref] = []
    most = 0

    def counted(uri, views, key, span_s):
        nonlocal most
        out = read(uri, views, key, span_s)
        alive[:] = [ref for ref in alive if ref() is not None] + [weakref.ref(out["fake"].pixels)]
        most = max(most, len(alive))
        return out

    assert sum(r is not None for r in make(forwards=1, decoders=4, read=counted).results(items(300))) == 300
    assert 0 < most <= 16  # 4 in the queue, 4 in decoders' hands, the rest in the pool and in the batch


@pytest.mark.parametrize(
    ("rows", "times"),
    [
        (2, [[0, 4], [4, 6]]),  # one a unit
        (4, [[0, 2], [2, 4], [4, 5], [5, 6]]),  # two a unit: its halves
        (1, [[0, 6]]),  # one for the whole item
        (3, [[0, 6]] * 3),
    ],
)
def test_rows_of_a_unit_share_its_time_and_others_have_the_whole_items(rows, times):
    assert row_times(np.array([[0, 4], [4, 6]], np.float32), rows).tolist() == times
