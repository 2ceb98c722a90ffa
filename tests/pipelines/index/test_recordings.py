"""Each layout tells which items were cut from one recording, in the manifest's `split` column."""

import pytest

from pipelines.index.layouts.base import Found
from pipelines.index.layouts.reading import LAYOUTS
from pipelines.index.recordings import recording_of, with_recording


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
