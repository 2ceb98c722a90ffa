"""The pages that answer: what they show is there, what no manifest knows is not, and nothing is written."""

import errno
import hashlib
import html
import json
import re
import socket
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from pipelines.command.main import app as commands
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.look.audit.audit import audit
from pipelines.look.query import query
from pipelines.look.serve import app as pages
from pipelines.look.serve import playing
from pipelines.look.serve.server import serve
from pipelines.look.serve.settings import ServeConfig
from pipelines.look.settings import AuditConfig, QueryConfig
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import skeletons, studies
from tests.pipelines.look.serve.conftest import EVIL, TOLD_OF, asking, keys, labelled

PLACES = ("/", "/plot", "/classes", "/audit", "/data", "/runs", "/failures")


def links(text: str) -> set[str]:
    """Where a page leads, and what it loads."""
    found = re.findall(r'(?:href|src|poster|data-from|data-card)="([^"]*)"', text)
    return {html.unescape(each).split("#")[0] for each in found if not each.startswith("data:")}


def cards(drawing) -> set[str]:
    """Where the points of a drawing lead."""
    told = drawing.json()
    points = zip(told["item"], told["segment"], strict=True)
    return {f"/card/{told['items']['key'][item]}?feature={told['feature']}&segment={number}" for item, number in points}


def clicked(client) -> dict[str, int]:
    """What can be reached from the first page, a dozen addresses of each kind, with the status each answers with."""
    counts: Counter[str] = Counter()
    waiting, seen = {*PLACES, "/?q=" + quote(studies.letters(0)), "/?like=f0&feature=fake"}, {}
    while waiting:
        place = waiting.pop()
        answer = client.get(place)
        seen[place] = answer.status_code
        kind = answer.headers["content-type"].partition(";")[0]
        if kind == "text/html" or (kind == "application/json" and place.startswith("/drawing")):
            found = (
                {each for each in links(answer.text) if each.startswith("/")} if kind == "text/html" else cards(answer)
            )
            for each in sorted(found - seen.keys() - waiting):
                kind = re.split(r"(?<=.)[/?]", each)[0]
                counts[kind] += 1
                if counts[kind] <= 12:
                    waiting.add(each)
    return seen


def marks(text: str) -> list[dict]:
    """What the script would keep of each card of a page."""
    return [json.loads(html.unescape(each)) for each in re.findall(r"data-mark='([^']*)'", text)]


def state(folder: Path) -> dict[str, str]:
    """Every file below a folder with its content, and every folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_a_phrase_finds_what_the_query_finds(client, served):
    phrase = studies.letters(0) * 2
    text = client.get("/", params={"q": phrase, "k": "5", "dataset": "d"}).text
    hits = query(QueryConfig(phrase, k=5, dataset="d"), served).table.to_pylist()
    shown = re.findall(r'<span class="n">(\d\.\d{3})</span>', text)
    assert shown == [f"{row['score']:.3f}" for row in hits]
    assert [html.unescape(each) for each in re.findall("<blockquote>(.*?)</blockquote>", text)] == [
        row["text"] for row in hits
    ]
    assert all(f'href="/class?name={row["label"]}"' in text for row in hits)


def test_a_label_and_a_number_of_clips_narrow_a_search(client):
    text = client.get("/", params={"q": "abc", "label": "golf", "k": "3"}).text
    assert text.count('<article class="card"') == 3
    assert set(re.findall(r"/class\?name=(\w+)", text)) == {"golf"}
    quoted = client.get("/", params={"q": "abc", "label": "o'brien' or 'a'='a"}).text
    assert "No segment is left" in quoted
    for k in ("0", "101", "x", "1e9", "9" * 40, "٣"):
        answer = client.get("/", params={"q": "abc", "k": k})
        assert answer.status_code == 400
        assert "a number from 1 to 100" in answer.text
    assert client.get("/", params={"q": "a" * 401}).status_code == 400


def test_why_a_space_cannot_answer_is_said(client):
    answer = client.get("/", params={"q": "abc", "feature": "fake"})
    assert answer.status_code == 400
    assert "it is of videos alone, no text lies there" in answer.text
    assert "And where not, and why" in client.get("/").text


def test_a_segment_of_a_film_is_played_at_its_time(client, served):
    text = client.get("/", params={"like": "f0", "feature": "fake", "k": "50"}).text
    key = keys(served)
    starts = re.findall(rf'src="/film/{key["f1"]}#t=([\d.]+),([\d.]+)"', text)
    assert len(starts) == 3
    assert all(float(start) < float(end) for start, end in starts)
    assert re.search(rf'src="/segment/{key["old"]}\?start=[\d.]+&amp;end=[\d.]+"', text)
    assert "Its file is not there (any more)." in text
    more = {html.unescape(each) for each in re.findall(r'href="(/\?like=f1[^"]*)"', text)}
    assert len(more) == 3
    assert all(client.get(each).status_code == 200 for each in more)
    assert all("like 1 segment of f1" in client.get(each).text for each in more)


def test_a_caption_plays_the_film_it_tells_of(client):
    text = client.get("/", params={"q": studies.letters(0), "label": "archery", "k": "100", "dataset": "d"}).text
    own = next(each for each in text.split("<article")[1:] if TOLD_OF in each and "<blockquote>" in each)
    assert re.search(r'<video [^>]*src="/film/[0-9a-f]{64}"', own)


def test_a_drawing_has_a_point_a_segment_that_leads_to_its_clip(client, served):
    drawing = client.get("/drawing", params={"feature": "fake"})
    told = drawing.json()
    own = keys(served)
    items = dict(zip(told["items"]["video_id"], told["items"]["key"], strict=True))
    assert items == {name: own[name] for name in items}
    points = list(zip(told["item"], told["segment"], strict=True))
    assert len(points) == len(set(points)) == 18
    assert all(0 <= x <= told["width"] and 0 <= y <= told["height"] for x, y in zip(told["x"], told["y"], strict=True))
    assert len(set(zip(told["x"], told["y"], strict=True))) > 9
    assert drawing.text == client.get("/drawing", params={"feature": "fake"}).text
    item, segment = points[4]
    card = client.get(
        f"/card/{told['items']['key'][item]}", params={"feature": told["feature"], "segment": segment}
    ).text
    assert card.count("<article") == 1
    assert "<html" not in card
    (mark,) = marks(card)
    assert mark["video_id"] == told["items"]["video_id"][item]
    assert (mark["start_s"], mark["end_s"]) == (told["start_s"][4], told["end_s"][4])
    assert {name: count for name, _, count in told["labels"]}["archery"] == 6
    assert Counter(told["labels"][number][0] for number in told["label"]) == {n: c for n, _, c in told["labels"]}
    for at, number in enumerate(told["label"]):
        assert told["items"]["label"][told["item"][at]] == told["labels"][number][0]
    assert told["said"] == "18 segments; t-SNE from a fixed seed."


def test_of_many_segments_some_are_drawn(client, monkeypatch):
    monkeypatch.setattr("pipelines.look.serve.plots.MOST", 50)
    monkeypatch.setattr("pipelines.look.flattened.FITTED", 20)
    told = client.get("/drawing", params={"feature": "fake_text"}).json()
    assert len(told["x"]) == 50
    assert told["said"] == (
        "50 of 240 segments, evenly over all; t-SNE from a fixed seed of 20 of them, evenly drawn; each other one lies "
        "at the median of the places of its ten nearest among these."
    )


def test_rows_that_are_asked_for_each_are_those_of_whole_chunks(client, monkeypatch):
    whole = client.get("/drawing", params={"feature": "fake", "dataset": "films"}).json()
    monkeypatch.setattr("pipelines.look.serve.plots._SPAN_BYTES", 0)
    each = client.get("/drawing", params={"feature": "fake"}).json()
    assert (each["x"], each["y"]) == (whole["x"], whole["y"])


def test_a_drawing_that_cannot_be_is_one_line(client):
    answer = client.get("/drawing", params={"feature": "fake", "dataset": "x"})
    assert answer.status_code == 400
    assert re.fullmatch(r"fake@\w+ has no segments to draw\.", answer.text)
    answer = client.get("/drawing", params={"feature": "nothing"})
    assert answer.status_code == 404
    assert answer.text.startswith("No feature set matches 'nothing'")
    assert client.get("/drawing", params={"feature": "fake", "by": "pca"}).status_code == 400


def test_a_class_has_its_texts_its_clips_and_what_it_is_taken_for(client, served):
    (run,) = Runs(served).names()
    judged = Runs(served).read(run, "judged").to_pylist()
    label = judged[0]["label"]
    text = client.get("/class", params={"name": label}).text
    own = [row for row in judged if row["label"] == label and row["setting"] == "zsl"]
    right = sum(row["best"][0] == label for row in own)
    assert re.search(rf">{100 * right / len(own):.1f}\s%<", text)
    assert f'title="judged">{len(own)}<' in text
    assert f"/run?name={run}" in text
    assert "definition, d: 1" in text
    assert "description, d: 2" in text
    assert client.get("/class", params={"name": "nobody knows"}).status_code == 404
    assert "old" in client.get("/class", params={"name": "Golf"}).text


def test_poses_are_drawn(served, client, tmp_path):
    skeletons.dataset(served, tmp_path, each=2)
    name, row = next(iter(skeletons.rows(served).items()))
    text = client.get(f"/clip/{row['key'].hex()}").text
    assert text.count(f'aria-label="skeleton of {name}') == 3
    assert client.get(f"/film/{row['key'].hex()}").status_code == 404
    assert client.get(f"/segment/{row['key'].hex()}").status_code == 400
    assert client.get(f"/frame/{row['key'].hex()}").status_code == 400
    assert client.get("/class", params={"name": row["label"]}).text.count("skeleton of") > 3


def test_what_is_indexed_while_pages_are_open_is_there(served, client, tmp_path):
    assert client.get("/class", params={"name": skeletons.CLASSES[0]}).status_code == 404
    skeletons.dataset(served, tmp_path, each=2)
    assert client.get("/class", params={"name": skeletons.CLASSES[0]}).status_code == 200


def test_an_audit_shows_its_doubts_side_by_side(client, served, tmp_path):
    skeletons.dataset(served, tmp_path, each=8)
    extract(ExtractConfig(("raw_joints",), "p", workers=1), served)
    names = Manifest(served).read("p", ["video_id"])["video_id"].to_pylist()
    labelled(served, "p", dict.fromkeys(names, "clap") | dict.fromkeys(names[::2], "bow"))
    table = audit(AuditConfig("p"), served).table
    counts = Counter(table["kind"].to_pylist())
    assert max(counts.values()) > 12
    text = client.get("/audit", params={"dataset": "p"}).text
    told = {kind: int(count) for kind, count in re.findall(r">(\w+): (\d+)</a>", text)}
    assert told == dict(counts)
    for kind, count in counts.items():
        first = client.get("/audit", params={"dataset": "p", "kind": kind}).text
        shown = [json.loads(html.unescape(each)) for each in re.findall(r"data-about='([^']*)'", first)]
        rows = [row for row in table.to_pylist() if row["kind"] == kind]
        assert [each["video_id"] for each in shown] == [row["video_id"] for row in rows[:12]]
        assert first.count('<article class="card"') == sum(1 + bool(row["other"]) for row in rows[:12])
        assert ("those after" in first) == (count > 12)
    assert client.get("/audit", params={"dataset": "p", "from": "9999"}).status_code == 200


def test_an_audit_that_cannot_be_is_one_line(client):
    for params, why in (
        ({"dataset": "nothing"}, "No data set is called &#39;nothing&#39;"),
        ({"dataset": "films", "feature": "nothing"}, "No feature set matches"),
        ({"dataset": "../x"}, "No data set is called"),
    ):
        answer = client.get("/audit", params=params)
        assert answer.status_code == 400
        assert why in answer.text


def test_a_run_leads_to_its_page(client, served):
    (run,) = Runs(served).names()
    assert f'href="/run?name={run}"' in client.get("/runs").text
    text = client.get("/run", params={"name": run, "split": "1"}).text
    assert "pictured is split 1" in text
    assert 'aria-current="page">Runs' in text
    assert client.get("/run", params={"name": run, "split": "77"}).status_code == 400
    assert client.get("/run", params={"name": run, "split": "-1"}).status_code == 400
    assert client.get("/run", params={"name": "../../x"}).status_code == 404


def test_failures_say_what_is_wrong(client):
    text = client.get("/failures").text
    assert "none.mp4" in text
    assert "NotAVideo" in text


# -- films ------------------------------------------------------------------------------------------------------------


def test_a_film_is_sent_whole_and_in_ranges(client, served):
    key, path = keys(served)["f0"], Path(Root(served.url).url)
    whole = client.get(f"/film/{key}")
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get(f"/film/{key}", headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert client.get(f"/film/{key}", headers={"Range": "bytes=999999999-"}).status_code == 416
    assert path.exists()


def test_only_what_a_manifest_knows_is_sent(client, served, tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    key = keys(served)["f0"]
    tries = [
        f"/film/{secret}",
        f"/film/{quote(str(secret), safe='')}",
        "/film/..%2f..%2f..%2fetc%2fpasswd",
        "/film/../../../../etc/passwd",
        f"/film/{key}/../../../etc/passwd",
        "/film/" + "0" * 64,
        "/film/" + key[:-1],
        "/film/" + key + "00",
        "/film/" + "x" * 64,
        "/film/%00",
        f"/segment/{secret}",
        "/segment/" + "0" * 64 + "?start=0",
        "/frame/" + "0" * 64,
        "/clip/" + "0" * 64,
        "/card/" + "0" * 64,
        "/pages.js/../settings.py",
        "/scripts/pages.js",
        "/reports/x.html",
        "/manifest/films.parquet",
    ]
    for place in tries:
        answer = client.get(place)
        assert answer.status_code == 404, place
        assert b"secret" not in answer.content.replace(str(secret).encode(), b"")
        assert b"root:" not in answer.content
    assert client.get(f"/film/{keys(served)['none']}" if "none" in keys(served) else "/film/x").status_code == 404
    assert client.get(f"/film/{keys(served)['old']}").status_code == 404
    assert client.get(f"/film/{keys(served)['gone']}").status_code == 404


def test_moments_and_segments_are_numbers(client, served):
    key = keys(served)["old"]
    for query_string in ("start=nan", "start=inf", "start=-1", "start=1&end=x", "start=2&end=1", "start=1e99"):
        assert client.get(f"/segment/{key}?{query_string}").status_code == 400, query_string
    assert client.get(f"/frame/{key}?t=nan").status_code == 400
    assert client.get(f"/card/{key}?feature=fake&segment=x").status_code == 400
    assert client.get(f"/card/{key}?feature=fake&segment=99").status_code == 404


# -- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:8710", "", "[::1", "10.0.0.1"]
)
def test_another_name_is_not_answered(client, host):
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 400
    assert "under which" not in answer.text
    assert "<html" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8710", "localhost", "[::1]:99", "LOCALHOST:1"])
def test_names_of_this_machine_are(client, host):
    assert client.get("/failures", headers={"Host": host}).status_code == 200


def test_on_an_open_port_addresses_are_answered_and_foreign_names_are_not(served, tmp_path):
    open_to_all = asking(served, tmp_path, "0.0.0.0", password="a long word")
    open_to_all.get("/", params={"token": "a long word"})
    for host in ("192.168.1.7:8710", "[2001:db8::1]:80", socket.gethostname(), "localhost"):
        cookie = f"zsar-8710={open_to_all.cookies['zsar-8710']}"
        assert open_to_all.get("/failures", headers={"Host": host, "Cookie": cookie}).status_code == 200, host
    assert open_to_all.get("/failures", headers={"Host": "evil.example"}).status_code == 400


def test_every_answer_forbids_scripts_of_elsewhere(client, served):
    for place in (*PLACES, "/nothing", f"/film/{keys(served)['f0']}", "/plot.js", "/labels"):
        headers = client.get(place, headers={"Origin": "http://evil.example"}).headers
        policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_pages_bring_no_script_of_their_own_and_load_nothing_from_elsewhere(client, served):
    (run,) = Runs(served).names()
    for place in (*PLACES, "/?q=abc", "/class?name=archery", f"/run?name={run}"):
        text = client.get(place).text
        scripts = re.findall(r"<script[^>]*>", text)
        assert scripts in ([], [f'<script src="/{name}.js" defer>' for name in ("pages", "marks", "plot", "audit")]), (
            place
        )
        assert not re.search(r"<[^>]* on\w+=", text), place
        assert all(each.startswith(("/", "#")) for each in links(text)), place


def test_pages_are_only_read(client):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/").status_code == 405
    assert client.head("/").status_code == 200


def test_a_question_is_bounded(client):
    assert client.get("/?q=" + "a" * 5000).status_code == 414


def test_names_of_others_are_text(client, served):
    key = keys(served)["f1"]
    for place in ("/", "/classes", f"/clip/{key}", "/?like=f0&feature=fake"):
        text = client.get(place).text
        assert "<script>alert" not in text, place
        assert "\x1b" not in text, place
    for place in ("/drawing?feature=fake", "/labels"):  # whose names are as they are: the script puts them in as text
        answer = client.get(place)
        assert answer.headers["content-type"] == "application/json"
        assert json.dumps(EVIL) in json.dumps(answer.json())
        assert "\x1b" not in answer.text
    (mark,) = marks(client.get(f"/clip/{key}").text)
    assert mark["label"] == EVIL
    assert "&lt;script&gt;alert" in client.get("/classes").text
    answer = client.get("/class", params={"name": EVIL})
    assert answer.status_code == 200
    assert "f1" in answer.text
    for place in ("/?q=", "/?like=", "/?feature=x&q=", "/class?name=", "/run?name=", "/plot?feature=", "/?k="):
        text = client.get(place + quote('"><script>alert(1)</script>')).text
        assert "<script>alert" not in text, place
        assert '"><script' not in text, place


def test_no_traceback_reaches_the_browser(client, monkeypatch, capsys):
    def fails(root: Root) -> list:
        raise RuntimeError("of /secret/place")

    monkeypatch.setattr(pages.listing, "failures", fails)
    answer = client.get("/failures")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "of /secret/place" in capsys.readouterr().err


# -- nothing is written -----------------------------------------------------------------------------------------------


def test_after_everything_was_clicked_the_root_is_as_it_was(client, served):
    folder = Path(served.url)
    before = state(folder)
    seen = clicked(client)
    bad = {place: status for place, status in seen.items() if status != 200}
    assert all(place.startswith(("/film/", "/segment/", "/frame/", "/drawing")) for place in bad), bad
    for prefix in ("/film/", "/segment/", "/frame/", "/card/", "/clip/", "/class?", "/run?", "/drawing?"):
        assert any(place.startswith(prefix) for place in seen), prefix
    assert state(folder) == before


def test_a_root_that_may_only_be_read_is_shown_all_the_same(served, tmp_path, monkeypatch):
    def refuses(self: Root, *parts: object, **named: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in (
        "lock",
        "new_file",
        "remove",
        "write_table",
        "write_text",
    ):  # whoever may write anywhere is refused too
        monkeypatch.setattr(Root, name, refuses)
    folder = Path(served.url)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        client = asking(served, tmp_path)
        for place in (*PLACES, "/?q=abc", "/?like=f0&feature=fake", "/drawing?feature=fake"):
            assert client.get(place).status_code == 200, place
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_root_on_an_object_store_is_shown(object_root, videos, fake, tmp_path):
    Manifest(object_root).write("d", Manifest(Root(tmp_path / "root")).read("d"))
    extract(ExtractConfig(("fake",), "d", workers=1), object_root)
    client = asking(object_root, tmp_path)
    text = client.get("/", params={"like": "v0", "feature": "fake"}).text
    (film, *_) = re.findall(r'src="(/film/[^"#]*)', text)
    assert client.get(film).headers["content-type"] == "video/mp4"
    assert len(client.get("/drawing", params={"feature": "fake"}).json()["x"]) == 18
    assert not object_root.exists("indexes")


# -- the command ------------------------------------------------------------------------------------------------------


def test_a_taken_port_is_one_line(served):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = CliRunner().invoke(commands, ["serve", "--root", served.url, "--port", str(port), "--json"])
    assert done.exit_code == 1
    assert f"Port {port} of 127.0.0.1 is taken" in json.loads(done.stdout)["error"]


def test_what_cannot_be_served_is_one_line(served, tmp_path):
    def told(url: str) -> None:
        raise AssertionError(url)

    with pytest.raises(UsageError, match="There is no cache"):
        serve(ServeConfig(), Root(tmp_path / "empty"), told)
    with pytest.raises(UsageError, match="'no such host' is no address"):
        serve(ServeConfig(host="no such host"), served, told)
    with pytest.raises(UsageError, match="--port is from 0 to 65535"):
        ServeConfig(port=70000)


def test_without_an_encoder_frames_are_shown(client, served, monkeypatch):
    monkeypatch.setattr(playing, "encoder", lambda: "")
    key = keys(served)["old"]
    text = client.get(f"/clip/{key}").text
    frames = [html.unescape(each) for each in re.findall(r'src="(/frame/[^"]*)"', text)]
    assert len(frames) == 3
    assert all(client.get(each).headers["content-type"] == "image/jpeg" for each in frames)
    answer = client.get(f"/segment/{key}?start=0&end=1")
    assert answer.status_code == 400
    assert "no encoder" in answer.text
