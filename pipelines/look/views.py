"""The cache as tables for SQL: what each view holds, and a query's answer.

Run    `zsar sql "select label, count(*) from videos group by label"`
Takes  a root, one statement of SQL that reads (DuckDB's)
Gives  its answer as an Arrow table

A view is made when a query names it, and of a feature set those outputs that the query may read: counting videos reads
no features. Each feature set is a view of its own, called by its full name (in quotes) or its extractor's, a row a
segment and its outputs as arrays (`arrays.py`).
"""

import contextlib
import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.judge.results import results
from pipelines.look import listing
from pipelines.look.arrays import columns_of, rows_of
from pipelines.look.segments import SCHEMA as SEGMENT
from pipelines.look.segments import hexadecimal, segments
from pipelines.texts import phrases
from stores import captions, classes, sql, texts
from stores.errors import Damaged, StoreError
from stores.features import FeatureSet, FeatureStore
from stores.keys import key_array
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from stores.selections import Selections
from untrusted.names import few


class View(NamedTuple):
    """A view: what it is for, its columns, how it is made."""

    about: str
    schema: pa.Schema
    make: Callable[[Root], pa.Table]


# -- the views --------------------------------------------------------------------------------------------------------


def _schema(**names: str) -> pa.Schema:
    """Columns by type: names of each, apart by blanks."""
    kinds = {"text": pa.string(), "whole": pa.int64(), "real": pa.float64(), "yes": pa.bool_()}
    kinds |= {"texts": pa.list_(pa.string()), "reals": pa.list_(pa.float32())}
    return pa.schema([(name, kinds[kind]) for kind, told in names.items() for name in told.split()])


def _videos(root: Root) -> pa.Table:
    manifest = Manifest(root)
    return _gathered(_VIDEOS, (_with_hex(manifest.read(name), "key") for name in manifest.datasets()))


def _selections(root: Root) -> pa.Table:
    held = Selections(root)
    versions = [(name, number) for name in held.names() for number in held.versions(name)]
    tables = (_with(_with_hex(held.read(*each), "key"), question=held.about(*each)["question"]) for each in versions)
    return _gathered(_SELECTIONS, (table.rename_columns({"dataset": "selection"}) for table in tables))


def _captions(root: Root) -> pa.Table:
    held = captions.Captions(root)
    names = [name for name in Manifest(root).datasets() if held.exist(name)]
    tables = (held.read(name).rename_columns(["key", "place", "text_key", "text", "source", "line"]) for name in names)
    told = (_with(_with_hex(each, "key", "text_key"), dataset=name) for name, each in zip(names, tables, strict=True))
    return _gathered(_CAPTIONS, told)


def _classes(root: Root) -> pa.Table:
    held = classes.Classes(root)
    return _gathered(_CLASSES, (_with(held.read(name), set=name) for name in held.sets()))


def _texts(root: Root) -> pa.Table:
    tables = ((name, texts.Texts(root, name).read()) for name in texts.Texts.sets(root))
    return _gathered(_TEXTS, (_with(_with_hex(each, "key"), set=name) for name, each in tables))


def _phrases(root: Root) -> pa.Table:
    names = [name.removesuffix(".parquet") for name in root.names_in("phrases")]
    return _gathered(_PHRASES, (_with(_with_hex(phrases.read(root, name), "key"), set=name) for name in names))


def _features(root: Root) -> pa.Table:
    rows = []
    for row in listing.features(root):
        named = {"feature": row["name"], "extractor": row["name"].partition("@")[0], "stored_bytes": row["bytes"]}
        told: dict[str, Any] = {"outputs": [name for name in row["outputs"].split(", ") if name], "recipe": None}
        with contextlib.suppress(Damaged):
            held = FeatureStore(root).find(row["name"])
            told |= {"snapshot": held.snapshot, "recipe": json.dumps(held.recipe)}
        rows.append(row | named | told)
    return _listed(_FEATURES, rows)


def _segments(root: Root) -> pa.Table:
    columns = [name for name in _SEGMENTS.names if name in SEGMENT.names]
    return _gathered(
        _SEGMENTS,
        (_with(segments(held, root).table(columns), feature=held.name) for held in _sound(root).values()),
    )


def _runs(root: Root) -> pa.Table:
    return _listed(_RUNS, listing.runs(root))


def _results(root: Root) -> pa.Table:
    return _listed(_RESULTS, results(root))


def _judged(root: Root) -> pa.Table:
    runs = Runs(root)
    tables = ((name, runs.read(name, "judged")) for name in runs.names())
    return _gathered(_JUDGED, (_with(table, run=name) for name, table in tables if table is not None))


def _failures(root: Root) -> pa.Table:
    return _listed(_FAILURES, listing.failures(root))


_VIDEOS = _schema(
    text="dataset video_id kind uri key label split recording",
    real="start_s end_s",
    whole="size_bytes mtime_ns seen_ns",
)
_SELECTIONS = _schema(text="selection video_id kind uri key label split recording question", real="start_s end_s")
_CAPTIONS = _schema(text="dataset key text text_key source", whole="place line")
_CLASSES = _schema(text="set name readable canonical")
_TEXTS = _schema(text="set class kind part text key source", whole="line time_ns")
_PHRASES = _schema(text="set class phrase lemmas key")
_FEATURES = _schema(
    text="feature extractor precision weights snapshot state recipe", texts="outputs", whole="items rows stored_bytes"
)
_SEGMENTS = _schema(text="feature dataset video_id label split", whole="segment", real="start_s end_s")
_RUNS = _schema(text="run head network dataset feature protocol state made", whole="fitted", yes="judged", real="top1")
_RESULTS = _schema(
    text="system dataset protocol setting features pretraining texts given state run snapshot",
    real="top1 std top5 class_mean hubness seen unseen h",
    whole="splits n missing judged",
)
_JUDGED = _schema(text="run setting video_id label", whole="split", texts="best", reals="scores")
_FAILURES = _schema(text="file dataset stage feature error reason time key", whole="attempts")

VIEWS = {
    "videos": View("a row a video (pose sequence, group of captions) of each data set", _VIDEOS, _videos),
    "selections": View("a row a video of each version of a data set that was saved", _SELECTIONS, _selections),
    "captions": View("the captions of videos; `key` is the video's, `text_key` the text's", _CAPTIONS, _captions),
    "classes": View("the classes of each set", _CLASSES, _classes),
    "texts": View("what is said of classes: definitions, descriptions, phrases, objects", _TEXTS, _texts),
    "phrases": View("verb phrases, a row a class that has one", _PHRASES, _phrases),
    "features": View("a row a feature set; `recipe` is JSON", _FEATURES, _features),
    "segments": View("a row a segment of each feature set, with its times where there are any", _SEGMENTS, _segments),
    "runs": View("what was trained", _RUNS, _runs),
    "results": View("what was judged, a row a setting, and what papers print; fractions", _RESULTS, _results),
    "judged": View("a row a judged video: its class, the five best and their scores", _JUDGED, _judged),
    "failures": View("what gave no features, and why", _FAILURES, _failures),
}


# -- asking -----------------------------------------------------------------------------------------------------------


def ask(text: str, root: Root, given: Mapping[str, pa.Table] | None = None) -> pa.Table:
    """The answer to a query over the views of a root.

    Parameters
    ----------
    text : SQL
    root : Root
    given : tables beside them, by what a query calls them

    Raises
    ------
    BadQuery
        No SQL that reads, or it names what there is not; the message is one line and lists the views.
    WriteFailed
        Features larger than memory are asked for, and the disk of temporary files has no room for them.
    """
    named = sql.named(text)
    if '"tables"' in named.tables:  # what `show tables` is read as
        return pa.Table.from_pylist([{"view": name, "about": about} for name, about, _ in listed(root)])
    with contextlib.ExitStack() as stack:
        beside = dict(given or {})
        tables: dict[str, pa.Table] = {}
        held = {} if set(named.tables) <= {*VIEWS, *beside} else by_name(root)
        for name in dict.fromkeys(named.tables):
            if name in beside:
                tables[name] = beside[name]
            elif name in VIEWS:
                empty = named.only_schema
                tables[name] = VIEWS[name].schema.empty_table() if empty else VIEWS[name].make(root)
            elif name in held:
                tables[name] = stack.enter_context(rows_of(held[name], named, root))
        also = few(map(_quoted, held), like=next(iter(set(named.tables) - {*tables}), ""))
        hint = f"Views are: {', '.join([*VIEWS, *beside])}{f', {also}' if also else ''}."
        meant = [near for name in named.tables if name not in tables for near in _near(name, [*VIEWS, *held])]
        return sql.ask(text, tables, "".join(f"Did you mean {_quoted(name)}? " for name in meant[:1]) + hint)


def by_name(root: Root) -> dict[str, FeatureSet]:
    """Feature sets that can be read by what a query may call them, in lower case; full names first."""
    sound = _sound(root)
    extractors = [name.partition("@")[0] for name in sound]
    alone = {name.partition("@")[0].lower(): held for name, held in sound.items()}
    once = {name: held for name, held in alone.items() if extractors.count(held.name.partition("@")[0]) == 1}
    return {name.lower(): held for name, held in sound.items()} | {k: v for k, v in once.items() if k not in VIEWS}


def listed(root: Root) -> list[tuple[str, str, list[str]]]:
    """Every view a query may name: its name as SQL takes it, what it is for, its columns."""
    rows = [(name, view.about, view.schema.names) for name, view in VIEWS.items()]
    held = by_name(root)
    short = {full.name: name for name, full in held.items() if "@" not in name}
    names = dict.fromkeys(short.get(each.name, each.name) for each in held.values())
    for name in names:
        own = held[name.lower()]
        rows.append((_quoted(name), f"the rows of {own.name}, outputs as arrays", columns_of(own).names))
    return rows


def _sound(root: Root) -> dict[str, FeatureSet]:
    store = FeatureStore(root)
    found = {}
    for name in store.names():
        with contextlib.suppress(StoreError):
            found[name] = store.find(name)
    return found


def _near(name: str, names: list[str]) -> list[str]:
    return difflib.get_close_matches(name, names, 1)


def _quoted(name: str) -> str:
    return f'"{name}"' if "@" in name else name


# -- tables -----------------------------------------------------------------------------------------------------------


def _with_hex(table: pa.Table, *names: str) -> pa.Table:
    """The same with columns of keys as hexadecimal digits."""
    for name in names:
        table = table.set_column(table.schema.get_field_index(name), name, hexadecimal(key_array(table[name])))
    return table


def _with(table: pa.Table, **fixed: str) -> pa.Table:
    for name, value in fixed.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    return table


def _gathered(schema: pa.Schema, tables: Iterator[pa.Table]) -> pa.Table:
    """Tables one after another, with the columns of a view."""
    return pa.concat_tables([schema.empty_table(), *(each.select(schema.names).cast(schema) for each in tables)])


def _listed(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
