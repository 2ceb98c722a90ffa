"""Label files as text, lines and records, however their separators, quotes, line ends and marks of order are.

    path ──label_files──▶ LabelFile ──lines──▶ (number, text)      a list, a line an entry
                                    ──records──▶ Record            a table with a line of column names

A table may be separated by comma, semicolon, tab or bar, with blanks behind them, quoted or not; columns are found by
name, in any order and case. Other columns are not read.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import fsspec

from pipelines.errors import LayoutError
from pipelines.index.files import is_local, local_path
from untrusted import places
from untrusted.limits import most_bytes
from untrusted.names import few

#: column name to how it is spelt elsewhere
Columns = Mapping[str, tuple[str, ...]]

_SUFFIXES = (".txt", ".csv", ".tsv", ".json")
_SEPARATORS = ",;\t|"
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # what spreadsheets write as "Unicode text"


class LabelFile(NamedTuple):
    """A label file, read."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """File name."""
        return self.path.rpartition("/")[2]


class Record(NamedTuple):
    """A line of a table: where it stands, and what it has in each column that was asked for."""

    where: str
    values: dict[str, str]


def label_files(paths: Iterable[str]) -> list[LabelFile]:
    """Read label files; a folder stands for the .txt, .csv, .tsv and .json files in it.

    Raises
    ------
    LayoutError
        No such file, or it is no text.
    """
    return [_text(path) for given in paths for path in _expand(given)]


def lines(label: LabelFile) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not empty."""
    for line, text in enumerate(label.text.splitlines(), 1):
        if text.strip():
            yield line, text.strip()


def columns_of(label: LabelFile, columns: Columns) -> dict[str, str]:
    """Which of these columns a table has: our name to the one in the file.

    Raises
    ------
    LayoutError
        Two columns that could both be the one.
    """
    return _Header(label, columns).found


def records(label: LabelFile, columns: Columns, needed: Iterable[str], form: str, other: str = "") -> Iterator[Record]:
    """The lines of a table.

    Parameters
    ----------
    columns : what is read of them
    needed : which of these must be there
    form, other : what the file should be, for messages: `Kinetics csv`, and what else it may be

    Raises
    ------
    LayoutError
        A column that is not there; a line that has more fields than there are columns; a quote that is never closed.
    """
    header = _Header(label, columns)
    if absent := [name for name in needed if name not in header.found]:
        raise LayoutError(
            f"The {form} {label.path!r} lacks the column {', '.join(absent)}; "
            f"it has: {few(header.names) or 'none'}. "
            f"Its first line must name the columns ({','.join(columns)}){other}."
        )
    rows = csv.reader(
        io.StringIO(header.body, newline=""), delimiter=header.separator, skipinitialspace=True, strict=True
    )
    at = {name: header.names.index(own) for name, own in header.found.items()}
    try:
        for row in rows:
            where = f"{label.name}:{rows.line_num + header.above}"
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            if any(fields[len(header.names) :]):
                raise LayoutError(
                    f"{where} has {len(fields)} fields and there are {len(header.names)} columns. "
                    "Put quotes around a field that holds the separator."
                )
            yield Record(where, {name: fields[i] for name, i in at.items() if i < len(fields)})
    except csv.Error as error:
        line = rows.line_num + header.above
        raise LayoutError(
            f"The {form} {label.path!r} breaks off at line {line}: {error}. Is a quote never closed?"
        ) from error


class _Header:
    """The line of column names: its separator, the names, and those of the wanted columns.

    `body` is the text below it, which begins `above` lines down.
    """

    def __init__(self, label: LabelFile, columns: Columns) -> None:
        top, self.body, self.above = "", label.text.lstrip("\ufeff"), 0
        while self.body and (not top or re.fullmatch(r"sep=.", top, re.I)):  # so a spreadsheet says its separator
            top, _, self.body = self.body.partition("\n")
            top, self.above = top.strip(), self.above + 1
        known = {spelling for name, others in columns.items() for spelling in (name, *others)}
        split = {separator: _fields(top, separator) for separator in _SEPARATORS}
        self.separator = max(split, key=lambda s: sum(_plain(name) in known for name in split[s]))
        self.names = split[self.separator]
        self.found = {name: own for name, others in columns.items() if (own := self._one(label, name, others))}

    def _one(self, label: LabelFile, name: str, others: tuple[str, ...]) -> str | None:
        for spellings in ((name,), others):
            there = [own for own in self.names if _plain(own) in spellings]
            if len(there) > 1:
                raise LayoutError(
                    f"{label.path!r}: the columns {', '.join(there)} could each be {name}. Call the right one {name!r}."
                )
            if there:
                return there[0]
        return None


def _fields(line: str, separator: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.casefold())


def _expand(given: str) -> list[str]:
    path = local_path(given) if is_local(given) else given.rstrip("/")
    try:
        fs, below = fsspec.core.url_to_fs(path)
        if (not is_local(given) and path.lower().endswith(_SUFFIXES)) or not fs.isdir(below):
            return [path]
        names = sorted(name.rstrip("/").rpartition("/")[2] for name in fs.ls(below, detail=False))
    except (ImportError, ValueError, OSError) as error:
        raise LayoutError(
            f"The labels {given!r} cannot be read: {error}. Check their place and permissions."
        ) from error
    found = [f"{path}/{name}" for name in names if name.lower().endswith(_SUFFIXES) and name[0] != "."]
    if not found:
        raise LayoutError(
            f"The label folder {given!r} holds no .txt, .csv or .json file. Give the label files themselves."
        )
    return found


def _text(path: str) -> LabelFile:
    try:
        with places.opened(path) if is_local(path) else fsspec.open(path, "rb") as file:
            content = file.read(most_bytes() // 8)  # the text, its copy, its rows
            if file.read(1):
                raise LayoutError(f"The label file {path!r} is larger than {len(content):,} bytes. Give less at once.")
    except FileNotFoundError:
        raise LayoutError(f"There is no label file {path!r}. Check the spelling of --labels.") from None
    except OSError as error:
        raise LayoutError(f"The label file {path!r} cannot be read: {error.strerror or error}.") from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8-sig")
    try:
        return LabelFile(path, content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n"))
    except UnicodeDecodeError as error:
        raise LayoutError(
            f"The label file {path!r} is not UTF-8 text (byte {error.start}). Give the published file, unpacked, or "
            f"convert it: `iconv -t UTF-8`."
        ) from error
