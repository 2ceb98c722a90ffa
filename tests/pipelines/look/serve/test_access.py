"""Who may look: nobody without the password where there is one, and whoever has it once."""

import os
import re
import signal
import subprocess
import sys
import time
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest

from pipelines.errors import UsageError
from pipelines.look.serve import access
from pipelines.look.serve.app import app
from pipelines.look.serve.settings import ServeConfig
from tests.pipelines.look.serve.conftest import asking, keys
from tests.pipelines.look.serve.test_app import PLACES

WORD = "a long word"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://127.0.0.1:8710"}


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(access, "_WRONG_S", 0.0)


@pytest.fixture
def closed(served, tmp_path):
    return asking(served, tmp_path, password=WORD)


def entered(client, word: str = WORD, place: str = "/", **headers: str):
    content = httpx.QueryParams({"password": word}).__str__()
    return client.post(place, content=content, headers=FORM | headers, follow_redirects=False)


def test_nothing_is_shown_without_the_password(closed, served):
    key = keys(served)["f0"]
    for place in (*PLACES, "/plot.js", "/labels", "/nothing", f"/clip/{key}"):
        answer = closed.get(place)
        assert answer.status_code == 401, place
        assert "password" in answer.text
        assert "archery" not in answer.text
    for place in (f"/film/{key}", f"/frame/{key}?t=0", "/drawing?feature=fake", "/selections"):
        answer = closed.get(place)
        assert answer.status_code == 401, place
        assert answer.headers["content-type"].startswith("text/plain")
    assert closed.post("/selections", json={}).status_code == 401
    assert closed.put("/").status_code == 401
    assert closed.get("/").headers["content-security-policy"]  # the guards stand around it


def test_the_form_lets_in_and_leads_on(closed):
    text = closed.get("/class", params={"name": "archery", "token": "wrong word"}).text
    assert "This is not the password." in text
    assert 'action="/class?name=archery"' in text
    assert "wrong word" not in text
    answer = entered(closed, place="/class?name=archery")
    assert (answer.status_code, answer.headers["location"]) == (303, "/class?name=archery")
    cookie = SimpleCookie(answer.headers["set-cookie"])["zsar-8710"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "strict"
    assert cookie["path"] == "/"
    assert WORD not in answer.headers["set-cookie"]
    assert closed.get("/class?name=archery").status_code == 200
    closed.cookies.clear()
    assert closed.get("/class?name=archery").status_code == 401


def test_an_address_with_the_password_lets_in_and_loses_it(closed):
    answer = closed.get("/plot", params={"feature": "fake", "token": WORD})
    assert answer.status_code == 200
    assert WORD not in answer.text
    assert re.search(r'http-equiv="refresh" content="0; url=/plot\?feature=fake"', answer.text)
    assert closed.get("/plot").status_code == 200
    again = closed.get("/plot", params={"token": WORD})  # who is in: its address is mended all the same
    assert 'url=/plot"' in again.text


def test_a_password_that_is_not_right_lets_nobody_in(closed):
    for word in ("", "a", WORD + " ", WORD[:-1], WORD.upper(), "\udcff".encode("utf-8", "replace").decode(), "é" * 20):
        assert entered(closed, word).status_code == 401, word
        assert closed.get("/", params={"token": word}).status_code == 401
        assert closed.get("/failures").status_code == 401
    for cookie in ("zsar-8710=", f"zsar-8710={WORD}", "zsar-8710=x; zsar-8710=y", "x", "=;;;"):
        assert closed.get("/failures", headers={"Cookie": cookie}).status_code == 401
    assert closed.post("/", content=b"password=" + b"a" * 9000, headers=FORM).status_code == 401
    assert closed.post("/", content=b"\xff\xfe", headers=FORM).status_code == 401


def test_another_site_cannot_log_in(closed):
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert entered(closed, **headers).status_code == 401
    assert "set-cookie" not in entered(closed, **{"Origin": "http://evil.example"}).headers


@pytest.mark.parametrize(
    "place", ["//evil.example/", "/\\evil.example", "/%5cevil.example", "/%2f%2fevil.example/x?a=b"]
)
def test_who_is_let_in_stays_on_this_server(closed, place):
    answer = closed.post(
        "http://127.0.0.1:8710" + place, content=f"password={WORD}", headers=FORM, follow_redirects=False
    )
    assert answer.status_code == 303
    assert re.match(r"/(?![/\\])", answer.headers["location"])


def test_wrong_passwords_are_answered_one_after_another(closed, monkeypatch):
    monkeypatch.setattr(access, "_WRONG_S", 0.2)
    begun = time.monotonic()
    assert entered(closed, "wrong word").status_code == 401
    assert time.monotonic() - begun >= 0.2
    begun = time.monotonic()
    assert closed.get("/").status_code == 401  # who gave none does not wait
    assert time.monotonic() - begun < 0.2


def test_cookies_of_one_start_are_nothing_to_the_next(served, tmp_path, closed):
    entered(closed)
    other = asking(served, tmp_path, password=WORD)
    other.cookies = closed.cookies
    assert closed.get("/failures").status_code == 200
    assert other.get("/failures").status_code == 401


def test_an_open_port_has_a_password(served, tmp_path):
    with pytest.raises(UsageError, match="set a password with --password"):
        app(served, ServeConfig(host="0.0.0.0"), tmp_path)
    with pytest.raises(UsageError, match="at least 8 letters, this one has 3"):
        ServeConfig(password="abc")
    assert "secret word" not in repr(ServeConfig(password="secret word"))
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8", "LOCALHOST"):
        assert not ServeConfig(host=host).is_open, host
    for host in ("0.0.0.0", "::", "192.168.1.7", "machine"):
        assert ServeConfig(host=host).is_open, host


# -- the command, as a process of its own -----------------------------------------------------------------------------

SERVE = "import sys; from pipelines.command.main import main; sys.argv[0] = 'zsar'; main()"


def started(*options: str, **environment: str) -> tuple[subprocess.Popen, str]:
    own = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])} | environment
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--port", "0", "--device", "cpu", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=own,
    )
    assert process.stderr is not None
    told = process.stderr.readline()
    found = re.search(r"http://\S+", told)
    assert found, told + process.stderr.read()
    return process, found[0]


def ended(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_an_open_port_tells_its_password_in_the_address(served):
    process, url = started("--root", served.url, "--host", "0.0.0.0")
    try:
        place, word = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)\?token=([\w-]{32})", url).groups()
        with httpx.Client() as client:
            assert client.get(place).status_code == 401
            assert client.get(place, params={"token": word[:-1] + "!"}).status_code == 401
            assert client.get(url).status_code == 200
            assert "What is to be seen" in client.get(place).text
        with httpx.Client() as other:
            assert other.get(place).status_code == 401
    finally:
        ended(process)


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_password_of_ones_own_is_asked_for_and_not_told(served, way):
    options = ("--password", WORD) if way == "option" else ()
    environment = {"ZSAR_SERVE_PASSWORD": WORD} if way == "environment" else {}
    process, url = started("--root", served.url, "--host", "0.0.0.0", *options, **environment)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        with httpx.Client() as client:
            assert client.get(url).status_code == 401
            headers = FORM | {"Origin": url.rstrip("/")}
            answer = client.post(url, content=f"password={WORD.replace(' ', '+')}", headers=headers)
            assert answer.status_code == 303
            assert client.get(url).status_code == 200
    finally:
        ended(process)


def test_this_machine_alone_is_asked_for_none(served):
    process, url = started("--root", served.url)
    try:
        assert httpx.get(url).status_code == 200
        assert httpx.post(url + "selections", json={}).status_code == 403
    finally:
        ended(process)
