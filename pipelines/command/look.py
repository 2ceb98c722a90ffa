"""`zsar list` and `zsar show`: what the cache holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.base import command
from pipelines.command.screen import Bar, Shown, Table, percent, plain

if TYPE_CHECKING:
    from stores.root import Root

_CLIPS = 10


@command("list")
def list_(
    root: "Root",
    *,
    what: Annotated[
        str,
        typer.Argument(
            help="Of the cache features, failures, datasets, texts, runs or results; of what can be named extractors, "
            "heads, protocols or layouts."
        ),
    ],
) -> Shown:
    """List what the cache holds, or the names that commands take.

    JSON: one key of the thing's name, with a list of objects; of extractors, heads, protocols and layouts these have a
    name, and what it is.
    """
    from pipelines.errors import UsageError
    from pipelines.look import known

    if what in known.KNOWN:
        named = known.KNOWN[what]()
        return Shown({what: named}, [Table(what.capitalize(), named)])
    from pipelines.look import listing

    if what not in listing.LISTS:
        there = ", ".join((*listing.LISTS, *known.KNOWN))
        raise UsageError(f"There is no list of {what!r}; there are: {there}.")
    rows = listing.LISTS[what](root)
    parts: list[str | Table] = [f"No {what} in {root.url}."]
    if rows:
        drawn = {"results": _results, "runs": _runs}
        parts = drawn[what](rows) if what in drawn else [Table(what.capitalize(), rows)]
    return Shown({what: rows}, parts)


def _runs(rows: list[dict[str, Any]]) -> list[str | Table]:
    """Runs as a table: of a head the features it was fitted on, of a network the data set."""
    shown = [
        {
            "run": row["run"],
            "trained": row["head"] or f"{row['network']} (a network)",
            "on": row["feature"] or row["dataset"],
            "protocol": row["protocol"],
            "splits": row["fitted"],
            "top-1": "" if row["top1"] is None else percent("top1", row["top1"]),
            "state": row["state"] if row["judged"] or row["network"] else f"{row['state']}, not judged",
            "made": row["made"],
        }
        for row in rows
    ]
    return [Table("Runs", shown)]


def _results(rows: list[dict[str, Any]]) -> list[str | Table]:
    """A table a data set, protocol and setting, in percent; what is not comparable is said below it."""
    parts: list[str | Table] = []
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    damaged = [row["state"] for row in rows if row["top1"] is None]
    for row in (row for row in rows if row["top1"] is not None):
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
        parts.append(Table(f"{dataset}, {protocol}, {setting.upper()}", shown, lines=True))
        remarks = ["n: videos judged over all splits (- missing)."]
        if len({row["features"] for row in own}) > 1:
            remarks.append("Rows of other features or other training data are NOT comparable; they are not ranked.")
        judged = max(row["judged"] or 0 for row in own)
        remarks.append(f"{judged} configurations were judged on these unseen classes; the best of many says less.")
        parts.append(" ".join(remarks))
    return [*parts, *damaged]


@command("show")
def show(
    root: "Root",
    *,
    name: Annotated[str, typer.Argument(help="A feature set: extractor or extractor@key. Or a run, or how it begins.")],
    html: Annotated[bool, typer.Option("--html", help="Write a page of the run and print its URL.")] = False,
    png: Annotated[Path | None, typer.Option(help="Draw segments with the phrases that won into this PNG.")] = None,
    split: Annotated[int | None, typer.Option(help="Which split of the run; none: the first.")] = None,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Of a judged run: from its numbers to the clips, and all between.")
    ] = False,
    per_hour: Annotated[float, typer.Option(help="Of a feature set: what an hour of the machine costs.")] = 0.0,
) -> Shown:
    """Say where a feature set or a run comes from, and what it cost; picture a run as a page or its segments.

    zsar show i3d_k400 --per-hour 2.5

    zsar show ridge-ucf101 --lineage --split 3

    JSON: of a feature set name, key, recipe, outputs, items, rows, bytes, commits, cost (seconds, seconds_known, of,
    items_a_second, bytes_an_item, price, ...); of a run run, about, state, results; with --lineage run, numbers, head,
    protocol, splits, videos, texts, failures, clips, versions, made, commands, or runs with their own head, videos, ...
    in place of these where several were judged as one;
    of one that trained a network run, about, state, top1, splits (with classes and weights); with --html run and page
    (URL), with --png picture (path).
    """
    from pipelines.errors import UsageError
    from pipelines.look import listing

    if listing.kind_of(root, name) == "run":
        if per_hour:
            raise UsageError(f"{name!r} is a run; --per-hour is for feature sets: `zsar list features`.")
        if png is not None:
            from pipelines.look.run.picture import picture

            with Bar("Drawing", counted=False):
                drawn = picture(name, root, png, split)
            return Shown({"picture": str(drawn)}, [f"Look at {drawn}"])
        return _lineage(name, split, root) if lineage else _run(name, html, split, root)
    if html or png or lineage or split is not None:
        raise UsageError(
            f"{name!r} is a feature set; --html, --png, --lineage and --split are for runs: `zsar list runs`."
        )
    from pipelines.look.lineage import cost
    from stores.features import FeatureStore

    told = listing.lineage(root, name)
    told["cost"] = cost(FeatureStore(root).find(told["name"]), per_hour)
    fields = {k: v for k, v in told.items() if k not in ("commits", "recipe", "cost")} | _priced(told["cost"])
    fields |= told["recipe"]
    rows = [{"field": k, "value": v} for k, v in fields.items()]
    return Shown(told, [Table(told["name"], rows), Table("Commits, newest first", told["commits"])])


def _priced(cost: dict[str, Any]) -> dict[str, str]:
    """What a feature set cost, as lines for people."""
    known, of = cost["seconds_known"], cost["of"]
    least = "" if known == of else f", at least: {of - known} of {of} commits recorded no time"
    rate = f" ({cost['items_a_second']:g} items a second)" if cost["items_a_second"] else ""
    shown = {"seconds": f"{cost['seconds']:.1f}{rate}{least}"}
    if cost["bytes_an_item"]:
        shown["bytes an item"] = f"{cost['bytes_an_item']:,}"
    if "price" in cost:
        each = "" if cost["price_a_thousand"] is None else f", {cost['price_a_thousand']:.4f} a thousand items"
        shown["price"] = f"{cost['price']:.4f}{each}"
    return shown


def _lineage(name: str, split: int | None, root: "Root") -> Shown:
    """A judged run, from its numbers down to its clips."""
    from pipelines.look.lineage import of_run

    told = of_run(name, root, split)
    clips = told["clips"]
    own = [row for row in told["splits"] if row["split"] == clips["split"]]
    lines = [
        {
            "": row["setting"].upper(),
            "is": f"{percent('top1', row['top1'])} over {row['splits']} splits, {row['state']}",
        }
        for row in told["numbers"]
    ]
    lines.append({"": "protocol", "is": f"{told['protocol']['name']}: {told['protocol']['source']}"})
    for row in own:
        classes = f"{len(row['seen'])} seen, {len(row['unseen'])} unseen classes"
        number = percent("top1", row["top1"])
        lines.append(
            {"": f"split {row['split']}, {row['setting'].upper()}", "is": f"{number} of {row['n']}; {classes}"}
        )
    lines += [{"": "weights", "is": file} for file in (own[0]["weights"] if own else [])]
    for each in told.get("runs", [told]):
        lines += [{"": "run", "is": each["run"]}] if each is not told else []
        lines += _sources(each)
    lines.append({"": "clips", "is": f"{clips['judged']} judged in split {clips['split']}, {clips['right']} right"})
    lines += [{"": "made", "is": told["made"]}, *({"": "again", "is": each} for each in told["commands"])]
    rows = [
        {k: "" if row[k] is None else row[k] for k in ("video_id", "label", "said", "uri")} for row in clips["rows"]
    ]
    shown = rows[:_CLIPS]
    more = [f"{len(rows) - len(shown)} clips more: --json has them."] if len(rows) > len(shown) else []
    parts: list[str | Table] = [Table(told["run"], lines), Table("Clips, wrong ones first", shown), *more]
    return Shown(told, parts)


def _sources(told: dict[str, Any]) -> list[dict[str, str]]:
    """What a head is, and what it was fitted on, a line each."""
    head = told["head"]
    lines = [{"": "head", "is": f"{head['name']}, {plain(head['options'])}, seed {head['seed']}"}]
    for what in ("videos", "texts"):
        of = told[what]
        of_what = of["dataset"] if what == "videos" else f"{of['set']} ({', '.join(of['kinds'])})"
        lines.append({"": what, "is": f"{of_what} by {of['feature']}"})
        lines.append({"": "  snapshot", "is": f"{of['snapshot']}; now {of['now']}"})
        lines.append({"": "  made from", "is": plain(of["made_from"])})
    none = f"{len(told['failures'])} files gave none of these features: `zsar list failures`"
    return [*lines, {"": "failures", "is": none}]


def _run(name: str, html: bool, split: int | None, root: "Root") -> Shown:
    """A run as a page, or as what it depends on and its results."""
    from pipelines.errors import UsageError
    from pipelines.look import listing

    if html:
        from pipelines.look.run.page import run_page

        with Bar("Drawing", counted=False):
            page = run_page(name, root, split)
        return Shown({"run": Path(page).stem.removeprefix("run-"), "page": page}, [f"Look at {page}"])
    told = listing.run(root, name)
    if "splits" in told:
        return _network(told, split)
    if split is not None:
        told["results"] = [row for row in told["results"] if row["split"] == split]
        if not told["results"]:
            raise UsageError(f"{told['run']} was not judged on split {split}. Run `zsar evaluate {told['run']}`.")
    about = {k: v for k, v in told["about"].items() if k != "config"} | {"state": told["state"]}
    fields = Table(told["run"], [{"field": k, "value": plain(v)} for k, v in about.items()], lines=True)
    if not told["results"]:
        return Shown(told, [fields, f"Not judged: `zsar evaluate {told['run']}`."])
    of_both = any(row["harmonic_mean"] is not None for row in told["results"])
    measures = ("top1", "top5", "mean_class_top1", "hubness")
    there = (*measures, "seen_top1", "unseen_top1", "harmonic_mean") if of_both else measures
    rows = [
        {k: row[k] for k in ("split", "setting", "classes", "n", "missing")}
        | {m: "" if row[m] is None else percent(m, row[m]) for m in there}
        for row in told["results"]
    ]
    return Shown(told, [fields, Table("Results", rows)])


def _network(told: dict[str, Any], split: int | None) -> Shown:
    """A network that `zsar finetune` trained: what it depends on, and a row a split."""
    from pipelines.errors import UsageError
    from pipelines.learn import trainables
    from pipelines.learn.runs import DONE

    about, there = told["about"], ", ".join(str(row["number"]) for row in told["splits"])
    if split is not None:
        told["splits"] = [row for row in told["splits"] if row["number"] == split]
        if not told["splits"]:
            raise UsageError(f"{told['run']} was not trained on split {split}; it was on {there or 'none'}.")
    config = about["config"]
    fields = {"network": config["model"], "data set": config["dataset"], "protocol": config["protocol"]}
    called = trainables.learned_from(config["model"])
    fields |= {"state": told["state"], called: about["sequences"]}
    fields |= {name: about[name] for name in ("failed", "layout", "command", "made") if about.get(name)}
    fields["settings"] = {k: v for k, v in config.items() if k not in ("model", "dataset", "protocol") and v}
    if len(told["splits"]) == 1:
        fields |= {name: told["splits"][0][name] for name in ("classes", "unseen") if told["splits"][0][name]}
    parts: list[str | Table] = [
        Table(told["run"], [{"field": k, "value": plain(v)} for k, v in fields.items()], lines=True),
        Table("Splits", [_split(row, called) for row in told["splits"]]),
    ]
    if told["state"] != DONE and about.get("command"):
        parts.append(f"If nothing works on it, this goes on: `{about['command']}`.")
    return Shown(told, parts)


def _split(row: dict[str, Any], called: str) -> dict[str, Any]:
    """One split of a network's training, as a row for people."""
    shown = {"split": row["number"], "state": row["state"], "classes": len(row["classes"]) or None}
    top1 = None if row["top1"] is None else percent("top1", row["top1"])
    shown |= {called: row["trained_on"], "tested on": row["tested_on"] or None, "top-1": top1}
    seconds = None if row["seconds"] is None else f"{row['seconds']:.1f}"
    shown |= {"epochs": row["epochs"], "seconds": seconds, "weights": row["weights"]}
    return {name: "" if value is None else value for name, value in shown.items()}
