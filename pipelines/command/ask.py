"""`zsar sql` and `zsar query`: questions to the cache."""

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.base import command
from pipelines.command.screen import Advance, Bar, Shown, Table
from pipelines.look.settings import QueryConfig

if TYPE_CHECKING:
    import pyarrow as pa

    from stores.root import Root

_SEEN = ("total", "phrase", "score", "video_id", "start_s", "end_s", "label", "split", "text", "objects")
_ROWS, _CELL, _NUMBERS = 50, 400, 4

SaveOption = Annotated[
    str, typer.Option("--save-as", help="Save the videos of the answer as a data set, a version a change.")
]
PartsOption = Annotated[
    bool, typer.Option("--parts", help="With --save-as: each row's start_s to end_s is an item of its own.")
]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write the answer into this CSV file.")]
ParquetOption = Annotated[Path | None, typer.Option("--parquet", help="Write the answer into this Parquet file.")]


@command("sql")
def sql(
    root: "Root",
    *,
    query: Annotated[str, typer.Argument(help="One statement that reads; none: say which views there are.")] = "",
    csv: CsvOption = None,
    parquet: ParquetOption = None,
    save_as: SaveOption = "",
    parts: PartsOption = False,
    labels: Annotated[
        str, typer.Option("--labels", help="A table of labels of your own, as of `zsar index`: the view labels.")
    ] = "",
) -> Shown:
    """Ask the cache in SQL (DuckDB's); nothing is written, and no file or network is read but the cache.

    Views: videos, captions, classes, texts, phrases, features, segments, selections, runs, results, judged, failures;
    one a feature set, called by its extractor (i3d_k400) or in full ("i3d_k400@3f2a"), a row a segment, its outputs as
    arrays. `zsar sql` alone lists them with their columns. Only what a query names is read.

    zsar sql "select label, count(*) n from videos group by label order by n desc"

    zsar sql "select video_id, start_s, end_s from i3d_k400 order by features[3] desc limit 5" --csv out.csv

    zsar sql "select dataset, video_id, 'outdoors' as label from videos where label = 'Rowing'" --save-as outdoors

    zsar sql "select * from labels" --labels zsar-marked.csv --save-as doors

    JSON: columns (name, type), rows (objects); without a query views (view, about, columns); with --csv or --parquet
    written, the paths, and count in place of rows; with --save-as saved (dataset, videos, new).
    """
    from pipelines.look import views

    if not query:
        rows = [{"view": name, "about": about, "columns": columns} for name, about, columns in views.listed(root)]
        shown = [row | {"columns": ", ".join(row["columns"])} for row in rows]
        return Shown({"views": rows}, [Table("Views", shown, lines=True)])
    from pipelines.look.given_labels import given_labels

    table = views.ask(query, root, {"labels": given_labels(labels)} if labels else None)
    return _saved(answered(table, csv, parquet), table, save_as, query, root, parts)


def _saved(shown: Shown, table: "pa.Table", name: str, question: str, root: "Root", parts: bool) -> Shown:
    """The same answer, saved as a selection where that is asked for."""
    from pipelines.errors import UsageError
    from pipelines.look import selection

    if not name:
        if parts:
            raise UsageError("--parts is of --save-as NAME.")
        return shown
    saved = selection.save(table, name, question, root, parts)
    what = f"{saved.videos} videos are the data set {saved.dataset}" + ("." if saved.new else ", as they were.")
    return Shown(dict(shown.json) | {"saved": saved._asdict()}, [*shown.parts, what], shown.said)


@command("query", QueryConfig)
def query(
    settings: QueryConfig,
    root: "Root",
    *,
    spaces: Annotated[
        bool, typer.Option("--spaces", help="Say which spaces a phrase can be compared in, and why not in others.")
    ] = False,
    html: Annotated[bool, typer.Option("--html", help="Write a page below the root, and print its URL.")] = False,
    csv: CsvOption = None,
    parquet: ParquetOption = None,
    save_as: SaveOption = "",
    parts: PartsOption = False,
) -> Shown:
    """Find the segments of videos that a phrase tells, or that are like others.

    A phrase is compared where videos and texts share a space: captions that stand for videos, E2E's word space, the
    space of a head that `zsar fit` trained (--feature RUN), or names of recognised objects (--feature OBJECTS), which
    go through --encoder as the phrase does. Segments (--like) are compared in any feature set.

    zsar query "a person puts on make-up" --where "label <> 'ApplyEyeMakeup'" -k 5

    zsar query --like clip.mp4@2.1-4.3 --feature i3d_k400 --html

    zsar query "He takes a bow. He aims. He shoots." --each

    zsar query --like v_Archery_g01_c01 --set ucf101 --kind definition

    Scores are cosines: they rank segments of one space, and mean nothing beside those of another.

    --save-as saves the videos found as a data set, for any command's --dataset.

    JSON: hits (score, with --each total and phrase, dataset, video_id, label, split, segment, start_s, end_s, text,
    uri, key, of recognised objects `objects`), feature, output, space, said, seconds; with --html `page`, a URL; with
    --csv or --parquet written, the paths; with --save-as saved (dataset, videos, new); with --spaces spaces (name,
    output, texts, segments, why_not); with --set columns, rows (score, class, kind, part, text).
    """
    if spaces:
        return _spaces(settings, root)
    from pipelines.look.query import query, texts_like
    from pipelines.look.searchers import Searchers

    if settings.set:
        return answered(texts_like(settings, root), csv, parquet, f"texts of {settings.set} like {settings.like}")

    with contextlib.ExitStack() as stack:
        bars: list[Advance] = []

        def advance(done: int, total: int) -> None:  # a bar where there is something to add
            if not bars:
                bars.append(stack.enter_context(Bar("Indexing")))
            bars[0](done, total)

        hits = query(settings, root, Searchers(root, advance, device=settings.device))
    page = {}
    if html:
        from pipelines.look import query_page

        page["page"] = query_page.page(settings, hits, root)
    shown = answered(hits.table, csv, parquet, hits.space)
    rows = [{name: row.get(name) for name in _SEEN} for row in hits.table.to_pylist()]
    shown_parts = list(shown.parts)
    if not (csv or parquet) and rows:
        told = [name for name in _SEEN if any(row[name] is not None for row in rows)]
        shown_parts = [Table(hits.space, [{name: short(row[name]) for name in told} for row in rows])]
    fields = {"hits": shown.json.get("rows", [])} | {k: v for k, v in shown.json.items() if k == "written"}
    fields |= {name: value for name, value in dataclasses.asdict(hits).items() if name != "table"} | page
    fields["seconds"] = round(hits.seconds, 4)
    found = Shown(fields, [*shown_parts, *(f"Look at {url}" for url in page.values())], hits.said)
    asked = settings.phrase or f"like {settings.like}"
    where = f", where {settings.where}" if settings.where else ""
    return _saved(found, hits.table, save_as, f"{asked}{where} ({hits.space})", root, parts)


def _spaces(settings: QueryConfig, root: "Root") -> Shown:
    from pipelines.look.spaces import spaces

    found = spaces(root, settings.encoder, settings.weights)
    rows = [
        {
            "space": each.name,
            "compared": f"no: {each.why_not}" if each.why_not else each.shared,
        }
        for each in found
    ]
    return Shown(
        {"spaces": [dataclasses.asdict(each) for each in found]},
        [Table("Spaces", rows, lines=True) if rows else f"No features in {root.url}."],
    )


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
