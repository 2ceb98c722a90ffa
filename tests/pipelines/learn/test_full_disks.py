"""Training on a disk that is full, or may not be written: one line, what was there stays, and it goes on later."""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.learn import engine
from pipelines.learn.finetune import finetune
from pipelines.learn.fit import fit
from pipelines.learn.settings import FinetuneConfig
from stores.errors import StoreError
from stores.root import Root
from tests.pipelines import skeletons, studies

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.usefixtures("fake"),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]


@contextlib.contextmanager
def mounted(folder: Path, *how: str):
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", *how, str(folder)], capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def trainings(tmp_path: Path):
    """What trains, by stage: what it is called with a root, and a root with what it learns from."""
    films = studies.made(tmp_path, "films")
    config = studies.config(tmp_path, splits="0")
    poses = Root(tmp_path / "poses")
    skeletons.dataset(poses, tmp_path)
    unseen = ("bow", "clap")
    entry = {"seen": [name for name in skeletons.CLASSES if name not in unseen], "unseen": list(unseen)}
    (tmp_path / "poses.json").write_text(json.dumps([entry]))
    own = {
        "frames": 8,
        "epochs": 3,
        "batch": 8,
        "threads": 1,
        "device": "cpu",
        "protocol": str(tmp_path / "poses.json"),
    }
    network = FinetuneConfig("stgcn_small", "p", **own)  # type: ignore[arg-type]
    return {"fit": (lambda root: fit(config, root), films), "finetune": (lambda root: finetune(network, root), poses)}


def weights_of(root: Root) -> bytes:
    (path,) = Path(root.url).glob("runs/*/split-000/weights.safetensors")
    return path.read_bytes()


@pytest.mark.parametrize("stage", ["fit", "finetune"])
def test_a_disk_that_is_full_is_one_line_and_with_room_it_ends_in_the_same_bits(tmp_path, monkeypatch, stage):
    monkeypatch.setattr(engine, "_SAVE_EPOCH_S", -1)
    train, made = trainings(tmp_path)[stage]
    whole = Root(shutil.copytree(made.url, tmp_path / "whole"))
    train(whole)
    grown = sum(path.stat().st_size for path in Path(whole.url, "runs").rglob("*") if path.is_file())
    told = []
    for left in (0, 4 << 10, 16 << 10, 64 << 10, grown // 3, grown // 2, 2 * grown // 3):
        with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=64m", "tmpfs") as small:
            root = Root(shutil.copytree(made.url, small / "root"))
            free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
            (small / "filler").write_bytes(bytes(max(0, free - left)))
            try:
                train(root)
            except (StoreError, UsageError) as error:
                assert "\n" not in str(error)
                told.append(str(error))
            (small / "filler").unlink()
            train(root)
            assert weights_of(root) == weights_of(whole)
    assert len(told) >= 4
    assert all("No space left" in line or "no space left" in line for line in told), told


@pytest.mark.parametrize("stage", ["fit", "finetune"])
def test_a_root_that_may_not_be_written_is_one_line(tmp_path, stage):
    train, made = trainings(tmp_path)[stage]
    with mounted(tmp_path / "fixed", "--bind", made.url):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(tmp_path / "fixed")], check=True)
        with pytest.raises(StoreError, match="Read-only file system") as raised:
            train(Root(tmp_path / "fixed"))
        assert "\n" not in str(raised.value)
