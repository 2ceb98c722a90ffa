"""Reproduce: a named grid of runs, fitted and judged where they are not yet, as one table.

Run    `zsar reproduce ucf101-captions --root R --out docs/results.md`
Takes  `tables/NAME.toml` (or a file of that form): settings that all rows share, and what each row has of its own
Gives  the table as Markdown: mean and deviation over splits, and against the reference row the paired difference, split
       by split, with its standard error; what is published beside it, with what it was measured on

A row that was fitted and judged before is found again by what it depends on, and costs nothing.
"""

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import EvaluateConfig, FitConfig
from pipelines.errors import UsageError
from pipelines.evaluate import evaluate
from pipelines.fit import fit
from pipelines.protocols import chosen, protocol
from stores.root import Root
from stores.runs import Runs

_FOLDER = Path(__file__).parent / "tables"
_ROW_FIELDS = ("name", "published", "note")
Told = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table: its name, the run it stands for, what is published for it."""

    name: str
    config: FitConfig
    published: str
    note: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A grid of runs.

    Attributes
    ----------
    name, title, about : of the table
    rows : in the order shown
    reference : name of the row that others are told from; empty: none
    setting : `zsl` or `gzsl`
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    reference: str
    setting: str


def tables(name: str) -> list[Table]:
    """The tables of a file: one that comes with the code, by its name, or a user's, by its path.

    Raises
    ------
    UsageError
        No such file; a table that does not say what its runs are.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _FOLDER.glob("*.toml")))
        raise UsageError(f"No table is called {name!r}; there are: {known}. A path to a TOML file is taken too.")
    try:
        document = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}.") from error
    found = []
    for table in document.get("table", []):
        shared = document.get("all", {}) | table.get("all", {})
        rows = tuple(_row(path, shared, row) for row in table.get("row", []))
        title, about = table.get("title", path.stem), table.get("about", "")
        found.append(Table(path.stem, title, about, rows, table.get("reference", ""), table.get("setting", "zsl")))
        _check(path, found[-1])
    if not found:
        raise UsageError(f"{path} has no tables. One begins with [[table]].")
    return found


def _check(path: Path, table: Table) -> None:
    """What a table says of itself must fit its rows."""
    where, names = f"{path}: table {table.title!r}", [row.name for row in table.rows]
    if not names:
        raise UsageError(f"{where} has no rows.")
    if not all(names):
        raise UsageError(f"{where} has a row without a name.")
    if table.reference and table.reference not in names:
        raise UsageError(f"{where} has no row {table.reference!r} to tell the others from; it has: {', '.join(names)}.")
    if table.setting not in ("zsl", "gzsl"):
        raise UsageError(f"{where} is of the setting {table.setting!r}; there are: zsl, gzsl.")
    if table.setting == "gzsl" and (lacking := [row.name for row in table.rows if not row.config.gzsl]):
        raise UsageError(f"{where} is of gzsl, which is not judged for {', '.join(lacking)}: set gzsl = true.")


def _row(path: Path, shared: Mapping[str, Any], row: Mapping[str, Any]) -> Row:
    fields = typing.get_type_hints(FitConfig)
    given = dict(shared) | {k: v for k, v in row.items() if k not in _ROW_FIELDS}
    given["options"] = [*shared.get("options", []), *row.get("options", [])]
    if strange := sorted(set(given) - set(fields)):
        raise UsageError(f"{path}: row {row.get('name', '?')!r} sets {', '.join(strange)}; known: {', '.join(fields)}.")
    typed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if lacking := sorted({"head", "dataset", "feature", "protocol"} - set(typed)):
        raise UsageError(f"{path}: row {row.get('name', '?')!r} does not say its {', '.join(lacking)}.")
    for field, value in typed.items():
        kind = typing.get_origin(fields[field]) or fields[field]
        if not isinstance(value, (int, float) if kind is float else kind):
            raise UsageError(f"{path}: row {row.get('name', '?')!r}: {field} should be {kind.__name__}, got {value!r}.")
    return Row(row.get("name", ""), FitConfig(**typed), row.get("published", ""), row.get("note", ""))


def reproduce(
    name: str, root: Root, only: str = "", told: Told = lambda line: None, set_by_hand: Mapping[str, Any] | None = None
) -> str:
    """Fit and judge what is missing of a table and write it as Markdown.

    Parameters
    ----------
    name : of a table, or a path
    root : Root
    only : tables whose title holds this text; nothing: all
    told : called with a line before each row
    set_by_hand : settings of every row in place of the table's: another data set, fewer splits

    Raises
    ------
    UsageError, StoreError, ExtractorError
        As `fit` and `evaluate`.
    """
    blocks = []
    for table in tables(name):
        if only.lower() not in table.title.lower():
            continue
        told(table.title)
        rows = []
        for row in table.rows:
            config = dataclasses.replace(row.config, **(set_by_hand or {}))
            report = fit(config, root)
            if not _is_judged(report.run, config, root):
                evaluate(EvaluateConfig(report.run), root)
            rows.append((row, report.run, config, _judged(report.run, config, root)))
            told(f"  {row.name}: {_spread([r[_measure(table)] for r in rows[-1][3][table.setting]])} ({report.run})")
        blocks.append(_markdown(table, rows))
    if not blocks:
        raise UsageError(f"{name} has no table whose title holds {only!r}.")
    return "\n\n".join(blocks) + "\n"


def _measure(table: Table) -> str:
    return "harmonic_mean" if table.setting == "gzsl" else "top1"


def _judged(run: str, config: FitConfig, root: Root) -> dict[str, list[dict[str, Any]]]:
    """Result rows by setting, those of the splits asked for, in their order."""
    results = Runs(root).read(run, "results")
    wanted = set(chosen(config.splits, protocol(config.protocol).count))
    found: dict[str, list[dict[str, Any]]] = {"zsl": [], "gzsl": []}
    for row in [] if results is None else results.to_pylist():
        if row["split"] in wanted:
            found[row["setting"]].append(row)
    return found


def _is_judged(run: str, config: FitConfig, root: Root) -> bool:
    count = len(chosen(config.splits, protocol(config.protocol).count))
    return len(_judged(run, config, root)["zsl"]) == count


def _markdown(table: Table, rows: list[tuple[Row, str, FitConfig, dict[str, list[dict[str, Any]]]]]) -> str:
    gzsl = table.setting == "gzsl"
    measures = ["seen_top1", "unseen_top1", "harmonic_mean"] if gzsl else ["top1", "top5", "mean_class_top1"]
    shown = {"seen_top1": "S", "unseen_top1": "U", "harmonic_mean": "H", "top1": "top-1", "top5": "top-5"}
    shown["mean_class_top1"] = "mean of classes"
    reference = next((found for row, _, _, found in rows if row.name == table.reference), None)
    head = ["", *(shown[m] for m in measures), "hubness"]
    head += [f"against {table.reference}"] if reference else []
    head += ["splits", "n (missing)", "published", "run"]
    lines = [f"### {table.title}", "", *([table.about.strip(), ""] if table.about else [])]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row, run, _, found in rows:
        own = found[table.setting]
        cells = [row.name + (f" ({row.note})" if row.note else "")]
        cells += [_spread([r[m] for r in own]) for m in measures]
        cells.append(f"{np.mean([r['hubness'] for r in own]):.2f}")
        if reference:
            told = _paired(own, reference[table.setting], _measure(table))
            cells.append("" if row.name == table.reference else told)
        cells += [str(len(own)), f"{sum(r['n'] for r in own)} ({sum(r['missing'] for r in own)})", row.published, run]
        lines.append("| " + " | ".join(cells) + " |")
    sources = sorted({_source(r) for _, _, _, found in rows for r in found[table.setting]})
    return "\n".join([*lines, "", *(f"{source}  " for source in sources)])


def _source(row: dict[str, Any]) -> str:
    met = f", {len(row['overlap'])} of the test classes among them" if row["overlap"] else ""
    return f"Features: {row['feature']}, snapshot {row['snapshot']}; trained before on: {row['pretraining']}{met}."


def _spread(values: list[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f}"


def _paired(own: list[dict[str, Any]], reference: list[dict[str, Any]], measure: str) -> str:
    """Mean difference over the splits both have, with its standard error."""
    theirs = {r["split"]: r[measure] for r in reference}
    differences = np.array([r[measure] - theirs[r["split"]] for r in own if r["split"] in theirs])
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else float("nan")
    return f"{100 * differences.mean():+.1f} ± {100 * error:.1f}"
