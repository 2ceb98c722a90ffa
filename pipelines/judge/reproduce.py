"""Reproduce: a named grid of runs, fitted and judged where they are not yet, as one table.

Run    `zsar reproduce ucf101-captions --root R --out docs/results.md`
Takes  `tables/NAME.toml`, or a file of that form (`table_files`)
Gives  the table as Markdown: mean and deviation over splits and seeds, and against the reference row the paired
       difference with its standard error (`paired`); what is published beside it, with what it was measured on

A row that was fitted and judged before is found again by what it depends on, and costs nothing; so is the backbone of
its feature, which is trained on the seen classes of the row's own protocol.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import extractors
import heads
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.fuse import fuse, members, name_of_fused
from pipelines.judge.settings import EvaluateConfig, FuseConfig
from pipelines.judge.table_files import Row, Table, tables
from pipelines.learn.departures import of_network, of_run
from pipelines.learn.finetune import finetune, settled
from pipelines.learn.fit import fit
from pipelines.learn.parts import NO_PROTOCOL
from pipelines.learn.protocols.protocols import chosen, protocol
from pipelines.learn.runs import Run
from pipelines.learn.settings import FinetuneConfig, FitConfig
from stores.errors import Ambiguous, NotInStore
from stores.features import FeatureStore
from stores.root import Root
from stores.runs import Runs

Told = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Judged:
    """A row with what its runs were judged to be.

    Attributes
    ----------
    row : of the table
    runs, configs : their names, and what each was fitted by
    found : result rows by setting, each with the seed of its run
    departures : in what it is other than what was published; None where nothing of its kind was
    """

    row: Row
    runs: tuple[str, ...]
    configs: tuple[FitConfig, ...]
    found: dict[str, list[dict[str, Any]]]
    departures: tuple[str, ...] | None = None

    @property
    def departs(self) -> str:
        """The departures in one line; empty where nothing of its kind was published."""
        return "" if self.departures is None else "; ".join(self.departures) or "as published"

    @property
    def seeds(self) -> int:
        """How many it was fitted with."""
        return len({row["seed"] for row in self.found["zsl"]})


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table with all its rows judged."""

    table: Table
    rows: tuple[Judged, ...]


def reproduce(
    name: str, root: Root, only: str = "", told: Told = lambda line: None, set_by_hand: Mapping[str, Any] | None = None
) -> list[Grid]:
    """Fit and judge what is missing of some tables.

    Parameters
    ----------
    name : of a file of tables, or a path
    root : Root
    only : tables whose title holds this text; nothing: all
    told : called with a line before each row
    set_by_hand : settings of every row in place of the table's: another data set, fewer splits

    Raises
    ------
    UsageError, StoreError, ExtractorError
        As `fit`, `evaluate` and `finetune`.
    """
    found = []
    for table in tables(name, set_by_hand):
        if only.lower() not in table.title.lower():
            continue
        told(table.title)
        rows: dict[str, Judged] = {}
        for row in sorted(table.rows, key=lambda row: bool(row.fuse)):  # rows of others after those
            own = _fused(row, [rows[name] for name in row.fuse], root) if row.fuse else _run(row, root)
            values = [r[table.measure] for r in own.found[table.settings[0]]]
            told(f"  {row.name}: {spread(values)} ({own.runs[0]})")
            rows[row.name] = own
        found.append(Grid(table, tuple(rows[row.name] for row in table.rows)))
    if not found:
        raise UsageError(f"{name} has no table whose title holds {only!r}.")
    return found


def _run(row: Row, root: Root) -> Judged:
    """Fit and judge what is missing of a row."""
    runs, configs, found = [], [], {setting: list[dict[str, Any]]() for setting in ("zsl", "gzsl")}
    for config in [each for whole in row.configs for each in _parts(row, whole)]:
        config = dataclasses.replace(config, feature=_feature(row, config, root))
        run = fit(config, root).run
        if not _is_judged(run, config, root):
            evaluate(EvaluateConfig(run), root)
        for setting, own in _judged(run, config, root).items():
            found[setting] += [r | {"seed": config.seed} for r in own]
        runs.append(run)
        configs.append(config)
    return Judged(row, tuple(runs), tuple(configs), found, _departures(row, runs[0], root))


def _fused(row: Row, parts: Sequence[Judged], root: Root) -> Judged:
    """Judge the runs of some rows as one, seed by seed and split by split, where they are not yet."""
    together: dict[tuple[str, ...], tuple[FitConfig, list[int]]] = {}
    for config in row.configs:
        for number in chosen(config.splits, protocol(config.protocol).count):
            runs = tuple(dict.fromkeys(_run_of(part, config.seed, number) for part in parts))
            if all(runs):
                together.setdefault(runs, (config, []))[1].append(number)
    if not together:
        raise UsageError(f"Row {row.name!r} fuses rows that have no split in common: {', '.join(row.fuse)}.")
    names, configs, found = [], [], {setting: list[dict[str, Any]]() for setting in ("zsl", "gzsl")}
    for runs, (whole, numbers) in together.items():
        config = dataclasses.replace(whole, splits=",".join(map(str, numbers)))
        # set by hand, what rows differ by may be the same: then they are one run, and so is this
        name = name_of_fused(members(runs, root)) if len(runs) > 1 else runs[0]
        if not _is_judged(name, config, root, runs[0]):
            fuse(FuseConfig(runs, config.splits), root)
        for setting, own in _judged(name, config, root, runs[0]).items():
            found[setting] += [r | {"seed": config.seed} for r in own]
        names.append(name)
        configs.append(config)
    return Judged(row, tuple(names), tuple(configs), found)


def _run_of(part: Judged, seed: int, number: int) -> str:
    """The run of a row that has a seed and split, empty where none has; of a row of one seed that stands for all."""
    of_one = len({config.seed for config in part.configs}) == 1
    for run, config in zip(part.runs, part.configs, strict=True):
        if (of_one or config.seed == seed) and number in chosen(config.splits, protocol(config.protocol).count):
            return run
    return ""


def _departures(row: Row, run: str, root: Root) -> tuple[str, ...] | None:
    """What was set by hand, in what its head departs, and in what its backbone does."""
    about = Run(root, run).about()
    own = of_run(about, row.as_published)
    told = {line.partition(" ")[0] for line in own}
    found = [*(line for line in row.differs if line.partition(" ")[0] not in told), *own]
    if row.backbone is not None:
        found += [f"backbone: {line}" for line in of_network({"config": dataclasses.asdict(settled(row.backbone))})]
    has_paper = heads.find(row.configs[0].head).paper is not None
    return tuple(found) if found or has_paper or row.as_published else None


def _parts(row: Row, config: FitConfig) -> list[FitConfig]:
    """What is fitted of a row at once: all its splits, or each of them, since each has a backbone of its own."""
    if row.backbone is None or row.backbone.protocol == NO_PROTOCOL:
        return [config]
    numbers = chosen(config.splits, protocol(config.protocol).count)
    return [dataclasses.replace(config, splits=str(number)) for number in numbers]


def _feature(row: Row, config: FitConfig, root: Root) -> str:
    """Name of the feature set of a row: one that is there, or one that is made as its options and its backbone say."""
    asked = config.feature
    if row.backbone is None and ":" not in asked and not row.weights and not _is_one_of_several(asked, root):
        return asked
    given: tuple[str, ...] = (f"{asked.partition(':')[0]}={row.weights}",) if row.weights else ()
    if row.backbone is not None:
        given = (f"{row.backbone.model}={_trained(row.backbone, row.before, config, root)}",)
    datasets = [config.dataset, *([config.judge] if config.judge else [])]  # learned from, and judged
    asked_for = [ExtractConfig((asked,), dataset, given, device=config.device) for dataset in datasets]
    name, *_ = (extract(each, root).features[0].name for each in asked_for)
    return name


def _is_one_of_several(asked: str, root: Root) -> bool:
    """Whether several sets are called so: of other weights, which another row asked for; then `extract` says which."""
    try:
        FeatureStore(root).resolve(asked)
    except Ambiguous:
        return asked in extractors.EXTRACTORS
    except NotInStore:
        return False
    return False


def _trained(backbone: FinetuneConfig, before: FinetuneConfig | None, config: FitConfig, root: Root) -> str:
    """Path of the weights of a split's backbone, which is trained where it is not there yet.

    Where class vectors draw the split, they are those of the row's encoder: another would draw other unseen classes.
    """
    if before is not None:
        (weights,) = finetune(before, root).weights.values()
        backbone = dataclasses.replace(backbone, weights=weights)
    if backbone.protocol != NO_PROTOCOL:
        backbone = dataclasses.replace(backbone, splits=config.splits)
    if backbone.protocol != NO_PROTOCOL and config.encoder and protocol(backbone.protocol).needs_vectors:
        backbone = dataclasses.replace(backbone, encoder=config.encoder)
    (weights,) = finetune(backbone, root).weights.values()
    return weights


def _judged(run: str, config: FitConfig, root: Root, fitted: str = "") -> dict[str, list[dict[str, Any]]]:
    """Result rows by setting, those of the splits asked for, in their order; `fitted`: whose splits they are."""
    results = Runs(root).read(run, "results")
    split_of = Run(root, fitted or run)
    wanted = set(chosen(config.splits, protocol(config.protocol).count))
    found: dict[str, list[dict[str, Any]]] = {"zsl": [], "gzsl": []}
    about = Run(root, run).about() if results is not None else {}
    for row in [] if results is None else results.to_pylist():
        if row["split"] in wanted:
            told = split_of.told(row["split"]) or {}
            more = {"sides": (len(told["seen"]), len(told["unseen"])), "cut": about["texts"].get("cut", {})}
            found[row["setting"]].append(row | more)
    return found


def _is_judged(run: str, config: FitConfig, root: Root, fitted: str = "") -> bool:
    count = len(chosen(config.splits, protocol(config.protocol).count))
    return len(_judged(run, config, root, fitted)["zsl"]) == count


def spread(values: list[float]) -> str:
    """Mean and deviation in percent."""
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f}"
