"""The extractor that made a feature set, once more, by its very recipe; texts through it without a trace.

Takes  a feature set, weights where they are a file of one's own
Gives  the extractor, or one line that says why there is none; rows of texts that are written nowhere
"""

import contextlib
from collections.abc import Sequence

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
from stores.features import FeatureSet, ItemRows, positions
from stores.keys import keys_of, text_key
from stores.padded import has_states
from stores.root import Root
from stores.stat_cache import StatCache

_FEW = 32  # texts that are sooner computed, once a model is loaded, than looked up among millions
_loaded: dict[tuple[str, str], Extractor] = {}  # by recipe key and device: a notebook asks many times


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

    Returns
    -------
    (n, D) float32

    Raises
    ------
    UsageError
        A set of something else than vectors of texts, or a text that it cannot encode.
    ExtractorError
        As `extractor_of`.
    """
    name = feature_set.name.partition("@")[0]
    if (kind := extractors.find(name).kind) != "text" or has_states(feature_set):
        what = "token states" if kind == "text" else f"{kind} items"
        raise UsageError(f"{feature_set.name} is of {what}; a text has a vector in the set of an encoder, as minilm.")
    keys = [text_key(text) for text in texts]
    is_loaded = (feature_set.key, device_of(device)) in _loaded
    found = {} if is_loaded and len(set(keys)) <= _FEW else _held(feature_set, keys)
    lacking = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    if lacking:
        rows = _computed(lacking, feature_set, root, weights, device)
        found |= {row.key: row.values["features"][0] for row in rows}
        if keep:
            feature_set.append(rows)
    width = feature_set.array("features").shape[1:]
    return np.array([found[key] for key in keys], np.float32).reshape(len(keys), *width)


def _held(feature_set: FeatureSet, keys: list[bytes]) -> dict[bytes, np.ndarray]:
    """The vectors of those texts that a set holds."""
    asked = keys_of(dict.fromkeys(keys))
    distinct = asked[positions(feature_set.keys(), asked) >= 0]
    if not len(distinct):
        return {}
    return dict(zip(map(bytes, distinct), feature_set.load(distinct).values, strict=True))


def _computed(
    texts: dict[bytes, str], feature_set: FeatureSet, root: Root, weights: Sequence[str], device: str
) -> list[ItemRows]:
    where = device_of(device)
    key = feature_set.key, where
    if key not in _loaded:
        extractor = extractor_of(feature_set, weights, root)
        extractor.load(where)
        _loaded[key] = extractor
    name = feature_set.name
    items = [TextItem(key, text, "a query", (name,)) for key, text in texts.items()]
    rows = []
    with contextlib.closing(runner_of({name: _loaded[key]}, where, 1, 1).results(items)) as results:
        for result in results:
            if result is None:
                continue
            if isinstance(result.outcome, InputFault):
                raise UsageError(f"{texts[result.item.key]!r} has no vector in {name}: {result.outcome}.")
            rows.append(result.outcome)
    return rows
