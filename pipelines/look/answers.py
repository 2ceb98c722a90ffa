"""Tables of answers on their way out: as plain values for JSON, as CSV or Parquet.

Takes  an Arrow table
Gives  rows of plain values, or a file that appears when all of it is written
"""

import csv
import datetime
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UsageError
from stores.root import whole


def plain(table: pa.Table) -> list[dict[str, Any]]:
    """Its rows, of what JSON knows: bytes as hexadecimal digits, times as ISO 8601, what is no number as null."""
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def write(table: pa.Table, path: Path, form: str) -> None:
    """Write a table as `csv` or `parquet`; arrays stand in CSV as JSON.

    Raises
    ------
    UsageError
        The file cannot be written; what was there before is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as beside:
            if form == "parquet":
                pq.write_table(table, beside, compression="zstd")
                return
            with beside.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(table.column_names)
                for batch in table.to_batches(4096):
                    writer.writerows(map(_cell, row.values()) for row in plain(pa.Table.from_batches([batch])))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}. Give another path.") from error


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    return float(value) if hasattr(value, "as_tuple") else str(value)  # a decimal; an interval
