"""Spellings: one video, two names; and two videos whose names are nearly one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.index.spellings import Matches, match, streams


@pytest.mark.parametrize(
    ("theirs", "ours", "rule"),
    [
        ("v_a", "v_a", "as it stands"),
        ("caf\u0065\u0301", "caf\u00e9", "Unicode"),
        ("a%20b%2Bc", "a b+c", "percent"),
        ("a.MP4", "a", "ending"),
        ("a.mp4", "a.avi", "ending"),
        ("train/a", "a", "folder"),
        ("deep/er/bow/a", "bow/a", "folder"),
        ("val/a", "train/a", "folder"),
        ("train\\a", "a", "folder"),
        ("abc_10_20", "abc_000010_000020", "digits"),
        ("v_a", "a", "v_"),
        ("a", "v_a", "v_"),
        ("a_rgb", "a", "stream"),
        ("a", "a_rgb", "stream"),
        ("ApplyEyeMakeup", "applyeyemakeup", "letters"),
        ("brush hair", "brush_hair", "letters"),
        ("abc", "abc_000010_000020", "times"),
        ("train/v_abc_clip.mp4", "abc", "ending, folder, v_, stream"),
    ],
)
def test_a_name_is_found_in_another_spelling_and_the_rule_is_told(theirs, ours, rule):
    assert match([theirs, "other"], ["unrelated", ours]) == Matches([1, -1], {rule: 1}, ())


def test_the_name_of_the_array_in_each_group_is_no_part_of_the_id():
    assert match(["a/c3d_features", "b/c3d_features"], ["v_a", "v_b"]) == Matches([0, 1], {"array, v_": 2}, ())
    assert match(["a/c3d_features"], ["a"]).at == [0]
    assert match(["bow/1", "bow/2"], ["bow"]).at == [-1, -1]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("bow/1", "sit/1"),
        ("abc_000010_000020", "abc_000030_000040"),
        ("a_flow", "a_rgb"),
        ("A_flow", "a_rgb"),
        ("v_x", "y"),
        ("_rgb", "_flow"),
    ],
)
def test_names_that_contradict_each_other_are_not_one_video(theirs, ours):
    assert match([theirs], [ours]) == Matches([-1], {}, ())


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (["a.mp4", "a.avi"], ["a"]),
        (["a_rgb", "a_flow"], ["a"]),
        (["x"], ["bow/x", "sit/x"]),
        (["abc"], ["abc_000010_000020", "abc_000030_000040"]),
        (["ABC", "abc"], ["Abc"]),
    ],
)
def test_where_several_meet_none_is_matched_and_all_are_told(theirs, ours):
    assert match(theirs, ours) == Matches([-1] * len(theirs), {}, tuple(theirs))


def test_a_name_as_it_stands_comes_before_any_other_spelling():
    assert match(["a", "a.mp4"], ["a", "v_a"]) == Matches([0, -1], {"as it stands": 1}, ("a.mp4",))


def test_several_names_of_one_content_are_one_video():
    assert match(["x"], ["bow/x", "sit/x"], ["same", "same"]).at == [0]
    assert match(["x"], ["bow/x", "sit/x"], ["one", "two"]).at == [-1]


def test_streams_are_seen_where_a_name_bears_several():
    assert streams(["a_rgb", "a_flow", "b_rgb", "c"]) == {"_rgb": 1, "_flow": 1}
    assert streams(["a_rgb", "b_flow"]) == {"_rgb": 1, "_flow": 1}
    assert streams(["a_rgb", "b_rgb"]) == streams(["a_rgb", "b_flow", "c"]) == streams(["a", "b"]) == {}
    assert streams(["a/rgb", "a/flow"]) == {"/rgb": 1, "/flow": 1}


names = st.lists(st.text("ab/_v.0", min_size=1, max_size=5), unique=True, max_size=8)


@given(names, names)
def test_no_two_ids_are_ever_one_video_and_equal_names_always_are(theirs, ours):
    found = match(theirs, ours)
    matched = [j for j in found.at if j >= 0]
    assert len(set(matched)) == len(matched) == sum(found.rules.values())
    assert all(ours[j] == name for name, j in zip(theirs, found.at, strict=True) if name in ours)


@given(names)
def test_the_order_of_names_changes_nothing(theirs):
    ours = ["v_a", "a", "b/a", "b.a", "a_0_0"]
    one = dict(zip(theirs, match(theirs, ours).at, strict=True))
    other = dict(zip(theirs[::-1], match(theirs[::-1], ours).at, strict=True))
    assert one == other
