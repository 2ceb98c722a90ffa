"""A file is read by another process first: whatever becomes of that, this one goes on."""

import io
import os
import signal
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

from stores.errors import BadFile
from stores.foreign import read_foreign
from untrusted import hdf5, scouts
from untrusted.limits import Unsafe


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("values", data=np.ones((40, 30)), chunks=(7, 7), compression="gzip")
        file.create_dataset("video_id", data=[f"v{n}" for n in range(40)])
    return tmp_path / "a.h5"


def opened(source, size=1000):
    with hdf5.opened(source, size) as file:
        return sorted(file.top)


def scout():
    with scouts._LOCK:
        return scouts._scout()


def test_one_scout_reads_one_file_after_another(path):
    assert opened(path) == ["values", "video_id"]
    number = scout().process.pid
    content = path.read_bytes()
    assert opened(io.BytesIO(content), len(content)) == ["values", "video_id"]
    with pytest.raises(OSError, match="signature"):
        opened(io.BytesIO(b"none"), 4)
    assert scout().process.pid == number


def test_one_that_does_not_come_back_is_ended_and_the_file_refused(path, monkeypatch):
    monkeypatch.setattr(scouts, "LEAST_S", 0.3)
    os.kill((lost := scout().process).pid, signal.SIGSTOP)
    with pytest.raises(BadFile, match=r"a\.h5 was not read in 0 s: the library .* goes round in it.* get it anew"):
        read_foreign(path)
    assert lost.returncode == -signal.SIGKILL
    monkeypatch.undo()
    assert read_foreign(path).video_id[1] == "v1"


def test_one_that_crashes_takes_the_file_with_it_and_no_other(path):
    lost = scout().process
    os.kill(lost.pid, signal.SIGSTOP)

    def crash():
        os.kill(lost.pid, signal.SIGSEGV)
        os.kill(lost.pid, signal.SIGCONT)

    threading.Timer(0.3, crash).start()
    with pytest.raises(Unsafe, match=r"crashes the library that reads it \(SIGSEGV\)"):
        opened(path)
    assert opened(path) == ["values", "video_id"]


def run(code, path):
    """Run lines in a process of their own, and give what they print."""
    told = [sys.executable, "-c", f"import os, sys\nfrom untrusted import hdf5, scouts\n{code}", str(path)]
    done = subprocess.run(told, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


READS = "with hdf5.opened(sys.argv[1], 10): print(scouts._SCOUT.process.pid, flush=True)\n"


def test_a_forked_process_has_a_scout_of_its_own(path):
    first, forked, after = run(
        f"{READS}if not (child := os.fork()):\n {READS} os._exit(0)\nos.wait()\n{READS}", path
    ).split()
    assert first == after != forked


def test_none_is_left_when_its_owner_ends(path):
    with pytest.raises(ProcessLookupError):
        os.kill(int(run(READS, path)), 0)
