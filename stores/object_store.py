"""An object store as a root needs it: puts that hold only if nobody else was first, and an end to waiting.

    read ──▶ bytes, tag        put(path, content, expected=tag)  ──▶ new tag, or `Lost` where another has written since

A tag is the store's own name of one state of one object (etag, generation). S3, Google's and Azure's stores hold puts
against it, so that of two writers at once one wins and the other is told. Every request ends: it is tried again a few
times, and `$ZSAR_STORE_TIMEOUT_S` (120) after the first try the command stops with one line. Requests are waited for
where Ctrl-C is heard.
"""

import contextlib
import datetime
import functools
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from stores.errors import StoreError, Unanswered

ABSENT = ""  #: the tag of what is not there
_TIMEOUT = "ZSAR_STORE_TIMEOUT_S"
MOST_RETRIES = 4
_IN_ONE = 256 << 20  # bytes of a file that is put by one request; a store bounds these
_NO_BUCKET = re.compile("NoSuchBucket|ContainerNotFound")  # as S3 and Google's say it, and Azure's
_STATUS = re.compile(r"status code: (\d{3})")
_T = TypeVar("_T")


class Lost(Exception):
    """Somebody else wrote an object since it was read."""


class ObjectStore:
    """The bucket of a root.

    Parameters
    ----------
    url : str
        `s3://bucket/prefix`, `gs://...`, `az://...`; credentials and endpoint come from the environment.

    Raises
    ------
    StoreError
        What reads such URLs is not installed, or the URL or the credentials make no sense to it.
    """

    def __init__(self, url: str) -> None:
        scheme, bucket = urlsplit(url)[:2]
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as error:
            raise StoreError(f"{url} needs object stores: `pip install -e '.[cloud]'` where zsar lies.") from error
        end_s, soon_s = (datetime.timedelta(seconds=seconds) for seconds in (timeout_s(), min(10, timeout_s())))
        options: dict[str, Any] = {"timeout": end_s, "connect_timeout": soon_s}
        config: dict[str, Any] = {}
        if scheme == "s3" and (endpoint := os.environ.get("AWS_ENDPOINT_URL")):
            config = {"endpoint": endpoint, "region": os.environ.get("AWS_REGION", "us-east-1")}
            options["allow_http"] = endpoint.startswith("http://")
        made: Any = from_url
        self._api: Any = obstore
        with told(url):
            self._store = made(
                f"{ {'gcs': 'gs'}.get(scheme, scheme) }://{bucket}",
                config=config,
                client_options=options,
                retry_config={"max_retries": MOST_RETRIES, "retry_timeout": end_s},
            )

    def names(self, folder: str) -> list[str]:
        """Paths of what lies in a folder: objects, and folders of objects."""
        with told(folder):
            found: dict[str, Any] = _waited(lambda: self._api.list_with_delimiter(self._store, f"{_key(folder)}/"))
        return [*found["common_prefixes"], *(one["path"] for one in found["objects"])]

    def exists(self, path: str) -> bool:
        """True where there is an object, or a folder of some."""
        return self.tag(path) != ABSENT or bool(self.names(path))

    def remove(self, path: str) -> None:
        """Remove an object, or a folder of them."""
        with told(path):
            for some in iter(functools.partial(self._some, path), []):
                _waited(functools.partial(self._api.delete, self._store, some))
            if self.tag(path) != ABSENT:
                _waited(lambda: self._api.delete(self._store, _key(path)))

    def all_below(self, folder: str) -> list[str]:
        """Paths of all objects in a folder and in its folders, sorted."""
        bucket = folder.partition("/")[0]

        def listed() -> list[str]:
            pages = self._api.list(self._store, f"{_key(folder)}/", chunk_size=1000)
            return [f"{bucket}/{one['path']}" for page in pages for one in page]

        with told(folder):
            return sorted(_waited(listed))

    def _some(self, folder: str) -> list[str]:
        found: list[dict[str, Any]] = _waited(
            lambda: next(iter(self._api.list(self._store, f"{_key(folder)}/", chunk_size=1000)), [])
        )
        return [one["path"] for one in found]

    def read(self, path: str) -> tuple[bytes, str]:
        """The bytes of an object and their tag; nothing and `ABSENT` where there is none."""

        def get() -> tuple[bytes, str]:
            found = self._api.get(self._store, _key(path))
            return bytes(found.bytes()), _tag(found.meta)

        with told(path):
            try:
                return _waited(get)
            except FileNotFoundError as error:
                _refuse_no_bucket(error, path)
                return b"", ABSENT

    def fetch(self, path: str, target: Path) -> str:
        """Write an object into a local file, a piece at a time; its tag. FileNotFoundError where there is none."""

        def get() -> str:
            found = self._api.get(self._store, _key(path))
            with open(target, "wb") as file:
                for piece in found.stream():
                    file.write(piece)
            return _tag(found.meta)

        with told(path):
            return _waited(get)

    def tag(self, path: str) -> str:
        """The tag of an object, `ABSENT` where there is none."""
        with told(path):
            try:
                return _tag(_waited(lambda: self._api.head(self._store, _key(path))))
            except FileNotFoundError as error:
                _refuse_no_bucket(error, path)
                return ABSENT

    def put(self, path: str, content: bytes | Path, expected: str | None) -> str:
        """Write an object whose tag is still the expected one (None: whatever it is); its new tag.

        A put that arrived, and whose answer was lost, is refused when it is tried again: what is there then is what
        was to be put, and counts as put. A file too large for one request goes in parts, which no store holds against
        a tag: that is asked for just before.

        Raises
        ------
        Lost
            Another has written it since.
        StoreError
            The store does not take it, or does not answer.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        how: dict[str, Any] = {}
        if expected is not None and isinstance(content, Path) and content.stat().st_size > _IN_ONE:
            if self.tag(path) != expected:
                raise Lost(path)
            how = {"use_multipart": True}
        elif expected is not None:
            how = {"mode": "create" if expected == ABSENT else _state(expected), "use_multipart": False}
        with told(path):
            try:
                return _tag(_waited(lambda: self._api.put(self._store, _key(path), content, **how)))
            except (AlreadyExistsError, PreconditionError) as error:
                there, tag = self.read(path)
                if tag != ABSENT and there == (content.read_bytes() if isinstance(content, Path) else content):
                    return tag
                raise Lost(path) from error
            except FileNotFoundError as error:
                _refuse_no_bucket(error, path)
                raise Lost(path) from error  # removed since it was read


def _key(path: str) -> str:
    """Of an object in its bucket."""
    return path.partition("/")[2]


def bounded(request: Callable[[], _T], what: str) -> _T:
    """What a request of a library gives that has no bound of its own; `Unanswered` where it takes too long."""
    try:
        return _waited(request, longest_s())
    except TimeoutError as error:
        raise unanswered(what) from error


def longest_s() -> float:
    """How long is waited for what is several requests, each of which may be tried again."""
    return 3 * timeout_s()


def unanswered(what: str) -> Unanswered:
    """The one line of what was not answered."""
    return Unanswered(
        f"The object store has not answered for {longest_s():g} s: {what}. What was committed before is safe. Check "
        f"the network and the endpoint, and run the same command again; ${_TIMEOUT} is a third of what is waited."
    )


def _waited(request: Callable[[], _T], most_s: float = math.inf) -> _T:
    """What a request gives, waited for where Ctrl-C is heard: the request itself hears nothing until it ends.

    Raises
    ------
    TimeoutError
        It has not ended after `most_s`; its thread is left alone, and ends with the process.
    """
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(request())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ends = time.monotonic() + most_s
    while thread.is_alive():
        if time.monotonic() > ends:
            raise TimeoutError
        thread.join(0.5)
    if failure:
        raise failure[0]
    return outcome[0]


def timeout_s() -> float:
    """After how many seconds a request that is not answered has failed."""
    told = os.environ.get(_TIMEOUT, "120")
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e6:
        raise StoreError(f"${_TIMEOUT} is a number of seconds, got {told!r}.")
    return seconds


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what an object store refuses into one line; what is not there stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError as error:
        _refuse_no_bucket(error, where)
        raise
    except Exception as error:
        if not type(error).__module__.startswith("obstore"):
            raise
        raise StoreError(f"The object store refuses {where}: {_reason(error)}") from error


def _refuse_no_bucket(error: Exception, where: str) -> None:
    if _NO_BUCKET.search(str(error)):
        raise StoreError(
            f"There is no bucket of this name: {where}. Check the spelling of --root, or make it."
        ) from error


def _reason(error: Exception) -> str:
    text = str(error)
    kind = type(error).__name__
    if _NO_BUCKET.search(text):
        return "there is no bucket of this name. Check the spelling of --root, or make it."
    found = _STATUS.search(text)  # digits alone stand in ports, times and names of buckets too
    status = int(found[1]) if found else 0
    if "Permission" in kind or "Unauth" in kind or status in (401, 403):
        return "it does not let these credentials in (403). Check them, and what they may do."
    if status >= 500:
        return "it answers with an error of its own (500 or the like), several times. Try again later."
    first = " ".join(text.split("\n\nDebug source")[0].split())
    return (
        f"{first[:200]}. Check the network and the endpoint; ${_TIMEOUT} says how long is waited ({timeout_s():g} s)."
    )


def _tag(meta: Any) -> str:
    """What a put can be held against: etag, and version where the store has one."""
    return f"{meta.get('e_tag') or ''}\n{meta.get('version') or ''}"


def _state(tag: str) -> dict[str, str]:
    e_tag, version = tag.split("\n")
    return {name: value for name, value in (("e_tag", e_tag), ("version", version)) if value}
