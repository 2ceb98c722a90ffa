"""Where a cache lives: a local folder or an object-store URL, behind one small interface.

Parquet tables are written whole and appear at once (a rename on a disk, a put on an object store); Icechunk opens its
own storage below the same root. A table that is read, merged and written is so under a `lock`: of a file on a disk, of
an object that is renewed on an object store (`leases.py`). There a table that was read under a lock is also put only if
it is still the one that was read, so that a process that lost its lock, or its connection, loses nobody's rows.
"""

import contextlib
import functools
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import icechunk
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from filelock import FileLock

from stores import leases
from stores.errors import Damaged, StoreError, WriteFailed
from stores.object_store import ABSENT, MOST_RETRIES, Lost, ObjectStore, bounded, longest_s, timeout_s
from stores.scratch import scratch
from stores.sealed import sealed, unsealed
from stores.workplaces import Workplace, beside

icechunk.set_logs_filter("error")  # it warns of concurrent commits to a disk, which `Root.lock` rules out

_T = TypeVar("_T")
_SCHEMES = ("s3", "gs", "gcs", "az", "abfs")


def checked_name(name: str) -> str:
    """A name that is one file's or folder's everywhere; StoreError where it is not."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise StoreError(f"A set's name is letters, digits, dots, dashes and underscores, got {name!r}.")
    return name


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside a local file to write to; it takes the file's place when all is written, after an error never."""
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def of_table(name: str, where: str) -> Iterator[None]:
    """Turn what Arrow says of a table that is damaged into one line."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None):  # of the disk, not of what lies on it
            raise
        reason = " ".join(str(error).split())[:160]
        raise Damaged(
            f"The table {name} below {where} is damaged: {reason}. Bring it back from a copy, or take it away and run "
            "again the command that made it."
        ) from error


class Root:
    """A cache's root.

    Parameters
    ----------
    url : str
        A local path, or `s3://bucket/prefix`, `gs://...`, `az://...` (credentials from the environment).
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        text = os.fspath(url)
        self.is_local = "://" not in text or text.startswith("file://")
        self.url = os.path.abspath(text.removeprefix("file://")) if self.is_local else text.rstrip("/")
        if not text:
            raise StoreError("The root is empty; give a folder or URL with --root or $ZSAR_ROOT.")
        if self.is_local:
            # os.path.exists: what may not be looked into is not there for this user, and no error
            there = next(p for p in (Path(self.url), *Path(self.url).parents) if os.path.exists(p))
            if not there.is_dir():
                raise StoreError(
                    f"The root {self.url} is a file or below one; give a folder with --root or $ZSAR_ROOT."
                )
        elif urlsplit(self.url).scheme not in _SCHEMES:
            raise StoreError(f"A root is a folder or a URL of {', '.join(_SCHEMES)}; got {self.url!r}.")
        self._base = self.url if self.is_local else self.url.partition("://")[2]
        self._own = threading.local()  # of a thread: what it has read under each lock that it holds

    def __repr__(self) -> str:
        return f"Root({self.url!r})"

    def __reduce__(self) -> tuple[type["Root"], tuple[str]]:
        return Root, (self.url,)  # connections are each process's own

    @functools.cached_property
    def _objects(self) -> ObjectStore:
        return ObjectStore(self.url)

    def path(self, *parts: str) -> str:
        """Path of a thing below the root: of a file, or of a bucket and an object in it."""
        return "/".join([self._base.rstrip("/"), *parts])

    def names_in(self, folder: str) -> list[str]:
        """Names in a folder, sorted; an absent folder is empty."""
        if not self.is_local:
            found = self._objects.names(self.path(folder))
            return sorted({path.rstrip("/").rsplit("/", 1)[-1] for path in found} - {""})
        try:
            return sorted(os.listdir(self.path(folder)))
        except (FileNotFoundError, NotADirectoryError):  # a stray file holds nothing
            return []

    def exists(self, *parts: str) -> bool:
        """True if a file or folder is there."""
        path = self.path(*parts)
        if self.is_local:
            return os.path.exists(path)
        self._note(path)
        return self._objects.exists(path)

    def is_file(self, *parts: str) -> bool:
        """True if a file is there, and no folder; on an object store a name is whichever is asked of it."""
        return self.is_local and os.path.isfile(self.path(*parts))

    def remove(self, *parts: str) -> None:
        """Remove a file or a whole folder."""
        path = self.path(*parts)
        if not self.is_local:
            self._objects.remove(path)
        elif os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)

    def read_table(self, *parts: str, columns: list[str] | None = None) -> pa.Table:
        """Read one Parquet file, its pages held against their checksums where they have any.

        Raises
        ------
        FileNotFoundError
            There is none.
        Damaged
            It cannot be read back as it was written.
        """
        path = self.path(*parts)
        # on a disk by Arrow's own reader: its threads must not call into an interpreter that is ending
        source = path if self.is_local else pa.BufferReader(self._read(path))
        with of_table("/".join(parts), self.url), pq.ParquetFile(source, page_checksum_verification=True) as file:
            return file.read(columns=columns)

    def read_text(self, *parts: str) -> str:
        """Read one text file."""
        return self.read_bytes(*parts).decode()

    def read_json(self, *parts: str, mend: str) -> dict[str, Any]:
        """Read what `write_json` wrote; Damaged, with `mend` for advice, where it is not that."""
        try:
            return unsealed(self.read_text(*parts))
        except (ValueError, TypeError) as error:  # no JSON, no text, no object, or another one
            reason = " ".join(str(error).split())[:120]
            raise Damaged(f"{'/'.join(parts)} below {self.url} is damaged: {reason}. {mend}") from error

    def read_bytes(self, *parts: str) -> bytes:
        """Read one file."""
        path = self.path(*parts)
        return Path(path).read_bytes() if self.is_local else self._read(path)

    @contextlib.contextmanager
    def at_hand(self, *parts: str) -> Iterator[str]:
        """The path of a file on this machine while it is read: itself, or a copy of an object."""
        path = self.path(*parts)
        if self.is_local:
            yield path
            return
        with scratch("read") as folder:
            self._objects.fetch(path, copy := folder / parts[-1])
            yield str(copy)

    @contextlib.contextmanager
    def workplace(self, *parts: str) -> Iterator[Workplace]:
        """A folder below the root to work in with tools that know folders alone; see `stores/workplaces.py`."""
        if self.is_local:
            yield Workplace(Path(self.path(*parts)))
            return
        with beside(self._objects, self.path(*parts), self.url_of(*parts)) as workplace:
            yield workplace

    def tag(self, *parts: str) -> str:
        """What changes when an object does; of a root on a disk nothing is told."""
        return "" if self.is_local else self._objects.tag(self.path(*parts))

    def url_of(self, *parts: str) -> str:
        """Where a thing below the root is: a path, or a URL."""
        return "/".join([self.url.rstrip("/"), *parts])

    def write_table(self, table: pa.Table, *parts: str) -> None:
        """Write one Parquet file so that a reader sees the old one or the new one, never half of it.

        Raises
        ------
        WriteFailed
            The disk is full, not writable, or gone.
        """
        with self.new_file(*parts) as path:
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)

    def write_text(self, text: str, *parts: str) -> str:
        """Write one text file, whole as `write_table` does, and give its URL."""
        with self.new_file(*parts) as path:
            path.write_text(text)
        return f"{Path(self.url).as_uri() if self.is_local else self.url}/{'/'.join(parts)}"

    def write_json(self, told: dict[str, Any], *parts: str) -> None:
        """Write one JSON object with a digest of it, whole as `write_table` does."""
        self.write_text(sealed(told), *parts)

    @contextlib.contextmanager
    def new_file(self, *parts: str) -> Iterator[Path]:
        """A local path to write to; when all is written it takes the target's place, after an error nothing does.

        Raises
        ------
        WriteFailed
            As `write_table`.
        """
        target = self.path(*parts)
        try:
            if self.is_local:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with whole(Path(target)) as path:
                    yield path
            else:
                with scratch("write") as folder:
                    yield (path := folder / parts[-1])
                    self._put(path, target)
        except Lost as error:
            raise WriteFailed(
                f"{'/'.join(parts)} below {self.url} was written by another command meanwhile. Nothing of this one is "
                "there; run it again."
            ) from error
        except OSError as error:
            raise WriteFailed(
                f"Writing {'/'.join(parts)} below {self.url} failed: {error.strerror or error}. "
                "What was there before is untouched; free space or mend permissions and run the same command again."
            ) from error

    @contextlib.contextmanager
    def lock(self, name: str, timeout_s: float = -1) -> Iterator[None]:
        """Hold the named lock of this root; what is read and written under it is not written by others meanwhile.

        Raises
        ------
        TimeoutError
            Another process holds it for longer than `timeout_s` (-1: wait for it).
        WriteFailed
            The root cannot be written.
        """
        if not self.is_local:
            with leases.held(self._objects, self.path("locks", f"{name}.lock"), timeout_s):
                self._reads().append({})
                try:
                    yield
                finally:
                    self._reads().pop()
            return
        folder = Path(self._base) / "locks"
        lock = FileLock(folder / f"{name}.lock", timeout=timeout_s)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except TimeoutError:
            raise
        except OSError as error:
            raise WriteFailed(
                f"Cannot write below the root {self.url}: {error.strerror or error}. "
                "Give a folder you may write to with --root or $ZSAR_ROOT."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _reads(self) -> list[dict[str, str]]:
        """The tags of what this thread has read under each lock that it holds, the innermost last."""
        if not hasattr(self._own, "reads"):
            self._own.reads = []
        reads: list[dict[str, str]] = self._own.reads
        return reads

    def _note(self, path: str) -> None:
        """Remember which state of an object is about to be read: one that is written in between is lost, not won."""
        if not self.is_local and (reads := self._reads()):
            reads[-1][path] = self._objects.tag(path)

    def _read(self, path: str) -> bytes:
        """The bytes of an object; which state they are of is remembered."""
        content, tag = self._objects.read(path)
        if reads := self._reads():
            reads[-1][path] = tag
        if tag == ABSENT:
            raise FileNotFoundError(path)
        return content

    def _put(self, path: Path, target: str) -> None:
        reads = self._reads()
        if reads and target in reads[-1]:
            reads[-1][target] = self._objects.put(target, path, reads[-1][target])
            return
        self._objects.put(target, path, None)

    def bounded(self, request: Callable[[], _T], what: str) -> _T:
        """What a request of Icechunk gives, which has no bound of its own; of a disk it is not waited for elsewhere.

        Raises
        ------
        Unanswered
            An object store that says nothing.
        """
        return request() if self.is_local else bounded(request, f"{what} of {self.url}")

    def repository_config(self) -> icechunk.RepositoryConfig:
        """How Icechunk waits: on an object store as often as everything else there is tried."""
        config = icechunk.RepositoryConfig.default()
        if not self.is_local:
            zarr.config.set({"async.timeout": longest_s()})  # of what Zarr asks Icechunk for
            retries = icechunk.StorageRetriesSettings(
                max_tries=MOST_RETRIES, initial_backoff_ms=100, max_backoff_ms=10_000
            )
            config.storage = icechunk.StorageSettings(retries=retries)
        return config

    def storage(self, *parts: str) -> icechunk.Storage:
        """Icechunk storage of a folder below the root."""
        if self.is_local:
            return icechunk.local_filesystem_storage(self.path(*parts))
        scheme, bucket, prefix = urlsplit(self.url)[:3]
        prefix = "/".join([*filter(None, [prefix.strip("/")]), *parts])
        if scheme == "s3":
            endpoint = os.environ.get("AWS_ENDPOINT_URL")
            return icechunk.s3_storage(
                bucket=bucket,
                prefix=prefix,
                from_env=True,
                region=os.environ.get("AWS_REGION", "us-east-1"),
                endpoint_url=endpoint,
                allow_http=bool(endpoint and endpoint.startswith("http://")),
                force_path_style=bool(endpoint),
                network_stream_timeout_seconds=max(1, int(timeout_s())),
            )
        if scheme in {"gs", "gcs"}:
            return icechunk.gcs_storage(bucket=bucket, prefix=prefix, from_env=True)
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        return icechunk.azure_storage(account=account, container=bucket, prefix=prefix, from_env=True)
