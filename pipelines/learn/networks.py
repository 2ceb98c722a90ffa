"""Networks that `zsar finetune` trained, as plain values: what `zsar list runs` and `zsar show RUN` tell of them.

Takes  a run's `finetune.json`, and `split.json` of each split that is done
Gives  dictionaries, ready for a table or for JSON

A split without `split.json` is being trained or was killed: nothing else is kept that would tell one from the other.
"""

from typing import Any

import numpy as np

from stores.root import Root
from stores.runs import Runs

DONE = "done"
_UNDER_WAY = "in progress, or killed"
_COUNTS = ("trained_on", "tested_on", "twins", "epochs", "top1", "seconds")


def state_of(done: int, begun: int) -> str:
    """Whether all that was begun of a run is done."""
    return DONE if done == begun else f"{done} of {begun} splits: {_UNDER_WAY}"


def network(root: Root, run: str) -> dict[str, Any]:
    """What one run trained, and on what.

    Parameters
    ----------
    root : Root
    run : str
        Its full name.

    Returns
    -------
    dict
        run, about (as `finetune.json` has it), state, top1 (mean over the splits that were tested, or None), and a row
        a split: number, state, classes, unseen, trained_on and tested_on (sequences), twins, epochs, top1, seconds,
        weights (path); what is not known is None.
    """
    runs = Runs(root)
    about = runs.told(run, "finetune.json") or {}
    numbers = sorted({*about.get("splits", ()), *runs.splits(run)})
    rows = [_split(root, runs, run, number) for number in numbers]
    tested = [row["top1"] for row in rows if row["top1"] is not None]
    return {
        "run": run,
        "about": about,
        "state": state_of(sum(row["state"] == DONE for row in rows), len(rows)),
        "top1": float(np.mean(tested)) if tested else None,
        "splits": rows,
    }


def _split(root: Root, runs: Runs, run: str, number: int) -> dict[str, Any]:
    folder = f"split-{number:03d}"
    row: dict[str, Any] = {"number": number, "state": "not begun", "classes": [], "unseen": []}
    row |= dict.fromkeys((*_COUNTS, "weights"))
    if told := runs.told(run, folder, "split.json"):
        row |= {name: told[name] for name in row if name in told} | {"state": DONE}
        row["weights"] = root.path("runs", run, folder, "weights.safetensors")
    elif number in runs.splits(run):
        row["state"] = _UNDER_WAY
    return row
