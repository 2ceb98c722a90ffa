"""Features of captions are features as others are: verified, exported, compared, forgotten."""

import json

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.look.compare import compare
from pipelines.look.export import export
from pipelines.look.settings import CompareConfig, ExportConfig
from stores.features import FeatureStore
from stores.foreign import read_foreign
from stores.keys import key_array, text_key
from stores.manifest import Manifest

TOLD = {"v1": ["a man runs", "he runs fast"], "v2": ["a dog sits"], "v3": ["he runs fast", "a dog sits", "rain"]}


@pytest.fixture
def captioned(root, fake, tmp_path):
    """Three videos, told of by six captions, four of them different; their features."""
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(json.dumps({"video": name, "captions": own}) + "\n" for name, own in TOLD.items()))
    index_captions(IndexConfig((str(path),), "d", kind="captions"), root)
    assert extract(ExtractConfig(("fake_text",), "d"), root).features[0].extracted == 4
    return root


def test_rows_of_captions_are_computed_again(captioned):
    (report,) = verify(VerifyConfig(("fake_text",), recompute=4), captioned)
    assert (report.items, report.recomputed, report.differing, report.note) == (4, 4, (), "")


@pytest.mark.parametrize(("format", "name"), [("hdf5", "f.h5"), ("npy", "f"), ("parquet", "f.parquet")])
def test_a_video_has_the_rows_of_its_captions_in_their_order(captioned, tmp_path, format, name):
    out = str(tmp_path / name)
    report = export(ExportConfig(feature="fake_text", dataset="d", out=out, format=format), captioned)
    assert (report.items, report.rows, report.missing) == (3, 6, ())
    found = read_foreign(out)
    feature_set = FeatureStore(captioned).find("fake_text")
    for item, video_id in enumerate(found.video_id):
        expected = [
            feature_set.load(np.frombuffer(text_key(text), np.uint8)[None]).values[0] for text in TOLD[video_id]
        ]
        assert np.array_equal(found.rows(item), expected)


def test_a_video_one_of_whose_captions_has_no_features_is_missing(captioned, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps({"video": "v4", "captions": ["a man runs", "a new one"]}))
    index_captions(IndexConfig((str(path),), "d", kind="captions"), captioned)
    config = ExportConfig(feature="fake_text", dataset="d", out=str(tmp_path / "f.h5"), format="hdf5")
    with pytest.raises(UsageError, match="for 4 items; it has 3 .1 not extracted: v4.*zsar extract fake_text"):
        export(config, captioned)


def test_a_set_is_compared_with_what_was_exported_of_it(captioned, tmp_path):
    out = str(tmp_path / "f.h5")
    export(ExportConfig(feature="fake_text", dataset="d", out=out, format="hdf5"), captioned)
    report = compare(CompareConfig("fake_text", out, dataset="d"), captioned)
    assert report.n == 4, "a text that stands for several videos is one"
    assert report.cosine is not None
    assert report.cosine.min == pytest.approx(1.0)
    assert (report.only_a, report.only_b) == ((), ())


def test_captions_of_a_file_that_is_gone_are_missing_or_forgotten(captioned, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps({"video": "v9", "captions": ["rain"]}))
    (tmp_path / "captions.jsonl").unlink()
    kept = index_captions(IndexConfig((str(path),), "d", kind="captions"), captioned)
    assert (kept.missing, kept.pruned) == (3, 0)
    pruned = index_captions(IndexConfig((str(path),), "d", prune=True, kind="captions"), captioned)
    assert (pruned.missing, pruned.pruned) == (0, 3)
    assert Manifest(captioned).read("d")["video_id"].to_pylist() == ["v9"]
    assert len(key_array(Manifest(captioned).read("d")["key"])) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [({"labels": ("l.csv",)}, "Leave --labels out"), ({"layout": "kinetics"}, "Leave --layout kinetics out")],
)
def test_what_captions_do_not_take_is_refused(root, given, message):
    with pytest.raises(UsageError, match=message):
        index_captions(IndexConfig(("c.jsonl",), "d", kind="captions", **given), root)
