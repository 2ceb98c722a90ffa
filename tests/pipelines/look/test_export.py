"""Export: manifest order, what is missing by name, the same bytes from equal stores, and back in again."""

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UsageError
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look import export as export_module
from pipelines.look.export import ExportReport, export
from pipelines.look.settings import ExportConfig
from stores import classes, texts
from stores.classes import Classes
from stores.errors import Ambiguous, NotInStore, WriteFailed
from stores.failures import Failure, Failures
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.foreign import FORMATS, read_foreign
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from stores.texts import Texts

OUTPUTS = {"features": ((4,), "float16"), "ids": ((2,), "int32")}
OUT = {"hdf5": "f.h5", "npy": "folder", "parquet": "f.parquet", "lance": "f.lance"}
STABLE = [form for form in FORMATS if form[0] != "lance"]  # which draws names of files


def key(name: str) -> bytes:
    return text_key(name)


def item(name: str, rows: int = 2, times: bool = True) -> ItemRows:
    random = np.random.default_rng(abs(hash_of(name)))
    return ItemRows(
        key(name),
        {
            "features": random.normal(size=(rows, 4)).astype(np.float16),
            "ids": random.integers(0, 9, (rows, 2)).astype(np.int32),
        },
        random.random((rows, 2)).astype(np.float32) if times else None,
    )


def hash_of(name: str) -> int:
    return int.from_bytes(key(name)[:4], "big")


def manifest(root: Root, contents: dict[str, str], dataset: str = "d", kind: str = "video") -> list[dict]:
    rows = [
        {"dataset": dataset, "video_id": video_id, "kind": kind, "uri": f"/v/{video_id}", "key": key(content)}
        for video_id, content in contents.items()
    ]
    Manifest(root).write(dataset, pa.Table.from_pylist(rows, schema=SCHEMA))
    return rows


def feature_set(root: Root, names: list[str], name: str = "x@ab", **options) -> FeatureSet:
    made = FeatureStore(root).create(name, {"extractor": "x"}, "ab", OUTPUTS)
    for start in range(0, len(names), 2):
        made.append([item(n, 1 + hash_of(n) % 3, **options) for n in names[start : start + 2]])
    return made


def run(root: Root, out: Path, format: str = "hdf5", **options) -> ExportReport:
    return export(ExportConfig(options.pop("feature", "x"), "d", str(out), format, **options), root)


@pytest.fixture
def five(root) -> list[str]:
    """Five videos, committed in another order than the manifest's; `b/1` and `e` are twins."""
    manifest(root, {"a": "A", "b/1": "B", "c": "C", "d": "D", "e": "B"})
    feature_set(root, ["D", "B", "C", "A"])
    return ["A", "B", "C", "D", "B"]


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
def test_items_come_in_manifest_order_with_keys_times_and_recipe(form, root, five, tmp_path):
    out = tmp_path / OUT[form[0]]
    report = run(root, out, form[0], layout=form[1])
    expected = [item(n, 1 + hash_of(n) % 3) for n in five]
    found = read_foreign(out)
    assert found.video_id == ["a", "b/1", "c", "d", "e"]
    assert np.array_equal(found.values[:], np.concatenate([e.values["features"] for e in expected]))
    assert np.diff(found.offsets).tolist() == [len(e.times) for e in expected]
    assert [k.tobytes() for k in found.keys] == [e.key for e in expected]
    assert found.recipe == {"extractor": "x"}
    if form[1] == "ragged":
        assert np.array_equal(found.times, np.concatenate([e.times for e in expected]))
    assert report == ExportReport(5, found.values.shape[0], (), str(out), form[0])


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
def test_it_is_told_how_far_it_is(form, root, five, tmp_path):
    told: list[tuple[int, int, str]] = []
    out = str(tmp_path / OUT[form[0]])
    config = ExportConfig("x", "d", out=out, format=form[0], layout=form[1])
    report = export(config, root, lambda *given: told.append(given))
    stored = FeatureStore(root).find("x").shape()[1]
    said = [said for *_, said in told]
    assert said == sorted(said), "first read, then written"
    for what, rows in (("read", stored), ("written", report.rows)):
        own = [(done, total) for done, total, said in told if said == what]
        assert own == sorted(own)
        assert own[-1] == (rows, rows)


def test_another_output_is_exported_when_asked(root, five, tmp_path):
    run(root, tmp_path / "f.h5", output="ids")
    assert read_foreign(tmp_path / "f.h5").values.dtype == np.int32
    with pytest.raises(NotInStore, match="x@ab has no output 'logits'; it has: features, ids"):
        run(root, tmp_path / "g.h5", output="logits")


def test_features_without_times_have_none_in_the_file(root, tmp_path):
    manifest(root, {"a": "A"})
    feature_set(root, ["A"], times=False)
    run(root, tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        assert sorted(file) == ["keys", "offsets", "uri", "values", "video_id"]


KNOWN = {
    "label": ["ApplyEyeMakeup", None, "Bow"],
    "class": ["apply eye makeup", None, "take a bow"],
    "split": ["train", "val", None],
    "uri": ["/v/a", "/v/b", "/v/c"],
    "span_start_s": [None, 1.5, None],
    "span_end_s": [None, 4.0, None],
}


@pytest.fixture
def told(root) -> FeatureSet:
    """Three videos of which something is known; the class table says how one class is read."""
    rows = manifest(root, {"a": "A", "b": "B", "c": "C"})
    for number, row in enumerate(rows):
        row |= {name: KNOWN[name][number] for name in ("label", "split")}
        row |= {name: KNOWN[f"span_{name}"][number] for name in ("start_s", "end_s")}
    Manifest(root).write("d", pa.Table.from_pylist(rows, schema=SCHEMA))
    named = [{"name": "Bow", "readable": "take a bow", "canonical": "bow"}]
    Classes(root).write("d", pa.Table.from_pylist(named, schema=classes.SCHEMA))
    return feature_set(root, ["A", "B", "C"])


@pytest.mark.parametrize("form", ["parquet", "lance"])
def test_rows_of_a_table_say_what_is_known_of_their_video(form, root, told, tmp_path):
    run(root, out := tmp_path / OUT[form], form)
    table = pq.read_table(out) if form == "parquet" else pytest.importorskip("lance").dataset(str(out)).to_table()
    items = np.repeat(np.arange(3), np.diff(read_foreign(out).offsets))
    for name, values in KNOWN.items():
        assert table[name].to_pylist() == [values[item] for item in items], name
    assert table["key"].to_pylist() == [key("ABC"[item]).hex() for item in items]
    assert "recording" not in table.column_names  # which is known of none


def test_a_table_loads_into_hugging_faces_datasets_as_it_is(root, told, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    run(root, out := tmp_path / "f.parquet", "parquet")
    found = datasets.load_dataset("parquet", data_files=str(out), cache_dir=str(tmp_path / "hf"), split="train")
    mine = read_foreign(out)
    assert np.array_equal(np.array(found["values"], np.float16), mine.values)
    assert found["label"] == pq.read_table(out)["label"].to_pylist()


@pytest.mark.parametrize("layout", ["ragged", "per-video"])
def test_hdf5_and_npy_say_what_is_known_of_videos(layout, root, told, tmp_path):
    run(root, tmp_path / "f.h5", "hdf5", layout=layout)
    run(root, tmp_path / "folder", "npy", layout=layout)
    with h5py.File(tmp_path / "f.h5") as file:
        for name, values in KNOWN.items():
            plain = [np.nan if value is None and name.startswith("span") else value or "" for value in values]
            if layout == "ragged":
                found = file[name][:] if name.startswith("span") else file[name].asstr()[:]
                np.testing.assert_array_equal(np.array(plain, found.dtype), found)
            else:
                assert [file[video].attrs.get(name) for video in "abc"] == values
    beside = tmp_path / "folder" / ("about.json" if layout == "ragged" else "zsar.json")
    known = json.loads(beside.read_text())
    assert (known if layout == "ragged" else known["about"]) == KNOWN
    assert read_foreign(tmp_path / "folder").video_id == ["a", "b", "c"]


def test_a_table_of_before_with_keys_as_bytes_is_read(root, five, tmp_path):
    run(root, out := tmp_path / "f.parquet", "parquet")
    table = pq.read_table(out)
    as_bytes = pa.array([bytes.fromhex(text) for text in table["key"].to_pylist()], pa.binary(32))
    pq.write_table(table.set_column(table.schema.get_field_index("key"), "key", as_bytes), tmp_path / "old.parquet")
    assert np.array_equal(read_foreign(tmp_path / "old.parquet").keys, read_foreign(out).keys)


TEXTS = [
    ("Bow", "class", "bow"),
    ("Archery", "class", "archery"),
    ("Bow", "definition", "to bend"),
    ("Archery", "definition", "to bend"),  # one text of two classes
    ("Archery", "definition", "to shoot"),
]


@pytest.fixture
def told_set(root) -> FeatureSet:
    named = [{"name": name, "readable": name.lower(), "canonical": name.lower()} for name in ("Archery", "Bow")]
    Classes(root).write("s", pa.Table.from_pylist(named, schema=classes.SCHEMA))
    rows = [
        {"key": key(text), "text": text, "kind": kind, "class": name, "part": "", "source": "f.json", "line": 1}
        for name, kind, text in TEXTS
    ]
    with Texts(root, "s").adding() as adding:
        adding.rows(pa.Table.from_pylist(rows, schema=texts.SCHEMA.remove(texts.SCHEMA.get_field_index("time_ns"))))
    made = FeatureStore(root).create("x@ab", {"extractor": "x"}, "ab", OUTPUTS)
    made.append([item(text, 1, times=False) for text in sorted({text for _, _, text in TEXTS})])
    return made


def vector(text: str) -> np.ndarray:
    return item(text, 1).values["features"][0]


def test_texts_of_a_set_leave_a_row_a_text(root, told_set, tmp_path):
    out = tmp_path / "t.parquet"
    report = export(ExportConfig("x", set="s", out=str(out), format="parquet"), root)
    rows = pq.read_table(out).to_pylist()
    assert [(r["class"], r["kind"], r["text"]) for r in rows] == [
        ("Archery", "class", "archery"),
        ("Archery", "definition", "to bend"),
        ("Archery", "definition", "to shoot"),
        ("Bow", "class", "bow"),
        ("Bow", "definition", "to bend"),
    ]
    assert all(np.array_equal(np.array(row["values"], np.float16), vector(row["text"])) for row in rows)
    assert (report.items, report.rows, report.missing) == (2, 5, ())


def test_class_vectors_are_the_means_of_texts_of_the_kinds_asked_for(root, told_set, tmp_path):
    out = tmp_path / "m.h5"
    export(ExportConfig("x", set="s", out=str(out), kinds=("definition",), means=True), root)
    with h5py.File(out) as file:
        assert file["class"].asstr()[:].tolist() == ["Archery", "Bow"]
        both = (vector("to bend").astype(np.float32) + vector("to shoot").astype(np.float32)) / 2
        assert np.allclose(file["values"][0], both, atol=1e-6)
        assert np.allclose(file["values"][1], vector("to bend"))
        assert file["texts"][:].tolist() == [2, 1]


def test_texts_without_a_vector_are_named(root, told_set, tmp_path):
    other = FeatureStore(root).create("y@cd", {"extractor": "y"}, "cd", OUTPUTS)
    other.append([item("bow", 1, times=False)])
    wanted = ExportConfig("y", set="s", out=str(tmp_path / "t.h5"), kinds=("class",))
    with pytest.raises(UsageError, match=r"1 texts have no vector in it: 'archery'. Run `zsar extract y --set s`"):
        export(wanted, root)
    assert export(dataclasses.replace(wanted, allow_missing=True), root).missing == ("archery",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "Give --out, and one of --dataset"),
        ({"set": "s", "dataset": "d"}, "one of --dataset"),
        ({"dataset": "d", "means": True}, "give --set"),
        ({"set": "s", "kinds": ("verb",)}, "No texts are of kind verb; kinds are: class, definition"),
        ({"set": "s", "kinds": ("object",)}, "has no texts of kind object"),
    ],
)
def test_a_question_of_texts_that_cannot_be_answered_is_one_line(wrong, message, root, told_set, tmp_path):
    with pytest.raises(UsageError, match=message):
        export(ExportConfig("x", out=str(tmp_path / "f.h5"), **wrong), root)


@pytest.mark.parametrize("form", STABLE, ids="-".join)
def test_equal_stores_give_equal_bytes_whatever_the_order_of_commits(form, tmp_path):
    written = []
    for number, order in enumerate((["A", "B", "C"], ["C", "A", "B"])):
        root = Root(tmp_path / f"root{number}")
        manifest(root, {"a": "A", "b": "B", "c": "C"})
        feature_set(root, order)
        out = tmp_path / str(number) / OUT[form[0]]
        run(root, out, form[0], layout=form[1])
        files = [out] if out.is_file() else sorted(p for p in out.rglob("*") if p.is_file())
        written.append([(p.name, p.read_bytes()) for p in files])
    assert written[0] == written[1]


def test_a_set_above_the_memory_budget_goes_through_a_scratch_file_and_comes_out_the_same(
    root, five, tmp_path, monkeypatch
):
    run(root, tmp_path / "one/f.h5")
    monkeypatch.setattr(export_module, "_IN_MEMORY_BYTES", 0)
    run(root, tmp_path / "two/f.h5")
    assert (tmp_path / "one/f.h5").read_bytes() == (tmp_path / "two/f.h5").read_bytes()
    assert [p.name for p in (tmp_path / "two").iterdir()] == ["f.h5"]


def test_no_room_for_the_scratch_file_is_said_before_anything_is_written(root, five, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(export_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(WriteFailed, match=r"x@ab needs 0\.0 GB of scratch space in .*, which has 0\.0 GB. Free space"):
        run(root, tmp_path / "two/f.h5")
    assert list((tmp_path / "two").iterdir()) == []


def quarantine(root: Root, name: str, recipe_key: str = "ab") -> None:
    Failures(root).append([Failure(key(name), f"/v/{name}", "d", recipe_key, "x@ab", "decode", "Corrupt", "bad", 1)])


def test_missing_items_are_refused_and_named(root, tmp_path):
    manifest(root, {f"v{i}": f"V{i}" for i in range(9)})
    feature_set(root, ["V0"])
    quarantine(root, "V1")
    quarantine(root, "V2", recipe_key="another recipe")
    message = (
        r"Export of 'd' needs x@ab for 9 items; it has 1 \(1 quarantined: v1; "
        r"7 not extracted: v2, v3, v4, v5, v6 and 2 more\). "
        "Run `zsar extract x --dataset d`, or pass --allow-missing to export 1."
    )
    with pytest.raises(UsageError, match=message):
        run(root, tmp_path / "f.h5")
    assert not (tmp_path / "f.h5").exists()
    report = run(root, tmp_path / "f.h5", allow_missing=True)
    assert (report.items, report.missing) == (1, tuple(f"v{i}" for i in range(1, 9)))
    assert read_foreign(tmp_path / "f.h5").video_id == ["v0"]


def test_nothing_at_all_is_never_exported(root, tmp_path):
    manifest(root, {"a": "A"})
    feature_set(root, ["Z"])
    with pytest.raises(UsageError, match=r"it has 0 \(1 not extracted: a\). Run `zsar extract x --dataset d`\."):
        run(root, tmp_path / "f.h5", allow_missing=True)


def test_texts_of_a_data_set_are_not_missing_video_features(root, tmp_path):
    rows = manifest(root, {"a": "A", "b": "B"})
    texts = [{**rows[0], "video_id": "bow", "kind": "text", "key": key("bow")}]
    Manifest(root).write("d", pa.Table.from_pylist(rows + texts, schema=SCHEMA))
    feature_set(root, ["A", "B"])
    assert run(root, tmp_path / "f.h5").items == 2
    feature_set(root, ["A"], name="y@cd")
    with pytest.raises(UsageError, match=r"needs y@cd for 2 items; it has 1 \(1 not extracted: b\)"):
        run(root, tmp_path / "f.h5", feature="y")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"format": "csv"},
            "No export has format 'csv' and layout 'ragged'; there are: hdf5 ragged; hdf5 per-video; npy",
        ),
        ({"format": "parquet", "layout": "per-video"}, "No export has format 'parquet' and layout 'per-video'"),
        ({"format": "hdf5", "out": "f.mp4"}, "--out must end in .h5 or .hdf5 for hdf5 ragged, got '.*f.mp4'"),
        (
            {"format": "npy", "layout": "per-video", "out": "f.npz"},
            "--out must end in .* for npy per-video, got '.*f.npz'",
        ),
    ],
)
def test_a_format_that_is_not_there_or_an_ending_that_lies_is_refused(options, message, root, five, tmp_path):
    with pytest.raises(UsageError, match=message):
        run(root, tmp_path / options.pop("out", "f.h5"), **options)


def test_names_that_match_nothing_or_several_are_refused_with_what_there_is(root, five, tmp_path):
    with pytest.raises(NotInStore, match="No feature set matches 'i3d'"):
        run(root, tmp_path / "f.h5", feature="i3d")
    feature_set(root, ["A"], name="x@cd")
    with pytest.raises(Ambiguous, match="'x' matches 2 feature sets: x@ab, x@cd"):
        run(root, tmp_path / "f.h5")
    with pytest.raises(NotInStore, match="No data set is called 'e'"):
        export(ExportConfig("x@ab", "e", str(tmp_path / "f.h5")), root)


def test_an_output_that_cannot_be_written_is_one_line(root, five, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteFailed, match=r"Cannot write to .*file/sub: .*. Give another path with --out") as refused:
        run(root, tmp_path / "file/sub/f.h5")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
def test_what_was_exported_is_imported_into_another_cache(form, root, five, tmp_path):
    out = tmp_path / OUT[form[0]]
    run(root, out, form[0], layout=form[1])
    other = Root(tmp_path / "other")
    (done,) = index(IndexConfig((str(out),), "d"), other).imports
    assert (done.items, done.added) == (5, 4)  # the twins are one content
    keys = np.stack([np.frombuffer(key(n), np.uint8) for n in five])
    mine, theirs = FeatureStore(root).find("x").load(keys), FeatureStore(other).find("imported").load(keys)
    assert np.array_equal(mine.values, theirs.values)
    assert np.array_equal(mine.offsets, theirs.offsets)
