"""A few films, their classes and a split: what networks of clips are trained on here."""

import json
from pathlib import Path

import pytest

from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.root import Root
from tests.conftest import make_video

CLASSES = ("bow down", "clap hands", "jump high", "wave arms")


@pytest.fixture
def films(root: Root, tmp_path: Path) -> Root:
    """Three films each of four classes, with class names that have vectors, and a split."""
    rows = []
    for k in range(12):
        (tmp_path / "films").mkdir(exist_ok=True)
        make_video(tmp_path / "films" / f"v{k:02d}.mp4", frames=14, seed=k)
        rows.append(f"v{k:02d},{CLASSES[k % 4]}")
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *rows]))
    index(IndexConfig((str(tmp_path / "films"),), "d", labels=(str(tmp_path / "labels.csv"),)), root)
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "d"), root)
    (tmp_path / "own.json").write_text(json.dumps([{"seen": CLASSES[:2], "unseen": CLASSES[2:]}]))
    return root
