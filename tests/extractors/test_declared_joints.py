"""A layout that a user declares: read, checked in one line, turned into others by names."""

import numpy as np
import pytest

from extractors import joints
from extractors.declared_joints import layout_of
from extractors.errors import ExtractorError
from extractors.joints import COCO_17, KINECT_20

GOOD = {
    "joints": '["hip centre", "spine", "head", "left shoulder", "right shoulder", "left hip", "right hip"]',
    "bones": '[["spine", "hip centre"], ["head", "spine"], ["left shoulder", "spine"], ["right shoulder", "spine"], '
    '["left hip", "hip centre"], ["right hip", "hip centre"]]',
    "centre": '"spine"',
}


def text(**changed: str | None) -> str:
    return "\n".join(f"{key} = {value}" for key, value in (GOOD | changed).items() if value is not None)


def test_a_layout_is_called_by_its_file_and_what_it_says():
    found = layout_of(text(), "mine", "mine.toml")
    assert found.name.startswith("mine-")
    assert found.joints[2] == "head"
    assert found.bones[0] == (1, 0)
    assert (found.centre, found.hips, found.neck, found.shoulders, found.axes) == (1, (5, 6), (3, 4), (3, 4), 3)
    assert found.optional == {2, 3, 4, 5, 6}
    assert layout_of(text(axes="2"), "mine", "mine.toml").name != found.name
    assert layout_of(text() + "\n# a comment", "mine", "mine.toml").name == found.name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"joints": '["a", "a"]'}, "names 'a' twice"),
        ({"joints": "3"}, "needs `joints`, a list of names"),
        ({"bones": '[["spine", "tail"]]'}, "names 'tail' in `bones`, which is none of its joints"),
        ({"bones": '["spine"]'}, "needs `bones`, a list of pairs"),
        ({"bones": '[["spine", "hip centre"]]'}, "no bones join 'head', 'left hip', .* to the centre 'spine'"),
        ({"centre": None}, "needs `centre`"),
        ({"centre": '"tail"'}, "names 'tail' in `centre`"),
        ({"axes": "4"}, "axes = 4"),
        ({"colour": '"red"'}, "has 'colour'; it may have"),
        ({"joints": GOOD["joints"].replace('"right hip"', '"hip"')}, "has 'left hip' and no 'right hip'"),
        ({"shoulders": '["head"]'}, "needs two `shoulders`"),
        ({"centre": "spine"}, "is no TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changed, message):
    with pytest.raises(ExtractorError, match=message) as refused:
        layout_of(text(**changed), "mine", "mine.toml")
    assert "\n" not in str(refused.value)
    assert "mine.toml" in str(refused.value)


def test_joints_of_one_name_are_one_joint():
    more = [*KINECT_20.joints[::-1], "tail"]
    names = "[" + ", ".join(f'"{joint}"' for joint in more) + "]"
    bones = ", ".join(f'["{KINECT_20.joints[a]}", "{KINECT_20.joints[b]}"]' for a, b in KINECT_20.bones)
    own = layout_of(text(joints=names, bones=f'[{bones}, ["tail", "hip centre"]]'), "tailed", "tailed.toml")
    places = np.random.default_rng(0).normal(size=(5, 21, 3))
    assert np.allclose(joints.mapping(own, KINECT_20).apply(places), places[:, 19::-1])
    with pytest.raises(ExtractorError, match=f"Joints of {own.name} cannot be turned into coco-17"):
        joints.mapping(own, COCO_17)
