"""What was tortured, and held: a short while of `make torture`, which tries a hundred of each.

Run: `python -m benchmarks torture` (some five minutes): kills and pairs at once on a disk and on S3 (moto's server),
and changed files of every kind that comes from elsewhere. A bar is how many did not hold.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bars import Bar
from tests.untrusted.samples import SAMPLES
from tests.untrusted.test_mutations import in_a_process

_TRIED = re.compile(r"^(disk|object store): tried (.*); seeds that did not hold: (\d+)$", re.M)
_OF_A_KIND = 100


def bars() -> Iterator[Bar]:
    """Roots that did not hold on a disk and on S3; kinds of files whose readers did not."""
    told = [sys.executable, "-m", "tests.torture", "--kills", "5", "--races", "5", "--minutes", "8"]
    said = subprocess.run(told, capture_output=True, text=True).stdout
    for where, tried, fell in _TRIED.findall(said):
        yield Bar.at_most(f"torture-{where.replace(' ', '-')}-not-held", int(fell), 0, f"tried {tried}")
    fell, lines = 0, []
    for name in SAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = in_a_process(Path(folder), [name], _OF_A_KIND)[name]
                lines.append(f"{name} {found['read']} read")
            except (AssertionError, subprocess.TimeoutExpired):
                fell += 1
                lines.append(f"{name} DID NOT HOLD")
    yield Bar.at_most("torture-readers-not-held", fell, 0, f"of {_OF_A_KIND} changed files each: {', '.join(lines)}")
