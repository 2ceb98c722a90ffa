"""Parts handed over: whole or not there, and back as they were."""

import numpy as np
import pytest

from stores.errors import Damaged
from stores.failures import Failure
from stores.features import ItemRows
from stores.handover import Handover
from stores.root import Root

FAULT = Failure(bytes(32), "/v/a.mp4", "d", "ab" * 32, "x@ab", "decode", "Corrupt", "bad")


def item(seed: int, rows: int, times: bool = True) -> ItemRows:
    random = np.random.default_rng(seed)
    values = {
        "features": random.standard_normal((rows, 3)).astype(np.float16),
        "ids": random.integers(0, 9, (rows, 2, 2), np.int32),
    }
    return ItemRows(random.bytes(32), values, random.random((rows, 2), np.float32) if times else None)


def test_what_is_put_is_read_back_and_removed(root: Root) -> None:
    handover = Handover(root, "x@ab")
    assert handover.parts() == []
    first, second, third = item(0, 3), item(1, 1, times=False), item(2, 5)
    handover.put([first, second], [FAULT])
    handover.put([third])
    parts = handover.parts()
    assert len(parts) == 3
    rows, failures = handover.read(parts)
    assert [row.digest for row in rows] == [first.digest, second.digest, third.digest]
    assert [row.key for row in rows] == [first.key, second.key, third.key]
    assert np.array_equal(rows[0].times, first.times)
    assert rows[1].times is None
    assert rows[2].values["ids"].shape == (5, 2, 2)
    assert failures == [FAULT]
    assert handover.keys() == {first.key, second.key, third.key, FAULT.key}
    handover.remove(parts)
    assert handover.parts() == []
    assert Handover(root, "other@ab").parts() == []


def test_a_part_that_is_none_is_one_line(root: Root) -> None:
    handover = Handover(root, "x@ab")
    handover.put([item(0, 1)])
    (part,) = handover.parts()
    with open(root.path("handover", "x@ab", part), "wb") as file:
        file.write(b"nothing")
    with pytest.raises(Damaged, match="Remove it and run the same command again"):
        handover.read([part])


def test_a_part_taken_while_keys_are_listed_is_left_out(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    handover = Handover(root, "x@ab")
    handover.put([item(0, 1)])
    monkeypatch.setattr(handover, "parts", lambda: ["gone.rows.parquet", *Handover(root, "x@ab").parts()])
    assert handover.keys() == {item(0, 1).key}


def test_portions_are_as_large_as_memory_allows_and_are_removed_once_they_are_taken(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    handover = Handover(root, "x@1")
    for number in range(5):
        handover.put([item(number, 4)])
    size = sum(values.nbytes for values in item(0, 4).values.values())
    monkeypatch.setattr("stores.handover._PORTION_BYTES", 2 * size)
    left, keys = [], []
    for rows, _ in handover.portions():
        left.append(len(handover.parts()))
        keys += [each.key for each in rows]
    assert left == [5, 3, 1]
    assert handover.parts() == []
    assert keys == [item(number, 4).key for number in range(5)]
