"""An object store that refuses, fails or does not answer: one line, and an end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stores import object_store
from stores.errors import StoreError, Unanswered
from stores.features import FeatureStore
from stores.root import Root
from tests.stores.proxy import NOTHING, PASS, proxied
from tests.stores.store_contract import OUTPUTS, rows_of

# Ctrl-C is ignored by what a shell started in the background, and so by its children, these tests too
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


@contextlib.contextmanager
def answering(status: int | None, asked: threading.Event | None = None) -> Iterator[str]:
    """A store that answers every request so, or (None) never; `asked` is set when the first has come."""
    ended, heard = threading.Event(), asked or threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            heard.set()
            if status is None:
                ended.wait(60)
                return
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_any  # noqa: N815

        def log_message(self, *about: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def there(monkeypatch):
    settings = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
    for name, value in {**settings, "ZSAR_STORE_TIMEOUT_S": "2"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize(("status", "told"), [(403, "403"), (500, "500"), (503, "500"), (None, "how long is waited")])
def test_what_the_store_answers_is_one_line_and_comes_to_an_end(there, status, told):
    with answering(status) as url:
        there.setenv("AWS_ENDPOINT_URL", url)
        root = Root("s3://bucket-there/cache")
        asked = {
            "names": FeatureStore(root).names,
            "read": lambda: root.read_text("a"),
            "write": lambda: root.write_text("a", "b"),
            "lock": lambda: root.lock("x").__enter__(),
        }
        for ask in asked.values():
            started = time.monotonic()
            with pytest.raises(StoreError, match=told) as raised:
                ask()
            assert "\n" not in str(raised.value)
            assert time.monotonic() - started < 15


@pytest.mark.parametrize("status", [403, 500])
def test_a_commit_that_is_refused_comes_to_an_end(there, status):
    with answering(status) as url:
        there.setenv("AWS_ENDPOINT_URL", url)
        there.setattr(Root, "lock", lambda self, name, timeout_s=-1: contextlib.nullcontext())
        there.setattr(Root, "exists", lambda self, *parts: False)
        started = time.monotonic()
        with pytest.raises(StoreError) as raised:
            FeatureStore(Root("s3://bucket-there/cache")).create("x@ab", {"extractor": "x"}, "ab", OUTPUTS)
        assert "\n" not in str(raised.value)
        assert time.monotonic() - started < 60


@pytest.mark.heavy
@pytest.mark.parametrize("what", ["snapshots", "refs", "manifests", "chunks", "transactions"])
def test_a_commit_that_is_never_answered_comes_to_an_end_and_is_found_whole_or_not_at_all(
    s3_root, s3_endpoint, monkeypatch, what
):
    rows = [rows_of(i) for i in range(3)]
    made = FeatureStore(s3_root).create("x@ab", {"extractor": "x"}, "ab", OUTPUTS)
    made.append(rows[:1])
    monkeypatch.setenv("ZSAR_STORE_TIMEOUT_S", "2")
    with proxied(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        slow = FeatureStore(Root(s3_root.url)).find("x")
        proxy.fate = lambda method, path: NOTHING if method == "PUT" and f"x%40ab/{what}/" in path else PASS
        started = time.monotonic()
        try:
            slow.append(rows[1:])
        except Unanswered as error:
            assert "\n" not in str(error)
            assert NOTHING in proxy.counts
        assert time.monotonic() - started < 60
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.delenv("ZSAR_STORE_TIMEOUT_S")
    again = FeatureStore(Root(s3_root.url)).find("x")
    assert again.shape()[0] in (1, 3)
    again.append(rows)
    assert again.shape()[0] == 3
    assert list(again.damage()) == []


@pytest.mark.heavy
def test_ctrl_c_ends_a_commit_that_is_not_answered(s3_root, monkeypatch):
    FeatureStore(s3_root).create("x@ab", {"extractor": "x"}, "ab", OUTPUTS)
    code = (
        f"{HEARING}import sys; from stores.root import Root; from stores.features import FeatureStore\n"
        "from tests.stores.store_contract import rows_of\n"
        "made = FeatureStore(Root(sys.argv[1])).find('x')\n"
        "try: made.append([rows_of(1)])\nexcept KeyboardInterrupt: print('heard', flush=True)"
    )
    with proxied(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        asked = threading.Event()

        def fate(method, path):
            if method == "PUT" and "/locks/" not in path:
                asked.set()
                return NOTHING
            return PASS

        proxy.fate = fate
        environment = {**os.environ, "AWS_ENDPOINT_URL": proxy.url, "ZSAR_STORE_TIMEOUT_S": "600"}
        run = subprocess.Popen(
            [sys.executable, "-c", code, s3_root.url], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert asked.wait(60)
        time.sleep(1)
        run.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, _ = run.communicate(timeout=120)
        assert out == "heard\n"
        assert time.monotonic() - started < 20


def test_ctrl_c_ends_a_wait(there):
    asked = threading.Event()
    with answering(None, asked) as url:
        environment = {**os.environ, "AWS_ENDPOINT_URL": url, "ZSAR_STORE_TIMEOUT_S": "600"}
        code = (
            f"{HEARING}from stores.root import Root; root = Root('s3://bucket-there/cache'); print('go', flush=True)\n"
            "try: root.read_text('a')\nexcept KeyboardInterrupt: print('heard', flush=True)"
        )
        run = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        assert run.stdout.readline() == "go\n"
        assert asked.wait(120)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=120)  # a fifth of what the request itself would wait
        assert out == "heard\n"


@pytest.mark.parametrize(
    ("status", "said"),
    [("403 Forbidden", "(403)"), ("503 Slow Down", "an error of its own"), ("400 Bad Request", "400 Bad Request")],
)
def test_a_refusal_is_told_by_its_status_and_not_by_digits_that_stand_elsewhere(status, said):
    class GenericError(Exception):
        """As obstore's."""

    GenericError.__module__ = "obstore.exceptions"
    asked = "Error performing GET http://127.0.0.1:40350/b403-401/a in 2.403s"
    with pytest.raises(StoreError) as raised, object_store.told("s3://b403-401"):
        raise GenericError(f"{asked} - Server returned non-2xx status code: {status}")
    assert said in str(raised.value)
    assert ("(403)" in str(raised.value)) == (said == "(403)")
    with pytest.raises(StoreError, match="Check the network and the endpoint"), object_store.told("s3://b403-401"):
        raise GenericError(f"{asked}, after 4 retries - HTTP error: error sending request")
