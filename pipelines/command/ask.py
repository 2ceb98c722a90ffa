"""`zsar sql` and `zsar query`: questions to the cache."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.base import command
from pipelines.command.screen import Shown, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from stores.root import Root

_ROWS, _CELL, _NUMBERS = 50, 400, 4

CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write the answer into this CSV file.")]
ParquetOption = Annotated[Path | None, typer.Option("--parquet", help="Write the answer into this Parquet file.")]


@command("sql")
def sql(
    root: "Root",
    *,
    query: Annotated[str, typer.Argument(help="One statement that reads; none: say which views there are.")] = "",
    csv: CsvOption = None,
    parquet: ParquetOption = None,
) -> Shown:
    """Ask the cache in SQL (DuckDB's); nothing is written, and no file or network is read but the cache.

    Views: videos, captions, classes, texts, phrases, features, segments, runs, results, judged, failures; and one a
    feature set, called by its extractor (i3d_k400) or in full ("i3d_k400@3f2a"), a row a segment, its outputs as
    arrays. `zsar sql` alone lists them with their columns. Only what a query names is read.

    zsar sql "select label, count(*) n from videos group by label order by n desc"

    zsar sql "select video_id, start_s, end_s from i3d_k400 order by features[3] desc limit 5" --csv out.csv

    JSON: columns (name, type), rows (objects); without a query views (view, about, columns); with --csv or --parquet
    written, the paths, and count in place of rows.
    """
    from pipelines.look import views

    if not query:
        rows = [{"view": name, "about": about, "columns": columns} for name, about, columns in views.listed(root)]
        shown = [row | {"columns": ", ".join(row["columns"])} for row in rows]
        return Shown({"views": rows}, [Table("Views", shown, lines=True)])
    return answered(views.ask(query, root), csv, parquet)


def answered(table: "pa.Table", csv: Path | None = None, parquet: Path | None = None, title: str = "") -> Shown:
    """A table as the answer of a command: into files where any are asked for, else onto the screen."""
    from pipelines.look import answers

    columns = [{"name": field.name, "type": str(field.type)} for field in table.schema]
    files = {form: path for form, path in (("csv", csv), ("parquet", parquet)) if path}
    for form, path in files.items():
        answers.write(table, path, form)
    if files:
        written = {form: str(path) for form, path in files.items()}
        lines = [f"{table.num_rows} rows written to {path}." for path in written.values()]
        return Shown({"columns": columns, "count": table.num_rows, "written": written}, lines)
    rows = answers.plain(table)
    parts: list[str | Table] = [f"No rows ({', '.join(table.column_names)})."]
    if rows:
        parts = [Table(title, [{name: short(value) for name, value in row.items()} for row in rows[:_ROWS]])]
        if len(rows) > _ROWS:
            parts.append(f"{len(rows) - _ROWS} rows more: --json, --csv FILE and --parquet FILE have them.")
    return Shown({"columns": columns, "rows": rows}, parts)


def short(value: Any) -> Any:
    """A value as a cell shows it: arrays by their first numbers, long texts by their beginning."""
    if value is None:
        return ""
    if isinstance(value, list):
        first = ", ".join(f"{each:.3g}" if isinstance(each, float) else str(each) for each in value[:_NUMBERS])
        return f"[{first}]" if len(value) <= _NUMBERS else f"[{first}, ... {len(value)}]"
    if isinstance(value, str) and len(value) > _CELL:
        return value[:_CELL] + " ..."
    return value
