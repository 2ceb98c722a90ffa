"""A full disk and a kill while a file is written: one line, and the training goes on from the last good state."""

import errno
import io
import os
import subprocess
from pathlib import Path

import pytest
import torch

from pipelines.errors import UsageError
from pipelines.learn import checkpoints
from pipelines.learn.engine import train
from stores.errors import Damaged, WriteFailed
from tests.pipelines.learn.test_engine import (  # noqa: F401
    SETTINGS,
    Killed,
    Regression,
    _one_thread,
    always_saved,
    weights,
)

FULL = r"^Writing \S+ failed: No space left on device\. What was there before is untouched; free space .* goes on"


class Full:
    """A disk that is full after so many bytes: what is written to files that `open` gives counts."""

    def __init__(self, path: Path, room: int) -> None:
        self.file, self.room = io.FileIO(path, "w"), room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def flush(self) -> None:
        return

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


@pytest.mark.usefixtures("always_saved")
@pytest.mark.parametrize("room", [0, 700, 3000])
def test_a_disk_that_is_full_at_a_checkpoint_is_one_line_and_the_last_good_one_stays(tmp_path, monkeypatch, room):
    whole = train(Regression(), SETTINGS["best"], tmp_path / "whole")
    real = Path.open
    with monkeypatch.context() as full:

        def fills(done: int, total: int, entry: dict) -> None:
            if done == 3:
                full.setattr(Path, "open", lambda path, *how, **more: Full(path, room))

        with pytest.raises(WriteFailed, match=FULL) as told:
            train(Regression(), SETTINGS["best"], tmp_path / "again", told=fills)
    assert Path.open is real
    assert "\n" not in str(told.value)
    assert len(torch.load(tmp_path / "again/checkpoint.pt", weights_only=True)["epochs"]) == 2
    assert list((tmp_path / "again").glob("*.partial")) == []
    assert train(Regression(), SETTINGS["best"], tmp_path / "again") == whole
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


@pytest.mark.usefixtures("always_saved")
def test_a_kill_while_a_checkpoint_is_written_leaves_the_last_good_one_and_nothing_that_grows(tmp_path, monkeypatch):
    whole = train(Regression(), SETTINGS["best"], tmp_path / "whole")
    folder, saved = tmp_path / "again", torch.save
    for _ in range(3):
        with monkeypatch.context() as killed:

            def dies(state, file):
                if len(state["epochs"]) % 2 == 0:  # each run gets through one more
                    file.write(b"half of it")
                    raise Killed
                saved(state, file)

            killed.setattr(torch, "save", dies)
            killed.setattr(Path, "unlink", lambda path, missing_ok=False: None)  # as SIGKILL has it: nothing is tidied
            with pytest.raises(Killed):
                train(Regression(), SETTINGS["best"], folder)
        assert 1 <= len(list(folder.glob("*.partial"))) <= 3
        checkpoints.begin(folder)
        assert list(folder.glob("*.partial")) == []
    assert train(Regression(), SETTINGS["best"], folder) == whole
    assert weights(folder) == weights(tmp_path / "whole")
    assert sorted(each.name for each in folder.iterdir()) == ["history.json", "tensorboard", "weights.safetensors"]


def test_a_checkpoint_that_cannot_be_read_is_one_line_with_the_way_out(tmp_path):
    tmp_path.joinpath("checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match=r"^\S+checkpoint\.pt cannot be read to go on from; remove it to train from"):
        train(Regression(), SETTINGS["adam"], tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    assert len(train(Regression(), SETTINGS["adam"], tmp_path).epochs) == 6


@pytest.mark.parametrize("below", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), None])
def test_what_torch_makes_of_a_full_disk_is_said_as_the_disk_says_it(tmp_path, below):
    told = RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 640 vs 598")
    said = "No space left on device" if below else ".enforce fail at"
    with pytest.raises(WriteFailed, match=f"^Writing .* failed: {said}"), checkpoints._said(tmp_path):
        raise told from below


@pytest.mark.heavy
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.usefixtures("always_saved")
@pytest.mark.parametrize("left", range(0, 60 << 10, 8 << 10))
def test_a_disk_that_is_really_full_ends_in_one_line_wherever_it_fills_up(tmp_path, left):
    whole = train(Regression(), SETTINGS["best"], tmp_path / "whole")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        filler = small / "filler"
        filler.write_bytes(bytes((1 << 20) - left))
        try:
            train(Regression(), SETTINGS["best"], small / "run")
            assert left >= 24 << 10
        except WriteFailed as error:
            assert "No space left on device" in str(error)
            assert "\n" not in str(error)
            assert list(small.rglob("*.partial")) == []
        filler.unlink()
        assert train(Regression(), SETTINGS["best"], small / "run") == whole
        assert weights(small / "run") == weights(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_history_with_a_flipped_bit_is_told_and_one_of_before_is_read(tmp_path):
    checkpoints.finish(tmp_path, {"epochs": [{"loss": 1.5}], "best": 1})
    path = tmp_path / "history.json"
    assert checkpoints.history(tmp_path) == {"epochs": [{"loss": 1.5}], "best": 1}
    path.write_text(path.read_text().replace("loss", "lkss"))
    with pytest.raises(Damaged, match=r"history\.json cannot be read"):
        checkpoints.history(tmp_path)
    path.write_text('{"epochs": [], "best": 0}')
    assert checkpoints.history(tmp_path) == {"epochs": [], "best": 0}
