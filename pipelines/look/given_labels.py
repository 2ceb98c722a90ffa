"""A labels file of one's own as a table that SQL can ask: the view `labels` of `zsar sql --labels`.

Takes  a CSV as `zsar index --labels` reads it: video, label[, split][, start_s, end_s][, dataset][, item]
Gives  a table: dataset, video_id, label, split, start_s, end_s

`item` names what is a part of a file (`IMG_0001#0`), beside the file's own name in `video`; the pages of `zsar serve`
write both.
"""

import math

import pyarrow as pa

from pipelines.errors import LayoutError
from pipelines.index.layouts.label_files import Record, label_files, records
from pipelines.index.layouts.tables import TABLE

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "video_id", "label", "split")),
        *((name, pa.float64()) for name in ("start_s", "end_s")),
    ]
)
_COLUMNS = TABLE | {"dataset": (), "item": ()}


def given_labels(path: str) -> pa.Table:
    """The rows of a labels file, or of all in a folder.

    Raises
    ------
    LayoutError
        No such file, no table with a column video, a line without one, or seconds that are none.
    """
    rows = [
        _row(record) for label in label_files([path]) for record in records(label, _COLUMNS, ("id",), "table of labels")
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(record: Record) -> dict[str, str | float | None]:
    told = {name: record.values.get(name) or None for name in _COLUMNS}
    if not (video_id := told["item"] or told["id"]):
        raise LayoutError(f"{record.where} names no video. Mend the line or take it out.")
    texts: dict[str, str | float | None] = {name: told[name] for name in ("dataset", "label", "split")}
    return texts | {"video_id": video_id} | {name: _seconds(record, name) for name in ("start_s", "end_s")}


def _seconds(record: Record, name: str) -> float | None:
    told = record.values.get(name, "")
    try:
        value = float(told.replace(",", ".")) if told else None
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value < math.inf:
        raise LayoutError(f"{record.where} needs seconds in {name}, or nothing, got {told!r}. Mend the line.")
    return value
