"""Whole JSON documents, entry by entry, each with the line it begins in.

Takes  numbered lines (`lines.py`) of a document, or of several behind each other, spread over lines as they like
Gives  (line, value) of each element of a list, `Members` of an object, or a `Problem`

Memory holds the document: published lists are small. What stands before a break is given, what stands behind it is
lost, and the problem says so; a comma behind the last entry is passed over.
"""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pipelines.lines import DECODER, Line, Problem, Value, after_blank, no_json
from untrusted.limits import Room, Unsafe

_CHARACTER_BYTES = 8  # of text, of the copy it is read from, and of what is made of it


class Members(NamedTuple):
    """An object at the top of a document: its members in their order, each with its line; a name may come twice."""

    line: int
    items: list[tuple[int, str, Any]]


def is_spread(sample: list[str]) -> bool:
    """Whether JSON is spread over lines, as for reading, whatever the file is called."""
    return len(sample) > 1 and sample[0].strip() in ("{", "[", "[{") and sample[1][:1] in (" ", "\t", '"', "{")


def json_document(numbered: Iterable[Line | Problem]) -> Iterator[Value | Members | Problem]:
    """The entries of a document, or of several behind each other."""
    lines_of, room = io.StringIO(), Room()
    for entry in numbered:
        if isinstance(entry, Problem):
            yield entry
            lines_of.write("\n")
            continue
        try:
            room.take(_CHARACTER_BYTES * len(entry[1]), "a whole document of JSON")
        except Unsafe as error:
            yield Problem(entry[0], f"the document {error}; nothing of it is read")
            return
        lines_of.write(entry[1] + "\n")
    scan = _Scan(lines_of.getvalue())
    try:
        while scan.next():
            if scan.next() == "[":
                yield from scan.elements()
            elif scan.next() == "{":
                yield from _members(scan)
            else:
                yield scan.line(), scan.value()
            scan.passes(",")
    except (ValueError, RecursionError) as error:
        scan.at = max(scan.at, getattr(error, "pos", 0))
        rest = "; nothing behind it is read" if scan.next() else ""
        scan.at = min(scan.at, len(scan.text.rstrip()))  # in the line that it ends in
        yield Problem(scan.line(), no_json(scan.text, error) + rest)


def _members(scan: "_Scan") -> Iterator[Members]:
    """The object that begins here; of a broken one the members before the break, then its error."""
    found: list[tuple[int, str, Any]] = []
    line = scan.line()
    broken: Exception | None = None
    try:
        for member in scan.members():
            found.append(member)
    except (ValueError, RecursionError) as error:
        broken = error
    if found or not broken:
        yield Members(line, found)
    if broken:
        raise broken


class _Scan:
    """A place in a text of JSON, moved on entry by entry."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._counted = (0, 1)

    def line(self) -> int:
        at, line = self._counted
        line += self.text.count("\n", at, self.at)
        self._counted = (self.at, line)
        return line

    def next(self) -> str:
        """The next character that is not blank; nothing at the end."""
        self.at = after_blank(self.text, self.at)
        return self.text[self.at : self.at + 1]

    def passes(self, character: str) -> bool:
        """Go behind this character, where it is the next."""
        found = self.next() == character
        self.at += found
        return found

    def value(self) -> Any:
        self.next()
        value, self.at = DECODER.raw_decode(self.text, self.at)
        return value

    def elements(self) -> Iterator[Value]:
        """Those of a list; a comma behind the last is passed over."""
        self.passes("[")
        while not self.passes("]"):
            self.next()
            yield self.line(), self.value()
            self._separated("]")

    def members(self) -> Iterator[tuple[int, str, Any]]:
        """Those of an object, in the same way."""
        self.passes("{")
        while not self.passes("}"):
            if self.next() != '"':
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", self.text, self.at)
            line, name = self.line(), self.value()
            if not self.passes(":"):
                raise json.JSONDecodeError("Expecting ':' delimiter", self.text, self.at)
            yield line, name, self.value()
            self._separated("}")

    def _separated(self, end: str) -> None:
        if not self.passes(",") and self.next() != end:
            raise json.JSONDecodeError("Expecting ',' delimiter", self.text, self.at)
