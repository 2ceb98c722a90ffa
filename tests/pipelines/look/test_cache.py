"""The door for notebooks: rows with what they are of, tables for other libraries, and nothing written unasked."""

import importlib
import os
import subprocess
import sys

import dask.array
import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.look import cache as door
from pipelines.look.cache import Cache
from pipelines.look.tables import Answer
from stores.errors import BadQuery, NotInStore
from stores.features import FeatureStore
from stores.keys import text_key
from stores.root import Root
from stores.texts import SCHEMA as TEXT
from stores.texts import Texts
from tests.conftest import picture


@pytest.fixture
def cache(root: Root, videos, fake) -> Cache:
    extract(ExtractConfig(("fake",), "d"), root)
    return door.open(root.url)


def test_rows_stand_beside_what_they_are_of(cache):
    rows = cache.features("fake")
    held = FeatureStore(cache.root).find("fake")
    assert len(rows) == 18
    assert rows.names.tolist() == [f"v{i}" for i in range(6) for _ in range(3)]
    for name in ("v0", "v4"):
        key = cache.sql(f"select key from videos where video_id = '{name}'").to_pylist()[0]["key"]
        own = held.load(np.frombuffer(bytes.fromhex(key), np.uint8)[None])
        assert np.array_equal(rows.values[rows.names == name], own.values)
        assert np.allclose(rows.times[rows.names == name], own.times, atol=1e-6)
    assert rows.labels.tolist() == [None] * 18
    assert rows.splits.tolist() == [None] * 18


def test_some_are_chosen_by_data_set_condition_and_output(cache):
    rows = cache.features("fake", dataset="d", where="video_id in ('v1', 'v5') and segment < 2", output="top")
    assert rows.values.shape == (4, 2)
    assert rows.values.dtype == np.int32
    assert rows.names.tolist() == ["v1", "v1", "v5", "v5"]
    with pytest.raises(BadQuery, match="is no condition"):
        cache.features("fake", where="video_id; select 1")
    with pytest.raises(NotInStore, match="No data set is called 'e'"):
        cache.features("fake", dataset="e")
    with pytest.raises(NotInStore, match="has no output 'logits'"):
        cache.features("fake", output="logits")


def test_none_chosen_is_an_empty_answer(cache):
    rows = cache.features("fake", where="false")
    assert (len(rows), rows.values.shape) == (0, (0, 12))
    assert rows.to_pandas().empty
    assert "0 rows" in repr(rows)


def test_every_library_gets_the_same_values(cache, monkeypatch):
    rows = cache.features("fake", where="video_id <> 'v0'")
    table = rows.to_arrow()
    assert np.array_equal(np.array(table["features"].to_pylist()), rows.values.astype(float))
    frame = rows.to_pandas()
    assert np.array_equal(np.stack(frame["features"]), rows.values)
    assert frame["video_id"].tolist() == rows.names.tolist()
    lazy = rows.to_dask()
    assert isinstance(lazy, dask.array.Array)
    assert np.array_equal(lazy.compute(), rows.values)
    array = rows.to_xarray()
    assert array.dims == ("row", "features_0")
    assert np.array_equal(array.where(array.video_id == "v3", drop=True), rows.values[rows.names == "v3"])

    class Polars:
        from_arrow = staticmethod(lambda given: given.num_rows)

    monkeypatch.setitem(sys.modules, "polars", Polars)
    assert rows.to_polars() == 15
    assert cache.sql("select 1").to_polars() == 1


def test_a_library_that_is_missing_is_named_in_one_line(cache, monkeypatch):
    rows = cache.features("fake")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"^polars is not installed\. Run `pip install polars`\.$"):
        rows.to_polars()
    with pytest.raises(UsageError, match=r"^xarray is not installed"):
        rows.to_xarray()


def test_what_is_shown_is_small_and_readable(cache):
    told = repr(cache)
    assert "data sets: d\n" in told
    assert "feature sets: fake@" in told
    assert repr(cache.features("fake")).startswith("18 rows of fake@")
    shown = repr(cache.sql("select video_id, segment, features from fake order by all")).splitlines()
    assert shown[0].split() == ["video_id", "segment", "features"]
    assert len(shown) == 12
    assert shown[-1] == "... 18 rows in all"
    wide = Answer(pa.table({f"column_{i:02d}": ["x" * 30] for i in range(9)}))
    assert max(map(len, repr(wide).splitlines())) <= 150
    assert repr(wide).splitlines()[-1] == "also: column_04, column_05, column_06, column_07, column_08"


def test_a_search_goes_on_with_what_was_opened(cache, monkeypatch):
    first = cache.search(like="v2", k=4)
    again = cache.search(like="v2", k=4, feature="fake")
    assert again.to_arrow().equals(first.to_arrow())
    assert "like 3 segments of v2" in first.about
    FeatureStore(cache.root).find("fake").append(
        [row_of(cache, "v2", b"\1" * 32)]
    )  # of no video: the index grows, and finds what it found
    assert cache.search(like="v2", k=4, feature="fake").to_arrow().equals(first.to_arrow())


def row_of(cache: Cache, name: str, key: bytes):
    held = FeatureStore(cache.root).find("fake")
    row = held.rows(0)
    return type(row)(key, row.values, row.times)


def test_texts_are_encoded_and_written_only_where_asked(cache):
    with pytest.raises(NotInStore, match="No feature set matches 'minilm'"):
        cache.encode(["a bow"])
    with Texts(cache.root, "s").adding() as adding:
        text = {"key": text_key("a bow"), "text": "a bow", "kind": "class", "class": "bow", "part": "", "source": "s"}
        adding.rows(pa.Table.from_pylist([text | {"line": 1}], schema=TEXT.remove(TEXT.get_field_index("time_ns"))))
    extract(ExtractConfig(("fake_text",), set="s"), cache.root)
    held = FeatureStore(cache.root).find("fake_text")
    assert cache.encode(["an arrow", "a bow"], "fake_text").shape == (2, 27)
    assert held.shape()[0] == 1
    cache.encode(["an arrow"], "fake_text", keep=True)
    assert held.shape()[0] == 2
    with pytest.raises(UsageError, match="Give a list"):
        cache.encode("a bow", "fake_text")
    with pytest.raises(UsageError, match="fake@.* is of video items"):
        cache.encode(["a bow"], "fake")


def test_frames_are_those_shown_at_their_time(cache, videos):
    found = cache.frames("v3", [0, 0.1, 99])
    assert found.shape == (3, 48, 64, 3)
    for frame, number in zip(found, (0, 2, 14), strict=True):  # 25 a second, 15 of them
        assert np.abs(frame.astype(int) - picture(number, 64, 48, 3)).mean() < 20
    assert np.array_equal(cache.frames("v3", 0.1), found[1])
    assert np.array_equal(cache.frames(str(videos[3]), 0.1), found[1])
    with pytest.raises(UsageError, match="No film is called 'v9'"):
        cache.frames("v9", 0)


def test_a_root_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no cache in"):
        door.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_it_opens_from_any_folder_without_torch(cache, tmp_path):
    code = (
        "import sys; from pipelines.look.cache import open; cache = open(); "
        "print(len(cache.features('fake', where='segment = 0')), 'torch' in sys.modules)"
    )
    patched = f"import extractors; extractors.EXTRACTORS['fake'] = 'tests.fake:FakeExtractor'; {code}"
    path = os.pathsep.join(p for p in [os.getcwd(), os.environ.get("PYTHONPATH", "")] if p)
    run = subprocess.run(
        [sys.executable, "-c", patched],
        cwd=tmp_path,
        env=os.environ | {"ZSAR_ROOT": cache.root.url, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["6", "False"]
