"""Bar of the start: `zsar --help` against a Python that does nothing, on the same machine.

python -m benchmarks start
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from benchmarks.bars import Bar


def bars() -> Iterator[Bar]:
    """Wall time of whole processes, one after the other in turn."""
    ours, bare = [], []
    for _ in range(15):
        ours.append(_seconds("-m", "pipelines.command", "--help"))
        bare.append(_seconds("-c", "pass"))
    ratio = median(ours) / median(bare)
    detail = f"zsar --help {1e3 * median(ours):.0f} ms, python -c pass {1e3 * median(bare):.0f} ms, medians of 15"
    yield Bar.measured("start", ratio, detail)


def _seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
