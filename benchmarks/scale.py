"""What grows with the number of videos: a set of a stub extractor, at 10,000 to 650,000 videos.

python -m benchmarks scale        also draws docs/scale.svg

Nothing is decoded: a stub gives each video one row of 512 numbers, so that what is left is what the cache itself costs.
Each size is done by a process of its own, whose memory is its own too: the manifest is written, rows are committed as
an extraction commits them (the peak of memory is of this), the whole command is timed that finds nothing to do, and
what only old snapshots hold is freed.
"""

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.bars import Bar
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig
from stores.features import FeatureStore, ItemRows
from stores.manifest import SCHEMA, Manifest
from stores.root import Root

SIZES = (10_000, 50_000, 200_000, 650_000)
WIDTH, A_COMMIT = 512, 10_000
FEATURE = "i3d_k400:clips=1"
DRAWING = Path(__file__).parents[1] / "docs" / "scale.svg"


def bars() -> Iterator[Bar]:
    """The command that finds nothing to do, overhead a video, memory and store, as N grows."""
    found = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.scale", folder, str(size)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            found.append(json.loads(told))
        one = found[-1]
        print(
            f"  N={size}: nothing to do {one['no_op_s']:.2f} s ({one['no_op_cpu_s']:.1f} s of a core), "
            f"commit {1e6 * one['commit_s'] / size:.0f} us a video, peak {one['peak_mib']:.0f} MiB, store "
            f"{one['store_bytes'] / size:.0f} B a video of which {2 * WIDTH} are the row "
            f"({one['committed_bytes'] / size:.0f} B before `zsar drop --gc`), manifest "
            f"{one['manifest_bytes'] / size:.0f} B a video",
            flush=True,
        )
    DRAWING.write_text(drawn(found))
    first, last = found[0], found[-1]
    yield Bar.at_most(
        "no-op-650000",
        last["no_op_s"],
        3.0,
        f"seconds, the whole command, median of 5; {last['no_op_cpu_s']:.1f} s of a core",
    )
    a_video = 1e6 * last["commit_s"] / last["size"]
    yield Bar.at_most("commit-overhead", a_video, 1000, "microseconds a video, one row of 512 numbers each")
    growth = last["peak_mib"] - first["peak_mib"]
    flat = f"MiB more at {last['size']} videos than at {first['size']}"
    yield Bar.at_most("commit-memory", growth, 512, flat)
    beside = last["store_bytes"] / last["size"] - 2 * WIDTH
    yield Bar.at_most(
        "store-beside-rows",
        beside,
        128,
        "bytes a video beside its row, after `zsar drop --gc`",
    )


def measured(folder: Path, size: int) -> dict[str, float]:
    """A root of so many videos, and what it cost."""
    root = Root(folder / "root")
    keys = np.random.default_rng(0).integers(0, 256, (size, 32), np.uint8)
    names = pa.array([f"class_{i % 700}/video_{i:07d}" for i in range(size)])
    columns: dict[str, Any] = {field.name: pa.nulls(size, field.type) for field in SCHEMA}
    columns |= {"dataset": pa.repeat("d", size), "video_id": names, "kind": pa.repeat("video", size), "uri": names}
    columns["key"] = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), size, [None, pa.py_buffer(keys.tobytes())])
    columns |= {name: pa.repeat(1, size) for name in ("size_bytes", "mtime_ns", "seen_ns")}
    Manifest(root).write("d", pa.table(columns).cast(SCHEMA))
    del columns, names
    pa.default_memory_pool().release_unused()
    (feature,) = plan(ExtractConfig((FEATURE,), "d"), root).features
    made = {"features": ((WIDTH,), "float16")}
    feature_set = FeatureStore(root).create(feature.name, {}, feature.recipe.key, made)
    drawn_rows = np.random.default_rng(1).standard_normal((A_COMMIT, 1, WIDTH), np.float32).astype(np.float16)
    times, spent = np.zeros((1, 2), np.float32), 0.0
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    for start in range(0, size, A_COMMIT):
        some = zip(keys[start : start + A_COMMIT], drawn_rows, strict=False)
        items = [ItemRows(key.tobytes(), {"features": row}, times) for key, row in some]
        begun = time.perf_counter()
        feature_set.append(items)
        spent += time.perf_counter() - begun
    peak = _peak_mib()
    no_op, spent_cpu = [], resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        asked = ["extract", FEATURE, "--dataset", "d", "--root", root.url, "--json"]
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.command.main", *asked], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        said, _ = process.communicate()
        no_op.append(time.perf_counter() - begun)
        told = json.loads(said.splitlines()[-1])
        if process.returncode or told["skipped"] != size:
            raise RuntimeError(f"the command did not find all there: {told}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    no_op_cpu = (used.ru_utime + used.ru_stime - spent_cpu.ru_utime - spent_cpu.ru_stime) / len(no_op)
    committed = _bytes_in(Path(root.path("features")))
    feature_set.collect()
    return {
        "size": size,
        "committed_bytes": committed,
        "no_op_s": median(no_op),
        "no_op_cpu_s": no_op_cpu,
        "commit_s": spent,
        "peak_mib": peak,
        "store_bytes": _bytes_in(Path(root.path("features"))),
        "manifest_bytes": _bytes_in(Path(root.path("manifest"))),
    }


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# -- the drawing ------------------------------------------------------------------------------------------------------

_LINES = {
    "no_op_s": ("the command that finds nothing to do, s", "#1b6ca8"),
    "commit_s": ("committing all rows, s", "#b3541e"),
    "peak_mib": ("memory of committing, GiB", "#4c7a34"),
    "store_bytes": ("feature set, GiB", "#6b4c9a"),
    "manifest_bytes": ("manifest, GiB", "#888888"),
}
_SCALE = {"peak_mib": 1 / 1024, "store_bytes": 1 / 2**30, "manifest_bytes": 1 / 2**30}


def drawn(found: list[dict[str, float]]) -> str:
    """What grows with N, both scales logarithmic, as SVG."""
    values = {name: [one[name] * _SCALE.get(name, 1) for one in found] for name in _LINES}
    low = math.floor(math.log10(min(min(line) for line in values.values())))
    high = math.ceil(math.log10(max(max(line) for line in values.values())))
    left, top, wide, tall = 60, 20, 440, 300
    sizes = [math.log10(one["size"]) for one in found]

    def at(size: float, value: float) -> tuple[float, float]:
        x = left + wide * (size - sizes[0]) / max(sizes[-1] - sizes[0], 1e-9)
        return x, top + tall * (high - math.log10(value)) / (high - low)

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 370" font-family="sans-serif" font-size="12">']
    for power in range(low, high + 1):
        _, y = at(sizes[0], 10.0**power)
        parts.append(f'<path d="M{left} {y:.1f}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for one, size in zip(found, sizes, strict=True):
        x, _ = at(size, 1)
        parts.append(f'<text x="{x:.1f}" y="{top + tall + 18}" text-anchor="middle">{one["size"]:,.0f}</text>')
    parts.append(f'<text x="{left + wide / 2}" y="{top + tall + 38}" text-anchor="middle">videos</text>')
    ends = sorted((at(sizes[-1], values[name][-1])[1], name) for name in _LINES)
    placed = -math.inf
    for y, name in ends:
        placed = max(y, placed + 15)
        told, colour = _LINES[name]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, sizes, values[name]))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left + wide + 8}" y="{placed + 4:.1f}" fill="{colour}">{told}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]))))
