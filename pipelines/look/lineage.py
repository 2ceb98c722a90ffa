"""Lineage: from a number to all it came from, and what a feature set cost.

Run    `zsar show RUN --lineage [--split 3]`, `zsar show i3d_k400 --per-hour 2.5`
Takes  a run that was judged; a feature set
Gives  plain values: number, head, protocol and split with its weights, features and texts with recipe, snapshot and
       whether they are still the same, failures, and the clips that were judged; seconds, bytes, price
"""

import datetime
from collections import defaultdict
from typing import Any

import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.judge.results import results_of
from pipelines.look import listing
from stores.errors import StoreError
from stores.features import FeatureSet, FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs

_WEIGHTS = ".safetensors"
_NUMBERS = ("top1", "top5", "mean_class_top1", "seen_top1", "unseen_top1", "harmonic_mean", "n", "missing")


def of_run(name: str, root: Root, split: int | None = None) -> dict[str, Any]:
    """All that the numbers of a run depend on.

    Parameters
    ----------
    name : of a run of a head, or how it begins
    root : Root
    split : whose clips are listed; none: the first that was judged

    Returns
    -------
    numbers, protocol, splits, clips and commands, and head, videos, texts, failures, versions, made, or `runs` with
    these of each of several that were judged as one : as `zsar show RUN --lineage --json` says them

    Raises
    ------
    NotInStore, Ambiguous
        No such run, or several.
    UsageError
        It was not judged, or not on that split.
    """
    runs = Runs(root)
    full = runs.find(name)
    about, table = runs.about(full), runs.read(full, "results")
    if table is None:
        raise UsageError(f"{full} was not judged, so there is no number. Run `zsar evaluate {full}`.")
    rows = table.to_pylist()
    numbers = sorted({row["split"] for row in rows})
    chosen = numbers[0] if split is None else split
    if chosen not in numbers:
        raise UsageError(f"{full} was not judged on split {split}. Run `zsar evaluate {full}`.")
    means = results_of(full, root)
    parts = about.get("runs")
    by = {"runs": [{"run": part, **_sources(runs.about(runs.find(part)), root)} for part in parts]} if parts else {}
    return {
        "run": full,
        "numbers": [{k: row[k] for k in ("setting", "top1", "std", "h", "splits", "state")} for row in means],
        "protocol": about["protocol"],
        "splits": [_split(parts or [full], row, runs, root) for row in rows],
        **(by or _sources(about, root)),
        "clips": _clips(full, chosen, about["videos"]["dataset"], runs, root),
        "made": about["made"],
        "commands": [about["command"], *([] if parts else [f"zsar evaluate {full}"])],
    }


def _sources(about: dict[str, Any], root: Root) -> dict[str, Any]:
    """What the head of a run is, and what it was fitted on."""
    videos, texts = about["videos"], about["texts"]
    return {
        "head": {"name": about["config"]["head"], "options": about["options"], "seed": about["config"]["seed"]},
        "videos": _features(videos, root) | {k: videos[k] for k in ("dataset", "pretraining") if k in videos},
        "texts": _features(texts, root) | {k: texts[k] for k in ("set", "kinds")},
        "failures": _failures(videos, root),
        "versions": about["versions"],
    }


def _split(by: list[str], row: dict[str, Any], runs: Runs, root: Root) -> dict[str, Any]:
    """One number of a run, the classes it is of and the weights it is by, of the runs that were fitted."""
    folder = f"split-{row['split']:03d}"
    told = runs.told(by[0], folder, "split.json") or {}
    files = [(each, name) for each in by for name in root.names_in(f"runs/{each}/{folder}") if name.endswith(_WEIGHTS)]
    return {
        "split": row["split"],
        "setting": row["setting"],
        **{name: row[name] for name in _NUMBERS if row.get(name) is not None},
        "seen": told.get("seen", []),
        "unseen": told.get("unseen", []),
        "weights": [root.path("runs", each, folder, file) for each, file in files],
    }


def _features(told: dict[str, Any], root: Root) -> dict[str, Any]:
    """A feature set as it was read, and as it is now."""
    found: dict[str, Any] = {name: told[name] for name in ("feature", "recipe", "snapshot")}
    try:
        held = FeatureStore(root).find(told["feature"])
    except StoreError as error:
        return found | {"now": str(error), "rows_at": None, "made_from": None}
    known = {commit["snapshot"]: commit for commit in held.commits()}
    commit = known.get(told["snapshot"])
    now = "the same" if held.snapshot == told["snapshot"] else f"at {held.snapshot}"
    recipe = {name: held.recipe[name] for name in ("extractor", "weights", "precision") if name in held.recipe}
    return found | {
        "now": now,
        "committed": commit["time"] if commit else "its commit was freed (zsar drop --gc)",
        "made_from": recipe | {"sampling": held.recipe.get("sampling"), "source": held.recipe.get("source")},
    }


def _failures(videos: dict[str, Any], root: Root) -> list[dict[str, Any]]:
    """What gave no features of the set, and so was judged by nobody."""
    own = (row for row in listing.failures(root) if row["dataset"] == videos["dataset"])
    return [
        {name: row[name] for name in ("file", "stage", "feature", "error", "reason")}
        for row in own
        if row["feature"] in ("", videos["feature"])
    ]


def _clips(run: str, split: int, dataset: str, runs: Runs, root: Root) -> dict[str, Any]:
    """The clips that a split was judged on, wrong ones first, with where their films are."""
    table = runs.read(run, "judged")
    if table is None:
        return {"split": split, "judged": 0, "right": 0, "rows": []}
    rows = table.filter(pc.equal(table["split"], split)).to_pylist()
    try:
        items = Manifest(root).read(dataset, ["video_id", "uri", "start_s", "end_s"]).to_pylist()
    except StoreError:
        items = []
    places = {item.pop("video_id"): item for item in items}
    found = [
        {name: row[name] for name in ("setting", "video_id", "label")}
        | {"said": row["best"][0], "score": row["scores"][0], "right": row["best"][0] == row["label"]}
        | places.get(row["video_id"], {"uri": None, "start_s": None, "end_s": None})
        for row in rows
    ]
    found.sort(key=lambda row: (row["right"], row["setting"] != "zsl"))
    return {"split": split, "judged": len(found), "right": sum(row["right"] for row in found), "rows": found}


# -- what a feature set cost -------------------------------------------------------------------------------------------


def cost(held: FeatureSet, per_hour: float = 0.0) -> dict[str, Any]:
    """What a feature set cost to make.

    Parameters
    ----------
    held : FeatureSet
    per_hour : price of an hour of the machine that made it; 0: none is told

    Returns
    -------
    dict
        seconds: wall time of the runs that committed to it, an equal share of those that made several features at once;
        seconds_known: of how many of its commits of items they were recorded, `of` how many (earlier commits have none:
        of a run with several the time from its first to its last counts, which is too little); items_a_second, bytes,
        bytes_an_item; with a price `price` and `price_a_thousand` items.
    """
    items, rows = held.shape()
    commits = [commit for commit in held.commits() if "run" in commit["with"]]
    recorded = [commit["with"] for commit in commits if "seconds" in commit["with"]]
    seconds = sum(float(told["seconds"]) / max(1, int(told["features"])) for told in recorded)
    earlier = defaultdict(list)
    for commit in commits:
        if "seconds" not in commit["with"]:
            earlier[commit["with"]["run"]].append(datetime.datetime.fromisoformat(commit["time"]))
    seconds += sum((max(times) - min(times)).total_seconds() for times in earlier.values())
    size = held.size_bytes()
    told: dict[str, Any] = {"seconds": round(seconds, 3), "seconds_known": len(recorded), "of": len(commits)}
    told |= {"items": items, "rows": rows, "items_a_second": round(items / seconds, 3) if seconds else None}
    told |= {"bytes": size, "bytes_an_item": round(size / items) if items else None}
    if per_hour:
        price = seconds / 3600 * per_hour
        told |= {"price": round(price, 6), "price_a_thousand": round(1000 * price / items, 6) if items else None}
    return told
