"""What the command shows people: tables on stdout, bars and remarks on stderr.

Rich draws them; it is imported when something is drawn, so that a command for machines starts without it. Names come
from files of others, so whatever is shown goes through `untrusted.names` here.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, Protocol, Self

from untrusted.names import shown as shown_names

_WIDTH_OF_A_FILE = 160


class Table(NamedTuple):
    """Rows with the same fields, to be shown as a table."""

    title: str
    rows: list[dict[str, Any]]
    lines: bool = False


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a command has to show: told once, printed for people or for machines.

    Attributes
    ----------
    json : the object that `--json` prints; its keys are documented in the command's help
    parts : lines and tables for people, in their order
    said : lines beside the result, on stderr
    status : the exit status
    """

    json: Mapping[str, Any]
    parts: Sequence[str | Table] = ()
    said: Sequence[str] = ()
    status: int = 0


def show(shown: Shown, as_json: bool) -> None:
    """Print a command's outcome: one JSON object, or tables and lines."""
    if as_json:
        print(json.dumps(shown.json))
        return
    for part in shown.parts:
        if isinstance(part, Table):
            print_table(*part)
        else:
            print(shown_names(part))
    for line in shown.said:
        say(line)


def counts(title: str, fields: Mapping[str, Any]) -> str:
    """One line of numbers with their names."""
    return f"{title}: " + ", ".join(f"{plain(value) or 'no'} {name}" for name, value in fields.items())


def plain(value: Any) -> str:
    """A value as people write it: no brackets, quotes or `None` of Python's; a float with four digits."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(own)}".rstrip() for name, own in value.items())
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes):
        return "; ".join(map(plain, value))  # names hold commas
    return str(value)


def percent(measure: str, value: float) -> str:
    """A measure as it is printed: in percent, but for hubness, which is a skewness."""
    return f"{value:.3f}" if measure == "hubness" else f"{100 * value:.2f} %"


def say(text: str) -> None:
    """A line for a person: stderr, so that stdout stays for results."""
    print(shown_names(text), file=sys.stderr)


def print_table(title: str, rows: list[dict[str, Any]], lines: bool = False) -> None:
    """Rows with the same fields as a table; numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(shown_names(title)), title_justify="left", show_lines=lines)
    for column in rows[0] if rows else ():
        numeric = all(isinstance(row[column], (int, float)) for row in rows)
        table.add_column(Text(shown_names(column)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # as Text: a name such as `Title [dQw4w9WgXcQ].mp4` is no markup
        table.add_row(*(Text(shown_names(plain(value))) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE).print(table)


class Advance(Protocol):
    """What moves a bar."""

    def __call__(self, done: int, total: int, said: str = "") -> None:
        """So much is done of what there is in all, and this is to be said of it."""


class Bar:
    """A progress bar on stderr where that is a terminal; entering it gives what moves it.

    What is not `counted` has no end that is known: the bar beats, and says how long it has.
    """

    def __init__(self, title: str, counted: bool = True) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        from pipelines.machine import processes

        console = Console(stderr=True)
        of_both = TextColumn("{task.description}"), BarColumn()
        ahead = (MofNCompleteColumn(), TimeRemainingColumn()) if counted else (TimeElapsedColumn(),)
        columns = (*of_both, *ahead, TextColumn("{task.fields[said]}"))
        unseen = not console.is_terminal or processes().rank > 0
        self._progress = Progress(*columns, console=console, disable=unseen)
        self._task = self._progress.add_task(escape(title), total=None, said="")

    def __enter__(self) -> "Advance":
        self._progress.start()
        return self._advance

    def _advance(self, done: int, total: int, said: str = "") -> None:
        from rich.markup import escape

        self._progress.update(self._task, completed=done, total=total, said=escape(shown_names(said)))

    def __exit__(self, *error: object) -> None:
        self._progress.stop()


class ExtractBar:
    """How an extraction goes (`RunProgress`): a bar on a terminal, one line a commit elsewhere."""

    def __init__(self) -> None:
        self._bar = Bar("Extracting")
        self._advance: Advance | None = None
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._advance:
            self._bar.__exit__(*error)

    def started(self, pairs: int) -> None:
        """Show the bar, now that there is work."""
        self._total = pairs
        self._advance = self._bar.__enter__()

    def advanced(self, done: int, failed: int) -> None:
        """Move the bar."""
        if self._advance:
            self._advance(done, self._total)

    def committed(self, feature: str, items: int) -> None:
        """One line a commit where no bar is seen."""
        if not sys.stderr.isatty():
            say(f"{feature}: {items} more committed")

    def waiting(self, feature: str) -> None:
        """Say why nothing happens."""
        say(f"Another run works on {feature}; waiting for it, then computing what it leaves.")
