"""Folders for the time of a command: gone with it, or with the next where it was killed."""

import os
import subprocess
import sys

import pytest

from stores.scratch import scratch

HOLDS = """
import sys
from pathlib import Path
from stores.scratch import scratch
with scratch("training", Path(sys.argv[1])) as folder:
    (folder / "checkpoint").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that works in a folder."""
    told = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        folder = process.stdout.readline().strip()
        yield process, folder
        process.kill()


def test_a_folder_is_there_for_as_long_as_it_is_used(tmp_path):
    with scratch("sql", tmp_path) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith("zsar-sql-")
        (folder / "values").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_and_what_is_held_stays(tmp_path, holder):
    process, folder = holder
    with scratch("sql", tmp_path) as own:
        assert os.path.exists(f"{folder}/checkpoint")
    process.kill()
    process.wait()
    assert os.path.exists(f"{folder}/checkpoint")
    with scratch("sql", tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]


def test_a_folder_of_this_name_that_is_not_ours_stays(tmp_path):
    (tmp_path / "zsar-data" / "x").mkdir(parents=True)
    with scratch("sql", tmp_path):
        pass
    assert (tmp_path / "zsar-data" / "x").exists()
