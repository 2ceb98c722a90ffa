"""Captions as items of a data set: read, replaced, kept beside videos, encoded once."""

import gzip
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look.listing import failures
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
    ({"captions": ["a bow"]}, "names no video: a field 'video' or 'video_id' or 'videoID' or 'id' is needed"),
    ({"video": " ", "captions": ["a bow"]}, "names no video"),
    (record("v8", "a bow", " \t "), "has a caption of 'v8' that is no text: ' "),
    ({"video": "v8", "captions": ["a bow", 3]}, "has a caption of 'v8' that is no text: 3"),
    ({"video": "v8", "captions": []}, "has no captions of 'v8'"),
    ({"video": "v8"}, "has no captions of 'v8'"),
    ({"video": "v8", "class": 3, "captions": ["a bow"]}, "has a label of 'v8' that is no name: 3"),
    (record("v1", "a bow", "an arrow"), "tells of 'v1' word for word what a record before it tells"),
    (
        record("v1", "another", label="bowling"),
        r"gives 'v1' the label 'bowling', after 'archery' in .*c.jsonl:1; give a",
    ),
]


def test_records_that_make_no_sense_are_failures_with_their_line_and_the_rest_is_read(root, tmp_path):
    good = record("v1", "a bow", "an arrow"), record("v2", "a lane")
    config = told(tmp_path / "c.jsonl", good[0], *(bad for bad, _ in BAD), good[1])
    report = index_captions(config, root)
    assert (report.videos, report.failed) == (2, len(BAD))
    assert {name: row[2] for name, row in rows(root).items()} == {"v1": ["a bow", "an arrow"], "v2": ["a lane"]}
    found = {int(row["file"].rpartition(":")[2]): row["reason"] for row in failures(root)}
    assert sorted(found) == list(range(2, len(BAD) + 2))
    for line, (_, reason) in enumerate(BAD, start=2):
        assert re.match(f"Line {line} {reason}", found[line]), found[line]


def test_what_two_files_of_one_call_say_of_a_video_is_gathered(root, tmp_path):
    one = told(tmp_path / "a.jsonl", record("v1", "a bow"))
    two = told(tmp_path / "b.jsonl", record("v1", "an arrow"), record("v2", "a lane"))
    report = index_captions(IndexConfig((*two.paths, *one.paths, *two.paths), "d", kind="captions"), root)
    assert (report.videos, report.failed) == (2, 0)  # a file that is named twice is read once
    assert rows(root)["v1"][2] == ["an arrow", "a bow"]
    assert {(row["text"], Path(row["source"]).name) for row in Captions(root).read("d").to_pylist()} == {
        ("a bow", "a.jsonl"),
        ("an arrow", "b.jsonl"),
        ("a lane", "b.jsonl"),
    }


def test_a_record_a_caption_is_gathered_in_whatever_order_records_come(root, tmp_path):
    said = [("v1", "a bow"), ("v2", "a lane"), ("v1", "an arrow"), ("v3", "x"), ("v2", "a lane"), ("v1", "a bow")]
    singles = [{"video_id": video, "caption": text} for video, text in said]
    singles[2]["class"] = "archery"
    report = index_captions(told(tmp_path / "c.jsonl", *singles), root)
    assert (report.videos, report.contents, report.failed, report.unlabelled) == (3, 3, 0, 2)
    wanted = {
        "v1": ("caption_group", "archery", ["a bow", "an arrow", "a bow"]),  # two people may have said the same
        "v2": ("caption_group", None, ["a lane", "a lane"]),
        "v3": ("caption_group", None, ["x"]),
    }
    assert rows(root) == wanted
    places = {(row["text"], row["place"]): row["line"] for row in Captions(root).read("d").to_pylist()}
    assert places == {
        **{("a bow", 0): 1, ("an arrow", 1): 3, ("a bow", 2): 6},
        **{("a lane", 0): 2, ("a lane", 1): 5, ("x", 0): 4},
    }
    keys = dict(zip(*(Manifest(root).read("d")[name].to_pylist() for name in ("video_id", "key")), strict=True))
    as_lists = [record(video, *texts, label=label) for video, (_, label, texts) in wanted.items()]
    report = index_captions(told(tmp_path / "c.jsonl", *as_lists), root)
    assert (report.new, report.unchanged) == (0, 3)  # the same group, however it is written
    assert set(keys.values()) == set(Manifest(root).read("d")["key"].to_pylist())


FORMS = {
    "list.json": (
        '[{"video": "v1", "class": "archery", "captions": ["a bow", "an arrow"]},\n {"id": "v2", "text": "a lane"}]',
        {"v1": ("archery", ["a bow", "an arrow"]), "v2": (None, ["a lane"])},
        {},
    ),
    "object.json": (
        '{"v1": ["a bow", "an arrow"], "v2": {"label": "bowling", "caption": "a lane"}}',
        {"v1": (None, ["a bow", "an arrow"]), "v2": ("bowling", ["a lane"])},
        {},
    ),
    "msrvtt.json": (
        '{"info": {}, "videos": [{"video_id": "v1", "category": 9}, {"video_id": "v2", "category": "sport"}],\n'
        '"sentences": [{"caption": "a bow", "video_id": "v1", "sen_id": 0}, {"caption": "a lane", "video_id": "v2"},'
        '{"caption": "an arrow", "video_id": "v1"}]}',
        {"v1": (None, ["a bow", "an arrow"]), "v2": ("sport", ["a lane"])},
        {"category": 2},
    ),
    "vatex.json": (
        '[{"videoID": "v1", "enCap": ["a bow", "an arrow"], "chCap": ["\\u5f13"]}]',
        {"v1": (None, ["a bow", "an arrow"])},
        {"chCap": 1},
    ),
    "activitynet.json": (
        '{"v1": {"duration": 9.5, "timestamps": [[0, 5.5], [4, 9]], "sentences": ["a bow", " an arrow "]}}',
        {"v1": (None, ["a bow", "an arrow"])},
        {},
    ),
    "golden.jsonl": (
        '{"video_id": "v1", "golden_caption": ["a bow", "an arrow"], "title": "x"}\n'
        '{"video_id": "v2", "caption": "a lane", "text": "another"}',
        {"v1": (None, ["a bow", "an arrow"]), "v2": (None, ["a lane"])},
        {"text": 1},
    ),
    "texts.json": ('{"v1": "a bow", "v2": "a lane"}', {"v1": (None, ["a bow"]), "v2": (None, ["a lane"])}, {}),
    "msvd.csv": (
        "VideoID,Start,End,Language,Description\n"
        "v,1,5,English,a bow\nv,7,9,English,a lane\nv,1,5,Slovene,lok\nv,1,5,English,an arrow\n",
        {"v_1_5": (None, ["a bow", "an arrow"]), "v_7_9": (None, ["a lane"])},
        {"Language Slovene": 1},
    ),
    "twice.jsonl": (
        '{"video": "v1", "caption": "a bow", "caption": "an arrow"}',
        {"v1": (None, ["a bow", "an arrow"])},
        {},
    ),
    "table.csv": (
        'key,video_id,sentence\nr0,v1,a bow\nr1,v2,"a lane, or two"\nr2,v1,an arrow\n',
        {"v1": (None, ["a bow", "an arrow"]), "v2": (None, ["a lane, or two"])},
        {},
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_published_forms_are_read_and_what_is_left_out_of_them_is_told(root, tmp_path, name):
    content, wanted, left_out = FORMS[name]
    (tmp_path / name).write_text(content)
    report = index_captions(IndexConfig((str(tmp_path / name),), "d", kind="captions"), root)
    assert {video: row[1:] for video, row in rows(root).items()} == wanted
    assert (report.failed, report.left_out) == (0, left_out)


def test_a_video_of_msrvtt_that_no_sentence_tells_of_is_a_failure(root, tmp_path):
    path = tmp_path / "m.json"
    path.write_text('{"videos": [{"video_id": "v1"}],\n"sentences": [{"caption": "a bow", "video_id": "v2"}]}')
    report = index_captions(IndexConfig((str(path),), "d", kind="captions"), root)
    assert (report.videos, report.failed) == (1, 1)
    assert failures(root)[0]["reason"] == "Line 1 names 'v1' among its videos, and no sentence of it."


BAD_RECORDS = {
    "half a character in a caption": (
        r'{"video": "v", "caption": "a \ud800"}',
        "Line 1 has a caption of 'v' that holds U.D800",
    ),
    "a control character in a caption": (r'{"video": "v", "caption": "a\u0000b"}', "'v' that holds U.0000, a control"),
    "half a character in an id": (
        r'{"video": "v\ud800", "caption": "a"}',
        r"U.D800, .*, in the id or the label of 'v.ud800'",
    ),
    "half a character in a label": (r'{"video": "v", "class": "\ud800", "caption": "a"}', "Line 1 holds U.D800"),
    "a caption that is markup": ('{"video": "v", "caption": "&nbsp;"}', 'holds "&nbsp;" where its text should be'),
    "a caption that a table wrote": (
        '{"video": "v", "captions": ["a", "nan"]}',
        'holds "nan" where its text should be',
    ),
    "a label twice": ('{"video": "v", "class": "a", "class": "b", "caption": "c"}', "that is no name: ..a., .b.."),
    "Chinese alone": ('{"videoID": "v", "chCap": ["a"]}', "has no captions of 'v': .*chCap is not taken"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_record_that_cannot_be_kept_is_named_and_costs_itself_alone(root, tmp_path, name):
    bad, reason = BAD_RECORDS[name]
    report = index_captions(told(tmp_path / "c.jsonl", bad, record("good", "a bow")), root)
    assert (report.videos, report.failed) == (1, 1)
    assert re.search(reason, failures(root)[0]["reason"])


def test_a_file_without_records_beside_a_good_one_is_named(root, tmp_path):
    contents = {"a.jsonl": b"", "b.json": b"[]", "c.csv": b"video,caption\n", "d.csv": "x\n".encode("utf-16-le")}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.jsonl").write_text('{"video": "v", "caption": "a bow"}')
    paths = tuple(str(tmp_path / name) for name in (*contents, "good.jsonl"))
    assert index_captions(IndexConfig(paths, "d", kind="captions"), root).videos == 1
    first = {Path(failure["file"]).name.split(":")[0]: failure["reason"] for failure in reversed(failures(root))}
    assert sorted(first) == sorted(contents)
    assert all("is where the file ends: it holds no record" in first[name] for name in ("a.jsonl", "b.json", "c.csv"))
    assert "NUL bytes" in first["d.csv"]


def test_msrvtt_with_ids_that_are_no_text_loses_these_alone(root, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(
        '{"videos": [{"video_id": ["v"]}, {"video_id": "v1"}, 3],\n'
        '"sentences": [{"video_id": ["v"], "caption": "x"}, "a bow", {"video_id": "v1", "caption": "a bow"}]}'
    )
    report = index_captions(IndexConfig((str(path),), "d", kind="captions"), root)
    assert (report.videos, report.failed) == (1, 4)
    assert [failure["reason"][:7] for failure in failures(root)] == ["Line 1 ", "Line 1 ", "Line 2 ", "Line 2 "]


def test_of_records_in_one_line_each_bad_one_is_listed_until_the_file_is_mended(root, tmp_path):
    path = tmp_path / "vatex.json"
    config = IndexConfig((str(path),), "d", kind="captions")
    bad = [{"videoID": f"bad{n}", "enCap": []} for n in range(3)]
    path.write_text(json.dumps([record("good", "a bow"), *bad]))
    for _ in range(2):  # read again they are listed once
        assert index_captions(config, root).failed == 3
        listed = failures(root)
        assert [re.findall("bad.", row["reason"])[0] for row in listed] == ["bad0", "bad1", "bad2"]
        assert [row["file"] for row in listed] == [f"{path}:1", f"{path}:1#2", f"{path}:1#3"]
    path.write_text(json.dumps([record("good", "a bow"), bad[0], record("bad1", "a lane")]))
    assert index_captions(config, root).failed == 1
    assert [re.findall("bad.", row["reason"])[0] for row in failures(root)] == ["bad0"]


def test_a_word_about_the_file_is_no_caption(root, tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"made by": "somebody",\n"v1": ["a bow"]}')
    report = index_captions(IndexConfig((str(path),), "d", kind="captions"), root)
    assert (list(rows(root)), report.failed) == (["v1"], 1)
    wanted = "Line 1 has a text of 'made by' beside records and lists: put a caption into a list."
    assert failures(root)[0]["reason"] == wanted


def test_a_file_of_which_all_is_left_out_says_what_it_holds(root, tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("VideoID,Start,End,Language,Description\nv,1,5,Slovene,lok\n")
    with pytest.raises(UsageError, match=r"holds no captions of a video, but Language Slovene, which is not taken\.$"):
        index_captions(IndexConfig((str(path),), "d", kind="captions"), root)


@pytest.mark.parametrize(
    ("name", "content", "told_of"),
    [
        ("a.json", '{"version": 1, "database": {"v": {"annotations": []}}}', "begins an object of version, database"),
        ("a.txt", "v1\ta bow\n", r"begins with 'v1\\ta bow'"),
        ("a.csv", "name,score\nv1,2\n", "begins with 'name,score'"),
    ],
)
def test_a_form_that_is_not_taken_is_one_line_that_says_which_are(root, tmp_path, name, content, told_of):
    (tmp_path / name).write_text(content)
    taken = r'; taken are JSON lines or a list of {"video": id.*CSV .* MSR-VTT, MSVD, VATEX and ActivityNet Captions\.'
    with pytest.raises(UsageError, match=f"^[^\n]*{name} holds no captions of a video: Line 1 {told_of}{taken}$"):
        index_captions(IndexConfig((str(tmp_path / name),), "d", kind="captions"), root)
    assert Manifest(root).datasets() == []


def test_what_the_index_leaves_out_is_said(root, tmp_path):
    path = tmp_path / "vatex.json"
    path.write_text(FORMS["vatex.json"][0])
    asked = ["index", str(path), "--kind", "captions", "--dataset", "d", "--root", root.url]
    assert "Left out: chCap (1 records)." in CliRunner().invoke(app, asked).stderr
    told_of = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    expected = {"videos": 1, "new": 0, "unchanged": 1, "contents": 1, "unlabelled": 1, "left_out": {"chCap": 1}}
    assert told_of == expected


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "wanted", "left_out"),
    [
        ("a_record_a_caption.jsonl", {"vid1": (None, 2), "vid2": (None, 1)}, {}),
        ("anet.json", {"v_QOlSCBRmfWY": (None, 2)}, {}),
        ("golden.jsonl", {"vid1": (None, 2)}, {}),
        ("list.json", {"vid1": ("running", 2)}, {}),
        ("msrvtt.json", {"video0": (None, 2)}, {"category": 2}),
        ("vatex.json", {"Ptf_2VRj-V0_000122_000132": (None, 2)}, {"chCap": 1}),
    ],
)
def test_captions_of_others_are_gathered(root, shared_data, name, wanted, left_out):
    folder = shared_data / "odd" / "captions_of_others"
    report = index_captions(IndexConfig((str(folder / name),), "d", kind="captions"), root)
    assert {video: (row[1], len(row[2])) for video, row in rows(root).items()} == wanted
    assert (report.failed, report.left_out) == (0, left_out)


def test_a_file_with_nothing_good_is_one_line_and_changes_nothing(root, tmp_path):
    with pytest.raises(UsageError, match=r"^\S*c.jsonl holds no captions of a video: Line 1 is not JSON .*\.$"):
        index_captions(told(tmp_path / "c.jsonl", "{", "3"), root)
    with pytest.raises(UsageError, match=r"^\S*c.jsonl holds no captions of a video: Line 1 is where the file ends"):
        index_captions(told(tmp_path / "c.jsonl"), root)
    with pytest.raises(UsageError, match=r"^There is no file .*none. Captions are read from local files: JSON lines"):
        index_captions(IndexConfig((str(tmp_path / "none"),), "d", kind="captions"), root)
    with pytest.raises(UsageError, match=r"^What is indexed is videos or images or captions.*, got 'poems'\.$"):
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
