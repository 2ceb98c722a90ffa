"""Each layout tells which items were cut from one recording, in the manifest's `split` column."""

import pytest

from pipelines.index.layouts.base import Found
from pipelines.index.layouts.reading import LAYOUTS
from pipelines.index.poses import values_of
from pipelines.index.recordings import filled, recording_of, with_recording


@pytest.mark.parametrize(
    ("layout", "name", "label", "recording"),
    [
        ("ucf101", "v_Run_g01_c03", "Run", "v_Run_g01"),
        ("ucf101", "elsewhere", "Run", None),
        ("hmdb51", "April_09_brush_hair_u_nm_np1_ba_goo_0", "brush_hair", "April_09"),
        ("hmdb51", "April_09_wave_f_cm_np1_fr_med_12", "wave", "April_09"),
        ("hmdb51", "mine", "wave", None),
        ("kinetics", "abcdefghijk_000010_000020", "bowling", "abcdefghijk"),
        ("activitynet", "abcdefghijk#3", "bowling", "abcdefghijk"),
    ],
)
def test_a_layout_tells_the_recording_of_an_item(layout, name, label, recording):
    told = LAYOUTS[layout].recording
    assert told is not None
    assert told(Found(name, f"/{name}.avi", label, None, None, None)) == recording


@pytest.mark.parametrize("layout", ["folder", "class-video", "list", "table"])
def test_any_folder_tells_none(layout):
    assert LAYOUTS[layout].recording is None


@pytest.mark.parametrize("split", [None, "train", "1:train,2:test", "subject=1,view=2"])
def test_the_column_gives_back_what_was_put_into_it(split):
    assert recording_of(split) is None
    assert recording_of(with_recording(split, "April_09")) == "April_09"
    assert (with_recording(split, "April_09") or "").startswith(split or "")


@pytest.mark.parametrize("name", ["April_09", "Bond, James", "a=b,c=d", "x,recording=y"])
def test_a_recording_is_the_same_one_however_the_column_is_read(name):
    told = with_recording("subject=1", name)
    assert values_of(told) == {"subject": "1", "recording": recording_of(told)}


@pytest.mark.parametrize("known", [None, "test", "test,recording=old", "recording=old"])
@pytest.mark.parametrize("split", [None, "train", "train,recording=new", "recording=new"])
def test_what_is_told_now_counts_and_what_is_not_stays(split, known):
    found = filled(split, known)
    is_train, is_test = "train" in (split or ""), "test" in (known or "")
    assert ("train" in (found or ""), "test" in (found or "")) == (is_train, is_test and not is_train)
    assert recording_of(found) == (recording_of(split) or recording_of(known))
