"""Judge a network: features with the weights of each split, and a head on them that is judged on its unseen classes.

Run    `zsar judge RUN`, `zsar judge RUN --dataset ucf101 --protocol cross-0/50`
Takes  a run of `zsar finetune` on the splits of a protocol; or on all classes, and another data set
Gives  a feature set a split, a run of `zsar fit` a split with its results, and their mean and deviation

Every step is found again by what it depends on, so a judgement that was killed goes on where it was.
"""

import dataclasses
import time
from typing import Any

import numpy as np

import heads
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.measures import EvaluateReport
from pipelines.judge.settings import EvaluateConfig, JudgeConfig
from pipelines.learn import trainables
from pipelines.learn.finetune import own_options
from pipelines.learn.fit import fit
from pipelines.learn.parts import NO_PROTOCOL
from pipelines.learn.protocols.protocols import chosen, protocol
from pipelines.learn.runs import Run
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.progress import Progress
from stores.root import Root
from stores.runs import Runs
from untrusted.names import few


@dataclasses.dataclass(frozen=True)
class JudgeReport(EvaluateReport):
    """How a network fares on the unseen classes of its splits: `run` is the network's.

    Attributes
    ----------
    head : that judged
    judged : the run of `fit` that judged each split, by its number
    """

    head: str
    judged: dict[int, str]


def judge(config: JudgeConfig, root: Root, progress: Progress | None = None) -> JudgeReport:
    """Extract with the weights of each split, fit a head and judge it.

    Raises
    ------
    NotInStore, Ambiguous
        No such run.
    UsageError
        Not of `finetune`, nothing trained, or trained on all classes; what `fit` refuses.
    """
    started = time.monotonic()
    run, trained = trained_by(config, root)
    asked = [0] if config.protocol else wanted(config, run, trained)
    found: dict[int, EvaluateReport] = {}
    for done, number in enumerate(asked, start=1):
        feature = features(config, run, trained, number)
        found[number] = judged(config, run, trained, number, feature)
        if progress:
            progress(done, len(asked))
    return JudgeReport(
        run=run.name,
        head=_head(config, trained)["head"],
        judged={number: report.run for number, report in found.items()},
        splits=len(found),
        n=sum(report.n for report in found.values()),
        missing=sum(report.missing for report in found.values()),
        zsl=over([report.zsl for report in found.values()]),
        gzsl=over([report.gzsl for report in found.values()]),
        overlap=tuple(sorted({name for report in found.values() for name in report.overlap})),
        near=tuple(sorted({name for report in found.values() for name in report.near})),
        kept_nearest={number: own for report in found.values() for number, own in report.kept_nearest.items()},
        seconds=time.monotonic() - started,
    )


def trained_by(config: JudgeConfig, root: Root) -> tuple[Run, FinetuneConfig]:
    """The run that is asked for, and its settings.

    Raises
    ------
    NotInStore, Ambiguous, UsageError
        As `judge`.
    """
    run = Run(root, Runs(root).find_any(config.run), "finetune")
    about = run.about()
    if not about:
        raise UsageError(f"{run.name} is no network: it was made by `zsar fit`. Run `zsar evaluate {run.name}`.")
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about["config"].items()}
    trained = FinetuneConfig(**fields)
    if trained.protocol == NO_PROTOCOL and not config.protocol:
        raise UsageError(
            f"{run.name} was trained on all classes, so none of {trained.dataset!r} is unseen. Judge it on another "
            f"data set, `zsar judge {run.name} --dataset OTHER --protocol cross-0/50`, or train on a protocol's."
        )
    if config.protocol and trained.protocol != NO_PROTOCOL:
        raise UsageError(
            f"{run.name} was trained on the splits of {trained.protocol}, which it is judged on: leave --protocol out."
        )
    return run, trained


def wanted(config: JudgeConfig, run: Run, trained: FinetuneConfig) -> list[int]:
    """The splits to judge; UsageError where one of them is not trained."""
    numbers = chosen(config.splits, protocol(trained.protocol).count)
    lacking = run.lacking(numbers)
    there = [number for number in numbers if number not in lacking]
    if not there or (config.splits and lacking):
        raise UsageError(f"{run.name} has no weights of split {few(lacking)}. Run `{run.about()['command']}`.")
    return there


def features(config: JudgeConfig, run: Run, trained: FinetuneConfig, number: int) -> str:
    """Full name of the feature set of a split's weights, which is computed where it lacks."""
    weights = f"{trained.model}={run.weights(number)}"
    spec = f"{trained.model}:{config.sampling}" if config.sampling else trained.model
    datasets = [config.dataset or trained.dataset]
    if _learns_elsewhere(config, trained):
        datasets.append(trained.dataset)
    asked = [ExtractConfig((spec,), dataset, (weights,), device=config.device) for dataset in datasets]
    name, *_ = (extract(each, run.root).features[0].name for each in asked)
    return name


def judged(config: JudgeConfig, run: Run, trained: FinetuneConfig, number: int, feature: str) -> EvaluateReport:
    """A head on a split's features, fitted and judged on its unseen classes."""
    elsewhere: dict[str, Any] = {}
    if _learns_elsewhere(config, trained):
        own = getattr(own_options(trained), "set", "") or trained.set
        elsewhere = {"judge": config.dataset, "tau": trained.tau, "set": own}
    own = _head(config, trained)
    if own.pop("as_trained", False):  # the head that was trained with the network judges as it is
        own |= {"weights": str(run.weights(number)), "options": (*own.get("options", ()), "epochs=0")}
    asked = FitConfig(
        dataset=trained.dataset if elsewhere else config.dataset or trained.dataset,
        feature=feature,
        protocol=config.protocol or trained.protocol,
        splits=config.splits if config.protocol else str(number),
        gzsl=trained.gzsl,
        seed=trained.seed,
        device=config.device,
        **own | elsewhere,
    )
    return evaluate(EvaluateConfig(fit(asked, run.root).run), run.root)


def _head(config: JudgeConfig, trained: FinetuneConfig) -> dict[str, Any]:
    """What judges: as it is asked for, else as what was trained says."""
    options = own_options(trained)
    own = dict(trainables.find(trained.model).judged_by(options))
    own["set"] = "" if config.dataset else getattr(options, "set", "") or trained.set
    if config.head and config.head != own["head"]:  # the rest belongs to that head
        own = {"set": own["set"]}
    given = {name: getattr(config, name) for name in ("head", "output", "encoder", "set", "options")}
    return own | {name: value for name, value in given.items() if value}


def _learns_elsewhere(config: JudgeConfig, trained: FinetuneConfig) -> bool:
    """Whether the head learns from what the network was trained on, and is judged on another data set."""
    return config.dataset not in ("", trained.dataset) and heads.find(_head(config, trained)["head"]).learns


def over(reports: list[dict[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Mean and deviation over the splits, of the numbers that all have; of one report those it has."""
    if len(reports) == 1:
        return reports[0]
    names = [name for name in (reports[0] if reports else ()) if all(name in report for report in reports)]
    values = {name: [report[name][0] for report in reports] for name in names}
    return {name: (float(np.mean(own)), float(np.std(own))) for name, own in values.items()}
