"""Which videos are kept together, and which fifth each is in."""

import numpy as np

from pipelines.learn.protocols.fifths import FIFTHS, fifths


def test_clips_of_one_recording_and_twins_are_in_one_fifth():
    ids = [f"v_Run_g{recording:02d}_c{clip:02d}" for recording in range(40) for clip in range(3)]
    keys = [name.encode() for name in ids]
    keys[3] = keys[80] = b"twin"  # joins recordings 1 and 26
    found = fifths(ids, keys).reshape(40, 3)
    assert (found == found[:, :1]).all()
    assert found[1, 0] == found[26, 0]
    alone = fifths(ids, [name.encode() for name in ids]).reshape(40, 3)[:, 0]
    assert alone[1] != alone[26]  # else the line above would show nothing
    rest = np.delete(np.arange(40), [1, 26])
    assert (found[rest, 0] == alone[rest]).all()


def test_a_fifth_depends_on_names_alone_and_is_about_a_fifth():
    ids = [f"sequence {k}" for k in range(4000)]
    keys = [str(k).encode() for k in range(4000)]
    found = fifths(ids, keys)
    assert fifths(ids[::-1][:100], keys[::-1][:100]).tolist() == found[::-1][:100].tolist()
    share = np.bincount(found, minlength=FIFTHS) / len(found)
    assert np.abs(share - 0.2).max() < 0.02


def test_chains_of_twins_are_one_group_in_any_order():
    ids, keys = ["d", "c", "b", "a", "a", "b", "c"], [b"1", b"1", b"2", b"3", b"2", b"4", b"4"]
    found = fifths(ids, keys)
    assert len(set(found.tolist())) == 1
    order = [6, 2, 0, 4, 1, 3, 5]
    assert fifths([ids[k] for k in order], [keys[k] for k in order]).tolist() == found.tolist()


def test_what_a_layout_tells_of_recordings_counts_before_the_name():
    ids = ["April_09_brush_hair_u_nm_np1_ba_goo_0", "April_09_wave_u_nm_np1_fr_goo_3", "v_Run_g01_c01", "v_Run_g01_c02"]
    keys = [name.encode() for name in ids]
    alone = fifths(["April_09"] * 2, keys[:2])
    assert fifths(ids, keys, ["April_09", "April_09", None, None])[:2].tolist() == alone.tolist()
    assert fifths(ids, keys, [None] * 4).tolist() == fifths(ids, keys).tolist()  # a manifest of before
