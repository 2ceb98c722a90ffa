"""Classes of the practice world and their splits: what is unseen is made of what is seen, but for the controls."""

import re

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.practice import words
from pipelines.practice.classes import Composition, compositions
from pipelines.practice.motions import MOTIONS
from pipelines.practice.settings import PracticeConfig
from pipelines.practice.splits import control_splits, random_splits

_SIZES = [(6, 0), (12, 1), (60, 0), (60, 7), (120, 2)]


def _motions(classes: tuple[Composition, ...], names: list[str]) -> set[str]:
    return {motion for each in classes if each.name in names for motion in each.motion_names}


@pytest.mark.parametrize(("count", "seed"), _SIZES)
def test_classes_differ_as_sets_of_motions(count: int, seed: int) -> None:
    classes = compositions(count, seed)
    assert len(classes) == count
    assert len({frozenset(each.motion_names) for each in classes}) == count
    assert all(len(set(each.motion_names)) == len(each.motions) in (2, 3) for each in classes)


@pytest.mark.parametrize(("count", "seed"), _SIZES)
def test_mean_word_vectors_tell_all_classes_apart(count: int, seed: int) -> None:
    vectors = words.vectors(seed)
    means = np.stack(
        [np.mean([vectors[word] for word in re.findall(r"\w+", each.name)], 0) for each in compositions(count, seed)]
    )
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1) + np.eye(count)
    assert apart.min() > 0.02


def test_every_word_of_the_texts_has_a_vector() -> None:
    vectors = words.vectors(0)
    texts = [text for motion in MOTIONS for text in (motion.name, motion.phrase, motion.told)]
    texts += [each.definition for each in compositions(60, 0)]
    lacking = {word for text in texts for word in re.findall(r"[a-z']+", text.lower())} - set(vectors)
    assert not lacking


def test_vectors_of_like_motions_are_near() -> None:
    vectors = words.vectors(0)
    assert vectors["squat"] @ vectors["crouch"] > 0.9
    assert vectors["kick"] @ vectors["leg"] > vectors["clap"] @ vectors["leg"] + 0.1


def test_motions_are_shared_evenly() -> None:
    classes = compositions(60, 0)
    uses = [sum(name in each.motion_names for each in classes) for name in _motions(classes, [c.name for c in classes])]
    assert max(uses) <= 2 * min(uses)


@pytest.mark.parametrize(("count", "seed"), _SIZES)
def test_each_motion_of_an_unseen_class_is_one_of_a_seen_class(count: int, seed: int) -> None:
    classes = compositions(count, seed)
    found = random_splits(classes, count // 3, 5, seed)
    assert len(found) == 5
    for split in found:
        assert sorted(split["seen"] + split["unseen"]) == sorted(each.name for each in classes)
        assert len(split["unseen"]) == count // 3
        assert _motions(classes, split["unseen"]) <= _motions(classes, split["seen"])
    assert len({tuple(split["unseen"]) for split in found}) > 1


@pytest.mark.parametrize(("count", "seed"), _SIZES[1:])
def test_in_each_control_split_one_motion_is_in_no_seen_class(count: int, seed: int) -> None:
    classes = compositions(count, seed)
    found = control_splits(classes, count // 3, 5, seed)
    assert found
    assert len({split["lacks"] for split in found}) == len(found)
    for split in found:
        assert sorted(split["seen"] + split["unseen"]) == sorted(each.name for each in classes)
        assert len(split["unseen"]) >= count // 3
        assert _motions(classes, split["unseen"]) - _motions(classes, split["seen"]) == {split["lacks"]}


def test_classes_follow_from_their_seed() -> None:
    assert compositions(30, 1) == compositions(30, 1)
    assert compositions(30, 1) != compositions(30, 2)


def test_too_many_unseen_classes_are_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match=r"unseen must leave 3 of the 6 classes") as refused:
        PracticeConfig("w", classes=6, unseen=4)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match=r"Ask for fewer unseen ones") as refused:
        random_splits(compositions(12, 0), 11, 1, 0)
    assert "\n" not in str(refused.value)
