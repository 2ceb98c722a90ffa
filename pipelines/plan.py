"""What is missing: manifest against store, an anti-join over content keys, never a listing of files.

Run    `zsar extract FEATURE... --dataset D --dry-run`
Takes  the manifest of a data set, the recipe of each feature, the keys each feature set holds, the failures
Gives  a `Plan`: for each feature the items it lacks; 650,000 videos x 4 recipes with nothing missing in under a second

No model is loaded and torch is not imported: a weights file enters by its digest, remembered with its size and time.
"""

import contextlib
import dataclasses
import os
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import extractors
from extractors.base import Extractor
from extractors.clips import probe_digest
from extractors.errors import ExtractorError, Unreachable, WeightsMissing
from extractors.recipe import Recipe
from extractors.sampling import Geometry, Sampling
from pipelines.config import ExtractConfig
from pipelines.files import Stat
from stores.errors import WriteFailed
from stores.failures import Failures
from stores.features import FeatureStore
from stores.keys import KEY_BYTES, stream_key
from stores.manifest import Manifest
from stores.root import Root
from stores.stat_cache import StatCache

_PLACES = pa.list_(pa.struct([("uri", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())]))


@dataclasses.dataclass(frozen=True)
class Item:
    """One content to extract: its key, every place it lies in, and the features that lack it.

    A place is a URI with the size and time it had when its key was taken; None: not to be checked.
    """

    key: bytes
    places: tuple[tuple[str, Stat | None], ...]
    span_s: tuple[float, float] | None
    video_id: str
    features: tuple[str, ...]


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
    missing : (rows) table of key, places, start_s, end_s, video_id and, a feature, a boolean column of its name
    contents : distinct content keys of the data set
    """

    dataset: str
    features: tuple[Feature, ...]
    missing: pa.Table
    contents: int

    def items(self) -> Iterator[Item]:
        """The items to extract in manifest order, each content once; memory holds one batch of rows."""
        return items_of(self.missing, [f.name for f in self.features])


def items_of(missing: pa.Table, names: Sequence[str]) -> Iterator[Item]:
    """The items of rows of `Plan.missing`, with those of the named features that they lack."""
    for batch in missing.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            span = None if row["start_s"] is None else (row["start_s"], row["end_s"])
            lacking = tuple(name for name in names if row[name])
            places = tuple((p["uri"], (p["size_bytes"], p["mtime_ns"])) for p in row["places"])
            yield Item(row["key"], places, span, row["video_id"], lacking)


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
    table = Manifest(root).read(config.dataset, ["key", "seen_ns", "kind"])
    numbers = np.flatnonzero(pc.equal(table["kind"], *kinds))
    table = table.take(numbers) if len(numbers) < table.num_rows else table
    store = FeatureStore(root)
    features, lacking = [], {}
    with duckdb.connect() as connection:
        connection.register("manifest", _key_table(_keys_of(table), row=numbers, seen_ns=table["seen_ns"]))
        contents = int(connection.sql("select count(*) from (select distinct a, b from manifest)").fetchall()[0][0])
        for extractor, recipe in asked:
            feature_set = store.get(recipe.name)
            stored = np.empty((0, KEY_BYTES), np.uint8) if feature_set is None else feature_set.keys()
            rows, quarantined = _lacking(connection, stored, root, recipe, config.retry_failed)
            lacking[recipe.name] = rows
            skipped = contents - len(rows) - quarantined
            features.append(Feature(recipe.name, extractor, recipe, len(rows), skipped, quarantined))
    return Plan(config.dataset, tuple(features), _missing(root, config.dataset, lacking), contents)


def recipes(config: ExtractConfig, root: Root) -> list[tuple[Extractor, Recipe]]:
    """The extractors of a configuration with their recipes; a weights file is read once, its digest remembered."""
    cache = StatCache(root, "weights")
    found: dict[str, tuple[Extractor, Recipe]] = {}
    by_name = dict(option(w) for w in config.weights)
    asked = [spec.partition(":")[0] for spec in config.features]
    for name in by_name:
        if name not in asked:
            raise ExtractorError(
                f"--weights names {name!r}, which is not extracted here; asked for: {', '.join(asked)}."
            )
    for spec in config.features:
        name, _, options = spec.partition(":")
        kind = extractors.find(name)
        sampling, geometry = _with_options(kind.default_sampling, kind.default_geometry, options, spec)
        extractor = kind(by_name.get(name), config.precision, sampling, geometry)
        recipe = extractor.recipe(weights_digest(extractor, cache), probe_digest())
        found[recipe.name] = (extractor, recipe)  # the same feature spelt twice is one feature
    with contextlib.suppress(WriteFailed):  # a plan of a cache that may only be read is still a plan
        cache.save()
    return list(found.values())


def weights_digest(extractor: Extractor, cache: StatCache) -> str:
    """Digest of the weights an extractor will load: of the file, or `random:SEED` itself."""
    if extractor.weights and extractor.weights.startswith("random:"):
        return extractor.weights
    path = extractor.weights_path()
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
    return key.hex()


def _with_options(sampling: Sampling, geometry: Geometry, options: str, spec: str) -> tuple[Sampling, Geometry]:
    """Sampling and geometry with `clips=25,frames=16,resize=128` applied; types come from the fields."""
    types = typing.get_type_hints(Sampling) | typing.get_type_hints(Geometry)
    changes: dict[str, Any] = {}
    for part in filter(None, options.split(",")):
        name, value = option(part)
        if name not in types:
            raise ExtractorError(f"{spec!r}: no option is called {name!r}; there are: {', '.join(types)}.")
        kind = str(types[name])
        convert = _sides if "tuple" in kind else str if types[name] is str else int if "int" in kind else float
        try:
            changes[name] = None if value == "none" and "None" in kind else convert(value)
        except ValueError as error:
            wanted = "a number of pixels, or HEIGHTxWIDTH" if convert is _sides else f"of type {convert.__name__}"
            raise ExtractorError(f"{spec!r}: {name} must be {wanted}, got {value!r}.") from error
    pixels = {name: changes.pop(name) for name in ("resize", "crop") if name in changes}
    return dataclasses.replace(sampling, **changes), dataclasses.replace(geometry, **pixels)


def _sides(text: str) -> int | tuple[int, int]:
    """`128` or `128x171` (height x width) as Geometry takes them."""
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def option(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as its two parts; ExtractorError where it is something else."""
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise ExtractorError(f"Expected NAME=VALUE, got {text!r}.")
    return name, value


def _lacking(
    connection: duckdb.DuckDBPyConnection, stored: np.ndarray, root: Root, recipe: Recipe, retry_failed: bool
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
    connection.register("failed", _key_table(_keys_of(failures), time_ns=failures["time_ns"], unreachable=unreachable))
    held = connection.sql(
        "select m.row from missing m join failed f using (a, b) where not (f.unreachable and m.seen_ns > f.time_ns)"
    ).to_arrow_table()
    return np.setdiff1d(rows, held["row"].to_numpy()), held.num_rows


def _missing(root: Root, dataset: str, lacking: dict[str, np.ndarray]) -> pa.Table:
    """Rows of the items some feature lacks, with all places of each content."""
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *lacking.values()])).astype(np.int64)
    columns = ["key", "uri", "size_bytes", "mtime_ns", "start_s", "end_s", "video_id"] if len(rows) else ["key"]
    manifest = Manifest(root).read(dataset, columns)
    table = manifest.take(pa.array(rows))
    if len(rows):
        places: dict[bytes, list[dict[str, Any]]] = {key: [] for key in table["key"].to_pylist()}
        for batch in manifest.select(["key", "uri", "size_bytes", "mtime_ns"]).to_batches():
            for place in batch.to_pylist():
                key = place.pop("key")
                if key in places and place not in places[key]:
                    places[key].append(place)
        table = table.select(["key", "start_s", "end_s", "video_id"])
        table = table.append_column("places", pa.array(list(places.values()), _PLACES))
    for name, own in lacking.items():
        table = table.append_column(name, pa.array(np.isin(rows, own), pa.bool_()))
    return table


def _keys_of(table: pa.Table) -> np.ndarray:
    """(rows, 32) uint8 of a table's key column."""
    flat = pc.cast(table["key"], pa.binary(KEY_BYTES)).combine_chunks()
    chunks = [flat] if isinstance(flat, pa.Array) else flat.chunks
    parts = [
        np.frombuffer(c.buffers()[1], np.uint8).reshape(-1, KEY_BYTES)[c.offset : c.offset + len(c)] for c in chunks
    ]
    return np.concatenate([np.empty((0, KEY_BYTES), np.uint8), *parts])


def _key_table(keys: np.ndarray, **columns: Any) -> pa.Table:
    """Keys as two 64-bit words: they join twice as fast as 32 bytes, and hashes of 128 bits do not collide."""
    words = np.ascontiguousarray(keys[:, :16]).view(np.int64).reshape(-1, 2)
    return pa.table({"a": np.ascontiguousarray(words[:, 0]), "b": np.ascontiguousarray(words[:, 1]), **columns})
