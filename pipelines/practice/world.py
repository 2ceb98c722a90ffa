"""A practice world before it is written: its films, and its other files, which are made when they are missing."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipelines.practice.takes import Take


@dataclasses.dataclass(frozen=True)
class World:
    """What there is to write.

    Attributes
    ----------
    takes : its films
    files : name to what makes the bytes of it
    digest : of what the films are of, beside the settings
    left_out : sequences that are not drawn
    faults : why, where they cannot be used
    """

    takes: Sequence[Take]
    files: Mapping[str, Callable[[], bytes]]
    digest: str = ""
    left_out: int = 0
    faults: Sequence[str] = ()


def as_json(value: Any) -> bytes:
    """A file of JSON."""
    return f"{json.dumps(value, indent=1, ensure_ascii=False)}\n".encode()


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue().encode()


def labels(takes: Sequence[Take]) -> bytes:
    """The labels file, in the layout `table`."""
    return as_csv(("id", "label"), ((take.name, take.label) for take in takes))
