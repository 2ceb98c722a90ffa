"""Who may look: whoever has the password, where there is one.

    GET /...?token=PASSWORD    ──▶ a cookie, and the page without the password in its address
    POST of the form           ──▶ a cookie, and the page that was asked for
    any other request          ──▶ answered with the cookie, else 401 and the form

The cookie is a random word of this process and not the password; scripts cannot read it, and no other site's page sends
it. What is given is compared in a time that tells nothing of it; wrong passwords are answered one a second.
"""

import asyncio
import contextlib
import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.look.serve.bodies import is_own, read
from pipelines.pages.page import render

TOKEN = "token"
_FORM = "application/x-www-form-urlencoded"
_MOST_BYTES = 4096
_WRONG_S = 1.0
_TOLD = {
    "": "These pages are shown to whoever has their password.",
    "wrong": "This is not the password.",
}


class Access:
    """Middleware around all pages, within the guards.

    Parameters
    ----------
    app : what answers
    password : empty: nobody is asked for one
    as_text : beginnings of addresses whose errors are no page
    """

    def __init__(self, app: ASGIApp, password: str, as_text: tuple[str, ...] = ()) -> None:
        self._app, self._password, self._as_text = app, password, as_text
        self._session, self._salt = secrets.token_urlsafe(32), secrets.token_bytes(32)
        self._waiting = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, let in, or ask for the password."""
        if scope["type"] != "http" or not self._password or self._knows(scope):
            await self._app(scope, receive, send)
            return
        given = await self._given(scope, receive)
        if given is not None and self._is_right(given):
            answer = self._let_in(scope)
        else:
            answer = await self._refusal(scope, given)
        await answer(scope, receive, send)

    def _cookie(self, scope: Scope) -> str:
        """Its name: cookies of one host are sent to all its ports."""
        return f"zsar-{(scope.get('server') or ('', 0))[1]}"

    def _knows(self, scope: Scope) -> bool:
        """Whether a request has the cookie; a password that is in the address all the same is taken out of it."""
        if _token(scope) is not None:
            return False
        cookies: SimpleCookie = SimpleCookie()
        for told in Headers(scope=scope).getlist("cookie"):
            with contextlib.suppress(CookieError):
                cookies.load(told)
        held = cookies.get(self._cookie(scope))
        return held is not None and self._same(held.value, self._session)

    async def _given(self, scope: Scope, receive: Receive) -> str | None:
        """The password of a request, in its address or in the form of these pages."""
        headers = Headers(scope=scope)
        if scope["method"] == "POST":
            if headers.get("content-type", "").partition(";")[0].strip() != _FORM or not is_own(headers):
                return None
            body = await read(receive, _MOST_BYTES)
            told = dict(parse_qsl((body or b"").decode("utf-8", "replace")))
            return told.get("password")
        return _token(scope)

    def _is_right(self, given: str) -> bool:
        return self._same(given, self._password)

    def _same(self, one: str, other: str) -> bool:
        """Whether two words are the same; of digests, so that not even their lengths are told."""
        digests = (hashlib.blake2b(each.encode("utf-8", "replace"), key=self._salt).digest() for each in (one, other))
        return hmac.compare_digest(*digests)

    def _let_in(self, scope: Scope) -> Response:
        place = _place(scope)
        if scope["method"] == "POST":
            answer: Response = RedirectResponse(place, 303)
        else:  # a page that leads on: a redirect after another site's link would come without the cookie
            answer = HTMLResponse(render("serve/entered", place=place))
        answer.set_cookie(self._cookie(scope), self._session, httponly=True, samesite="strict", path="/")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _refusal(self, scope: Scope, given: str | None) -> Response:
        if given is not None:
            async with self._waiting:
                await asyncio.sleep(_WRONG_S)
        why = _TOLD["" if given is None else "wrong"]
        headers = {"Cache-Control": "no-store"}
        if scope["path"].startswith(self._as_text) or scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse(f"{why} Open the first page of this server, and give it there.", 401, headers)
        return HTMLResponse(render("serve/entrance", why=why, place=_place(scope)), 401, headers)


def _token(scope: Scope) -> str | None:
    told = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    return told.get(TOKEN)


def _place(scope: Scope) -> str:
    """The address that was asked for on this server, without a password."""
    pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    rest = urlencode([(name, value) for name, value in pairs if name != TOKEN])
    return "/" + quote(str(scope["path"]).lstrip("/\\")) + (f"?{rest}" if rest else "")
