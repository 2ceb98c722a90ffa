"""What is missing: items against store, an anti-join over content keys, never a listing of files.

Run    `zsar extract FEATURE... --dataset D --dry-run`
Takes  the items of a data set (`items.py`), the recipe of each feature, the keys each feature set holds, the failures
Gives  a `Plan`: for each feature the items it lacks; 650,000 videos x 4 recipes with nothing missing in under a second

No model is loaded and torch is not imported: a weights file enters by its digest, remembered with its size and time.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extractors import options
from extractors.base import Extractor, Tracker
from extractors.clips import probe_digest
from extractors.errors import ExtractorError, Unreachable, WeightsMissing
from extractors.recipe import Recipe
from pipelines.extract.items import kind_asked, source
from pipelines.extract.settings import ExtractConfig
from pipelines.index import joint_layouts
from stores import joins
from stores.errors import WriteFailed
from stores.failures import Failures
from stores.features import FeatureStore
from stores.keys import KEY_BYTES, key_array, key_words, stream_key
from stores.root import Root
from stores.runs import refuse_damaged
from stores.stat_cache import StatCache


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature set to be: who computes it, and what of it is missing.

    Attributes
    ----------
    name : `extractor@keyprefix`
    planned, skipped, quarantined : content keys to compute, there already, and left out for having failed before
    """

    name: str
    extractor: Extractor
    recipe: Recipe
    planned: int
    skipped: int
    quarantined: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `extract` will do.

    Attributes
    ----------
    features : the features asked for, in that order
    kind : of the items, by its name in `pipelines.kinds`
    missing : (rows) table of key, what else an item of this kind needs and, a feature, a boolean column of its name
    contents : distinct content keys of the data set
    """

    kind: str
    features: tuple[Feature, ...]
    missing: pa.Table
    contents: int

    def items(self) -> Iterator[Any]:
        """The items to extract in the order of their table, each content once; memory holds one batch of rows."""
        return source(self.kind).items(self.missing, [f.name for f in self.features])


def plan(config: ExtractConfig, root: Root) -> Plan:
    """Compare manifest and store.

    Raises
    ------
    UnknownExtractor, WeightsMissing, ExtractorError
        A feature that cannot be computed as asked.
    NotInStore
        The data set was never indexed.
    """
    asked = recipes(config, root)
    kinds = {extractor.kind for extractor, _ in asked}
    if len(kinds) != 1:
        raise ExtractorError(f"One run reads one kind of items; these features read {', '.join(sorted(kinds))}.")
    trackers = [extractor.name for extractor, _ in asked if isinstance(extractor, Tracker)]
    if trackers and len(trackers) < len(asked):
        raise ExtractorError(
            f"{trackers[0]} goes through whole videos, the other features of this run take clips of them. "
            "Extract it in a run of its own."
        )
    kind = kind_asked(kinds.pop(), config, root)
    items = source(kind)
    rows = items.rows(config, root)
    items.refuse([extractor for extractor, _ in asked], config, root)
    store = FeatureStore(root)
    features, lacking = [], {}
    with joins.in_memory() as connection:
        connection.register("manifest", _key_table(rows.keys, row=rows.numbers, seen_ns=rows.seen_ns))
        contents = int(connection.sql("select count(*) from (select distinct a, b from manifest)").fetchall()[0][0])
        for extractor, recipe in asked:
            feature_set = store.get(recipe.name)
            stored = np.empty((0, KEY_BYTES), np.uint8) if feature_set is None else feature_set.keys()
            numbers, quarantined = _lacking(connection, stored, root, recipe, config.retry_failed)
            lacking[recipe.name] = numbers
            skipped = contents - len(numbers) - quarantined
            features.append(Feature(recipe.name, extractor, recipe, len(numbers), skipped, quarantined))
    wanted = np.zeros(int(rows.numbers.max(initial=-1)) + 1, bool)  # a mask: np.unique takes seconds for millions
    for own in lacking.values():
        wanted[own] = True
    missing = items.missing(config, root, np.flatnonzero(wanted))
    for name, own in lacking.items():
        lacks = np.zeros_like(wanted)
        lacks[own] = True
        missing = missing.append_column(name, pa.array(lacks[wanted]))
    return Plan(kind, tuple(features), missing, contents)


def recipes(config: ExtractConfig, root: Root) -> list[tuple[Extractor, Recipe]]:
    """The extractors of a configuration with their recipes; a weights file is read once, its digest remembered."""
    joint_layouts.load(root)
    cache = StatCache(root, "weights")
    found: dict[str, tuple[Extractor, Recipe]] = {}
    by_name = dict(options.pair(w) for w in config.weights)
    asked = [spec.partition(":")[0] for spec in config.features]
    for name in by_name:
        if name not in asked:
            raise ExtractorError(
                f"--weights names {name!r}, which is not extracted here; asked for: {', '.join(asked)}."
            )
    for spec in config.features:
        extractor = options.asked(spec, by_name.get(spec.partition(":")[0]), config.precision)
        recipe = extractor.recipe(weights_digest(extractor, cache), probe_digest())
        found[recipe.name] = (extractor, recipe)  # the same feature spelt twice is one feature
    with contextlib.suppress(WriteFailed):  # a plan of a cache that may only be read is still a plan
        cache.save()
    return list(found.values())


def weights_digest(extractor: Extractor, cache: StatCache) -> str:
    """Digest of the weights an extractor will load: of the file, or `random:SEED` itself; `none` without any.

    Damaged where the file is one that was trained here, and is not what it was.
    """
    if extractor.weights and extractor.weights.startswith("random:"):
        return extractor.weights
    path = extractor.weights_path()
    if path is None:
        return "none"
    try:
        stat = os.stat(path)
        remembered = (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
        key = cache.get(remembered)
        if key is None:
            with open(path, "rb") as file:
                key = stream_key(file)
            cache.put(remembered, key)
    except OSError as error:
        raise WeightsMissing(f"The weights {path} of {extractor.name} cannot be read: {error.strerror}.") from error
    refuse_damaged(path, key.hex())
    return key.hex()


def _lacking(
    connection: joins.Connection, stored: np.ndarray, root: Root, recipe: Recipe, retry_failed: bool
) -> tuple[np.ndarray, int]:
    """Manifest rows of the contents to compute (the first row of each), and how many more are quarantined."""
    connection.register("stored", _key_table(stored))
    missing = connection.sql(
        "select a, b, min(row) as row, max(seen_ns) as seen_ns "
        "from manifest anti join stored using (a, b) group by a, b"
    ).to_arrow_table()
    rows = missing["row"].to_numpy()
    if retry_failed or not len(rows):
        return rows, 0
    failures = Failures(root).latest()
    failures = failures.filter(pc.equal(failures["recipe_key"], recipe.key))
    unreachable = pc.equal(failures["error"], Unreachable.__name__)
    connection.register("missing", missing)
    connection.register(
        "failed", _key_table(key_array(failures["key"]), time_ns=failures["time_ns"], unreachable=unreachable)
    )
    held = connection.sql(
        "select m.row from missing m join failed f using (a, b) where not (f.unreachable and m.seen_ns > f.time_ns)"
    ).to_arrow_table()
    return np.setdiff1d(rows, held["row"].to_numpy()), held.num_rows


def _key_table(keys: np.ndarray, **columns: Any) -> pa.Table:
    """Keys as two words, and what goes with them."""
    a, b = key_words(keys)
    return pa.table({"a": a, "b": b, **columns})
