"""Items that gave no features, and why: append-only Parquet parts.

    key, uri, dataset, recipe_key, feature, stage, error, message, attempts, label, time_ns

A feature row overrides a failure, so no commit has to span two stores. What is quarantined is tried again when asked,
when its bytes change (another key), or, where the file merely could not be reached, once it is indexed again.
"""

import time
import uuid
from typing import NamedTuple

import pyarrow as pa

from stores.keys import KEY_BYTES
from stores.root import Root

_FOLDER = "failures"
SCHEMA = pa.schema(
    [
        ("key", pa.binary(KEY_BYTES)),
        ("uri", pa.string()),
        ("dataset", pa.string()),
        ("recipe_key", pa.string()),
        ("feature", pa.string()),
        ("stage", pa.string()),
        ("error", pa.string()),
        ("message", pa.string()),
        ("attempts", pa.int32()),
        ("label", pa.string()),
        ("time_ns", pa.int64()),
    ]
)


class Failure(NamedTuple):
    """One item that failed at one stage; `key` is None where the bytes were never read, `label` where nobody knows."""

    key: bytes | None
    uri: str
    dataset: str
    recipe_key: str
    feature: str
    stage: str
    error: str
    message: str
    attempts: int = 1
    label: str | None = None


class Failures:
    """The failures of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def append(self, failures: list[Failure]) -> None:
        """Add failures as one part."""
        if not failures:
            return
        now = time.time_ns()
        columns = list(zip(*((*f, now) for f in failures), strict=True))
        table = pa.Table.from_arrays(
            [pa.array(c, type=field.type) for c, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
        )
        self._root.write_table(table, _FOLDER, f"{now:020d}-{uuid.uuid4().hex[:8]}.parquet")

    def attempts(self) -> dict[tuple[bytes, str], int]:
        """How often each (key, recipe_key) has failed so far."""
        table = self.latest().select(["key", "recipe_key", "attempts"]).to_pydict()
        rows = zip(table["key"], table["recipe_key"], table["attempts"], strict=True)
        return {(key, recipe_key): attempts for key, recipe_key, attempts in rows if key}

    def latest(self) -> pa.Table:
        """The last failure of each (key and recipe, or data set and uri), oldest first."""
        parts = [self._root.read_table(_FOLDER, p) for p in self._root.names_in(_FOLDER) if p.endswith(".parquet")]
        if not parts:
            return SCHEMA.empty_table()
        parts = [part if part.schema.equals(SCHEMA) else _with_all_columns(part) for part in parts]
        table = pa.concat_tables(parts).sort_by("time_ns")
        columns = [table[name].to_pylist() for name in ("key", "recipe_key", "dataset", "uri")]
        last = {}
        for row, (key, recipe_key, dataset, uri) in enumerate(zip(*columns, strict=True)):
            last[(key, recipe_key) if key else (dataset, uri)] = row
        return table.take(sorted(last.values()))


def _with_all_columns(part: pa.Table) -> pa.Table:
    """A part that was written before there were all columns."""
    there = set(part.schema.names)
    columns = [part[f.name] if f.name in there else pa.nulls(len(part), f.type) for f in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
