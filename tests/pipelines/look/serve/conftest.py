"""A root with a bit of everything: captions and a judged run, films that browsers play and others, poses, failures."""

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.look.serve.app import app
from pipelines.look.serve.settings import ServeConfig
from stores.keys import text_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from tests.conftest import make_video
from tests.pipelines import studies

EVIL = "<script>alert('x')</script>\x1b[31m"
TOLD_OF = "v_archery_g01_c01"  # a video of which there are captions and a film


def labelled(root: Root, dataset: str, labels: dict[str, str]) -> None:
    """Give items of a manifest labels, as a layout would."""
    table = Manifest(root).read(dataset)
    own = [labels.get(name, name) for name in table["video_id"].to_pylist()]
    at = table.schema.get_field_index("label")
    Manifest(root).write(dataset, table.set_column(at, "label", pa.array(own, pa.string())))


def beside(root: Root, path: Path) -> None:
    """The film of a video of which there are captions."""
    row = dict.fromkeys(SCHEMA.names) | {"dataset": "d", "video_id": TOLD_OF, "kind": "video", "uri": str(path)}
    row |= {"key": text_key("a film"), "label": "archery", "size_bytes": 1, "mtime_ns": 1, "seen_ns": 1}
    held = Manifest(root).read("d")
    Manifest(root).write("d", pa.concat_tables([held, pa.Table.from_pylist([row], schema=SCHEMA)]))


@functools.cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="served-"))
    root = studies.made(folder)
    run = fit(studies.config(folder, "nearest", ()), root).run
    evaluate(EvaluateConfig(run), root)
    films = folder / "films"
    films.mkdir()
    for number in range(4):
        make_video(films / f"f{number}.mp4", frames=60 + number, size=(96, 64), seed=number)
    make_video(films / "old.avi", frames=60, size=(96, 64), codec="mpeg4", seed=9, options={})
    make_video(films / "gone.mp4", frames=60, size=(96, 64), seed=11)
    (films / "none.mp4").write_bytes(b"no film at all")
    index(IndexConfig((str(films),), "films"), root)
    extract(ExtractConfig(("fake",), "films", workers=1), root)
    (films / "gone.mp4").unlink()
    labelled(root, "films", {"f0": "archery", "f1": EVIL, "f2": "archery", "old": "golf"})
    beside(root, films / "f3.mp4")
    return folder


@pytest.fixture
def served(tmp_path: Path, fake: object) -> Root:
    """The root; its films lie where they were made."""
    shutil.copytree(_made() / "root", tmp_path / "root", dirs_exist_ok=True)
    return Root(tmp_path / "root")


@pytest.fixture
def client(served: Root, tmp_path: Path) -> TestClient:
    """Who asks, as a browser on this machine does."""
    return asking(served, tmp_path)


def asking(root: Root, folder: Path, host: str = "127.0.0.1", **settings: Any) -> TestClient:
    """Who asks pages that listen on an address."""
    (folder / "kept").mkdir(exist_ok=True)
    pages = app(root, ServeConfig(host=host, device="cpu", **settings), folder / "kept")
    return TestClient(pages, base_url="http://127.0.0.1:8710", raise_server_exceptions=True)


def keys(root: Root) -> dict[str, str]:
    """The key of each film, in hexadecimal digits."""
    table = Manifest(root).read("films", ["video_id", "key"])
    return {name: key.hex() for name, key in zip(table["video_id"].to_pylist(), table["key"].to_pylist(), strict=True)}
