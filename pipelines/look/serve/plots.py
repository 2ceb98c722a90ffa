"""A feature set in the plane: up to 50,000 of its segments, each a point that leads to its clip.

rows of one output (n, D), evenly over all segments ──unit──flat──▶ (n, 2) ──▶ places on a drawing, a hue a label

A drawing is one JSON object of columns, a value a point, that the page's script draws.
"""

import dataclasses
import json
import math
import threading
from collections import Counter
from typing import Any

import numpy as np

from pipelines.errors import UsageError
from pipelines.look import flattened
from pipelines.look.segments import Segments
from stores.spans import Spans
from stores.vector_index import unit

MOST = 50_000  # points
WIDTH, HEIGHT = 1060, 720
_MOST_BYTES = 1 << 29  # of their vectors, as float32
_SPAN_BYTES = 100_000  # that are read in the time it takes to ask for one row
_EDGE = 18
_GOLDEN = 137.508  # degrees between the hues of neighbours, so that no two are alike
_KEPT = 8  # drawings in memory
_NO_LABEL, _GREY = "no label", "hsl(212 10% 60%)"
_OF_ITEMS = ("key", "dataset", "video_id", "label", "start_s", "end_s")


@dataclasses.dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes
    ----------
    x, y : in pixels of the drawing, a number a point
    label : of each point, its number in `labels`
    item : of each point, its number in `items`
    segment, start_s, end_s : of each point; None where the store has no times
    items : of each video on it: key, dataset, video_id, label, and its span where it is a part of its file
    labels : name, colour and number of points of each, most first
    said : how many of how many segments these are, and how they were arranged
    width, height : of the drawing in pixels
    """

    x: list[float]
    y: list[float]
    label: list[int]
    item: list[int]
    segment: list[int]
    start_s: list[float | None]
    end_s: list[float | None]
    items: dict[str, list[Any]]
    labels: list[tuple[str, str, int]]
    said: str
    width: int = WIDTH
    height: int = HEIGHT


class Plots:
    """Drawings, made once for each snapshot of a feature set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, ...], bytes] = {}

    def of(self, own: Segments, output: str, way: str, dataset: str = "") -> bytes:
        """The drawing of a feature set: a `Plot` as JSON, with the name of the feature set.

        Parameters
        ----------
        own : all its segments
        output : whose rows are drawn
        way : one of `flattened.WAYS`
        dataset : whose segments are drawn; empty: of all

        Raises
        ------
        UsageError
            There is nothing to draw, or the output holds no vectors.
        """
        key = own.feature_set.name, own.snapshot, output, way, dataset
        with self._lock:  # one at a time: each takes a core for a while
            if key not in self._made:
                while len(self._made) >= _KEPT:
                    del self._made[next(iter(self._made))]
                plot = _drawn(own.take(own.of(dataset)) if dataset else own, output, way)
                told = vars(plot) | {"feature": own.feature_set.name}
                self._made[key] = json.dumps(told, separators=(",", ":")).encode()
            return self._made[key]


def _drawn(own: Segments, output: str, way: str) -> Plot:
    array = own.feature_set.array(output)
    if array.dtype.kind != "f":
        raise UsageError(f"Output {output!r} of {own.feature_set.name} holds {array.dtype}, which is no vector.")
    if not len(own):
        raise UsageError(f"{own.feature_set.name} has no segments to draw.")
    width = math.prod(array.shape[1:])
    count = min(MOST, len(own), max(3, _MOST_BYTES // (4 * max(1, width))))
    some = own.take(flattened.evenly(count, len(own)))
    vectors = _rows(some, output, width)
    xy = _in_pixels(flattened.flat(unit(np.nan_to_num(vectors, posinf=0, neginf=0)), way))
    met, item = np.unique(some.item, return_inverse=True)
    items = some.items.take(met).select(_OF_ITEMS).to_pydict()
    items["key"] = [key.hex() for key in items["key"]]
    named = np.array([label or _NO_LABEL for label in items["label"]], object)[item]
    labels = Counter(named.tolist()).most_common()
    number = {name: at for at, (name, _) in enumerate(labels)}
    times = some.table(["start_s", "end_s"]).to_pydict()
    return Plot(
        x=xy[:, 0].tolist(),
        y=xy[:, 1].tolist(),
        label=[number[name] for name in named],
        item=item.tolist(),
        segment=some.number.tolist(),
        **times,
        items=items,
        labels=[(name, _GREY if name == _NO_LABEL else _colour(at), n) for at, (name, n) in enumerate(labels)],
        said=_said(count, len(own), way),
    )


def _rows(some: Segments, output: str, width: int) -> np.ndarray:
    """(n, D) float32: the rows of some segments; whole chunks are read where that is less than asking for each."""
    held, count = some.feature_set, len(some)
    array = held.array(output)
    if array.shape[0] * width * array.dtype.itemsize > count * _SPAN_BYTES:
        read = Spans(held, output).read([(int(row), int(row) + 1) for row in some.row])
        return np.concatenate(read).reshape(count, width).astype(np.float32)
    found = np.empty((count, width), np.float32)
    order = np.argsort(some.row, kind="stable")
    rows, at = some.row[order], 0
    for block in held.scan(output):
        low, high = np.searchsorted(rows, (at, at + len(block)))
        found[order[low:high]] = block.reshape(len(block), -1)[rows[low:high] - at]
        at += len(block)
    return found


def _said(count: int, told: int, way: str) -> str:
    of = f"{count:,} of {told:,} segments, evenly over all" if count < told else f"{told:,} segments"
    if way == "umap":
        return f"{of}; UMAP from a fixed seed."
    if count <= flattened.FITTED:
        return f"{of}; t-SNE from a fixed seed."
    return (
        f"{of}; t-SNE from a fixed seed of {flattened.FITTED:,} of them, evenly drawn; each other one lies at the "
        "median of the places of its ten nearest among these."
    )


def _in_pixels(found: np.ndarray) -> np.ndarray:
    """(n, 2) in pixels of the drawing."""
    low, span = found.min(0), np.ptp(found, axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * _EDGE
    return np.asarray(np.round(_EDGE + (found - low) / np.where(span > 0, span, 1) * room, 1))


def _colour(number: int) -> str:
    return f"hsl({number * _GOLDEN % 360:.0f} 62% {(42, 56)[number % 2]}%)"
