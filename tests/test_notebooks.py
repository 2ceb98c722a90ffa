"""The notebooks do what they say, on the clips of the offline pack, and are stored without what came out."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def read(path: Path) -> Any:
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed: `make` installs it")
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_that_came_out_is_stored(path):
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.heavy
@pytest.mark.pack
def test_the_analysts_notebook_runs_in_two_minutes(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: `make` installs it")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: `make` installs it")
    (path,) = [path for path in NOTEBOOKS if path.stem == "analysts"]
    notebook = read(path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(path.parents[1]), os.environ.get("PYTHONPATH", "")]))
    started = time.monotonic()
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert time.monotonic() - started < 240, "two minutes on two idle cores"
    told = {cell.source: "".join(map(said, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"}
    (searched,) = [text for source, text in told.items() if "somebody rides a bike" in source]
    assert "bikes" in searched.splitlines()[1], "the best of three"
    (compared,) = [text for source, text in told.items() if "cache.spaces()" in source]
    assert "minilm@" in compared
    assert "videos alone" in compared
    assert any("reports/query/a-man-talks-in-a-car" in text for text in told.values())
    kinds = {kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    assert {"image/svg+xml", "image/jpeg", "text/html"} <= kinds


def said(output: Any) -> str:
    """What a cell printed, or gave."""
    return str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
