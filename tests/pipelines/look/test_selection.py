"""Selections: answers as data sets, with versions that never change, and features that are there already."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.look import listing, views
from pipelines.look.export import export
from pipelines.look.query import query
from pipelines.look.segments import segments
from pipelines.look.selection import save
from pipelines.look.settings import ExportConfig, QueryConfig
from stores.captions import Captions
from stores.errors import Ambiguous, NotInStore
from stores.features import FeatureStore
from stores.foreign import read_foreign
from stores.manifest import Manifest
from stores.selections import Selections


@pytest.fixture
def extracted(root, fake, videos):
    extract(ExtractConfig(("fake",), "d"), root)
    return [path.stem for path in videos]


def answer(**columns) -> pa.Table:
    return pa.table(columns)


def test_a_selection_is_a_data_set_whose_features_are_there(root, extracted, tmp_path):
    one, two, *_ = extracted
    saved = save(answer(video_id=[two, one, two], label=["in", "out", "in"]), "mine", "why", root)
    assert saved == ("mine@1", 2, True)
    table = Manifest(root).read("mine")
    assert dict(zip(table["video_id"].to_pylist(), table["label"].to_pylist(), strict=True)) == {one: "out", two: "in"}
    assert Manifest(root).read("d")["label"].to_pylist() == [None] * len(extracted)  # whose own it leaves alone
    assert Manifest(root).datasets() == ["d"]
    export(ExportConfig("fake", "mine", str(tmp_path / "f.h5")), root)
    assert read_foreign(tmp_path / "f.h5").video_id == sorted([one, two])
    own = segments(FeatureStore(root).find("fake"), root, "mine@1").table(["dataset", "label"])
    assert set(own["dataset"].to_pylist()) == {"mine@1"}
    assert set(own["label"].to_pylist()) == {"in", "out"}
    assert extract(ExtractConfig(("fake",), "mine"), root).features[0].skipped == 2


def test_another_answer_is_another_version_and_the_same_is_none(root, extracted):
    one, two, *_ = extracted
    assert save(answer(video_id=[one]), "mine", "a", root).new
    assert save(answer(video_id=[one, one]), "mine", "another question, the same answer", root) == ("mine@1", 1, False)
    assert save(answer(video_id=[one, two]), "mine", "b", root).dataset == "mine@2"
    assert save(answer(video_id=[one, two], split=["train", "test"]), "mine", "c", root).dataset == "mine@3"
    assert [Manifest(root).read(f"mine@{n}").num_rows for n in (1, 2, 3)] == [1, 2, 2]
    assert Manifest(root).read("mine")["split"].to_pylist() == Manifest(root).read("mine@3")["split"].to_pylist()
    rows = [row for row in listing.datasets(root) if row["selected"]]
    assert [(row["dataset"], row["selected"]) for row in rows] == [
        ("mine@1", "from d: a"),
        ("mine@2", "from d: b"),
        ("mine@3", "from d: c"),
    ]
    counted = views.ask("select selection, count(*) n from selections group by all order by all", root).to_pylist()
    assert [(row["selection"], row["n"]) for row in counted] == [("mine@1", 1), ("mine@2", 2), ("mine@3", 2)]


def test_parts_are_items_of_their_own_with_features_of_their_own(root, extracted):
    name = extracted[0]
    table = answer(video_id=[name, name], start_s=[0.0, 0.1], end_s=[0.3, 0.4], label=["a", "b"])
    save(table, "parts", "q", root, parts=True)
    held = Manifest(root).read("parts")
    assert held["video_id"].to_pylist() == [f"{name}#0", f"{name}#1"]
    assert len(held["key"].unique()) == 2
    report = extract(ExtractConfig(("fake",), "parts"), root)
    assert (report.features[0].extracted, report.features[0].failed) == (2, 0)
    (checked,) = verify(VerifyConfig(recompute=100), root)
    assert not checked.differing
    assert not checked.damaged
    own = segments(FeatureStore(root).find("fake"), root, "parts")
    assert np.nanmin(own.times[own.item == 1]) >= 0.1  # seconds in the file


@pytest.mark.parametrize(
    ("table", "name", "message"),
    [
        ({"label": ["x"]}, "mine", "needs the column video_id .* the answer has: label"),
        ({"video_id": pa.array([], pa.string())}, "mine", "The answer is empty"),
        ({"video_id": ["nowhere"]}, "mine", "1 videos of the answer are in no data set: nowhere"),
        ({"video_id": ["v0", "v0"], "label": ["a", "b"]}, "mine", "two things of 'v0': label 'a', .*; label 'b'"),
        ({"video_id": ["v0"]}, "d", "'d' is a data set that was indexed"),
        ({"video_id": ["v0"]}, "no name", "letters, digits, dot"),
    ],
)
def test_what_is_no_selection_is_refused(table, name, message, root, extracted):
    table = {
        k: [extracted[0] if v == "v0" else v for v in vs] if k == "video_id" and len(vs) else vs
        for k, vs in table.items()
    }
    message = message.replace("v0", extracted[0])
    with pytest.raises(UsageError, match=message):
        save(answer(**table), name, "q", root)
    assert Selections(root).names() == []


def test_the_name_of_a_selection_is_nobody_elses(root, extracted):
    save(answer(video_id=extracted[:1]), "mine", "q", root)
    with pytest.raises(Ambiguous, match="'mine' is a selection of other data sets"):
        Manifest(root).write("mine", Manifest(root).read("d"))
    with pytest.raises(NotInStore, match="has no version '2'; there are: mine@1"):
        Manifest(root).read("mine@2")
    Selections(root).remove("mine")
    with pytest.raises(NotInStore, match="No data set is called 'mine'"):
        Manifest(root).read("mine")


def test_captions_come_along_and_are_found_in_the_selection_alone(root, fake, tmp_path):
    told = {"v1": ["a man runs", "he runs fast"], "v2": ["a dog sits"], "v3": ["he runs fast", "a dog sits", "rain"]}
    lines = [json.dumps({"video": v, "class": "x", "captions": texts}) for v, texts in told.items()]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    index_captions(IndexConfig((str(tmp_path / "c.jsonl"),), "t", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "t"), root)
    save(answer(video_id=["v3", "v1"]), "mine", "q", root)
    save(answer(video_id=["v2"]), "mine", "q", root)
    assert sorted(Captions(root).read("mine@1")["text"].to_pylist()) == sorted(told["v1"] + told["v3"])
    assert Captions(root).read("mine")["text"].to_pylist() == told["v2"]
    hits = query(QueryConfig("a dog sits", dataset="mine@1", feature="fake_text"), root).table.to_pylist()
    assert {(hit["dataset"], hit["video_id"]) for hit in hits} == {("mine@1", "v1"), ("mine@1", "v3")}
    assert (hits[0]["video_id"], hits[0]["text"]) == ("v3", "a dog sits")
