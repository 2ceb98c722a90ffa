"""Verify: damage is found and mended from the videos, and a recomputed item is the stored one to the bit."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from stores.features import FeatureStore, ItemRows, positions
from stores.manifest import Manifest
from stores.root import Root
from tests.fake import FakeExtractor
from tests.pipelines.extract.test_extraction import contents

pytestmark = pytest.mark.usefixtures("fake")


@pytest.fixture
def extracted(root: Root, videos: list[Path]) -> Root:
    extract(ExtractConfig(("fake", "fake_still"), "d"), root)
    return root


def corrupt(root: Root, row: int = 2) -> bytes:
    """Flip one bit of the stored rows of the item in one manifest row on the disk; its key."""
    feature_set = FeatureStore(root).find("fake")
    key = np.frombuffer(Manifest(root).read("d")["key"][row].as_py(), np.uint8)
    rows = feature_set.rows(int(positions(feature_set.keys(), key[None])[0]))
    needle = rows.values["features"].tobytes()
    folder = Path(root.path("features", feature_set.name, "chunks"))
    path = next(p for p in folder.rglob("*") if p.is_file() and needle in p.read_bytes())
    data = bytearray(path.read_bytes())
    data[data.index(needle)] ^= 1
    path.write_bytes(data)
    return rows.key


def test_what_was_just_extracted_is_sound(extracted):
    reports = verify(VerifyConfig(), extracted)
    assert [(r.name.partition("@")[0], r.items, len(r.damaged)) for r in reports] == [
        ("fake", 6, 0),
        ("fake_still", 6, 0),
    ]


def test_recomputing_gives_the_same_bits(extracted):
    told = []
    (report,) = verify(VerifyConfig(("fake",), recompute=4), extracted, lambda *at: told.append(at[:2]))
    assert told == [(0, 1), *((done, 4) for done in range(1, 5)), (1, 1)]
    assert (report.recomputed, report.differing) == (4, ())


def test_an_extractor_that_computes_otherwise_is_found_out(extracted, monkeypatch):
    real = FakeExtractor.__call__
    monkeypatch.setattr(
        FakeExtractor, "__call__", lambda self, units: {n: v * 1.01 for n, v in real(self, units).items()}
    )
    (report,) = verify(VerifyConfig(("fake",), recompute=3), extracted)
    assert len(report.differing) == 3
    assert all(0.99 < d.cosine <= 1 for d in report.differing)


def test_damage_is_named_and_repaired(extracted):
    before = contents(extracted)
    key = corrupt(extracted)
    (report,) = verify(VerifyConfig(("fake",)), extracted)
    assert [(k, v) for k, v, _ in report.damaged] == [(key.hex(), "v2")]
    (report,) = verify(VerifyConfig(("fake",), repair=True), extracted)
    assert report.repaired == 1
    (report,) = verify(VerifyConfig(("fake",)), extracted)
    assert report.damaged == ()
    assert contents(extracted) == before


def test_a_damaged_item_whose_video_is_gone_is_left_as_it_is(extracted, videos):
    corrupt(extracted)
    videos[2].unlink()
    before = contents(extracted)
    (report,) = verify(VerifyConfig(("fake",), repair=True), extracted)
    assert re.search(r"1 of 1 damaged items.*v2\.mp4.*Nothing was rewritten", report.note)
    assert report.repaired == 0
    assert contents(extracted) == before


def test_features_whose_weights_are_not_here_cannot_be_recomputed(extracted, tmp_path, monkeypatch):
    other = tmp_path / "other.bin"
    other.write_bytes(b"other weights")
    monkeypatch.setattr(FakeExtractor, "weights_path", lambda self: other)
    report = verify(VerifyConfig(("fake",), recompute=1), extracted)[0]
    assert "cannot be recomputed here: weights differ" in report.note
    assert report.recomputed == 0


def test_features_made_elsewhere_cannot_be_recomputed(root):
    feature_set = FeatureStore(root).create(
        "imported@aa", {"extractor": "imported", "weights": "imported:0"}, "aa", {"features": ((2,), "float32")}
    )
    feature_set.append([ItemRows(bytes(32), {"features": np.ones((1, 2), np.float32)})])
    (report,) = verify(VerifyConfig(recompute=1), root)
    assert "in no manifest" in report.note
    assert report.damaged == ()


def test_one_set_that_cannot_be_recomputed_does_not_stop_the_others(extracted):
    store = FeatureStore(extracted)
    other = store.create(
        "aa@aa", {"extractor": "imported", "weights": "imported:0"}, "aa", {"features": ((2,), "float32")}
    )
    other.append([ItemRows(store.find("fake").keys()[0].tobytes(), {"features": np.ones((1, 2), np.float32)})])
    reports = verify(VerifyConfig(recompute=1), extracted)
    assert [r.recomputed for r in reports] == [0, 1, 1]
    assert "was made elsewhere" in reports[0].note


def test_sets_made_from_weights_of_ones_own_are_recomputed_with_them(root, videos, tmp_path, monkeypatch):
    own = tmp_path / "own.bin"
    own.write_bytes(b"own weights")
    monkeypatch.setattr(FakeExtractor, "weights_path", lambda self: Path(self.weights or __file__))
    extract(ExtractConfig(("fake",), "d", weights=(f"fake={own}",)), root)
    assert "weights differ" in verify(VerifyConfig(recompute=2), root)[0].note
    (report,) = verify(VerifyConfig(recompute=2, weights=(f"fake={own}",)), root)
    assert (report.note, report.recomputed, report.differing) == ("", 2, ())
