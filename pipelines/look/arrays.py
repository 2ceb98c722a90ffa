"""A feature set as a table for SQL: a row a segment, its outputs as arrays of fixed length.

What is larger than a gibibyte lies in a file that is mapped, as long as the table is used. Half floats are floats
there: DuckDB has none. An output of more dimensions is flattened.
"""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.look.segments import SCHEMA, Segments, segments
from stores import sql
from stores.errors import WriteFailed
from stores.features import FeatureSet
from stores.root import Root
from stores.scratch import scratch

_IN_MEMORY_BYTES = 1 << 30
_AT_ONCE = 1 << 16  # rows of features


def columns_of(held: FeatureSet) -> pa.Schema:
    """The columns of a feature set's view."""
    outputs = [pa.field(_output_name(name), _type(held.array(name))) for name in held.outputs]
    return pa.schema([*SCHEMA, *outputs])


@contextlib.contextmanager
def rows_of(held: FeatureSet, named: sql.Named, root: Root) -> Iterator[pa.Table]:
    """A feature set as a table, with those outputs that a query may read."""
    own = segments(held, root)
    if named.only_schema:
        own = own.take(np.zeros(0, np.int64))
    table = own.table([name for name in SCHEMA.names if named.reads(name)] or ["segment"])
    with contextlib.ExitStack() as stack:
        for output in held.outputs:
            if named.reads(_output_name(output)):
                column = stack.enter_context(_vectors(own, output))
                table = table.append_column(_output_name(output), column)
        yield table


def _output_name(output: str) -> str:
    """An output that is called as a column of its segments has another name beside them."""
    return f"{output}_" if output in SCHEMA.names else output


def _type(array: Any) -> pa.DataType:
    dtype = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype  # DuckDB has no half floats
    width = int(np.prod(array.shape[1:]))
    return pa.list_(pa.from_numpy_dtype(dtype), width)


@contextlib.contextmanager
def _vectors(own: Segments, output: str) -> Iterator[pa.ChunkedArray]:
    """One output of segments as arrays of fixed length, in memory or in a file that is mapped."""
    array = own.feature_set.array(output)
    kind = _type(array)
    dtype = kind.value_type.to_pandas_dtype()
    needed = len(own) * kind.list_size * np.dtype(dtype).itemsize
    with contextlib.ExitStack() as stack:
        shape = (len(own), kind.list_size)
        if needed <= _IN_MEMORY_BYTES:
            values = np.empty(shape, dtype)
        else:
            folder = stack.enter_context(scratch("sql"))
            if (free := shutil.disk_usage(folder).free) < needed:
                raise WriteFailed(
                    f"Output {output!r} of {own.feature_set.name} needs {needed / 1e9:.1f} GB of scratch space in "
                    f"{folder.parent}, which has {free / 1e9:.1f} GB. Give $TMPDIR a larger disk, or ask for segments "
                    "alone and take their features in Python."
                )
            values = np.memmap(folder / "values", dtype, "w+", shape=shape)
        order = np.argsort(own.row, kind="stable")
        sorted_rows = own.row[order]
        at = 0
        for block in own.feature_set.scan(output) if len(own) else ():
            low, high = np.searchsorted(sorted_rows, (at, at + len(block)))
            chosen = order[low:high]
            values[chosen] = block.reshape(len(block), -1)[own.row[chosen] - at]
            at += len(block)
        flat = pa.Array.from_buffers(kind.value_type, values.size, [None, pa.py_buffer(values)])
        yield pa.chunked_array(
            [
                pa.FixedSizeListArray.from_arrays(flat.slice(i * kind.list_size, n * kind.list_size), kind.list_size)
                for i in range(0, max(len(own), 1), _AT_ONCE)
                for n in [min(_AT_ONCE, len(own) - i)]
            ],
            kind,
        )
