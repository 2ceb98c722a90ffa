"""Files of others with bytes changed, cut and copied: what they hold, or one line; never a traceback, a crash, a hang.

They are read in a process of its own, for a library that crashes takes it along. `ZSAR_MUTATIONS` says how many files
of each kind; `python -m tests.untrusted.test_mutations` prints a line a kind.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from extractors.errors import ExtractorError, InputFault
from pipelines.errors import UsageError
from stores.errors import StoreError
from tests.untrusted.samples import SAMPLES, reader_of
from untrusted import scouts

COUNT = int(os.environ.get("ZSAR_MUTATIONS", "40"))
LONGEST_S = 20.0  # of one file of some kilobytes, on a busy machine
TOLD = (StoreError, UsageError, InputFault, ExtractorError)


def mutated(whole: bytes, draw: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at, how = draw.randrange(len(content)), draw.randrange(4)
        if how < 2:
            content[at] = draw.randrange(256)
        elif how == 2:
            content[at] ^= 1 << draw.randrange(8)
        else:
            start = draw.randrange(len(whole))
            content[at : at + 8] = whole[start : start + 8]
    return bytes(content[: draw.randrange(len(content))] if draw.randrange(10) == 0 else content)


def try_all(folder: Path, name: str, count: int) -> dict[str, int]:
    """How many of so many changed files were read, and how many refused in one line."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    scouts.LEAST_S = 10.0
    SAMPLES[name][0](folder / name)
    read, whole, draw, found = (
        reader_of(name),
        (folder / name).read_bytes(),
        random.Random(name),
        {"read": 0, "told": 0},
    )
    read(folder / name)
    for number in range(count):
        (folder / name).unlink()  # a file that is mapped keeps its bytes
        (folder / name).write_bytes(mutated(whole, draw))
        start = time.monotonic()
        try:
            read(folder / name)
            found["read"] += 1
        except TOLD as error:
            assert "\n" not in str(error), error
            found["told"] += 1
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}") from error
        assert time.monotonic() - start < LONGEST_S, number
    return found


def in_a_process(folder: Path, names: Iterable[str], count: int) -> dict[str, dict[str, int]]:
    """`try_all` elsewhere, by kind; an AssertionError with what was said where it ended otherwise."""
    code = (
        "import json, sys; from pathlib import Path; from tests.untrusted.test_mutations import try_all\n"
        "for name in sys.argv[3:]:\n"
        "    print(json.dumps([name, try_all(Path(sys.argv[1]), name, int(sys.argv[2]))]), flush=True)"
    )
    told = [sys.executable, "-c", code, str(folder), str(count), *names]
    run = subprocess.run(told, capture_output=True, text=True, timeout=200 + count)
    found = dict(json.loads(line) for line in run.stdout.splitlines())
    assert run.returncode == 0, (run.returncode, f"after {list(found)}", run.stderr[-4000:])
    return found


def test_no_mutation_is_more_than_one_line(tmp_path):
    found = in_a_process(tmp_path, SAMPLES, COUNT)
    assert {name: sum(ends.values()) for name, ends in found.items()} == dict.fromkeys(SAMPLES, COUNT)


def main() -> int:
    """A line a kind; 1 where one did not hold."""
    fell = 0
    for name in SAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = in_a_process(Path(folder), [name], COUNT)[name]
                print(
                    f"{name}: {COUNT} changed files, {found['read']} read, {found['told']} refused in one line",
                    flush=True,
                )
            except (AssertionError, subprocess.TimeoutExpired) as error:
                fell += 1
                print(f"{name} did not hold: {error}", flush=True)
    return 1 if fell else 0


if __name__ == "__main__":
    sys.exit(main())
