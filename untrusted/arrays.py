"""NumPy's files: .npy and .npz, never unpickled, never larger than what is there and what memory one file may take."""

import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from untrusted import places
from untrusted.limits import Room, Unsafe

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_KINDS = "fiubcSU"
_PIECE_BYTES = 16 << 20


def npy(source: str | Path | IO[bytes]) -> np.ndarray:
    """The array of an .npy file.

    Raises
    ------
    Unsafe
        It asks for more memory than one file may take, or is of other things than numbers and names.
    ValueError, EOFError, OSError
        It is no .npy file, it ends early, or it holds pickled objects.
    """
    if isinstance(source, str | Path):
        with places.opened(source) as file:
            return _read(file, Room(), os.fstat(file.fileno()).st_size)
    return _read(source, Room(), None)


def mapped(path: str | Path) -> np.ndarray:
    """The array of an .npy file, mapped and not read; it takes no memory."""
    with places.opened(path) as file:
        shape, _, dtype = _header(file)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > os.fstat(file.fileno()).st_size - file.tell():
            raise EOFError(f"it says that it is {shape} {dtype}, and ends before")
    return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))


def npz(source: str | Path | IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by their names; raises as `npy` does."""
    try:
        return _of_archive(source)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, struct.error) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _of_archive(source: str | Path | IO[bytes]) -> dict[str, np.ndarray]:
    room, found = Room(), {}
    if isinstance(source, str | Path):
        places.refuse_strange(source)
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename:
                continue  # no array
            if name in found:
                raise Unsafe(f"has two arrays called {name!r}")
            with archive.open(entry) as file:
                found[name] = _read(file, room, None, name)
    return found


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype that an .npy file announces."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise Unsafe(f"is of version {version} of NumPy's format, which arrays of numbers have no need of")
    try:
        shape, is_fortran, dtype = _HEADERS[version](file)
    except (SyntaxError, TypeError, LookupError, RecursionError, tokenize.TokenError) as error:
        raise ValueError(f"its header cannot be read ({type(error).__name__})") from error
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, is_fortran, dtype


def _read(file: Any, room: Room, size_bytes: int | None, name: str = "") -> np.ndarray:
    """One array; `size_bytes` is how large its file is, where that is known."""
    shape, is_fortran, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if dtype.kind not in _KINDS:
        raise Unsafe(f"holds {str(dtype)[:60]}, and arrays are of numbers or names")
    count = math.prod(shape)
    wanted, said = count * dtype.itemsize, f"{shape} {dtype}"[:120]
    if size_bytes is not None and wanted > size_bytes - file.tell():
        raise EOFError(f"it says that it is {said}, and ends before")
    room.take(wanted, f"{name}: {said}" if name else said)
    content = bytearray()  # grown as it comes: what is only announced is never allocated
    while len(content) < wanted and (piece := file.read(min(wanted - len(content), _PIECE_BYTES))):
        content += piece
    if len(content) < wanted:
        raise EOFError(f"it says that it is {said}, and ends before")
    flat = np.frombuffer(content, dtype, count) if wanted else np.empty(count, dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")
