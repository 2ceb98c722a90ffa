"""The flow on a real Dask cluster of two workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from stores.handover import Handover
from stores.root import Root
from tests.conftest import contents, make_video

pytest.importorskip("prefect_dask")
pytestmark = pytest.mark.heavy

FEATURE, WEIGHTS = "r2plus1d_18:clips=1,frames=8", "r2plus1d_18=random:0"
# in a process of its own: Prefect and Dask leave sockets and threads behind; the cluster is one users bring along
RUN = """
import json, sys
from distributed import LocalCluster
from prefect.testing.utilities import prefect_test_harness
import flows

if __name__ == "__main__":
    with (
        prefect_test_harness(server_startup_timeout=120),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        print("workers", *(nanny.pid for nanny in cluster.workers.values()), flush=True)
        results = flows.extract(
            sys.argv[1], "d", ["%s"], root=sys.argv[2], weights=["%s"], workers=1, decoders=1, commit_every_s=0.5,
            shard_size=6, same_errors=6, runner="dask", cluster=cluster.scheduler_address,
        )
        print(json.dumps(results), flush=True)
""" % (FEATURE, WEIGHTS)  # noqa: UP031 - braces of Python within


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for i in range(12):
        make_video(folder / f"v{i}.mp4", seed=i, frames=20)
    return folder


def start(folder: Path, root: Root, tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    script = tmp_path / "run.py"
    script.write_text(RUN)
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder), root.url],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("workers"):
            return process, [int(pid) for pid in line.split()[1:]]
    raise AssertionError("no cluster")


def whole(folder: Path, tmp_path: Path) -> dict[bytes, bytes]:
    root = Root(tmp_path / "whole")
    index(IndexConfig((str(folder),), "d"), root)
    extract(ExtractConfig((FEATURE,), "d", (WEIGHTS,)), root)
    return contents(root, "r2plus1d_18")


def test_two_workers_give_the_bits_of_one_process(folder: Path, root: Root, tmp_path: Path) -> None:
    process, pids = start(folder, root, tmp_path)
    printed, _ = process.communicate(timeout=240)
    assert len(set(pids)) == 2
    assert process.returncode == 0
    (counts,) = json.loads(printed.strip().splitlines()[-1]).values()
    assert counts == {"planned": 12, "extracted": 12, "skipped": 0, "failed": 0, "quarantined": 0}
    assert contents(root, "r2plus1d_18") == whole(folder, tmp_path)


def test_a_worker_that_dies_costs_only_what_it_had_not_handed_over(folder: Path, root: Root, tmp_path: Path) -> None:
    process, pids = start(folder, root, tmp_path)
    handed: set[bytes] = set()
    while not handed:  # somebody has handed over something
        assert process.poll() is None
        time.sleep(0.05)
        sets = root.names_in("handover")
        handed = {key for name in sets for key in Handover(root, name).keys()}
    os.kill(pids[0], signal.SIGKILL)
    printed, _ = process.communicate(timeout=240)
    (counts,) = json.loads(printed.strip().splitlines()[-1]).values()
    assert counts == {"planned": 12, "extracted": 12, "skipped": 0, "failed": 0, "quarantined": 0}
    assert contents(root, "r2plus1d_18") == whole(folder, tmp_path)
