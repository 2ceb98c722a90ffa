"""Small files of poses: what the tests of indexing, extracting and training poses share.

Bodies of the layout kinect-20 stand with hips below the neck; those of class k move limb k up and down.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from extractors.joints import KINECT_20, Layout
from pipelines.index.poses import index_poses
from pipelines.index.report import IndexReport
from pipelines.index.settings import IndexConfig
from stores.manifest import Manifest
from stores.root import Root

CLASSES = ("bow", "clap", "dive", "fence")
_LIMBS = ((5, 6, 7), (9, 10, 11), (13, 14, 15), (17, 18, 19))


def body(k: int = 0, seed: int = 0, frames: int = 14, layout: Layout = KINECT_20) -> np.ndarray:
    """(T, V, 3) float32 of somebody who does class k."""
    draw = np.random.default_rng((k, seed))
    places = np.random.default_rng(0).uniform(-0.2, 0.2, (len(layout.joints), 3)) + np.array([0, 1, 3])
    places += draw.uniform(-0.02, 0.02, places.shape)
    places[list(layout.hips), 1], places[list(layout.neck), 1] = 0.8, 1.4
    places[layout.shoulders[0], 0], places[layout.shoulders[1], 0] = -0.2, 0.2
    moving = np.repeat(places[None], frames, 0) + draw.standard_normal((frames, len(layout.joints), 3)) * 0.01
    swing = np.sin(np.linspace(0, 6, frames) + draw.uniform(-0.3, 0.3))
    moving[:, list(_LIMBS[k]), 1] += swing[:, None]
    return moving.astype(np.float32)


def npz(**arrays: Any) -> bytes:
    """An .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def many(
    sequences: Sequence[np.ndarray],
    labels: Sequence[int],
    subjects: Sequence[str] = (),
    layout: str = "kinect-20",
    names: Sequence[str] = CLASSES,
) -> bytes:
    """A file of many sequences (T, V, 3), as UTD-MHAD's."""
    more = {"subject": np.array(subjects)} if len(subjects) else {}
    return npz(
        data=np.concatenate(sequences),
        length=np.array([len(each) for each in sequences], np.int32),
        label=np.array(labels, np.int16),
        class_names=np.array(names),
        layout=np.array(layout),
        **more,
    )


def dataset(root: Root, folder: Path, each: int = 6, **more: Any) -> Path:
    """The data set `p`: `each` sequences of every class, by subjects s1, s2, ...; gives the file they lie in."""
    sequences = [body(k, seed) for k in range(len(CLASSES)) for seed in range(each)]
    labels = [k for k in range(len(CLASSES)) for _ in range(each)]
    subjects = [f"s{1 + seed % 3}" for _ in CLASSES for seed in range(each)]
    path = folder / "many.npz"
    path.write_bytes(many(sequences, labels, subjects))
    index(root, path, **more)
    return path


def index(root: Root, *paths: Path, **more: Any) -> IndexReport:
    """Index paths as poses of the data set `p`."""
    return index_poses(IndexConfig(tuple(map(str, paths)), "p", kind="poses", **more), root)


def rows(root: Root) -> dict[str, dict[str, Any]]:
    """Rows of the manifest by name."""
    return {row["video_id"]: row for row in Manifest(root).read("p").to_pylist()}
