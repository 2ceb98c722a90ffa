"""Query: a phrase to segments, or segments to segments.

Run    `zsar query "a person puts on make-up" --where "split = 'test'" -k 20`, `zsar query --like clip@2.1-4.3`
Takes  feature sets; nothing is encoded but the phrase, and only the index is written
Gives  segments with their times, labels and cosines, best first, and a line that says in which space

A phrase is compared only where videos and texts share a space (`spaces.py`). Segments are compared in any feature set.
"""

import dataclasses
import re
import time

import numpy as np
import pyarrow as pa

from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.again import encoded_by
from pipelines.look.descriptions import phrases_of, videos
from pipelines.look.object_names import ObjectNames
from pipelines.look.searchers import Searchers, selection_of
from pipelines.look.searching import Searcher
from pipelines.look.segments import SCHEMA, Segments, segments
from pipelines.look.settings import QueryConfig
from pipelines.look.spaces import space_of
from stores.errors import StoreError
from stores.features import FeatureSet, FeatureStore, positions
from stores.keys import key_array
from stores.manifest import Manifest
from stores.root import Root
from stores.selections import Selections
from stores.texts import Texts
from stores.vector_index import unit
from untrusted.names import few

_SPAN = re.compile(r"(?P<video>.+)@(?P<start>\d+(?:\.\d+)?)-(?P<end>\d+(?:\.\d+)?)")


@dataclasses.dataclass(frozen=True)
class Hits:
    """What was found.

    Attributes
    ----------
    table : score (a cosine) and the columns of `segments.SCHEMA`, best first; of recognised objects also `objects`
    feature, output : what was compared; of a run its feature set
    space : in words
    said : what else is to be told
    seconds : that the search took, text encoding aside
    """

    table: pa.Table
    feature: str
    output: str
    space: str
    said: tuple[str, ...]
    seconds: float


def query(config: QueryConfig, root: Root, searchers: Searchers | None = None) -> Hits:
    """Answer a query.

    Raises
    ------
    UsageError
        Neither or both of a phrase and `like`; no space to compare in; no such video, or nothing of it in a span.
    NotInStore, Ambiguous, BadQuery
        No such feature set or data set, or several; a condition that is none.
    ExtractorError
        The phrase cannot be encoded here.
    """
    if bool(config.phrase) == bool(config.like):
        raise UsageError("Give a phrase, or --like VIDEO@START-END; one of the two.")
    searchers = searchers or Searchers(root, device=config.device)
    if config.dataset:
        Manifest(root).read(config.dataset, ["video_id"])
        config = dataclasses.replace(config, dataset=Selections(root).full(config.dataset))
    if config.each:
        return _description(config, root, searchers)
    return _phrase(config, root, searchers) if config.phrase else _like(config, root, searchers)


def _phrase(config: QueryConfig, root: Root, searchers: Searchers) -> Hits:
    space, said = searchers.space(config)
    if not space.output:
        return _in_a_run(space.name, config, root)
    vector = encoded_by([config.phrase], space.texts, root, config.weights, config.device)[0]
    started = time.monotonic()
    searcher = searchers.of_space(space, config)
    found, scores = searcher.search(vector, config.k, _allowed(config, searcher.segments))
    table = _table(found, scores)
    if space.of_objects:
        table = _with_objects(table, searchers.objects(space, config), found.row, np.tile(vector, (len(found), 1)))
    told = f"{space.name}: {space.shared}"
    said = [*said, *filter(None, [searcher.index.said])]
    return Hits(table, space.name, space.output, told, tuple(said), time.monotonic() - started)


def _description(config: QueryConfig, root: Root, searchers: Searchers) -> Hits:
    """Videos by late interaction, a row a phrase of each; `total` is the video's score."""
    space, said = searchers.space(config)
    if not space.output:
        raise UsageError(f"--each is for sets that phrases can be compared with; {space.name} is a run's space.")
    told = phrases_of(config.phrase)
    vectors = encoded_by(told, space.texts, root, config.weights, config.device)
    started = time.monotonic()
    own = segments(searchers.find(space.name), root, selection_of(config))
    chosen, cosines, totals = videos(vectors, own, searchers.blocks(space, config), config.k, _allowed(config, own))
    found = own.take(chosen.reshape(-1))
    table = _table(found, cosines.reshape(-1))
    if space.of_objects:
        table = _with_objects(table, searchers.objects(space, config), found.row, np.tile(vectors, (len(chosen), 1)))
    table = table.add_column(1, "total", pa.array(np.repeat(totals, len(told)), pa.float32()))
    table = table.add_column(2, "phrase", pa.array(told * len(chosen), pa.string()))
    about = f"{space.name}: {len(told)} phrases of a description and the segment of each"
    return Hits(table, space.name, space.output, about, tuple(said), time.monotonic() - started)


def texts_like(config: QueryConfig, root: Root, searchers: Searchers | None = None) -> pa.Table:
    """The texts of a set that tell segments best: score, class, kind, part, text.

    Raises
    ------
    UsageError, NotInStore
        As `query`; the set's texts have no vectors that segments of this feature set can be compared with.
    """
    searchers = searchers or Searchers(root, device=config.device)
    held, searcher, own = _asked(config, root, searchers)
    space = space_of(held, root, config.encoder, config.weights)
    if space.why_not:
        raise UsageError(f"Segments of {held.name} cannot be compared with texts: {space.why_not}.")
    searcher = searchers.of_space(space, config)
    vector = unit(searcher.compared.some(np.unique(searcher.segments.row[own]))).mean(0)
    table = Texts(root, config.set).read(["class", "kind", "part", "text", "key"], config.kinds)
    keys = key_array(table["key"])
    texts = searchers.find(space.texts)
    there = positions(texts.keys(), keys) >= 0
    if not there.any():
        made = texts.name.partition("@")[0]
        raise UsageError(
            f"No text of {config.set!r} has a vector in {texts.name}. Run `zsar extract {made} --set {config.set}`."
        )
    table, distinct = table.filter(pa.array(there)), np.unique(keys[there], axis=0)
    cosines = unit(texts.load(distinct).values.astype(np.float32)) @ unit(vector[None])[0]
    scores = cosines[positions(distinct, key_array(table["key"]))]
    best = np.argsort(-scores, kind="stable")[: config.k]
    return table.take(best).drop(["key"]).add_column(0, "score", pa.array(scores[best], pa.float32()))


def _in_a_run(name: str, config: QueryConfig, root: Root) -> Hits:
    from pipelines.look.head_space import HeadSpace  # it brings torch

    space = HeadSpace(name, root)
    held = FeatureStore(root).find(space.feature)
    vector = encoded_by([config.phrase], space.texts, root, config.weights, config.device)[0]
    started = time.monotonic()
    own = segments(held, root, config.dataset)
    allowed = _allowed(config, own)
    found, scores = space.search(own if allowed is None else own.take(allowed), space.phrase(vector), config.k)
    told = f"{name}, split {space.split}: {space.feature} and phrases by {space.texts}, as its head has them"
    return Hits(_table(found, scores), held.name, space.output, told, (), time.monotonic() - started)


def _like(config: QueryConfig, root: Root, searchers: Searchers) -> Hits:
    started = time.monotonic()
    held, searcher, own = _asked(config, root, searchers)
    video, output = _SPAN.sub(r"\g<video>", config.like), searcher.output
    vector = unit(searcher.compared.some(np.unique(searcher.segments.row[own]))).mean(0)
    allowed = _allowed(config, searcher.segments)
    allowed = ~own if allowed is None else allowed & ~own
    found, scores = searcher.search(vector, config.k, allowed)
    count = int(own.sum())
    many = f"{count} segments of {video}, which are" if count > 1 else f"1 segment of {video}, which is"
    told = f"{held.name}, {output}: like {many} left out"
    said = tuple(filter(None, [searcher.index.said]))
    return Hits(_table(found, scores), held.name, output, told, said, time.monotonic() - started)


def _asked(config: QueryConfig, root: Root, searchers: Searchers) -> tuple[FeatureSet, Searcher, np.ndarray]:
    """The feature set that has the segments asked for, its searcher, and (n,) bool which of its segments they are."""
    span = _SPAN.fullmatch(config.like)
    video = span["video"] if span else config.like
    held = _holding(video, config, root)
    output = config.output or ("features" if "features" in held.outputs else held.outputs[0])
    searcher = searchers.of(held, output, selection_of(config))
    return held, searcher, _own(searcher.segments, video, span, config)


def _holding(video: str, config: QueryConfig, root: Root) -> FeatureSet:
    """The feature set to compare a video in: the one named, or the only one that has it."""
    if config.feature:
        return feature_sets.find(root, config.feature)
    having = []
    for name in FeatureStore(root).names():
        try:
            held = FeatureStore(root).find(name)
            own = segments(held, root, config.dataset)
        except (StoreError, UsageError):
            continue
        if _of_video(own, video).any():
            having.append(held)
    if len(having) != 1:
        told = few(held.name for held in having)
        raise UsageError(
            f"{len(having)} feature sets have {video!r}: {told}. Name one of these with --feature."
            if having
            else f'No feature set has a video {video!r}. `zsar sql "select video_id, uri from videos"` lists videos; '
            "one that is not among them is indexed and extracted first."
        )
    return having[0]


def _of_video(own: Segments, video: str) -> np.ndarray:
    """(n,) bool: which segments are of a video, by its id or by its file."""
    ids, uris = own.items["video_id"].to_pylist(), own.items["uri"].to_pylist()
    named = [name == video for name in ids]
    if not any(named):
        named = [uri == video or uri.endswith(f"/{video}") for uri in uris]
    return np.asarray(np.array([*named, False], bool)[own.item])


def _own(own: Segments, video: str, span: re.Match[str] | None, config: QueryConfig) -> np.ndarray:
    """(n,) bool: the segments that a query of segments is."""
    mine = _of_video(own, video)
    if config.dataset and (mine & own.of(config.dataset)).any():
        mine &= own.of(config.dataset)
    if not mine.any():
        raise UsageError(f"{own.feature_set.name} has no segment of a video {video!r}.")
    if not span:
        return mine
    start, end = float(span["start"]), float(span["end"])
    if np.isnan(own.times[mine]).all():
        raise UsageError(
            f"The segments of {video!r} in {own.feature_set.name} have no times (captions have none). "
            f"Give --like {video} without @, or another --feature."
        )
    with np.errstate(invalid="ignore"):
        chosen = mine & (own.times[:, 0] < end) & (own.times[:, 1] > start)
    if not chosen.any():
        first, last = np.nanmin(own.times[mine, 0]), np.nanmax(own.times[mine, 1])
        raise UsageError(
            f"No segment of {video!r} lies in {start:g}-{end:g} s; those of {own.feature_set.name} lie between "
            f"{first:.2f} and {last:.2f} s."
        )
    return chosen


def _allowed(config: QueryConfig, own: Segments) -> np.ndarray | None:
    """(n,) bool: which segments may be found; None where all may."""
    allowed = own.hold(config.where) if config.where else None
    if config.dataset:
        allowed = own.of(config.dataset) if allowed is None else allowed & own.of(config.dataset)
    return allowed


def _with_objects(table: pa.Table, objects: ObjectNames, rows: np.ndarray, queries: np.ndarray) -> pa.Table:
    """The same table, with the two names that did most for each score."""
    told = pa.array(objects.told(rows, queries), pa.string())
    return table.add_column(table.schema.get_field_index("uri"), "objects", told)


def _table(found: Segments, scores: np.ndarray) -> pa.Table:
    own = found.table(SCHEMA.names)
    return own.add_column(0, "score", pa.array(scores, pa.float32()))
