"""Compare: how close are these features to those, video by video, and if they differ, in what way.

Run    `zsar compare A B` or `zsar compare A FILE --dataset D [--out TABLE.parquet]`
Takes  a feature set and another, or a file of features made elsewhere
Gives  a `CompareReport`: cosines, norms, row counts, what is missing on either side, the likely cause of a difference

Both sides are compared by content key where both have one, else by video id. With a, b the mean rows of a video,

    cosine  = a.b / |a||b|            centred = the same of a - mean(a), b - mean(b) over the common videos

The centred cosine is the one to look at: features after a ReLU share a large mean, so that even features of unrelated
videos have cosines of .7 and more. Where a video has as many rows on either side, rows are compared one by one too.
"""

import contextlib
import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.index.foreign_ids import whose
from pipelines.look.export import loaded
from pipelines.look.settings import CompareConfig
from stores.captions import Captions
from stores.features import FeatureSet, positions
from stores.foreign import Foreign, Rows, is_feature_file, read_foreign
from stores.manifest import Manifest
from stores.ragged import put_in_place
from stores.root import Root

IDENTICAL = "identical"
ROUNDED = "equal up to float16 rounding"
SCALED = "same up to scale"
PERMUTED = "same rows in another order"
COUNTS = "rows differ in count"
NOT_FINITE = "NaN or infinity"
CLOSE = "close"
DIFFERENT = "different"
UNRELATED = "unrelated"
MIXED_UP = "features of other videos: the names are mixed up"

_SAME = 0.9999  # cosine above which two rows are one row, scaled or rounded
_CLOSE = 0.99
_UNRELATED = 0.3  # centred cosine below which two vectors have nothing to do with each other
_MOST_PERMUTED = 1024  # rows of a video up to which another order is looked for
_MOST_MIXED = 2000  # videos up to which mixed-up names are looked for


@dataclasses.dataclass(frozen=True)
class Pair:
    """One video on both sides.

    Attributes
    ----------
    cosine, centred : of the mean rows
    norm_a, norm_b, ratio : norms of the mean rows, and the first over the second
    rows_a, rows_b : how many rows
    row_cosine, row_cosine_min : mean and least cosine of rows of the same number; None where counts differ
    cause : what the numbers say

    A number that is not finite is None.
    """

    video_id: str
    cosine: float | None
    centred: float | None
    norm_a: float | None
    norm_b: float | None
    ratio: float | None
    rows_a: int
    rows_b: int
    row_cosine: float | None
    row_cosine_min: float | None
    cause: str


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


@dataclasses.dataclass(frozen=True)
class _Side:
    """Features of some videos, keyed."""

    name: str
    keys: np.ndarray
    values: Rows
    offsets: np.ndarray

    def rows(self, item: int) -> np.ndarray:
        """(r, D) float64 rows of one video."""
        span = slice(int(self.offsets[item]), int(self.offsets[item + 1]))
        rows = np.asarray(self.values[span], np.float64)
        return rows.reshape(len(rows), int(np.prod(rows.shape[1:])))  # -1 says nothing where there is no row


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
    names = _names(config, root)
    with _sides(config, root, names) as (a, b, unknown, rules):
        dim = _dimension(a, b)
        at = positions(b.keys, a.keys)
        common = np.flatnonzero(at >= 0)
        only_a = [names.get(a.keys[i].tobytes(), a.keys[i].tobytes().hex()[:12]) for i in np.flatnonzero(at < 0)]
        rest = np.flatnonzero(positions(a.keys, b.keys) < 0)
        only_b = [names.get(b.keys[i].tobytes(), b.keys[i].tobytes().hex()[:12]) for i in rest] + unknown
        if not len(common):
            raise UsageError(
                f"{a.name} and {b.name} have no video in common (A has {_first(only_a)}; B has {_first(only_b)}). "
                "Name the data set whose videos the file speaks of with --dataset, or extract them first."
            )
        pairs, mixed_up = _pairs(a, b, common, at[common], names)
    if config.out:
        _write_table(config.out, pairs)
    report = _report(config, (a.name, b.name), dim, pairs, mixed_up, (only_a, only_b))
    return dataclasses.replace(report, matched=rules)


# -- the two sides ----------------------------------------------------------------------------------------------------


def _names(config: CompareConfig, root: Root) -> dict[bytes, str]:
    """Video id by content key; of twins the first."""
    if config.dataset is None:
        return {}
    table = Manifest(root).read(config.dataset, columns=["video_id", "key"])
    names = dict(reversed(list(zip(table["key"].to_pylist(), table["video_id"].to_pylist(), strict=True))))
    for caption in Captions(root).read(config.dataset, ["group", "place", "key"]).to_pylist():
        if caption["group"] in names:
            names.setdefault(caption["key"], f"{names[caption['group']]}#{caption['place']}")
    return names


@contextlib.contextmanager
def _sides(
    config: CompareConfig, root: Root, names: dict[bytes, str]
) -> Iterator[tuple[_Side, _Side, list[str], dict[str, int]]]:
    twins = _twins(config, root)
    with tempfile.TemporaryDirectory(prefix="zsar-") as scratch, contextlib.ExitStack() as stack:

        def of_set(name: str) -> _Side:
            feature_set = feature_sets.find(root, name)
            keys = _wanted(feature_set, names)
            features = stack.enter_context(loaded(feature_set, keys, config.output, scratch))
            own = _of_videos(features.keys, twins)
            return _Side(feature_set.name, own, features.values, features.offsets)

        a = of_set(config.a)
        if is_feature_file(config.b) or os.path.exists(config.b):
            b, unknown, rules = _of_file(config, root, names)
        else:
            b, unknown, rules = of_set(config.b), [], {}
        yield a, b, unknown, rules


def _twins(config: CompareConfig, root: Root) -> dict[bytes, bytes]:
    """Keys of features that were without their videos, and of the videos that have come since."""
    if config.dataset is None:
        return {}
    rows = Manifest(root).read(config.dataset, columns=["video_id", "key", "kind"]).to_pylist()
    videos = {row["video_id"]: row["key"] for row in rows if row["kind"] == "video"}
    return {
        row["key"]: videos[row["video_id"]] for row in rows if row["kind"] == "feature" and row["video_id"] in videos
    }


def _of_videos(keys: np.ndarray, twins: dict[bytes, bytes]) -> np.ndarray:
    """The same keys, but those of the videos where a set has the features under their names alone."""
    own = [key.tobytes() for key in keys]
    there = set(own)
    found = [twins[key] if key in twins and twins[key] not in there else key for key in own] if twins else own
    return np.frombuffer(b"".join(found), np.uint8).reshape(keys.shape)


def _wanted(feature_set: FeatureSet, names: dict[bytes, str]) -> np.ndarray:
    """Keys of a feature set, of one data set where one was named."""
    keys = feature_set.keys()
    if not names:
        return keys
    mine = np.frombuffer(b"".join(names), np.uint8).reshape(-1, keys.shape[1])
    return np.asarray(keys[positions(mine, keys) >= 0])


def _of_file(config: CompareConfig, root: Root, names: dict[bytes, str]) -> tuple[_Side, list[str], dict[str, int]]:
    """The file's side, a content once, the names that no content is known for, and how the others were found."""
    features = read_foreign(config.b)
    who = whose(config.b, features, config.dataset, root)
    keys = who.keys
    for i in np.flatnonzero(who.known):
        names.setdefault(keys[i].tobytes(), features.video_id[i])
    unknown = [features.video_id[i] for i in np.flatnonzero(~who.known)]
    if (texts := _texts_of(config, root, features, keys)) is not None:
        return texts, unknown, who.rules
    _, first = np.unique(keys, axis=0, return_index=True)
    keep = np.array([i for i in sorted(first) if who.known[i]], np.int64)
    sizes = np.diff(features.offsets)
    if len(keep) == len(keys):
        return _Side(config.b, keys, features.values, features.offsets), unknown, who.rules
    starts = features.offsets[keep]
    offsets = np.concatenate([[0], np.cumsum(sizes[keep])]).astype(np.int64)
    rows = np.repeat(starts - offsets[:-1], sizes[keep]) + np.arange(offsets[-1])
    return _Side(config.b, keys[keep], np.asarray(features.values[:])[rows], offsets), unknown, who.rules


def _texts_of(config: CompareConfig, root: Root, features: Foreign, keys: np.ndarray) -> _Side | None:
    """The file's side by captions, where its items are groups of them with a row a caption; else None."""
    captions = Captions(root).read(config.dataset or "", ["group", "key"])
    own: dict[bytes, list[bytes]] = {}
    for group, key in zip(captions["group"].to_pylist(), captions["key"].to_pylist(), strict=True):
        own.setdefault(group, []).append(key)
    sizes = np.diff(features.offsets)
    rows: dict[bytes, int] = {}
    for item in range(len(keys)):
        texts = own.get(keys[item].tobytes(), [])
        if len(texts) == sizes[item]:
            rows.update({key: int(features.offsets[item]) + at for at, key in reversed(list(enumerate(texts)))})
    if not rows:
        return None
    found = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    return _Side(config.b, found, np.asarray(features.values[:])[list(rows.values())], np.arange(len(rows) + 1))


def _dimension(a: _Side, b: _Side) -> int:
    dims = [int(np.prod(side.values.shape[1:])) for side in (a, b)]
    if dims[0] != dims[1]:
        raise UsageError(
            f"Only rows of one length can be compared: {a.name} has {dims[0]} numbers a row, {b.name} has {dims[1]}. "
            "Another --output, or features of another model?"
        )
    return dims[0]


# -- the numbers ------------------------------------------------------------------------------------------------------


def _pairs(
    a: _Side, b: _Side, items_a: np.ndarray, items_b: np.ndarray, names: dict[bytes, str]
) -> tuple[list[Pair], bool]:
    """A pair a common video; memory holds the mean rows of both sides and the rows of one video."""
    dim = int(np.prod(a.values.shape[1:]))
    means = np.zeros((2, len(items_a), dim), np.float32)
    notes = []
    with np.errstate(all="ignore"):  # NaN and infinity are an answer here, not an accident
        for k, (i, j) in enumerate(zip(items_a.tolist(), items_b.tolist(), strict=True)):
            rows_a, rows_b = a.rows(i), b.rows(j)
            means[0, k], means[1, k] = _mean(rows_a), _mean(rows_b)
            notes.append((len(rows_a), len(rows_b), *_row_cosines(rows_a, rows_b), _cause_of_rows(rows_a, rows_b)))
        finite = np.isfinite(means).all((0, 2))
        centred = means - means[:, finite].mean(1, keepdims=True) if finite.any() else means
        cosines, centred_cosines = _cosines(means[0], means[1]), _cosines(centred[0], centred[1])
        norms = np.sqrt(np.einsum("snd,snd->sn", means, means, dtype=np.float64))
    if len(notes) == 1:
        centred_cosines[:] = np.nan  # one video less its own mean is nothing
    pairs = []
    for k, (count_a, count_b, row_cosine, row_min, cause) in enumerate(notes):
        key = a.keys[items_a[k]].tobytes()
        norm_a, norm_b = norms[:, k]
        pairs.append(
            Pair(
                video_id=names.get(key, key.hex()[:12]),
                cosine=_known(cosines[k]),
                centred=_known(centred_cosines[k]),
                norm_a=_known(norm_a),
                norm_b=_known(norm_b),
                ratio=_known(norm_a / norm_b) if norm_b else None,
                rows_a=count_a,
                rows_b=count_b,
                row_cosine=_known(row_cosine),
                row_cosine_min=_known(row_min),
                cause=cause or _cause_of_means(cosines[k], centred_cosines[k], len(notes)),
            )
        )
    return pairs, _mixed_up(centred[:, finite])


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _mean(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.mean(0) if len(rows) else np.full(rows.shape[1], np.nan))


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) cosines of rows; two zero vectors have 1, a zero vector and another 0."""
    dots, aa, bb = (np.einsum("nd,nd->n", x, y, dtype=np.float64) for x, y in ((a, b), (a, a), (b, b)))
    norms = np.sqrt(aa * bb)  # of one root: then equal vectors have a cosine of exactly 1
    zero = np.where((aa == 0) & (bb == 0), 1.0, 0.0)
    return np.where(norms == 0, zero, dots / np.where(norms == 0, 1, norms))


def _row_cosines(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    if len(a) != len(b) or not len(a):
        return np.nan, np.nan
    cosines = _cosines(a, b)
    return float(cosines.mean()), float(cosines.min())


def _cause_of_rows(a: np.ndarray, b: np.ndarray) -> str | None:
    """What the rows of one video say, if they say it by themselves."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or not len(a) or not len(b):
        return NOT_FINITE
    if len(a) != len(b):
        return COUNTS
    if (a == b).all():
        return IDENTICAL
    # half a unit in the last place of float16 on either side: 2^-11 of the value, 2^-25 below the normal numbers
    if (np.abs(a - b) <= 2.0**-10 * np.maximum(np.abs(a), np.abs(b)) + 2.0**-24).all():
        return ROUNDED
    if _cosines(a, b).min() >= _SAME:
        norms_a, norms_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        return CLOSE if np.allclose(norms_a, norms_b, rtol=0.01) else SCALED
    return PERMUTED if _is_permuted(a, b) else None


def _is_permuted(a: np.ndarray, b: np.ndarray) -> bool:
    if not 1 < len(a) <= _MOST_PERMUTED:
        return False
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    cosines = a @ b.T / np.where(norms == 0, 1, norms)
    best = cosines.argmax(1)
    return bool(len(set(best.tolist())) == len(a) and cosines.max(1).min() >= _SAME)


def _cause_of_means(cosine: float, centred: float, n: int) -> str:
    if cosine >= _CLOSE and (n < 3 or centred >= _CLOSE):
        return CLOSE
    return UNRELATED if (centred if n > 2 else cosine) < _UNRELATED else DIFFERENT


def _mixed_up(centred: np.ndarray) -> bool:
    """True if the videos of B are those of A under other names: each has its double, but not at its own place."""
    n = centred.shape[1]
    if not 2 < n <= _MOST_MIXED:
        return False
    unit = centred / np.maximum(np.linalg.norm(centred, axis=2, keepdims=True), 1e-12)
    cosines = unit[0] @ unit[1].T
    return bool(np.median(np.diag(cosines)) < _CLOSE and np.median(cosines.max(1)) >= _SAME)


# -- the report -------------------------------------------------------------------------------------------------------


def _report(
    config: CompareConfig,
    names: tuple[str, str],
    dim: int,
    pairs: list[Pair],
    mixed_up: bool,
    only: tuple[list[str], list[str]],
) -> CompareReport:
    finite = [pair for pair in pairs if pair.cause != NOT_FINITE]
    causes = dict(Counter(pair.cause for pair in pairs).most_common())
    ratios = [pair.ratio for pair in finite if pair.ratio is not None]
    worst = sorted(pairs, key=lambda pair: (pair.cause != NOT_FINITE, _likeness(pair, len(pairs)), pair.video_id))
    return CompareReport(
        a=names[0],
        b=names[1],
        n=len(pairs),
        dim=dim,
        cosine=_spread([pair.cosine for pair in finite]),
        centred=_spread([pair.centred for pair in finite]),
        row_cosine=_spread([pair.row_cosine for pair in finite]),
        ratio=float(np.median(ratios)) if ratios else None,
        cause=MIXED_UP if mixed_up else _in_words(causes, finite),
        causes=causes,
        only_a=tuple(sorted(only[0])),
        only_b=tuple(sorted(only[1])),
        worst=tuple(worst[: config.worst]),
        out=config.out,
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
    return ", ".join(map(repr, names[:2])) + (", ..." if len(names) > 2 else "") if names else "none"
