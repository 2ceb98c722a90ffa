"""Queries: a phrase to the segments it tells, segments to segments, and a plain no where nothing can be compared."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.again import encoded
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.learn.fit import fit
from pipelines.look import seen
from pipelines.look.query import Hits, query, texts_like
from pipelines.look.segments import segments
from pipelines.look.settings import QueryConfig
from pipelines.look.spaces import spaces
from stores import vector_index
from stores.errors import BadQuery, NotInStore
from stores.features import FeatureStore, ItemRows
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from tests.pipelines import studies

TOLD = {"v1": ["a man runs", "he runs fast"], "v2": ["a dog sits"], "v3": ["he runs fast", "a dog sits", "rain"]}


@pytest.fixture
def captioned(root, fake, tmp_path) -> Root:
    """Three videos, told of by six captions, and their features."""
    path = tmp_path / "captions.jsonl"
    rows = [{"video": name, "captions": own, "class": name[1:]} for name, own in TOLD.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    index_captions(IndexConfig((str(path),), "d", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "d"), root)
    return root


@pytest.fixture
def films(root, videos, fake) -> Root:
    """Six films of drifting colours with three clips each."""
    extract(ExtractConfig(("fake",), "d"), root)
    return root


def found(hits: Hits, *columns: str) -> list[tuple]:
    return list(zip(*(hits.table[name].to_pylist() for name in columns), strict=True))


def test_a_phrase_finds_the_captions_nearest_to_it(captioned):
    hits = query(QueryConfig("a dog sat", k=4), captioned)
    held = FeatureStore(captioned).find("fake_text")
    assert (hits.feature, hits.output) == (held.name, "features")
    phrase = encoded(["a dog sat"], held, captioned)[0].astype(float)
    cosines = {}
    for text in {text for own in TOLD.values() for text in own}:
        row = held.load(np.frombuffer(text_key(text), np.uint8)[None]).values[0].astype(float)
        cosines[text] = row @ phrase / np.linalg.norm(row) / np.linalg.norm(phrase)
    rows = found(hits, "video_id", "segment", "text", "score")
    assert {row[:3] for row in rows[:2]} == {("v2", 0, "a dog sits"), ("v3", 1, "a dog sits")}
    assert [score for *_, score in rows] == sorted((score for *_, score in rows), reverse=True)
    assert all(score == pytest.approx(cosines[text], abs=1e-3) for _, _, text, score in rows)
    best = sorted((cosines[text] for own in TOLD.values() for text in own), reverse=True)[:4]
    assert [score for *_, score in rows] == pytest.approx(best, abs=1e-3)


def test_a_phrase_is_not_written_anywhere(captioned):
    before = FeatureStore(captioned).find("fake_text").snapshot
    query(QueryConfig("no caption of any video"), captioned)
    assert FeatureStore(captioned).find("fake_text").snapshot == before


def test_a_text_is_kept_where_that_is_asked(captioned):
    held = FeatureStore(captioned).find("fake_text")
    new = encoded(["entirely new", "a dog sits", "entirely new"], held, captioned, keep=True)
    assert held.shape()[0] == 5
    assert np.array_equal(new, encoded(["entirely new", "a dog sits", "entirely new"], held, captioned))
    with pytest.raises(UsageError, match="'123' has no vector in fake_text@.*no letter"):
        encoded(["123"], held, captioned)


def test_a_condition_is_sql_over_segments(captioned):
    hits = query(QueryConfig("a dog sits", where="label = '3' and text not like '%dog%'"), captioned)
    assert set(found(hits, "video_id", "text")) == {("v3", "he runs fast"), ("v3", "rain")}
    with pytest.raises(BadQuery, match='"labe" not found.*A segment has: dataset, video_id, label'):
        query(QueryConfig("a dog", where="labe = '3'"), captioned)
    with pytest.raises(BadQuery):
        query(QueryConfig("a dog", where="true) union select (1"), captioned)


def test_only_the_data_set_that_was_named_is_looked_in(captioned, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps({"video": "w1", "captions": ["a dog sits"]}))
    index_captions(IndexConfig((str(path),), "e", kind="captions"), captioned)
    assert found(query(QueryConfig("a dog sits", dataset="e"), captioned), "video_id") == [("w1",)]
    three = query(QueryConfig("a dog sits", k=3), captioned)
    assert set(found(three, "dataset", "video_id")) == {("d", "v2"), ("d", "v3"), ("e", "w1")}
    with pytest.raises(NotInStore, match="No data set is called 'f'"):
        query(QueryConfig("a dog sits", dataset="f"), captioned)


def test_films_have_no_space_with_phrases_and_it_is_said_why(films):
    with pytest.raises(UsageError, match="'a dog' cannot be compared with fake@.*it is of videos alone.*zsar fit"):
        query(QueryConfig("a dog", feature="fake"), films)
    with pytest.raises(UsageError, match="'a dog' can be compared with nothing in .* fake@.*videos alone"):
        query(QueryConfig("a dog"), films)


def test_a_segment_finds_segments_like_it_and_not_itself(films):
    everything = query(QueryConfig(like="v2", k=100), films)
    assert len(everything.table) == 15
    assert "v2" not in everything.table["video_id"].to_pylist()
    own = segments(FeatureStore(films).find("fake"), films)
    table = own.table().to_pylist()
    first = next(row for row in table if row["video_id"] == "v0" and row["segment"] == 0)
    span = f"v0@{first['start_s']}-{first['start_s'] + 0.001}"
    (mine,) = [i for i, row in enumerate(table) if row["video_id"] == "v0" and row["start_s"] == first["start_s"]]
    hits = query(QueryConfig(like=span, k=100), films)
    values = own.feature_set.load().values.astype(float)[own.row]
    cosines = values @ values[mine] / np.linalg.norm(values, axis=1) / np.linalg.norm(values[mine])
    right = sorted(np.delete(cosines, mine), reverse=True)
    assert hits.table["score"].to_pylist() == pytest.approx(right, abs=1e-5)
    assert (table[mine]["video_id"], table[mine]["segment"]) not in found(hits, "video_id", "segment")


def test_a_video_is_called_by_its_id_or_by_its_file(films, videos):
    by_id = query(QueryConfig(like="v3", k=3), films).table
    assert query(QueryConfig(like=videos[3].name, k=3), films).table.equals(by_id)
    assert query(QueryConfig(like=str(videos[3]), k=3), films).table.equals(by_id)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "Give a phrase, or --like"),
        ({"phrase": "a", "like": "v1"}, "one of the two"),
        ({"like": "v9"}, "No feature set has a video 'v9'"),
        ({"like": "v9", "feature": "fake"}, "fake@.* has no segment of a video 'v9'"),
        ({"like": "v1@90-91"}, r"No segment of 'v1' lies in 90-91 s; those of fake@.* between 0\.00 and 0\.\d+ s"),
    ],
)
def test_a_mistake_says_what_to_do(films, settings, told):
    with pytest.raises(UsageError, match=told):
        query(QueryConfig(**settings), films)


def test_captions_have_no_times_and_it_is_said(captioned):
    with pytest.raises(UsageError, match="have no times .captions have none.. Give --like v1 without @"):
        query(QueryConfig(like="v1@0-1"), captioned)
    assert found(query(QueryConfig(like="v2", k=1), captioned), "video_id")[0] != ("v2",)


def test_an_index_of_lists_gives_exact_scores_too(captioned, monkeypatch):
    exact = query(QueryConfig("a dog sat", k=3), captioned).table
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 2)
    captioned.remove("indexes")
    lists = query(QueryConfig("a dog sat", k=3), captioned).table
    assert lists["score"].to_pylist() == pytest.approx(exact["score"].to_pylist(), abs=1e-5)


def test_a_word_space_is_asked_through_its_own_word_vectors(root, fake, captioned):
    """Features whose recipe says which word vectors their `words` lie among."""
    texts = FeatureStore(root).find("fake_text")
    recipe = {"extractor": "e2e_c3d", "preprocessing": {"texts": texts.name}, "weights": "w"}
    outputs = {"features": ((3,), "float16"), "words": ((27,), "float32")}
    made = FeatureStore(root).create("e2e_c3d@ab", recipe, "ab", outputs)
    rows = [{"dataset": "film", "video_id": n, "kind": "video", "uri": f"/{n}", "key": text_key(n)} for n in ("f", "g")]
    Manifest(root).write("film", pa.Table.from_pylist(rows, schema=SCHEMA))
    words = encoded(["abc", "xyz"], texts, root)
    times = np.array([[0, 1]], np.float32)
    features = np.ones((1, 3), np.float16)
    made.append(
        [
            ItemRows(text_key(n), {"features": features, "words": w[None]}, times)
            for n, w in zip("fg", words, strict=True)
        ]
    )
    hits = query(QueryConfig("xyz", feature="e2e_c3d"), root)
    assert found(hits, "video_id", "start_s") == [("g", 0), ("f", 0)]
    assert hits.table["score"].to_pylist()[0] == pytest.approx(1, abs=1e-4)
    assert hits.output == "words"
    told = {each.name: each for each in spaces(root)}
    assert told["e2e_c3d@ab"].texts == texts.name
    FeatureStore(root).drop("fake_text")
    with pytest.raises(UsageError, match="phrases would go through fake_text@.*, which this cache has not"):
        query(QueryConfig("xyz", feature="e2e_c3d"), root)


def test_a_phrase_is_compared_in_the_space_of_a_fitted_head(tmp_path, fake):
    root = studies.made(tmp_path)
    options = ("texts=class",)
    run = fit(studies.config(tmp_path, "ridge", options), root).run
    name = studies.CLASSES[0]
    hits = query(QueryConfig(name, feature="ridge", k=5), root)
    assert hits.space.startswith(f"{run}, split 0: ")
    assert len(hits.table) == 5
    assert hits.table["score"].to_pylist() == sorted(hits.table["score"].to_pylist(), reverse=True)
    assert any(each.name == run and not each.why_not for each in spaces(root))


def test_the_command_writes_json_a_page_and_parquet(films, tmp_path):
    given = ["query", "--like", "v1", "-k", "4", "--root", films.url]
    told = json.loads(CliRunner().invoke(app, [*given, "--json", "--html"]).stdout)
    assert [hit["video_id"] != "v1" for hit in told["hits"]] == [True] * 4
    page = Path(told["page"].removeprefix("file://")).read_text()
    assert page.count("data:image/jpeg") == 4 * len(seen.PLACES)
    assert "#t=" in page
    out = tmp_path / "hits.parquet"
    told = json.loads(CliRunner().invoke(app, [*given, "--json", "--parquet", str(out)]).stdout)
    assert told["written"] == {"parquet": str(out)}
    told = json.loads(CliRunner().invoke(app, ["query", "--spaces", "--json", "--root", films.url]).stdout)
    assert told["spaces"][0]["why_not"].startswith("it is of videos alone")


def test_an_empty_cache_says_so(root):
    with pytest.raises(UsageError, match="It has no features"):
        query(QueryConfig("a dog"), root)


def test_what_is_dropped_loses_its_index_too(films):
    query(QueryConfig(like="v1"), films)
    name = FeatureStore(films).resolve("fake")
    assert films.exists("indexes", name)
    assert CliRunner().invoke(app, ["drop", "fake", "--yes", "--root", films.url]).exit_code == 0
    assert not films.exists("indexes", name)


def test_each_sentence_of_a_description_finds_its_segment(captioned):
    hits = query(QueryConfig("a man ran. A dog sat", k=2, each=True), captioned)
    held = FeatureStore(captioned).find("fake_text")
    asked = encoded(["a man ran", "A dog sat"], held, captioned).astype(float)
    own = segments(held, captioned)
    stored = np.concatenate(list(held.scan("features"))).astype(float)[own.row]
    cosines = stored @ asked.T / np.linalg.norm(stored, axis=1)[:, None] / np.linalg.norm(asked, axis=1)
    names = [own.items["video_id"][int(item)].as_py() for item in own.item]
    expected = {}
    for name in TOLD:
        mine = [row for row, of in zip(cosines, names, strict=True) if of == name]
        expected[name] = sum(max(row[p] for row in mine) for p in range(2)) / 2
    rows = hits.table.to_pylist()
    assert [row["phrase"] for row in rows] == ["a man ran", "A dog sat"] * 2
    best = sorted(expected, key=lambda name: -expected[name])[:2]
    assert [row["video_id"] for row in rows[::2]] == best
    assert [row["total"] for row in rows[::2]] == pytest.approx([expected[name] for name in best], abs=1e-3)
    for place, row in enumerate(rows):
        mine = [cosine[place % 2] for cosine, of in zip(cosines, names, strict=True) if of == row["video_id"]]
        assert row["score"] == pytest.approx(max(mine), abs=1e-3)
    alone = query(QueryConfig("a dog sat", k=2, each=True, where="video_id <> 'v2'"), captioned).table.to_pylist()
    assert {row["video_id"] for row in alone} <= {"v1", "v3"}


def test_a_segment_is_told_by_the_texts_nearest_to_it(captioned, tmp_path):
    studies.classes(captioned, tmp_path, ("run", "sit"), "s")
    studies.texts(captioned, tmp_path, "definition", {"run": ["to run fast"], "sit": ["a dog that sits"]}, "s")
    with pytest.raises(UsageError, match="No text of 's' has a vector in .* Run `zsar extract fake_text --set s`"):
        texts_like(QueryConfig(like="v2", set="s"), captioned)
    extract(ExtractConfig(("fake_text",), set="s"), captioned)
    found = texts_like(QueryConfig(like="v2", set="s", kinds=("definition",)), captioned).to_pylist()
    held = FeatureStore(captioned).find("fake_text")
    vectors = encoded(["a dog sits", "a dog that sits", "to run fast"], held, captioned).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (found[0]["class"], found[0]["kind"], found[0]["text"]) == ("sit", "definition", "a dog that sits")
    assert [row["score"] for row in found] == pytest.approx(sorted(vectors[1:] @ vectors[0], reverse=True), abs=1e-3)


def test_segments_of_a_space_without_texts_are_told_by_none(films):
    with pytest.raises(UsageError, match="cannot be compared with texts: it is of videos alone"):
        texts_like(QueryConfig(like="v1", set="s"), films)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"like": "v1", "each": True}, "--each is of a description"),
        ({"phrase": "x", "set": "s"}, "--set tells what segments show"),
        ({"like": "v1", "kinds": ("phrase",)}, "--kind is of the texts of --set"),
    ],
)
def test_options_that_do_not_fit_are_one_line(given, message):
    with pytest.raises(UsageError, match=message):
        QueryConfig(**given)
