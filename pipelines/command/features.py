"""`zsar verify`, `compare`, `export`, `drop`: feature sets that are there."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.base import command
from pipelines.command.screen import Bar, Shown, Table, counts
from pipelines.extract.settings import VerifyConfig
from pipelines.look.settings import CompareConfig, ExportConfig
from untrusted.names import few

if TYPE_CHECKING:
    from stores.root import Root


@command("verify", VerifyConfig)
def verify(settings: VerifyConfig, root: "Root") -> Shown:
    """Check that the stored rows are what was written. Exit status 1 if some are not.

    JSON: features, items, rows, damaged, recomputed, differing, repaired; details: lists of the damaged and differing.
    """
    from pipelines.extract import verify

    with Bar("Verifying") as advance:
        reports = verify.verify(settings, root, advance)
    fields = {
        "features": len(reports),
        "items": sum(r.items for r in reports),
        "rows": sum(r.rows for r in reports),
        "damaged": sum(len(r.damaged) for r in reports),
        "recomputed": sum(r.recomputed for r in reports),
        "differing": sum(len(r.differing) for r in reports),
        "repaired": sum(r.repaired for r in reports),
    }
    bad = [{"feature": r.name, "key": k[:12], "video": v, "what": w} for r in reports for k, v, w in r.damaged]
    bad += [
        {
            "feature": r.name,
            "key": d.key[:12],
            "video": d.video_id,
            "what": d.reason or f"recomputed differs, cosine {d.cosine:.6f}",
        }
        for r in reports
        for d in r.differing
    ]
    bad += [{"feature": r.name, "key": "", "video": "", "what": r.note} for r in reports if r.note]
    broken = fields["damaged"] > fields["repaired"] or fields["differing"] or any(r.note for r in reports)
    parts: list[str | Table] = [counts("Verified", fields), *([Table("Not as written", bad)] if bad else [])]
    return Shown(fields | {"details": bad}, parts, status=int(bool(broken)))


@command("compare", CompareConfig)
def compare(settings: CompareConfig, root: "Root") -> Shown:
    """Say how close two sets of features are, video by video, and what the likeliest cause of a difference is.

    JSON: the summary's fields, and `worst`, a list.
    """
    from pipelines.index.spellings import AS_IT_STANDS, counted, first
    from pipelines.look import compare

    report = compare.compare(settings, root)
    said = []
    if set(report.matched) - {AS_IT_STANDS}:
        said.append(f"Ids of {report.b} matched: {counted(report.matched)}.")
    if report.only_b:
        said.append(f"Only in B: {first(report.only_b)}; only in A: {first(report.only_a)}.")
    fields = dataclasses.asdict(report)
    spreads = {"cosine": report.cosine, "mean-centred cosine": report.centred, "row by row": report.row_cosine}
    ratio = f"; norm of A / norm of B {report.ratio:.4f}" if report.ratio else ""
    parts: list[str | Table] = [
        f"{report.a} against {report.b}: {report.cause}.",
        counts("Videos", {"in both": report.n, "only in A": len(report.only_a), "only in B": len(report.only_b)}),
        Table(
            f"Over {report.n} videos{ratio}",
            [{"": name, **dataclasses.asdict(spread)} for name, spread in spreads.items() if spread],
        ),
    ]
    if report.worst:
        names = ("video_id", "cosine", "centred", "norm_a", "norm_b", "rows_a", "rows_b", "cause")
        parts.append(Table("Least alike", [{name: pair[name] for name in names} for pair in fields["worst"]]))
    return Shown(fields, parts, said)


@command("export", ExportConfig)
def export(settings: ExportConfig, root: "Root") -> Shown:
    """Write features to a file in the order of the manifest, with label, split, uri and times; or the texts of a set.

    zsar export i3d_k400 --dataset mine --format parquet --out f.parquet        Hugging Face's datasets, pandas, DuckDB

    zsar export minilm --set ucf101 --kind definition --format parquet --out texts.parquet

    JSON: items, rows, missing, path, format.
    """
    from pipelines.look import export

    with Bar("Exporting") as advance:
        report = export.export(settings, root, advance)
    fields = dataclasses.asdict(report)
    what = "classes" if settings.set else "items"
    line = f"{report.items} {what}, {report.rows} rows written to {report.path}."
    lacking = [f"{len(report.missing)} without features are left out."] if report.missing else []
    return Shown(fields, [line, *lacking])


@command("drop")
def drop(
    root: "Root",
    *,
    features: Annotated[list[str] | None, typer.Argument(help="Feature sets to remove.")] = None,
    selection: Annotated[list[str] | None, typer.Option(help="Selection to remove, with all its versions.")] = None,
    gc: Annotated[bool, typer.Option("--gc", help="Free what only old snapshots of the other sets hold.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> Shown:
    """Remove feature sets and selections, and free dead space. What a selection's videos have is not touched.

    JSON: dropped (names), freed_bytes.
    """
    from pipelines.errors import UsageError
    from stores.features import FeatureStore
    from stores.selections import Selections
    from stores.vector_index import forget

    if not features and not gc and not selection:
        raise UsageError("Name the feature sets to drop, or give --gc to free what only old snapshots hold.")
    store = FeatureStore(root)
    names = list(dict.fromkeys(store.resolve(feature) for feature in features or ()))
    chosen = list(dict.fromkeys(selection or ()))
    if names + chosen and not yes and not _agreed(f"Remove {', '.join(names + chosen)} and all they hold?"):
        raise UsageError("Nothing was removed. Where nobody can be asked, give --yes.")
    for name in chosen:
        Selections(root).remove(name)
    for name in names:
        store.drop(name)
        forget(root, name)
    sets = [found for name in store.names() if (found := store.get(name))] if gc else []
    freed = sum(feature_set.collect() for feature_set in sets)
    names += chosen
    line = f"Dropped {few(names) or 'nothing'}" + (f"; freed {freed / 1e6:.1f} MB." if gc else ".")
    return Shown({"dropped": names, "freed_bytes": freed}, [line])


def _agreed(question: str) -> bool:
    """Ask once; no answer at all (no terminal, end of input) is a no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False
