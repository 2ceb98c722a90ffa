"""`zsar extract`: what is missing, computed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.base import command, without_zeros
from pipelines.command.screen import ExtractBar, Shown, Table
from pipelines.extract.settings import ExtractConfig

if TYPE_CHECKING:
    from pipelines.extract.extraction import ExtractReport
    from pipelines.extract.plan import Plan
    from stores.root import Root


@command("extract", ExtractConfig)
def extract(
    settings: ExtractConfig,
    root: "Root",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write a report as a page below the root.")] = False,
) -> Shown:
    """Compute the features a data set lacks, and commit them.

    Several features share one decode of each video. Kill it at any moment and run it again: it goes on.

    JSON: planned, extracted, skipped, failed (content keys), recipe, seconds; quarantined, and cut (texts longer than
    an encoder reads) when not 0; with several features `recipe` maps names to keys; with --html `report`, a URL.
    """
    from pipelines.extract import extraction
    from pipelines.extract.plan import plan
    from pipelines.look.extraction_page import write as write_report

    if dry_run:
        return _plan(plan(settings, root), settings.items)
    with ExtractBar() as progress:
        report = extraction.extract(settings, root, progress)
    page = {"report": write_report(report, settings, root)} if html else {}
    return Shown(
        _json(report) | page,
        [*_parts(report), *(f"Look at {url}" for url in page.values())],
        [*_warnings(report, root)],
    )


def _warnings(report: "ExtractReport", root: "Root") -> Iterator[str]:
    if any(f.failed or f.quarantined for f in report.features):
        yield f"Some items gave nothing: `zsar list failures --root {root.url}` says which and why."
    for feature in report.features:
        if feature.cut:
            yield (
                f"{feature.cut} texts are longer than {feature.name} reads, and their ends are cut off: `zsar texts "
                "lint` says of which classes; give the encoder more with `:max_length=256`."
            )


def _json(report: "ExtractReport") -> dict[str, Any]:
    counts = {
        c: sum(getattr(f, c) for f in report.features)
        for c in ("planned", "extracted", "skipped", "failed", "quarantined", "cut")
    }
    keys: Any = {f.name: f.recipe for f in report.features}
    if len(report.features) == 1:
        keys = report.features[0].recipe
    return without_zeros(counts, "quarantined", "cut") | {"recipe": keys, "seconds": round(report.seconds, 3)}


def _parts(report: "ExtractReport") -> list[str | Table]:
    rows = [
        {
            "feature": f.name,
            "planned": f.planned,
            "extracted": f.extracted,
            "in store": f.skipped,
            "failed": f.failed + f.quarantined,
        }
        for f in report.features
    ]
    table = Table(f"Extracted in {report.seconds:.1f} s, {report.decoded} items opened", rows)
    if any(f.planned for f in report.features):
        return [table]
    if not any(f.skipped or f.quarantined for f in report.features):
        return ["There is nothing to compute from: it holds no item that these read.", table]
    if any(f.quarantined for f in report.features):
        return ["Nothing to compute: what has no features failed before; --retry-failed tries it again.", table]
    return ["Nothing to compute: every item has these features already.", table]


def _plan(todo: "Plan", dataset: str) -> Shown:
    rows = [
        {"feature": f.name, "planned": f.planned, "skipped": f.skipped, "quarantined": f.quarantined}
        for f in todo.features
    ]
    return Shown({"contents": todo.contents, "features": rows}, [Table(f"{dataset}: {todo.contents} contents", rows)])
