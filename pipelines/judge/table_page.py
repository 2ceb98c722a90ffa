"""Tables of judged runs as a page: what rows differ by drawn as lines, and every row with its numbers.

Run    `zsar reproduce NAME --html`
Takes  the tables of a file, judged
Gives  `reports/table-NAME.html` below the root, and its URL
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.judge.paired import paired
from pipelines.judge.reproduce import Grid
from pipelines.judge.table_texts import MEASURES, sources
from pipelines.pages.page import render
from pipelines.pages.trends import Point, trends
from stores.root import Root

_AXES = {
    "classes": "classes that are learned from",
    "share": "share of the seen videos that are learned from",
    "clusters": "clusters of classes, one of which is learned from",
}


def write(name: str, grids: Sequence[Grid], root: Root) -> str:
    """Write the page; returns its URL. Raises WriteFailed where it cannot."""
    stem = Path(name).stem
    html = render("table", name=stem, tables=[_shown(grid) for grid in grids])
    return root.write_text(html, "reports", f"table-{stem}.html")


def _shown(grid: Grid) -> dict[str, object]:
    table = grid.table
    reference = next((each.found[table.settings[0]] for each in grid.rows if each.row.name == table.reference), None)
    columns = [(setting, *pair) for setting in table.settings for pair in MEASURES[setting].items()]
    rows = []
    for each in grid.rows:
        own = each.found[table.settings[0]]
        once = [r for r in own if r["seed"] == own[0]["seed"]]
        rows.append(
            {
                "row": each.row,
                "cells": [_pair([r[name] for r in each.found[setting]]) for setting, name, _ in columns],
                "against": paired(own, reference, table.measure) if reference and own is not reference else "",
                "tried": f"{each.seeds} x {len(own) // each.seeds}",
                "n": sum(r["n"] for r in once),
                "missing": sum(r["missing"] for r in once),
                "departs": each.departs,
            }
        )
    return {
        "table": table,
        "heads": [title for _, _, title in columns],
        "rows": rows,
        "reference": table.reference if reference else "",
        "drawing": _drawing(grid),
        "sources": sources(grid),
    }


def _drawing(grid: Grid) -> str:
    """Lines over what rows differ by; rows that are no point of a line are level lines."""
    if not grid.table.x:
        return ""
    lines: dict[str, list[Point]] = {}
    level: dict[str, float] = {}
    for each in grid.rows:
        values = [r[grid.table.measure] for r in each.found[grid.table.settings[0]]]
        if each.row.at is None:
            level[each.row.name] = float(np.mean(values))
        else:
            error = float(np.std(values) / np.sqrt(len(values)))
            lines.setdefault(each.row.line, []).append(Point(each.row.at, float(np.mean(values)), error))
    return str(trends(lines, level, _AXES[grid.table.x])) if lines else ""


def _pair(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))
