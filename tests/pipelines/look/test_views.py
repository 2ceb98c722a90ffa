"""Views of the cache: what each says, that only what is named is read, and the command."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.look import arrays, views
from stores.errors import BadQuery, NotInStore
from stores.failures import Failure, Failures
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root

OUTPUTS = {"features": ((4,), "float16"), "text": ((2,), "int32"), "pose": ((3, 2), "float32")}


def rows_of(name: str, count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(int.from_bytes(text_key(name)[:4], "big"))
    return {
        "features": random.normal(size=(count, 4)).astype(np.float16),
        "text": random.integers(0, 9, (count, 2)).astype(np.int32),
        "pose": random.normal(size=(count, 3, 2)).astype(np.float32),
    }


@pytest.fixture
def held(root: Root) -> FeatureSet:
    """Four videos, of which `a` and `twin` have the same bytes, `c` is a span, and `d` has no features."""
    videos = {"a": ("A", "bow"), "b": ("B", "bow"), "c": ("C", "jump"), "d": ("D", "jump"), "twin": ("A", "jump")}
    table = [
        {"dataset": "d", "video_id": name, "kind": "video", "uri": f"/v/{name}", "key": text_key(content)}
        | {"label": label, "split": "train", "start_s": 10.0 if name == "c" else None}
        | {"end_s": 20.0 if name == "c" else None}
        for name, (content, label) in videos.items()
    ]
    Manifest(root).write("d", pa.Table.from_pylist(table, schema=SCHEMA))
    made = FeatureStore(root).create("x@ab", {"extractor": "x", "precision": "fp32", "weights": "w"}, "ab", OUTPUTS)
    times = np.array([[0.5, 1.5], [1.5, 2.5]], np.float32)
    made.append([ItemRows(text_key("B"), rows_of("B", 1)), ItemRows(text_key("C"), rows_of("C", 2), times)])
    made.append([ItemRows(text_key("A"), rows_of("A", 2), times)])
    return made


def test_a_feature_set_is_a_view_of_segments_with_arrays(root, held):
    for name in ("x", '"x@ab"', "X"):
        found = views.ask(f"select * from {name} order by video_id, segment", root)
        assert found["video_id"].to_pylist() == ["a", "a", "b", "c", "c", "twin", "twin"]
    expected = np.concatenate([rows_of(n, c)["features"] for n, c in (("A", 2), ("B", 1), ("C", 2), ("A", 2))])
    assert np.array_equal(np.array(found["features"].to_pylist()), expected.astype(np.float32))
    assert np.array_equal(np.array(found["pose"].to_pylist())[2], rows_of("B", 1)["pose"][0].ravel())
    assert np.array_equal(found["text_"].to_pylist()[2], rows_of("B", 1)["text"][0])
    assert found["start_s"].to_pylist() == [0.5, 1.5, None, 10.5, 11.5, 0.5, 1.5]
    assert found["label"].to_pylist() == ["bow", "bow", "bow", "jump", "jump", "jump", "jump"]


def test_a_set_larger_than_memory_should_hold_gives_the_same(root, held, monkeypatch):
    in_memory = views.ask("select * from x order by video_id, segment", root)
    monkeypatch.setattr(arrays, "_IN_MEMORY_BYTES", 0)
    assert views.ask("select * from x order by video_id, segment", root).equals(in_memory)


def test_counting_reads_no_features(root, held, monkeypatch):
    def scan(self, output="features"):
        raise AssertionError(f"{output} was read")

    monkeypatch.setattr(FeatureSet, "scan", scan)
    assert views.ask("select count(*) n from videos", root).to_pydict() == {"n": [5]}
    assert views.ask("select count(*) n, max(end_s) e from x", root).to_pydict() == {"n": [7], "e": [12.5]}
    assert "features" in views.ask("describe x", root)["column_name"].to_pylist()
    with pytest.raises(AssertionError, match="pose was read"):
        views.ask("select pose from x", root)


@pytest.mark.parametrize("name", views.VIEWS)
def test_every_view_has_its_columns_also_in_an_empty_cache(name, root):
    assert views.ask(f"from {name}", root).column_names == views.VIEWS[name].schema.names
    if name != "results":  # which has what papers print
        assert views.ask(f"select count(*) n from {name}", root)["n"].to_pylist() == [0]


def test_views_say_what_the_cache_holds(root, held):
    Failures(root).append([Failure(text_key("D"), "/v/d", "d", "ab", "x@ab", "decode", "Corrupt", "cut short")])
    one = {
        "select feature, extractor, items, rows, outputs from features": [
            "x@ab",
            "x",
            3,
            5,
            ["features", "text", "pose"],
        ],
        "select video_id, start_s from segments where feature = 'x@ab' and video_id = 'c' and segment = 1": ["c", 11.5],
        "select file, reason from failures": ["/v/d", "cut short"],
        f"select video_id from videos where key = '{text_key('D').hex()}'": ["d"],
    }
    for query, expected in one.items():
        assert [list(row.values()) for row in views.ask(query, root).to_pylist()] == [expected]


def test_views_join(root, held):
    query = (
        "select v.video_id from videos v left join (select distinct dataset, video_id from segments) s "
        "using (dataset, video_id) where s.video_id is null"
    )
    assert views.ask(query, root)["video_id"].to_pylist() == ["d"]


def test_an_unknown_view_is_told_with_those_there_are(root, held):
    with pytest.raises(BadQuery, match=r"vidos does not exist! Did you mean videos\? Views are"):
        views.ask("select * from vidos", root)
    with pytest.raises(BadQuery, match='Views are: videos, .*failures, "x@ab", x\\.'):
        views.ask("select * from y", root)


def test_two_sets_of_an_extractor_are_called_in_full(root, held):
    FeatureStore(root).create("x@cd", {"extractor": "x", "precision": "fp32", "weights": "w"}, "cd", OUTPUTS)
    assert views.ask('select count(*) n from "x@ab"', root)["n"].to_pylist() == [7]
    with pytest.raises(BadQuery, match="does not exist"):
        views.ask("select count(*) from x", root)


def command(root: Root, *given: str):
    return CliRunner().invoke(app, ["sql", *given, "--root", root.url])


def test_the_command_prints_json_and_writes_files(root, held, tmp_path):
    query = "select video_id, features, 1/0.0 as no_number from x order by video_id limit 1"
    told = json.loads(command(root, query, "--json").stdout)
    assert [column["name"] for column in told["columns"]] == ["video_id", "features", "no_number"]
    assert told["rows"][0]["video_id"] == "a"
    assert told["rows"][0]["no_number"] is None
    out = [tmp_path / "new" / "out.csv", tmp_path / "out.parquet"]
    told = json.loads(command(root, query, "--csv", str(out[0]), "--parquet", str(out[1]), "--json").stdout)
    assert told["count"] == 1
    rows = list(csv.DictReader(out[0].read_text().splitlines()))
    assert json.loads(rows[0]["features"]) == pq.read_table(out[1])["features"].to_pylist()[0]


def test_the_command_alone_lists_the_views(root, held):
    told = json.loads(command(root, "--json").stdout)["views"]
    assert {row["view"] for row in told} == {*views.VIEWS, "x"}
    assert command(root).stdout.count("video_id") >= 4


def test_a_mistake_is_one_line_and_status_1(root):
    found = command(root, "select")
    assert found.exit_code == 1
    assert found.stderr.startswith("zsar: Parser Error: ")
    assert found.stderr.count("\n") == 1


def test_a_dataset_that_is_not_there_is_named(root, held):
    from pipelines.look.segments import segments

    with pytest.raises(NotInStore, match="No data set is called 'e'"):
        segments(held, root, "e")
