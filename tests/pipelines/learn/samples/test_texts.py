"""Texts of classes as heads read them, and the elaborations among them."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.learn.samples import texts as head_texts
from pipelines.texts import phrases
from pipelines.texts.elaborations import elaborate
from stores.keys import KEY_BYTES, text_key
from stores.root import Root
from stores.texts import Texts
from tests.pipelines import studies
from tests.pipelines.learn.samples.test_features import vector

pytestmark = pytest.mark.usefixtures("fake")
NAMES = ("ApplyEyeMakeup", "Archery", "Bowling")
KINDS = ("class", "elaboration", "definition", "description")


@pytest.fixture
def data(root: Root, tmp_path: Path) -> Root:
    studies.classes(root, tmp_path, NAMES)
    studies.texts(root, tmp_path, "definition", {"Archery": ["to shoot", "with a bow"], "Bowling": ["to roll a ball"]})
    return root


def told(found: head_texts.HeadTexts, kind: str) -> dict[str, list[str]]:
    """The texts of a kind by class."""
    own = found.tensors[kind]
    pairs = zip(own.owner.tolist(), own.text.tolist(), strict=True)
    by_class: dict[str, list[str]] = {name: [] for name in found.tensors.names}
    for owner, text in pairs:
        by_class[found.tensors.names[owner]].append(found.said[kind][text])
    return {name: sorted(texts) for name, texts in by_class.items()}


ELABORATED = {
    "ApplyEyeMakeup": ["apply eye makeup"],
    "Archery": ["archery: to shoot with a bow"],
    "Bowling": ["bowling: to roll a ball"],
}


def test_an_elaboration_is_the_name_a_colon_and_the_definitions(data, tmp_path):
    keys = elaborate("d", data)
    rows = Texts(data, "d").read(["key", "class", "text"], ("elaboration",)).to_pylist()
    assert {row["class"]: [row["text"]] for row in rows} == ELABORATED
    assert keys == {name: text_key(told[0]) for name, told in ELABORATED.items()}
    assert elaborate("d", data) == keys
    assert Texts(data, "d").read(["key"], ("elaboration",)).num_rows == 3  # nothing twice
    studies.texts(data, tmp_path, "definition", {"ApplyEyeMakeup": ["with a brush"]})
    assert elaborate("d", data)["ApplyEyeMakeup"] == text_key("apply eye makeup: with a brush")


def test_an_elaboration_that_no_longer_stands_is_not_read(data, tmp_path):
    first = head_texts.read("d", "fake_text", ("elaboration",), data)
    assert told(first, "elaboration") == ELABORATED
    studies.texts(data, tmp_path, "definition", {"ApplyEyeMakeup": ["with a brush"]})
    second = head_texts.read("d", "fake_text", ("elaboration",), data)
    assert told(second, "elaboration") == ELABORATED | {"ApplyEyeMakeup": ["apply eye makeup: with a brush"]}
    assert (first.digest, first.state) != (second.digest, second.state)
    assert first.digest != second.digest
    assert first.state != second.state


def test_each_kind_has_its_texts_with_their_features(data, tmp_path):
    studies.texts(data, tmp_path, "definition", {"ApplyEyeMakeup": ["with a brush"]})
    said = {"Archery": ["a bow", "a face"], "ApplyEyeMakeup": ["a face"], "Bowling": ["a lane"]}
    studies.texts(data, tmp_path, "description", said)
    found = head_texts.read("d", "fake_text", KINDS, data)
    assert found.tensors.names == NAMES
    assert told(found, "description") == {name: sorted(texts) for name, texts in said.items()}
    assert told(found, "class") == {"ApplyEyeMakeup": ["apply eye makeup"], "Archery": ["archery"], "Bowling": ["bowling"]}  # fmt: skip
    assert told(found, "definition")["Archery"] == ["to shoot", "with a bow"]
    assert len(found.said["description"]) == 3  # a text of two classes is one row
    for kind in KINDS:
        own = found.tensors[kind]
        assert own.features.tolist() == [vector(text) for text in found.said[kind]]
        assert (own.owner.diff() >= 0).all()
    mean = found.tensors["description"].mean(found.tensors["description"].features, 3)
    assert np.allclose(mean[1], np.mean([vector("a bow"), vector("a face")], 0))


def test_classes_without_a_text_of_a_kind_are_refused_by_name(data, tmp_path):
    with pytest.raises(
        UsageError,
        match=r"^1 of the 3 classes of 'd' have no definition with a feature: ApplyEyeMakeup\. "
        r"Run `zsar texts add FILE --kind definition --set d`\.$",
    ):
        head_texts.read("d", "fake_text", ("definition",), data)
    studies.texts(data, tmp_path, "description", {"ApplyEyeMakeup": ["a face"], "Archery": ["123", "45"]})
    with pytest.raises(UsageError, match=r"^2 of the 3 .* no description with a feature: Archery, Bowling\. "):
        head_texts.read("d", "fake_text", ("class", "description"), data)  # digits have no feature


def test_digest_and_state_change_with_the_texts_that_are_read_and_with_no_others(data, tmp_path):
    def both(*kinds: str) -> tuple[str, str]:
        found = head_texts.read("d", "fake_text", kinds, data)
        return found.digest, found.state

    first = both("class"), both("elaboration")
    assert (both("class"), both("elaboration")) == first
    studies.texts(data, tmp_path, "description", {"Archery": ["a bow"]})
    assert (both("class"), both("elaboration")) == first
    studies.texts(data, tmp_path, "definition", {"Archery": ["a sport"]})
    assert both("class") == first[0]
    assert all(old != new for old, new in zip(first[1], both("elaboration"), strict=True))


def test_kinds_there_are_those_given_and_those_that_can_be_made(data, tmp_path):
    assert head_texts.kinds_there("d", data) == {"class", "definition", "elaboration", "phrase"}
    studies.texts(data, tmp_path, "description", {"Archery": ["a bow"]})
    assert "description" in head_texts.kinds_there("d", data)


def test_phrases_are_shared_between_classes(data, tmp_path):
    import pyarrow as pa

    pairs = [("draw bow", "Archery"), ("hold", "Archery"), ("hold", "Bowling"), ("hold", "ApplyEyeMakeup"), ("roll", "Bowling")]  # fmt: skip
    keys = [text_key(phrase) for phrase, _ in pairs]
    columns = {"key": keys, "phrase": [p for p, _ in pairs], "lemmas": [p for p, _ in pairs], "class": [c for _, c in pairs]}  # fmt: skip
    table = pa.table({f.name: pa.array(columns[f.name], f.type) for f in phrases.SCHEMA}, schema=phrases.SCHEMA)
    data.write_table(table, "phrases", "d.parquet")
    with data.lock("texts-d"), Texts(data, "d").adding() as adding:
        more = {"kind": "phrase", "part": "", "source": "phrases", "line": 0}
        rows = [{"key": key, "text": phrase, "class": name} | more for key, (phrase, name) in zip(keys, pairs, strict=True)]  # fmt: skip
        fields = {"key": pa.binary(KEY_BYTES), "line": pa.int64()}
        order = ("key", "text", "kind", "class", "part", "source", "line")
        adding.rows(pa.table({n: pa.array([row[n] for row in rows], fields.get(n, pa.string())) for n in order}))
    found = head_texts.read("d", "fake_text", ("phrase",), data)
    assert told(found, "phrase") == {"ApplyEyeMakeup": ["hold"], "Archery": ["draw bow", "hold"], "Bowling": ["hold", "roll"]}  # fmt: skip
    own = found.tensors["phrase"]
    assert len(own.features) == 3
    held = own.padded(3)
    assert {found.said["phrase"][row] for row in held[1].tolist()} == {"draw bow", "hold"}
    assert held[0].tolist()[1:] == [-1]
    data.write_table(table.slice(0, 4), "phrases", "d.parquet")  # a correction took one away: it is encoded still
    corrected = head_texts.read("d", "fake_text", ("phrase",), data)
    assert told(corrected, "phrase")["Bowling"] == ["hold"]
    assert corrected.digest != found.digest
    assert corrected.state != found.state
    data.write_table(table.slice(0, 3), "phrases", "d.parquet")
    with pytest.raises(
        UsageError, match=r"no phrase with a feature: ApplyEyeMakeup\. Run `zsar texts phrases --set d`"
    ):
        head_texts.read("d", "fake_text", ("phrase",), data)


@pytest.mark.pack
def test_the_most_relevant_descriptions_stand_for_a_class(root, tmp_path):
    names = ("Archery", "Bowling", "Qwrtzx")
    studies.classes(root, tmp_path, names)
    said = {
        "Archery": ["the bank of money", "archers shoot arrows at archery targets", "archery", "an office"],
        "Bowling": ["bowling alley", "bowling ball", "a tax"],
        "Qwrtzx": ["something", "something else", "a third thing"],
    }
    studies.texts(root, tmp_path, "description", said)
    two = told(head_texts.read("d", "fake_text", ("description",), root, 2), "description")
    assert two["Archery"] == ["archers shoot arrows at archery targets", "archery"]
    assert two["Bowling"] == ["bowling alley", "bowling ball"]
    assert two["Qwrtzx"] == sorted(said["Qwrtzx"])  # a name without a word vector ranks nothing: all stand
    everything = told(head_texts.read("d", "fake_text", ("description",), root), "description")
    assert everything == {name: sorted(texts) for name, texts in said.items()}


@pytest.mark.pack
def test_phrases_are_parsed_where_nobody_has_asked_for_them(root, tmp_path):
    studies.classes(root, tmp_path, ("Archery", "Bowling"))
    studies.texts(root, tmp_path, "definition", {"Archery": ["to draw a bow"], "Bowling": ["to roll a ball"]})
    assert not root.exists("phrases", "d.parquet")
    found = told(head_texts.read("d", "fake_text", ("phrase",), root), "phrase")
    assert any("draw" in phrase for phrase in found["Archery"])
    assert any("roll" in phrase for phrase in found["Bowling"])
    assert json.dumps(found) == json.dumps(told(head_texts.read("d", "fake_text", ("phrase",), root), "phrase"))
