"""`zsar evaluate`, `fuse`, `judge` and `reproduce`: what runs score."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.base import command
from pipelines.command.screen import Bar, Shown, Table, percent, say
from pipelines.judge.settings import EvaluateConfig, FuseConfig, JudgeConfig, NamedConfig
from untrusted.names import few

if TYPE_CHECKING:
    from pipelines.judge.measures import EvaluateReport
    from stores.root import Root

_SPREAD = ("mean", "std")


@command("evaluate", EvaluateConfig)
def evaluate(settings: EvaluateConfig, root: "Root") -> Shown:
    """Judge a run on the unseen classes of its splits: mean and deviation over the splits.

    JSON: run, top1_mean, top1_std and so on for top5 and mean_class_top1 (fractions) and hubness (a skewness, 0 where
    all classes are the answer as often), splits, n, missing; under GZSL also seen_top1, unseen_top1 and harmonic_mean;
    overlap and near, the test classes the features were trained on by name or by the distance of word vectors, and
    kept_nearest, by split the unseen classes that nothing was left to compose of with the seen class each keeps, when
    there are any.
    """
    from stores.runs import Runs

    Runs(root).find(settings.run)  # told before torch is imported
    from pipelines.judge import evaluate

    with Bar("Judging") as advance:
        report = evaluate.evaluate(settings, root, advance)
    return _evaluated(report, root)


@command("fuse", FuseConfig)
def fuse(settings: FuseConfig, root: "Root") -> Shown:
    """Judge several runs as one, by the mean of their standardised scores: streams, encoders, heads, seeds.

    A class's scores are put into units of their spread on videos of seen classes, run by run; all runs weigh the same,
    so nothing is chosen. They must judge the same classes of one data set. What comes of it is a run like others to
    `zsar list results`, `zsar show` and `zsar audit`, without weights of its own.

    JSON: as `evaluate`.
    """
    from stores.runs import Runs

    for name in settings.runs:  # told before torch is imported
        Runs(root).find(name)
    from pipelines.judge import fuse

    with Bar("Judging") as advance:
        return _evaluated(fuse.fuse(settings, root, advance), root)


def _evaluated(report: "EvaluateReport", root: "Root") -> Shown:
    numbers = _numbers({**report.zsl, **report.gzsl})
    totals = {"splits": report.splits, "n": report.n, "missing": report.missing}
    overlap = _overlap(report)
    title = f"{report.run}: {report.splits} splits, {report.n} videos judged, {report.missing} missing"
    return Shown(
        {"run": report.run} | numbers | totals | overlap | {"seconds": round(report.seconds, 3)},
        [
            Table(title, _measures(report.zsl, report.gzsl)),
            f"Look at it: `zsar show {report.run} --html --root {root.url}`",
        ],
        _met(report),
    )


@command("judge", JudgeConfig)
def judge(settings: JudgeConfig, root: "Root") -> Shown:
    """Judge a network that was trained on a protocol's splits: features of each split's weights, a head, its results.

    E2E is judged by the nearest class vector of the mean of 25 clips, ST-GCN by ridge regression; --head takes another.
    A network that was trained on all classes of a data set is judged on another: --dataset, --protocol.

    JSON: run, head, judged (the run of `fit` by split), top1_mean, top1_std and so on as `evaluate`, splits, n,
    missing, seconds; overlap, near and kept_nearest as `evaluate` when there are any.
    """
    from stores.runs import Runs

    Runs(root).find_any(settings.run)  # told before torch is imported
    from pipelines.judge import network

    with Bar("Judging") as advance:
        report = network.judge(settings, root, advance)
    fields = {"run": report.run, "head": report.head, "judged": {str(k): run for k, run in report.judged.items()}}
    totals = {"splits": report.splits, "n": report.n, "missing": report.missing}
    title = f"{report.run} by {report.head}: {report.splits} splits, {report.n} judged, {report.missing} missing"
    measured = {**report.zsl, **report.gzsl}
    return Shown(
        fields | _numbers(measured) | totals | _overlap(report) | {"seconds": round(report.seconds, 3)},
        [
            Table(title, _measures(report.zsl, report.gzsl)),
            *(f"Split {k}: `zsar show {run} --html --root {root.url}`" for k, run in report.judged.items()),
        ],
        _met(report),
    )


@command("named", NamedConfig)
def named(settings: NamedConfig, root: "Root") -> Shown:
    """How often a segment's winning phrase names what is done in it, where a table says what that is.

    For runs of `zsar fit jigsaw`, whose groups of phrases are aligned with segments. A practice world has such a table.

    JSON: run, split, without (videos that the table does not tell), and of the videos trained on and of those judged,
    seen and unseen: segments, among_all and among_own (shares named right, of all phrases and of those of the video's
    class), chance_all, chance_own.
    """
    from pipelines.judge.named import named

    report = named(settings, root)
    rows = [
        {"videos": side, "segments": str(own.segments)}
        | {"of all phrases": percent("top1", own.among_all), "by chance": percent("top1", own.chance_all)}
        | {"of its class's": percent("top1", own.among_own), "chance": percent("top1", own.chance_own)}
        for side, own in (("trained on", report.seen), ("judged", report.unseen))
    ]
    notes = [f"{report.without} videos are told of by no row of the table."] if report.without else []
    return Shown(dataclasses.asdict(report), [Table(f"{report.run}, split {report.split}: named right", rows)], notes)


@command("reproduce")
def reproduce(
    root: "Root",
    *,
    table: Annotated[str, typer.Argument(help="A table that comes with the code, or a TOML file of that form.")],
    only: Annotated[str, typer.Option(help="Only tables whose title holds this.")] = "",
    dataset: Annotated[str, typer.Option(help="Another data set than the table's.")] = "",
    feature: Annotated[str, typer.Option(help="Another feature than the table's.")] = "",
    protocol: Annotated[str, typer.Option(help="Another protocol than the table's.")] = "",
    encoder: Annotated[str, typer.Option(help="Another encoder of the texts than the table's.")] = "",
    objects: Annotated[str, typer.Option(help="Other recognised objects than the table's; none: without.")] = "",
    splits: Annotated[str, typer.Option(help="Other splits than the table's.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the Markdown into this file too.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a line a row, split and seed into this file.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Write a page with lines drawn, and print its URL.")] = False,
) -> Shown:
    """Fit and judge what is missing of a table of results, and print it beside what is published.

    JSON: table, markdown, and out, the file written; with --html `page`, a URL.
    """
    from pipelines.judge import reproduce, table_page, table_texts

    asked = {"dataset": dataset, "feature": feature, "protocol": protocol, "encoder": encoder, "splits": splits}
    by_hand = {name: value for name, value in asked.items() if value}
    if objects:
        by_hand["objects"] = "" if objects == "none" else objects
    grids = reproduce.reproduce(table, root, only, say, by_hand)
    markdown = table_texts.markdown(grids)
    if out:
        out.write_text(markdown)
    if csv:
        csv.write_text(table_texts.as_csv(grids))
    page = {"page": table_page.write(table, grids, root)} if html else {}
    shown = [markdown, *(f"Look at {url}" for url in page.values())]
    return Shown({"table": table, "markdown": markdown, "out": str(out) if out else None} | page, shown)


def _numbers(measured: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {f"{name}_{what}": n for name, pair in measured.items() for what, n in zip(_SPREAD, pair, strict=True)}


def _measures(zsl: dict[str, tuple[float, float]], gzsl: dict[str, tuple[float, float]]) -> list[dict[str, str]]:
    return [
        {"setting": setting, "measure": name} | {what: percent(name, n) for what, n in zip(_SPREAD, pair, strict=True)}
        for setting, values in (("zsl", zsl), ("gzsl", gzsl))
        for name, pair in values.items()
    ]


def _overlap(report: "EvaluateReport") -> dict[str, Any]:
    kept = {str(number): own for number, own in report.kept_nearest.items()}
    told = {k: list(v) for k, v in (("overlap", report.overlap), ("near", report.near)) if v}
    return told | ({"kept_nearest": kept} if kept else {})


def _met(report: "EvaluateReport") -> list[str]:
    """What is said of test classes that were trained on, and of those that nothing was left to compose of."""
    from pipelines.learn.composed import told_of

    kept = told_of(report.kept_nearest)
    return [
        f"{len(found)} test classes are among those the features were trained on, {how}: {few(found)}."
        for found, how in ((report.overlap, "by name"), (report.near, "by the distance of word vectors"))
        if found
    ] + ([f"{kept[0].upper()}{kept[1:]}."] if kept else [])
