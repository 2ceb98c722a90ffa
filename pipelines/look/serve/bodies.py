"""Requests that bring something: whether a page of ours sent them, and their bytes, up to a number."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Receive


def is_own(headers: Headers) -> bool:
    """Whether a page of this server sent a request, as browsers tell: by its origin, and by where it was made."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    return urlsplit(headers.get("origin", "")).netloc.lower() == headers.get("host", "").lower() != ""


async def read(receive: Receive, most_bytes: int) -> bytes | None:
    """The body of a request; None where it is longer, or breaks off."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most_bytes:
            return None
        if not message.get("more_body"):
            return b"".join(parts)
