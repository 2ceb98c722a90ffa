"""Rows of one output of a feature set for notebooks: values beside names, labels, splits and times.

Takes  `Segments`, the name of an output
Gives  arrays, and tables for pandas, polars, Arrow, xarray and Dask; nothing is read before it is looked at
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.look.segments import Segments
from pipelines.look.tables import imported

_SHOWN = 5


class FeatureRows:
    """Rows of one output of a feature set, a row a segment, with what they are of.

    Parameters
    ----------
    own : Segments
    output : str
    """

    def __init__(self, own: Segments, output: str) -> None:
        self.segments, self.output = own, output

    def __len__(self) -> int:
        return len(self.segments)

    def __repr__(self) -> str:
        held, own = self.segments.feature_set, self.segments
        shape = " x ".join(map(str, held.array(self.output).shape[1:]))
        labels = pc.unique(self._table["label"]).drop_null()
        return (
            f"{len(self)} rows of {held.name}, {self.output} ({shape}), snapshot {own.snapshot}\n"
            f"  {len(np.unique(own.item))} videos of {some(pc.unique(self._table['dataset']).to_pylist())}; "
            f"labels: {some(labels.to_pylist())}"
        )

    @cached_property
    def _table(self) -> pa.Table:
        return self.segments.table()

    @cached_property
    def values(self) -> np.ndarray:
        """(n, ...) in the stored dtype, read once."""
        held, order = self.segments.feature_set, np.argsort(self.segments.row, kind="stable")
        array, rows = held.array(self.output), self.segments.row[order]
        found, at = np.empty((len(rows), *array.shape[1:]), array.dtype), 0
        for block in held.scan(self.output) if len(rows) else ():
            low, high = np.searchsorted(rows, (at, at + len(block)))
            found[order[low:high]] = block[rows[low:high] - at]
            at += len(block)
        return found

    @property
    def names(self) -> np.ndarray:
        """(n,) video ids."""
        return self._column("video_id")

    @property
    def labels(self) -> np.ndarray:
        """(n,) labels; None where there is none."""
        return self._column("label")

    @property
    def splits(self) -> np.ndarray:
        """(n,) what the data set says of its split; None where it says nothing."""
        return self._column("split")

    @property
    def times(self) -> np.ndarray:
        """(n, 2) float64 seconds in the file; NaN where the store has none."""
        return self.segments.times

    def to_arrow(self) -> pa.Table:
        """A table of names, labels, splits, times and the values, as lists of fixed length; half floats as float32."""
        flat = self.values.reshape(len(self), -1)
        flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat  # which few readers know
        lists = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), max(flat.shape[1], 1))
        return self._table.append_column(
            self.output if self.output not in self._table.column_names else "values", lists
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame, an array a cell."""
        imported("pandas")
        frame = self._table.to_pandas()
        frame[self.output] = list(self.values)
        return frame

    def to_polars(self) -> Any:
        """A polars DataFrame, with a column of arrays."""
        return imported("polars").from_arrow(self.to_arrow())

    def to_dask(self) -> Any:
        """The values as a lazy Dask array (n, ...)."""
        imported("dask.array")
        return self.segments.feature_set.to_dask(self.output)[self.segments.row]

    def to_xarray(self) -> Any:
        """A lazy DataArray over `row`, with names, labels, splits and times as coordinates."""
        xarray = imported("xarray")
        columns = ("dataset", "video_id", "label", "split", "segment", "start_s", "end_s")
        coordinates = {name: ("row", self._column(name)) for name in columns}
        values = self.to_dask()
        inner = [f"{self.output}_{axis}" for axis in range(values.ndim - 1)]
        return xarray.DataArray(values, dims=("row", *inner), coords=coordinates, name=self.output)

    def _column(self, name: str) -> np.ndarray:
        return np.asarray(self._table[name].to_numpy())


def some(names: Sequence[Any]) -> str:
    """The first of some names, and how many there are."""
    shown = ", ".join(map(str, names[:_SHOWN])) or "none"
    return shown + (f", ... {len(names)} in all" if len(names) > _SHOWN else "")
