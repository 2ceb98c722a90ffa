"""What every place a cache can live in promises; a test class per place inherits it."""

import numpy as np
import pytest

from stores.errors import NotInStore, WriteFailed
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.root import Root

OUTPUTS = {"features": ((8,), "float16"), "ids": ((3,), "int32")}


def rows_of(number: int, count: int | None = None) -> ItemRows:
    """Item `number`, the same each time; 1 to 4 rows."""
    random = np.random.default_rng(number)
    count = count or 1 + number % 4
    return ItemRows(
        random.bytes(32),
        {
            "features": random.normal(size=(count, 8)).astype(np.float16),
            "ids": random.integers(0, 1000, (count, 3)).astype(np.int32),
        },
        np.sort(random.random((count, 2)), 1).astype(np.float32),
    )


def key_array(items: list[ItemRows]) -> np.ndarray:
    return np.stack([np.frombuffer(item.key, np.uint8) for item in items])


class StoreContract:
    """Inherit and define the fixture `root`."""

    @pytest.fixture
    def feature_set(self, root: Root) -> FeatureSet:
        return FeatureStore(root).create(
            "x@0123456789ab", {"extractor": "x"}, "0123456789abcdef", OUTPUTS, {"ids": ["a", "b"]}
        )

    def test_a_new_set_is_empty_and_says_what_it_is(self, root, feature_set):
        opened = FeatureStore(root).find("x@0123")
        assert opened.shape() == (0, 0)
        assert (opened.name, opened.key, opened.outputs) == ("x@0123456789ab", "0123456789abcdef", ["features", "ids"])
        assert opened.recipe == {"extractor": "x"}
        assert opened.columns == {"ids": ["a", "b"]}

    def test_what_is_appended_is_read_back_in_any_order(self, feature_set):
        items = [rows_of(i) for i in range(20)]
        assert feature_set.append(items[:7]) == 7
        assert feature_set.append(items[7:]) == 13
        for order in ([3, 17, 0], list(range(20)), [5, 5, 2]):
            wanted = [items[i] for i in order]
            for output in ("features", "ids"):
                loaded = feature_set.load(key_array(wanted), output)
                assert np.array_equal(loaded.values, np.concatenate([w.values[output] for w in wanted]))
                assert np.array_equal(loaded.times, np.concatenate([w.times for w in wanted]))
                assert np.diff(loaded.offsets).tolist() == [len(w.times) for w in wanted]

    def test_an_item_is_kept_once_however_often_it_is_handed_over(self, feature_set):
        items = [rows_of(i) for i in range(5)]
        feature_set.append(items[:3])
        assert feature_set.append([*items, items[4]]) == 2
        assert feature_set.append(items) == 0
        assert feature_set.shape()[0] == 5

    def test_damage_is_found_nowhere_in_what_was_just_written(self, feature_set):
        feature_set.append([rows_of(i) for i in range(50)])
        assert list(feature_set.damage()) == []

    def test_unknown_items_and_outputs_are_named(self, feature_set):
        feature_set.append([rows_of(1)])
        with pytest.raises(NotInStore, match="no rows for 1 of the 2 items"):
            feature_set.load(key_array([rows_of(1), rows_of(2)]))
        with pytest.raises(NotInStore, match="has no output 'logits'; it has: features, ids"):
            feature_set.load(output="logits")

    def test_dropping_leaves_the_others_alone(self, root, feature_set):
        store = FeatureStore(root)
        store.create("y@aa", {}, "aa", OUTPUTS).append([rows_of(1)])
        store.drop("x")
        assert store.names() == ["y@aa"]
        assert store.find("y").shape() == (1, 2)

    def test_a_commit_that_fails_on_any_write_loses_nothing_and_adds_nothing(self, root, feature_set):
        first, second = [rows_of(i) for i in range(4)], [rows_of(i) for i in range(4, 9)]
        feature_set.append(first)
        writes = 0
        for k in range(1, 100):
            failing = FeatureStore(root, wrap=lambda store, k=k: FailingStore(store, k)).find("x")
            try:
                failing.append(second)
            except WriteFailed as error:
                writes = k
                assert "no space left on the disk" in str(error)
                assert "run the same command again" in str(error)
                survivor = FeatureStore(root).find("x")
                assert survivor.shape()[0] == 4
                assert list(survivor.damage()) == []
            else:
                break
        assert writes >= 6  # every array was written at least once
        survivor = FeatureStore(root).find("x")
        assert survivor.shape()[0] == 9
        loaded = survivor.load(key_array(first + second))
        assert np.array_equal(loaded.values, np.concatenate([i.values["features"] for i in first + second]))


def FailingStore(store, k):  # noqa: N802 - a class made on demand, so that importing this module imports no Zarr
    """A store whose disk is full at the k-th write."""
    from zarr.storage import WrapperStore

    class Failing(WrapperStore):
        writes = 0

        async def set(self, key, value, byte_range=None):
            Failing.writes += 1
            if Failing.writes >= k:
                raise OSError(28, "No space left on device")
            await super().set(key, value)

    return Failing(store)
