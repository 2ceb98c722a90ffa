"""Where a cache lives: a local folder or an object-store URL, behind one small interface.

Parquet tables are written whole and appear at once (a rename on a disk, a put on an object store); Icechunk opens its
own storage below the same root. On a disk a file lock stands between processes; object stores bring conditional writes.
"""

import contextlib
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import icechunk
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from stores.errors import StoreError, WriteFailed

icechunk.set_logs_filter("error")  # it warns of concurrent commits to a disk, which `Root.lock` rules out

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
        self.fs: Any
        self.fs, self._base = fsspec.core.url_to_fs(self.url)

    def __repr__(self) -> str:
        return f"Root({self.url!r})"

    def path(self, *parts: str) -> str:
        """Path of a thing below the root, in the form `self.fs` takes."""
        return "/".join([self._base.rstrip("/"), *parts])

    def names_in(self, folder: str) -> list[str]:
        """Names in a folder, sorted; an absent folder is empty."""
        self.fs.invalidate_cache(self.path(folder))
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted({str(p).rstrip("/").rsplit("/", 1)[-1] for p in found} - {"", folder.rsplit("/", 1)[-1]})

    def exists(self, *parts: str) -> bool:
        """True if a file or folder is there."""
        self.fs.invalidate_cache(self.path(*parts[:-1]))
        return bool(self.fs.exists(self.path(*parts)))

    def remove(self, *parts: str) -> None:
        """Remove a file or a whole folder."""
        self.fs.rm(self.path(*parts), recursive=True)

    def read_table(self, *parts: str, columns: list[str] | None = None) -> pa.Table:
        """Read one Parquet file."""
        path = self.path(*parts)
        if self.is_local:  # by Arrow's own reader: its threads must not call into an interpreter that is ending
            with pq.ParquetFile(path) as file:
                return file.read(columns=columns)
        with self.fs.open(path, "rb") as stream:
            return pq.ParquetFile(stream).read(columns=columns)

    def read_text(self, *parts: str) -> str:
        """Read one text file."""
        with self.fs.open(self.path(*parts), "rb") as stream:
            return bytes(stream.read()).decode()

    def write_table(self, table: pa.Table, *parts: str) -> None:
        """Write one Parquet file so that a reader sees the old one or the new one, never half of it.

        Raises
        ------
        WriteFailed
            The disk is full, not writable, or gone.
        """
        with self.new_file(*parts) as path:
            pq.write_table(table, path, compression="zstd")

    def write_text(self, text: str, *parts: str) -> str:
        """Write one text file, whole as `write_table` does, and give its URL."""
        with self.new_file(*parts) as path:
            path.write_text(text)
        return f"{Path(self.url).as_uri() if self.is_local else self.url}/{'/'.join(parts)}"

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
                with tempfile.TemporaryDirectory(prefix="zsar-") as folder:
                    yield (path := Path(folder, parts[-1]))
                    self.fs.put_file(str(path), target)
        except OSError as error:
            raise WriteFailed(
                f"Writing {'/'.join(parts)} below {self.url} failed: {error.strerror or error}. "
                "What was there before is untouched; free space or mend permissions and run the same command again."
            ) from error

    @contextlib.contextmanager
    def lock(self, name: str, timeout_s: float = -1) -> Iterator[None]:
        """Hold the named lock of this root (disk only; on an object store conditional writes do its work)."""
        if not self.is_local:
            yield
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
            )
        if scheme in {"gs", "gcs"}:
            return icechunk.gcs_storage(bucket=bucket, prefix=prefix, from_env=True)
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        return icechunk.azure_storage(account=account, container=bucket, prefix=prefix, from_env=True)
