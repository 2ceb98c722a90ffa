"""What the flow's clusters listen on: this machine alone, unless somebody asked for more."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("prefect_dask")

# in a process of its own: Dask leaves sockets and threads behind
LISTENING = """
import json, sys
import psutil
from pipelines.extract.settings import ShardConfig
import flows

if __name__ == "__main__":
    config = ShardConfig(runner="dask", cluster_options={"n_workers": 1} | json.loads(sys.argv[1]))
    with flows._workers(config) as runner:
        runner.client
        me = psutil.Process()
        found = [c.laddr for p in (me, *me.children(recursive=True)) for c in p.net_connections("inet")
                 if c.status == psutil.CONN_LISTEN]
        print(json.dumps(found), flush=True)
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("asked", "addresses"), [({}, {"127.0.0.1"}), ({"dashboard_address": "0.0.0.0:0"}, {"127.0.0.1", "0.0.0.0"})]
)
def test_a_cluster_on_this_machine_listens_to_it_alone_unless_asked(tmp_path, asked, addresses):
    (script := tmp_path / "run.py").write_text(LISTENING)
    ran = subprocess.run([sys.executable, script, json.dumps(asked)], capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("[[")))
    assert {address for address, _ in found} == addresses
    assert asked or 8787 in {port for _, port in found}


class Batch:
    """As dask-jobqueue has its clusters."""

    def __init__(self, cores: int = 1, scheduler_options: dict | None = None) -> None: ...


def test_a_cluster_of_a_batch_system_is_told_through_its_scheduler():
    import flows

    kept = flows._kept_to_this_machine
    name = f"{__name__}.Batch"
    assert kept(name, {"cores": 2})["scheduler_options"] == {"dashboard_address": "127.0.0.1:8787"}
    own = {"scheduler_options": {"dashboard_address": ":1", "port": 2}}
    assert kept(name, own) == own
    assert kept("", {})["dashboard_address"] == "127.0.0.1:8787"
    assert kept("no.Such", {"a": 1}) == {"a": 1}
