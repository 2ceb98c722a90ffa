"""The extractor that made a feature set, once more, by its very recipe; texts through it without a trace.

Takes  a feature set, weights where they are a file of one's own
Gives  the extractor, or one line that says why there is none; rows of texts that are written nowhere
"""

import contextlib
from collections.abc import Callable, Sequence

import numpy as np

import extractors
from extractors import options
from extractors.base import Extractor
from extractors.clips import probe_digest
from extractors.errors import InputFault
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.compute import runner_of
from pipelines.extract.items import TextItem
from pipelines.extract.plan import weights_digest
from pipelines.index import joint_layouts
from pipelines.machine import device_of
from stores.errors import NotInStore
from stores.features import FeatureSet, FeatureStore, ItemRows, positions
from stores.keys import keys_of, text_key
from stores.padded import STATES, has_states
from stores.root import Root
from stores.stat_cache import StatCache

_FEW = 32  # texts that are sooner computed, once a model is loaded, than looked up among millions
_loaded: dict[tuple[str, str], Extractor] = {}  # by name of the set and device: a notebook asks many times


def extractor_of(feature_set: FeatureSet, weights: Sequence[str], root: Root) -> Extractor:
    """The extractor configured as a set's recipe says.

    Parameters
    ----------
    feature_set : FeatureSet
    weights : `NAME=PATH` of extractors
    root : Root

    Raises
    ------
    UsageError
        There is none that would give these rows: made elsewhere, by an earlier decoder or version, or of other weights.
    WeightsMissing
        Its weights are not here.
    """
    recipe = feature_set.recipe
    if recipe["extractor"] not in extractors.EXTRACTORS:
        raise UsageError(
            f"{feature_set.name} was made elsewhere ({recipe['weights'][:20]}...); it cannot be recomputed."
        )
    if before := feature_sets.former(recipe):
        raise UsageError(
            f"{feature_set.name} is of {before}: its rows can be read and checked, not computed again. "
            f"Extract anew (`zsar extract {recipe['extractor']} --dataset NAME`), then `zsar drop {feature_set.name}`."
        )
    joint_layouts.load(root)
    given = dict(options.pair(pair) for pair in weights).get(recipe["extractor"])
    extractor = options.of_recipe(recipe, given)
    here = extractor.recipe(weights_digest(extractor, StatCache(root, "weights")), probe_digest()).to_dict()
    if here != recipe:
        other = sorted(field for field in recipe if recipe[field] != here[field])
        raise UsageError(
            f"{feature_set.name} cannot be recomputed here: {', '.join(other)} differ from what it was made with. "
            "Give its weights with --weights NAME=PATH and use the library versions its commits name (`zsar show`)."
        )
    return extractor


def encoded(
    texts: Sequence[str],
    feature_set: FeatureSet,
    root: Root,
    weights: Sequence[str] = (),
    device: str = "auto",
    keep: bool = False,
    gaps: bool = False,
) -> np.ndarray:
    """Vectors of texts as a feature set has them: those it holds are read, the others computed.

    Parameters
    ----------
    texts : n of them
    feature_set : FeatureSet
        Of texts, a row a text.
    root : Root
    weights : `NAME=PATH`, where they are a file of one's own
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    keep : whether what was computed is added to the set; nothing is written otherwise
    gaps : whether a text that cannot be encoded has NaN

    Returns
    -------
    (n, D) float32

    Raises
    ------
    UsageError
        A set of something else than vectors of texts, or, without `gaps`, a text that it cannot encode.
    ExtractorError
        As `extractor_of`.
    """
    _refuse_others(feature_set.name, has_states(feature_set))
    keys, where = [text_key(text) for text in texts], device_of(device)
    is_loaded = (feature_set.name, where) in _loaded
    found = {} if is_loaded and len(set(keys)) <= _FEW else _held(feature_set, keys)
    lacking = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    if lacking:
        rows = _computed(lacking, feature_set.name, lambda: extractor_of(feature_set, weights, root), where, gaps)
        found |= {row.key: row.values["features"][0] for row in rows}
        if keep:
            feature_set.append(rows)
    return _arranged(keys, found, feature_set.array("features").shape[1])


def encoder_here(spec: str, root: Root, weights: Sequence[str] = ()) -> str:
    """Full name of the set that texts go through: one that the cache has, else the one that a run of today would make.

    Parameters
    ----------
    spec : name of a set, or of an extractor

    Raises
    ------
    UsageError
        An extractor of something else than vectors of texts.
    NotInStore, Ambiguous
        No set of this full name; several of an extractor's.
    ExtractorError
        No such extractor; its weights are not here.
    """
    try:
        held = feature_sets.find(root, spec)
    except NotInStore:
        if "@" in spec:
            raise
        extractor = _of_today(spec, weights)
        recipe = extractor.recipe(weights_digest(extractor, StatCache(root, "weights")), "")
        _refuse_others(recipe.name, STATES in recipe.outputs)
        return recipe.name
    _refuse_others(held.name, has_states(held))
    return held.name


def encoded_by(
    texts: Sequence[str],
    name: str,
    root: Root,
    weights: Sequence[str] = (),
    device: str = "auto",
    gaps: bool = False,
) -> np.ndarray:
    """Vectors of texts as `encoded`, by a name that `encoder_here` gave: the cache need not have its set."""
    if name in FeatureStore(root).names():
        return encoded(texts, FeatureStore(root).find(name), root, weights, device, gaps=gaps)
    keys = [text_key(text) for text in texts]
    distinct = dict(zip(keys, texts, strict=True))
    where = device_of(device)
    rows = _computed(distinct, name, lambda: _of_today(name.partition("@")[0], weights), where, gaps)
    width = _loaded[name, where].outputs["features"].shape[0]
    return _arranged(keys, {row.key: row.values["features"][0] for row in rows}, width)


def _of_today(name: str, weights: Sequence[str]) -> Extractor:
    """An encoder of texts as a run of today has it."""
    if (kind := extractors.find(name).kind) != "text":
        raise UsageError(f"{name} is of {kind} items; a text has a vector by an encoder, as minilm.")
    return options.asked(name, dict(options.pair(pair) for pair in weights).get(name), "fp32")


def _refuse_others(name: str, states: bool) -> None:
    """Raise UsageError for a set of something else than vectors of texts."""
    if (kind := extractors.find(name.partition("@")[0]).kind) != "text" or states:
        what = "token states" if kind == "text" else f"{kind} items"
        raise UsageError(f"{name} is of {what}; a text has a vector in the set of an encoder, as minilm.")


def _arranged(keys: list[bytes], found: dict[bytes, np.ndarray], width: int) -> np.ndarray:
    """(n, D) float32 vectors in the order of keys; NaN for one that was not found."""
    gap = np.full(width, np.nan)
    return np.array([found.get(key, gap) for key in keys], np.float32).reshape(len(keys), width)


def _held(feature_set: FeatureSet, keys: list[bytes]) -> dict[bytes, np.ndarray]:
    """The vectors of those texts that a set holds."""
    asked = keys_of(dict.fromkeys(keys))
    distinct = asked[positions(feature_set.keys(), asked) >= 0]
    if not len(distinct):
        return {}
    return dict(zip(map(bytes, distinct), feature_set.load(distinct).values, strict=True))


def _computed(
    texts: dict[bytes, str], name: str, made: Callable[[], Extractor], where: str, gaps: bool
) -> list[ItemRows]:
    if (name, where) not in _loaded:
        extractor = made()
        extractor.load(where)
        _loaded[name, where] = extractor
    items = [TextItem(key, text, "a query", (name,)) for key, text in texts.items()]
    rows = []
    with contextlib.closing(runner_of({name: _loaded[name, where]}, where, 1, 1).results(items)) as results:
        for result in results:
            if result is None:
                continue
            if not isinstance(result.outcome, InputFault):
                rows.append(result.outcome)
            elif not gaps:
                raise UsageError(f"{texts[result.item.key]!r} has no vector in {name}: {result.outcome}.")
    return rows
