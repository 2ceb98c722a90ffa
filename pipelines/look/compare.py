"""Compare: how close are these features to those, video by video, and if they differ, in what way.

Run    `zsar compare A B` or `zsar compare A FILE --dataset D [--out TABLE.parquet]`
Takes  a feature set and another, or a file of features made elsewhere
Gives  a `CompareReport`: cosines, norms, row counts, what is missing on either side, the likely cause of a difference

Both sides are keyed alike (`sides.py`), and the numbers of a video are those of `likeness.py`.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UsageError
from pipelines.look.likeness import COUNTS, IDENTICAL, NOT_FINITE, ROUNDED, SCALED, Pair, pairs
from pipelines.look.settings import CompareConfig
from pipelines.look.sides import opened
from stores.features import positions
from stores.ragged import put_in_place
from stores.root import Root
from untrusted.names import few

MIXED_UP = "features of other videos: the names are mixed up"


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median, least and mean of a number over videos, and the fractions above .999 and .99."""

    median: float
    min: float
    mean: float
    over_999: float
    over_99: float


@dataclasses.dataclass(frozen=True)
class CompareReport:
    """How close A is to B.

    Attributes
    ----------
    a, b : what was compared
    n : videos both sides have (contents, where both sides have keys)
    dim : numbers a row
    cosine, centred : of the mean rows, over the videos without NaN or infinity; centred needs two of them
    row_cosine : of single rows, over the videos with as many rows on both sides
    ratio : median of norm A over norm B
    cause : the most likely cause of the difference, in words
    causes : how many videos each cause was seen at
    only_a, only_b : names that only one side has, sorted
    worst : the least alike videos, the worst first
    out : where the whole table was written
    matched : how many ids of a file were found by which rules of `spellings.py`; empty for a file with keys
    """

    a: str
    b: str
    n: int
    dim: int
    cosine: Spread | None
    centred: Spread | None
    row_cosine: Spread | None
    ratio: float | None
    cause: str
    causes: dict[str, int]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    worst: tuple[Pair, ...]
    out: str | None
    matched: dict[str, int] = dataclasses.field(default_factory=dict)


def compare(config: CompareConfig, root: Root) -> CompareReport:
    """Compare a feature set with another or with a file.

    Raises
    ------
    UsageError
        The sides have rows of different length, or no video in common.
    NotInStore, Ambiguous
        No feature set, output or data set is called so, or several are.
    BadFile
        B is a file of no layout known here.
    """
    with opened(config, root) as sides:
        a, b = sides.a, sides.b
        if a.dim != b.dim:
            raise UsageError(
                f"Only rows of one length can be compared: {a.name} has {a.dim} numbers a row, {b.name} has {b.dim}. "
                "Another --output, or features of another model?"
            )
        at = positions(b.keys, a.keys)
        common = np.flatnonzero(at >= 0)
        only_a = sides.named(a.keys[at < 0])
        only_b = sides.named(b.keys[positions(a.keys, b.keys) < 0]) + sides.unknown
        if not len(common):
            raise UsageError(
                f"{a.name} and {b.name} have no video in common (A has {_first(only_a)}; B has {_first(only_b)}). "
                "Name the data set whose videos the file speaks of with --dataset, or extract them first."
            )
        rows = ((a.rows(i), b.rows(at[i])) for i in common.tolist())
        found, mixed_up = pairs(rows, sides.named(a.keys[common]), a.dim)
    if config.out:
        _write_table(config.out, found)
    finite = [pair for pair in found if pair.cause != NOT_FINITE]
    causes = dict(Counter(pair.cause for pair in found).most_common())
    ratios = [pair.ratio for pair in finite if pair.ratio is not None]
    worst = sorted(found, key=lambda pair: (pair.cause != NOT_FINITE, _likeness(pair, len(found)), pair.video_id))
    return CompareReport(
        a=a.name,
        b=b.name,
        n=len(found),
        dim=a.dim,
        cosine=_spread([pair.cosine for pair in finite]),
        centred=_spread([pair.centred for pair in finite]),
        row_cosine=_spread([pair.row_cosine for pair in finite]),
        ratio=float(np.median(ratios)) if ratios else None,
        cause=MIXED_UP if mixed_up else _in_words(causes, finite),
        causes=causes,
        only_a=tuple(sorted(only_a)),
        only_b=tuple(sorted(only_b)),
        worst=tuple(worst[: config.worst]),
        out=config.out,
        matched=sides.rules,
    )


def _likeness(pair: Pair, n: int) -> float:
    number = pair.centred if n > 2 else pair.cosine
    return -2.0 if number is None else number


def _spread(values: Sequence[float | None]) -> Spread | None:
    found = np.array([value for value in values if value is not None])
    if not len(found):
        return None
    numbers = (np.median(found), found.min(), found.mean(), (found > 0.999).mean(), (found > 0.99).mean())
    return Spread(*(float(v) for v in numbers))


def _in_words(causes: dict[str, int], pairs: list[Pair]) -> str:
    """The most common cause, with what is known of it, and how many videos it holds for if not for all."""
    first = next(iter(causes))
    if first == ROUNDED or (first == IDENTICAL and set(causes) == {IDENTICAL, ROUNDED}):
        first = ROUNDED
        count = causes.get(ROUNDED, 0) + causes.get(IDENTICAL, 0)
    else:
        count = causes[first]
    text = first
    if first == SCALED:
        text += _scale([pair for pair in pairs if pair.cause == SCALED])
    if first == COUNTS:
        pair = next(pair for pair in pairs if pair.cause == COUNTS)
        alike = _spread(
            [pair.cosine if pair.centred is None else pair.centred for pair in pairs if pair.cause == COUNTS]
        )
        text += f" (as {pair.rows_a} to {pair.rows_b})"
        text += f"; the mean rows have a centred cosine of {alike.median:.3f}" if alike else ""
    return text if count == sum(causes.values()) else f"{text} ({count} of {sum(causes.values())} videos)"


def _scale(pairs: list[Pair]) -> str:
    norms = {"A": np.array([p.norm_a or 0 for p in pairs]), "B": np.array([p.norm_b or 1 for p in pairs])}
    for side, own in norms.items():
        if np.allclose(own, 1, atol=0.02) and all(p.rows_a == 1 for p in pairs):
            return f": {side} is normalised to unit length"
    ratios = norms["A"] / norms["B"]
    if np.ptp(ratios) <= 0.01 * np.median(ratios):
        return f": A is {np.median(ratios):.4g} times B"
    return f": A is {ratios.min():.3g} to {ratios.max():.3g} times B, a factor of its own a video (one is normalised)"


def _write_table(out: str, pairs: list[Pair]) -> None:
    columns: dict[str, list[Any]] = {f.name: [getattr(p, f.name) for p in pairs] for f in dataclasses.fields(Pair)}
    with put_in_place(out) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def _first(names: list[str]) -> str:
    return few(map(repr, names), 2) or "none"
