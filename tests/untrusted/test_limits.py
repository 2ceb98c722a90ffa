"""How much memory a file may take, and who may say so."""

import gzip
import json

import numpy as np
import pytest

from extractors import clips
from extractors.errors import TooLarge
from extractors.sampling import Geometry, Sampling, View
from pipelines.index.indexing import index
from pipelines.index.settings import IndexConfig
from pipelines.json_documents import json_document
from pipelines.lines import Problem, lines, opened
from stores.failures import Failures
from tests.conftest import make_video
from untrusted import limits


@pytest.mark.parametrize(("text", "size"), [("500M", 500 << 20), ("4GB", 4 << 30), ("7", 7), ("1 kib", 1024)])
def test_sizes_are_read(text, size):
    assert limits.size_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "0", "4.5G", "1e9"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="500M or 4GB"):
        limits.size_of(text)


def test_pictures_of_a_film_too_large_are_a_fault_of_this_film(tmp_path, monkeypatch):
    path = str(make_video(tmp_path / "v.mp4", size=(64, 48)))
    view = {"v": View(Sampling(clips=1, frames=2, placement="linspace"), Geometry(resize=40, crop=32))}
    assert clips.read(path, view)["v"].pixels.shape == (1, 2, 32, 32, 3)
    monkeypatch.setenv(limits.VARIABLE, str(24 * 64 * 48 - 24))
    with pytest.raises(TooLarge, match="64 x 48 pixels; more than 3,071 are not decoded"):
        clips.read(path, view)


def test_a_document_of_json_that_unpacks_to_more_is_one_problem(tmp_path, monkeypatch):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps([{"a": "x" * 1000} for _ in range(9000)], indent=1).encode()))
    with opened(str(path)) as stream:
        assert len([*json_document(lines(stream))]) == 9000
    monkeypatch.setenv(limits.VARIABLE, "20M")
    with opened(str(path)) as stream:
        (problem,) = json_document(lines(stream))
    assert isinstance(problem, Problem)
    assert "asks for" in problem.reason


def test_one_bad_file_of_features_is_quarantined_and_the_others_go_on(root, tmp_path):
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", **{f"c/{name}{i}": np.ones((2, 4), np.float32) for i in range(3)})
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and no more")
    paths = tuple(str(tmp_path / f"{name}.npz") for name in ("a", "bad", "b"))
    report = index(IndexConfig(paths, "d", layout="class-video"), root)
    assert (report.videos, report.failed, len(report.imports)) == (6, 1, 2)
    (row,) = Failures(root).latest().to_pylist()
    assert row["uri"] == paths[1]
    assert "cannot be read" in row["message"]
