"""Marked clips, and what an audit leaves of a data set, saved from the page, where the server was started with --edit.

    POST /selections   {"name": NAME, "parts": bool, "rows": [[dataset, video_id, label, start_s, end_s], ...]}
                       {"name": NAME, "of": dataset, "labels": {video_id: label}, "without": [video_id, ...]}
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
import pyarrow.compute as pc
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipelines.errors import UsageError
from pipelines.look.selection import save
from pipelines.look.serve.bodies import is_own, read
from stores.manifest import Manifest
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
_FORM = (
    "A selection is sent as {name, parts, rows}, a row as [dataset, video_id, label, start_s, end_s]; "
    "or as {name, of, labels, without}."
)


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
        told = _object(body)
        if "of" in told:
            return await run_in_threadpool(self._decided, told)
        return await run_in_threadpool(self._marked, told)

    def _marked(self, told: dict[str, Any]) -> Response:
        name, parts, table = _rows(told)
        return self._saved(name, table, _QUESTION, parts)

    def _decided(self, told: dict[str, Any]) -> Response:
        """A data set with other labels of some, without others."""
        name, dataset, labels, without = _decisions(told)
        table = Manifest(self._root).read(dataset, ["dataset", "video_id", "label"])
        ids = table["video_id"].to_pylist()
        if unknown := sorted({*labels, *without} - set(ids)):
            raise UsageError(f"{len(unknown)} videos that were decided on are not in {dataset!r}: {unknown[0]!r}, ...")
        own = [labels.get(each, label) for each, label in zip(ids, table["label"].to_pylist(), strict=True)]
        table = table.set_column(2, "label", pa.array(own, pa.string()))
        table = table.filter(pc.invert(pc.is_in(table["video_id"], pa.array(sorted(without), pa.string()))))
        question = f"audited in the page: {dataset}, {len(labels)} other labels, {len(without)} left out"
        return self._saved(name, table, question, False)

    def _saved(self, name: str, table: pa.Table, question: str, parts: bool) -> Response:
        saved = save(table, name, question, self._root, parts)
        what = "item" if parts else "video"
        told = f"{saved.videos:,} {what}{'s' if saved.videos != 1 else ''} are the data set {saved.dataset}"
        return PlainTextResponse(told + ("." if saved.new else ", as they were."))


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(_FORM) from error
    if not (isinstance(told, dict) and isinstance(told.get("name"), str)):
        raise UsageError(_FORM)
    return told


def _rows(told: dict[str, Any]) -> tuple[str, bool, pa.Table]:
    """Name, whether each row is an item of its own, and the rows as an answer has them."""
    try:
        name, parts, rows = told["name"], told["parts"], told["rows"]
        if not (isinstance(parts, bool) and isinstance(rows, list)):
            raise TypeError
        table = pa.Table.from_pylist([_row(*each) for each in rows], schema=_SCHEMA)
    except (ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise UsageError(_FORM) from error
    return name, parts, table


def _decisions(told: dict[str, Any]) -> tuple[str, str, dict[str, str], list[str]]:
    """Name, data set, other labels by video, and videos that are left out."""
    try:
        name, dataset, labels, without = told["name"], told["of"], told["labels"], told["without"]
        texts = [dataset, *labels, *labels.values(), *without]
        if not (isinstance(without, list) and all(isinstance(each, str) and each for each in texts)):
            raise TypeError
        pa.array(texts, pa.string())  # which takes no half of a character
    except (ValueError, TypeError, KeyError, AttributeError, pa.ArrowException) as error:
        raise UsageError(_FORM) from error
    return name, dataset, labels, without


def _row(dataset: Any, video_id: Any, label: Any, start: Any, end: Any) -> dict[str, Any]:
    texts, times = {"dataset": dataset, "video_id": video_id}, {"start_s": start, "end_s": end}
    if not all(isinstance(each, str) and each for each in texts.values()) or not isinstance(label, str | None):
        raise TypeError
    for each in times.values():
        is_number = isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each)
        if not (each is None or is_number):
            raise TypeError
    return texts | {"label": label or None} | times
