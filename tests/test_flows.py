"""The flow, run by a real Prefect with a server of its own, gives what the command gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stores.features import FeatureStore
from stores.root import Root
from tests.conftest import make_video

pytestmark = pytest.mark.heavy

# in a process of its own: Prefect leaves sockets and threads behind
RUN = """
import json, sys, extractors
extractors.EXTRACTORS["fake"] = "tests.fake:FakeExtractor"
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness
import flows
with prefect_test_harness(server_startup_timeout=120):
    results = [flows.extract(sys.argv[1], "d", ["fake"], root=sys.argv[2], device="cpu") for _ in range(2)]
    print(json.dumps({"results": results, "failures": str(Artifact.get("extract-failures").data)}))
"""


def test_the_flow_indexes_extracts_and_reports_and_again_does_nothing(tmp_path: Path) -> None:
    pytest.importorskip("prefect")
    folder = tmp_path / "videos"
    folder.mkdir()
    for i in range(3):
        make_video(folder / f"v{i}.mp4", seed=i)
    (folder / "empty.mp4").touch()
    root = tmp_path / "root"
    printed = subprocess.check_output([sys.executable, "-c", RUN, str(folder), str(root)], text=True)
    found = json.loads(printed.strip().splitlines()[-1])
    first, again = (next(iter(result.values())) for result in found["results"])
    assert first == {"planned": 4, "extracted": 3, "skipped": 0, "failed": 1, "quarantined": 0}
    assert again == {"planned": 0, "extracted": 0, "skipped": 3, "failed": 0, "quarantined": 1}
    assert "empty.mp4" in found["failures"]
    assert FeatureStore(Root(root)).find("fake").shape() == (3, 9)
