"""Films are made in processes that end with the one they make them for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from pipelines.errors import Stopped
from pipelines.practice import filming
from pipelines.practice.practice import practice
from pipelines.practice.settings import PracticeConfig
from stores.root import Root
from tests.pipelines.practice.test_practice import SMALL, contents

MANY = {**SMALL, "videos": 14}
FILMS = 6 * 14
RUN = "from pipelines.command.main import main; main()"


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_after_a_kill_nobody_goes_on_and_the_next_call_makes_the_same_world(tmp_path, root: Root) -> None:
    folder = tmp_path / "w"
    options = [part for name, value in MANY.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-c", RUN, "practice", str(folder), *options, "--workers", "2", "--root", root.url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: len(list(folder.glob("videos/*.mp4"))) > 2 or process.poll() is not None)
        assert process.poll() is None, "it was done before it could be killed"
        workers = psutil.Process(process.pid).children()
        assert len(workers) >= 2
        process.kill()
    until(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers))
    there = {path.name for path in folder.glob("videos/*.mp4")}
    assert 0 < len(there) < FILMS
    whole = {name: (folder / "videos" / name).stat().st_mtime_ns for name in there}
    assert practice(PracticeConfig(str(folder), **MANY, workers=1), root).drawn == FILMS - len(there)
    assert whole == {name: (folder / "videos" / name).stat().st_mtime_ns for name in there}
    practice(PracticeConfig(str(tmp_path / "fewer"), **SMALL, workers=1), root)
    after, undisturbed = contents(folder / "videos"), contents(tmp_path / "fewer" / "videos")
    assert len(after) == FILMS
    assert len(undisturbed) == 12
    assert undisturbed.items() <= after.items()


def test_a_process_that_is_killed_is_one_line(tmp_path, root: Root, monkeypatch) -> None:
    monkeypatch.setattr(filming, "_begin", die)
    with pytest.raises(Stopped, match=r"^A process that films was killed; was memory short\? 2 ran at once\."):
        practice(PracticeConfig(str(tmp_path / "w"), **MANY, workers=2), root)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
