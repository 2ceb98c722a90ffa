"""How much memory one file may take, asked before it is taken.

A file says how large it is, and may lie: a few bytes announce an array of terabytes, or unpack to one. What is
announced is held against `most_bytes` before anything is allocated; a file that asks for more is `Unsafe`, and its
reader makes that a fault of this file, beside which the others go on.
"""

import os
import re
from typing import NoReturn

VARIABLE = "ZSAR_MOST_MEMORY"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_LEAST = 1 << 30  # of the default: what small machines must hold too
_MOST_PIXELS = 89_000_000  # 267 MB as RGB
_PIXEL_BYTES = 24  # RGB, what it is made of, and the pictures a decoder keeps
_CGROUP = "/sys/fs/cgroup/memory.max"


class Unsafe(ValueError):
    """What a file asks for and does not get; the message goes on from its name: `asks for ...`."""


def size_of(text: str) -> int:
    """Bytes of `500M`, `4GB` or `1073741824`; ValueError of anything else.

    >>> size_of("4GB") == size_of("4g") == 4 * 2**30
    True
    """
    found = re.fullmatch(r"\s*(\d{1,15})\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if not found or not int(found[1]):
        raise ValueError(f"Memory is told as 500M or 4GB, got {text!r}.")
    return int(found[1]) * _UNITS[found[2]]


def most_bytes() -> int:
    """What one file may take: `$ZSAR_MOST_MEMORY`, else a quarter of this machine's memory, at least 1 GiB."""
    told = os.environ.get(VARIABLE)
    return size_of(told) if told else max(_LEAST, _machine_bytes() // 4)


def most_pixels() -> int:
    """What one picture may have; as many as 89 million, fewer where memory is told to be short."""
    return min(_MOST_PIXELS, most_bytes() // _PIXEL_BYTES)


class Room:
    """What one file may still take."""

    def __init__(self) -> None:
        self.most = self.left = most_bytes()

    def take(self, size_bytes: int, what: str) -> None:
        """Take so much of it.

        Raises
        ------
        Unsafe
            It is more than is left.
        """
        if size_bytes > self.left:
            refuse(size_bytes + self.most - self.left, what, self.most)
        self.left -= size_bytes


def refuse(asked: int, what: str, most: int) -> NoReturn:
    """Say what was too much, and how to allow it."""
    raise Unsafe(
        f"asks for {asked / 2**20:,.0f} MiB of memory ({what}), and one file may take {most / 2**20:,.0f} MiB. "
        f"If you trust it, allow more: `${VARIABLE}=64GB`, or `zsar --most-memory 64GB ...`"
    )


def _machine_bytes() -> int:
    """Memory of this machine, or of the part of it that this process may use."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open(_CGROUP) as file:
            told = file.read().strip()
    except OSError:
        return found
    return min(found, int(told)) if told.isdecimal() else found
