"""Shards: an extraction cut into pieces that workers elsewhere compute and hand over.

Takes  the plan of a run
Gives  `Shard`s that travel to workers; `work` computes one there and puts what comes of it where the run's committer
       finds it

A shard is a unit of scheduling and nothing else: what is in the store or handed over is not computed again, so a worker
that dies costs only what it had not handed over. Workers need to reach the root and the videos, and to compute by the
same recipe: one whose FFmpeg or weights differ refuses.
"""

import dataclasses

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.extract.compute import compute
from pipelines.extract.items import source
from pipelines.extract.plan import Feature, Plan, recipes
from pipelines.extract.settings import ExtractConfig
from stores.failures import Failure
from stores.features import FeatureStore, ItemRows
from stores.handover import Handover
from stores.keys import KEY_BYTES
from stores.root import Root

MOST_SHARDS = 1000  # Prefect's server drops events of runs with more tasks


@dataclasses.dataclass(frozen=True)
class Shard:
    """A piece of an extraction.

    Attributes
    ----------
    number : from 1
    kind : of its items
    root : URL of the cache
    config : as the run's
    features : full names of the feature sets some of its items lack
    items : rows of `Plan.missing`
    """

    number: int
    kind: str
    root: str
    config: ExtractConfig
    features: tuple[str, ...]
    items: pa.Table


def cut(todo: Plan, config: ExtractConfig, root: Root, size: int) -> list[Shard]:
    """The shards of a plan, of `size` items each or of more where they would be over 1,000.

    Raises
    ------
    UsageError
        A shard of fewer items than `config.same_errors`: it could not see that so many in a row fail alike.
    """
    total = todo.missing.num_rows
    if size < config.same_errors and size < total:
        raise UsageError(
            f"A shard of {size} items cannot notice {config.same_errors} identical errors in a row; "
            "take larger shards or a lower same_errors."
        )
    size = max(size, -(-total // MOST_SHARDS))
    names = tuple(f.name for f in todo.features if f.planned)
    return [
        Shard(number, todo.kind, root.url, config, names, todo.missing.slice(start, size))
        for number, start in enumerate(range(0, total, size), start=1)
    ]


def work(shard: Shard) -> int:
    """Compute what of a shard is neither in the store nor handed over; returns how many videos were opened.

    Raises
    ------
    UsageError
        This worker would compute by another recipe.
    ExtractorError, StoreError, Stopped
        As `extract` does.
    """
    root = Root(shard.root)
    features = _features(shard, root)
    todo = shard.items
    for name in features:
        todo = todo.set_column(todo.schema.get_field_index(name), name, _still_lacking(todo, name, root))
    todo = todo.filter(_any_of(todo, list(features)))

    def hand_over(name: str, rows: list[ItemRows], failures: list[Failure]) -> None:
        Handover(root, name).put(rows, failures)

    items = source(shard.kind).items(todo, list(features))
    return compute(features, items, shard.config, hand_over) if todo.num_rows else 0


def _features(shard: Shard, root: Root) -> dict[str, Feature]:
    here = {recipe.name: Feature(recipe.name, x, recipe, 0, 0, 0) for x, recipe in recipes(shard.config, root)}
    if other := sorted(set(shard.features) - set(here)):
        raise UsageError(
            f"This worker computes {', '.join(sorted(here))}, the run asks for {', '.join(other)}: its weights or its "
            "FFmpeg differ. Install the same versions (constraints.txt) and the same weights on every worker."
        )
    return {name: here[name] for name in shard.features}


def _still_lacking(todo: pa.Table, name: str, root: Root) -> pa.Array:
    """Which items lack a feature even now. Parts are looked at before the store: a part that goes is in the store."""
    handed = Handover(root, name).keys()
    feature_set = FeatureStore(root).get(name)
    stored = set() if feature_set is None else {key.tobytes() for key in feature_set.keys()}
    held = pa.array(sorted(handed | stored), pa.binary(KEY_BYTES))
    return pc.and_not(todo[name], pc.is_in(todo["key"], held))


def _any_of(table: pa.Table, columns: list[str]) -> pa.Array:
    wanted = table[columns[0]]
    for column in columns[1:]:
        wanted = pc.or_(wanted, table[column])
    return wanted
