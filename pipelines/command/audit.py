"""`zsar audit`: what is doubtful in a data set."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.ask import CsvOption, ParquetOption, answered, short
from pipelines.command.base import command
from pipelines.command.screen import Shown, Table
from pipelines.look.settings import AuditConfig

if TYPE_CHECKING:
    from stores.root import Root

_SHOWN = 5
_SEEN = ("video_id", "label", "split", "score", "other", "suggested", "why")


@command("audit", AuditConfig)
def audit(
    settings: AuditConfig,
    root: "Root",
    *,
    html: Annotated[bool, typer.Option("--html", help="Write a page with the clips, and print its URL.")] = False,
    csv: CsvOption = None,
    parquet: ParquetOption = None,
) -> Shown:
    """Look for near duplicates (across splits: leakage), label errors, outliers, and where two runs disagree.

    Videos are compared by their features. `label` are likely label errors; `ambiguous` looks more like another class
    than its own: errors among them, and what the features cannot tell apart. A doubt is a reason to look, not a
    verdict; nothing is changed.

    zsar audit ucf101 --feature i3d_k400 --html

    zsar audit ucf101 --run nearest-ucf101 --run ridge-ucf101 --csv doubts.csv

    JSON: dataset, feature, videos, labelled, without, counts (by kind), findings (kind, video_id, label, split, score,
    other, other_label, other_split, suggested, why, uri, start_s, end_s, ...), worst first within a kind; with --html
    page, a URL; with --csv or --parquet written, the paths, in place of findings.
    """
    from pipelines.look.audit.audit import audit
    from pipelines.look.audit.findings import KINDS

    found = audit(settings, root)
    shown = answered(found.table, csv, parquet)
    page = {}
    if html:
        from pipelines.look.audit.page import page as drawn

        page["page"] = drawn(found, root)
    told = {field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.name != "table"}
    kept = {"written": shown.json["written"]} if "written" in shown.json else {"findings": shown.json["rows"]}
    labelled = f"{found.labelled} with a label" + (f", {found.without} without features" if found.without else "")
    parts: list[str | Table] = [f"{found.dataset}: {found.videos} videos by {found.feature}, {labelled}."]
    for kind, about in KINDS.items():
        own = [row for row in found.table.to_pylist() if row["kind"] == kind]
        if own:
            seen = [name for name in _SEEN if any(row[name] is not None for row in own[:_SHOWN])]
            rows = [{name: short(row[name]) for name in seen} for row in own[:_SHOWN]]
            parts.append(Table(f"{kind}: {len(own)} {about}", rows))
    parts += [line for line in shown.parts if csv or parquet]
    parts += [f"Look at {url}" for url in page.values()]
    return Shown(told | kept | page, parts)
