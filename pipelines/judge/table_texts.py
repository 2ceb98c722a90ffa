"""Tables of judged runs as texts: Markdown for people, CSV for who draws them again.

Grid ─▶ markdown    a row a row of the table: mean and deviation over splits and seeds, and against its reference
     ─▶ csv         a line a row, setting, split and seed: the numbers as they were judged, fractions
"""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.judge.paired import paired
from pipelines.judge.reproduce import Grid, Judged, spread
from pipelines.texts import cut

MEASURES = {
    "zsl": {"top1": "top-1", "top5": "top-5", "mean_class_top1": "mean of classes"},
    "gzsl": {"seen_top1": "S", "unseen_top1": "U", "harmonic_mean": "H"},
}
_COLUMNS = ("table", "row", "line", "x", "at", "setting", "split", "seed", "seen", "unseen", "n", "missing")
_NUMBERS = ("top1", "top5", "mean_class_top1", "hubness", "seen_top1", "unseen_top1", "harmonic_mean")
_TOLD = ("head", "feature", "snapshot", "pretraining", "kinds")


def markdown(grids: Sequence[Grid]) -> str:
    """All tables, one below the other."""
    return "\n\n".join(map(_markdown, grids)) + "\n"


def as_csv(grids: Sequence[Grid]) -> str:
    """All result rows, with a head; what is not there is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, *_NUMBERS, *_TOLD, "published", "departures"])
    for grid in grids:
        for judged in grid.rows:
            own = (grid.table.title, judged.row.name, judged.row.line, grid.table.x, judged.row.at)
            said = (judged.row.published, judged.departs)
            for setting in grid.table.settings:
                for row in judged.found[setting]:
                    more = (setting, row["split"], row["seed"], *row["sides"], row["n"], row["missing"])
                    writer.writerow([*own, *more, *(row.get(name) for name in (*_NUMBERS, *_TOLD)), *said])
    return out.getvalue()


def _markdown(grid: Grid) -> str:
    table, rows, settings = grid.table, grid.rows, grid.table.settings
    shown = [(setting, name, title) for setting in settings for name, title in MEASURES[setting].items()]
    reference = next((each.found[settings[0]] for each in rows if each.row.name == table.reference), None)
    head = ["", *(title for _, _, title in shown), "hubness"]
    head += [f"against {table.reference}"] if reference else []
    head += ["seeds x splits" if any(each.seeds > 1 for each in rows) else "splits"]
    departs, shared = any(each.departures for each in rows), shared_departures(grid)
    column = "departs from its paper by" if not shared else "and by"
    head += ["n (missing)", "published", *([column] if departs else []), "run"]
    lines = [f"### {table.title}", "", *([table.about.strip(), ""] if table.about else [])]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for each in rows:
        row, own = each.row, each.found[settings[0]]
        cells = [row.name + (f" ({row.note})" if row.note else "")]
        cells += [spread([r[name] for r in each.found[setting]]) for setting, name, _ in shown]
        cells.append(f"{np.mean([r['hubness'] for r in own]):.2f}")
        if reference:
            cells.append("" if row.name == table.reference else paired(own, reference, table.measure))
        cells += [str(len(own)) if each.seeds == 1 else f"{each.seeds} x {len(own) // each.seeds}"]
        once = [r for r in own if r["seed"] == own[0]["seed"]]  # every seed judges the same videos
        cells += [f"{sum(r['n'] for r in once)} ({sum(r['missing'] for r in once)})", row.published]
        cells += [_others(each, shared)] if departs else []
        cells.append(each.runs[0] + (f" and {len(each.runs) - 1} more" if len(each.runs) > 1 else ""))
        lines.append("| " + " | ".join(cells) + " |")
    told = [f"Every row departs from its paper by: {'; '.join(shared)}."] if shared else []
    return "\n".join([*lines, "", *(f"{line}  " for line in (*told, *sources(grid)))])


def shared_departures(grid: Grid) -> tuple[str, ...]:
    """In what all rows of a table depart that have a paper, where there are several: it is said once."""
    own = [each.departures for each in grid.rows if each.departures is not None]
    return tuple(line for line in own[0] if all(line in other for other in own)) if len(own) > 1 else ()


def _others(judged: Judged, shared: Sequence[str]) -> str:
    """In what a row departs beside what all do."""
    if not shared or not judged.departures:
        return judged.departs
    return "; ".join(line for line in judged.departures if line not in shared)


def sources(grid: Grid) -> list[str]:
    """What the features of a table's rows were trained on before, and texts that were not read to their end."""
    found, long = dict[str, None](), dict[str, dict[str, tuple[int, int]]]()
    for each in (each for each in grid.rows if not each.row.fuse):  # what those are of stands in the table
        for row in (row for setting in grid.table.settings for row in each.found[setting]):
            found[_source(row)] = None
            long.setdefault(row["texts"].partition("@")[0], {}).update(row["cut"])
    cuts = (f"Texts {said}." for encoder, cut_off in sorted(long.items()) if (said := cut.said(cut_off, encoder)))
    return [*sorted(found), *cuts]


def _source(row: dict[str, Any]) -> str:
    met = f", {len(row['overlap'])} of the test classes among them" if row["overlap"] else ""
    before = row["pretraining"] or "nothing"
    objects = f"; objects: {row['objects']}, snapshot {row['objects_snapshot']}" if row.get("objects") else ""
    return f"Features: {row['feature']}, snapshot {row['snapshot']}{objects}; trained before on: {before}{met}."
