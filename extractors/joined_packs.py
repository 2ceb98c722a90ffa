"""Models that a package index serves in parts: a zip file cut into packages, read as if it were whole.

    packages, each with a part of a zip ─Joined─▶ one seekable file ─zipfile─▶ a folder in the local cache, once

A model that is larger than a package may be is served so. Memory holds a block at a time, the parts are never written
as one file, and the folder appears whole, its weights held against their digest, or not at all.
"""

import dataclasses
import hashlib
import importlib.util
import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from extractors.errors import BadWeights

_BLOCK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Parts:
    """Where a folder lies in parts.

    Parameters
    ----------
    packages : of the parts, in their order
    inside : of each package, its part, with `{number:03d}` for its number from 1
    folder : in the zip
    weights, sha256 : name of the weights in that folder, and digest of them
    install : the command that installs the packages
    """

    packages: tuple[str, ...]
    inside: str
    folder: str
    weights: str
    sha256: str
    install: str


def installed(parts: Parts) -> list[Path]:
    """The parts' files, where all packages are installed; else nothing."""
    found = []
    for number, package in enumerate(parts.packages, start=1):
        spec = importlib.util.find_spec(package)
        folders = (spec.submodule_search_locations if spec else None) or []
        paths = [Path(folder) / parts.inside.format(number=number) for folder in folders]
        found += [path for path in paths if path.is_file()][:1]
    return found if len(found) == len(parts.packages) else []


def unpack(parts: Parts, files: Sequence[Path], target: Path) -> None:
    """Write the folder that the parts hold; one that is there by then is left as it is.

    One process writes at a time, and what a killed one left half done goes when the next begins.

    Raises
    ------
    BadWeights
        Not the published parts: no zip file, a file lacks, or the weights have another digest. Nothing is kept.
    OSError
        The disk is full, or may not be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.partial")
    with FileLock(target.with_name(f".{target.name}.lock")):
        if (target / parts.weights).is_file():  # another process was quicker
            return
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir()
            _unpacked(parts, files, beside)
            shutil.rmtree(target, ignore_errors=True)  # one that lacks its weights
            beside.replace(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _unpacked(parts: Parts, files: Sequence[Path], beside: Path) -> None:
    try:
        whole = io.BufferedReader(Joined(files), _BLOCK_BYTES)  # a read across two parts is one read
        with zipfile.ZipFile(whole) as archive:
            for entry in archive.infolist():
                _extract(archive, entry, parts, beside)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise BadWeights(f"The parts {files[0]} ... are no zip file: {error}. Run `{parts.install}`.") from error
    if not (beside / parts.weights).is_file():
        raise BadWeights(f"The parts {files[0]} ... hold no {parts.weights}. Run `{parts.install}`.")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, parts: Parts, beside: Path) -> None:
    prefix = f"{parts.folder}/"
    name = entry.filename.removeprefix(prefix)
    if entry.is_dir() or not entry.filename.startswith(prefix) or ".." in Path(name).parts or Path(name).is_absolute():
        return
    path, digest = beside / name, hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, open(path, "wb") as file:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
    if name == parts.weights and digest.hexdigest() != parts.sha256:
        raise BadWeights(
            f"{name} of the parts has the digest {digest.hexdigest()[:16]}..., and {parts.sha256[:16]}... was "
            f"published. Run `{parts.install}` again."
        )


class Joined(io.RawIOBase):
    """Files one behind another, as one file; a read ends where a part ends, so a buffer belongs around it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._paths = paths
        sizes = [path.stat().st_size for path in paths]
        self._ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Some bytes of the file that the position is in."""
        for path, end in zip(self._paths, self._ends, strict=True):
            if self._at < end:
                with open(path, "rb") as file:
                    file.seek(self._at - end, os.SEEK_END)
                    count = file.readinto(buffer)
                self._at += count
                return int(count)
        return 0
