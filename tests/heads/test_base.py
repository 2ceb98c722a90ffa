"""Texts shared by classes: means, tables and subsets, against loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heads.base import ClassTexts, Texts
from tests.heads import made
from tests.heads.loops import mean, rows

LAYOUT = [[0, 3], [1], [4, 3, 0], [2, 2]]
layouts = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=5)


def told(texts: Texts, classes: int) -> list[list[list[float]]]:
    """Features of the texts of each class."""
    features = rows(texts.features)
    found: list[list[list[float]]] = [[] for _ in range(classes)]
    for row, k in zip(texts.text.tolist(), texts.owner.tolist(), strict=True):
        found[k].append(features[row])
    return found


@given(layouts)
def test_the_mean_of_a_class_is_over_its_own_texts(layout):
    texts = made.texts(layout)
    assert made.close(texts.mean(texts.features, len(layout)), [mean(own) for own in told(texts, len(layout))])


def test_the_mean_may_be_of_other_features_of_the_same_texts():
    texts = made.texts(LAYOUT)
    other = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wanted = [mean([rows(other)[row] for row in own]) for own in LAYOUT]
    assert made.close(texts.mean(other, 4), wanted)


def test_a_class_without_a_text_has_no_mean():
    texts = made.texts(LAYOUT)
    with pytest.raises(ValueError, match="2 classes have no text"):
        texts.mean(texts.features, 6)


@given(layouts)
def test_a_padded_row_holds_the_texts_of_its_class_then_minus_one(layout):
    longest = max(len(own) for own in layout)
    wanted = [own + [-1] * (longest - len(own)) for own in layout]
    assert made.texts(layout).padded(len(layout)).tolist() == wanted


def test_the_padded_row_of_a_class_without_a_text_is_empty():
    assert made.texts([[0], [1, 2]]).padded(3).tolist() == [[0, -1], [1, 2], [-1, -1]]


@given(layouts, st.data())
def test_the_texts_of_some_classes_are_those_of_each_numbered_anew(layout, data):
    texts = made.texts(layout)
    chosen = data.draw(st.permutations(range(len(layout))))[: data.draw(st.integers(1, len(layout)))]
    few = texts.of(torch.tensor(chosen), len(layout))
    whole = told(texts, len(layout))
    assert told(few, len(chosen)) == [whole[k] for k in chosen]
    assert few.owner.tolist() == sorted(few.owner.tolist())
    assert sorted(set(few.text.tolist())) == list(range(len(few.features)))  # no text that no class owns
    assert len(few.features) == len({row for k in chosen for row in layout[k]})


def test_some_classes_keep_their_names_and_texts_in_the_order_asked_for():
    seen = made.seen()
    few = seen.of([3, 0])
    assert few.names == ("seen3", "seen0")
    assert len(few) == 2
    for kind in made.KINDS:
        whole = told(seen[kind], 4)
        assert told(few[kind], 2) == [whole[3], whole[0]]


def test_joined_classes_are_these_then_those():
    seen, unseen = made.seen(), made.unseen()
    both = seen.joined(unseen)
    assert both.names == seen.names + unseen.names
    for kind in made.KINDS:
        assert told(both[kind], 7) == told(seen[kind], 4) + told(unseen[kind], 3)
        assert both[kind].owner.tolist() == sorted(both[kind].owner.tolist())


def test_joining_and_choosing_again_gives_the_texts_back():
    seen, unseen = made.seen(), made.unseen()
    both = seen.joined(unseen)
    for part, numbers in ((seen, range(4)), (unseen, range(4, 7))):
        again = both.of(numbers)
        assert again.names == part.names
        for kind in made.KINDS:
            assert told(again[kind], len(part)) == told(part[kind], len(part))


def test_a_kind_that_is_not_there_is_named_with_those_that_are():
    some = ClassTexts(("a",), {"class": made.texts([[0]]), "phrase": made.texts([[0, 1]])})
    with pytest.raises(KeyError, match="no texts of kind 'definition'; they have: class, phrase"):
        some["definition"]


def test_chosen_videos_take_all_that_belongs_to_them():
    batch = made.videos("some")
    few = batch.take(torch.tensor([3, 0]))
    assert len(few) == 2
    assert few.labels.tolist() == [1, 2]
    assert torch.equal(few.segments, batch.segments[[3, 0]])
    assert torch.equal(few.concepts, batch.concepts[[3, 0]])
    assert few.concept_features is batch.concept_features
    assert few.objects.isnan().all(1).tolist() == [True, False]
    bare = made.videos("none").take(torch.tensor([1]))
    assert (bare.objects, bare.concepts, bare.concept_features) == (None, None, None)
