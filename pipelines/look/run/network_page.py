"""The page of a network that was trained: on what, how its loss went, and what was judged with its weights.

Run    `zsar show RUN --html --split 0`
Takes  a run of `zsar finetune`, and the runs of heads that read features of its weights
Gives  the page, that `run_page` writes; one file, with drawings inside and no script
"""

import contextlib
from typing import Any

from markupsafe import Markup

from pipelines.errors import UsageError
from pipelines.judge.results import results
from pipelines.learn.departures import of_network
from pipelines.learn.runs import DONE, network
from pipelines.look.run.learned import learned, stages
from pipelines.pages.page import render
from stores.features import FeatureStore
from stores.keys import stream_key
from stores.root import Root
from stores.runs import WEIGHTS, Runs
from untrusted.names import few


def network_html(run: str, root: Root, split: int | None = None, nav: Markup | str = "") -> str:
    """The page of a network.

    Parameters
    ----------
    run : its full name
    root : Root
    split : which is pictured; None: the first that is trained
    nav : links above its title

    Raises
    ------
    UsageError
        No split, or not this one, is trained to the end.
    """
    told = network(root, run)
    there = {row["number"]: row for row in told["splits"] if row["state"] == DONE}
    if not there or (split is not None and split not in there):
        which = f"split {split}" if there else "any split"
        raise UsageError(
            f"{run} is not trained on {which} to the end; it is on {few(there) or 'none'}. "
            f"Run `{told['about'].get('command', 'zsar finetune')}`."
        )
    number = min(there) if split is None else split
    return render(
        "network",
        nav=nav,
        run=run,
        about=told["about"],
        settings={k: v for k, v in told["about"]["config"].items() if v not in ("", None, [], False)},
        departures=of_network(told["about"]),
        rows=told["splits"],
        done=len(there),
        number=number,
        own=there[number],
        stages=stages(run, number, root),
        learned=learned(run, number, root),
        judged=_judged(run, root),
    )


def _judged(run: str, root: Root) -> list[dict[str, Any]]:
    """Results of heads on features whose weights this run made: a row a run and setting, the best first."""
    digests = set()
    store, runs = FeatureStore(root), Runs(root)
    for number in runs.splits(run):
        with (
            contextlib.suppress(FileNotFoundError),  # not trained to its end
            runs.at_hand(run, f"split-{number:03d}", WEIGHTS) as path,
            open(path, "rb") as file,
        ):
            digests.add(stream_key(file).hex())
    own = {name for name in store.names() if store.find(name).recipe.get("weights") in digests}
    rows = [
        row
        for row in results(root)
        if row["run"] and row["top1"] is not None and runs.about(row["run"])["videos"]["feature"] in own
    ]
    return sorted(rows, key=lambda row: (row["setting"], -row["top1"]))
