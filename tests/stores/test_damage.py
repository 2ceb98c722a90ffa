"""Bytes that changed on the disk: noticed wherever they lie, named in one line, and nothing else is lost."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zarr

from stores.captions import Captions
from stores.errors import Damaged
from stores.failures import Failure, Failures
from stores.features import FeatureStore
from stores.manifest import SCHEMA, Manifest
from stores.runs import Runs
from stores.stat_cache import StatCache
from tests.stores.store_contract import OUTPUTS, rows_of


@pytest.fixture
def stored(root):
    made = FeatureStore(root).create("x@ab", {"extractor": "x"}, "ab", OUTPUTS)
    made.append([rows_of(i) for i in range(12)])
    return made


def write(stored, name, change):
    session, group = stored._session()
    array = group[name]
    array[:] = change(np.asarray(array[:]))
    session.commit("damage")


@pytest.mark.parametrize(
    ("name", "place", "item"),
    [("keys", (3, 31), 3), ("times", (0, 0), 0), ("digest", (5, 0), 5), ("seal", (5, 3), 5), ("features", (0, 1), 0)],
)
def test_a_flipped_bit_anywhere_of_an_item_is_noticed(stored, name, place, item):
    def flip(values):
        values[place[0]].view(np.uint8)[place[1]] ^= 1
        return values

    assert list(stored.damage()) == []
    write(stored, name, flip)
    assert [damage.item for damage in stored.damage()] == [item]


def test_repair_writes_times_too(stored):
    write(stored, "times", lambda times: times + 1)
    assert len(list(stored.damage())) == 12
    stored.repair({i: rows_of(i) for i in range(12)})
    assert list(stored.damage()) == []
    assert np.array_equal(stored.rows(4).times, rows_of(4).times)


def test_a_set_of_before_there_were_seals_is_verified_as_it_was_and_goes_on(stored):
    session, _ = stored._session()
    del zarr.open_group(session.store, mode="r+")["seal"]
    session.commit("as before")
    assert list(stored.damage()) == []
    assert stored.append([rows_of(50)]) == 1
    assert stored.shape()[0] == 13
    write(stored, "features", lambda values: values + 1)
    assert len(list(stored.damage())) == 13


def test_a_damaged_manifest_is_one_line_and_never_other_rows(root):
    rows = [
        {
            "dataset": "d",
            "video_id": f"video {i}",
            "kind": "video",
            "uri": f"/films/{i}.mp4",
            "key": bytes([i]) * 32,
            "label": f"label {i % 7}",
        }
        for i in range(200)
    ]
    Manifest(root).write("d", pa.Table.from_pylist(rows, schema=SCHEMA))
    whole, path = Manifest(root).read("d"), root.path("manifest", "d.parquet")
    content, draw = Path(path).read_bytes(), random.Random(0)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    told, same = 0, 0
    for _ in range(150):
        changed = bytearray(content)
        changed[draw.randrange(footer)] ^= 1 << draw.randrange(8)
        with open(path, "wb") as file:
            file.write(changed)
        try:
            assert Manifest(root).read("d").equals(whole)
            same += 1
        except Damaged as error:
            assert "\n" not in str(error)
            told += 1
    print(f"of 150 flipped bits {told} were told, {same} changed nothing")
    assert told > 100


def test_every_flipped_bit_of_the_pages_of_a_part_is_noticed(root):
    Failures(root).append([Failure(bytes(32), "u", "d", "r", "f", "s", "e", "m")])
    (name,) = root.names_in("failures")
    path = Path(root.path("failures", name))
    content, whole = path.read_bytes(), Failures(root).latest()
    for at in range(4, 200):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        try:
            assert Failures(root).latest().equals(whole)
        except Damaged as error:
            assert "\n" not in str(error)


def test_a_damaged_cache_is_made_anew(root):
    cache = StatCache(root)
    cache.put(("a", 1, 2), bytes(32))
    cache.save()
    (part,) = root.names_in("stat_cache/files")
    with open(root.path("stat_cache/files", part), "r+b") as file:
        file.write(b"\0" * 50)
    again = StatCache(root)
    assert again.get(("a", 1, 2)) is None
    again.put(("a", 1, 2), bytes(32))
    again.save()
    assert StatCache(root).get(("a", 1, 2)) == bytes(32)
    assert part not in root.names_in("stat_cache/files")


def test_strays_break_nothing(root, stored):
    for stray in ("features/x@y", "features/notes.txt", "runs", "captions", "manifest/.d.parquet.12345678.partial"):
        path = Path(root.path(stray))
        path.parent.mkdir(exist_ok=True)
        path.write_text("stray")
    assert FeatureStore(root).names() == ["x@ab"]
    assert FeatureStore(root).find("x").shape()[0] == 12
    assert Manifest(root).datasets() == []
    assert Runs(root).names() == []
    assert not Captions(root).exist("d")
