"""Rows of CSV and of its relatives, with what is wrong with each.

Takes  numbered lines (`lines.py`)
Gives  (line, {column: cell or cells}) where the first row names columns, else (line, [cell, ...]); or a `Problem`

A cell between quotes may go over several lines. A quote that is never closed costs its own row: what follows is read
again line by line. Column names that come again, where files were joined, are no row; a column name that stands twice
gives both cells. What splits cells is told by the file's own first line (`sep=;`, or names), else by its name.
"""

import csv
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from pipelines.lines import LONGEST_LINE, Line, Problem, gathered

Row = tuple[int, list[str]]
Fields = tuple[int, dict[str, str | list[str]]]
_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
_LONGEST_ROW = 1 << 17
_MOST_NAMES = 100_000  # of first cells that are remembered
_CALLED = {"\t": "a tab"}


def delimiter_of(first: str, otherwise: str, is_header: Callable[[list[str]], bool]) -> str:
    """What splits the cells of a file, told by its first line where that is certain."""
    if named := _SEPARATOR.match(first):
        return named[1]
    for delimiter in _DELIMITERS:
        cells = names_of(first.split(delimiter))
        if len(cells) > 1 and is_header(cells):
            return delimiter
    return otherwise


def names_of(cells: list[str]) -> list[str]:
    """Column names as they are compared: `Class Name` is `class_name`."""
    return [re.sub(r"[\s-]+", "_", cell.strip(' \t"').lower()) for cell in cells]


def records(
    numbered: Iterable[Line | Problem],
    delimiter: str,
    is_header: Callable[[list[str]], bool],
    is_full_header: Callable[[list[str]], bool],
) -> Iterator[Fields | Row | Problem]:
    """Rows by their column names, where the first row has some.

    Parameters
    ----------
    is_header : whether the cells of the first row are column names
    is_full_header : the same of a row further down, which needs more to be certain
    """
    header: list[str] = []
    is_first = True
    for entry in _rows(numbered, delimiter):
        if isinstance(entry, Problem):
            yield entry
            continue
        number, cells = entry
        names = names_of(cells)
        if (is_first and is_header(names)) or (header and names == header) or is_full_header(names):
            header = names
        elif not header:
            yield number, cells
        elif any(cells[len(header) :]):
            what = f"has {len(cells)} cells for the {len(header)} columns {', '.join(header)}"
            yield Problem(number, f"{what}: put a cell that holds {_CALLED.get(delimiter, delimiter)} between quotes")
        elif len(cells) == 1 < len(header) and (other := next((d for d in _DELIMITERS if d in cells[0]), "")):
            what = f"is one cell, with {_CALLED.get(other, other)} in it, for the {len(header)} columns"
            yield Problem(number, f"{what} {', '.join(header)}: give a file that splits cells otherwise by itself")
        else:
            yield number, _by_name(header, cells)
        is_first = False


def _by_name(header: list[str], cells: list[str]) -> dict[str, str | list[str]]:
    """The cells of a row under their names; of a column without a name, those that are more than its number."""
    named = enumerate(zip(header, cells, strict=False), start=1)
    return gathered(
        (name or f"column {place}", cell)
        for place, (name, cell) in named
        if name not in ("", "unnamed:_0") or (cell and not cell.isdigit())
    )


def _rows(numbered: Iterable[Line | Problem], delimiter: str) -> Iterator[Row | Problem]:
    """Rows of cells without blanks around them; blank ones are passed over."""
    csv.field_size_limit(LONGEST_LINE)
    ahead: deque[Line | Problem] = deque()
    source = iter(numbered)
    names: set[str] = set()
    width = 0
    for position in itertools.count():
        entry = ahead.popleft() if ahead else next(source, None)
        if entry is None:
            return
        if isinstance(entry, Problem):
            yield entry
            continue
        number, line = entry
        if position == 0 and _SEPARATOR.match(line):
            continue
        cells = _cells([line], delimiter)
        if cells is None:
            more = _until_closed(line, delimiter, ahead, source)
            together = [text for _, text in more]
            cells = _cells([line, *together], delimiter) if more else None
            if cells is None or _are_rows(together, delimiter, width, names | {line.split(delimiter)[0].strip(' "')}):
                yield Problem(number, "opens a quote that is not closed; close it, and read the file again")
                ahead.extendleft(reversed(more))
                continue
        if isinstance(cells, str):
            yield Problem(number, cells)
            continue
        cells = [cell.strip() for cell in cells]
        if any(cells):
            width = width or len(cells)
            if len(names) < _MOST_NAMES:
                names.add(cells[0])
            yield number, cells


def _cells(lines: list[str], delimiter: str) -> list[str] | str | None:
    """The cells of one row; None where a quote is open at its end, and in words what else is wrong."""
    if len(lines) == 1 and '"' not in lines[0]:
        return lines[0].split(delimiter)
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        return next(reader)
    except csv.Error as error:
        if "unexpected end" in str(error):
            return None
        if "expected after" in str(error):
            return 'has a quote inside its quotes: write it twice ("")'
        return f"is not CSV ({error})"


def _until_closed(
    line: str, delimiter: str, ahead: deque[Line | Problem], source: Iterator[Line | Problem]
) -> list[Line]:
    """The lines up to the one that closes a row's quote; none where none does, and these are in `ahead` again."""
    more: list[Line] = []
    size = len(line)
    while size < _LONGEST_ROW:
        entry = ahead.popleft() if ahead else next(source, None)
        if entry is None:
            break
        if isinstance(entry, Problem):
            ahead.appendleft(entry)
            break
        more.append(entry)
        size += len(entry[1]) + 1
        if '"' in entry[1]:
            cells = _cells([line, *(text for _, text in more)], delimiter)
            if isinstance(cells, list):
                return more
            if cells is not None:
                break
    ahead.extendleft(reversed(more))
    return []


def _are_rows(more: list[str], delimiter: str, width: int, names: set[str]) -> bool:
    """Whether lines between two quotes are rows of their own: a quote never closed has met another stray one."""
    rows = [text.split(delimiter) for text in more]
    wide = [len(row) == width > 1 for row in rows]
    known = any(fits and row[0].strip(' "') in names for fits, row in zip(wide, rows, strict=True))
    return known or (len(rows) > 2 and all(wide))
