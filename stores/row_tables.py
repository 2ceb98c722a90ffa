"""Features as tables, a row of the table a row of features: Parquet and Lance, out and in.

    video_id, row, key, label, class, split, recording, uri, span_start_s, span_end_s, start_s, end_s, text, values

Names, times and texts are there where the features have them; `values` is a list of D numbers. Types are those that
readers know: keys are hexadecimal digits, as Hugging Face's `datasets` does not read fixed-size binary. Files written
before have bytes there, and are read as well. Lance is a library of its own (`pip install pylance`).
"""

import importlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stores.errors import BadFile, WriteFailed
from stores.keys import KEY_BYTES
from stores.ragged import MARKER, Foreign, blocks, checked, named_parts, put_in_place
from untrusted.names import few
from untrusted.places import refuse_strange

_TIMES = ("start_s", "end_s")


def write_parquet(path: str | Path, features: Foreign) -> None:
    """Write a row group each 64 MiB.

    Raises
    ------
    WriteFailed
        Nothing was written; what was there before is untouched.
    """
    schema = _schema(features)
    with put_in_place(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for table in _tables(features, schema):
            writer.write_table(table)


def write_lance(path: str | Path, features: Foreign) -> None:
    """Write a Lance data set, as its first version.

    Raises
    ------
    WriteFailed
        Lance is not installed, or nothing was written; what was there before is untouched.
    """
    lance, schema = _lance(), _schema(features)
    failed: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:  # Lance tells of an error here in its own words, a traceback long
        try:
            for table in _tables(features, schema):
                yield from table.to_batches()
        except Exception as error:
            failed.append(error)
            raise

    with put_in_place(path) as partial:
        try:
            lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches()), str(partial))
        except OSError as error:
            raise (failed or [error])[0] from None
        marker = {"layout": "lance", "recipe": features.recipe}
        (partial / MARKER).write_text(json.dumps(marker, sort_keys=True), "utf-8")


def read_parquet(path: Path) -> Foreign:
    """Features of a Parquet file with the columns video_id and values, or as others call them.

    Raises
    ------
    BadFile
        Columns that are missing, or hold something else.
    """
    refuse_strange(path)
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        return _read(path, file.schema_arrow, rows, lambda name: file.iter_batches(columns=[name]), file.read)


def read_lance(path: Path) -> Foreign:
    """Features of a Lance data set with such columns.

    Raises
    ------
    BadFile
        No Lance data set, columns that are missing, or Lance is not installed.
    """
    try:
        held = _lance().dataset(str(path))
    except WriteFailed as error:
        raise BadFile(str(error)) from error
    rows = held.count_rows()
    return _read(path, held.schema, rows, lambda name: held.to_batches(columns=[name]), held.to_table)


def _lance() -> Any:
    try:
        return importlib.import_module("lance")
    except ImportError as error:
        raise WriteFailed("Lance is not installed. Run `pip install pylance`.") from error


# -- out --------------------------------------------------------------------------------------------------------------


def _schema(features: Foreign) -> pa.Schema:
    row_shape = features.values.shape[1:]
    about = {"recipe": features.recipe, "row_shape": row_shape}
    fields = [(features.named, pa.string()), ("row", pa.int32())]
    fields += [("key", pa.string())] if features.keys is not None else []
    fields += [] if features.about is None else [(field.name, field.type) for field in features.about.schema]
    fields += [(name, pa.float32()) for name in _TIMES] if features.times is not None else []
    fields += [] if features.beside is None else [(field.name, field.type) for field in features.beside.schema]
    fields.append(("values", pa.list_(pa.from_numpy_dtype(features.values.dtype), int(np.prod(row_shape)))))
    return pa.schema(fields, metadata={"zsar": json.dumps(about, sort_keys=True)})


def _tables(features: Foreign, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows, 64 MiB of values at a time; item and row number of each are found from the offsets."""
    for start, block in blocks(features.values):
        rows = np.arange(start, start + len(block))
        items = np.searchsorted(features.offsets, rows, side="right") - 1
        flat = np.ascontiguousarray(block).reshape(-1)
        columns: dict[str, Any] = {
            features.named: [features.video_id[item] for item in items],
            "row": (rows - features.offsets[items]).astype(np.int32),
            "values": pa.FixedSizeListArray.from_arrays(pa.array(flat), schema.field("values").type.list_size),
        }
        if features.keys is not None:
            columns["key"] = [features.keys[item].tobytes().hex() for item in items]
        if features.times is not None:
            times = features.times[start : start + len(block)]
            columns |= {name: pa.array(times[:, at]) for at, name in enumerate(_TIMES)}
        for table, own in ((features.about, items), (features.beside, rows)):
            if table is not None:
                columns |= {name: table[name].take(pa.array(own)) for name in table.column_names}
        yield pa.table([_array(columns[field.name], field.type) for field in schema], schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, type=kind)


# -- in ---------------------------------------------------------------------------------------------------------------


def _read(path: Path, schema: pa.Schema, rows: int, batches: Any, read: Any) -> Foreign:
    """Features of a table, whatever file it lies in: its values a batch at a time, the rest whole."""
    names = schema.names
    if not (parts := named_parts(names)):
        raise BadFile(f"{path} needs the columns video_id and values, it has: {few(names)}.")
    values = _list_values(path, rows, batches(parts["values"]))
    table = read([name for name in names if name in {parts["video_id"], "key", "row", *_TIMES}])
    unread = set(names) - {*parts.values(), *table.column_names}
    table = table.rename_columns([{parts["video_id"]: "video_id"}.get(name, name) for name in table.column_names])
    about = json.loads((schema.metadata or {}).get(b"zsar", b"{}"))
    video_id, codes, order = _grouped(path, table)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(video_id)))]).astype(np.int64)
    times = None
    if set(_TIMES) <= set(names):
        times = np.stack([table[name].to_numpy() for name in _TIMES], 1).astype(np.float32)
    first = (np.arange(len(codes)) if order is None else order)[offsets[:-1]]
    keys = _keys(table["key"].take(pa.array(first))) if "key" in names else None
    values = values.reshape(len(values), *about["row_shape"]) if "row_shape" in about else values
    if order is not None:
        values, times = values[order], None if times is None else times[order]
    return checked(Foreign(video_id, keys, values, offsets, times, about.get("recipe"), tuple(sorted(unread))), path)


def _keys(column: pa.ChunkedArray) -> np.ndarray | None:
    """(n, 32) content keys of bytes or of hexadecimal digits; None where they are something else."""
    if column.null_count:
        return None
    if pa.types.is_fixed_size_binary(column.type):
        return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(len(column), -1)
    try:
        found = [bytes.fromhex(text) for text in column.to_pylist()]
    except (TypeError, ValueError):
        return None
    if {len(key) for key in found} != {KEY_BYTES}:
        return None
    return np.frombuffer(b"".join(found), np.uint8).reshape(len(found), KEY_BYTES)


def _list_values(path: Path, rows: int, batches: Iterable[pa.RecordBatch]) -> np.ndarray:
    """(rows, D) from the list column, a batch at a time."""
    found: np.ndarray | None = None
    start = 0
    for batch in batches:
        column = batch.column(0)
        kind = column.type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            raise BadFile(f"{path}: the column values must be lists of numbers, it is {kind}.")
        flat = column.flatten().to_numpy(zero_copy_only=False)
        width = len(flat) // max(1, len(column))
        lengths = [] if pa.types.is_fixed_size_list(kind) else np.diff(column.offsets.to_numpy())
        if (
            column.null_count
            or any(length != width for length in lengths)
            or (found is not None and found.shape[1] != width)
        ):
            raise BadFile(
                f"{path}: the lists in the column values differ in length or are null. All must hold D numbers."
            )
        if found is None:
            found = np.empty((rows, width), flat.dtype)
        found[start : start + len(column)] = flat.reshape(len(column), width)
        start += len(column)
    if found is None:
        raise BadFile(f"{path} holds no features: it has no rows.")
    return found


def _grouped(path: Path, table: pa.Table) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Names in order of first appearance, the item of each row, and the order of rows if they are not together."""
    column = table["video_id"].combine_chunks()
    if column.null_count or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise BadFile(
            f"{path}: the column video_id must hold a name in each row, "
            f"it is {column.type} with {column.null_count} nulls."
        )
    encoded = column.dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    row = table["row"].to_numpy() if "row" in table.column_names else None
    order = np.argsort(codes, kind="stable") if row is None else np.lexsort((row, codes))
    if row is not None:
        counts = np.bincount(codes, minlength=len(names))
        expected = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
        wrong = np.flatnonzero(row[order] != expected)
        if len(wrong):
            name = names[codes[order[wrong[0]]]]
            raise BadFile(f"{path}: the rows of {name!r} must be numbered 0, 1, 2, ... once each. Mend the column row.")
    return names, codes, None if (order == np.arange(len(order))).all() else order
