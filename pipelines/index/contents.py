"""Contents: the key of each video file, read where its size or time differ from when it was read last.

    uris ──on a few threads──▶ Content each (key, size, time), or a Fault

What was found is saved every 30 s, so an index that is killed repeats at most that; a file that grows while it is read
is read again.
"""

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import fsspec

from extractors.errors import Unreachable
from pipelines.index.files import Fault, Stat, is_local, stat_of
from pipelines.progress import Progress
from stores.keys import stream_key
from stores.stat_cache import StatCache
from untrusted import places

_SAVE_EVERY_S = 30.0
_THREADS = 4
_BATCH = 32  # files a task: a future costs what hashing a small file does


class Content(NamedTuple):
    """A file as read: its key, size and time."""

    key: bytes
    size_bytes: int
    mtime_ns: int


def read_all(
    uris: Sequence[str], stats: Mapping[str, Stat], cache: StatCache, progress: Progress | None = None
) -> tuple[dict[str, Content], list[Fault]]:
    """Content of each file by URI, and the faults of those that cannot be read.

    Parameters
    ----------
    uris : each once
    stats : size and time of those of which the listing told them
    cache : keys of files as they were read before
    progress : callable, optional
        Called with (files done, files in all).
    """
    contents: dict[str, Content] = {}
    faults: list[Fault] = []
    saved = time.monotonic()
    done = 0
    try:
        for batch in _on_threads(uris, stats, cache):
            for uri, outcome, fresh in batch:
                done += 1
                if isinstance(outcome, Fault):
                    faults.append(outcome)
                    continue
                contents[uri] = outcome
                if fresh and outcome.mtime_ns >= 0:
                    cache.put((uri, outcome.size_bytes, outcome.mtime_ns), outcome.key)
            if time.monotonic() - saved > _SAVE_EVERY_S:
                cache.save()
                saved = time.monotonic()
            if progress:
                progress(done, len(uris))
    finally:
        cache.save()
    return contents, faults


_Outcome = tuple[str, Content | Fault, bool]  # uri, what came of it, whether it was read now


def _on_threads(uris: Sequence[str], stats: Mapping[str, Stat], cache: StatCache) -> Iterator[list[_Outcome]]:
    """Batches of outcomes as they come; few are in flight, so memory does not grow with the number of files."""
    batches = (uris[start : start + _BATCH] for start in range(0, len(uris), _BATCH))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="index") as pool:

        def submit(batch: Sequence[str]) -> Future[list[_Outcome]]:
            return pool.submit(lambda: [_read(uri, stats.get(uri), cache) for uri in batch])

        running = {submit(batch) for batch in itertools.islice(batches, 2 * _THREADS)}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {submit(batch) for batch in itertools.islice(batches, len(finished))}
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(uri: str, known: Stat | None, cache: StatCache) -> _Outcome:
    try:
        size_bytes, mtime_ns = known or stat_of(uri)
        key = cache.get((uri, size_bytes, mtime_ns)) if mtime_ns >= 0 else None
        if key is not None:
            return uri, Content(key, size_bytes, mtime_ns), False
        return uri, _hash(uri, (size_bytes, mtime_ns)), True
    except OSError as error:
        return uri, Fault(uri, Unreachable.__name__, _reason(error)), False


def _hash(uri: str, before: Stat) -> Content:
    """The key of a file's bytes, with the size and time they had; read again if it grew meanwhile."""
    if not is_local(uri):
        fs, path = fsspec.core.url_to_fs(uri)
        with fs.open(path, "rb") as stream:
            return Content(stream_key(stream), *before)
    for _ in range(2):
        with places.opened(uri) as stream:
            key = stream_key(stream)
            now = os.fstat(stream.fileno())
        after = (now.st_size, now.st_mtime_ns)
        if after == before:
            return Content(key, *after)
        before = after
    raise OSError("it changed while it was read; index again once it is complete")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "It vanished between listing and reading, or is a link to nothing. Index again once it is back."
    if isinstance(error, PermissionError):
        return "It may not be read. Mend its permissions (chmod +r) and index again."
    return f"It cannot be read: {error.strerror or error}."
