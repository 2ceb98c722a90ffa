"""Extract: decode, compute, commit; killed at any moment it is continued by running it again.

Run    `zsar extract i3d_k400 --dataset asl`
Takes  a manifest, weights
Gives  feature sets with the rows of every item that could be decoded; the others in the failures, with the reason

The plan is computed from the store, so nothing else has to remember where a run was. An `Extraction` is the one
committer of its run: what is computed here, or handed over by workers elsewhere (`shards.py`), it commits, all of a
feature in one commit.
"""

import contextlib
import dataclasses
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator

from extractors.base import TextExtractor
from pipelines.extract.compute import compute
from pipelines.extract.plan import Feature, Plan, plan
from pipelines.extract.settings import ExtractConfig
from pipelines.progress import RunProgress, Silent
from stores.failures import Failure, Failures
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.handover import Handover
from stores.root import Root


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
    cut : texts that are longer than the encoder reads, of those planned
    """

    name: str
    recipe: str
    planned: int
    extracted: int
    skipped: int
    failed: int
    quarantined: int
    cut: int = 0


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
    config: ExtractConfig, root: Root, progress: RunProgress | None = None, store: FeatureStore | None = None
) -> ExtractReport:
    """Compute what is missing of the features of a data set in this process and commit it.

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
    with extraction(config, root, progress, store) as run:
        if run.todo.missing.num_rows:
            run.decoded = compute(run.active, run.todo.items(), config, run.commit, run.told)
    return run.report()


@contextlib.contextmanager
def extraction(
    config: ExtractConfig, root: Root, progress: RunProgress | None = None, store: FeatureStore | None = None
) -> Iterator["Extraction"]:
    """A run: planned, alone on its feature sets, ready to commit what is computed; raises as `extract` does."""
    progress = progress or Silent()
    store = store or FeatureStore(root)
    run = Extraction(config, root, store, progress, plan(config, root))
    with contextlib.ExitStack() as locks:
        if run.todo.missing.num_rows:
            for name in sorted(run.active):
                locks.enter_context(_sole_run(root, name, progress))
            run.open()
        yield run


class Extraction:
    """A run under way: its plan, its counts, and the only hand that writes its features.

    Attributes
    ----------
    todo : what the store lacked when the run began
    active : the features that lack something, by full name
    decoded : videos opened
    """

    def __init__(
        self, config: ExtractConfig, root: Root, store: FeatureStore, progress: RunProgress, todo: Plan
    ) -> None:
        self.todo = todo
        self.decoded = 0
        self._config = config
        self._root = root
        self._store = store
        self._progress = progress
        self._failures = Failures(root)
        self._id = uuid.uuid4().hex
        self._started = time.monotonic()
        self._sets: dict[str, FeatureSet] = {}
        self._attempts: dict[tuple[bytes, str], int] = {}
        self._committed: dict[str, float] = {}
        self._done = self._failed = 0
        self._extracted: dict[str, int] = {}
        self._quarantined: dict[str, set[bytes | None]] = {}

    @property
    def active(self) -> dict[str, Feature]:
        """The features that lack something, by full name."""
        return {f.name: f for f in self.todo.features if f.planned}

    def open(self) -> None:
        """Make the sets, take what the workers of a run that was killed had handed over, and plan again.

        Again, because another run may have computed it all while this one made its plan or waited for the lock.
        """
        self._sets = {name: self._open(feature) for name, feature in self.active.items()}
        for name in self._sets:
            self._adopt(name)
        self.todo = plan(self._config, self._root)
        self._attempts = self._failures.attempts()
        if self.todo.missing.num_rows:
            self._progress.started(sum(f.planned for f in self.todo.features))

    def commit(self, name: str, rows: list[ItemRows], faults: list[Failure]) -> None:
        """Commit what was computed of one feature; raises WriteFailed where that was not possible."""
        if rows:
            added = self._sets[name].append(rows, {"run": self._id} | self._spent(name))
            self._extracted[name] = self._extracted.get(name, 0) + added
            self._progress.committed(name, added)
        counted = [f._replace(attempts=self._attempts.get((f.key or b"", f.recipe_key), 0) + 1) for f in faults]
        self._failures.append(counted)
        self._quarantined.setdefault(name, set()).update(f.key for f in counted)

    def _spent(self, name: str) -> dict[str, float]:
        """Seconds since the last commit of a feature (or the start), and among how many features they are shared."""
        now = time.monotonic()
        seconds = now - self._committed.get(name, self._started)
        self._committed[name] = now
        return {"seconds": round(seconds, 3), "features": len(self.active)}

    def told(self, failed: bool) -> None:
        """One (item, feature) pair is done."""
        self._done += 1
        self._failed += failed
        self._progress.advanced(self._done, self._failed)

    def collect(self) -> None:
        """Commit what workers have handed over since the last time."""
        for name in self._sets:
            for rows, faults in Handover(self._root, name).portions():
                self.commit(name, rows, faults)
                for failed in [False] * len(rows) + [True] * len(faults):
                    self.told(failed)

    def report(self) -> ExtractReport:
        """How it went so far."""
        cut = self._cut()
        reports = tuple(self._report(feature, cut[feature.name]) for feature in self.todo.features)
        return ExtractReport(reports, self.decoded, time.monotonic() - self._started)

    def _cut(self) -> Counter[str]:
        """By feature, the texts of this run that are longer than its encoder reads."""
        found = Counter[str]()
        readers = {f.name: f.extractor for f in self.todo.features if isinstance(f.extractor, TextExtractor)}
        items = self.todo.items() if readers else iter(())
        while some := list(itertools.islice(items, 4096)):
            for name, reader in readers.items():
                found[name] += sum(reader.cut([item.text for item in some if name in item.features]))
        return found

    def _report(self, feature: Feature, cut: int) -> FeatureReport:
        name = feature.name
        return FeatureReport(
            name,
            feature.recipe.key,
            feature.planned,
            self._extracted.get(name, 0),
            feature.skipped,
            len(self._quarantined.get(name, ())),
            feature.quarantined,
            cut,
        )

    def _open(self, feature: Feature) -> FeatureSet:
        outputs = {name: (o.shape, o.dtype) for name, o in feature.extractor.outputs.items()}
        recipe, columns = feature.recipe, feature.extractor.columns()
        return self._store.create(feature.name, recipe.to_dict(), recipe.key, outputs, columns)

    def _adopt(self, name: str) -> None:
        """Commit what lies handed over since a run that ended before it could; it counts as there already."""
        for rows, faults in Handover(self._root, name).portions():
            if rows:
                self._sets[name].append(rows, {"run": self._id, "adopted": True})
            self._failures.append(faults)


@contextlib.contextmanager
def _sole_run(root: Root, name: str, progress: RunProgress) -> Iterator[None]:
    """Hold the run lock of a feature set: one run a set at a time; a second one waits."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(root.lock(f"run-{name}", timeout_s=0))
        except TimeoutError:
            progress.waiting(name)
            stack.enter_context(root.lock(f"run-{name}"))
        yield
