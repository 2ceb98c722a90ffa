"""The command `zsar`: options in, the stages' functions called, a table or one JSON line out.

Every command takes `--root DIR` (default `$ZSAR_ROOT`, else `./zsar-data`) and `--json`: then the last line of stdout
is one JSON object. A user's mistake ends in one line on stderr (with `--json` also `{"error": ...}`) and exit status 1,
an option that does not exist in exit status 2; Ctrl-C commits what was handed over and exits with 130.
"""

import dataclasses
import functools
import json
import os
import signal
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from pipelines.command.screen import Bar, ExtractBar, print_counts, print_table, say

if TYPE_CHECKING:
    from pipelines.extract.extraction import ExtractReport
    from pipelines.extract.plan import Plan
    from stores.root import Root

P = ParamSpec("P")
Settings = TypeVar("Settings")

app = typer.Typer(
    name="zsar",
    help="Compute features of videos once, keep them, find them again by their key.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="A first look: `zsar demo`. A data set: `zsar index`, `zsar extract`, `zsar list features`.",
)


def _from_toml(context: typer.Context, path: Path | None) -> Path | None:
    """`--config F.toml`: what it says stands where no option was given."""
    if path is None:
        return None
    try:
        settings = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read as TOML: {error}") from error
    known = {parameter.name for parameter in context.command.params}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise typer.BadParameter(f"{path} sets {', '.join(unknown)}; known: {', '.join(sorted(filter(None, known)))}")
    context.default_map = {**(context.default_map or {}), **settings}
    return path


RootOption = Annotated[
    str, typer.Option("--root", envvar="ZSAR_ROOT", help="The cache: a folder, or s3://, gs://, az:// URL.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", callback=_from_toml, is_eager=True, help="TOML file of options; those given by hand win."),
]
DatasetOption = Annotated[str, typer.Option("--dataset", help="Name of the data set.")]
ROOT = "./zsar-data"
_SHOWN = 20


def main() -> None:
    """Entry point: a termination is treated like Ctrl-C, so that what was computed is committed."""
    signal.signal(signal.SIGTERM, _terminated)
    app()


def _terminated(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _user_errors() -> tuple[type[Exception], ...]:
    from extractors.errors import ExtractorError, InputFault
    from pipelines.errors import UsageError
    from stores.errors import StoreError

    return UsageError, StoreError, ExtractorError, InputFault


def _command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into one line and an exit status."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except KeyboardInterrupt:
            _fail("Stopped. What was handed over is committed; run the same command again to go on.", kwargs)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except _user_errors() as error:
            _fail(f"zsar: {error}", kwargs, str(error))
            raise typer.Exit(1) from error

    return run


def _fail(line: str, options: Mapping[str, object], error: str | None = None) -> None:
    """One line on stderr, and with `--json` an object on stdout."""
    say(line)
    if options.get("as_json"):
        print(json.dumps({"error": error or line}))


def _open_root(url: str) -> "Root":
    from stores.root import Root

    return Root(url)


def _settings(kind: type[Settings], options: Mapping[str, Any]) -> Settings:
    """A command's options as its stage's settings: they have the same names."""
    types = typing.get_type_hints(kind)
    several = {name for name, hint in types.items() if typing.get_origin(hint) is tuple}
    return kind(**{name: tuple(options[name] or ()) if name in several else options[name] for name in types})


def _without_zeros(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Leave out the counts that are nought: `missing`, `quarantined` and their like appear only when there are any."""
    return {name: value for name, value in fields.items() if name not in names or value}


# -- index ------------------------------------------------------------------------------------------------------------


@app.command("index")
@_command
def index_command(
    paths: Annotated[
        list[str], typer.Argument(help="Folders, files or URLs of videos, or a file of features; see --kind.")
    ],
    dataset: DatasetOption,
    layout: Annotated[str, typer.Option(help="Published layout; `auto` looks and says which.")] = "auto",
    labels: Annotated[
        list[str] | None, typer.Option(help="Label file of the data set (csv, json, split lists).")
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget videos whose files are gone.")] = False,
    kind: Annotated[str, typer.Option(help="videos, captions that stand for them, or poses.")] = "videos",
    axes: Annotated[str, typer.Option(help="Of arrays of poses, the order of their axes, such as ctvm.")] = "",
    declare: Annotated[str, typer.Option(help="Of poses, a TOML file of a layout of joints of your own.")] = "",
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Find the videos of a data set and give each content its key.

    Layouts: folder, class-video, ucf101, hmdb51, kinetics, activitynet, list, table. Unchanged files are not read
    again. A file of features made elsewhere is matched with the data set's videos by their ids; with --labels or a
    --layout its ids are items of their own, without videos.

    With --kind captions each line is {"video": id, "class": label, "captions": [text, ...]}, or tells one caption of a
    video that other lines tell more of; a list, CSV and the files of MSR-VTT, VATEX and ActivityNet Captions are read
    too. A caption is a segment.

    With --kind poses files are .skeleton (NTU), .json (Kinetics-skeleton, OpenPose), .npy, .npz or HDF5, of one
    sequence or of many; --layout names the joints of arrays (ntu-25, kinect-20, ...), --labels NTU's class names, one a
    line. What `zsar extract mediapipe` found in the data set's videos is indexed by its name, mediapipe@KEY.

    JSON: videos, new, unchanged, contents (distinct contents); when not 0 missing, failed, unlabelled, pruned,
    not_taken (files passed over, by extension), left_out (fields of captions), doubts (why the order of joints is
    doubted), of_videos, and imports, a list with path, feature, items, rows, added, unknown, refused, matched (how many
    by which rules of spelling), ambiguous, lacking, unread.
    """
    from pipelines.index.captions import CaptionsReport, index_captions
    from pipelines.index.poses import index_poses
    from pipelines.index.videos import IndexReport, index
    from pipelines.settings import IndexConfig

    settings = _settings(IndexConfig, locals())
    report: IndexReport | CaptionsReport
    with Bar("Indexing") as advance:
        if settings.kind == "captions":
            report = index_captions(settings, _open_root(root))
        elif settings.kind == "poses":
            report = index_poses(settings, _open_root(root), advance)
        else:
            report = index(settings, _open_root(root), advance)
    zeros = ("missing", "failed", "unlabelled", "pruned", "imports", "of_videos", "not_taken", "doubts", "left_out")
    fields = _without_zeros(dataclasses.asdict(report), *zeros)
    layout_found = fields.pop("layout")
    if report.unlabelled == report.videos and layout_found in ("folder", ""):  # nobody said that there are labels
        fields.pop("unlabelled", None)
    if as_json:
        print(json.dumps(fields))
        return
    imports = fields.pop("imports", ())
    if report.layout:
        shown = ("not_taken", "of_videos", "doubts", "left_out")
        print_counts(f"{dataset} ({layout_found})", {n: v for n, v in fields.items() if n not in shown})
    if imports:
        counted = ("path", "feature", "items", "rows", "added")
        print_table("Features read", [{name: each[name] for name in counted} for each in imports])
    for line in report.told():
        say(line)
    if report.failed:
        say(f"Some could not be read: `zsar list failures --root {root}` names them.")


# -- extract ----------------------------------------------------------------------------------------------------------


@app.command("extract")
@_command
def extract_command(
    features: Annotated[list[str], typer.Argument(help="Extractors, with options after a colon: r2plus1d_18:clips=25")],
    dataset: Annotated[str, typer.Option("--dataset", help="Name of the data set.")] = "",
    set: Annotated[str, typer.Option("--set", help="Name of a set of texts, in place of a data set.")] = "",
    weights: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH or NAME=random:SEED, for another than the default.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16; part of the recipe.")] = "fp32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[int, typer.Option(help="Forward threads on a CPU, one core each; 0: all cores.")] = 0,
    decoders: Annotated[int, typer.Option(help="Decode threads; 0: all cores.")] = 0,
    commit_every_s: Annotated[float, typer.Option(help="Commit at least every so many seconds.")] = 30.0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try quarantined videos again.")] = False,
    same_errors: Annotated[int, typer.Option(help="Stop after so many identical errors in a row.")] = 50,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Of a set of texts only these: class, definition, ..."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write a report as a page below the root.")] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Compute the features a data set lacks, and commit them.

    Several features share one decode of each video. Kill it at any moment and run it again: it goes on.

    JSON: planned, extracted, skipped, failed (content keys), recipe, seconds; quarantined when not 0; with several
    features `recipe` maps names to keys; with --html `report`, a URL.
    """
    from pipelines.extract.extraction import extract
    from pipelines.extract.plan import plan
    from pipelines.look.extraction_page import write as write_report
    from pipelines.settings import ExtractConfig

    settings = _settings(ExtractConfig, locals())
    if dry_run:
        _print_plan(plan(settings, _open_root(root)), settings.items, as_json)
        return
    with ExtractBar() as progress:
        report = extract(settings, _open_root(root), progress)
    page = {"report": write_report(report, settings, _open_root(root))} if html else {}
    if as_json:
        print(json.dumps(_extract_json(report) | page))
        return
    _print_extract(report, root)
    if page:
        print(f"Look at {page['report']}")


def _extract_json(report: "ExtractReport") -> dict[str, Any]:
    counts = {
        c: sum(getattr(f, c) for f in report.features)
        for c in ("planned", "extracted", "skipped", "failed", "quarantined")
    }
    keys: Any = {f.name: f.recipe for f in report.features}
    if len(report.features) == 1:
        keys = report.features[0].recipe
    return _without_zeros(counts, "quarantined") | {"recipe": keys, "seconds": round(report.seconds, 3)}


def _print_extract(report: "ExtractReport", root: str) -> None:
    if not any(f.planned for f in report.features):
        print("Nothing to compute: every item has these features already.")
    print_table(
        f"Extracted in {report.seconds:.1f} s, {report.decoded} items opened",
        [
            {
                "feature": f.name,
                "planned": f.planned,
                "extracted": f.extracted,
                "in store": f.skipped,
                "failed": f.failed + f.quarantined,
            }
            for f in report.features
        ],
    )
    if any(f.failed or f.quarantined for f in report.features):
        say(f"Some items gave nothing: `zsar list failures --root {root}` says which and why.")


def _print_plan(todo: "Plan", dataset: str, as_json: bool) -> None:
    rows = [
        {"feature": f.name, "planned": f.planned, "skipped": f.skipped, "quarantined": f.quarantined}
        for f in todo.features
    ]
    if as_json:
        print(json.dumps({"contents": todo.contents, "features": rows}))
    else:
        print_table(f"{dataset}: {todo.contents} contents", rows)


# -- fit, evaluate ----------------------------------------------------------------------------------------------------


@app.command("fit")
@_command
def fit_command(
    head: Annotated[
        str, typer.Argument(help="nearest, er, jigsaw, coco, pseudo; devise, ale, sje, dem, eszsl, gcn, relation, e2e.")
    ],
    dataset: DatasetOption,
    feature: Annotated[str, typer.Option(help="Feature set of its videos, or of its captions.")],
    protocol: Annotated[str, typer.Option(help="Which classes are seen: ucf101-50, truze, cross-0/50, or a file.")],
    splits: Annotated[str, typer.Option(help="Which of the protocol's: 0-9,12. None: all.")] = "",
    set: Annotated[str, typer.Option("--set", help="Set of texts; none: of the data set's name.")] = "",
    encoder: Annotated[str, typer.Option(help="Encoder of the texts; none: the captions' own, else minilm.")] = "",
    objects: Annotated[str, typer.Option(help="Feature set of recognised objects, such as bit_objects.")] = "",
    k: Annotated[int, typer.Option(help="So many descriptions a class, the most relevant; 0: all.")] = 100,
    options: Annotated[
        list[str] | None, typer.Option("--option", help="NAME=VALUE for the head or its training: lr=1e-3.")
    ] = None,
    tune: Annotated[
        list[str] | None,
        typer.Option(help="NAME=V1,V2: each split takes what is best on classes held out from its seen ones."),
    ] = None,
    folds: Annotated[int, typer.Option(help="So many held-out sets a choice is made on.")] = 3,
    hold_out: Annotated[float, typer.Option(help="Share of the seen classes held out to choose on.")] = 0.2,
    gzsl: Annotated[bool, typer.Option("--gzsl", help="Keep a fifth of the seen videos back, to judge on.")] = False,
    standardise: Annotated[
        bool, typer.Option("--standardise", help="Judge a class's scores by those it has on the videos trained on.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    segments: Annotated[int, typer.Option(help="Of a video; 0: as many as most have.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[int, typer.Option(help="Splits at once, a core each; 0: one a core.")] = 0,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Train a head on the seen classes of each split of a protocol.

    Whatever is chosen is chosen on classes held out from a split's seen ones. Kill it at any moment and run it again:
    it goes on. Then `zsar evaluate RUN` judges it on the unseen classes.

    JSON: run, splits, fitted (those trained now), seconds; notes when there are any.
    """
    from pipelines.learn.fit import fit
    from pipelines.settings import FitConfig

    settings = _settings(FitConfig, locals())
    with Bar("Fitting") as advance:
        report = fit(settings, _open_root(root), advance)
    fields = _without_zeros(dataclasses.asdict(report) | {"seconds": round(report.seconds, 3)}, "notes")
    if as_json:
        print(json.dumps(fields))
        return
    print_counts(report.run, {"splits": report.splits, "fitted now": report.fitted, "seconds": fields["seconds"]})
    for note in report.notes:
        say(f"Note: {note}.")
    print(f"Judge it: `zsar evaluate {report.run} --root {root}`")


@app.command("finetune")
@_command
def finetune_command(
    model: Annotated[str, typer.Argument(help="stgcn or stgcn_small.")],
    dataset: DatasetOption,
    protocol: Annotated[str, typer.Option(help="Whose seen classes are trained on; none: all classes.")] = "none",
    splits: Annotated[str, typer.Option(help="Which of the protocol's: 0-9,12. None: all.")] = "",
    set: Annotated[str, typer.Option(help="Of class names, for splits that are drawn; none: the data set's.")] = "",
    encoder: Annotated[str, typer.Option(help="Of those names, for splits by their vectors.")] = "minilm",
    gzsl: Annotated[
        bool, typer.Option("--gzsl", help="Keep a fifth of the sequences back, as `fit --gzsl` does.")
    ] = False,
    train: Annotated[list[str] | None, typer.Option(help="Only sequences with subject=1,3,5 or view=1.")] = None,
    test: Annotated[list[str] | None, typer.Option(help="Report top-1 on these: subject=2,4.")] = None,
    layout: Annotated[str, typer.Option(help="Of the network's joints; none: those of the poses.")] = "",
    frames: Annotated[int, typer.Option(help="Frames the network is given.")] = 32,
    people: Annotated[int, typer.Option(help="People the network is given.")] = 1,
    weights: Annotated[str, typer.Option(help="File to begin with; none: weights are drawn.")] = "",
    epochs: Annotated[int, typer.Option(help="So many, whatever happens.")] = 60,
    batch: Annotated[int, typer.Option(help="Sequences a step.")] = 16,
    lr: Annotated[float, typer.Option(help="Of SGD, after the warm-up.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Of SGD.")] = 5e-4,
    dropout: Annotated[float, typer.Option(help="Of the network.")] = 0.25,
    smoothing: Annotated[float, typer.Option(help="Of the labels.")] = 0.1,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="Cores on a CPU; 0: all.")] = 0,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Train ST-GCN on the seen classes of each split of a protocol, or on all classes to see that it learns.

    Kill it at any moment and run it again: it goes on. Then `zsar extract MODEL --weights MODEL=WEIGHTS` makes features
    of any data set of poses.

    JSON: run, weights (a path; with several splits paths by number), seconds; top1 (a fraction) where --test is given;
    failed, the sequences that cannot be used, and notes when there are any.
    """
    from pipelines.learn.finetune import finetune
    from pipelines.settings import FinetuneConfig

    settings = _settings(FinetuneConfig, locals())
    with Bar("Training") as advance:
        report = finetune(settings, _open_root(root), advance)
    paths = list(report.weights.values())
    top1 = {} if report.top1 is None else {"top1": report.top1}
    if as_json:
        fields: dict[str, Any] = {"run": report.run, "weights": paths[0] if len(paths) == 1 else report.weights} | top1
        fields |= {"seconds": round(report.seconds, 3), "failed": report.failed, "notes": report.notes}
        print(json.dumps(_without_zeros(fields, "failed", "notes")))
        return
    shown = {"sequences": report.sequences, "failed": report.failed, "splits trained now": report.trained}
    print_counts(report.run, _without_zeros(shown, "failed") | {"seconds": round(report.seconds, 1)})
    if report.top1 is not None:
        print(f"top-1 of the sequences to test: {100 * report.top1:.2f} %")
    for note in report.notes:
        say(f"Note: {note}.")
    for path in paths:
        print(f"Use them: `zsar extract {model} --dataset {dataset} --weights {model}={path} --root {root}`")


@app.command("evaluate")
@_command
def evaluate_command(
    run: Annotated[str, typer.Argument(help="A run of `zsar fit`: its name, or how it begins.")],
    splits: Annotated[str, typer.Option(help="Which of its splits; none: all that are fitted.")] = "",
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Judge a run on the unseen classes of its splits: mean and deviation over the splits.

    JSON: run, top1_mean, top1_std and so on for top5, mean_class_top1 and hubness (fractions), splits, n, missing;
    under GZSL also seen_top1, unseen_top1 and harmonic_mean; overlap and near, the test classes the features were
    trained on by name or by the distance of word vectors, when there are any.
    """
    from pipelines.judge.evaluate import evaluate
    from pipelines.settings import EvaluateConfig

    settings = _settings(EvaluateConfig, locals())
    with Bar("Judging") as advance:
        report = evaluate(settings, _open_root(root), advance)
    if as_json:
        measured = {**report.zsl, **report.gzsl}
        numbers = {
            f"{name}_{what}": n for name, pair in measured.items() for what, n in zip(_SPREAD, pair, strict=True)
        }
        counts = {"splits": report.splits, "n": report.n, "missing": report.missing}
        overlap = {k: list(v) for k, v in (("overlap", report.overlap), ("near", report.near)) if v}
        print(json.dumps({"run": report.run} | numbers | counts | overlap | {"seconds": round(report.seconds, 3)}))
        return
    shown = [
        {
            "setting": setting,
            "measure": name,
            **{what: _percent(name, n) for what, n in zip(_SPREAD, pair, strict=True)},
        }
        for setting, values in (("zsl", report.zsl), ("gzsl", report.gzsl))
        for name, pair in values.items()
    ]
    print_table(f"{report.run}: {report.splits} splits, {report.n} videos judged, {report.missing} missing", shown)
    for found, how in ((report.overlap, "by name"), (report.near, "by the distance of word vectors")):
        if found:
            names = ", ".join(found[:10])
            say(f"{len(found)} test classes are among those the features were trained on, {how}: {names}.")
    print(f"Look at it: `zsar show {report.run} --html --root {root}`")


_SPREAD = ("mean", "std")


def _percent(measure: str, value: float) -> str:
    return f"{value:.3f}" if measure == "hubness" else f"{100 * value:.2f} %"


@app.command("reproduce")
@_command
def reproduce_command(
    table: Annotated[str, typer.Argument(help="A table that comes with the code, or a TOML file of that form.")],
    only: Annotated[str, typer.Option(help="Only tables whose title holds this.")] = "",
    dataset: Annotated[str, typer.Option(help="Another data set than the table's.")] = "",
    feature: Annotated[str, typer.Option(help="Another feature than the table's.")] = "",
    protocol: Annotated[str, typer.Option(help="Another protocol than the table's.")] = "",
    encoder: Annotated[str, typer.Option(help="Another encoder of the texts than the table's.")] = "",
    objects: Annotated[str, typer.Option(help="Other recognised objects than the table's; none: without.")] = "",
    splits: Annotated[str, typer.Option(help="Other splits than the table's.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the Markdown into this file too.")] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Fit and judge what is missing of a table of results, and print it beside what is published.

    JSON: table, markdown, and out, the file written.
    """
    from pipelines.judge.reproduce import reproduce

    asked = {"dataset": dataset, "feature": feature, "protocol": protocol, "encoder": encoder, "splits": splits}
    by_hand = {name: value for name, value in asked.items() if value}
    if objects:
        by_hand["objects"] = "" if objects == "none" else objects
    markdown = reproduce(table, _open_root(root), only, say, by_hand)
    if out:
        out.write_text(markdown)
    if as_json:
        print(json.dumps({"table": table, "markdown": markdown, "out": str(out) if out else None}))
    else:
        print(markdown)


# -- list, show -------------------------------------------------------------------------------------------------------


@app.command("list")
@_command
def list_command(
    what: Annotated[str, typer.Argument(help="features, failures, datasets, texts, runs or results.")],
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """List what the cache holds.

    JSON: one key of the thing's name, with a list of objects.
    """
    from pipelines.errors import UsageError
    from pipelines.look import listing

    if what not in listing.LISTS:
        raise UsageError(f"There is no list of {what!r}; there are: {', '.join(listing.LISTS)}.")
    rows = listing.LISTS[what](_open_root(root))
    if as_json:
        print(json.dumps({what: rows}))
    elif rows and what == "results":
        _print_results(rows)
    elif rows and what == "runs":
        _print_runs(rows)
    elif rows:
        print_table(what.capitalize(), rows)
    else:
        print(f"No {what} in {root}.")


def _print_runs(rows: list[dict[str, Any]]) -> None:
    """Runs as a table: of a head the features it was fitted on, of a network the data set."""
    shown = [
        {
            "run": row["run"],
            "trained": row["head"] or f"{row['network']} (a network)",
            "on": row["feature"] or row["dataset"],
            "protocol": row["protocol"],
            "splits": row["fitted"],
            "top-1": "" if row["top1"] is None else _percent("top1", row["top1"]),
            "state": row["state"] if row["judged"] or row["network"] else f"{row['state']}, not judged",
            "made": row["made"],
        }
        for row in rows
    ]
    print_table("Runs", shown)


def _print_results(rows: list[dict[str, Any]]) -> None:
    """A table a data set, protocol and setting, in percent; what is not comparable is said below it."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["protocol"], row["setting"]), []).append(row)
    for (dataset, protocol, setting), own in groups.items():
        measures = ("seen", "unseen", "h") if setting == "gzsl" else ("top5", "class_mean")
        shown = [
            {
                "system": row["system"],
                "given": row["given"],
                "top-1": f"{100 * row['top1']:.1f}" + (f" ± {100 * row['std']:.1f}" if row["std"] is not None else ""),
                **{name: "" if row[name] is None else f"{100 * row[name]:.1f}" for name in measures},
                "hubness": "" if row["hubness"] is None else f"{row['hubness']:.2f}",
                "splits": "" if row["splits"] is None else str(row["splits"]),
                "n": "" if row["n"] is None else f"{row['n']} (- {row['missing']})",
                "features": row["features"] + (f"; {row['pretraining']}" if row["pretraining"] else ""),
                "texts": row["texts"],
                "state or source": row["state"],
            }
            for row in own
        ]
        print_table(f"{dataset}, {protocol}, {setting.upper()}", shown, lines=True)
        remarks = ["n: videos judged over all splits (- missing)."]
        if len({row["features"] for row in own}) > 1:
            remarks.append("Rows of other features or other training data are NOT comparable; they are not ranked.")
        judged = max(row["judged"] or 0 for row in own)
        remarks.append(f"{judged} configurations were judged on these unseen classes; the best of many says less.")
        print(" ".join(remarks))


@app.command("show")
@_command
def show_command(
    name: Annotated[str, typer.Argument(help="A feature set: extractor or extractor@key. Or a run, or how it begins.")],
    html: Annotated[bool, typer.Option("--html", help="Write a page of the run and print its URL.")] = False,
    split: Annotated[int | None, typer.Option(help="Which split of the run; none: the first.")] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Say where a feature set or a run comes from; picture a run as a page.

    JSON: of a feature set name, key, recipe, outputs, items, rows, bytes, commits; of a run run, about, state, results;
    of one that trained a network run, about, state, top1, splits (with classes and weights); with --html run and page
    (URL).
    """
    from pipelines.errors import UsageError
    from pipelines.look import listing

    opened = _open_root(root)
    if listing.kind_of(opened, name) == "run":
        _show_run(name, html, split, opened, as_json)
        return
    if html or split is not None:
        raise UsageError(f"{name!r} is a feature set; --html and --split are for runs: `zsar list runs`.")
    shown = listing.lineage(opened, name)
    if as_json:
        print(json.dumps(shown))
        return
    commits = shown.pop("commits")
    recipe = shown.pop("recipe")
    print_table(shown["name"], [{"field": k, "value": v} for k, v in (shown | recipe).items()])
    print_table("Commits, newest first", commits)


def _show_run(name: str, html: bool, split: int | None, root: "Root", as_json: bool) -> None:
    """A run as a page, or as what it depends on and its results."""
    from pipelines.errors import UsageError
    from pipelines.look import listing

    if html:
        from pipelines.look.run.page import run_page

        page = run_page(name, root, split)
        print(json.dumps({"run": Path(page).stem.removeprefix("run-"), "page": page}) if as_json else f"Look at {page}")
        return
    shown = listing.run(root, name)
    if "splits" in shown:
        _show_network(shown, split, as_json)
        return
    if split is not None:
        shown["results"] = [row for row in shown["results"] if row["split"] == split]
        if not shown["results"]:
            raise UsageError(f"{shown['run']} was not judged on split {split}. Run `zsar evaluate {shown['run']}`.")
    if as_json:
        print(json.dumps(shown))
        return
    about = {k: v for k, v in shown["about"].items() if k != "config"} | {"state": shown["state"]}
    print_table(shown["run"], [{"field": k, "value": _flat(v)} for k, v in about.items()], lines=True)
    if shown["results"]:
        of_both = any(row["harmonic_mean"] is not None for row in shown["results"])
        measures = ("top1", "top5", "mean_class_top1", "hubness")
        there = (*measures, "seen_top1", "unseen_top1", "harmonic_mean") if of_both else measures
        rows = [
            {k: row[k] for k in ("split", "setting", "classes", "n", "missing")}
            | {m: "" if row[m] is None else _percent(m, row[m]) for m in there}
            for row in shown["results"]
        ]
        print_table("Results", rows)
    else:
        print(f"Not judged: `zsar evaluate {shown['run']}`.")


def _show_network(shown: dict[str, Any], split: int | None, as_json: bool) -> None:
    """A network that `zsar finetune` trained: what it depends on, and a row a split."""
    from pipelines.errors import UsageError
    from pipelines.learn.networks import DONE

    about, there = shown["about"], ", ".join(str(row["number"]) for row in shown["splits"])
    if split is not None:
        shown["splits"] = [row for row in shown["splits"] if row["number"] == split]
        if not shown["splits"]:
            raise UsageError(f"{shown['run']} was not trained on split {split}; it was on {there or 'none'}.")
    if as_json:
        print(json.dumps(shown))
        return
    config = about["config"]
    fields = {"network": config["model"], "data set": config["dataset"], "protocol": config["protocol"]}
    fields |= {"state": shown["state"], "sequences": about["sequences"]}
    fields |= {name: about[name] for name in ("failed", "layout", "command", "made") if about.get(name)}
    fields["settings"] = {k: v for k, v in config.items() if k not in ("model", "dataset", "protocol") and v}
    if len(shown["splits"]) == 1:
        fields |= {name: shown["splits"][0][name] for name in ("classes", "unseen") if shown["splits"][0][name]}
    print_table(shown["run"], [{"field": k, "value": _flat(v)} for k, v in fields.items()], lines=True)
    rows = []
    for row in shown["splits"]:
        top1 = None if row["top1"] is None else _percent("top1", row["top1"])
        told = {"split": row["number"], "state": row["state"], "classes": len(row["classes"]) or None}
        told |= {"sequences": row["trained_on"], "tested on": row["tested_on"] or None, "top-1": top1}
        seconds = None if row["seconds"] is None else f"{row['seconds']:.1f}"
        told |= {"epochs": row["epochs"], "seconds": seconds, "weights": row["weights"]}
        rows.append({name: "" if value is None else value for name, value in told.items()})
    print_table("Splits", rows)
    if shown["state"] != DONE and about.get("command"):
        print(f"If nothing works on it, this goes on: `{about['command']}`.")


def _flat(value: Any) -> str:
    """What a file of JSON holds, as a line for people."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(own)}" for name, own in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


# -- verify, compare, export, drop ------------------------------------------------------------------------------------


@app.command("verify")
@_command
def verify_command(
    features: Annotated[list[str] | None, typer.Argument(help="Feature sets; none: all.")] = None,
    recompute: Annotated[int, typer.Option(help="Compute so many items a set again and compare to the bit.")] = 0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compute damaged items again and rewrite their rows.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Which items are drawn.")] = 0,
    weights: Annotated[list[str] | None, typer.Option(help="NAME=PATH of sets made from other weights.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Check that the stored rows are what was written. Exit status 1 if some are not.

    JSON: features, items, rows, damaged, recomputed, differing, repaired; details: lists of the damaged and differing.
    """
    from pipelines.extract.verify import verify
    from pipelines.settings import VerifyConfig

    reports = verify(_settings(VerifyConfig, locals()), _open_root(root))
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
    if as_json:
        print(json.dumps(fields | {"details": bad}))
    else:
        print_counts("Verified", fields)
        if bad:
            print_table("Not as written", bad)
    if fields["damaged"] > fields["repaired"] or fields["differing"] or any(r.note for r in reports):
        raise typer.Exit(1)


@app.command("compare")
@_command
def compare_command(
    a: Annotated[str, typer.Argument(help="A feature set.")],
    b: Annotated[str, typer.Argument(help="Another, or a file or folder of features made elsewhere.")],
    dataset: Annotated[str | None, typer.Option(help="Whose video ids the file speaks of.")] = None,
    output: Annotated[str, typer.Option(help="Which output.")] = "features",
    worst: Annotated[int, typer.Option(help="List so many of the least alike.")] = 10,
    out: Annotated[str | None, typer.Option(help="Write the table of all videos to this Parquet file.")] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Say how close two sets of features are, video by video, and what the likeliest cause of a difference is.

    JSON: the summary's fields, and `worst`, a list.
    """
    from pipelines.index.spellings import AS_IT_STANDS, counted, first
    from pipelines.look.compare import compare
    from pipelines.settings import CompareConfig

    report = compare(_settings(CompareConfig, locals()), _open_root(root))
    fields = dataclasses.asdict(report)
    if as_json:
        print(json.dumps(fields))
        return
    print(f"{report.a} against {report.b}: {report.cause}.")
    print_counts("Videos", {"in both": report.n, "only in A": len(report.only_a), "only in B": len(report.only_b)})
    if set(report.matched) - {AS_IT_STANDS}:
        say(f"Ids of {report.b} matched: {counted(report.matched)}.")
    if report.only_b:
        say(f"Only in B: {first(report.only_b)}; only in A: {first(report.only_a)}.")
    spreads = {"cosine": report.cosine, "mean-centred cosine": report.centred, "row by row": report.row_cosine}
    print_table(
        f"Over {report.n} videos; norm of A / norm of B {report.ratio:.4f}"
        if report.ratio
        else f"Over {report.n} videos",
        [{"": name, **dataclasses.asdict(spread)} for name, spread in spreads.items() if spread],
    )
    if report.worst:
        shown = ("video_id", "cosine", "centred", "norm_a", "norm_b", "rows_a", "rows_b", "cause")
        print_table("Least alike", [{name: pair[name] for name in shown} for pair in fields["worst"]])


@app.command("export")
@_command
def export_command(
    feature: Annotated[str, typer.Argument(help="A feature set.")],
    dataset: DatasetOption,
    out: Annotated[str, typer.Option(help="File, or folder for npy.")],
    format: Annotated[str, typer.Option(help="hdf5, npy or parquet.")] = "hdf5",
    output: Annotated[str, typer.Option(help="Which output.")] = "features",
    layout: Annotated[str, typer.Option(help="ragged, or per-video: an array a video id.")] = "ragged",
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Export what there is.")] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Write features to a file in the order of the manifest; equal stores give equal arrays.

    JSON: items, rows, missing, path, format.
    """
    from pipelines.look.export import export
    from pipelines.settings import ExportConfig

    report = export(_settings(ExportConfig, locals()), _open_root(root))
    fields = dataclasses.asdict(report)
    if as_json:
        print(json.dumps(fields))
    else:
        print_counts("Exported", fields)


@app.command("drop")
@_command
def drop_command(
    features: Annotated[list[str] | None, typer.Argument(help="Feature sets to remove.")] = None,
    gc: Annotated[bool, typer.Option("--gc", help="Free what only old snapshots of the other sets hold.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Remove feature sets, and free dead space.

    JSON: dropped (names), freed_bytes.
    """
    from pipelines.errors import UsageError
    from stores.features import FeatureStore

    if not features and not gc:
        raise UsageError("Name the feature sets to drop, or give --gc to free what only old snapshots hold.")
    store = FeatureStore(_open_root(root))
    names = list(dict.fromkeys(store.resolve(feature) for feature in features or ()))
    if names and not yes and not _agreed(f"Remove {', '.join(names)} and all they hold?"):
        raise UsageError("Nothing was removed. Where nobody can be asked, give --yes.")
    for name in names:
        store.drop(name)
    sets = [found for name in store.names() if (found := store.get(name))] if gc else []
    freed = sum(feature_set.collect() for feature_set in sets)
    if as_json:
        print(json.dumps({"dropped": names, "freed_bytes": freed}))
    else:
        print(f"Dropped {', '.join(names) or 'nothing'}" + (f"; freed {freed / 1e6:.1f} MB." if gc else "."))


def _agreed(question: str) -> bool:
    """Ask once; no answer at all (no terminal, end of input) is a no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


# -- texts ------------------------------------------------------------------------------------------------------------

texts_app = typer.Typer(
    help="Texts about classes: names, definitions, descriptions, phrases, objects.", no_args_is_help=True
)
app.add_typer(texts_app, name="texts")
SetOption = Annotated[str, typer.Option("--set", help="The set of classes.")]


@texts_app.command("add")
@_command
def texts_add_command(
    files: Annotated[list[str], typer.Argument(help="Class lists, definitions, descriptions: JSON, JSON lines, CSV.")],
    kind: Annotated[str, typer.Option(help="class, definition, description, phrase or object.")],
    set: SetOption,
    part: Annotated[str, typer.Option(help="What of a class they tell, where a record does not say so.")] = "",
    encoding: Annotated[str, typer.Option(help="Of lines that are not UTF-8: cp1252 (Windows), utf-16-le, ...")] = "",
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Read texts, link them to the classes of a set, keep each once.

    Spellings need not agree: `ApplyEyeMakeup`, `apply_eye_makeup` and `Applying eye makeup` are one class. What cannot
    be linked or read is reported with its name or its line, and the rest is kept.

    A record without a text of its own tells parts: {"class": ..., "head": ..., "start": ...}. What stands beside a
    description is taken to be about that, and left out; of a list of classes, all that is not a name.

    Cells of CSV are split by what splits its column names (class;description), or as a first line says: sep=;.

    JSON: read, new, duplicate, unlinked; texts (new ones to encode), classes (that got new ones); bad, problems,
    unlinked_names and left_out (fields) where there are any.
    """
    from pipelines.settings import TextsConfig
    from pipelines.texts.adding import add

    with Bar("Reading") as advance:
        report = add(_settings(TextsConfig, locals()), _open_root(root), lambda read: advance(read, 0))
    fields = _without_zeros(dataclasses.asdict(report), "bad", "unlinked_names", "problems", "left_out")
    if as_json:
        print(json.dumps(fields))
        return
    print_counts("Texts", {name: fields[name] for name in ("read", "new", "duplicate", "unlinked")})
    if report.unlinked_names:
        names = sorted(report.unlinked_names.items(), key=lambda item: -item[1])[:_SHOWN]
        print_table(f"Of no class of {set}", [{"named": name, "texts": count} for name, count in names])
    if report.problems:
        rows = [{"file": file, "line": line, "problem": why} for file, line, why in report.problems[:_SHOWN]]
        print_table(f"Not read ({report.bad})", rows)
    if report.left_out:
        named = ", ".join(f"{field} ({count})" for field, count in report.left_out.items())
        if kind == "class":
            say(f"Left out, as a class is its name alone: {named}. Put a name that holds a comma between quotes.")
        else:
            say(f"Left out, as they stand beside a description: {named}. Give parts of a class in a file of their own.")


@texts_app.command("link")
@_command
def texts_link_command(
    set: SetOption,
    dataset: DatasetOption,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Say which class of a set each label of a data set's videos means, and which mean none.

    JSON: labels, linked, unlinked (names), classes (label to class).
    """
    from pipelines.texts.adding import link

    classes = link(set, dataset, _open_root(root))
    unlinked = [label for label, name in classes.items() if name is None]
    if as_json:
        fields = {"labels": len(classes), "linked": len(classes) - len(unlinked), "unlinked": unlinked}
        print(json.dumps(fields | {"classes": classes}))
        return
    print_counts(f"Labels of {dataset}", {"labels": len(classes), f"linked to {set}": len(classes) - len(unlinked)})
    if unlinked:
        print_table(f"Of no class of {set}", [{"label": label} for label in unlinked])


@texts_app.command("rank")
@_command
def texts_rank_command(
    set: SetOption,
    k: Annotated[int, typer.Option("--k", help="So many descriptions a class.")] = 100,
    vectors: Annotated[str, typer.Option(help="Word vectors, as an extractor's name.")] = "glove_50d",
    weights: Annotated[list[str] | None, typer.Option(help="NAME=PATH of word vectors in a file.")] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Rank each class's descriptions by relevance to its name, and keep the k best (CoCo).

    What word vectors are missing is computed first. Only classes whose descriptions changed are ranked again.

    JSON: name, classes, ranked, kept, descriptions, unranked, without_vector.
    """
    from pipelines.settings import RankConfig
    from pipelines.texts.rank import rank

    report = rank(_settings(RankConfig, locals()), _open_root(root))
    fields = dataclasses.asdict(report)
    if as_json:
        print(json.dumps(fields))
        return
    print_counts(
        f"Ranking {report.name}", {name: fields[name] for name in ("classes", "ranked", "kept", "descriptions")}
    )
    if report.without_vector:
        print(f"{report.without_vector} texts have no word in the vocabulary and are in no ranking.")
    if report.unranked:
        print(f"Not ranked, for want of descriptions or of a word vector: {', '.join(report.unranked)}.")


@texts_app.command("phrases")
@_command
def texts_phrases_command(
    set: SetOption,
    corrections: Annotated[str, typer.Option(help="JSON or CSV of classes whose phrases were written by hand.")] = "",
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Parse definitions (or names) into verb phrases, the atomic actions that classes share (JigsawNet).

    JSON: classes, phrases, shared, from_names, new, top (phrase and its classes), page (URL of the picture).
    """
    from pipelines.settings import PhrasesConfig
    from pipelines.texts.phrases import phrases

    report = phrases(_settings(PhrasesConfig, locals()), _open_root(root))
    fields = dataclasses.asdict(report)
    if as_json:
        print(json.dumps(fields))
        return
    print_counts("Phrases", {name: fields[name] for name in ("classes", "phrases", "shared", "from_names", "new")})
    rows = [{"phrase": phrase, "n": len(own), "classes": ", ".join(own)} for phrase, own in report.top[:_SHOWN]]
    if rows:
        print_table("Shared by most classes", rows)
    print(f"Look at {report.page}")


@texts_app.command("objects")
@_command
def texts_objects_command(
    feature: Annotated[str, typer.Argument(help="A feature set with recognised objects, such as bit_objects.")],
    dataset: DatasetOption,
    set: SetOption,
    top: Annotated[int, typer.Option(help="So many objects a video.")] = 5,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Add what was recognised in videos as texts: each object with its gloss (ER), a video's names joined (JigsawNet).

    JSON: videos, missing, objects, joined, new.
    """
    from pipelines.settings import ObjectTextsConfig
    from pipelines.texts.objects import object_texts

    report = object_texts(_settings(ObjectTextsConfig, locals()), _open_root(root))
    fields = dataclasses.asdict(report)
    print(json.dumps(fields)) if as_json else print_counts("Object texts", fields)


@texts_app.command("lint")
@_command
def texts_lint_command(
    set: SetOption,
    against: Annotated[
        str, typer.Option(help="Another set, whose classes should not be among those of the first.")
    ] = "",
    vectors: Annotated[str, typer.Option(help="Word vectors of the names.")] = "glove_50d",
    encoder: Annotated[str, typer.Option(help="Sentence vectors of names and definitions.")] = "minilm",
    weights: Annotated[list[str] | None, typer.Option(help="NAME=PATH for either.")] = None,
    near: Annotated[float, typer.Option(help="E2E's distance below which two classes are one.")] = 0.05,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 if anything was found.")] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Find what would quietly spoil an experiment: missing texts, classes that look alike, unrelated definitions.

    JSON: findings, a list of rule, name, what, mend.
    """
    from pipelines.settings import LintConfig
    from pipelines.texts.lint import lint

    findings = [dataclasses.asdict(finding) for finding in lint(_settings(LintConfig, locals()), _open_root(root))]
    if as_json:
        print(json.dumps({"findings": findings}))
    elif findings:
        print_table(f"{set}: {len(findings)} to look at", findings)
    else:
        print(f"{set}: nothing found.")
    if findings and strict:
        raise typer.Exit(1)


# -- run --------------------------------------------------------------------------------------------------------------


@app.command("run")
@_command
def run_command(
    deployment: Annotated[str, typer.Argument(help="A deployment's own name, such as extract-kinetics.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE in place of the deployment's; JSON or text.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and do not wait.")] = False,
    root: Annotated[
        str | None, typer.Option("--root", help="The cache; default: what the deployment or its worker says.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a deployment of the Prefect server, and follow it to its end. Exit status 1 unless it completes.

    `make prefect` starts a server with deployments; `$PREFECT_API_URL` names the server.

    JSON: deployment, run, state, message, url.
    """
    from pipelines.command.deployments import parameter, run

    parameters = dict(parameter(text) for text in param or ()) | ({"root": root} if root else {})
    report = run(deployment, parameters, wait=not detach, told=say)
    if as_json:
        print(json.dumps(dataclasses.asdict(report)))
    else:
        print(f"{report.deployment}: {report.state}{f' ({report.message})' if report.message else ''}, {report.url}")
    if not detach and report.state != "Completed":
        raise typer.Exit(1)


# -- classify ---------------------------------------------------------------------------------------------------------


@app.command("classify")
@_command
def classify_command(
    clip: Annotated[str, typer.Argument(help="A video file.")],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Names to choose from. Once: split at commas. More often: a name each. @FILE: a name a line."
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Kinetics classes to treat as never seen, in the same ways.")
    ] = None,
    objects: Annotated[bool, typer.Option("--objects", help="Let the objects seen count too.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    html: Annotated[bool, typer.Option("--html", help="Write a page below the root.")] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say which of some classes a clip shows, whether I3D was trained on them or not; works offline.

    A class of Kinetics-400 is answered by I3D's classifier, any other by a map learned from the classifier's rows: from
    a name to the row it would have. Both stand in one calibrated answer, which says which is which.

    --classes "juggling, welding" gives two names. A name that holds a comma is given whole where --classes stands more
    than once (--classes "putting it up, then down" --classes welding), or in a file, a name a line (--classes @FILE).

    JSON: clip, answers (class, probability, source, rests_on, objects), nearest (Kinetics phrases with probability),
    objects (with score), learned_from, computed (features), seconds; with --html `page`, a URL.
    """
    from pipelines.command.given_names import names
    from pipelines.look.classify.classify import ClassifyConfig, classify
    from pipelines.look.classify.classify import page as write_page

    asked, without = names("--classes", classes or (), say), names("--leave-out", leave_out or (), say)
    report = classify(ClassifyConfig(clip, asked, without, objects, device), _open_root(root))
    written = {"page": write_page(report, _open_root(root))} if html else {}
    if as_json:
        fields = dataclasses.asdict(report) | {"seconds": round(report.seconds, 3)} | written
        fields["answers"] = [{"class": answer.pop("name"), **answer} for answer in fields["answers"]]
        print(json.dumps(fields))
        return
    rows = [
        {"class": a.name, "probability": a.probability, "from": a.source, "by way of": ", ".join(a.rests_on)}
        for a in report.answers
    ]
    print_table(f"{Path(clip).name} ({report.seconds:.1f} s)", rows)
    print(f"Kinetics phrases nearest: {', '.join(f'{name} {p:.0%}' for name, p in report.nearest)}.")
    print(f"Objects seen: {', '.join(name for name, _ in report.objects)}.")
    print(f"The map was learned from {report.learned_from}.")
    if written:
        print(f"Look at {written['page']}")


# -- demo -------------------------------------------------------------------------------------------------------------


@app.command("demo")
@_command
def demo_command(
    root: Annotated[str, typer.Option("--root", help="The cache of the demonstration.")] = "./demo/zsar-data",
    page: Annotated[Path, typer.Option(help="The page to write.")] = Path("demo/index.html"),
    as_json: JsonOption = False,
) -> None:
    """Run everything on the real clips of the offline pack: classes and objects of each clip, as a table and a page.

    JSON: videos, contents, extracted, page, seconds, and `clips`: top classes and objects of each, and
    `answers` among a few classes that I3D was mostly not trained on.
    """
    from pipelines.look.demo import demo

    with ExtractBar() as progress:
        report = demo(_open_root(root), page, progress)
    if as_json:
        print(json.dumps(dataclasses.asdict(report)))
        return
    print_table(
        "What is in the clips (I3D's Kinetics classes; EfficientNet-Lite0's ImageNet objects)",
        [
            {
                "clip": clip.video_id,
                "top-5 Kinetics classes": ", ".join(f"{name} {p:.0%}" for name, p in clip.classes),
                "objects": ", ".join(name for name, _ in clip.objects),
                "of five classes, four unseen": "{} {:.0%}".format(*clip.answers[0][:2]),
            }
            for clip in report.clips
        ],
        lines=True,
    )
    if report.extracted:
        computed = f"{report.extracted} features of {report.contents} clips"
        print(
            f"{report.videos} files, {report.contents} different clips; computed {computed} in {report.seconds:.0f} s."
        )
    else:
        print(f"Nothing to compute: all {report.contents} clips have their features already ({report.seconds:.1f} s).")
    print(f"Look at {page} in a browser.")


if __name__ == "__main__":
    main()
