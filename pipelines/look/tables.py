"""Answers as tables that a notebook shows, and that leave for pandas and polars."""

import importlib
import itertools
from typing import Any

import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.look.answers import plain

_SHOWN, _CELL, _WIDTH = 10, 40, 150


class Answer:
    """A table, with a line about it.

    Parameters
    ----------
    table : pa.Table
    about : what is to be said of it
    """

    def __init__(self, table: pa.Table, about: str = "") -> None:
        self._table, self.about = table, about

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        rows = plain(self._table.slice(0, _SHOWN))
        shown = [name for name in self._table.column_names if not rows or any(row[name] is not None for row in rows)]
        cells = [shown, *([_cell(row[name]) for name in shown] for row in rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(shown))]
        ends = list(itertools.accumulate(width + 2 for width in widths))
        names = shown[: max(1, sum(end <= _WIDTH for end in ends))]
        cells, widths = [row[: len(names)] for row in cells], widths[: len(names)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        more = [f"... {len(self)} rows in all"] if len(self) > _SHOWN else []
        if len(names) < len(shown):
            more.append(f"also: {', '.join(shown[len(names) :])}")
        return "\n".join([*([self.about] if self.about else []), *lines, *more])

    def to_arrow(self) -> pa.Table:
        """As Arrow has it."""
        return self._table

    def to_pylist(self) -> list[dict[str, Any]]:
        """Its rows as dictionaries."""
        return list(self._table.to_pylist())

    def to_pandas(self) -> Any:
        """A pandas DataFrame."""
        imported("pandas")
        return self._table.to_pandas()

    def to_polars(self) -> Any:
        """A polars DataFrame."""
        return imported("polars").from_arrow(self._table)


def imported(name: str) -> Any:
    """A library that is no part of the installation; UsageError with the line that installs it where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(f"{package} is not installed. Run `pip install {package}`.") from error


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(_cell(each) for each in value[:3])}{', ...' if len(value) > 3 else ''}]"
    text = str(value)
    return text if len(text) <= _CELL else text[: _CELL - 3] + "..."
