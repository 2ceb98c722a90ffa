"""Published spellings become the same words, one class keeps one canonical name, and two classes never share one."""

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extractors.errors import ExtractorError
from extractors.names import STOP_WORDS, STYLES, canonical, collisions, lemma, prepared, readable, unspaced, words

SPELLINGS = {
    "ApplyEyeMakeup": "apply eye makeup",
    "YoYo": "yo yo",
    "TaiChi": "tai chi",
    "HandstandPushups": "handstand pushups",
    "HandStandPushups": "hand stand pushups",
    "CleanAndJerk": "clean and jerk",
    "MakingACake": "making a cake",
    "WatchingTVShow": "watching tv show",
    "BMX": "bmx",
    "brush_hair": "brush hair",
    "flic_flac": "flic flac",
    "playing+fun": "playing fun",
    "stroking/petting": "stroking petting",
    "Carving jack-o-lanterns": "carving jack o lanterns",
    "Blow-drying_hair": "blow drying hair",
    "Walking the dog": "walking the dog",
    "playing bass guitar": "playing bass guitar",
    "tossing coin": "tossing coin",
    "cooking sausages (not on barbeque)": "cooking sausages not on barbeque",
    "massaging person's head": "massaging person's head",
    "massaging person\u2019s head": "massaging person's head",
    "1: bend/bow (at the waist)": "bend bow at the waist",
    "20: climb (e.g., a mountain)": "climb a mountain",
    "A001. drink water": "drink water",
    "A43: falling": "falling",
    "standing up (from sitting position)": "standing up from sitting position",
    "10: aerobic_bent_leg(s)_jump": "aerobic bent legs jump",
    "basketball_3-point_shot": "basketball 3 point shot",
    "(FX) split jump with 0.5 turn": "fx split jump with 0.5 turn",
    "Forward+25som+NoTwis+PIKE": "forward 25som no twis pike",
    "Hitting a piñata": "hitting a piñata",
    "Hitting a pin\u0303ata": "hitting a piñata",
    "'quoted'": "quoted",
    "3 turns": "3 turns",
    "": "",
    "?!": "",
}


@pytest.mark.parametrize(("name", "expected"), SPELLINGS.items())
def test_a_published_spelling_gives_its_words(name, expected):
    assert readable(name) == expected
    assert words(name) == expected.split()


@pytest.mark.parametrize("name", SPELLINGS)
def test_reading_and_naming_again_change_nothing(name):
    assert readable(readable(name)) == readable(name)
    assert canonical(canonical(name)) == canonical(name)


@pytest.mark.parametrize(
    "spellings",
    [
        ("WalkingWithDog", "walking_with_the_dog", "Walking the dog", "walk dog", "walking the dog"),
        ("PlayingGuitar", "Playing guitar", "play_guitar", "playing the guitar"),
        ("BrushingTeeth", "Brushing teeth", "brushing his teeth", "brush tooth"),
        ("PushUps", "push-ups", "push up"),
        ("YoYo", "yo-yo", "Yo yo"),
        ("Baking cookies", "bake cookies", "baking a cookie"),
        ("sawing wood", "saw wood"),
        ("massaging person's head", "massage person head"),
    ],
)
def test_spellings_of_one_class_share_a_canonical_name(spellings):
    assert len({canonical(name) for name in spellings}) == 1


@pytest.mark.parametrize(
    "pair",
    [
        ("Swiping Up", "Swiping Down"),
        ("take off jacket", "wear jacket"),
        ("putting on hat", "taking off hat"),
        ("passing American football (in game)", "passing American football (not in game)"),
        ("(BB) salto forward tucked", "(FX) salto forward tucked"),
        ("salto with 0.5 turn", "salto with 1.5 turn"),
        ("pulling from left to right", "pulling from right to left"),
        ("laying bricks", "lying on bricks"),
    ],
)
def test_classes_that_differ_by_one_small_word_stay_apart(pair):
    assert canonical(pair[0]) != canonical(pair[1])
    assert collisions(pair) == {}


def test_compounds_that_hands_split_differently_meet_without_blanks():
    for a, b in [("HandStandPushups", "HandstandPushups"), ("BreastStroke", "breaststroke"), ("Shotput", "Shot put")]:
        assert canonical(a) != canonical(b)
        assert unspaced(a) == unspaced(b)


def test_a_name_of_stop_words_alone_keeps_them():
    assert [canonical(name) for name in ("to", "The", "up")] == ["to", "the", "up"]


@pytest.mark.parametrize(
    ("word", "expected"),
    # what a dictionary of English lemmas gets wrong in the published lists
    {
        "travelling": "travel", "rolling": "roll",
        "playing": "play", "mixing": "mix", "singing": "sing", "swinging": "swing", "guarding": "guard",
        "unfolding": "unfold", "baking": "bake", "writing": "write", "cutting": "cut", "setting": "set",
        "wrestling": "wrestle", "serving": "serve", "breathing": "breathe", "casting": "cast", "pressing": "press",
        "sawing": "saw", "saw": "saw", "laying": "lay", "weeding": "weed", "lowering": "lower", "left": "left",
        "ring": "ring", "sing": "sing", "something": "something", "evening": "evening", "pushups": "pushup",
        "glass": "glass", "gymnastics": "gymnastics", "teeth": "tooth", "knives": "knife", "american": "american",
        "can't": "can't", "0.5": "0.5",
    }.items(),
)  # fmt: skip
def test_a_word_has_its_base_form(word, expected):
    assert lemma(word) == expected


@pytest.mark.parametrize(
    ("name", "style", "expected"),
    [
        ("cooking sausages (not on barbeque)", "kinetics", "cook sausages"),
        ("Passing American football (in game)", "kinetics", "pass american football game"),
        ("trimming branches or hedges", "kinetics", "trim branches hedges"),
        ("Trimming branches or hedges", "activitynet", "trim branches or hedges"),
        ("Walking_the_dog", "activitynet", "walk dog"),
        ("Using the balance beam", "activitynet", "balance beam"),
        ("CleanAndJerk", "ucf101", "clean and jerk"),
        ("WalkingWithDog", "ucf101", "walk with dog"),
        ("shoot_ball", "hmdb51", "shoot ball"),
        ("fencing", "hmdb51", "fence"),
        ("abbey/indoor_swimming_pool", "sun", "abbey indoor swimming pool"),
        ("the", "kinetics", "the"),
        ("(not at all)", "kinetics", "not all"),
    ],
)
def test_words_are_prepared_as_the_data_set_asks(name, style, expected):
    assert prepared(name, style) == expected.split()


def test_words_out_of_a_vocabulary_are_replaced_by_name_and_by_word():
    table = {"yo yo": ["yoyo"], "doughnuts": ["donut"], "skijet": ["jet", "ski"]}
    assert prepared("YoYo", "ucf101", table) == ["yoyo"]
    assert prepared("eating doughnuts", "kinetics", table) == ["eat", "donut"]
    assert prepared("Skijet", "ucf101", table) == ["jet", "ski"]


def test_an_unknown_style_lists_the_known_ones():
    with pytest.raises(ExtractorError, match=f"style 'k400'. There are: {', '.join(STYLES)}"):
        prepared("x", "k400")


def test_a_collision_names_its_classes_and_a_repetition_is_none():
    assert collisions(["walk dog", "WalkingWithDog", "run", "run"]) == {"walk dog": ["walk dog", "WalkingWithDog"]}


@pytest.mark.shared
def test_no_two_classes_of_a_published_list_share_a_name(shared_data):
    classes = shared_data / "classes"
    lists = {path.name: path.read_text().splitlines() for path in sorted((classes / "labels").glob("*.txt"))}
    for path in [*classes.glob("definitions_*.json"), *classes.glob("part_phase_texts_*.json")]:
        lists[path.name] = [entry["class"] for entry in json.loads(path.read_text())]
    assert len(lists) >= 18
    assert {file: shared for file, names in lists.items() if (shared := collisions(filter(str.strip, names)))} == {}
    for names in lists.values():
        known = {name for name in names if name.strip()}
        assert len({unspaced(name) for name in known}) == len(known)
        for name in known:
            assert canonical(name)
            assert canonical(canonical(name)) == canonical(name) == canonical(readable(name))


@pytest.mark.shared
def test_the_definitions_of_a_data_set_find_its_own_classes(shared_data):
    for name in ("ucf101", "hmdb51"):
        labels = (shared_data / "classes" / "labels" / f"{name}_label_map.txt").read_text().split()
        entries = json.loads((shared_data / "classes" / f"definitions_{name}.json").read_text())
        assert {unspaced(label) for label in labels} == {unspaced(entry["class"]) for entry in entries}


_WORD = st.text("abcdefghijklmnopqrstuvwxyzéñ", min_size=2, max_size=9)
_SEPARATOR = st.sampled_from([" ", "_", "-", "/", "+", " (", ") ", "  ", ", ", " / "])


@given(st.lists(_WORD, min_size=1, max_size=5), st.data())
def test_neither_case_nor_separators_change_a_canonical_name(parts, data):
    plain = unicodedata.normalize("NFC", " ".join(parts))
    spelled = parts[0]
    for part in parts[1:]:
        spelled += data.draw(_SEPARATOR) + data.draw(st.sampled_from([part, part.upper(), part.capitalize()]))
    assert canonical(spelled) == canonical(plain) == canonical(plain.upper()) == canonical(plain.title())
    assert canonical("".join(part.capitalize() for part in parts)) == canonical(plain)


@example("A\U0001d468")  # a capital that has no small letter
@given(st.text(max_size=40))
def test_any_text_has_stable_lower_case_words_and_one_canonical_name(name):
    assert words(readable(name)) == words(name)
    assert readable(name) == unicodedata.normalize("NFC", readable(name))
    assert canonical(canonical(name)) == canonical(name) == canonical(readable(name))
    assert bool(canonical(name)) == bool(words(name))


@given(st.lists(st.sampled_from([*sorted(STOP_WORDS), "walk", "dog", "up"]), min_size=1))
def test_stop_words_go_wherever_they_stand(parts):
    kept = [part for part in parts if part not in STOP_WORDS]
    assert not kept or canonical(" ".join(parts)) == " ".join(kept)


@given(st.text(max_size=30), st.sampled_from(STYLES))
def test_a_name_with_words_is_never_prepared_to_nothing(name, style):
    assert bool(prepared(name, style)) == bool(words(name))
