"""Captions as items of a data set: read, replaced, kept beside videos, encoded once."""

import gzip
import json
import re
from pathlib import Path

import pytest

from pipelines.captions import index_captions
from pipelines.config import ExtractConfig, IndexConfig
from pipelines.errors import UsageError
from pipelines.extract import extract
from pipelines.index import index
from pipelines.listing import failures
from pipelines.plan import plan
from stores.captions import Captions
from stores.keys import text_key
from stores.manifest import Manifest
from stores.root import Root
from tests.conftest import make_video
from tests.fake import FakeTextExtractor
from tests.pipelines import studies

pytestmark = pytest.mark.usefixtures("fake")


def record(video: str, *captions: str, label: str | None = "archery") -> dict[str, object]:
    return {"video": video, "class": label, "captions": list(captions), "score": 1}


def told(path: Path, *records: dict[str, object] | str) -> IndexConfig:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return IndexConfig((str(path),), "d", kind="captions")


def rows(root: Root) -> dict[str, tuple[str, str | None, list[str]]]:
    """Kind, label and captions of each item."""
    captions: dict[bytes, list[str]] = {}
    for row in Captions(root).read("d").to_pylist():
        captions.setdefault(row["group"], []).append(row["text"])
    return {
        row["video_id"]: (row["kind"], row["label"], captions.get(row["key"], []))
        for row in Manifest(root).read("d").to_pylist()
    }


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_captions_are_read_plain_and_gzipped_in_their_order(root, tmp_path, name):
    config = told(tmp_path / name, record("v1", "a  bow", "an arrow"), record("v0", "a lane", label=None))
    report = index_captions(config, root)
    assert (report.videos, report.new, report.unchanged, report.contents) == (2, 2, 0, 2)
    assert (report.failed, report.unlabelled, report.layout) == (0, 1, "captions")
    assert rows(root) == {
        "v0": ("caption_group", None, ["a lane"]),
        "v1": ("caption_group", "archery", ["a bow", "an arrow"]),
    }
    assert Captions(root).read("d", ["place", "line"]).to_pylist().count({"place": 1, "line": 1}) == 1


def test_the_same_file_read_again_changes_nothing(root, tmp_path):
    config = told(tmp_path / "c.jsonl", record("v1", "a bow", "an arrow"), record("v2", "a lane"))
    index_captions(config, root)
    before, captions = Manifest(root).read("d").drop(["seen_ns"]), Captions(root).read("d")
    report = index_captions(config, root)
    assert (report.new, report.unchanged) == (0, 2)
    assert Manifest(root).read("d").drop(["seen_ns"]).equals(before)
    assert Captions(root).read("d").equals(captions)


def test_a_changed_file_replaces_its_own_rows_and_no_others(root, tmp_path):
    index_captions(told(tmp_path / "other.jsonl", record("w", "a ball")), root)
    index_captions(told(tmp_path / "c.jsonl", record("v1", "a bow"), record("v2", "a lane"), record("v3", "x")), root)
    changed = told(tmp_path / "c.jsonl", "", record("v1", "a bow"), record("v2", "an alley", "a lane"))
    report = index_captions(changed, root)
    assert (report.videos, report.new, report.unchanged) == (2, 1, 1)
    assert {name: row[2] for name, row in rows(root).items()} == {
        "v1": ["a bow"],
        "v2": ["an alley", "a lane"],
        "w": ["a ball"],
    }
    assert "x" not in Captions(root).read("d")["text"].to_pylist()
    lines = {row["text"]: row["line"] for row in Captions(root).read("d").to_pylist()}
    assert lines["a bow"] == 2  # where it stands now


def test_a_video_told_by_another_file_is_told_by_that_alone(root, tmp_path):
    index_captions(told(tmp_path / "a.jsonl", record("v1", "a bow"), record("v2", "a lane")), root)
    index_captions(told(tmp_path / "b.jsonl", record("v1", "an arrow", label="bowling")), root)
    assert {k: row[1:] for k, row in rows(root).items()} == {"v1": ("bowling", ["an arrow"]), "v2": ("archery", ["a lane"])}  # fmt: skip # noqa: E501


def test_twins_share_one_group(root, tmp_path):
    twins = [record("v1", "a bow", "an arrow"), record("v2", "a  bow", "an arrow"), record("v3", "an arrow", "a bow")]
    report = index_captions(told(tmp_path / "c.jsonl", *twins), root)
    assert (report.videos, report.contents) == (3, 2)  # another order is another group
    keys = dict(zip(*(Manifest(root).read("d")[name].to_pylist() for name in ("video_id", "key")), strict=True))
    assert keys["v1"] == keys["v2"] != keys["v3"]
    assert Captions(root).read("d").num_rows == 4
    index_captions(told(tmp_path / "c.jsonl", *twins[1:]), root)
    assert rows(root)["v2"][2] == ["a bow", "an arrow"]  # a group is there while one video has it


BAD = [
    ("{", "is not JSON"),
    ("[1]", "should be an object, got list"),
    ({"captions": ["a bow"]}, "names no video: a field 'video' or 'video_id' or 'id' is needed"),
    ({"video": " ", "captions": ["a bow"]}, "names no video"),
    (record("v8", "a bow", " \t "), "has a caption of 'v8' that is no text: ' "),
    ({"video": "v8", "captions": ["a bow", 3]}, "has a caption of 'v8' that is no text: 3"),
    ({"video": "v8", "captions": []}, "has no captions of 'v8'"),
    ({"video": "v8"}, "has no captions of 'v8'"),
    ({"video": "v8", "class": 3, "captions": ["a bow"]}, "has a label of 'v8' that is no name: 3"),
    (record("v1", "another"), r"names 'v1' again, after .*c.jsonl:1; give each video one record"),
]


def test_records_that_make_no_sense_are_failures_with_their_line_and_the_rest_is_read(root, tmp_path):
    config = told(tmp_path / "c.jsonl", record("v1", "a bow"), *(bad for bad, _ in BAD), record("v2", "a lane"))
    report = index_captions(config, root)
    assert (report.videos, report.failed) == (2, len(BAD))
    assert {name: row[2] for name, row in rows(root).items()} == {"v1": ["a bow"], "v2": ["a lane"]}
    found = {int(row["file"].rpartition(":")[2]): row["reason"] for row in failures(root)}
    assert sorted(found) == list(range(2, len(BAD) + 2))
    for line, (_, reason) in enumerate(BAD, start=2):
        assert re.match(f"Line {line} {reason}", found[line]), found[line]


def test_a_video_named_in_two_files_is_named_twice(root, tmp_path):
    one = told(tmp_path / "a.jsonl", record("v1", "a bow"))
    two = told(tmp_path / "b.jsonl", record("v1", "an arrow"), record("v2", "a lane"))
    report = index_captions(IndexConfig((*one.paths, *two.paths), "d", kind="captions"), root)
    assert (report.videos, report.failed) == (2, 1)
    assert rows(root)["v1"][2] == ["a bow"]


def test_a_file_with_nothing_good_is_one_line_and_changes_nothing(root, tmp_path):
    with pytest.raises(UsageError, match=r"^\S*c.jsonl holds no captions of a video: Line 1 is not JSON .*\.$"):
        index_captions(told(tmp_path / "c.jsonl", "{", "3"), root)
    with pytest.raises(UsageError, match=r"^\S*c.jsonl holds no captions of a video\.$"):
        index_captions(told(tmp_path / "c.jsonl"), root)
    with pytest.raises(UsageError, match=r"^There is no file .*none. Captions are read from a local file"):
        index_captions(IndexConfig((str(tmp_path / "none"),), "d", kind="captions"), root)
    with pytest.raises(UsageError, match=r"^What is indexed is videos or captions.*, got 'poems'\.$"):
        IndexConfig((), "d", kind="poems")
    assert Manifest(root).datasets() == []


@pytest.mark.parametrize("first", ["captions", "videos"])
def test_captions_and_videos_of_one_data_set_live_side_by_side(root, tmp_path, first):
    folder = tmp_path / "films"
    folder.mkdir()
    make_video(folder / "v1.mp4", frames=2)
    make_video(folder / "v2.mp4", frames=3, seed=1)
    captions = told(tmp_path / "c.jsonl", record("v1", "a bow"), record("v2", "a lane"))
    films = IndexConfig((str(folder),), "d")
    steps = [lambda: index_captions(captions, root), lambda: index(films, root)]
    for step in steps if first == "captions" else reversed(steps):
        step()
    wanted = [(name, kind) for name in ("v1", "v2") for kind in ("caption_group", "video")]
    table = Manifest(root).read("d")

    def items(table) -> list[tuple[str, str]]:
        return sorted(zip(table["video_id"].to_pylist(), table["kind"].to_pylist(), strict=True))

    assert items(table) == wanted
    for step in [*steps, lambda: index(IndexConfig((str(folder),), "d", prune=True), root)]:
        assert step().new == 0
        assert items(Manifest(root).read("d")) == wanted
    assert plan(ExtractConfig(("fake",), "d"), root).contents == 2
    assert plan(ExtractConfig(("fake_text",), "d"), root).contents == 2


def test_each_different_sentence_is_encoded_once_and_none_that_is_a_class_text(root, tmp_path, monkeypatch):
    studies.classes(root, tmp_path, ["archery", "bowling"])
    extract(ExtractConfig(("fake_text",), set="d", workers=1), root)
    records = [record("v1", "a bow", "archery"), record("v2", "a bow", "a lane"), record("v3", "a  lane")]
    index_captions(told(tmp_path / "c.jsonl", *records), root)
    seen: list[str] = []
    real = FakeTextExtractor.tokens
    monkeypatch.setattr(FakeTextExtractor, "tokens", lambda self, texts: seen.extend(texts) or real(self, texts))
    report = extract(ExtractConfig(("fake_text",), "d", workers=1), root).features[0]
    assert (report.planned, report.extracted, report.skipped) == (2, 2, 1)
    assert sorted(seen) == ["a bow", "a lane"]
    again = extract(ExtractConfig(("fake_text",), "d", workers=1), root).features[0]
    assert (again.planned, again.skipped) == (0, 3)
    assert text_key("archery") in Captions(root).read("d")["key"].to_pylist()


def test_a_sentence_nothing_is_left_of_is_a_failure_with_its_line(root, tmp_path):
    index_captions(told(tmp_path / "c.jsonl", record("v1", "a bow"), record("v2", "a lane", "123")), root)
    report = extract(ExtractConfig(("fake_text",), "d", workers=1), root).features[0]
    assert (report.extracted, report.failed) == (2, 1)
    (failure,) = failures(root)
    assert failure["file"].endswith("c.jsonl:2")


def test_what_is_extracted_from_is_a_data_set_or_a_set(root, tmp_path):
    for both in ({}, {"dataset": "d", "set": "d"}):
        with pytest.raises(UsageError, match=r"^What shall be extracted from\? Give either --dataset NAME or --set"):
            ExtractConfig(("fake_text",), **both)
    studies.classes(root, tmp_path, ["archery"])
    index_captions(told(tmp_path / "c.jsonl", record("v1", "a bow")), root)
    with pytest.raises(UsageError, match=r"^fake reads videos: give --dataset, not --set d\.$"):
        plan(ExtractConfig(("fake",), set="d"), root)
    assert plan(ExtractConfig(("fake_text",), set="d"), root).missing["text"].to_pylist() == ["archery"]
    assert plan(ExtractConfig(("fake_text",), "d"), root).missing["text"].to_pylist() == ["a bow"]
