"""Extract: decode, compute, commit; killed at any moment it is continued by running it again.

Run    `zsar extract i3d_k400 --dataset asl`
Takes  a manifest, weights
Gives  feature sets with the rows of every item that could be decoded; the others in the failures, with the reason

The plan is computed from the store, so nothing else has to remember where a run was. What the forward threads give is
committed at least every 30 s, all of it in one commit a feature.
"""

import contextlib
import dataclasses
import os
import re
import time
import uuid
from collections.abc import Iterator
from typing import Protocol

from extractors import allocator
from extractors.base import Extractor
from extractors.errors import InputFault, MachineFault, NotFinite
from pipelines.config import ExtractConfig
from pipelines.errors import Stopped
from pipelines.plan import Feature, Item, Plan, plan
from pipelines.runner import Result, Runner
from stores.errors import WriteFailed
from stores.failures import Failure, Failures
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.root import Root


class Progress(Protocol):
    """Who is told how a run goes; the command line draws a bar, a flow writes an artifact."""

    def started(self, plan: Plan) -> None:
        """The plan is made and there is work to do."""

    def advanced(self, done: int, failed: int) -> None:
        """So many (item, feature) pairs are done, so many of these failed."""

    def committed(self, feature: str, items: int) -> None:
        """So many items of a feature are now in the store."""

    def waiting(self, feature: str) -> None:
        """Another run works on this feature set; this one goes on when that one ends."""


class Silent:
    """Nobody is told."""

    def started(self, plan: Plan) -> None:
        """Nothing."""

    def advanced(self, done: int, failed: int) -> None:
        """Nothing."""

    def committed(self, feature: str, items: int) -> None:
        """Nothing."""

    def waiting(self, feature: str) -> None:
        """Nothing."""


@dataclasses.dataclass(frozen=True)
class FeatureReport:
    """How one feature fared; counts are content keys.

    Attributes
    ----------
    planned : to be computed in this run
    extracted : computed and committed in this run
    skipped : in the store already
    failed : given up in this run, listed in the failures
    quarantined : left out, for they failed in an earlier run
    """

    name: str
    recipe: str
    planned: int
    extracted: int
    skipped: int
    failed: int
    quarantined: int


@dataclasses.dataclass(frozen=True)
class ExtractReport:
    """How a run fared.

    Attributes
    ----------
    features : one report a feature
    decoded : videos opened; each once, whatever the number of features
    seconds : wall time
    """

    features: tuple[FeatureReport, ...]
    decoded: int
    seconds: float


def extract(
    config: ExtractConfig, root: Root, progress: Progress | None = None, store: FeatureStore | None = None
) -> ExtractReport:
    """Compute what is missing of the features of a data set and commit it.

    Raises
    ------
    WriteFailed
        A commit did not happen; what earlier ones hold stays, and the next run computes the rest.
    Stopped
        `config.same_errors` items in a row failed alike: that is no fault of the items.
    ExtractorError, StoreError
        The run cannot begin as asked.
    KeyboardInterrupt
        Passed on after what was handed over is committed.
    """
    started = time.monotonic()
    progress = progress or Silent()
    store = store or FeatureStore(root)
    todo = plan(config, root)
    run = _Run(config, root, store, progress)
    if todo.missing.num_rows:
        with contextlib.ExitStack() as locks:
            for name in sorted(f.name for f in todo.features if f.planned):
                locks.enter_context(_sole_run(root, name, progress))
            todo = plan(config, root)  # again: another run may have done it while this one made its plan or waited
            if todo.missing.num_rows:
                progress.started(todo)
                run.run(todo)
    reports = tuple(run.report(feature) for feature in todo.features)
    return ExtractReport(reports, run.decoded, time.monotonic() - started)


class _Run:
    """One run: counts, and what has been handed over since the last commit."""

    def __init__(self, config: ExtractConfig, root: Root, store: FeatureStore, progress: Progress) -> None:
        self._config = config
        self._store = store
        self._progress = progress
        self._failures = Failures(root)
        self._id = uuid.uuid4().hex
        self._handed: dict[str, list[ItemRows]] = {}
        self._faults: list[Failure] = []
        self._suspects: list[tuple[int, Failure]] = []  # the last faults, as long as they are all alike
        self._attempts: dict[tuple[bytes, str], int] = {}
        self._extracted: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self.decoded = 0

    def run(self, todo: Plan) -> None:
        config = self._config
        device = device_of(config.device)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        forwards = (config.workers or cores) if device == "cpu" else 1
        active = {f.name: f for f in todo.features if f.planned}
        allocator.keep_freed_memory()
        for feature in active.values():
            feature.extractor.load(device)
        sets = {name: self._open(feature) for name, feature in active.items()}
        self._handed = {name: [] for name in active}
        self._attempts = self._failures.attempts()
        runner = Runner(
            {name: f.extractor for name, f in active.items()},
            {name: batch_units(f.extractor, device) for name, f in active.items()},
            forwards,
            config.decoders or cores,
        )
        last_commit = time.monotonic()
        try:
            with contextlib.closing(runner.results(todo.items())) as results:
                for result in results:
                    if result is not None:
                        self._take(result, active)
                    if time.monotonic() - last_commit >= config.commit_every_s:
                        self._commit(sets)
                        last_commit = time.monotonic()
        except WriteFailed:
            raise  # trying at once again would fail again
        except BaseException:
            self._commit(sets, last=True)
            raise
        else:
            self._commit(sets, last=True)
        finally:
            self.decoded = runner.decoded

    def report(self, feature: Feature) -> FeatureReport:
        name = feature.name
        return FeatureReport(
            name,
            feature.recipe.key,
            feature.planned,
            self._extracted.get(name, 0),
            feature.skipped,
            self._failed.get(name, 0),
            feature.quarantined,
        )

    def _open(self, feature: Feature) -> FeatureSet:
        outputs = {name: (o.shape, o.dtype) for name, o in feature.extractor.outputs.items()}
        recipe, columns = feature.recipe, feature.extractor.columns()
        return self._store.create(feature.name, recipe.to_dict(), recipe.key, outputs, columns)

    def _take(self, result: Result, active: dict[str, Feature]) -> None:
        item, name, outcome, order = result
        if isinstance(outcome, ItemRows):
            self._handed[name].append(outcome)
            self._acquit(before=order)
        else:
            self._quarantine(item, active[name], outcome, order)
        done = sum(self._extracted.values()) + sum(map(len, self._handed.values()))
        failed = sum(self._failed.values())
        self._progress.advanced(done + failed, failed)

    def _quarantine(self, item: Item, feature: Feature, fault: InputFault, order: int) -> None:
        kind, message = type(fault).__name__, str(fault)
        if self._suspects and (self._suspects[-1][1].error, self._suspects[-1][1].message) != (kind, message):
            self._acquit()
        attempts = self._attempts.get((item.key, feature.recipe.key), 0) + 1
        stage = "forward" if isinstance(fault, NotFinite) else "decode"
        dataset, recipe_key = self._config.dataset, feature.recipe.key
        failure = Failure(
            item.key, item.places[0][0], dataset, recipe_key, feature.name, stage, kind, message, attempts
        )
        self._suspects.append((order, failure))
        self._failed[feature.name] = self._failed.get(feature.name, 0) + 1
        alike = len({failure.key for _, failure in self._suspects})
        if alike >= self._config.same_errors:
            self._suspects = []  # no fault of the items: the next run tries them again
            raise Stopped(
                f"{alike} items in a row failed alike ({kind}: {message}), the last one {item.places[0][0]}. "
                "Is a disk or a network gone? None of these is quarantined; mend the cause and run the same command "
                "again, or raise --same-errors if the items are really broken."
            )

    def _acquit(self, before: float = float("inf")) -> None:
        """What failed alike so far was a fault of the items, for something else came of one decoded later."""
        self._faults += [failure for order, failure in self._suspects if order < before]
        self._suspects = [(order, failure) for order, failure in self._suspects if order >= before]

    def _commit(self, sets: dict[str, FeatureSet], last: bool = False) -> None:
        for name, items in self._handed.items():
            if items:
                added = sets[name].append(items, {"run": self._id})
                self._extracted[name] = self._extracted.get(name, 0) + added
                self._handed[name] = []
                self._progress.committed(name, added)
        if last:
            self._acquit()
        self._failures.append(self._faults)
        self._faults = []


@contextlib.contextmanager
def _sole_run(root: Root, name: str, progress: Progress) -> Iterator[None]:
    """Hold the run lock of a feature set: one run a set at a time; a second one waits."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(root.lock(f"run-{name}", timeout_s=0))
        except TimeoutError:
            progress.waiting(name)
            stack.enter_context(root.lock(f"run-{name}"))
        yield


def batch_units(extractor: Extractor, device: str) -> int:
    """Units of every batch of an extractor on a device."""
    return extractor.batch_units[device.partition(":")[0]]


def device_of(asked: str) -> str:
    """`auto` is the GPU where there is one; torch is imported here at the latest."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", asked):
        raise MachineFault(f"device must be auto, cpu, cuda or cuda:N, got {asked!r}.")
    if asked != "auto":
        return asked
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
