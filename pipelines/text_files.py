"""Files of class names and of texts about classes, as data sets and papers publish them, record by record.

    JSON lines    {"action": ..., "description": ...}, plain or gzip, of any size: memory holds one line
    JSON          [{"class": ..., "definition": ...}, ...], {"class": text or [texts]}, ["name", ...], {"name": number}
    CSV, TSV      class, text; with or without a line of column names
    plain text    a class a line, numbered or not; or `class: text`

A field other than the class and the text is a part of what is told (head, hands, start, ...); one that stands beside a
text says so, as it may be about the text and not about its class. What is wrong with a record is a `Problem` with its
line; the rest is read.
"""

import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipelines.errors import UsageError
from stores.keys import folded

_CLASS_FIELDS = ("class", "action", "name", "label", "category", "class_name")
_TEXT_FIELDS = ("definition", "description", "text", "caption", "sentence", "gloss")
_LIST_FIELDS = ("definitions", "descriptions", "texts", "captions", "sentences", "phrases")
_OTHER_FIELDS = (
    "video",
    "video_id",
    "group",
    "id",
    "index",
    "url",
    "source",
    "score",
)  # of a record, not about its class
_LONGEST_LINE = 1 << 24
_LONGEST_TEXT = 1 << 16
_SAMPLE_LINES = 20
_IS_TEXTS = re.compile(r"\.(jsonl|ndjson|json|csv|tsv|txt)(\.gz)?$", re.IGNORECASE)
_COLON = re.compile(r"[^\d\s,:][^,:]{0,80}:\s*\S")  # `class: text`; not AVA's `1: class`


class Record(NamedTuple):
    """One text about a class; `text` is empty in a list of classes.

    Attributes
    ----------
    name, text, part, line : class, text, the field that tells it where that is a part of the class, place in the file
    beside : whether that field stands beside a field of text, such as a description
    """

    name: str
    text: str
    part: str
    line: int
    beside: bool = False


class Problem(NamedTuple):
    """What is wrong with a record, and where."""

    line: int
    reason: str


def files_of(path: str) -> list[str]:
    """The file itself, or the files of a folder that texts are published as, sorted."""
    if not Path(path).is_dir():
        return [path]
    found = sorted(str(file) for file in Path(path).iterdir() if _IS_TEXTS.search(file.name))
    if not found:
        raise UsageError(f"No file in {path} is JSON, JSON lines, CSV or plain text. Give another folder, or a file.")
    return found


def read(path: str) -> Iterator[Record | Problem]:
    """The records of a file in its order; raises UsageError where there is no such file or it cannot be opened."""
    name = Path(path).name.lower().removesuffix(".gz")
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
            packed = file.peek(2)[:2] == b"\x1f\x8b"
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}. Check the spelling.") from error
        stream: Any = stack.enter_context(gzip.open(file)) if packed else file
        yield from _checked(_records(name, stream))


def _records(name: str, stream: BinaryIO) -> Iterator[Record | Problem]:
    numbered = lines(stream)
    first: list[tuple[int, str] | Problem] = []
    for line in numbered:
        first.append(line)
        if len([entry for entry in first if not isinstance(entry, Problem)]) >= _SAMPLE_LINES:
            break
    sample = [text for entry in first if not isinstance(entry, Problem) for text in entry[1:] if text.strip()]
    everything = _rest(first, numbered)
    start = sample[0].lstrip()[:1] if sample else ""
    if name.endswith((".jsonl", ".ndjson")) or (start == "{" and _is_json_lines(sample)):
        yield from _json_lines(everything)
    elif name.endswith(".json") or start in ("{", "["):
        yield from _json(everything)
    elif name.endswith((".csv", ".tsv")) and not _is_colon_style(sample):
        yield from _csv(everything, "\t" if name.endswith(".tsv") else ",")
    else:
        yield from _plain(everything, _is_colon_style(sample), _is_numbered(sample))


def lines(stream: BinaryIO) -> Iterator[tuple[int, str] | Problem]:
    """Numbered lines as text; what cannot be one is a problem, and a file that ends in the middle is the last."""
    number = 0
    encoding = "utf-8"
    try:
        while raw := stream.readline(_LONGEST_LINE):
            number += 1
            if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
                whole = (raw + stream.read()).decode("utf-16", errors="replace")
                yield from enumerate(whole.splitlines(), start=1)
                return
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
                while (more := stream.readline(_LONGEST_LINE)) and not more.endswith(b"\n"):
                    pass
                yield Problem(number, f"is longer than {_LONGEST_LINE:,} bytes")
                continue
            try:
                yield number, raw.decode(encoding).rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield Problem(number, f"is not UTF-8 (byte 0x{raw[error.start]:02x} at {error.start + 1})")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Problem(number + 1, f"the file is damaged or ends in the middle of its gzip data ({error})")
    except OSError as error:
        yield Problem(number + 1, f"the file cannot be read further ({error.strerror or error})")


def _rest(
    first: list[tuple[int, str] | Problem], lines: Iterator[tuple[int, str] | Problem]
) -> Iterator[tuple[int, str] | Problem]:
    yield from first
    yield from lines


def _is_json_lines(sample: list[str]) -> bool:
    with contextlib.suppress(json.JSONDecodeError):
        fields = json.loads(sample[0])
        return len(sample) > 1 or any(field in fields for field in _CLASS_FIELDS)
    return False


def _is_colon_style(sample: list[str]) -> bool:
    """Whether most lines are `class: text`, whatever the file is called."""
    fits = [bool(_COLON.match(line.strip(' "'))) for line in sample]
    return bool(fits) and sum(fits) > 0.8 * len(fits)


def _is_numbered(sample: list[str]) -> bool:
    return bool(sample) and all(re.match(r"\s*\d+[\s,;:.)]+\S", line) for line in sample)


def json_lines(lines: Iterable[tuple[int, str] | Problem]) -> Iterator[tuple[int, Any] | Problem]:
    """Numbered documents, one a line; blank lines are passed over, and what is not JSON is a problem."""
    for entry in lines:
        if isinstance(entry, Problem):
            yield entry
            continue
        number, line = entry
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:  # a number too long is no JSONDecodeError
            yield Problem(number, f"is not JSON ({getattr(error, 'msg', error)})")


def _json_lines(lines: Iterable[tuple[int, str] | Problem]) -> Iterator[Record | Problem]:
    for entry in json_lines(lines):
        if isinstance(entry, Problem):
            yield entry
        else:
            yield from _from_fields(entry[1], entry[0])


def _json(lines: Iterable[tuple[int, str] | Problem]) -> Iterator[Record | Problem]:
    """A whole document: published lists are small."""
    text = io.StringIO()
    for entry in lines:
        if isinstance(entry, Problem):
            yield entry
        else:
            text.write(entry[1] + "\n")
    try:
        document = json.loads(text.getvalue())
    except (ValueError, RecursionError) as error:  # a number too long is no JSONDecodeError
        yield Problem(getattr(error, "lineno", 1), f"is not JSON ({getattr(error, 'msg', error)})")
        return
    if isinstance(document, Mapping):
        yield from _from_mapping(document)
    elif isinstance(document, list):
        for number, fields in enumerate(document, start=1):
            yield from _from_fields(fields, number)
    else:
        yield Problem(1, f"should be a list or an object, got {type(document).__name__}")


def _from_mapping(document: Mapping[str, Any]) -> Iterator[Record | Problem]:
    """{class: text or texts}, {class: number} or {number: class}."""
    for number, (key, value) in enumerate(document.items(), start=1):
        if isinstance(value, str) and key.isdigit():
            yield Record(value, "", "", number)
        elif isinstance(value, (int, float)):
            yield Record(key, "", "", number)
        elif isinstance(value, str):
            yield Record(key, value, "", number)
        elif isinstance(value, list) and all(isinstance(text, str) for text in value):
            yield from (Record(key, text, "", number) for text in value)
        elif isinstance(value, Mapping):
            yield from _from_fields({"class": key, **value}, number)
        else:
            yield Problem(number, f"{key!r} should have a text, a list of texts or a number")


def _from_fields(fields: Any, number: int) -> Iterator[Record | Problem]:
    """One object: its class, and each text it tells."""
    if isinstance(fields, str):
        yield Record(fields, "", "", number)
        return
    if not isinstance(fields, Mapping):
        yield Problem(number, f"should be an object or a name, got {type(fields).__name__}")
        return
    given = next((field for field in _CLASS_FIELDS if field in fields), None)
    name = fields.get(given) if given else None
    if not isinstance(name, str) or not name.strip():
        yield Problem(number, f"names no class: a field {' or '.join(map(repr, _CLASS_FIELDS[:2]))} is needed")
        return
    told = False
    has_text = any(field in fields for field in (*_TEXT_FIELDS, *_LIST_FIELDS))
    for field, value in fields.items():
        if field == given or field in _OTHER_FIELDS or value is None:
            continue
        part = "" if field in (*_TEXT_FIELDS, *_LIST_FIELDS) else field
        for text in value if isinstance(value, list) else [value]:
            told = True
            if isinstance(text, str):
                yield Record(name, text, part, number, bool(part) and has_text)
            elif field in (*_TEXT_FIELDS, *_LIST_FIELDS):
                yield Problem(number, f"{field!r} should be text, got {type(text).__name__}")
    if not told:
        yield Record(name, "", "", number)


def _csv(lines: Iterable[tuple[int, str] | Problem], delimiter: str) -> Iterator[Record | Problem]:
    """Rows of class and text, by their column names where the first row has some; a number of a class is left out."""
    problems: list[Problem] = []

    def plain() -> Iterator[str]:
        for entry in lines:
            if isinstance(entry, Problem):
                problems.append(entry)
            else:
                yield entry[1] + "\n"

    csv.field_size_limit(_LONGEST_LINE)
    reader = csv.reader(plain(), delimiter=delimiter, skipinitialspace=True, strict=True)
    header: list[str] | None = None
    for position in itertools.count():
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield Problem(reader.line_num, f"is not CSV ({error})")
            continue
        yield from problems
        problems.clear()
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if position == 0 and any(cell.lower() in _CLASS_FIELDS for cell in cells):
            header = [cell.lower() for cell in cells]
        elif header:
            yield from _from_fields(dict(zip(header, cells, strict=False)), reader.line_num)
        elif len(cells) == 1:
            yield Record(cells[0], "", "", reader.line_num)
        elif cells[0].isdigit():
            yield Record(cells[1], "", "", reader.line_num)
        elif len(cells) == 2 and cells[1].isdigit():
            yield Record(cells[0], "", "", reader.line_num)
        else:
            yield Record(cells[0], f"{delimiter} ".join(cells[1:]), "", reader.line_num)
    yield from problems


def _plain(lines: Iterable[tuple[int, str] | Problem], colons: bool, numbered: bool) -> Iterator[Record | Problem]:
    for entry in lines:
        if isinstance(entry, Problem):
            yield entry
            continue
        number, line = entry
        if not line.strip():
            continue
        if colons:
            name, _, text = line.strip(' "').partition(":")
            yield Record(name.strip(), text, "", number)
        else:
            yield Record(re.sub(r"^\s*\d+[\s,;:.)]+", "", line).strip() if numbered else line.strip(), "", "", number)


def _checked(records: Iterator[Record | Problem]) -> Iterator[Record | Problem]:
    """Texts as they are keyed, and those no encoder should see as problems."""
    for record in records:
        if isinstance(record, Problem):
            yield record
            continue
        if len(record.text) > _LONGEST_TEXT:
            yield Problem(
                record.line, f"holds a text of {len(record.text):,} characters; at most {_LONGEST_TEXT:,} are read"
            )
            continue
        text, name = folded(record.text), folded(record.name)
        control = next((c for c in text + name if unicodedata.category(c) in ("Cc", "Cs")), None)
        if control:
            yield Problem(record.line, f"holds U+{ord(control):04X}, a control character or half of one")
        elif record.text and not text:
            yield Problem(record.line, "holds only white space where its text should be")
        elif not name:
            yield Problem(record.line, "names no class")
        else:
            yield record._replace(name=name, text=text)
