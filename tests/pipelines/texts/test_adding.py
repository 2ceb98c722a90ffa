"""Texts of a set: linked, kept once, encoded once; and what changed is known class by class."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from extractors import options
from extractors.errors import ExtractorError
from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.look.listing import failures, texts
from pipelines.texts import encoded as class_texts
from pipelines.texts.adding import add, link
from pipelines.texts.settings import TextsConfig
from stores.classes import Classes
from stores.errors import NotInStore, StoreError
from stores.features import FeatureStore
from stores.keys import key_array, text_key
from stores.root import Root
from stores.texts import Texts
from tests.conftest import contents
from tests.fake import FakeTextExtractor

pytestmark = pytest.mark.usefixtures("fake")
FEATURE = ExtractConfig(("fake_text",), "s")


def write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def told(action: str, *texts: str) -> list[dict[str, str]]:
    return [{"action": action, "description": text} for text in texts]


@pytest.fixture
def classes(root: Root, tmp_path: Path) -> list[str]:
    names = ["ApplyEyeMakeup", "Archery", "HandstandPushups"]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "s"), root)
    return names


def test_class_lists_keep_the_spelling_and_are_texts_too(root, classes):
    table = Classes(root).read("s")
    assert table["name"].to_pylist() == classes
    assert table["readable"].to_pylist() == ["apply eye makeup", "archery", "handstand pushups"]
    assert Texts(root, "s").read(["text", "kind"]).to_pylist()[0] == {"text": "apply eye makeup", "kind": "class"}


def test_descriptions_are_linked_kept_once_and_the_rest_is_reported(root, classes, tmp_path):
    first = write(
        tmp_path / "1.jsonl",
        [
            *told("applying eye makeup", "a brush", "a  brush ", "a face"),
            *told("archery", "a bow", "a brush"),
            *told("juggling", "balls"),
            *told("hand stand pushups", "upside down"),
        ],
    )
    report = add(TextsConfig((first,), "description", "s"), root)
    assert (report.read, report.new, report.duplicate, report.unlinked) == (7, 5, 1, 1)
    assert report.texts == 4  # "a brush" stands for two classes and is one text
    assert report.unlinked_names == {"juggling": 1}
    assert report.classes == ("ApplyEyeMakeup", "Archery", "HandstandPushups")
    again = add(TextsConfig((first,), "description", "s"), root)
    assert (again.new, again.duplicate, again.classes) == (0, 6, ())
    assert len(Texts(root, "s").parts()) == 2  # an addition of nothing leaves no part
    second = write(tmp_path / "2.jsonl", told("Archery", "a bow", "an arrow"))
    report = add(TextsConfig((second,), "description", "s"), root)
    assert (report.new, report.duplicate, report.texts, report.classes) == (1, 1, 1, ("Archery",))


def test_definitions_bring_classes_where_there_are_none(root, tmp_path):
    (tmp_path / "d.json").write_text('[{"class": "archery", "definition": "to shoot"}]')
    report = add(TextsConfig((str(tmp_path / "d.json"),), "definition", "s"), root)
    assert (report.new, report.texts) == (1, 2)  # the class's name is a text to encode too
    assert Classes(root).read("s")["name"].to_pylist() == ["archery"]
    (tmp_path / "labels.csv").write_text("label,youtube_id,time_start\nArchery,ab,1\nsurfing,cd,2\nsurfing,ef,3\n")
    listed = add(TextsConfig((str(tmp_path / "labels.csv"),), "class", "s"), root)
    assert (listed.read, listed.new, listed.duplicate) == (3, 1, 2)
    assert Classes(root).read("s")["name"].to_pylist() == ["archery", "surfing"]
    assert sorted(Texts(root, "s").read(["kind"])["kind"].to_pylist()) == ["class", "class", "definition"]


@pytest.mark.parametrize("kind", ["definition", "description", "phrase"])
def test_parts_of_a_class_are_kept_whatever_kind_they_are(root, classes, tmp_path, kind):
    entries = [
        {"class": "Archery", "head": "looks ahead", "start": "lifts the bow"},
        {"class": "Apply eye makeup", "head": "keeps still"},
    ]
    (tmp_path / "parts.json").write_text(json.dumps(entries))
    report = add(TextsConfig((str(tmp_path / "parts.json"),), kind, "s"), root)
    assert (report.read, report.new, report.bad, report.left_out) == (3, 3, 0, {})
    rows = Texts(root, "s").read(["class", "part", "text"], (kind,)).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("Archery", "head", "looks ahead"),
        ("Archery", "start", "lifts the bow"),
        ("ApplyEyeMakeup", "head", "keeps still"),
    ]


def test_what_stands_beside_a_description_is_left_out_and_named(root, classes, tmp_path):
    rows = [{"action": "archery", "description": "a bow", "title": "my holiday", "by": ""}] * 2
    path = write(tmp_path / "1.jsonl", [*rows, *told("Archery", "an arrow")])
    report = add(TextsConfig((path,), "description", "s"), root)
    assert (report.read, report.new, report.bad, report.left_out) == (3, 2, 0, {"title": 2, "by": 2})
    asked = ["texts", "add", path, "--kind", "description", "--set", "s", "--root", root.url]
    done = CliRunner().invoke(app, asked)
    assert "Left out, as they stand beside a description: title (2), by (2). Give parts" in done.stderr
    assert json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["left_out"] == {"title": 2, "by": 2}
    assert add(TextsConfig((path,), "phrase", "s"), root).left_out == {}


SEEN_ALIKE = [
    ("massaging person's head", "massaging person\u2019s head"),
    ("massaging person's head", "massaging person\u02bcs head"),
    ("massaging person's head", "massaging person`s head"),
    ("massaging person's head", "massaging\u00a0person's head"),
    ("playing ping-pong", "playing ping\u2011pong"),
    ("playing ping-pong", "playing\u200bping\u2013pong"),
    ("abseiling", "abseiling\u200b"),
    ("abseiling", "abs\u00adeiling"),
    ("abseiling", "abseil\u200bing"),
    ("abseiling", "\ufeffabseiling"),
    ("abseiling", "\uff41bseiling"),
    ("café dance", "cafe\u0301 dance"),
    ("fixing hair", "\ufb01xing hair"),
    ("Putting [something] on", "putting something on"),
]


@pytest.mark.parametrize(("name", "written"), SEEN_ALIKE)
def test_a_name_is_found_by_what_the_eye_sees_and_kept_as_it_is_written(root, tmp_path, name, written):
    (tmp_path / "c.txt").write_text("\n".join(dict.fromkeys(name for name, _ in SEEN_ALIKE)))
    add(TextsConfig((str(tmp_path / "c.txt"),), "class", "s"), root)
    said = f"{written} is what is said"
    report = add(TextsConfig((write(tmp_path / "1.jsonl", told(written, said)),), "description", "s"), root)
    assert report.classes == (name,)
    assert Texts(root, "s").read(["key"], ("description",))["key"].to_pylist() == [text_key(said)]
    (tmp_path / "other.txt").write_text(written)
    add(TextsConfig((str(tmp_path / "other.txt"),), "class", "other"), root)
    (kept,) = Classes(root).read("other")["name"].to_pylist()
    assert text_key(kept) == text_key(written.lstrip("\ufeff"))


def test_lines_of_another_encoding_are_read_where_it_is_named(root, classes, tmp_path):
    path = tmp_path / "1.csv"
    path.write_bytes("class,text\narchery,café\narchery,bow\n".encode("cp1252"))
    asked = ["texts", "add", str(path), "--kind", "description", "--set", "s", "--root", root.url, "--json"]
    ((_, line, why),) = json.loads(CliRunner().invoke(app, asked).stdout)["problems"]
    assert (line, "--encoding cp1252" in why) == (2, True)
    again = json.loads(CliRunner().invoke(app, [*asked, "--encoding", "cp1252"]).stdout)
    assert (again["new"], again["duplicate"], again.get("bad", 0)) == (1, 1, 0)
    with pytest.raises(UsageError, match="No encoding of texts is called 'windows'; there are cp1252"):
        TextsConfig((str(path),), "description", "s", encoding="windows")
    for wide in ("utf-16", "utf-32", "utf-16-le"):
        path.write_bytes("class,description\nabseiling,A café\n".encode(wide))
        assert add(TextsConfig((str(path),), "description", "s", encoding=wide), root).bad == 0
    with pytest.raises(UsageError, match="No encoding of texts is called 'undefined'"):
        TextsConfig((str(path),), "description", "s", encoding="undefined")
    with pytest.raises(UsageError, match="No encoding of texts is called 'base64'"):
        TextsConfig((str(path),), "description", "s", encoding="base64")


def test_what_a_list_of_classes_leaves_out_is_told(root, tmp_path):
    (tmp_path / "c.csv").write_text("Lifting [something], then dropping it\nRunning\n")
    asked = ["texts", "add", str(tmp_path / "c.csv"), "--kind", "class", "--set", "s", "--root", root.url]
    done = CliRunner().invoke(app, asked)
    assert (
        "Left out, as a class is its name alone: text (1). Put a name that holds a comma between quotes." in done.stderr
    )
    (tmp_path / "c.csv").write_text('"Lifting [something], then dropping it"\nRunning\n')
    assert add(TextsConfig((str(tmp_path / "c.csv"),), "class", "t"), root).left_out == {}
    assert Classes(root).read("t")["readable"].to_pylist() == ["lifting something then dropping it", "running"]


@pytest.mark.shared
def test_names_of_the_odd_files_find_their_classes(root, shared_data):
    folder = shared_data / "odd" / "texts_of_others"
    add(TextsConfig((str(folder / "classes.txt"),), "class", "s"), root)
    report = add(TextsConfig((str(folder / "curly.csv"),), "description", "s"), root)
    assert (report.read, report.unlinked, len(report.classes)) == (5, 0, 4)
    every = [str(path) for path in sorted(folder.glob("*.csv")) + sorted(folder.glob("*.jsonl"))]
    report = add(TextsConfig(tuple(every), "description", "s", encoding="cp1252"), root)
    assert (report.unlinked, report.bad) == (0, 5)
    assert report.read == report.new + report.duplicate


def test_sets_are_listed_with_what_they_hold(root, classes, tmp_path):
    add(TextsConfig((write(tmp_path / "1.jsonl", told("Archery", "a bow", "archery")),), "description", "s"), root)
    counts = {"classes": 3, "definition": 0, "description": 2, "phrase": 0, "object": 0, "different": 4}
    assert texts(root) == [{"set": "s", **counts}]


def test_new_text_alone_is_encoded_and_only_its_classes_change(root, classes, tmp_path, monkeypatch):
    add(TextsConfig((write(tmp_path / "1.jsonl", told("Archery", "a bow", "the target") + told("apply eye makeup", "a brush")),), "description", "s"), root)  # fmt: skip
    first = extract(FEATURE, root).features[0]
    assert (first.planned, first.extracted, first.skipped) == (6, 6, 0)
    before = class_texts.read("s", "fake_text", root, ("description",))
    again = extract(FEATURE, root).features[0]
    assert (again.planned, again.extracted, again.skipped) == (0, 0, 6)

    add(TextsConfig((write(tmp_path / "2.jsonl", told("Archery", "a bow", "an arrow") + told("apply eye makeup", "a brush")),), "description", "s"), root)  # fmt: skip
    seen: list[str] = []
    real = FakeTextExtractor.tokens
    monkeypatch.setattr(FakeTextExtractor, "tokens", lambda self, texts: seen.extend(texts) or real(self, texts))
    second = extract(FEATURE, root).features[0]
    assert (second.planned, second.extracted, second.skipped) == (1, 1, 6)
    assert seen == ["an arrow"]
    after = class_texts.read("s", "fake_text", root, ("description",))
    changed = (before.vectors(("description",)) != after.vectors(("description",))).any(1)
    assert changed.tolist() == [False, True, True]  # the last has no description: NaN is equal to nothing
    digests = [a != b for a, b in zip(before.digests("description"), after.digests("description"), strict=True)]
    assert digests == [False, True, False]


def test_rows_are_those_of_the_encoder_alone_whatever_came_beside_them(root, classes, tmp_path):
    texts = ["a" * n for n in range(1, 40)] + ["bow and arrow"]
    add(TextsConfig((write(tmp_path / "1.jsonl", told("Archery", *texts)),), "description", "s"), root)
    extract(FEATURE, root)
    feature_set = FeatureStore(root).find("fake_text")
    keys = key_array(Texts(root, "s").read(["key"], ("description",))["key"])
    loaded = feature_set.load(keys)
    assert loaded.values[:, 26].tolist() == [*range(1, 40), 11]
    assert np.array_equal(loaded.values[:39, 0], np.arange(1, 40))
    assert feature_set.recipe["sampling"] == {"longest": 64}
    assert feature_set.recipe["probe"] == ""


def test_a_text_nothing_is_left_of_is_a_failure_with_its_line(root, classes, tmp_path):
    add(TextsConfig((write(tmp_path / "1.jsonl", told("Archery", "123", "a bow")),), "description", "s"), root)
    report = extract(FEATURE, root).features[0]
    assert (report.extracted, report.failed) == (4, 1)
    (failure,) = failures(root)
    assert failure["file"].endswith("1.jsonl:1")
    assert (failure["error"], failure["reason"]) == ("TooShort", "it has no letter")


def test_kinds_can_be_named_and_options_are_part_of_the_recipe(root, classes, tmp_path):
    add(TextsConfig((write(tmp_path / "1.jsonl", told("Archery", "a bow")),), "description", "s"), root)
    only = plan(ExtractConfig(("fake_text:longest=8",), "s", kinds=("description",)), root)
    assert (only.contents, only.features[0].planned) == (1, 1)
    assert only.features[0].recipe.sampling == {"longest": 8}
    assert options.of_recipe(only.features[0].recipe.to_dict(), None).recipe("x", "").sampling == {"longest": 8}


def test_text_sets_are_verified_and_recomputed(root, classes):
    extract(FEATURE, root)
    (report,) = verify(VerifyConfig(recompute=3), root)
    assert (report.items, report.recomputed, report.differing, report.damaged) == (3, 3, (), ())


def test_random_vectors_are_stored_without_weights_verified_and_computed_again(root, classes):
    asked = ("random_vectors", "random_vectors:seed=3")
    reports = extract(ExtractConfig(asked, "s", workers=1, device="cpu"), root).features
    assert [(each.extracted, each.failed) for each in reports] == [(3, 0)] * 2
    store = FeatureStore(root)
    keys = key_array(Texts(root, "s").read(["key"])["key"])
    loaded = []
    for name, seed in zip((each.name for each in reports), (0, 3), strict=True):
        found = store.find(name)
        assert (found.recipe["weights"], found.recipe["sampling"]) == ("none", {"seed": seed, "width": 384})
        loaded.append(found.load(keys).values)
        drawn = options.of_recipe(found.recipe, None)
        said = Texts(root, "s").read(["text"])["text"].to_pylist()
        np.testing.assert_array_equal(loaded[-1], drawn(np.stack(drawn.tokens(said)))["features"])
    assert (loaded[0] != loaded[1]).any(1).all()
    done = CliRunner().invoke(app, ["verify", "--recompute", "3", "--device", "cpu", "--root", root.url, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert [told[name] for name in ("features", "items", "recomputed", "damaged", "differing")] == [2, 6, 6, 0, 0]
    for given in ("random:1", "gone.bin"):
        asked_with = ExtractConfig(("random_vectors",), "s", (f"random_vectors={given}",))
        with pytest.raises(ExtractorError, match=f"^random_vectors takes no weights, got '{given}'"):
            plan(asked_with, root)


def test_labels_of_videos_find_their_classes(root, classes, videos, make_dataset):
    import pyarrow as pa

    from stores.manifest import Manifest

    table = Manifest(root).read("d")
    labels = ["apply_eye_makeup", "archery", "Zumba", "archery", None, "Handstand Pushups"]
    at = table.schema.get_field_index("label")
    Manifest(root).write("d", table.set_column(at, "label", pa.array(labels, pa.string())))
    assert link("s", "d", root) == {
        "Handstand Pushups": "HandstandPushups",
        "Zumba": None,
        "apply_eye_makeup": "ApplyEyeMakeup",
        "archery": "Archery",
    }


def test_a_texts_own_fault_stops_no_run_and_two_additions_at_once_lose_nothing(root, classes, tmp_path):
    said = told("Archery", *(str(n) if n % 2 else f"text {'ab' * n}" for n in range(60)))
    add(TextsConfig((write(tmp_path / "1.jsonl", said),), "description", "s"), root)
    report = extract(ExtractConfig(("fake_text",), "s", same_errors=3), root).features[0]
    assert (report.extracted, report.failed) == (33, 30)
    for name, label in (("a", "Surfing"), ("b", "Knitting")):
        (tmp_path / f"{name}.txt").write_text(f"Archery\n{label}")
    configs = [TextsConfig((str(tmp_path / f"{name}.txt"),), "class", "s") for name in "ab"]
    threads = [threading.Thread(target=add, args=(config, root)) for config in configs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Classes(root).read("s")["name"].to_pylist()) == {*classes, "Surfing", "Knitting"}


def test_mistakes_are_one_line(root, classes, tmp_path):
    path = write(tmp_path / "1.jsonl", told("Archery", "a bow"))
    with pytest.raises(UsageError, match="class, definition, description, phrase, object, elaboration, got 'poem'"):
        add(TextsConfig((path,), "poem", "s"), root)
    with pytest.raises(NotInStore, match="No set of classes is called 'other'.*zsar texts add FILE --kind class"):
        add(TextsConfig((path,), "description", "other"), root)
    with pytest.raises(UsageError, match="class, definition, description, phrase, object, elaboration, got poem"):
        plan(ExtractConfig(("fake_text",), "s", kinds=("poem",)), root)
    with pytest.raises(UsageError, match="fake reads video items"):
        class_texts.read("s", "fake", root, ("class",))
    with pytest.raises(NotInStore, match="No set of texts is called 'other'"):
        plan(ExtractConfig(("fake_text",), "other"), root)
    with pytest.raises(UsageError, match="No such file"):
        add(TextsConfig((str(tmp_path / "none"),), "description", "s"), root)
    for kind in ("class", "object"):
        with pytest.raises(StoreError, match="A set's name is letters"):
            add(TextsConfig((path,), kind, "../b"), root)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UsageError, match="Nothing can be read of .*bad.json, line 1 is not JSON"):
        add(TextsConfig((str(tmp_path / "bad.json"),), "class", "new"), root)


def test_nothing_half_written_is_kept(root, classes, tmp_path, monkeypatch):
    from stores.texts import Adding

    path = write(tmp_path / "1.jsonl", told("Archery", *(f"text {i}" for i in range(50))))
    monkeypatch.setattr("pipelines.texts.adding._AT_ONCE", 10)
    real = Adding.rows
    calls: list[int] = []

    def dies(self, table):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, table)

    monkeypatch.setattr(Adding, "rows", dies)
    with pytest.raises(KeyboardInterrupt):
        add(TextsConfig((path,), "description", "s"), root)
    assert len(Texts(root, "s").parts()) == 1
    assert not list((Path(root.url) / "texts/s").glob("*.partial"))
    monkeypatch.undo()


KILLED = """
import sys, extractors
from pipelines.extract.settings import ExtractConfig
from pipelines.extract.extraction import extract
from stores.root import Root
extractors.EXTRACTORS["fake_text"] = "tests.fake:FakeTextExtractor"
extract(ExtractConfig(("fake_text",), "s", commit_every_s=0, workers=2), Root(sys.argv[1]))
"""


@pytest.mark.heavy
def test_killed_and_run_again_nothing_committed_is_encoded_again(root, classes, tmp_path):
    texts = [f"{'abcdefgh'[i % 8]} {'xyz'[i % 3] * (i % 50)} {chr(97 + i % 26)}" for i in range(400)]
    add(TextsConfig((write(tmp_path / "1.jsonl", told("Archery", *texts)),), "description", "s"), root)
    process = subprocess.Popen([sys.executable, "-c", KILLED, root.url], env=os.environ | {"FAKE_SECONDS": "0.1"})
    store = FeatureStore(root)
    while not any(store.get(name) and store.find("fake_text").shape()[0] for name in store.names()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = contents(root, "fake_text")
    report = extract(FEATURE, root).features[0]
    wanted = len(Texts(root, "s").read(["key"])["key"].unique())
    assert 0 < len(before) < wanted
    assert report.skipped == len(before)
    assert report.extracted == wanted - len(before)
    assert before.items() <= contents(root, "fake_text").items()


@pytest.mark.shared
def test_every_caption_of_both_deliveries_finds_its_class_and_is_kept_once(root, shared_data):
    labels = shared_data / "classes/labels/activitynet_label_map.txt"
    assert add(TextsConfig((str(labels),), "class", "activitynet"), root).new == 200
    reports = [
        add(TextsConfig((str(shared_data / f"actionhub_standin/delivery{n}.jsonl.gz"),), "description", "activitynet"), root)
        for n in (1, 2)
    ]  # fmt: skip
    assert [r.read for r in reports] == [58_939, 6_658]
    assert [r.unlinked for r in reports] == [0, 0]
    assert [r.bad for r in reports] == [0, 0]
    assert len(reports[1].classes) == 20
    rows = Texts(root, "activitynet").read(["key", "text"], ("description",))
    assert rows.num_rows == sum(r.new for r in reports)
    assert text_key(rows["text"][0].as_py()) == rows["key"][0].as_py()
