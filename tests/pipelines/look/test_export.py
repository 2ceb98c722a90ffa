"""Export: manifest order, what is missing by name, the same bytes from equal stores, and back in again."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import UsageError
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look import export as export_module
from pipelines.look.export import ExportReport, export
from pipelines.look.settings import ExportConfig
from stores.errors import Ambiguous, NotInStore, WriteFailed
from stores.failures import Failure, Failures
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.foreign import FORMATS, read_foreign
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root

OUTPUTS = {"features": ((4,), "float16"), "ids": ((2,), "int32")}
OUT = {"hdf5": "f.h5", "npy": "folder", "parquet": "f.parquet"}


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
        assert sorted(file) == ["keys", "offsets", "values", "video_id"]


@pytest.mark.parametrize("form", FORMATS, ids="-".join)
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
        r"7 not extracted: v2, v3, v4, v5, v6, ...\). "
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
