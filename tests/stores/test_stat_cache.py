"""Remembered digests: kept over runs, told apart by size and time, and safe from a second run that folds the parts."""

from stores.root import Root
from stores.stat_cache import StatCache


def fill(root: Root, parts: int) -> None:
    for i in range(parts):
        cache = StatCache(root)
        cache.put((f"v{i}", i, i), bytes([i]) * 32)
        cache.save()


def test_what_is_saved_is_known_to_the_next_run(root):
    fill(root, 3)
    cache = StatCache(root)
    assert cache.get(("v2", 2, 2)) == bytes([2]) * 32
    assert cache.get(("v2", 2, 3)) is None
    assert cache.get(("v2", 1, 2)) is None
    assert StatCache(root, "weights").get(("v2", 2, 2)) is None


def test_many_parts_are_folded_and_nothing_is_lost(root):
    fill(root, 40)
    assert len(root.names_in("stat_cache/files")) <= 17
    cache = StatCache(root)
    assert all(cache.get((f"v{i}", i, i)) == bytes([i]) * 32 for i in range(40))


def test_two_runs_that_fold_at_once_do_not_trip_over_each_other(root):
    fill(root, 16)
    one, two = StatCache(root), StatCache(root)
    for number, cache in enumerate((one, two)):
        cache.put((f"new{number}", 1, 1), bytes([200 + number]) * 32)
        cache.save()
    found = StatCache(root)
    assert found.get(("new0", 1, 1)) == bytes([200]) * 32
    assert found.get(("new1", 1, 1)) == bytes([201]) * 32
    assert found.get(("v7", 7, 7)) == bytes([7]) * 32
