"""Feature sets on a disk: the contract, concurrency, damage and repair, memory."""

import subprocess
import sys
from pathlib import Path

import icechunk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.extract.settings import VerifyConfig
from pipelines.extract.verify import verify
from pipelines.look.listing import features
from stores.errors import Ambiguous, Damaged, NotInStore, StoreError
from stores.features import FeatureStore, ItemRows, positions
from stores.root import Root
from tests.stores.store_contract import OUTPUTS, StoreContract, key_array, rows_of


class TestOnADisk(StoreContract):
    """The root fixture of conftest is a folder."""


def make(root: Root, items: int = 0, name: str = "x@ab"):
    feature_set = FeatureStore(root).create(name, {"extractor": "x"}, "ab", OUTPUTS)
    if items:
        feature_set.append([rows_of(i) for i in range(items)])
    return feature_set


def test_a_name_that_matches_several_lists_them(root):
    make(root, name="x@ab1")
    make(root, name="x@ab2")
    with pytest.raises(Ambiguous, match="'x@ab' matches 2 feature sets: x@ab1, x@ab2"):
        FeatureStore(root).find("x@ab")
    assert FeatureStore(root).find("x@ab2").name == "x@ab2"


def test_a_name_that_matches_none_lists_what_there_is(root):
    make(root)
    with pytest.raises(NotInStore, match="No feature set matches 'i3d'.*there are: x@ab.*zsar extract i3d"):
        FeatureStore(root).find("i3d")


@pytest.mark.parametrize("how", ["empty folder", "no group"])
def test_a_set_whose_creation_was_cut_short_is_none_and_is_made_again(root, how):
    folder = Path(root.path("features", "x@ab"))
    folder.mkdir(parents=True)
    if how == "no group":
        icechunk.Repository.create(root.storage("features", "x@ab"))
    store = FeatureStore(root)
    with pytest.raises(Damaged, match="holds nothing.*zsar drop x@ab"):
        store.find("x")
    assert store.get("x@ab") is None
    assert features(root)[0]["state"].startswith("Feature set x@ab")
    assert len(verify(VerifyConfig(), root)[0].damaged) == 1
    make(root, 3)
    assert store.find("x").shape()[0] == 3
    store.drop("x")
    folder.mkdir(parents=True)
    store.drop("x")
    assert store.names() == []


def test_commits_of_several_processes_at_once_lose_nothing(root):
    make(root)
    code = (
        "import sys; from stores.root import Root; from stores.features import FeatureStore\n"
        "from tests.stores.store_contract import rows_of\n"
        "s = FeatureStore(Root(sys.argv[1])).find('x'); start = int(sys.argv[2])\n"
        "[s.append([rows_of(i)]) for i in range(start, start + 25)]"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, root.url, str(100 * n)]) for n in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    feature_set = FeatureStore(root).find("x")
    assert feature_set.shape()[0] == 100
    assert list(feature_set.damage()) == []


def chunk_files(root: Root) -> list[Path]:
    return [p for p in Path(root.path("features", "x@ab", "chunks")).rglob("*") if p.is_file()]


def largest_values_chunk(root: Root, needle: bytes) -> Path:
    """The chunk file that holds these row bytes."""
    return next(p for p in chunk_files(root) if needle in p.read_bytes())


@pytest.mark.parametrize("how", ["flipped", "truncated", "gone"])
def test_damage_on_the_disk_is_found_and_repaired_and_the_others_are_untouched(root, how):
    items = [rows_of(i) for i in range(12)]
    feature_set = make(root)
    feature_set.append(items)
    before = feature_set.load(key_array(items)).values.copy()
    needle = items[5].values["features"].tobytes()
    path = largest_values_chunk(root, needle)
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[data.index(needle)] ^= 1
        path.write_bytes(data)
    elif how == "truncated":
        path.write_bytes(data[: len(data) // 3])
    else:
        path.unlink()
    found = list(FeatureStore(root).find("x").damage())
    assert found
    if how == "flipped":
        assert [d.key for d in found] == [items[5].key]
        assert "do not fit their digest" in found[0].reason
    reopened = FeatureStore(root).find("x")
    by_key = {item.key: item for item in items}
    reopened.repair({d.item: by_key[d.key] for d in found})
    repaired = FeatureStore(root).find("x")
    assert list(repaired.damage()) == []
    assert np.array_equal(repaired.load(key_array(items)).values, before)
    newest = repaired.commits()[0]
    assert newest["message"] == "repair"
    assert set(newest["with"]["digests"]) == {d.key.hex() for d in found}


def test_a_repair_that_changes_the_number_of_rows_is_refused(root):
    feature_set = make(root, 3)
    with pytest.raises(StoreError, match=r"has 2 rows, recomputed it gives 4.*drop the feature set"):
        feature_set.repair({1: rows_of(3)})


def test_rows_that_are_not_finite_are_damage(root):
    feature_set = make(root)
    bad = rows_of(1)
    bad.values["features"][0, 0] = np.inf
    feature_set.append([bad, rows_of(2)])
    assert [(d.key, d.reason) for d in feature_set.damage()] == [(bad.key, "not finite")]


def test_nan_is_no_damage_where_the_recipe_says_that_there_may_be_gaps(root):
    outputs = {"places": ((3,), "float16"), "sizes": ((3,), "float16")}
    recipe = {"outputs": {"places": {"gaps": True}, "sizes": {}}}
    feature_set = FeatureStore(root).create("g@0", recipe, "0", outputs)
    whole, gap = np.ones((2, 3), np.float16), np.full((2, 3), np.nan, np.float16)
    for number, (places, sizes) in enumerate([(gap, whole), (whole, gap), (whole, whole)]):
        item = ItemRows(bytes([number]) * 32, {"places": places, "sizes": sizes})
        feature_set.append([item])
    feature_set.append([ItemRows(b"i" * 32, {"places": np.full((1, 3), np.inf, np.float16), "sizes": whole[:1]})])
    assert [(d.item, d.reason) for d in FeatureStore(root).find("g").damage()] == [(1, "not finite"), (3, "not finite")]


def test_collecting_frees_what_old_snapshots_hold_and_nothing_else(root):
    feature_set = make(root)
    items = [rows_of(i) for i in range(30)]
    for item in items:
        feature_set.append([item])
    before = feature_set.size_bytes()
    assert feature_set.collect() > before / 2
    survivor = FeatureStore(root).find("x")
    assert survivor.size_bytes() < before / 2
    assert np.array_equal(survivor.load(key_array(items)).values, np.concatenate([i.values["features"] for i in items]))


def test_many_small_commits_are_collected_by_themselves(root, monkeypatch):
    from datetime import timedelta

    monkeypatch.setattr("stores.features._GRACE", timedelta(0))
    feature_set = make(root)
    sizes = []
    for i in range(150):
        feature_set.append([rows_of(i)])
        sizes.append(feature_set.size_bytes())
    assert max(sizes[80:]) <= 1.2 * max(sizes[:70])


def test_a_memmap_and_an_array_hold_the_same(root, tmp_path):
    feature_set = make(root, 25)
    keys = feature_set.keys()[::-1]
    mapped = feature_set.load(keys, memmap=tmp_path / "values.bin").values
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, feature_set.load(keys).values)


def test_the_mean_of_an_item_is_that_of_its_rows(root):
    feature_set = make(root, 9)
    loaded = feature_set.load()
    for i, mean in enumerate(loaded.mean()):
        rows = loaded.values[loaded.offsets[i] : loaded.offsets[i + 1]].astype(np.float32)
        np.testing.assert_allclose(mean, sum(rows) / len(rows), rtol=1e-6)


def test_scan_dask_and_xarray_see_the_same_rows(root):
    feature_set = make(root, 9)
    values = feature_set.load().values
    assert np.array_equal(np.concatenate(list(feature_set.scan())), values)
    assert np.array_equal(feature_set.to_dask().compute(), values)
    dataset = feature_set.to_xarray()
    assert np.array_equal(dataset["features"].values, values)
    assert np.bincount(dataset["item"].values).tolist() == np.diff(feature_set.load().offsets).tolist()


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=12), cut=st.integers(0, 12), data=st.data())
def test_write_then_read_is_identity_for_any_ragged_items(tmp_path_factory, counts, cut, data):
    root = Root(tmp_path_factory.mktemp("root"))
    feature_set = make(root)
    items = [rows_of(i, count) for i, count in enumerate(counts)]
    for part in (items[:cut], items[cut:]):
        if part:
            feature_set.append(part)
    order = data.draw(st.lists(st.integers(0, len(items) - 1), min_size=1, max_size=20))
    loaded = feature_set.load(key_array([items[i] for i in order]), "ids")
    assert np.array_equal(loaded.values, np.concatenate([items[i].values["ids"] for i in order]))


@given(st.lists(st.integers(0, 40), max_size=60), st.lists(st.integers(0, 40), unique=True, max_size=40))
def test_positions_agree_with_a_plain_search(asked, stored):
    def keys(numbers):  # keys that collide in their first 8 bytes three by three
        return np.array([[0] * 7 + [n // 3] + [n] * 24 for n in numbers], np.uint8).reshape(-1, 32)

    expected = [stored.index(n) if n in stored else -1 for n in asked]
    assert positions(keys(stored), keys(asked)).tolist() == expected


def test_the_digest_covers_every_output(root):
    item = rows_of(3)
    other = ItemRows(item.key, {**item.values, "ids": item.values["ids"] + 1}, item.times)
    assert item.digest != other.digest
