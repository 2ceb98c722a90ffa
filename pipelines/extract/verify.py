"""Verify: are the stored rows what was written, would they come out the same today, and mend what is not.

Run    `zsar verify`, `zsar verify --recompute 20`, `zsar verify --repair`
Takes  feature sets; for recomputing also the videos and the weights
Gives  damaged items by name, how many recomputed items differ to the bit, and what was repaired
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

import extractors
from extractors.errors import ExtractorError, InputFault
from pipelines.errors import UsageError
from pipelines.extract.again import extractor_of
from pipelines.extract.compute import runner_of
from pipelines.extract.items import Item, TextItem, find
from pipelines.extract.settings import VerifyConfig
from pipelines.machine import device_of
from stores.errors import Damaged
from stores.features import Damage, FeatureSet, FeatureStore, ItemRows
from stores.root import Root
from untrusted.names import few

_Items = dict[bytes, Item | TextItem]
_Advance = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Difference:
    """An item that, computed again, gives other rows than those stored: how far apart their means are."""

    key: str
    video_id: str
    cosine: float
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class SetReport:
    """How one feature set stands.

    Attributes
    ----------
    damaged : items whose stored rows cannot be trusted, as (key, video_id, reason)
    recomputed, differing : items computed again, and those of them that came out otherwise
    repaired : damaged items whose rows were computed again and rewritten
    note : why nothing could be recomputed or repaired, where that was asked for
    """

    name: str
    items: int
    rows: int
    damaged: tuple[tuple[str, str, str], ...]
    recomputed: int = 0
    differing: tuple[Difference, ...] = ()
    repaired: int = 0
    note: str = ""


def verify(
    config: VerifyConfig, root: Root, advance: Callable[[int, int, str], None] = lambda done, total, said: None
) -> tuple[SetReport, ...]:
    """Check feature sets; every row is read and compared with its digest.

    `advance` is called with what is done, what there is in all, and the set at work: sets, or the items of a set that
    are computed again.

    A set that cannot be opened, recomputed or repaired says so in its report; the others are verified all the same.
    """
    store = FeatureStore(root)
    names = [store.resolve(name) for name in config.features] or store.names()
    reports = []
    for number, name in enumerate(names):
        advance(number, len(names), name)
        again = functools.partial(_told_of, advance, f"{name}, computed again")
        try:
            reports.append(_verify(store.find(name), config, root, again))
        except Damaged as error:  # the others are verified all the same
            reports.append(SetReport(name, 0, 0, (("", "", str(error)),)))
    advance(len(names), len(names), "")
    return tuple(reports)


def _told_of(advance: Callable[[int, int, str], None], said: str, done: int, total: int) -> None:
    advance(done, total, said)


def _verify(feature_set: FeatureSet, config: VerifyConfig, root: Root, advance: _Advance) -> SetReport:
    items, rows = feature_set.shape()
    damage = list(feature_set.damage())
    drawn = _drawn(feature_set, {d.item for d in damage}, config)
    name = feature_set.recipe["extractor"]
    read = extractors.find(name).kind if name in extractors.EXTRACTORS else ""
    places = find({d.key for d in damage} | set(drawn), read, root)
    named = tuple((d.key.hex(), places[d.key].name if d.key in places else "?", d.reason) for d in damage)
    report = SetReport(feature_set.name, items, rows, named)
    try:
        if config.repair and damage:
            report = dataclasses.replace(report, repaired=_repair(feature_set, damage, places, config, root, advance))
        if drawn:
            differing = _recompute(feature_set, drawn, places, config, root, advance)
            report = dataclasses.replace(report, recomputed=len(drawn), differing=differing)
    except (UsageError, ExtractorError) as error:
        report = dataclasses.replace(report, note=str(error))
    return report


def _drawn(feature_set: FeatureSet, damaged: set[int], config: VerifyConfig) -> dict[bytes, int]:
    """Items to compute again, drawn by the seed: content key to number."""
    if not config.recompute:
        return {}
    keys = feature_set.keys()
    sound = np.setdiff1d(np.arange(len(keys)), sorted(damaged))
    drawn = np.random.default_rng(config.seed).permutation(sound)[: config.recompute]
    return {keys[i].tobytes(): int(i) for i in drawn}


def _repair(
    feature_set: FeatureSet,
    damage: Sequence[Damage],
    places: _Items,
    config: VerifyConfig,
    root: Root,
    advance: _Advance,
) -> int:
    numbers = {d.key: d.item for d in damage}
    fresh = _compute(feature_set, list(numbers), places, config, root, advance)
    lost = {key: outcome for key, outcome in fresh.items() if isinstance(outcome, InputFault)}
    if lost:
        key, fault = next(iter(lost.items()))
        raise UsageError(
            f"{len(lost)} of {len(damage)} damaged items of {feature_set.name} cannot be computed again, "
            f"{places[key].where} for one: {fault}. Nothing was rewritten; bring the videos back and try again."
        )
    rewritten = {numbers[key]: outcome for key, outcome in fresh.items() if isinstance(outcome, ItemRows)}
    feature_set.repair(rewritten)
    return len(rewritten)


def _recompute(
    feature_set: FeatureSet,
    drawn: dict[bytes, int],
    places: _Items,
    config: VerifyConfig,
    root: Root,
    advance: _Advance,
) -> tuple[Difference, ...]:
    differing = []
    for key, outcome in _compute(feature_set, list(drawn), places, config, root, advance).items():
        video_id = places[key].name
        if isinstance(outcome, InputFault):
            differing.append(Difference(key.hex(), video_id, float("nan"), f"{type(outcome).__name__}: {outcome}"))
            continue
        stored = feature_set.rows(drawn[key])
        if stored.digest != outcome.digest:
            name = sorted(stored.values)[0]
            differing.append(Difference(key.hex(), video_id, _cosine(stored.values[name], outcome.values[name])))
    return tuple(differing)


def _compute(
    feature_set: FeatureSet, keys: list[bytes], places: _Items, config: VerifyConfig, root: Root, advance: _Advance
) -> dict[bytes, ItemRows | InputFault]:
    """Rows of these items computed now, by the very recipe of the set."""
    unknown = [key.hex()[:12] for key in keys if key not in places]
    if unknown:
        raise UsageError(
            f"{len(unknown)} items of {feature_set.name} are in no manifest of {root.url} ({few(unknown, 5)}); "
            "index the folder that holds their videos, then verify again."
        )
    extractor = extractor_of(feature_set, config.weights, root)
    device = device_of(config.device)
    extractor.load(device)
    name = feature_set.name
    runner = runner_of({name: extractor}, device, forwards=1, decoders=1)
    items = [dataclasses.replace(places[key], features=(name,)) for key in keys]
    found: dict[bytes, ItemRows | InputFault] = {}
    with contextlib.closing(runner.results(items)) as results:
        for result in results:
            if result is not None:
                found[result.item.key] = result.outcome
                advance(len(found), len(items))
    return found


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return float("nan")
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
