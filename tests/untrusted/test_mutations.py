"""Files of others with bytes changed, cut and copied: features, or one line; never a traceback, never a crash.

Each kind is read in a process of its own, for a library that crashes takes it along.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stores.errors import BadFile
from stores.foreign import FORMATS, Foreign, read_foreign, write_foreign

COUNT = int(os.environ.get("ZSAR_MUTATIONS", "1500"))
# no HDF5: its library itself goes round for ever in some damaged heaps of names
KINDS = {"a.npz": ("npy", "ragged"), "a.parquet": ("parquet", "ragged"), "a.npy": ("npy", "ragged")}


def written(folder: Path, name: str) -> bytes:
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    keys = np.arange(64, dtype=np.uint8).reshape(2, 32)
    times = np.arange(12, dtype=np.float32).reshape(6, 2)
    features = Foreign(["a/b", "c"], keys, values, np.array([0, 2, 6]), times, {"extractor": "x"})
    assert KINDS[name] in FORMATS
    if name == "a.npy":
        np.save(folder / name, values)
    else:
        write_foreign(folder / name, features, *KINDS[name])
    return (folder / name).read_bytes()


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


def try_all(folder: Path, name: str) -> dict[str, int]:
    whole, draw, found = written(folder, name), random.Random(name), {"read": 0, "refused": 0}
    for _ in range(COUNT):
        (folder / name).unlink()  # a file that is mapped keeps its bytes
        (folder / name).write_bytes(mutated(whole, draw))
        try:
            features = read_foreign(folder / name)
            [features.rows(i).sum() for i in range(len(features.video_id))]
            found["read"] += 1
        except BadFile as error:
            assert "\n" not in str(error)
            found["refused"] += 1
    return found


@pytest.mark.parametrize("name", [*KINDS])
def test_no_mutation_is_more_than_one_line(tmp_path, name):
    code = (
        "import sys, warnings, numpy; warnings.simplefilter('ignore'); numpy.seterr(all='ignore')\n"
        "from pathlib import Path; from tests.untrusted.test_mutations import try_all\n"
        "print(try_all(Path(sys.argv[1]), sys.argv[2]))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path), name], capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, (run.returncode, run.stderr[-2000:])
    print(name, run.stdout)
