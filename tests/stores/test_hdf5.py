"""Features out and in: HDF5, npy, npz and Parquet, ours and those of others."""

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores import hdf5, ragged
from stores.errors import BadFile, WriteFailed
from stores.foreign import FORMATS, Foreign, read_foreign, write_foreign
from stores.ragged import Gathered, safe_names

NAMES = {
    ("hdf5", "ragged"): "f.h5",
    ("hdf5", "per-video"): "f.hdf5",
    ("npy", "ragged"): "ragged",
    ("npy", "per-video"): "each",
    ("parquet", "ragged"): "f.parquet",
    ("lance", "ragged"): "f.lance",
}
DTYPES = ("float16", "float32", "float64", "int32", "uint8", "int64")
AWKWARD = (
    "a",
    "a/b",
    "a/b/c",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "",
    "a.npy/b",
    "_items/00000000",
    "x" * 300,
    "é ü/☃",
    "v#1",
    " ",
    "values",
    "video_id",
)


@st.composite
def foreign(draw: st.DrawFn, least_rows: int = 0) -> Foreign:
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
    ids = draw(st.lists(st.sampled_from(AWKWARD) | text, min_size=1, max_size=6, unique=True))
    counts = draw(st.lists(st.integers(least_rows, 4), min_size=len(ids), max_size=len(ids)))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    row_shape = draw(st.sampled_from([(3,), (1,), (2, 3)]))
    values = (random.normal(size=(offsets[-1], *row_shape)) * 50).astype(draw(st.sampled_from(DTYPES)))
    keys = random.integers(0, 256, (len(ids), 32), np.uint8) if draw(st.booleans()) else None
    times = random.random((offsets[-1], 2), np.float32) if draw(st.booleans()) else None
    recipe = {"extractor": "é", "version": 1} if draw(st.booleans()) else None
    return Foreign(ids, keys, values, offsets, times, recipe)


def same(a: Foreign, b: Foreign, times: bool = True) -> None:
    assert a.video_id == b.video_id
    assert a.values.dtype == b.values.dtype
    assert np.array_equal(a.values[:], b.values[:])
    assert a.values.shape == b.values.shape
    assert np.array_equal(a.offsets, b.offsets)
    assert a.recipe == b.recipe
    for one, other in [(a.keys, b.keys), *([(a.times, b.times)] if times else [])]:
        assert (one is None and other is None) or np.array_equal(one, other)


def three(names: tuple[str, ...] = ("a/1", "a/2", "b"), dtype: str = "float16") -> Foreign:
    random = np.random.default_rng(0)
    values = random.normal(size=(6, 4)).astype(dtype)
    keys = random.integers(0, 256, (3, 32), np.uint8)
    return Foreign(
        list(names), keys, values, np.array([0, 1, 3, 6]), random.random((6, 2), np.float32), {"extractor": "x"}
    )


def bytes_of(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {p.relative_to(path.parent).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_is_read_back(form, data, tmp_path):
    # a table has a row a feature row, so it cannot say that a video has none; the store never has such a video
    features = data.draw(foreign(least_rows=1 if form[0] in ("parquet", "lance") else 0))
    write_foreign(tmp_path / NAMES[form], features, *form)
    same(read_foreign(tmp_path / NAMES[form]), features, times=form[1] == "ragged")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(features=foreign())
def test_what_is_written_as_npz_is_read_back(features, tmp_path):
    stripped = [name.rstrip("\0") for name in features.video_id]
    assert stripped == features.video_id
    write_foreign(tmp_path / "f.npz", features, "npy", "ragged")
    same(read_foreign(tmp_path / "f.npz"), features)


@pytest.mark.parametrize("form", [form for form in FORMATS if form[0] != "lance"], ids="-".join)
def test_equal_features_give_equal_bytes(form, tmp_path):
    for folder in ("one", "two"):
        write_foreign(tmp_path / folder / NAMES[form], three(), *form)
    assert bytes_of(tmp_path / "one" / NAMES[form]) == bytes_of(tmp_path / "two" / NAMES[form])


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
def test_writing_block_by_block_gives_the_same_features(form, tmp_path, monkeypatch):
    write_foreign(tmp_path / "one" / NAMES[form], three(), *form)
    monkeypatch.setattr(ragged, "BLOCK_BYTES", 16)
    gathered = Gathered(three().values[::-1].copy(), np.arange(6)[::-1])
    features = Foreign(three().video_id, three().keys, gathered, three().offsets, three().times, three().recipe)
    write_foreign(tmp_path / "two" / NAMES[form], features, *form)
    assert len(list((tmp_path / "two").iterdir())) == 1
    same(read_foreign(tmp_path / "one" / NAMES[form]), read_foreign(tmp_path / "two" / NAMES[form]))


def test_video_ids_with_slashes_are_paths_in_hdf5_and_folders_in_npy(tmp_path):
    write_foreign(tmp_path / "f.h5", three(), "hdf5", "per-video")
    write_foreign(tmp_path / "each", three(), "npy", "per-video")
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["a/2"].shape == (2, 4)
        assert json.loads(file.attrs["recipe"]) == {"extractor": "x"}
    assert np.load(tmp_path / "each/a/2.npy").shape == (2, 4)


@given(
    st.lists(st.sampled_from(AWKWARD) | st.text("ab/.", max_size=6), unique=True, max_size=12),
    st.sampled_from(["", ".npy"]),
)
def test_no_two_videos_share_a_place_and_none_lies_inside_another(ids, extension):
    names = [name + extension for name in safe_names(ids, extension)]
    assert len(set(names)) == len(ids)
    assert not any(a != b and b.startswith(a + "/") for a in names for b in names)


def test_large_hdf5_values_are_mapped_not_read(tmp_path):
    write_foreign(tmp_path / "f.h5", three(), "hdf5")
    assert isinstance(hdf5.read(tmp_path / "f.h5").values, np.memmap)


def test_npy_files_of_others_are_read_one_a_video_in_the_order_of_names(tmp_path):
    """ER's way: NAME.npy of (1, D)."""
    (tmp_path / "er/sub").mkdir(parents=True)
    np.save(tmp_path / "er/v2.npy", np.full((1, 4), 2, np.float32))
    np.save(tmp_path / "er/v1.npy", np.full(4, 1, np.float32))
    np.save(tmp_path / "er/sub/v3.npy", np.full((2, 4), 3, np.float32))
    found = read_foreign(tmp_path / "er")
    assert found.video_id == ["sub/v3", "v1", "v2"]
    assert found.values[:, 0].tolist() == [3, 3, 1, 2]
    assert found.offsets.tolist() == [0, 2, 3, 4]
    assert found.keys is None
    assert read_foreign(tmp_path / "er/v1.npy").video_id == ["v1"]


def test_hdf5_and_npz_of_others_are_read_an_array_a_video(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["class/v1"] = np.ones((3, 4), np.float32)
        file["v2"] = np.zeros(4, np.float32)
    np.savez(tmp_path / "f.npz", **{"class/v1": np.ones((3, 4), np.float32), "v2": np.zeros(4, np.float32)})
    for name in ("f.h5", "f.npz"):
        found = read_foreign(tmp_path / name)
        assert found.video_id == ["class/v1", "v2"]
        assert found.offsets.tolist() == [0, 3, 4]


@pytest.mark.parametrize("names", [("ids", "features"), ("video_ids", "feats"), ("names", "vectors")])
def test_ids_and_values_are_found_under_the_names_that_others_give_them(names, tmp_path):
    ids, values = names
    np.savez(tmp_path / "f.npz", **{ids: np.array(["a", "b"]), values: np.eye(2), "labels": np.ones(2)})
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file[values], file["labels"] = np.eye(2), np.ones(2)
        file.create_dataset(ids, data=np.array([b"a", b"b"], "S1"))
    pq.write_table(
        pa.table({ids: ["a", "b"], values: [[1.0, 0.0], [0.0, 1.0]], "labels": [1, 1]}), tmp_path / "f.parquet"
    )
    for name in ("f.npz", "f.h5", "f.parquet"):
        found = read_foreign(tmp_path / name)
        assert (found.video_id, found.unread) == (["a", "b"], ("labels",))
        assert np.array_equal(found.rows(1), [[0, 1]])


def test_lists_of_one_length_are_rows_and_of_several_are_refused(tmp_path):
    for name, lists in (("even", [[1.0, 2.0], [3.0, 4.0]]), ("odd", [[1.0, 2.0], [3.0, 4.0, 5.0, 6.0]])):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("ids", data=["a", "b"])
            values = file.create_dataset("features", (2,), dtype=h5py.vlen_dtype(np.float32))
            for k, own in enumerate(lists):
                values[k] = own
    assert read_foreign(tmp_path / "even.h5").values[:].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(
        BadFile, match=r"odd.h5: '/features' holds flat lists of 2, 4 numbers, and nothing says how many"
    ):
        read_foreign(tmp_path / "odd.h5")


def test_rows_come_in_the_order_of_bytes_of_this_machine(tmp_path):
    write_h5(tmp_path / "f.h5", values=np.arange(4.0).reshape(2, 2).astype(">f8"), video_id=["a", "b"])
    rows = read_foreign(tmp_path / "f.h5").rows(1)
    assert rows.tolist() == [[2, 3]]
    assert rows.dtype.isnative


def test_what_lies_beside_features_is_named_and_its_milliseconds_are_times(tmp_path):
    for name, rows in (("v_a", 2), ("v_b", 3)):
        np.save(tmp_path / f"{name}_clip.npy", np.ones((rows, 4), np.float32))
        np.save(tmp_path / f"{name}_fps.npy", np.array(25.0))
        np.save(tmp_path / f"{name}_timestamps_ms.npy", np.arange(rows) * 40.0)
    (tmp_path / "._v_a_clip.npy").write_bytes(b"litter")
    found = read_foreign(tmp_path)
    assert found.video_id == ["v_a_clip", "v_b_clip"]
    assert found.unread == ("v_a_fps", "v_a_timestamps_ms", "v_b_fps", "v_b_timestamps_ms")
    assert np.allclose(found.times, [[0, 0], [0.04, 0.04], [0, 0], [0.04, 0.04], [0.08, 0.08]])
    np.save(tmp_path / "v_b_timestamps_ms.npy", np.arange(4) * 40.0)
    assert read_foreign(tmp_path).times is None


def test_arrays_that_seem_to_be_turned_are_refused_with_that_hint(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.ones((16, 4)), b=np.ones((16, 5)))
    with pytest.raises(BadFile, match=r"'b' are \(16, 5\) .* They seem to be \(D, rows\): turn each round with `.T`"):
        read_foreign(tmp_path / "f.npz")


def test_one_row_a_video_needs_no_offsets(tmp_path):
    np.savez(tmp_path / "f.npz", values=np.ones((2, 4)), video_id=np.array(["a", "b"]))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["values"] = np.ones((2, 4))
        file.create_dataset("video_id", data=["a", "b"])
    for name in ("f.npz", "f.h5"):
        assert read_foreign(tmp_path / name).offsets.tolist() == [0, 1, 2]


def test_parquet_rows_in_any_order_come_back_in_order(tmp_path):
    values = [[2.0, 2.0], [1.0, 1.0], [0.0, 0.0], [3.0, 3.0]]
    table = pa.table({"video_id": ["b", "a", "b", "b"], "row": [1, 0, 0, 2], "values": values})
    pq.write_table(table, tmp_path / "f.parquet")
    found = read_foreign(tmp_path / "f.parquet")
    assert found.video_id == ["b", "a"]
    assert found.values[:, 0].tolist() == [0, 2, 3, 1]


def test_parquet_lists_that_are_a_slice_of_others_are_read_right(tmp_path):
    table = pa.table({"video_id": ["a", "b", "c"], "values": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]})
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=1)
    assert read_foreign(tmp_path / "f.parquet").values[:].tolist() == [[1, 2], [3, 4], [5, 6]]


def write_h5(path: Path, **arrays: object) -> None:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


def bad_h5_text(path):
    path.write_text("no HDF5 at all")


def bad_h5_cut(path):
    write_foreign(path, three(), "hdf5")
    path.write_bytes(path.read_bytes()[:900])


def bad_h5_empty(path):
    write_h5(path)


def bad_h5_strings(path):
    write_h5(path, v1=["not", "numbers"])


def bad_h5_width(path):
    write_h5(path, v1=np.ones((1, 4)), v2=np.ones((1, 5)))


def bad_h5_offsets(path):
    write_h5(path, values=np.ones((3, 4)), video_id=["a", "b"], offsets=[0, 2, 5])


def bad_h5_twice(path):
    write_h5(path, values=np.ones((2, 4)), video_id=["a", "a"], offsets=[0, 1, 2])


def bad_h5_keys(path):
    write_h5(path, values=np.ones((1, 4)), video_id=["a"], offsets=[0, 1], keys=np.ones((1, 16), np.uint8))


def bad_h5_times(path):
    write_h5(path, values=np.ones((1, 4)), video_id=["a"], offsets=[0, 1], times=np.ones((3, 2)))


def bad_h5_ids(path):
    write_h5(path, values=np.ones((1, 4)), video_id=[1])


def bad_h5_recipe(path):
    write_h5(path, v1=np.ones((1, 4)))
    with h5py.File(path, "a") as file:
        file.attrs["recipe"] = "not json"


BAD_HDF5 = {
    bad_h5_text: "cannot be read as HDF5: .* cut short or of another kind",
    bad_h5_cut: "cannot be read as HDF5: .* cut short or of another kind",
    bad_h5_empty: "holds no features. Give a file of a layout that `zsar export` writes",
    bad_h5_strings: r"neither `values` with `video_id` nor a dataset of numbers a video: 'v1' is \(2,\) object",
    bad_h5_width: r"the features of 'v2' are \(1, 5\) float64, those of 'v1' \(1, 4\)",
    bad_h5_offsets: r"offsets must be 3 rising numbers from 0 to 3 for 2 video ids, got 3, from \[0\] to \[5\]",
    bad_h5_twice: "the video id 'a' stands there twice",
    bad_h5_keys: r"keys must be \(1, 32\) uint8, got \(1, 16\)",
    bad_h5_times: r"times must be \(1, 2\), got \(3, 2\)",
    bad_h5_ids: r"needs values \(rows, D\) and video_id \(n\) of strings",
    bad_h5_recipe: "the attribute 'recipe' must be a JSON object, got 'not json'",
}


@pytest.mark.parametrize("make", BAD_HDF5, ids=lambda make: make.__name__[7:])
def test_a_bad_hdf5_file_is_refused_in_one_line(make, tmp_path):
    make(tmp_path / "f.h5")
    with pytest.raises(BadFile, match=BAD_HDF5[make]) as refused:
        read_foreign(tmp_path / "f.h5")
    assert "\n" not in str(refused.value)
    assert "f.h5" in str(refused.value)


def test_pickled_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(BadFile, match=r"v.npy cannot be read: .*allow_pickle=False"):
        read_foreign(tmp_path / "v.npy")
    np.savez(tmp_path / "v.npz", video_id=np.array(["a", None], object), values=np.ones((2, 3)))
    with pytest.raises(BadFile, match=r"v.npz cannot be read: .*allow_pickle=False"):
        read_foreign(tmp_path / "v.npz")


@pytest.mark.parametrize("name", ["f.npy", "f.npz", "f.parquet", "f.h5"])
def test_an_empty_or_absent_file_is_refused_in_one_line(name, tmp_path):
    with pytest.raises(BadFile, match=f"There is no file of features '.*{name}'. Check the spelling"):
        read_foreign(tmp_path / name)
    (tmp_path / name).touch()
    with pytest.raises(BadFile, match=f"{name} cannot be read.*cut short or of another kind") as refused:
        read_foreign(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_unknown_layouts_are_refused_with_the_known_ones(tmp_path):
    (tmp_path / "f.txt").write_text("1 2 3")
    with pytest.raises(BadFile, match=r"f.txt is of no layout known here; known are HDF5 or npz"):
        read_foreign(tmp_path / "f.txt")
    with pytest.raises(BadFile, match=r"There is no file of features '.*g.txt'"):
        read_foreign(tmp_path / "g.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match="empty holds no features; known are HDF5"):
        read_foreign(tmp_path / "empty")
    with pytest.raises(BadFile, match="No export is called 'csv' 'ragged'; there are: hdf5 ragged, hdf5 per-video"):
        write_foreign(tmp_path / "f.csv", three(), "csv")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"video_id": ["a"]}, "needs the columns video_id and values, it has: video_id"),
        ({"video_id": ["a"], "values": [1.0]}, "the column values must be lists of numbers, it is double"),
        (
            {"video_id": ["a", "b"], "values": [[1.0], [1.0, 2.0]]},
            "the lists in the column values differ in length or are null",
        ),
        (
            {"video_id": ["a", "b"], "values": [[1.0], None]},
            "the lists in the column values differ in length or are null",
        ),
        ({"video_id": [1], "values": [[1.0]]}, "video_id must hold a name in each row, it is int64 with 0 nulls"),
        (
            {"video_id": ["a", None], "values": [[1.0], [2.0]]},
            "video_id must hold a name in each row, it is string with 1 nulls",
        ),
        ({"video_id": ["a", "a"], "row": [0, 0], "values": [[1.0], [2.0]]}, "the rows of 'a' must be numbered 0, 1, 2"),
        ({"video_id": ["a"], "values": [["text"]]}, "values must be numbers, got dtype object"),
    ],
)
def test_a_bad_parquet_file_is_refused_in_one_line(columns, message, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    with pytest.raises(BadFile, match=message):
        read_foreign(tmp_path / "f.parquet")


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
def test_a_write_that_fails_leaves_what_was_there(form, tmp_path, monkeypatch):
    target = tmp_path / "out" / NAMES[form]
    write_foreign(target, three(), *form)
    before = bytes_of(target)

    class FullDisk:
        shape, dtype = (6, 4), np.dtype("float32")

        def __getitem__(self, span: slice) -> np.ndarray:
            raise OSError(28, "No space left on device")

    broken = Foreign(three().video_id, None, FullDisk(), three().offsets)
    with pytest.raises(
        WriteFailed, match=r"failed: No space left on device. What was there before is untouched; free space"
    ):
        write_foreign(target, broken, *form)
    assert bytes_of(target) == before
    assert [p.name for p in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("layout", ["ragged", "per-video"])
def test_a_folder_takes_the_place_of_an_earlier_export_and_of_nothing_else(layout, tmp_path):
    target = tmp_path / "out"
    write_foreign(target, three(), "npy", layout)
    write_foreign(target, three(("x", "y", "z")), "npy", layout)
    assert read_foreign(target).video_id == ["x", "y", "z"]
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(WriteFailed, match=r"out holds things that are no export of zsar. Give another path"):
        write_foreign(target, three(), "npy", layout)
    assert (target / "thesis.txt").read_text() == "years of work"
