"""Marked clips saved from the page, where the server was started with --edit.

    POST /selections   {"name": NAME, "parts": bool, "rows": [[dataset, video_id, label, start_s, end_s], ...]}
                       ──as `--save-as` does it──▶ a version of a selection, told in one line

A request is answered where a page of this server sent it (`bodies.py`) and has the token of this process, which only
its pages have. It names videos of the manifests and never a file.
"""

import hmac
import json
import math
import secrets
from typing import Any

import pyarrow as pa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipelines.errors import UsageError
from pipelines.look.selection import save
from pipelines.look.serve.bodies import is_own, read
from stores.root import Root

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "video_id", "label")),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
    ]
)
_MOST_BYTES = 32 << 20
_QUESTION = "marked in the page"
_FORM = "A selection is sent as {name, parts, rows}, a row as [dataset, video_id, label, start_s, end_s]."


class Saving:
    """Saves what was marked.

    Parameters
    ----------
    root : Root
    edit : whether anything is saved
    """

    def __init__(self, root: Root, edit: bool) -> None:
        self._root = root
        self.token = secrets.token_urlsafe(32) if edit else ""

    async def selection(self, request: Request) -> Response:
        """Save a selection, and say under which name and version."""
        if not self.token:
            return PlainTextResponse("These pages only read: `zsar serve --edit` lets them save selections.", 403)
        if not is_own(request.headers):
            return PlainTextResponse("Only a page of this server saves selections.", 403)
        given = request.headers.get("x-zsar-token", "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return PlainTextResponse("This page is of an earlier start of the server: load it again.", 403)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return PlainTextResponse(_FORM, 415)
        body = await read(request.receive, _MOST_BYTES)
        if body is None:
            return PlainTextResponse(f"A selection is at most {_MOST_BYTES >> 20} MiB. Save fewer clips at once.", 413)
        name, parts, table = _read(body)
        saved = await run_in_threadpool(save, table, name, _QUESTION, self._root, parts)
        what = "item" if parts else "video"
        told = f"{saved.videos:,} {what}{'s' if saved.videos != 1 else ''} are the data set {saved.dataset}"
        return PlainTextResponse(told + ("." if saved.new else ", as they were."))


def _read(body: bytes) -> tuple[str, bool, pa.Table]:
    """Name, whether each row is an item of its own, and the rows as an answer has them."""
    try:
        told = json.loads(body)
        name, parts, rows = told["name"], told["parts"], told["rows"]
        if not (isinstance(name, str) and isinstance(parts, bool) and isinstance(rows, list)):
            raise TypeError
        table = pa.Table.from_pylist([_row(*each) for each in rows], schema=_SCHEMA)
    except (ValueError, TypeError, KeyError, RecursionError, pa.ArrowException) as error:
        raise UsageError(_FORM) from error
    return name, parts, table


def _row(dataset: Any, video_id: Any, label: Any, start: Any, end: Any) -> dict[str, Any]:
    texts, times = {"dataset": dataset, "video_id": video_id}, {"start_s": start, "end_s": end}
    if not all(isinstance(each, str) and each for each in texts.values()) or not isinstance(label, str | None):
        raise TypeError
    for each in times.values():
        is_number = isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each)
        if not (each is None or is_number):
            raise TypeError
    return texts | {"label": label or None} | times
