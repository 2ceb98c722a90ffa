"""Class texts give the atomic actions they speak of, classes share them, and hand edits have the last word.

What a phrase should be was decided by reading the texts, not by running the code; where the small parser misreads a
text there is no case for it here.
"""

import json
import subprocess
import sys

import pytest

from extractors import verb_phrases as module
from extractors.errors import ExtractorError, WeightsMissing
from extractors.verb_phrases import Corrections, Phrase, load_parser, parser_digest, shared, verb_phrases


@pytest.fixture(scope="module")
def parser():
    try:
        return load_parser()
    except WeightsMissing as error:
        pytest.skip(str(error))


def said(text, parser):
    return [phrase.text for phrase in verb_phrases([text], parser)[0]]


CASES = {
    "particle": ("they pick up the ball.", ["pick up ball"]),
    "particle after the object": ("they take their shoes off.", ["take off shoes"]),
    "object": ("an exercise in which you bend your knees.", ["bend knees"]),
    "prepositional object": ("ride on a skateboard.", ["ride on skateboard"]),
    "object and prepositional object": ("cut the hair off the face with a razor.", ["cut hair off face with razor"]),
    "negation": ("the feet do not touch the ground.", ["not touch ground"]),
    "negation by without": ("float without using a board.", ["float", "not use board"]),
    "pretence": ("one pretends to play the drums.", ["pretend to play drums"]),
    "conjunct verbs share an object": (
        "put or spread (a substance) on a surface.",
        ["put substance on surface", "spread substance on surface"],
    ),
    "conjunct verbs of their own": ("stand or lie on a surfboard.", ["stand on surfboard", "lie on surfboard"]),
    "passive": ("a small hard ball is struck with a club.", ["strike small hard ball with club"]),
    "passives share what they are said of": (
        "the arms are pushed forwards and then swept back.",
        ["push arms forwards"],
    ),
    "participle of a noun": (
        "coloured cosmetic applied to the lips from a small solid stick.",
        ["apply coloured cosmetic to lips from small solid stick"],
    ),
    "relative clause": ("intercept something which has been thrown.", ["intercept something", "throw something"]),
    "imperative that is a noun too": ("plunge into the water.", ["plunge into water"]),
    "gerund first": ("shooting with a bow and arrows.", ["shoot with bow and arrows"]),
    "gerund with of": ("softening of the skin.", ["soften skin"]),
    "announced verb": ("competitors attempt to climb up a rope.", ["climb up rope"]),
    "defining verbs": ("a rope is known as a line and is used to climb a wall.", ["climb wall"]),
    "who it is said of": ("(of a person) expel air through pursed lips.", ["expel air through pursed lips"]),
    "aside": ("put (food, e.g. bread) into the mouth.", ["put food into mouth"]),
    "class name": ("playing guitar", ["play guitar"]),
    "class name that is a compound": ("basketball dunk", ["basketball dunk"]),
    "class name of a noun and a gerund": ("clam digging", ["clam digging"]),
    "class name that begins like an adverb": ("belly dancing", ["belly dancing"]),
    "class name with what it is not": ("passing American football (not in game)", ["pass american football"]),
    "adverb first": ("repeatedly strike the palms of the hands together.", ["strike palms of hands together"]),
    "hyphened noun": ("they dance to hip-hop or funk music.", ["dance to hip-hop or funk music"]),
    "hyphened verb": ("they blow-dry the hair.", ["blow-dry hair"]),
    "nothing but a noun": ("a backward handspring", ["a backward handspring"]),
}


@pytest.mark.pack
@pytest.mark.parametrize("case", CASES)
def test_a_text_gives_its_atomic_actions(case, parser):
    text, expected = CASES[case]
    found = said(text, parser)
    assert found[: len(expected)] == expected


@pytest.mark.pack
@pytest.mark.parametrize("text", ["", "  \n ", "?!", "..."])
def test_a_text_without_words_gives_nothing(text, parser):
    assert verb_phrases([text], parser) == [[]]


@pytest.mark.pack
@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "jump over the bar " * 4_000, "\x00\x07 jump \ufffd", "日本語 ñandú"]
)
def test_a_text_of_any_kind_and_length_is_read(text, parser):
    (found,) = verb_phrases([text], parser)
    assert found


@pytest.mark.pack
def test_classes_share_an_action_whatever_its_form(parser):
    texts = ["an exercise in which you bend your knees.", "bending the knee.", "you should bend a knee.", "jump."]
    table = shared(verb_phrases(texts, parser))
    assert [phrase.key for phrase in table.phrases] == ["bend knee", "jump"]
    assert table.phrase_class == ((0, 0), (0, 1), (0, 2), (1, 3))
    assert table.classes(0) == [0, 1, 2]
    assert table.phrases[0].text == "bend knees"


@pytest.mark.pack
def test_the_order_is_the_texts_and_a_later_class_changes_nothing_before_it(parser):
    texts = ["swim. jump. run.", "run. swim.", "a small bird"]
    before = shared(verb_phrases(texts, parser))
    after = shared(verb_phrases([*texts, "running. fly."], parser))
    assert [phrase.text for phrase in before.phrases] == ["swim", "jump", "run", "a small bird"]
    assert after.phrases[: len(before.phrases)] == before.phrases
    assert after.phrase_class[: len(before.phrase_class)] == before.phrase_class


@pytest.mark.pack
@pytest.mark.shared
def test_neither_batch_mates_nor_order_change_the_phrases_of_real_texts(parser, shared_data):
    entries = json.loads((shared_data / "classes" / "definitions_ucf101.json").read_text())
    texts = [f"{entry['class']}. {entry['definition']}" for entry in entries]
    together = verb_phrases(texts, parser)
    assert verb_phrases(texts[::-1], parser)[::-1] == together
    assert [verb_phrases([text], parser)[0] for text in texts[:40]] == together[:40]
    assert all(together)
    table = shared(together)
    assert len(table.phrases) == len({phrase.key for phrase in table.phrases})
    assert {k for _, k in table.phrase_class} == set(range(len(texts)))
    assert max(len(table.classes(p)) for p in range(len(table.phrases))) > 1


@pytest.mark.pack
def test_a_recipe_can_name_the_parser(parser):
    assert parser_digest(parser).startswith("en_core_web_sm")
    assert parser.meta["version"] in parser_digest(parser)
    assert "spacy-3" in parser_digest(parser)


def test_without_a_parser_the_offline_pack_is_named(monkeypatch):
    monkeypatch.setattr(module, "PARSERS", ("en_core_web_sm", "no_such_parser"))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsMissing, match=r"no_such_parser.*offline-pack.txt") as raised:
        load_parser()
    assert "\n" not in str(raised.value)


def test_importing_this_imports_no_spacy():
    code = "import sys; import extractors.verb_phrases; sys.exit('spacy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def phrases(*texts):
    return [Phrase.of(text) for text in texts]


FILES = {
    "c.json": '{\n "high jump": ["run up", "leap over the bar"],\n "TaiChi": ["move slowly"]\n}',
    "c.csv": "class,phrases\nhigh jump,run up,leap over the bar,,\n\nTaiChi,move slowly\n",
    "bom.csv": "\ufeffhigh jump,run up,leap over the bar\r\nTaiChi,move slowly,moving slowly\r\n",
}


@pytest.mark.parametrize("file", FILES)
def test_hand_edits_replace_what_was_parsed(file, tmp_path):
    (tmp_path / file).write_text(FILES[file], encoding="utf-8")
    corrections = Corrections.read(tmp_path / file)
    classes = ["HighJump", "run", "TaiChi"]
    parsed = [phrases("track"), phrases("run"), phrases("tai chi")]
    assert corrections.apply(classes, parsed) == [
        phrases("run up", "leap over the bar"),
        phrases("run"),
        phrases("move slowly"),
    ]
    assert parsed[0] == phrases("track")


def test_the_spelling_of_a_class_goes_before_its_canonical_name(tmp_path):
    (tmp_path / "c.csv").write_text("walk dog,hold leash\n")
    found = Corrections.read(tmp_path / "c.csv").apply(["walking the dog", "walk dog"], [[], []])
    assert found == [[], phrases("hold leash")]


def test_classes_that_are_not_there_are_listed(tmp_path):
    (tmp_path / "c.csv").write_text("hihg jump,run up\nrun,run\ntai chi,move\n")
    with pytest.raises(ExtractorError, match=r"corrects 2 classes.*: hihg jump, tai chi\..*There are: high jump, run"):
        Corrections.read(tmp_path / "c.csv").apply(["run", "high jump"], [[], []])


BROKEN = {
    "class twice, two spellings": (
        "c.csv",
        "high jump,a\nHighJump,b\n",
        r"line 2: class 'HighJump' stands already on line 1",
    ),
    "class twice in json": ("c.json", '{"a": ["x"],\n "a": ["y"]}', r"line 2: class 'a' stands already on line 1"),
    "no phrase": ("c.csv", "x,jump\nrun,,\n", r"line 2: class 'run' has no phrase"),
    "no phrase in json": ("c.json", '{\n"run": []}', r"line 2: class 'run' has no phrase"),
    "no class": ("c.csv", ",jump\n", r"line 1: '' is no class name"),
    "a phrase without words": ("c.csv", "run,jump, ?! ,x\n", r"line 1: '\?!' of class 'run' is no phrase"),
    "a control character": ("c.json", '{"run": ["ju\\u0007mp"]}', r"line 1: 'ju\\x07mp' of class 'run' is no phrase"),
    "an open quotation mark": ("c.csv", 'run,jump\nwalk,"go\n', r"line 2: not CSV"),
    "a quoted cell over lines": ("c.csv", 'run,"jump\nup"\nwalk\n', r"line 1: 'jump\\nup' of class 'run'"),
    "broken json": ("c.json", '{"run": ["jump"],\n"walk" ["go"]}', r"line 2: not JSON"),
    "cut json": ("c.json", '{"run": ["jump', r"line 1: not JSON"),
    "empty json": ("c.json", "", r"line 1: not JSON"),
    "a json list": ("c.json", '[["run", "jump"]]', r"line 1: not an object"),
    "a text for phrases": ("c.json", '{"run":\n "jump"}', r"line 1: the phrases of 'run' are no list of texts"),
    "an object for phrases": ("c.json", '{"run": {"a": "b"}}', r"line 1: the phrases of 'run' are no list of texts"),
    "json too deep": ("c.json", "[" * 100_000, r"line 1: nested too deeply"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_corrections_file_is_one_line_with_its_number(case, tmp_path):
    file, content, reason = BROKEN[case]
    (tmp_path / file).write_text(content)
    with pytest.raises(ExtractorError, match=reason) as raised:
        Corrections.read(tmp_path / file)
    message = str(raised.value)
    assert message.startswith(str(tmp_path / file))
    assert "\n" not in message
    assert message.endswith(".")


def test_other_encodings_and_missing_files_are_named(tmp_path):
    (tmp_path / "c.csv").write_bytes("run,jump\nañadir,x\n".encode("latin-1"))
    with pytest.raises(ExtractorError, match=r"c.csv, line 2: not UTF-8"):
        Corrections.read(tmp_path / "c.csv")
    with pytest.raises(ExtractorError, match=r"nowhere.csv cannot be read: No such file"):
        Corrections.read(tmp_path / "nowhere.csv")
