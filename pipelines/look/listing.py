"""What the cache holds, as rows of plain values: `zsar list` and `zsar show`.

Run    `zsar list features`, `zsar list failures`, `zsar show i3d_k400`, `zsar show RUN`
Takes  a root
Gives  lists of dictionaries, ready for a table or for JSON
"""

import datetime
from collections.abc import Callable
from typing import Any

from pipelines import feature_sets
from pipelines.learn.runs import DONE, network, state_of
from stores.classes import Classes
from stores.errors import Damaged, NotInStore
from stores.failures import Failures
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from stores.selections import Selections
from stores.texts import KINDS, Texts
from untrusted.names import few


def features(root: Root) -> list[dict[str, Any]]:
    """Every feature set: name, outputs, items, rows, bytes, precision, where its weights are from, and its state."""
    store = FeatureStore(root)
    return [_row_of(store, name) for name in store.names()]


def _row_of(store: FeatureStore, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "outputs": "", "items": 0, "rows": 0, "bytes": 0}
    row |= {"precision": "", "weights": "", "recipe": "", "state": "good"}
    try:
        feature_set = store.find(name)
    except Damaged as error:
        return row | {"state": str(error)}
    recipe = feature_set.recipe
    try:
        (items, count), size = feature_set.shape(), feature_set.size_bytes()
    except Damaged as error:
        return row | {"recipe": feature_set.key, "state": str(error)}
    row |= {"outputs": ", ".join(feature_set.outputs), "items": items, "rows": count, "recipe": feature_set.key}
    return row | {
        "bytes": size,
        "precision": recipe["precision"],
        "weights": recipe["weights"][:16],
        "state": f"of {before}: extract it anew" if (before := feature_sets.former(recipe)) else "good",
    }


def failures(root: Root) -> list[dict[str, Any]]:
    """Items without features, each with file, stage and reason; one that has features by now is not listed."""
    latest = Failures(root).latest().to_pylist()
    held = {name: _keys(root, name) for name in {row["feature"] for row in latest} if name}
    read = {name: _last_seen(root, name) for name in {row["dataset"] for row in latest if not row["feature"]}}
    rows = []
    for row in latest:
        name = row["feature"]
        if name and row["key"] in held[name]:
            continue
        is_record = row["error"] == "BadRecord"  # its place is FILE:LINE
        where = row["uri"].rpartition(":")[0] if is_record else row["uri"]
        if not name and read[row["dataset"]].get(where, 0) > row["time_ns"]:
            continue
        rows.append(
            {
                "file": row["uri"],
                "dataset": row["dataset"],
                "stage": row["stage"],
                "feature": name,
                "error": row["error"],
                "reason": row["message"],
                "attempts": row["attempts"],
                "time": datetime.datetime.fromtimestamp(row["time_ns"] // 10**9, datetime.UTC).isoformat(),
                "key": row["key"].hex() if row["key"] else None,
            }
        )
    return rows


def _keys(root: Root, name: str) -> set[bytes]:
    feature_set = FeatureStore(root).get(name)
    return set() if feature_set is None else {key.tobytes() for key in feature_set.keys()}


def _last_seen(root: Root, dataset: str) -> dict[str, int]:
    """When each file and each video id of a data set was last indexed without fault, in ns."""
    manifest = Manifest(root)
    if dataset not in manifest.datasets():
        return {}
    table = manifest.read(dataset, ["uri", "video_id", "seen_ns"]).to_pydict()
    return {
        name: seen for column in ("video_id", "uri") for name, seen in zip(table[column], table["seen_ns"], strict=True)
    }


def datasets(root: Root) -> list[dict[str, Any]]:
    """Every data set, and each version of a selection: rows, distinct contents, labels, how it was selected."""
    manifest = Manifest(root)
    rows = []
    for name in manifest.datasets():
        table = manifest.read(name, ["key", "label"])
        rows.append(
            {
                "dataset": name,
                "videos": table.num_rows,
                "contents": len(table["key"].unique()),
                "classes": len(table["label"].drop_null().unique()),
                "selected": "",
            }
        )
    held = Selections(root)
    for name in held.names():
        for version in held.versions(name):
            table, about = held.read(name, version, ["key", "label"]), held.about(name, version)
            rows.append(
                {
                    "dataset": f"{name}@{version}",
                    "videos": table.num_rows,
                    "contents": len(table["key"].unique()),
                    "classes": len(table["label"].drop_null().unique()),
                    "selected": f"from {', '.join(about['sources'])}: {about['question']}",
                }
            )
    return rows


def lineage(root: Root, name: str) -> dict[str, Any]:
    """Where a feature set comes from: recipe, outputs, sizes, and every commit with its library versions."""
    feature_set = FeatureStore(root).find(name)
    items, rows = feature_set.shape()
    return {
        "name": feature_set.name,
        "key": feature_set.key,
        "recipe": feature_set.recipe,
        "outputs": feature_set.outputs,
        "items": items,
        "rows": rows,
        "bytes": feature_set.size_bytes(),
        "commits": feature_set.commits(),
    }


def kind_of(root: Root, name: str) -> str:
    """Whether a name is one of a `feature set` or of a `run`; of both: of a feature set.

    Raises
    ------
    NotInStore, Ambiguous
        Neither, or several; the message lists both kinds.
    """
    try:
        FeatureStore(root).resolve(name)
        return "feature set"
    except NotInStore as error:
        there = sorted({*Runs(root).names(), *Runs(root).networks()})
        if not any(run.startswith(name) for run in there):
            raise NotInStore(
                f"{error} No run is called so either; there are: {few(there, like=name) or 'none yet'}."
            ) from None
    return "run"


def run(root: Root, name: str) -> dict[str, Any]:
    """What a run depends on, its state, and what came of it.

    Of a head: about (as `run.json` has it), state, results, a row a split and setting. Of a network: as
    `runs.network`.
    """
    from pipelines.judge.results import results_of

    store = Runs(root)
    full = store.find_any(name)
    if full not in store.names():
        return network(root, full)
    table = store.read(full, "results")
    states = [row["state"] for row in results_of(full, root)]
    return {
        "run": full,
        "about": store.about(full),
        "state": states[0] if states else "not judged",
        "results": [] if table is None else table.to_pylist(),
    }


def texts(root: Root) -> list[dict[str, Any]]:
    """Every set of classes or texts: its classes, and how many texts of each kind stand for them."""
    classes = Classes(root)
    named, told = classes.sets(), Texts.sets(root)
    rows = []
    for name in sorted({*named, *told}):
        table = Texts(root, name).read(["kind", "key"]) if name in told and Texts(root, name).parts() else None
        counts = {} if table is None else {e["values"]: e["counts"] for e in table["kind"].value_counts().to_pylist()}
        rows.append(
            {
                "set": name,
                "classes": classes.read(name).num_rows if name in named else 0,
                **{kind: counts.get(kind, 0) for kind in KINDS if kind not in ("class", "elaboration")},
                "different": 0 if table is None else len(table["key"].unique()),
            }
        )
    return rows


def runs(root: Root) -> list[dict[str, Any]]:
    """Every run: the head or the network that was trained, on what, when, whether it is done, and top-1 if judged."""
    store = Runs(root)
    heads = [_or_damage(name, lambda name: _head(store, name)) for name in store.names()]
    networks = [_or_damage(name, lambda name: _network(root, name)) for name in store.networks()]
    return sorted([*heads, *networks], key=lambda row: row["run"])


def _or_damage(name: str, row_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The row of a run; of one that is damaged its name, and what is damaged as its state."""
    try:
        return row_of(name)
    except Damaged as error:
        row = dict.fromkeys(("head", "network", "dataset", "feature", "protocol", "made"), "")
        return {"run": name, **row, "fitted": 0, "judged": False, "top1": None, "state": str(error)}


def _head(store: Runs, name: str) -> dict[str, Any]:
    about, table, begun = store.about(name), store.read(name, "results"), store.splits(name)
    done = sum(store.told(name, f"split-{number:03d}", "split.json") is not None for number in begun)
    judged = [] if table is None else [row["top1"] for row in table.to_pylist() if row["setting"] == "zsl"]
    return {
        "run": name,
        "head": about["config"]["head"],
        "network": "",
        "dataset": about["videos"]["dataset"],
        "feature": about["videos"]["feature"],
        "protocol": about["protocol"]["name"],
        "fitted": done,
        "judged": table is not None,
        "top1": sum(judged) / len(judged) if judged else None,
        "state": state_of(done, len(begun)),
        "made": about["made"],
    }


def _network(root: Root, name: str) -> dict[str, Any]:
    found = network(root, name)
    about = found["about"]
    return {
        "run": name,
        "head": "",
        "network": about["config"]["model"],
        "dataset": about["config"]["dataset"],
        "feature": "",
        "protocol": about["config"]["protocol"],
        "fitted": sum(row["state"] == DONE for row in found["splits"]),
        "judged": found["top1"] is not None,
        "top1": found["top1"],
        "state": found["state"],
        "made": about.get("made", ""),
    }


def results(root: Root) -> list[dict[str, Any]]:
    """Every judged run, and what is published; see `judge.results`, whose imports no other list needs."""
    from pipelines.judge.results import results as judged

    return judged(root)


LISTS: dict[str, Callable[[Root], list[dict[str, Any]]]] = {
    "features": features,
    "failures": failures,
    "datasets": datasets,
    "texts": texts,
    "runs": runs,
    "results": results,
}
