"""Rows that are read when they are asked for: those of an array in memory, in other processes too."""

import pickle

import numpy as np
import pytest

from stores.features import FeatureStore, ItemRows
from stores.root import Root
from stores.stored_rows import StoredRows

SHAPE = (64, 32, 20)  # 80 KiB a row: wide


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((120, *SHAPE)).astype(np.float16)


@pytest.fixture(scope="module")
def root(values, tmp_path_factory) -> Root:
    root = Root(str(tmp_path_factory.mktemp("wide")))
    recipe = {"outputs": {"maps": {}}, "extractor": "x", "weights": "random:0"}
    own = FeatureStore(root).create("x@00", recipe, "00", {"maps": (SHAPE, "float16")})
    own.append([ItemRows(bytes([n]) * 32, {"maps": values[3 * n : 3 * n + 3]}) for n in range(40)])
    return root


def stored(root: Root) -> StoredRows:
    return StoredRows(root.url, "x@00", "maps", np.arange(120).reshape(40, 3)[::-1].copy())


def test_they_are_those_of_the_array(root, values):
    own, wanted = stored(root), values.reshape(40, 3, *SHAPE)[::-1].astype(np.float32)
    assert (own.shape, own.ndim, len(own)) == ((40, 3, *SHAPE), 5, 40)
    assert own.item_bytes == wanted[0].nbytes
    for which in ([5], [3, 3, 39, 0], np.arange(40) % 7 == 0, slice(2, 9), []):
        asked = np.array(which, np.int64) if isinstance(which, list) else which
        assert np.array_equal(own[asked], wanted[asked])
    assert own[np.array([1])].dtype == np.float32


def test_some_of_them_those_of_two_and_those_of_another_process(root):
    own = stored(root)
    some = own.take(np.array([4, 1])).then(own.take(np.array([0])))
    assert np.array_equal(some[:], own[np.array([4, 1, 0])])
    assert np.array_equal(pickle.loads(pickle.dumps(own))[:2], own[:2])


def test_chunks_of_wide_rows_hold_few_of_them_and_a_check_reads_few_at_once(root):
    own = FeatureStore(root).find("x@00")
    assert own.array("maps").chunks[0] == (4 << 20) // (2 * np.prod(SHAPE))
    assert own.array("times").chunks[0] > 1000
    assert not list(own.damage())
