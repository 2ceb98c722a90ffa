"""Handover: what workers computed, laid down whole for the run's one committer to take.

    handover/NAME@KEY/TIME-ID.rows.parquet        key, times, and each output as bytes; a row an item
    handover/NAME@KEY/TIME-ID.failures.parquet    as in `failures`

Workers in other processes and on other machines never write features; they put parts here, each complete or not there.
The committer reads parts, commits them and removes them. What a run that died left is taken by the next one.
"""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stores.errors import Damaged
from stores.failures import SCHEMA, Failure
from stores.features import ItemRows
from stores.keys import KEY_BYTES
from stores.root import Root

_FOLDER = "handover"
_ROWS, _FAILURES = ".rows.parquet", ".failures.parquet"
_OUTPUTS = b"outputs"
_PORTION_BYTES = 256 << 20


class Handover:
    """The parts handed over for one feature set.

    Parameters
    ----------
    root : Root
    name : full name of the feature set
    """

    def __init__(self, root: Root, name: str) -> None:
        self._root = root
        self._folder = f"{_FOLDER}/{name}"

    def put(self, rows: Sequence[ItemRows], failures: Sequence[Failure] = ()) -> None:
        """Lay down one part of each kind; raises WriteFailed where that was not possible."""
        stem = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        if rows:
            self._root.write_table(_to_table(rows), self._folder, stem + _ROWS)
        if failures:
            columns = list(zip(*((*failure, time.time_ns()) for failure in failures), strict=True))
            arrays = [pa.array(c, type=field.type) for c, field in zip(columns, SCHEMA, strict=True)]
            self._root.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), self._folder, stem + _FAILURES)

    def parts(self) -> list[str]:
        """Names of the parts that lie here, oldest first."""
        return [part for part in self._root.names_in(self._folder) if part.endswith((_ROWS, _FAILURES))]

    def read(self, parts: Sequence[str]) -> tuple[list[ItemRows], list[Failure]]:
        """What these parts hold."""
        rows: list[ItemRows] = []
        failures: list[Failure] = []
        for part in parts:
            table = self._read(part)
            if part.endswith(_ROWS):
                rows += _from_table(table)
            else:
                failures += [Failure(*row.values()) for row in table.drop_columns(["time_ns"]).to_pylist()]
        return rows, failures

    def portions(self) -> Iterator[tuple[list[ItemRows], list[Failure]]]:
        """What lies here, in portions that memory holds; when the next one is asked for, the last one is removed."""
        parts = self.parts()
        while parts:
            taken, size_bytes = 0, 0
            rows: list[ItemRows] = []
            faults: list[Failure] = []
            while taken < len(parts) and size_bytes < _PORTION_BYTES:
                own_rows, own_faults = self.read(parts[taken : taken + 1])
                rows += own_rows
                faults += own_faults
                size_bytes += sum(values.nbytes for item in own_rows for values in item.values.values())
                taken += 1
            yield rows, faults
            self.remove(parts[:taken])
            parts = parts[taken:]

    def keys(self) -> set[bytes]:
        """Content keys handed over, computed or failed; a part taken meanwhile is in the store by now."""
        found: set[bytes] = set()
        for part in self.parts():
            try:
                found.update(self._read(part, ["key"])["key"].to_pylist())
            except FileNotFoundError:
                continue
        return found

    def remove(self, parts: Sequence[str]) -> None:
        """Forget parts that are committed."""
        for part in parts:
            self._root.remove(self._folder, part)

    def _read(self, part: str, columns: list[str] | None = None) -> pa.Table:
        try:
            return self._root.read_table(self._folder, part, columns=columns)
        except Damaged as error:
            raise Damaged(
                f"{self._root.path(self._folder, part)} is no part that was handed over: {error}. Remove it and run "
                "the same command again; what it held is computed again."
            ) from error


def _to_table(rows: Sequence[ItemRows]) -> pa.Table:
    outputs = {name: [list(values.shape[1:]), values.dtype.name] for name, values in rows[0].values.items()}
    arrays: dict[str, Any] = {
        "key": pa.array([item.key for item in rows], pa.binary(KEY_BYTES)),
        "times": pa.array([None if item.times is None else item.times.tobytes() for item in rows], pa.binary()),
    }
    for name in outputs:
        own = [np.ascontiguousarray(item.values[name]).tobytes() for item in rows]
        arrays[f"output {name}"] = pa.array(own, pa.large_binary())
    return pa.table(arrays).replace_schema_metadata({_OUTPUTS: json.dumps(outputs).encode()})


def _from_table(table: pa.Table) -> list[ItemRows]:
    outputs = json.loads(table.schema.metadata[_OUTPUTS])
    rows = []
    for row in table.to_pylist():
        values = {
            name: np.frombuffer(row[f"output {name}"], dtype).reshape(-1, *shape)
            for name, (shape, dtype) in outputs.items()
        }
        times = None if row["times"] is None else np.frombuffer(row["times"], np.float32).reshape(-1, 2)
        rows.append(ItemRows(row["key"], values, times))
    return rows
