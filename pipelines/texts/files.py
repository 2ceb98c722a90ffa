"""Files of class names and of texts about classes, as data sets and papers publish them, record by record.

    JSON lines    {"action": ..., "description": ...}, plain or gzip, of any size: memory holds one line
    JSON          [{"class": ..., "definition": ...}, ...], {"class": text or [texts]}, ["name", ...], {"name": number}
    CSV, TSV      class, text; with or without a line of column names, which may also be split by `;`
    plain text    a class a line, numbered or not; or `class: text`

A field other than the class and the text is a part of what is told (head, hands, start, ...); one that stands beside a
text says so, as it may be about the text and not about its class. What is wrong with a record is a `Problem` with its
line; the rest is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import csv_rows
from pipelines.errors import UsageError
from pipelines.json_documents import Members, is_spread, json_document
from pipelines.lines import Line, Problem, gathered, is_json_lines, json_lines, lines, opened, or_empty, sampled
from pipelines.wording import control, has_word, unfit
from stores.keys import folded

_CLASS_FIELDS = ("class", "action", "name", "label", "category", "class_name")
_TEXT_FIELDS = ("definition", "description", "text", "caption", "sentence", "gloss")
_LIST_FIELDS = ("definitions", "descriptions", "texts", "captions", "sentences", "phrases")
_ALL_TEXT_FIELDS = (*_TEXT_FIELDS, *_LIST_FIELDS)
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
_IS_TEXTS = re.compile(r"\.(jsonl|ndjson|json|csv|tsv|txt)(\.gz)?$", re.IGNORECASE)
_COLON = re.compile(r"[^\d\s,:][^,:]{0,80}:\s*\S")  # `class: text`; not AVA's `1: class`
_MEND = "save it as UTF-8, or name its encoding to `zsar texts add` (--encoding cp1252 of Windows, utf-16-le, ...)"


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


def files_of(path: str) -> list[str]:
    """The file itself, or the files of a folder that texts are published as, sorted."""
    if not Path(path).is_dir():
        return [path]
    found = sorted(str(file) for file in Path(path).iterdir() if _IS_TEXTS.search(file.name))
    if not found:
        raise UsageError(f"No file in {path} is JSON, JSON lines, CSV or plain text. Give another folder, or a file.")
    return found


def read(path: str, encoding: str = "") -> Iterator[Record | Problem]:
    """The records of a file in its order, and a problem where it has none.

    Parameters
    ----------
    path : str
    encoding : of lines that are not UTF-8

    Raises
    ------
    UsageError
        There is no such file, it cannot be opened, or it is of a kind that is no text.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    with opened(path) as stream:
        yield from or_empty(_checked(_records(name, lines(stream, encoding, _MEND))))


# -- forms ------------------------------------------------------------------------------------------------------------


def _records(name: str, numbered: Iterator[Line | Problem]) -> Iterator[Record | Problem]:
    sample, everything = sampled(numbered)
    first = sample[0] if sample else ""
    start = first.lstrip()[:1]
    is_named_lines = name.endswith((".jsonl", ".ndjson")) and not is_spread(sample)
    if is_named_lines or (start == "{" and is_json_lines(sample, _CLASS_FIELDS)):
        yield from _json_lines(everything)
    elif name.endswith((".json", ".jsonl", ".ndjson")) or start in ("{", "["):
        yield from _json(everything)
    elif name.endswith((".csv", ".tsv")) and not _is_colon_style(sample):
        otherwise = "\t" if name.endswith(".tsv") else ","
        yield from _csv(everything, csv_rows.delimiter_of(first, otherwise, _is_header))
    elif delimiter := csv_rows.delimiter_of(first, "", _is_full_header):  # whatever it is called
        yield from _csv(everything, delimiter)
    else:
        yield from _plain(everything, _is_colon_style(sample), _is_numbered(sample))


def _is_header(names: list[str]) -> bool:
    return any(name in _CLASS_FIELDS for name in names)


def _is_full_header(names: list[str]) -> bool:
    return _is_header(names) and any(name in _ALL_TEXT_FIELDS for name in names)


def _is_colon_style(sample: list[str]) -> bool:
    """Whether most lines are `class: text`, whatever the file is called."""
    fits = [bool(_COLON.match(line.strip(' "'))) for line in sample]
    return bool(fits) and sum(fits) > 0.8 * len(fits)


def _is_numbered(sample: list[str]) -> bool:
    return bool(sample) and all(re.match(r"\s*\d+[\s,;:.)]+\S", line) for line in sample)


def _json_lines(numbered: Iterable[Line | Problem]) -> Iterator[Record | Problem]:
    for entry in json_lines(numbered):
        if isinstance(entry, Problem):
            yield entry
        elif isinstance(entry[1], list) and all(isinstance(fields, Mapping) for fields in entry[1]):
            for fields in entry[1]:
                yield from _from_fields(fields, entry[0])
        else:
            yield from _from_fields(entry[1], entry[0])


def _json(numbered: Iterable[Line | Problem]) -> Iterator[Record | Problem]:
    for entry in json_document(numbered):
        if isinstance(entry, Problem):
            yield entry
        elif not isinstance(entry, Members):
            yield from _from_fields(entry[1], entry[0])
        elif _is_full_header([name for _, name, _ in entry.items]):  # an object of its own
            yield from _from_fields(gathered((name, value) for _, name, value in entry.items), entry.line)
        else:
            for line, name, value in entry.items:
                yield from _from_member(name, value, line)


def _from_member(key: str, value: Any, number: int) -> Iterator[Record | Problem]:
    """Of an object: class and text or texts or fields, class and number, or number and class."""
    if isinstance(value, str) and key.isdigit():
        yield Record(value, "", "", number)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
        yield Record(key, "", "", number)
    elif isinstance(value, str):
        yield Record(key, value, "", number)
    elif isinstance(value, list) and all(isinstance(text, str) for text in value):
        yield from (Record(key, text, "", number) for text in value)
    elif isinstance(value, Mapping):
        yield from _from_fields({"class": key, **value}, number)
    elif isinstance(value, list) and all(isinstance(fields, Mapping) for fields in value):
        for fields in value:
            yield from _from_fields(fields if _is_header(list(fields)) else {"class": key, **fields}, number)
    else:
        yield Problem(number, f"{key!r} should have a text, a list of texts or a number, got {_kind(value)}")


def _from_fields(fields: Any, number: int) -> Iterator[Record | Problem]:
    """One object: its class, and each text it tells."""
    if isinstance(fields, str):
        yield Record(fields, "", "", number)
        return
    if not isinstance(fields, Mapping):
        yield Problem(number, f"should be an object or a name, got {_kind(fields)}")
        return
    given = next((field for field in _CLASS_FIELDS if field in fields), None)
    name = fields.get(given) if given else None
    if not isinstance(name, str) or not name.strip():
        several = f": {given!r} is there twice, or is a list" if isinstance(name, list) else ""
        needed = f": a field {' or '.join(map(repr, _CLASS_FIELDS[:2]))} is needed"
        yield Problem(number, f"names no class{several or needed}")
        return
    told = False
    has_text = any(field in fields for field in _ALL_TEXT_FIELDS)
    for field, value in fields.items():
        if field == given or field in _OTHER_FIELDS or value is None:
            continue
        part = "" if field in _ALL_TEXT_FIELDS else field
        for text in value if isinstance(value, list) else [value]:
            told = True
            if isinstance(text, str):
                yield Record(name, text, part, number, bool(part) and has_text)
            elif field in _ALL_TEXT_FIELDS:
                yield Problem(number, f"{field!r} should be text, got {_kind(text)}")
    if not told:
        yield Record(name, "", "", number)


def _kind(value: Any) -> str:
    """What a value is called that should have been another; NaN, which tables write for nothing, by name."""
    return "NaN" if value != value else type(value).__name__


def _csv(numbered: Iterable[Line | Problem], delimiter: str) -> Iterator[Record | Problem]:
    """Rows of class and text, by their column names where the first row has some; a number of a class is left out."""
    for entry in csv_rows.records(numbered, delimiter, _is_header, _is_full_header):
        if isinstance(entry, Problem):
            yield entry
            continue
        number, cells = entry
        if isinstance(cells, dict):
            yield from _from_fields(cells, number)
        elif len(cells) == 1:
            yield _alone(cells[0], number, ";\t|".replace(delimiter, ""))
        elif cells[0].isdigit():
            yield Record(cells[1], "", "", number)
        elif len(cells) == 2 and cells[1].isdigit():
            yield Record(cells[0], "", "", number)
        elif _ALL_TEXT_FIELDS.count(cells[-1].lower()):
            yield Problem(number, "seems to name columns, but none of the class: call that 'class'")
        else:
            yield Record(cells[0], f"{delimiter} ".join(cells[1:]), "", number)


def _alone(name: str, number: int, splitting: str) -> Record | Problem:
    """A class of a list, unless it looks like several cells."""
    if found := next((character for character in splitting if character in name), ""):
        what = f"is one cell, with {found!r} in it: if that splits cells, put column names"
        return Problem(number, f"{what} (class{found}description) or `sep={found}` into the first line".expandtabs(1))
    return Record(name, "", "", number)


def _plain(numbered: Iterable[Line | Problem], colons: bool, is_numbered: bool) -> Iterator[Record | Problem]:
    for entry in numbered:
        if isinstance(entry, Problem):
            yield entry
            continue
        number, line = entry
        line = line.strip()
        if not line:
            continue
        if colons:
            name, _, text = line.strip(' "').partition(":")
            yield Record(name.strip(), text, "", number)
        elif "\t" in (name := re.sub(r"^\s*\d+[\s,;:.)]+", "", line) if is_numbered else line):
            yield Problem(number, "holds a tab in a list of names: if that splits columns, call the file .tsv")
        else:
            yield Record(name, "", "", number)


def _checked(records: Iterator[Record | Problem]) -> Iterator[Record | Problem]:
    """Texts as they are keyed, and those no encoder should see as problems."""
    for record in records:
        if isinstance(record, Problem):
            yield record
            continue
        text, name = folded(record.text), folded(record.name)
        if wrong := (record.text and unfit(text)) or control(name) or control(record.part):
            yield Problem(record.line, wrong)
        elif not has_word(name):
            yield Problem(record.line, f"names no class{f': {name!r} holds no word' if name else ''}")
        else:
            yield record._replace(name=name, text=text)
