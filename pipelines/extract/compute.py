"""Compute: items through loaded extractors; what comes of them is handed over at least every 30 s, or 256 MiB.

Takes  items to extract, the features that lack them
Gives  for each feature, in portions, the rows of the items that could be computed and the failures of the others

It writes nothing: whoever calls it says what becomes of a portion (a commit, or a part for the committer of a run that
has many workers). Only faults of the items make failures, and not even those where many in a row are alike.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping

from extractors import allocator
from extractors.base import Extractor
from extractors.errors import InputFault, NotFinite
from pipelines.errors import Stopped
from pipelines.extract.items import Item, TextItem
from pipelines.extract.plan import Feature
from pipelines.extract.runners.base import Result, Runner
from pipelines.extract.settings import ExtractConfig
from pipelines.kinds import part, read_by
from pipelines.machine import cores_here, device_of
from stores.errors import WriteFailed
from stores.failures import Failure
from stores.features import ItemRows

HandOver = Callable[[str, list[ItemRows], list[Failure]], None]
Told = Callable[[bool], None]

#: of rows that wait to be handed over: rows are small, but for those of proxies
_PORTION_BYTES = 256 << 20

_loaded: dict[tuple[str, str], Extractor] = {}  # by recipe key and device: one load a process, however many shards


def compute(
    features: Mapping[str, Feature],
    items: Iterable[Item] | Iterable[TextItem],
    config: ExtractConfig,
    hand_over: HandOver,
    told: Told = lambda failed: None,
) -> int:
    """Compute the features that items lack; returns how many items were opened.

    Parameters
    ----------
    features : full name to Feature
    items : each names the features it lacks
    config : devices, threads, how often to hand over, how many identical errors are no fault of the items
    hand_over : called with (name, rows, failures) from the calling thread; what it has taken is safe
    told : called once an (item, feature) pair, with whether it failed

    Raises
    ------
    Stopped
        `config.same_errors` items in a row failed alike.
    KeyboardInterrupt and all else that is no fault of an item
        Passed on after what was computed is handed over.
    """
    device = device_of(config.device)
    cores = cores_here()
    allocator.keep_freed_memory()
    extractors = {name: _load(feature, device) for name, feature in features.items()}
    runner = runner_of(
        extractors, device, (config.workers or cores) if device == "cpu" else 1, config.decoders or cores
    )
    portion = _Portion(features, config, told)
    last = time.monotonic()
    try:
        with contextlib.closing(runner.results(items)) as results:
            for result in results:
                if result is not None:
                    portion.take(result)
                if time.monotonic() - last >= config.commit_every_s or portion.size_bytes >= _PORTION_BYTES:
                    portion.hand(hand_over)
                    last = time.monotonic()
    except WriteFailed:
        raise  # trying at once again would fail again
    except BaseException:
        portion.hand(hand_over, last=True)
        raise
    portion.hand(hand_over, last=True)
    return runner.opened


class _Portion:
    """What was computed since the last hand-over.

    Attributes
    ----------
    size_bytes : of its rows
    """

    def __init__(self, features: Mapping[str, Feature], config: ExtractConfig, told: Told) -> None:
        self._features = features
        self._config = config
        self._told = told
        self._rows: dict[str, list[ItemRows]] = {name: [] for name in features}
        self._faults: dict[str, list[Failure]] = {name: [] for name in features}
        self.size_bytes = 0
        self._suspects: list[tuple[int, Failure]] = []  # the last faults, as long as they are all alike

    def take(self, result: Result) -> None:
        if isinstance(result.outcome, ItemRows):
            self._rows[result.feature].append(result.outcome)
            self.size_bytes += sum(values.nbytes for values in result.outcome.values.values())
            self._acquit(before=result.order)
        else:
            self._suspect(result, result.outcome)
        self._told(isinstance(result.outcome, InputFault))

    def hand(self, hand_over: HandOver, last: bool = False) -> None:
        if last:
            self._acquit()
        for name in self._features:
            rows, faults = self._rows[name], self._faults[name]
            if rows or faults:
                hand_over(name, rows, faults)
                self._rows[name], self._faults[name] = [], []
        self.size_bytes = 0

    def _suspect(self, result: Result, fault: InputFault) -> None:
        kind, message, place = type(fault).__name__, str(fault), result.item.where
        if self._suspects and (self._suspects[-1][1].error, self._suspects[-1][1].message) != (kind, message):
            self._acquit()
        reading = "tokens" if isinstance(result.item, TextItem) else "decode"
        stage = "forward" if isinstance(fault, NotFinite) else reading
        recipe_key, dataset = self._features[result.feature].recipe.key, self._config.items
        failure = Failure(result.item.key, place, dataset, recipe_key, result.feature, stage, kind, message)
        if isinstance(result.item, TextItem) and stage == "tokens":  # the text itself was looked at: it is at fault
            self._faults[result.feature].append(failure)
            return
        self._suspects.append((result.order, failure))
        alike = len({failure.key for _, failure in self._suspects})
        if alike >= self._config.same_errors:
            self._suspects = []  # no fault of the items: the next run tries them again
            raise Stopped(
                f"{alike} items in a row failed alike ({kind}: {message}), the last one {place}. "
                "Is a disk or a network gone? None of these is quarantined; mend the cause and run the same command "
                "again, or raise --same-errors if the items are really broken."
            )

    def _acquit(self, before: float = float("inf")) -> None:
        """What failed alike so far was a fault of the items, for something else came of one decoded later."""
        for order, failure in self._suspects:
            if order < before:
                self._faults[failure.feature].append(failure)
        self._suspects = [(order, failure) for order, failure in self._suspects if order >= before]


def _load(feature: Feature, device: str) -> Extractor:
    key = (feature.recipe.key, device)
    if key not in _loaded:
        feature.extractor.load(device)
        _loaded[key] = feature.extractor
    return _loaded[key]


def runner_of(extractors: Mapping[str, Extractor], device: str, forwards: int, decoders: int) -> Runner:
    """What runs items through extractors of one kind; a plan asks for one kind only, and for trackers alone."""
    kind = next(iter(extractors.values())).kind
    found: Runner = part(read_by(kind)[0].runner)(extractors, device, forwards, decoders)
    return found
