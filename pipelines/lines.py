"""Lines and JSON lines of text files, plain or gzip, with what is wrong with each.

    opened         a file's bytes, unpacked
    lines          numbered lines as text: (line, text), or a `Problem`
    json_lines     documents, one a line or several: (line, value), or a `Problem`
    gathered       fields by their names, none lost where a name comes twice
    or_empty       records, or the problem that there are none

Memory holds one line. A line ends with a line feed, a carriage return or both; a byte order mark may stand before any
line, as it does where files were joined. What is wrong with a line is told with its number and costs that line alone.
"""

import codecs
import contextlib
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from pipelines.errors import UsageError
from untrusted import places

LONGEST_LINE = 1 << 24
_SAMPLE_LINES = 20
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = (
    (b"PK\x03\x04", "a zip archive or an Excel file; save its table as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file; save its table as CSV (UTF-8)"),
    (b"BZh", "packed with bzip2; unpack it"),
    (b"\xfd7zXZ", "packed with xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd; unpack it"),
    (b"PAR1", "a Parquet file; write it as JSON lines"),
    (b"%PDF", "a PDF; copy its text into a file"),
)
_BLANK = re.compile(r"\s*")
_COMMENT = re.compile(r"//|/\*|#")
_Record = TypeVar("_Record")


class Problem(NamedTuple):
    """What is wrong with a record, and where."""

    line: int
    reason: str


Line = tuple[int, str]
Value = tuple[int, Any]


def gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Fields by their names; one that stands more than once has all its values in a list, so that none is lost.

    >>> gathered([("text", "a bow"), ("class", "archery"), ("text", ["an arrow"])])
    {'text': ['a bow', 'an arrow'], 'class': 'archery'}
    """
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    values: dict[str, list[Any]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    for name, several in values.items():
        if len(several) > 1:
            found[name] = [part for value in several for part in (value if isinstance(value, list) else [value])]
    return found


DECODER = json.JSONDecoder(object_pairs_hook=gathered)


@contextlib.contextmanager
def opened(path: str) -> Iterator[io.BufferedReader]:
    """A file's bytes, unpacked where they are gzip, whatever its name.

    Raises
    ------
    UsageError
        There is no such file, it cannot be opened, or it is of a kind that is no text.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(places.opened(path))
            start = file.peek(8)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}. Check the spelling.") from error
        if kind := next((kind for begins, kind in _NO_TEXT if start.startswith(begins)), None):
            raise UsageError(f"{path} is {kind}.")
        if start[:2] == b"\x1f\x8b":
            file = stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=file)))
        yield file


def lines(stream: io.BufferedReader, encoding: str = "", mend: str = "save it as UTF-8") -> Iterator[Line | Problem]:
    """Numbered lines as text; what cannot be one is a problem, and a file that ends in the middle is the last.

    Parameters
    ----------
    stream : as `opened` gives it
    encoding : of lines that are not UTF-8; nothing: these are problems
    mend : what to do about them
    """
    number = 0
    try:
        start = stream.peek(4)
        wide = next((name for mark, name in _MARKS if start.startswith(mark)), "")
        if not wide and encoding and "\n".encode(encoding) != b"\n":
            wide = encoding
        for part in _wide(stream, wide) if wide else _narrow(stream, encoding, mend):
            number += 1
            yield (number, part) if isinstance(part, str) else Problem(number, part.reason)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Problem(number + 1, f"the file is damaged or ends in the middle of its gzip data ({error})")
    except OSError as error:
        yield Problem(number + 1, f"the file cannot be read further ({error.strerror or error})")


def _narrow(stream: io.BufferedReader, encoding: str, mend: str) -> Iterator[str | Problem]:
    """Lines of UTF-8, each that is not of the other encoding."""
    while raw := stream.readline(LONGEST_LINE):
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            while (more := stream.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
                pass
            yield Problem(0, f"is longer than {LONGEST_LINE:,} bytes")
            continue
        raw = raw.rstrip(b"\r\n")
        for part in raw.split(b"\r") if b"\r" in raw else (raw,):
            yield _decoded(part, encoding, mend)


def _decoded(raw: bytes, encoding: str, mend: str) -> str | Problem:
    if b"\0" in raw:
        return Problem(0, f"holds NUL bytes: it is damaged, or UTF-16 without its mark; {mend}")
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        told, wrong = "is not UTF-8", error
    if encoding:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            told, wrong = f"is neither UTF-8 nor {encoding}", error
    return Problem(0, f"{told} (byte 0x{raw[wrong.start]:02x} at {wrong.start + 1}); {mend}")


def _wide(stream: io.BufferedReader, encoding: str) -> Iterator[str | Problem]:
    """Lines of an encoding whose line feed is more than a byte."""
    reader = io.TextIOWrapper(stream, encoding, errors="replace", newline="")
    while line := reader.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(("\r", "\n")):
            while (more := reader.readline(LONGEST_LINE)) and not more.endswith(("\r", "\n")):
                pass
            yield Problem(0, f"is longer than {LONGEST_LINE:,} characters")
        elif "\ufffd" in line:
            yield Problem(0, f"is not {encoding.upper()} throughout")
        else:
            yield line.rstrip("\r\n").removeprefix("\ufeff")
    reader.detach()


def sampled(numbered: Iterator[Line | Problem]) -> tuple[list[str], Iterator[Line | Problem]]:
    """The first lines that hold something, to tell a file's form by, and all lines."""
    first: list[Line | Problem] = []
    sample: list[str] = []
    for entry in numbered:
        first.append(entry)
        if not isinstance(entry, Problem) and entry[1].strip():
            sample.append(entry[1])
            if len(sample) == _SAMPLE_LINES:
                break
    return sample, itertools.chain(first, numbered)


def or_empty(records: Iterable[_Record]) -> Iterator[_Record | Problem]:
    """The records of a file; of one without any the problem that it has none."""
    is_empty = True
    for record in records:
        is_empty = False
        yield record
    if is_empty:
        yield Problem(1, "is where the file ends: it holds no record")


# -- JSON -------------------------------------------------------------------------------------------------------------


def is_json_lines(sample: list[str], fields: Iterable[str]) -> bool:
    """Whether lines that begin as JSON are a document each: the first is one, and more follow or it has a field."""
    with contextlib.suppress(ValueError, RecursionError):
        first = json.loads(sample[0])
        return isinstance(first, dict) and (len(sample) > 1 or any(field in first for field in fields))
    return False


def json_lines(numbered: Iterable[Line | Problem]) -> Iterator[Value | Problem]:
    """The documents of each line; blank lines are passed over, and what is not JSON is a problem."""
    for entry in numbered:
        if isinstance(entry, Problem):
            yield entry
        elif entry[1].strip():
            try:
                value = DECODER.decode(entry[1])
            except (ValueError, RecursionError):  # a number too long is no JSONDecodeError
                yield from _several(*entry)
            else:
                yield entry[0], value


def _several(number: int, text: str) -> Iterator[Value | Problem]:
    """Documents that stand behind each other in one line, with or without a comma."""
    at = after_blank(text, 0)
    while at < len(text):
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield Problem(number, no_json(text, error))
            return
        yield number, value
        at = after_blank(text, at)
        if text[at : at + 1] == ",":
            at = after_blank(text, at + 1)


def after_blank(text: str, at: int) -> int:
    """The next place from `at` that is not blank."""
    found = _BLANK.match(text, at)
    return found.end() if found else at


def no_json(text: str, error: Exception) -> str:
    """What is wrong with a text, in words."""
    at = getattr(error, "pos", 0)
    comment = ": JSON knows no comments, take them out" if _COMMENT.match(text, after_blank(text, at)) else ""
    return f"is not JSON ({getattr(error, 'msg', error)}){comment}"
