"""Marked clips: saved by a POST where the server was started for it and nowhere else, or by a CSV and a command."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.command.main import app as commands
from pipelines.errors import LayoutError
from pipelines.look.given_labels import given_labels
from pipelines.look.serve import saving
from stores.manifest import Manifest
from stores.selections import Selections
from tests.pipelines.look.serve.conftest import EVIL, asking
from tests.pipelines.look.serve.test_app import state

ROWS = [
    ["films", "f0", "open a door", 0.0, 0.5],
    ["films", "f1", "open a door", 0.2, 0.9],
    ["films", "f2", None, None, None],
]
ORIGIN = "http://127.0.0.1:8710"


@pytest.fixture
def editor(served, tmp_path):
    return asking(served, tmp_path, edit=True)


def token(client) -> str:
    return client.get("/").text.partition('data-token="')[2].partition('"')[0]


def posted(client, body: object, **headers: str | bytes | None):
    given = {"Origin": ORIGIN, "X-Zsar-Token": token(client), "Content-Type": "application/json"} | headers
    sent = {name: value for name, value in given.items() if value is not None}
    return client.post("/selections", content=body if isinstance(body, bytes) else json.dumps(body), headers=sent)


def told(**changes: object) -> dict:
    return {"name": "doors", "parts": False, "rows": ROWS} | changes


def test_what_was_marked_is_a_selection_with_the_labels_that_were_typed(editor, served):
    answer = posted(editor, told())
    assert (answer.status_code, answer.text) == (200, "3 videos are the data set doors@1.")
    own = Manifest(served).read("doors")
    held = dict(zip(own["video_id"].to_pylist(), own["label"].to_pylist(), strict=True))
    assert held == {"f0": "open a door", "f1": "open a door", "f2": None}
    assert Selections(served).about("doors", 1)["question"] == "marked in the page"
    assert posted(editor, told()).text == "3 videos are the data set doors@1, as they were."
    assert posted(editor, told(rows=ROWS[:1])).text == "1 video are the data set doors@2."
    assert "doors@1" in editor.get("/data").text


def test_segments_can_be_items_of_their_own(editor, served):
    answer = posted(editor, told(parts=True, rows=[*ROWS[:2], ["films", "f0", "close it", 0.5, 1.0]]))
    assert (answer.status_code, answer.text) == (200, "3 items are the data set doors@1.")
    rows = Manifest(served).read("doors").to_pylist()
    assert [(row["video_id"], row["label"], row["start_s"], row["end_s"]) for row in rows] == [
        ("f0#0", "open a door", 0.0, 0.5),
        ("f0#1", "close it", 0.5, 1.0),
        ("f1#0", "open a door", 0.2, 0.9),
    ]
    assert posted(editor, told(parts=True)).status_code == 400  # f2 is marked whole


def test_without_edit_nothing_is_saved(client, served):
    before = state(Path(served.url))
    assert token(client) == ""
    answer = posted(client, told())
    assert answer.status_code == 403
    assert "zsar serve --edit" in answer.text
    assert client.get("/selections").status_code == 405
    assert state(Path(served.url)) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": None},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Zsar-Token": None},
        {"X-Zsar-Token": "x" * 43},
        {"X-Zsar-Token": b"\xc3\xa9"},
    ],
)
def test_only_a_page_of_the_server_saves(editor, served, headers):
    assert posted(editor, told(), **headers).status_code == 403
    assert Selections(served).names() == []


def test_a_form_of_another_site_cannot_be_read_as_one(editor, served):
    assert posted(editor, told(), **{"Content-Type": "text/plain"}).status_code == 415
    assert Selections(served).names() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        {"name": "doors"},
        told(name=3),
        told(parts="yes"),
        told(rows="x"),
        told(rows=[["films", "f0"]]),
        told(rows=[["films", "f0", 3, None, None]]),
        told(rows=[["films", None, "a", None, None]]),
        told(rows=[["films", "f0", "a", "0", None]]),
        b'{"name": "doors", "parts": false, "rows": [["films", "f0", "a", NaN, 1]]}',
        told(rows=[["films", "f0", "\ud800", None, None]]),
        {"name": "x", "of": 3, "labels": {}, "without": []},
        {"name": "x", "of": "films"},
        {"name": "x", "of": "films", "labels": [], "without": []},
        {"name": "x", "of": "films", "labels": {"f0": None}, "without": []},
        {"name": "x", "of": "films", "labels": {"f0": "\ud800"}, "without": []},
        {"name": "x", "of": "films", "labels": {}, "without": "f0"},
        {"name": "x", "of": "films", "labels": {}, "without": [["f0"]]},
    ],
)
def test_what_is_no_selection_is_one_line(editor, served, body):
    answer = posted(editor, body)
    assert answer.status_code == 400, answer.text
    assert answer.text.startswith("A selection is sent as")
    assert Selections(served).names() == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "../x"}, "letters, digits"),
        ({"name": "films"}, "a data set that was indexed"),
        ({"rows": []}, "The answer is empty"),
        ({"rows": [["films", "/etc/passwd", "a", None, None]]}, "in no data set: /etc/passwd"),
        ({"rows": [["../..", "f0", "a", None, None]]}, ""),
        ({"rows": [["films", "f0", "a", None, None], ["films", "f0", "b", None, None]]}, "says two things of 'f0'"),
    ],
)
def test_what_cannot_be_saved_is_one_line(editor, served, changes, why):
    answer = posted(editor, told(**changes))
    assert answer.status_code in (400, 404)
    assert why in answer.text
    assert "\n" not in answer.text
    assert Selections(served).names() == []


def test_what_an_audit_leaves_is_a_selection(editor, served):
    body = {"name": "clean", "of": "films", "labels": {"f0": "a dance"}, "without": ["f1", "gone"]}
    answer = posted(editor, body)
    was = Manifest(served).read("films")
    kept = dict(zip(was["video_id"].to_pylist(), was["label"].to_pylist(), strict=True))
    kept = {name: label for name, label in kept.items() if name not in ("f1", "gone")} | {"f0": "a dance"}
    assert (answer.status_code, answer.text) == (200, f"{len(kept)} videos are the data set clean@1.")
    own = Manifest(served).read("clean")
    assert dict(zip(own["video_id"].to_pylist(), own["label"].to_pylist(), strict=True)) == kept
    assert Selections(served).about("clean", 1)["question"] == (
        "audited in the page: films, 1 other labels, 2 left out"
    )
    for changes, why in (
        ({"without": ["x"]}, "not in 'films': 'x'"),
        ({"of": "x"}, "No data set"),
        ({"of": "../x"}, ""),
    ):
        refused = posted(editor, body | changes)
        assert refused.status_code in (400, 404)
        assert why in refused.text
    assert Selections(served).versions("clean") == [1]


def test_a_selection_is_bounded(editor, served, monkeypatch):
    monkeypatch.setattr(saving, "_MOST_BYTES", 100)
    assert posted(editor, told()).status_code == 413
    assert Selections(served).names() == []


# -- the CSV ----------------------------------------------------------------------------------------------------------

CSV = (
    "video,label,start_s,end_s,dataset,item\n"
    'f0,"open, a door",,,films,f0\n'
    f'f1,"{EVIL}",,,films,f1\n'
    'film,"say ""x""",2.5,4,films,film#1\n'
)


def test_a_labels_file_is_a_view(tmp_path):
    (tmp_path / "zsar-marked.csv").write_text(CSV)
    rows = given_labels(str(tmp_path / "zsar-marked.csv")).to_pylist()
    assert [(row["video_id"], row["label"], row["start_s"], row["end_s"]) for row in rows] == [
        ("f0", "open, a door", None, None),
        ("f1", EVIL, None, None),
        ("film#1", 'say "x"', 2.5, 4.0),
    ]
    (tmp_path / "own.csv").write_text("Video ID;class\nf0;a\n")
    assert given_labels(str(tmp_path / "own.csv")).to_pylist() == [
        {"dataset": None, "video_id": "f0", "label": "a", "split": None, "start_s": None, "end_s": None}
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("label\na\n", "lacks the column id"),
        ("video,label\n,a\n", "names no video"),
        ("video,start_s\nf0,-1\n", "needs seconds in start_s"),
    ],
)
def test_a_labels_file_that_is_none_is_one_line(tmp_path, text, why):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(LayoutError, match=why):
        given_labels(str(tmp_path / "own.csv"))


def test_the_command_of_the_page_saves_them(served, tmp_path):
    rows = "f0,open a door,,,films,f0\nf2,x,,,films,f2\n"
    (tmp_path / "zsar-marked.csv").write_text("video,label,start_s,end_s,dataset,item\n" + rows)
    asked = ["sql", "select * from labels", "--labels", str(tmp_path / "zsar-marked.csv"), "--save-as", "doors"]
    done = CliRunner().invoke(commands, [*asked, "--root", served.url, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["saved"] == {"dataset": "doors@1", "videos": 2, "new": True}
    assert Manifest(served).read("doors")["label"].to_pylist() == ["open a door", "x"]
    joined = "select v.label as was, l.label as given from videos v join labels l using (dataset, video_id) order by 2"
    done = CliRunner().invoke(commands, ["sql", joined, *asked[2:4], "--root", served.url, "--json"])
    assert json.loads(done.stdout)["rows"] == [
        {"was": "archery", "given": "open a door"},
        {"was": "archery", "given": "x"},
    ]
    done = CliRunner().invoke(commands, ["sql", "select * from labels", "--root", served.url, "--json"])
    assert "labels does not exist" in json.loads(done.stdout)["error"]
