"""A lock on an object store: an object that one process at a time holds, and renews while it lives.

    free ──put, if it is still free──▶ held, renewed every 5 s ──put──▶ free

Whoever waits looks at its tag: one that has not changed for `LEASE_S` belongs to a process that was killed, and is
taken over by a put that holds only if it still has not. Clocks of machines are never compared. A holder that stood
still for so long, and goes on, no longer holds it; what it then writes is held against the tags it has read
(`Root.new_file`), so it fails and loses nobody's rows.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator

from stores.object_store import ABSENT, Lost, ObjectStore

LEASE_S = 30.0
_RENEWED_S = 5.0
_FREE = b"free "


@contextlib.contextmanager
def held(store: ObjectStore, path: str, timeout_s: float = -1) -> Iterator[None]:
    """Hold the lease at a path; TimeoutError where another holds it for longer than `timeout_s` (-1: wait)."""
    lease = _Lease(store, path, _taken(store, path, timeout_s))
    renewing = threading.Thread(target=lease.renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        lease.end()


class _Lease:
    def __init__(self, store: ObjectStore, path: str, tag: str) -> None:
        self._store, self._path, self._tag = store, path, tag
        self._ended = threading.Event()
        self._writing = threading.Lock()

    def renew(self) -> None:
        while not self._ended.wait(_RENEWED_S):
            with self._writing, contextlib.suppress(Exception):  # one that is not answered is tried again
                if not self._ended.is_set():
                    self._tag = self._store.put(self._path, _own(), self._tag)

    def end(self) -> None:
        self._ended.set()
        with self._writing, contextlib.suppress(Exception):  # taken over meanwhile, or out of reach: it runs out
            self._store.put(self._path, _FREE + _own(), self._tag)


def _own() -> bytes:
    """What no other put has: a tag may be a digest of the content."""
    return uuid.uuid4().hex.encode()


def _taken(store: ObjectStore, path: str, timeout_s: float) -> str:
    """The tag of the lease once it is ours."""
    started = since = time.monotonic()
    seen, pause_s = ABSENT, 0.05
    while True:
        content, tag = store.read(path)
        now = time.monotonic()
        if tag != seen:
            seen, since = tag, now
        if tag == ABSENT or content.startswith(_FREE) or now - since > LEASE_S:
            with contextlib.suppress(Lost):
                return store.put(path, _own(), tag)
            seen = ABSENT
        elif 0 <= timeout_s <= now - started:
            raise TimeoutError(path)
        time.sleep(pause_s)
        pause_s = min(1.0, pause_s * 1.5)
