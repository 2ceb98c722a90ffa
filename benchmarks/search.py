"""How long a search over many segments takes, and how near to an exact one it comes; texts are not encoded.

Run: `python -m benchmarks.search` (under a minute), `python -m benchmarks.search 5000000 FOLDER` for more of them, of
which each needs 2 KB of disk.

Segments are generated as features lie: 700 classes, videos about their classes along 24 directions, 8 segments about
each video. Queries are segments of videos that are not there. A search is what `zsar query` does once it is open: the
index, the stored rows of candidates in doubt, whose segments the ten best are; beside it one over a twentieth of all.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.bars import Bar, run
from pipelines.look.searching import Searcher
from stores.features import FeatureSet, FeatureStore, ItemRows
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from stores.vector_index import unit

_SEGMENTS = 1 << 17
_OF_A_VIDEO, _CLASSES, _DIRECTIONS, _WIDTH = 8, 700, 24, 384
_AT_ONCE = 1 << 12  # videos
_QUERIES, _K = 200, 10


def bars(segments: int = _SEGMENTS, folder: str = "") -> Iterator[Bar]:
    """Time and recall of searches, how fast an index is made and grown, and its size."""
    with tempfile.TemporaryDirectory(dir=folder or None) as scratch:
        root = Root(scratch)
        held = made(root, segments)
        start = time.perf_counter()
        searcher = Searcher(root, held)
        made_s = time.perf_counter() - start
        queries = drawn(_QUERIES, np.random.default_rng(1))[:, 0].astype(np.float32)
        every, found = _timed(lambda query: searcher.search(query, _K), queries)
        told = f"{segments} segments of {_WIDTH}; p95 {np.quantile(every, 0.95) * 1e3:.1f} ms"
        yield Bar.at_most("search-p50-ms", float(np.median(every)) * 1e3, 10, told)
        some = searcher.segments.hold("label < 'class_035'")
        few, _ = _timed(lambda query: searcher.search(query, _K, some), queries)
        told = f"among {np.mean(some):.0%} of them; p95 {np.quantile(few, 0.95) * 1e3:.1f} ms"
        yield Bar.measured("search-among-some-p50-ms", float(np.median(few)) * 1e3, told)
        recall = float(
            np.mean([len(set(a) & set(b)) / _K for a, b in zip(found, _exactly(held, queries), strict=True)])
        )
        yield Bar.at_least("search-recall-at-10", recall, 0.95, "against exact search over the same segments")
        held.append(list(_items(np.random.default_rng(2), 1250, "more")))
        start = time.perf_counter()
        grown = Searcher(root, held)
        told = f"{grown.index.added} segments added in {time.perf_counter() - start:.1f} s, made in {made_s:.1f} s"
        yield Bar.measured("search-index-rows-a-second", segments / made_s, told)
        size = sum(path.stat().st_size for path in Path(scratch, "indexes").rglob("*") if path.is_file())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        yield Bar.measured("search-index-bytes-a-segment", size / segments, f"peak memory of all this {peak:.1f} GB")


def drawn(videos: int, random: np.random.Generator) -> np.ndarray:
    """Segments of generated videos, (videos, 8, D) float16."""
    world = np.random.default_rng(0)
    centres = world.normal(size=(_CLASSES, _WIDTH)).astype(np.float32)
    ways = world.normal(size=(_CLASSES, _DIRECTIONS, _WIDTH)).astype(np.float32) / np.sqrt(_DIRECTIONS)
    label = random.integers(0, _CLASSES, videos)
    along = random.normal(size=(videos, 1, _DIRECTIONS)) + 0.3 * random.normal(size=(videos, _OF_A_VIDEO, _DIRECTIONS))
    rows = centres[label, None] + 1.5 * along.astype(np.float32) @ ways[label]
    return (rows + 0.1 * random.normal(size=rows.shape)).astype(np.float16)


def _items(random: np.random.Generator, videos: int, name: str) -> Iterator[ItemRows]:
    for number, rows in enumerate(drawn(videos, random)):
        yield ItemRows(text_key(f"{name}{number}"), {"features": rows})


def made(root: Root, segments: int) -> FeatureSet:
    """The feature set and its manifest."""
    recipe = {"precision": "fp16", "weights": "generated"}
    held = FeatureStore(root).create("x@1", recipe, "1", {"features": ((_WIDTH,), "float16")})
    videos = segments // _OF_A_VIDEO
    random, keys = np.random.default_rng(3), []
    for start in range(0, videos, _AT_ONCE):
        items = list(_items(random, min(_AT_ONCE, videos - start), f"{start}-"))
        held.append(items)
        keys += [item.key for item in items]
    rows = {name: pa.nulls(videos, SCHEMA.field(name).type) for name in SCHEMA.names}
    rows |= {
        "dataset": pa.repeat("d", videos),
        "kind": pa.repeat("video", videos),
        "key": pa.array(keys, pa.binary(32)),
    }
    rows |= {name: pa.array([f"v{i:07d}" for i in range(videos)]) for name in ("video_id", "uri")}
    rows["label"] = pa.array([f"class_{i % _CLASSES:03d}" for i in range(videos)])
    Manifest(root).write("d", pa.table(rows, schema=SCHEMA))
    return held


def _timed(search: Callable[[np.ndarray], object], queries: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Seconds of each search, and the stored rows that it found."""
    times, found = [], []
    for query in queries:
        start = time.perf_counter()
        own, _ = search(query)  # type: ignore[misc]
        times.append(time.perf_counter() - start)
        found.append(own.row.tolist())
    return np.array(times), found


def _exactly(held: FeatureSet, queries: np.ndarray) -> np.ndarray:
    """(queries, 10) the rows nearest to each by a product with all of them."""
    asked = unit(queries)
    best, rows, at = np.full((len(asked), _K), -np.inf, np.float32), np.zeros((len(asked), _K), np.int64), 0
    for block in held.scan():
        scores = np.concatenate([best, asked @ unit(block.astype(np.float32)).T], 1)
        numbers = np.concatenate([rows, np.tile(np.arange(at, at + len(block)), (len(asked), 1))], 1)
        order = np.argpartition(-scores, _K - 1, 1)[:, :_K]
        best, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(numbers, order, 1)
        at += len(block)
    return rows


if __name__ == "__main__":
    run(bars(int(sys.argv[1]) if len(sys.argv) > 1 else _SEGMENTS, sys.argv[2] if len(sys.argv) > 2 else ""))
