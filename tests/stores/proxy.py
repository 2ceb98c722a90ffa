"""A proxy in front of an object store, which does to requests what networks do.

command ──▶ proxy ──▶ store        pass | refuse (a status) | lose the answer | cut the connection | say nothing
"""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PASS, LOSE, CUT, NOTHING = "pass", "lose the answer", "cut", "say nothing"
Fate = str | int  # what becomes of a request; a number is the status that refuses it
_OWN = {"connection", "keep-alive", "transfer-encoding", "host"}


class Proxy:
    """What becomes of each request is asked of `fate` (method, path), which may be changed at any time.

    Attributes
    ----------
    url : of the proxy
    fate : callable
    counts : requests by what became of them
    """

    def __init__(self, url: str) -> None:
        self.url = ""
        self.fate: Callable[[str, str], Fate] = lambda method, path: PASS
        self.counts: dict[Fate, int] = {}
        self._store = urlsplit(url).netloc
        self._ended = threading.Event()
        self._counting = threading.Lock()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        fate = self.fate(handler.command, handler.path)
        with self._counting:
            self.counts[fate] = self.counts.get(fate, 0) + 1
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if fate == NOTHING:
            self._ended.wait(600)
        if fate in (NOTHING, CUT):
            handler.close_connection = True
            return
        if isinstance(fate, int):
            _send(handler, fate, [("Content-Length", "0")], b"")
            return
        store = http.client.HTTPConnection(self._store, timeout=60)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() not in _OWN}
            store.request(handler.command, handler.path, body, headers)
            answer = store.getresponse()
            content = answer.read()
        finally:
            store.close()
        if fate == LOSE:
            handler.close_connection = True
            return
        told = [(k, v) for k, v in answer.getheaders() if k.lower() not in {*_OWN, "content-length"}]
        size = answer.headers.get("Content-Length", "0") if handler.command == "HEAD" else str(len(content))
        _send(handler, answer.status, [*told, ("Content-Length", size)], content)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                with contextlib.suppress(ConnectionError):
                    proxy._answer(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_any  # noqa: N815

            def log_message(self, *about: object) -> None:
                pass

        return Handler


def _send(handler: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
    handler.send_response_only(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


@contextlib.contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A proxy in front of a store."""
    proxy = Proxy(url)
    server = ThreadingHTTPServer(("127.0.0.1", 0), proxy.handler())
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        proxy._ended.set()
        server.shutdown()
        server.server_close()
