"""Every verb on every kind of item and every root: each works, or refuses in one line that says what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from extractors.errors import ExtractorError
from extractors.joints import KINECT_20
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.index.captions import index_captions
from pipelines.index.poses import index_poses
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look.compare import compare
from pipelines.look.export import export
from pipelines.look.listing import datasets, features, lineage
from pipelines.look.settings import CompareConfig, ExportConfig
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.errors import StoreError
from stores.features import FeatureStore
from stores.foreign import read_foreign
from stores.root import Root
from tests.conftest import make_video
from tests.extractors.test_joint_order import standing

KINDS = ("video", "caption", "pose", "feature", "text")
FEATURE = {"video": "fake", "caption": "fake_text", "pose": "raw_joints", "feature": "imported", "text": "fake_text"}
OPTIONS = {"pose": "raw_joints:frames=4"}
#: what a cell refuses, where it does not work
REFUSED = {
    ("extract again", "feature"): "has features but no videos.*Index them",
    ("recompute", "feature"): "was made elsewhere .*it cannot be recomputed",
    ("export", "text"): "No data set is called 'd'",
    ("compare", "text"): "No data set is called 'd'",
}


def filled(kind: str, folder: Path, root: Root) -> int:
    """Four items of a kind in the data set (of texts: the set) `d`, with features; how many have them."""
    if kind == "video":
        (folder / "v").mkdir()
        for k in range(4):
            make_video(folder / f"v/v{k}.mp4", frames=10 + k, seed=k)
        index(IndexConfig((str(folder / "v"),), "d"), root)
    elif kind == "caption":
        rows = [{"video": f"v{k}", "captions": [f"text {'abcd'[k]}", "the same"]} for k in range(4)]
        (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        index_captions(IndexConfig((str(folder / "c.jsonl"),), "d", kind="captions"), root)
    elif kind == "pose":
        np.savez(folder / "p.npz", data=np.concatenate([standing(KINECT_20, 8, k) for k in range(4)]), length=[8] * 4)
        index_poses(IndexConfig((str(folder / "p.npz"),), "d", "kinect-20", kind="poses"), root)
    elif kind == "feature":
        np.savez(folder / "f.npz", **{f"v{k}": np.full((2, 3), k + 1, np.float32) for k in range(4)})
        (folder / "labels.csv").write_text("id,label\n" + "".join(f"v{k},class {k % 2}\n" for k in range(4)))
        index(IndexConfig((str(folder / "f.npz"),), "d", labels=(str(folder / "labels.csv"),)), root)
        return 4
    else:
        (folder / "t.json").write_text(json.dumps({f"class {k}": f"text {k} of letters {'abcd'[k]}" for k in range(4)}))
        add(TextsConfig((str(folder / "t.json"),), "definition", "d"), root)
    return extract(asked(kind), root).features[0].extracted


def asked(kind: str) -> ExtractConfig:
    name = OPTIONS.get(kind, FEATURE[kind])
    if kind == "feature":
        name = "fake"
    return ExtractConfig((name,), set="d") if kind == "text" else ExtractConfig((name,), "d")


def extract_again(kind: str, folder: Path, root: Root) -> None:
    (feature,) = plan(asked(kind), root).features
    assert (feature.planned, feature.quarantined) == (0, 0)


def checked(kind: str, folder: Path, root: Root) -> None:
    (report,) = verify(VerifyConfig((FEATURE[kind],)), root)
    assert (report.items > 3, report.damaged, report.note) == (True, (), "")


def recompute(kind: str, folder: Path, root: Root) -> None:
    (report,) = verify(VerifyConfig((FEATURE[kind],), recompute=2), root)
    if report.note:
        raise UsageError(report.note)
    assert (report.recomputed, report.differing) == (2, ())


def exported(kind: str, folder: Path, root: Root) -> None:
    for format, name in (("hdf5", "f.h5"), ("npy", "f"), ("parquet", "f.parquet")):
        out = str(folder / f"out-{name}")
        report = export(ExportConfig(FEATURE[kind], "d", out, format), root)
        assert (report.items, report.missing) == (4, ())
        assert len(read_foreign(out).video_id) == 4


def compared(kind: str, folder: Path, root: Root) -> None:
    out = str(folder / "other.h5")
    export(ExportConfig(FEATURE[kind], "d", out), root)
    report = compare(CompareConfig(FEATURE[kind], out, "d"), root)
    assert (report.n > 3, report.only_a, report.only_b) == (True, (), ())
    assert report.cosine is not None
    assert (
        report.cosine.median == pytest.approx(1.0, abs=1e-6) or kind == "feature"
    )  # of a row of noughts there is none


def listed(kind: str, folder: Path, root: Root) -> None:
    (row,) = features(root)
    assert row["state"] == "good"
    assert lineage(root, FEATURE[kind])["items"] == row["items"]
    assert kind == "text" or [own["dataset"] for own in datasets(root)] == ["d"]


def dropped(kind: str, folder: Path, root: Root) -> None:
    store = FeatureStore(root)
    store.drop(store.resolve(FEATURE[kind]))
    assert store.names() == []


VERBS: dict[str, Callable[[str, Path, Root], None]] = {
    "extract again": extract_again,
    "verify": checked,
    "recompute": recompute,
    "export": exported,
    "compare": compared,
    "list": listed,
    "drop": dropped,
}


def every_verb(kind: str, folder: Path, root: Root) -> None:
    assert filled(kind, folder, root) >= 4
    for verb, run in VERBS.items():
        if message := REFUSED.get((verb, kind)):
            with pytest.raises((UsageError, ExtractorError, StoreError), match=message) as refused:
                run(kind, folder, root)
            assert "\n" not in str(refused.value)
        else:
            run(kind, folder, root)


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_works_on_every_kind_or_says_what_to_do(kind, root, tmp_path, fake):
    every_verb(kind, tmp_path, root)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_on_an_object_store(kind, object_root, tmp_path, fake):
    every_verb(kind, tmp_path, object_root)
