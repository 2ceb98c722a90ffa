"""A feature set in the plane: some thousands of its segments, each a point that leads to its clip.

rows of one output (n, D), evenly over all segments ──unit──flat──▶ (n, 2) ──▶ places on a drawing, a hue a label
"""

import dataclasses
import threading
from collections import Counter

import numpy as np

from pipelines.errors import UsageError
from pipelines.look.flattened import flat
from pipelines.look.segments import Segments
from stores.spans import Spans
from stores.vector_index import unit

MOST = 2000  # points
WIDTH, HEIGHT = 1060, 720
_EDGE = 18
_GOLDEN = 137.508  # degrees between the hues of neighbours, so that no two are alike
_KEPT = 8  # drawings in memory
_NO_LABEL, _GREY = "no label", "hsl(212 10% 60%)"


@dataclasses.dataclass(frozen=True)
class Point:
    """A segment on the drawing: where, of which label (its number), and whose."""

    x: float
    y: float
    label: int
    key: str
    video_id: str
    segment: int


@dataclasses.dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes
    ----------
    points : at most `MOST`
    labels : name, colour and number of points of each, most first
    told : segments there are
    """

    points: tuple[Point, ...]
    labels: tuple[tuple[str, str, int], ...]
    told: int


class Plots:
    """Drawings, made once for each snapshot of a feature set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, ...], Plot] = {}

    def of(self, own: Segments, output: str, way: str, dataset: str = "") -> Plot:
        """The drawing of a feature set.

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
        with self._lock:  # one at a time: each takes all cores for some seconds
            if key not in self._made:
                while len(self._made) >= _KEPT:
                    del self._made[next(iter(self._made))]
                self._made[key] = _drawn(own.take(own.of(dataset)) if dataset else own, output, way)
            return self._made[key]


def _drawn(own: Segments, output: str, way: str) -> Plot:
    array = own.feature_set.array(output)
    if array.dtype.kind != "f":
        raise UsageError(f"Output {output!r} of {own.feature_set.name} holds {array.dtype}, which is no vector.")
    if not len(own):
        raise UsageError(f"{own.feature_set.name} has no segments to draw.")
    count = min(MOST, len(own))
    some = own.take(((np.arange(count) + 0.5) * len(own) / count).astype(np.int64))
    read = Spans(own.feature_set, output).read([(int(row), int(row) + 1) for row in some.row])
    vectors = np.concatenate(read).reshape(count, -1).astype(np.float32)
    placed = _placed(flat(unit(np.nan_to_num(vectors, posinf=0, neginf=0)), way))
    table = some.table(["label", "key", "video_id", "segment"]).to_pydict()
    names = [label or _NO_LABEL for label in table["label"]]
    labels = Counter(names).most_common()
    number = {name: at for at, (name, _) in enumerate(labels)}
    rows = zip(placed.tolist(), names, table["key"], table["video_id"], table["segment"], strict=True)
    points = tuple(Point(x, y, number[name], *rest) for (x, y), name, *rest in rows)
    told = ((name, _GREY if name == _NO_LABEL else _colour(at), n) for at, (name, n) in enumerate(labels))
    return Plot(points, tuple(told), len(own))


def _placed(found: np.ndarray) -> np.ndarray:
    """(n, 2) in pixels of the drawing."""
    low, span = found.min(0), np.ptp(found, axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * _EDGE
    return np.asarray(np.round(_EDGE + (found - low) / np.where(span > 0, span, 1) * room, 1))


def _colour(number: int) -> str:
    return f"hsl({number * _GOLDEN % 360:.0f} 62% {(42, 56)[number % 2]}%)"
