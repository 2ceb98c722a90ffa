"""What every request goes through: who is asked, how much, and what a browser may do with the answer.

A page of elsewhere can make a browser ask this machine, under a name of its own that it points here (DNS rebinding). So
the name that was asked for must be one of this machine; what is answered may be read and framed by its own pages alone,
and runs no script but the files that come along.
"""

import ipaddress
import socket
import sys
import traceback
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.look.serve.settings import LOOPBACK

MOST_QUERY_BYTES = 4096
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; media-src 'self'; "
    "style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, a form's origin is null
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guards:
    """Middleware around all pages.

    Parameters
    ----------
    app : what answers
    host : address that is listened on
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say in one line why not; nothing of an error of ours is told to the browser."""
        if scope["type"] != "http":
            return
        answered = False

        async def guarded(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            if why := self._refusal(scope):
                await PlainTextResponse(why[1], why[0])(scope, receive, guarded)
                return
            await self._app(scope, receive, guarded)
        except Exception:
            print(f"zsar: {scope['path']!r} was not answered:", file=sys.stderr)
            traceback.print_exc()
            if not answered:
                told = "This page could not be made: a fault of zsar's. The terminal says where."
                await PlainTextResponse(told, 500)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason, where a request is not answered."""
        if len(scope.get("query_string", b"")) > MOST_QUERY_BYTES:
            return 414, f"A question is at most {MOST_QUERY_BYTES} bytes."
        told = Headers(scope=scope).getlist("host")
        if len(told) != 1 or not self._is_ours(told[0]):
            return 400, "This server answers to the name it was started under, and was asked for another."
        return None

    def _is_ours(self, told: str) -> bool:
        try:
            name = urlsplit(f"//{told}").hostname or ""
        except ValueError:
            return False
        if name in LOOPBACK or name == self._host:
            return True
        if self._host in LOOPBACK:
            return False
        return _is_address(name) or name == socket.gethostname().lower()  # rebinding takes a name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
