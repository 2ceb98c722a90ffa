"""Prefect's server on PostgreSQL, as a group keeps it: started here, asked by a flow of ours, found in its tables."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import make_video

pytest.importorskip("prefect")
BIN = next((path for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(600),
    pytest.mark.skipif(BIN is None, reason="PostgreSQL is not installed (Debian's package `postgresql`)"),
]
FLOW = """
import sys
import extractors
extractors.EXTRACTORS["fake"] = "tests.fake:FakeExtractor"
import flows
if __name__ == "__main__":
    few = {"workers": 1, "decoders": 1, "shard_size": 2, "same_errors": 2}
    print(flows.extract(sys.argv[1], "d", ["fake"], root=sys.argv[2], **few))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_its_user(*command: object) -> list[str]:
    """PostgreSQL does not run as root."""
    told = [str(each) for each in command]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *told] if os.geteuid() == 0 else told


@pytest.fixture
def database(tmp_path_factory):
    """A server of its own, and the URL of an empty database in it."""
    folder = Path(subprocess.check_output(as_its_user("mktemp", "-d", "/tmp/zsar-pg-XXXXXX"), text=True).strip())
    port = free_port()
    try:
        told = ("-D", folder / "data", "-A", "trust", "-U", "zsar", "--no-sync")
        subprocess.run(as_its_user(BIN / "initdb", *told), check=True, capture_output=True, cwd="/")
        listens = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
        control = (BIN / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log")
        subprocess.run(as_its_user(*control, "-o", listens, "start"), check=True, stdout=subprocess.DEVNULL, cwd="/")
        try:
            ask(port, "create database prefect", "postgres")
            yield port
        finally:
            subprocess.run(as_its_user(*control, "-m", "immediate", "stop"), capture_output=True, cwd="/")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ask(port: int, query: str, name: str = "prefect") -> str:
    command = [BIN / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "zsar", "-d", name, "-Atc", query]
    return subprocess.check_output(command, text=True).strip()


def test_a_flow_is_followed_by_a_server_on_postgresql(database, tmp_path):
    (folder := tmp_path / "films").mkdir()
    for number in range(4):
        make_video(folder / f"v{number}.mp4", seed=number)
    (tmp_path / "run.py").write_text(FLOW)
    port = free_port()
    environment = os.environ | {
        "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://zsar@127.0.0.1:{database}/prefect",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            assert server.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"{environment['PREFECT_API_URL']}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        run = [sys.executable, tmp_path / "run.py", folder, tmp_path / "root"]
        told = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=250)
        assert told.returncode == 0, told.stderr[-2000:]
        assert "'extracted': 4" in told.stdout
        assert ask(database, "select state_type from flow_run where flow_run.name is not null") == "COMPLETED"
        assert int(ask(database, "select count(*) from task_run where state_type = 'COMPLETED'")) >= 2
        assert not list((tmp_path / "prefect").glob("*.db"))
    finally:
        server.terminate()
        server.wait(30)
        log.close()
