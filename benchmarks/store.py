"""Bars of the store and the plan.

python -m benchmarks store
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

from benchmarks.bars import Bar
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig
from stores.features import FeatureStore, ItemRows
from stores.manifest import SCHEMA, Manifest
from stores.root import Root

VIDEOS = 650_000
FEATURES = ("i3d_k400", "i3d_k400:clips=8", "i3d_k400:clips=1", "i3d_k400:frames=16")


def bars() -> Iterator[Bar]:
    """Reduce over a whole set against a memmap; what is missing of 650,000 videos x 4 recipes."""
    with tempfile.TemporaryDirectory() as folder:
        yield reduce(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield from missing(Path(folder))


def reduce(folder: Path, items: int = 12_000, rows: int = 8, width: int = 1024) -> Bar:
    """Sum over every row of a set of 96,000 rows, against the same sum over a numpy memmap of the same bytes."""
    feature_set = FeatureStore(Root(folder / "root")).create("x@1", {}, "1", {"features": ((width,), "float16")})
    random = np.random.default_rng(0)
    mapped = np.memmap(folder / "rows.bin", np.float16, "w+", shape=(items * rows, width))
    for start in range(0, items, 1000):
        block = random.standard_normal((1000 * rows, width), np.float32).astype(np.float16)
        mapped[start * rows : (start + 1000) * rows] = block
        feature_set.append([ItemRows(random.bytes(32), {"features": part}) for part in np.split(block, 1000)])
    mapped.flush()
    ours, theirs = [], []
    for _ in range(7):
        start_s = time.perf_counter()
        a = sum(block.sum(0, dtype=np.float32) for block in feature_set.scan())
        ours.append(time.perf_counter() - start_s)
        start_s = time.perf_counter()
        view = np.memmap(folder / "rows.bin", np.float16, "r", shape=mapped.shape)
        b = sum(view[i : i + 4096].sum(0, dtype=np.float32) for i in range(0, len(view), 4096))
        theirs.append(time.perf_counter() - start_s)
    if not np.array_equal(a, b):
        raise RuntimeError("the store and the memmap disagree")
    ratio = median(b / a for a, b in zip(ours, theirs, strict=True))
    return Bar.at_least(
        "reduce-over-memmap", ratio, 0.8, f"store {median(ours):.2f} s, memmap {median(theirs):.2f} s, medians of 7"
    )


def missing(folder: Path) -> Iterator[Bar]:
    """The plan with nothing missing, in this process and as a whole command."""
    root = Root(folder)
    keys = np.random.default_rng(0).integers(0, 256, (VIDEOS, 32), np.uint8)
    names = pa.array([f"class_{i % 700}/video_{i:07d}" for i in range(VIDEOS)])
    table = pa.table(
        {
            "dataset": pa.repeat("kinetics", VIDEOS),
            "video_id": names,
            "kind": pa.repeat("video", VIDEOS),
            "uri": names,
            "key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), VIDEOS, [None, pa.py_buffer(keys.tobytes())]),
            "label": pa.nulls(VIDEOS, pa.string()),
            "split": pa.nulls(VIDEOS, pa.string()),
            "recording": pa.nulls(VIDEOS, pa.string()),
            "start_s": pa.nulls(VIDEOS, pa.float64()),
            "end_s": pa.nulls(VIDEOS, pa.float64()),
            "size_bytes": pa.repeat(1, VIDEOS),
            "mtime_ns": pa.repeat(1, VIDEOS),
            "seen_ns": pa.repeat(1, VIDEOS),
        }
    )
    Manifest(root).write("kinetics", table.cast(SCHEMA))
    config = ExtractConfig(FEATURES, "kinetics")
    row = {"features": np.zeros((1, 1), np.float16)}
    for number, feature in enumerate(plan(config, root).features):
        feature_set = FeatureStore(root).create(feature.name, {}, feature.recipe.key, {"features": ((1,), "float16")})
        order = np.random.default_rng(number).permutation(VIDEOS)
        feature_set.append([ItemRows(keys[i].tobytes(), row) for i in order])
    plans = []
    for _ in range(5):
        start = time.perf_counter()
        todo = plan(config, root)
        plans.append(time.perf_counter() - start)
        if any(f.planned for f in todo.features) or todo.features[0].skipped != VIDEOS:
            raise RuntimeError("the plan is wrong")
    command = [
        sys.executable,
        "-m",
        "pipelines.command.main",
        "extract",
        *FEATURES,
        "--dataset",
        "kinetics",
        "--root",
        root.url,
        "--json",
    ]
    commands = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        commands.append(time.perf_counter() - start)
    yield Bar.at_most(
        "plan-650000x4", median(plans), 1.0, f"seconds, median of 5, {min(plans):.2f} to {max(plans):.2f}"
    )
    yield Bar.at_most(
        "command-650000x4", median(commands), 3.0, f"seconds, median of 5, {min(commands):.2f} to {max(commands):.2f}"
    )
