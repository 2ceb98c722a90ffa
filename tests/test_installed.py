"""The wheel is all that is needed: installed elsewhere, without a checkout, it runs and finds its own files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
ASK = """
import json, pathlib, flows, pipelines, extractors.clips as clips
from pipelines.judge.results import PUBLISHED
from pipelines.judge.table_files import tables
from pipelines.learn.protocols.protocols import protocol
from pipelines.look.serve import app
from pipelines.pages.page import render
found = [pipelines.__file__, flows.__file__, str(PUBLISHED)]
assert PUBLISHED.exists() and len(protocol("ucf101-50").splits) == 50 and tables("er")
assert clips.probe_digest() and "<html" in render("demo", cards=[], sets=[], snapshots="", videos=0)
assert len(app._SCRIPTS) >= 4 and "<nav" in render("serve/error", why="", here="")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that the wheel was installed into; what it depends on comes from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(source)], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.heavy
def test_everything_it_reads_is_in_the_wheel(installed, tmp_path):
    done = run(installed, tmp_path, "-c", ASK)
    assert done.returncode == 0, done.stderr
    assert all(path.startswith(str(installed)) for path in json.loads(done.stdout))
    assert not (installed / "tests").exists()


@pytest.mark.heavy
@pytest.mark.pack
def test_the_demonstration_runs_from_the_wheel(installed, tmp_path):
    done = run(installed, tmp_path, "-m", "pipelines.command", "demo", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["contents"] > 10
    assert (tmp_path / "demo/index.html").exists()
