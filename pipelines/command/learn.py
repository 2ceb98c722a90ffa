"""`zsar fit` and `zsar finetune`: heads and backbones, on seen classes."""

import dataclasses
from typing import TYPE_CHECKING, Any

from pipelines.command.base import command, without_zeros
from pipelines.command.screen import Bar, Shown, counts
from pipelines.learn.settings import FinetuneConfig, FitConfig

if TYPE_CHECKING:
    from stores.root import Root


@command("fit", FitConfig)
def fit(settings: FitConfig, root: "Root") -> Shown:
    """Train a head on the seen classes of each split of a protocol.

    Whatever is chosen is chosen on classes held out from a split's seen ones. Kill it at any moment and run it again:
    it goes on. Then `zsar evaluate RUN` judges it on the unseen classes.

    JSON: run, splits, fitted (those trained now), seconds; notes when there are any.
    """
    from stores.features import FeatureStore
    from stores.manifest import Manifest

    Manifest(root).find(settings.dataset), FeatureStore(root).resolve(settings.feature)  # told before torch is imported
    from pipelines.learn import fit

    with Bar("Fitting") as advance:
        report = fit.fit(settings, root, advance)
    fields = without_zeros(dataclasses.asdict(report) | {"seconds": round(report.seconds, 3)}, "notes")
    shown = {"splits": report.splits, "fitted now": report.fitted, "seconds": fields["seconds"]}
    return Shown(
        fields,
        [counts(report.run, shown), f"Judge it: `zsar evaluate {report.run} --root {root.url}`"],
        [f"Note: {note}." for note in report.notes],
    )


@command("finetune", FinetuneConfig, shared=True)
def finetune(settings: FinetuneConfig, root: "Root") -> Shown:
    """Train a network on the videos or poses of the seen classes of each split of a protocol, or of all classes.

    Kill it at any moment and run it again: it goes on. Then `zsar judge RUN` extracts with its weights and judges a
    head on the features; `zsar extract MODEL --weights MODEL=WEIGHTS` makes features of any other data set.

    JSON: run, weights (a path; with several splits paths by number), seconds; top1 (a fraction) where --test is given;
    failed, the items that cannot be used, and notes when there are any.
    """
    from stores.manifest import Manifest

    Manifest(root).find(settings.dataset)  # told before torch is imported
    from pipelines.learn import finetune, trainables

    with Bar("Training") as advance:
        report = finetune.finetune(settings, root, advance)
    paths = list(report.weights.values())
    fields: dict[str, Any] = {"run": report.run, "weights": paths[0] if len(paths) == 1 else report.weights}
    fields |= {} if report.top1 is None else {"top1": report.top1}
    fields |= {"seconds": round(report.seconds, 3), "failed": report.failed, "notes": report.notes}
    called = trainables.learned_from(settings.model)
    shown = {called: report.sequences, "failed": report.failed, "splits trained now": report.trained}
    parts = [counts(report.run, without_zeros(shown, "failed") | {"seconds": round(report.seconds, 1)})]
    if report.top1 is not None:
        parts.append(f"top-1 of the {called} to test: {100 * report.top1:.2f} %")
    if settings.protocol == "none":
        use = f"zsar extract {settings.model} --dataset {settings.dataset} --weights {settings.model}={paths[0]}"
        parts.append(f"Use them: `{use} --root {root.url}`")
    else:
        parts.append(f"Judge it: `zsar judge {report.run} --root {root.url}`")
    parts.append(f"Look at it: `zsar show {report.run} --html --root {root.url}`")
    return Shown(without_zeros(fields, "failed", "notes"), parts, [f"Note: {note}." for note in report.notes])
