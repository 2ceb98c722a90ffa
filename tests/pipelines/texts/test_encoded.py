"""What is made of a set's texts: ranking, phrases, objects, and the lint."""

import json
from pathlib import Path

import numpy as np
import pytest

from extractors.class_names import IMAGENET_1K, class_names
from extractors.errors import ExtractorError
from pipelines.errors import UsageError
from pipelines.texts import phrases as phrases_stage
from pipelines.texts import rank as rank_stage
from pipelines.texts.adding import add
from pipelines.texts.lint import lint
from pipelines.texts.objects import object_texts
from pipelines.texts.phrases import phrases
from pipelines.texts.rank import rank
from pipelines.texts.settings import LintConfig, ObjectTextsConfig, PhrasesConfig, RankConfig, TextsConfig
from stores.features import FeatureStore, ItemRows
from stores.keys import key_array, text_key
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import Texts
from tests.fake import FakeTextExtractor

pytestmark = pytest.mark.usefixtures("fake")
CLASSES = ["bow and arrow", "frog", "zzz"]
SAID = {
    "bow and arrow": ["an arrow and a bow", "the arrow", "zebra", "bow", "arrow and bow and"],
    "frog": ["frogs", "a green frog", "the fog", "a fog the"],
}
FAKE = {"vectors": "fake_text"}


def add_said(root: Root, tmp_path: Path, said: dict[str, list[str]], name: str = "s") -> None:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    path.write_text(json.dumps(said))
    add(TextsConfig((str(path),), "description", name), root)


def add_classes(root: Root, tmp_path: Path, names: list[str], name: str = "s") -> None:
    path = tmp_path / f"{name}.txt"
    path.write_text("\n".join(names))
    add(TextsConfig((str(path),), "class", name), root)


@pytest.fixture
def described(root: Root, tmp_path: Path) -> Root:
    add_classes(root, tmp_path, CLASSES)
    add_said(root, tmp_path, SAID)
    return root


def letters(text: str) -> list[float]:
    """What the small encoder gives, written as loops."""
    kept = [c for c in text.lower() if "a" <= c <= "z"]
    return [float(sum(c == chr(97 + i) for c in kept)) for i in range(26)] + [float(len(kept))]


def relevance(text: str, name: str) -> float:
    a, b = letters(text), letters(name)
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5)


def test_ranking_keeps_the_k_most_relevant_and_breaks_ties_by_text(described):
    report = rank(RankConfig("s", k=2, **FAKE), described)
    assert (report.classes, report.ranked, report.kept, report.descriptions) == (3, 2, 0, 4)
    assert report.unranked == ("zzz",)  # it has no description
    table = rank_stage.read(described, report.name)
    texts = dict(zip(*Texts(described, "s").read(["key", "text"]).to_pydict().values(), strict=True))
    for name, said in SAID.items():
        wanted = sorted(said, key=lambda text: (-round(relevance(text, name), 9), text))[:2]
        own = [row for row in table.to_pylist() if row["class"] == name]
        assert [texts[row["key"]] for row in own] == wanted
        assert [row["rank"] for row in own] == [1, 2]
        assert [row["relevance"] for row in own] == pytest.approx([relevance(text, name) for text in wanted], abs=1e-6)


def test_only_classes_with_new_descriptions_are_ranked_again(described, tmp_path, monkeypatch):
    before = rank_stage.read(described, rank(RankConfig("s", **FAKE), described).name)
    assert rank(RankConfig("s", **FAKE), described).kept == 2
    add_said(described, tmp_path, {"frog": ["a frog", "frogs"], "bow and arrow": ["the arrow"]})
    ranked: list[int] = []
    real = rank_stage._ranked
    monkeypatch.setattr(rank_stage, "_ranked", lambda texts, number, k: ranked.append(number) or real(texts, number, k))
    report = rank(RankConfig("s", **FAKE), described)
    assert (report.ranked, report.kept, report.descriptions) == (1, 1, 10)
    assert ranked == [1, 2]  # the frog, and the class that still has none
    after = rank_stage.read(described, report.name)
    kept = [row for row in after.to_pylist() if row["class"] == "bow and arrow"]
    assert kept == [row for row in before.to_pylist() if row["class"] == "bow and arrow"]
    with pytest.raises(UsageError, match="k must be at least 1, got 0"):
        RankConfig("s", k=0)


def test_lint_finds_missing_texts_twins_and_classes_of_another_set(described, tmp_path):
    add_classes(described, tmp_path, ["arrow and bow", "horse"], "other")
    add_classes(described, tmp_path, [*CLASSES, "arrow and bow"])
    found = lint(LintConfig("s", "other", "fake_text", near=0.01), described)
    assert {(f.rule, f.name) for f in found} == {
        ("no-text", "zzz"),
        ("no-text", "arrow and bow"),
        ("same-vector", "bow and arrow"),
        ("near", "bow and arrow"),
        ("near", "arrow and bow"),
    }
    assert all(f.mend for f in found)
    assert lint(LintConfig("other", vectors="fake_text"), described)[0].rule == "no-text"


def test_lint_names_words_that_the_vectors_lack(root, tmp_path):
    add_classes(root, tmp_path, ["1st frog", "42"])
    found = {f.name: f.what for f in lint(LintConfig("s", vectors="fake_text"), root) if f.rule == "vocabulary"}
    assert found == {"42": "42: no word vector; nothing is left of it"}


def test_lint_asks_the_vocabulary_once_and_says_how_far_it_is(described, monkeypatch):
    asked, seen = [], []
    tokens = FakeTextExtractor.tokens
    monkeypatch.setattr(FakeTextExtractor, "tokens", lambda self, texts: asked.append(texts) or tokens(self, texts))
    lint(LintConfig("s", vectors="fake_text", encoder="fake_text"), described)
    asked.clear()  # what lacks a vector is computed by then
    lint(LintConfig("s", vectors="fake_text", encoder="fake_text"), described, lambda *told: seen.append(told))
    of_words = [texts for texts in asked if all(" " not in text for text in texts)]
    assert len(of_words) == 1
    assert len(set(of_words[0])) == len(of_words[0]) > 1
    assert [done for done, _, _ in seen] == list(range(7))


def test_lint_finds_texts_and_names_that_are_not_as_they_should_be_read(root, tmp_path):
    add_classes(root, tmp_path, ["frog", "bow {}"])
    add_said(root, tmp_path, {"frog": ["a <b>green</b> frog", "frog &amp; fog", "a frog"], "bow {}": ["a %s"]})
    found = lint(LintConfig("s", vectors="fake_text"), root)
    written = {(f.rule, f.name): f for f in found if f.rule in ("markup", "placeholder", "damaged")}
    assert set(written) == {("markup", "frog"), ("placeholder", "bow {}")}
    what = written["markup", "frog"].what
    assert what.startswith("a text of it holds HTML, <b> </b> (")
    assert what.endswith(".json, line 1): 'a <b>green</b> frog'; so are 1 more of its texts")
    assert "to a new set" in written["markup", "frog"].mend
    assert [f.what for f in found if f.name == "bow {}" and f.rule == "placeholder"] == [
        "its name has a place left unfilled, {}",
        "a text of it has a place left unfilled, %s (2.json, line 1): 'a %s'",
    ]


@pytest.mark.pack
@pytest.mark.shared
def test_lint_finds_the_shot_that_is_defined_as_food(root, shared_data):
    add(TextsConfig((str(shared_data / "classes/definitions_ucf101.json"),), "definition", "ucf101"), root)
    found = lint(LintConfig("ucf101"), root)
    unrelated = [f for f in found if f.rule == "unrelated"]
    assert unrelated[0].name == "table tennis shot"
    assert "put (food) into the mouth" in unrelated[0].what
    assert len(unrelated) < 5
    assert ("vocabulary", "skijet") in {(f.rule, f.name) for f in found}


@pytest.mark.pack
def test_phrases_are_shared_corrected_and_texts_themselves(root, tmp_path):
    definitions = {
        "high jump": "run up and leap over a bar.",
        "long jump": "run up and leap into sand.",
        "juggling balls": "throw balls into the air.",
    }
    (tmp_path / "d.json").write_text(json.dumps(definitions))
    add(TextsConfig((str(tmp_path / "d.json"),), "definition", "s"), root)
    report = phrases(PhrasesConfig("s"), root)
    pairs = phrases_stage.read(root, "s").to_pylist()
    by_phrase = dict(report.top)
    assert by_phrase["run up"] == ("high jump", "long jump")
    assert (report.classes, report.from_names) == (3, 0)
    assert report.new == len({row["key"] for row in pairs})
    assert {row["key"] for row in pairs} == {text_key(row["phrase"]) for row in pairs}
    page = Path(report.page.removeprefix("file://")).read_text()
    assert "<td>run up</td>" in page
    assert phrases(PhrasesConfig("s"), root).new == 0

    (tmp_path / "c.csv").write_text("long jump,sprint,fly\n")
    phrases(PhrasesConfig("s", str(tmp_path / "c.csv")), root)
    mended = [row["phrase"] for row in phrases_stage.read(root, "s").to_pylist() if row["class"] == "long jump"]
    assert mended == ["sprint", "fly"]
    kinds = Texts(root, "s").read(["text"], ("phrase",))["text"].to_pylist()
    assert {"sprint", "fly"} <= set(kinds)
    (tmp_path / "c.csv").write_text("pole vault,sprint\n")
    with pytest.raises(ExtractorError, match="pole vault"):
        phrases(PhrasesConfig("s", str(tmp_path / "c.csv")), root)


def test_recognised_objects_become_texts_one_by_one_and_joined(root, videos, tmp_path):
    keys = key_array(Manifest(root).read("d", ["key"])["key"])
    store = FeatureStore(root)
    names = list(class_names(IMAGENET_1K))
    made = store.create("things@1", {}, "1", {"ids": ((20,), "int32")}, {"ids": names})
    made.append(
        [ItemRows(key.tobytes(), {"ids": np.arange(i, i + 20, dtype=np.int32)[None]}) for i, key in enumerate(keys[:4])]
    )
    report = object_texts(ObjectTextsConfig("things", "d", "s"), root)
    assert (report.videos, report.missing, report.objects, report.joined, report.glossed) == (6, 2, 8, 4, 4)
    assert report.new == 8 + 4 + 4
    texts = Texts(root, "s").read(["text", "part"], ("object",)).to_pylist()
    assert {"text": ", ".join(names[:5]), "part": "joined"} in texts
    tench = next(row["text"] for row in texts if row["text"].startswith("tench: "))
    assert "freshwater" in tench  # WordNet's definition of Tinca tinca
    (glossed,) = (row["text"] for row in texts if row["part"] == "glossed" and row["text"].startswith("tench: "))
    assert all(f"{name}: " in glossed for name in names[:5])
    assert object_texts(ObjectTextsConfig("things", "d", "s"), root).new == 0
    store.create("plain@1", {}, "1", {"features": ((2,), "float16")})
    with pytest.raises(UsageError, match="plain@1 holds no recognised objects"):
        object_texts(ObjectTextsConfig("plain", "d", "s"), root)
