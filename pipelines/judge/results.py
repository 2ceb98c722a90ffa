"""Results: every judged run as a row, beside what the papers print.

Run    `zsar list results`
Takes  the runs of a root; `published.json`
Gives  rows of plain values; what they are not comparable in stands in the row

Rows are grouped by data set, protocol and setting, then by features: a better number on other features, or on features
that were trained on test classes, is no better method. `judged` counts the configurations that were judged on the same
unseen classes: the more were, the less the best of them says. A run whose features or texts have changed since is stale
and comes with the command that makes it anew.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from extractors.recipe import is_outdated
from pipelines.errors import UsageError
from pipelines.learn.protocols.fifths import fifths, kept_back_digest
from pipelines.learn.samples import features as videos
from pipelines.texts import cut, encoded
from stores.errors import Damaged, StoreError
from stores.features import FeatureStore
from stores.keys import joined_digest
from stores.root import Root
from stores.runs import Runs

PUBLISHED = Path(__file__).parent / "published.json"
_COLUMNS = (
    *("system", "dataset", "protocol", "setting", "splits", "top1", "std", "top5", "class_mean", "hubness", "seen"),
    *("unseen", "h", "n", "missing", "features", "pretraining", "texts", "snapshot", "given", "state", "run", "judged"),
)


def results(root: Root) -> list[dict[str, Any]]:
    """Every judged run, a row a setting, and after each group what is published for it.

    At the end runs that are damaged: nothing but their names, and what is damaged as their state.
    """
    rows, damaged = [], []
    for run in Runs(root).names():
        try:
            rows += results_of(run, root)
        except Damaged as error:
            damaged.append(dict.fromkeys(_COLUMNS) | {"run": run, "state": str(error)})
    groups = sorted({_group(row) for row in rows})
    listed = []
    for group in groups:
        own = sorted((row for row in rows if _group(row) == group), key=lambda r: (r["features"], -r["top1"]))
        for row in own:
            row["judged"] = len({r["run"] for r in own})
        listed += own + [row for row in _published() if _group(row) == group]
    return listed + damaged


def _group(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["dataset"], row["protocol"], row["setting"]


def results_of(run: str, root: Root) -> list[dict[str, Any]]:
    """The rows of one run, a setting each; none before it was judged. Damaged where a file of it is."""
    runs = Runs(root)
    table = runs.read(run, "results")
    if table is None:
        return []
    about = runs.about(run)
    found = []
    for setting in ("zsl", "gzsl"):
        rows = [row for row in table.to_pylist() if row["setting"] == setting]
        if rows:
            found.append(_row(run, setting, rows, about, _state(about, root)))
    return found


def judged_alike(row: dict[str, Any], root: Root) -> int:
    """How many runs were judged as that of a row: on its data set and protocol, in its setting."""
    found = 0
    for run in Runs(root).names():
        with contextlib.suppress(Damaged):
            found += any(_group(other) == _group(row) for other in _groups_of(run, root))
    return found


def _groups_of(run: str, root: Root) -> list[dict[str, Any]]:
    table = Runs(root).read(run, "results")
    return [] if table is None else table.select(["dataset", "protocol", "setting"]).to_pylist()


def _row(run: str, setting: str, rows: list[dict[str, Any]], about: dict[str, Any], state: str) -> dict[str, Any]:
    def mean(name: str) -> float | None:
        values = [row[name] for row in rows if row[name] is not None]
        return float(np.mean(values)) if values else None

    top1 = np.array([row["top1"] for row in rows])
    first = rows[0]
    met = {name for row in rows for name in row["overlap"]}
    near = {name for row in rows for name in row.get("near") or ()}
    return {
        "system": first["head"],
        "dataset": first["dataset"],
        "protocol": first["protocol"],
        "setting": setting,
        "splits": len(rows),
        "top1": float(top1.mean()),
        "std": float(top1.std()),
        "top5": mean("top5"),
        "class_mean": mean("mean_class_top1"),
        "hubness": mean("hubness"),
        "seen": mean("seen_top1"),
        "unseen": mean("unseen_top1"),
        "h": mean("harmonic_mean"),
        "n": sum(row["n"] for row in rows),
        "missing": sum(row["missing"] for row in rows),
        "features": first["feature"]
        + (" (captions)" if about["videos"]["captions"] else "")
        + (f" + {first['objects']}" if first.get("objects") else ""),
        "pretraining": first["pretraining"]
        + (f"; {len(met)} TEST CLASSES" if met else "")
        + (f"; {len(near)} near ones" if near else ""),
        "texts": "; ".join(
            [first["kinds"] + (", of unseen classes too" if first["unseen_texts"] else ""), *_cut(about)]
        ),
        "snapshot": first["snapshot"],
        "given": ", ".join(
            (
                *_learned_from(about),
                *about["config"]["options"],
                *(f"tune {t}" for t in about["config"]["tune"]),
                *about.get("runs", ()),
            )
        ),
        "state": state,
        "run": run,
    }


def _cut(about: dict[str, Any]) -> list[str]:
    """What is said of texts that the encoder did not read to their end; nothing of runs that did not count them."""
    told = cut.said(about["texts"].get("cut", {}), about["texts"]["feature"].partition("@")[0])
    return [told] if told else []


def _learned_from(about: dict[str, Any]) -> list[str]:
    learned = about.get("learned_from")
    return [f"learned from {learned['dataset']} without {len(learned['removed'])} classes"] if learned else []


def _state(about: dict[str, Any], root: Root) -> str:
    """`good`, or what has changed since and what to do."""
    if parts := about.get("runs"):  # several that were judged as one
        return _state_of_several(parts, about["command"], root)
    told, read = about["texts"], about["videos"]
    config = about["config"]
    try:
        kinds = tuple(dict.fromkeys(kind.partition("/")[0] for kind in told["kinds"]))
        same_texts = encoded.state_of(told["set"], kinds, root) == told["state"]
        digest = videos.digest_of(read["dataset"], read["feature"], told["set"], root)
        if learned := about.get("learned_from"):
            same_texts &= encoded.state_of(learned["set"], kinds, root) == learned["state"]
            own = videos.digest_of(learned["dataset"], read["feature"], learned["set"], root)
            digest = joined_digest(own, digest, learned["classes"])
        same_features = digest == read["digest"]
        same_fifth = True
        if kept := about.get("kept_back"):
            same_fifth = (
                kept_back_digest(fifths(*videos.groups_of(read["dataset"], read["feature"], told["set"], root))) == kept
            )
        if known := about.get("objects"):
            from pipelines.learn.samples import objects  # it brings torch, which a listing without objects needs not

            same_features &= objects.digest_of(known["feature"], read["dataset"], root) == known["digest"]
    except (StoreError, UsageError, pa.ArrowException):
        return f"stale: its features or texts are gone; they were {read['feature']} and the set {told['set']}"
    same = {"texts": same_texts, "features": same_features, "what is kept back": same_fifth}
    changed = [name for name, is_same in same.items() if not is_same]
    why = f"{' and '.join(changed)} changed" if changed else ""
    made_by = (read["feature"], *([about["objects"]["feature"]] if about.get("objects") else []))
    if any(is_outdated(FeatureStore(root).find(feature).recipe) for feature in made_by):
        why = "its features are of an earlier decoder"
    if not why:
        return "good"
    splits = f" --splits {config['splits']}" if config["splits"] else ""
    return f"stale: {why}; run `{about['command'].replace(splits, '')}{splits}`"


def _state_of_several(runs: list[str], command: str, root: Root) -> str:
    """`good` where each is."""
    for run in runs:
        about = Runs(root).told(run, "run.json")
        state = _state(about, root) if about else "gone: fit it again"
        if state != "good":
            return f"stale: {run} is {state.rstrip('.')}; then `{command}`"
    return "good"


def _published() -> list[dict[str, Any]]:
    """What the papers print, as fractions; nothing where the file is not beside the code."""
    if not PUBLISHED.exists():
        return []
    rows = []
    for row in json.loads(PUBLISHED.read_text())["rows"]:
        empty = dict.fromkeys(("top5", "class_mean", "hubness", "seen", "unseen", "h", "n", "missing"))
        percent = {name: row[name] / 100 for name in ("top1", "std", "top5") if name in row}
        rows.append(
            {"system": f"{row['system']}, published", **{k: row[k] for k in ("dataset", "protocol", "setting")}}
            | {"splits": None, "top1": None, "std": None, **empty, **percent}
            | {"features": row["features"], "pretraining": "", "texts": "", "snapshot": "", "given": ""}
            | {"state": row["source"], "run": "", "judged": None}
        )
    return rows
