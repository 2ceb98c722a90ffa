"""R(2+1)D against torchvision's own network, unfolded, with the same arrays."""

import contextlib
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

from extractors import find, r2plus1d, weights
from extractors.backbone import Backbone
from extractors.base import VideoExtractor
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from extractors.r2plus1d import Layout, R2Plus1D18, R2Plus1D18Segments, R2Plus1D34, R2Plus1D34IG65M, R2Plus1D34Segments
from extractors.sampling import Geometry, Sampling
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Runner
from pipelines.extract.runners.videos import Videos
from stores.features import ItemRows
from tests.conftest import make_video

SMALL = Sampling(clips=1, frames=8)
CROP = Geometry(resize=64, crop=56)
TINY = Geometry(resize=40, crop=32)
SPREAD = Sampling(clips=1, frames=32, placement="spread")
NEW = ("r2plus1d_18_segments", "r2plus1d_34", "r2plus1d_34_ig65m", "r2plus1d_34_segments", "c3d")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def noise(units: int, frames: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (units, frames, size, size, 3), np.uint8)


def published(seed: int) -> torch.nn.Module:
    """torchvision's network in eval mode with the arrays of `random:SEED`."""
    network = r2plus1d_18(weights=None).eval()
    arrays = r2plus1d.random_arrays(Layout(), seed)
    state = {name: torch.from_numpy(value) for name, value in arrays.items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert unexpected == []
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return network


@pytest.fixture(scope="module")
def published_34(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, str]:
    """The 34-layer network as ig65m-pytorch describes it, of torchvision's parts, and a file of its state."""
    torch.manual_seed(0)
    network = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [3, 4, 6, 3], R2Plus1dStem)
    for layer, width, middle in ((network.layer2, 128, 288), (network.layer3, 256, 576), (network.layer4, 512, 1152)):
        layer[0].conv2[0] = Conv2Plus1D(width, width, middle)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eps, module.momentum = 1e-3, 0.9
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    path = str(tmp_path_factory.mktemp("published") / "r2plus1d_34.pth")
    torch.save(network.state_dict(), path)
    return network.eval(), path


def normalised(units: np.ndarray) -> torch.Tensor:
    transforms = R2Plus1D_18_Weights.KINETICS400_V1.transforms()
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (transforms.mean, transforms.std))
    return (torch.from_numpy(units).permute(0, 4, 1, 2, 3) / 255 - mean) / std


def in_time(network: torch.nn.Module, units: np.ndarray) -> np.ndarray:
    """(B, T/8, 512): torchvision's network up to layer 4, then the mean over pixels alone."""
    with torch.inference_mode():
        x = network.stem(normalised(units))
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = layer(x)
        return np.moveaxis(x.mean((3, 4)).numpy(), 1, 2)


def loaded(
    kind: type[VideoExtractor], given: str, sampling: Sampling | None = None, geometry: Geometry | None = None
) -> VideoExtractor:
    extractor = kind(given, sampling=sampling, geometry=geometry)
    extractor.load("cpu")
    return extractor


def close(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_34_layers_equal_the_published_network(published_34: tuple[torch.nn.Module, str]) -> None:
    network, path = published_34
    units = noise(1, 8, 56)
    got = loaded(R2Plus1D34, path, SMALL, CROP)(units)
    with torch.inference_mode():
        logits = network(normalised(units)).numpy()
    close(got["logits"], logits)
    close(got["features"], in_time(network, units).mean(1))


def test_34_layers_of_ig65m_are_the_same_network_whatever_its_classes(
    published_34: tuple[torch.nn.Module, str], tmp_path: Path
) -> None:
    network, _ = published_34
    units, features = noise(1, 8, 32), []
    for classes in (359, 487):
        state = network.state_dict() | {"fc.weight": torch.zeros(classes, 512), "fc.bias": torch.zeros(classes)}
        torch.save(state, tmp_path / "w.pth")
        got = loaded(R2Plus1D34IG65M, str(tmp_path / "w.pth"), SMALL, TINY)(units)
        assert set(got) == {"features"}
        features.append(got["features"])
    assert np.array_equal(*features)
    close(features[0], in_time(network, units).mean(1))


def test_34_segments_equal_the_published_network_without_its_pooling_over_time(
    published_34: tuple[torch.nn.Module, str],
) -> None:
    network, path = published_34
    units = noise(1, 32, 32)
    segments = loaded(R2Plus1D34Segments, path, geometry=TINY)(units)["features"]
    assert segments.shape == (1, 4, 512)
    close(segments, in_time(network, units))
    clip = loaded(R2Plus1D34, path, geometry=TINY)(units)["features"]
    close(segments.mean(1), clip)


def test_18_segments_equal_torchvisions_network_without_its_pooling_over_time(tmp_path: Path) -> None:
    network = published(2)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    units = noise(1, 32, 32)
    segments = loaded(R2Plus1D18Segments, str(tmp_path / "w.pth"), geometry=TINY)(units)["features"]
    assert segments.shape == (1, 4, 512)
    close(segments, in_time(network, units))
    clips = loaded(R2Plus1D18, str(tmp_path / "w.pth"), SPREAD, TINY)(np.repeat(units, 4, 0))["features"]
    close(segments.mean(1), clips[:1])


def test_segments_of_a_video_are_its_quarters_in_order_of_time(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", frames=50)  # 2 s
    extractor = loaded(R2Plus1D18Segments, "random:0", geometry=TINY)
    runner = Runner({"f": extractor}, Videos({"f": extractor}, "cpu"), 1, 1)
    item = Item(b"key", ((str(film), None),), None, "film", ("f",))
    with contextlib.closing(runner.results([item])) as results:
        (result,) = (result for result in results if result is not None)
    assert isinstance(result.outcome, ItemRows)
    assert result.outcome.values["features"].shape == (4, 512)
    assert result.outcome.values["features"].dtype == np.float16
    np.testing.assert_allclose(result.outcome.times, [[0, 0.5], [0.5, 1], [1, 1.5], [1.5, 2]], atol=1e-6)


def test_segments_need_a_multiple_of_8_frames() -> None:
    with pytest.raises(ExtractorError, match=r"r2plus1d_18_segments .* multiple of 8; got 20\."):
        loaded(R2Plus1D18Segments, "random:0", Sampling(clips=1, frames=20))


@pytest.mark.parametrize("kind", [R2Plus1D34, R2Plus1D34IG65M, R2Plus1D34Segments])
def test_34_layers_take_the_file_of_their_number_of_frames(
    kind: type[Backbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {}
    for frames in (8, 32):
        extractor = kind(sampling=Sampling(clips=1, frames=frames))
        files[frames] = extractor.published.file
        assert f"clip{frames}_" in extractor.published.file
        assert ("ft_kinetics" in extractor.published.file) == (kind is not R2Plus1D34IG65M)
        assert extractor.published.url is not None
        assert extractor.published.url.endswith(f"/v1.0.0/{extractor.published.file}")
    assert files[8] != files[32]
    assert kind().published.file == files[32]


def test_other_numbers_of_frames_need_weights_of_ones_own(tmp_path: Path) -> None:
    sampling = Sampling(clips=1, frames=16)
    with pytest.raises(ExtractorError, match=r"8 and 32 frames, got frames=16\. .*r2plus1d_34:frames=8") as caught:
        R2Plus1D34(sampling=sampling).weights_path()
    assert "\n" not in str(caught.value)
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"")
    assert R2Plus1D34(str(mine), sampling=sampling).weights_path() == mine
    assert R2Plus1D34("random:0", sampling=sampling, geometry=TINY).columns()["logits"][0] == "abseiling"


@pytest.mark.parametrize("name", NEW)
def test_no_weights_is_an_error_that_lists_path_cache_hub_and_pack(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("offline")

    monkeypatch.setattr(weights, "download", offline)
    extractor = find(name)()
    assert isinstance(extractor, Backbone)
    with pytest.raises(WeightsMissing) as caught:
        extractor.weights_path()
    published = extractor.published
    for part in ("--weights NAME=PATH", str(weights.cache_dir() / published.file), f"{published.url}: no connection"):
        assert part in str(caught.value)
    for part in (weights.OFFLINE_PACK, "NAME=random:SEED"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", NEW)
def test_file_of_no_such_network_is_bad_weights_to_each(name: str, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=r"is not the published layout\. Lacking: .*Unknown: bias, weight\."):
        find(name)(str(tmp_path / "w.pth")).load("cpu")


def test_file_of_18_layers_is_bad_weights_to_34(tmp_path: Path) -> None:
    torch.save(r2plus1d_18().state_dict(), tmp_path / "w.pth")
    for kind in (R2Plus1D34, R2Plus1D34Segments):
        with pytest.raises(BadWeights, match=r"Lacking: layer1\.2\..*Of another shape: layer2\.0\.conv2\.0\.0\.weight"):
            kind(str(tmp_path / "w.pth")).load("cpu")


@pytest.mark.parametrize(("sampling", "geometry"), [(SMALL, CROP), (None, None)])
def test_features_and_logits_equal_torchvisions_unfolded_forward(
    sampling: Sampling | None, geometry: Geometry | None
) -> None:
    extractor = R2Plus1D18("random:0", sampling=sampling, geometry=geometry)
    extractor.load("cpu")
    units = noise(4, extractor.sampling.frames, extractor.geometry.size[0])
    x = normalised(units[:1])
    network = published(0)
    with torch.inference_mode():
        logits = network(x).numpy()
        network.fc = torch.nn.Identity()
        features = network(x).numpy()
    got = extractor(units)
    close(got["features"][:1], features)
    close(got["logits"][:1], logits)


def test_defaults_are_torchvisions_url_size_and_classes() -> None:
    theirs = R2Plus1D_18_Weights.KINETICS400_V1
    assert R2Plus1D18.published.url == theirs.url
    assert theirs.url.endswith(R2Plus1D18.published.file)
    assert R2Plus1D18.default_geometry.resize == tuple(theirs.transforms().resize_size)
    assert R2Plus1D18.default_geometry.size == tuple(theirs.transforms().crop_size)
    assert R2Plus1D18("random:0").columns()["logits"] == theirs.meta["categories"]


def test_layout_is_torchvisions() -> None:
    theirs = {name: tuple(value.shape) for name, value in r2plus1d_18().state_dict().items()}
    assert r2plus1d.shapes(Layout()) == {n: s for n, s in theirs.items() if not n.endswith("num_batches_tracked")}


def test_deeper_layout_counts_middle_planes_as_the_34_layer_files_do() -> None:
    """ig65m-pytorch, `r2plus1d_34`: 288, 576, 1152 in the second half of the first block of layers 2, 3, 4."""
    shapes = r2plus1d.shapes(Layout(blocks=(3, 4, 6, 3), classes=359, eps=1e-3, own_middle=True))
    assert [shapes[f"layer{n}.0.conv2.0.0.weight"][0] for n in (2, 3, 4)] == [288, 576, 1152]
    assert [shapes[f"layer{n}.0.conv1.0.0.weight"][0] for n in (2, 3, 4)] == [230, 460, 921]
    assert shapes["fc.weight"] == (359, 512)
    assert sum(name.endswith("conv2.0.3.weight") for name in shapes) == 16


def test_clip_of_the_default_size_costs_81_gflop() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network, clip = r2plus1d_18().eval(), torch.zeros(1, 3, 16, 112, 112)
    with FlopCounterMode(display=False) as counter:
        network(clip)
    assert counter.get_total_flops() / 1e9 == pytest.approx(81.0, abs=0.05)


def test_torchvision_file_is_read_into_the_network(tmp_path: object) -> None:
    path = f"{tmp_path}/w.pth"
    torch.save(published(4).state_dict(), path)
    outputs = []
    for given in ("random:4", path):
        extractor = R2Plus1D18(given, sampling=SMALL, geometry=CROP)
        extractor.load("cpu")
        outputs.append(extractor(noise(4, 8, 56))["logits"])
    assert np.array_equal(*outputs)


def test_file_of_another_network_is_bad_weights(tmp_path: object) -> None:
    path = f"{tmp_path}/w.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(BadWeights, match=r"Lacking: .*Unknown: bias, weight\."):
        R2Plus1D18(path).load("cpu")


def test_neither_mates_nor_place_change_a_segments_bits() -> None:
    arrays = r2plus1d.random_arrays(Layout(classes=0), 0)
    network = r2plus1d.R2Plus1DNetwork(arrays, Layout(classes=0), torch.device("cpu"), torch.float32, segments=True)
    a, b, c, d = noise(4, 16, 32, seed=5)
    first, moved, others = (network(np.stack(batch))["features"] for batch in ((a, b, c), (c, a, b), (a, d, d)))
    assert np.array_equal(first[0], moved[1])
    assert np.array_equal(first[2], moved[0])
    assert np.array_equal(first[0], others[0])
    assert not np.array_equal(first[1], others[1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_neither_mates_nor_place_change_a_rows_bits(precision: str) -> None:
    from extractors.folding import has_bf16

    if precision == "bf16" and not has_bf16():
        pytest.skip("this CPU has no bf16 instructions")
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    network = r2plus1d.R2Plus1DNetwork(r2plus1d.random_arrays(Layout(), 0), Layout(), torch.device("cpu"), dtype)
    a, b, c, d = noise(4, 8, 56, seed=5)
    first, moved, others = (network(np.stack(batch)) for batch in ((a, b, c), (c, a, b), (a, d, d)))
    for name in ("features", "logits"):
        assert first[name].dtype == np.float32
        assert np.array_equal(first[name][0], moved[name][1])
        assert np.array_equal(first[name][2], moved[name][0])
        assert np.array_equal(first[name][0], others[name][0])
        assert not np.array_equal(first[name][1], others[name][1])


def test_rows_are_one_a_clip_in_float16() -> None:
    rows = R2Plus1D18("random:0").rows({"features": np.ones((8, 512)), "logits": np.ones((8, 400))})
    assert {name: (row.shape, row.dtype.name) for name, row in rows.items()} == {
        "features": ((8, 512), "float16"),
        "logits": ((8, 400), "float16"),
    }
