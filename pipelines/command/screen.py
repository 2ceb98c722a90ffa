"""What the command shows people: tables on stdout, bars and remarks on stderr.

Rich draws them; it is imported when something is drawn, so that a command for machines starts without it.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pipelines.extract.plan import Plan

_WIDTH_OF_A_FILE = 160


def say(text: str) -> None:
    """A line for a person: stderr, so that stdout stays for results."""
    print(text, file=sys.stderr)


def print_counts(title: str, fields: dict[str, Any]) -> None:
    """One line of numbers with their names."""
    print(f"{title}: " + ", ".join(f"{value} {name}" for name, value in fields.items()))


def print_table(title: str, rows: list[dict[str, Any]], lines: bool = False) -> None:
    """Rows with the same fields as a table; numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", show_lines=lines)
    for column in rows[0] if rows else ():
        numeric = all(isinstance(row[column], (int, float)) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # as Text: a name such as `Title [dQw4w9WgXcQ].mp4` is no markup
        table.add_row(*(Text(f"{v:.4f}" if isinstance(v, float) else str(v)) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE).print(table)


class Bar:
    """A progress bar on stderr where that is a terminal; entering it gives a function of (done, total)."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(title, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return lambda done, total: self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *error: object) -> None:
        self._progress.stop()


class ExtractBar:
    """How an extraction goes (`extract.Progress`): a bar on a terminal, one line a commit elsewhere."""

    def __init__(self) -> None:
        self._bar = Bar("Extracting")
        self._advance: Callable[[int, int], None] | None = None
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._advance:
            self._bar.__exit__(*error)

    def started(self, todo: "Plan") -> None:
        """Show the bar, now that there is work."""
        self._total = sum(f.planned for f in todo.features)
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
