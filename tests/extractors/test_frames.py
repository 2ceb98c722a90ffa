"""Frame features: torchvision's files in, a row a frame out."""

import numpy as np
import pytest
import torch
import torchvision
from torchvision.models import ResNet18_Weights, ResNet34_Weights, ResNet101_Weights

import extractors
from extractors.errors import BadWeights, WeightsMissing
from extractors.frames import ResNet18Frames, ResNet34Frames, ResNet101Frames
from extractors.sampling import Geometry, Sampling
from pipelines.extract.runners.videos import row_times

SMALL = Sampling(clips=1, frames=3, stride=6)
CROP = Geometry(resize=72, crop=64)
THEIRS = {
    ResNet18Frames: (ResNet18_Weights.IMAGENET1K_V1, "resnet18", 512),
    ResNet34Frames: (ResNet34_Weights.IMAGENET1K_V1, "resnet34", 512),
    ResNet101Frames: (ResNet101_Weights.IMAGENET1K_V1, "resnet101", 2048),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("ours", THEIRS)
def test_defaults_are_torchvisions_url_size_and_normalisation(ours: type[ResNet18Frames]) -> None:
    theirs, network, width = THEIRS[ours]
    transforms = theirs.transforms()
    assert ours.published.url == theirs.url
    assert theirs.url.endswith(ours.published.file)
    assert [ours.default_geometry.resize] == transforms.resize_size
    assert [ours.default_geometry.crop] == transforms.crop_size
    assert ours.normalisation == f"(x / 255 - {tuple(transforms.mean)}) / {tuple(transforms.std)}"
    assert extractors.find(f"{network}_frames") is ours
    assert ours.outputs["features"].shape == (width,)


@pytest.mark.parametrize("ours", [ResNet18Frames, ResNet101Frames])
def test_torchvision_file_gives_torchvisions_features_of_each_frame(
    ours: type[ResNet18Frames], tmp_path: object
) -> None:
    torch.manual_seed(0)
    network = getattr(torchvision.models, THEIRS[ours][1])(weights=None)
    for norm in network.modules():  # as trained ones are: not the identity
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.9, 1.1)
    path = f"{tmp_path}/w.pth"
    torch.save(network.state_dict(), path)
    network.eval().fc = torch.nn.Identity()
    extractor = ours(path, sampling=SMALL, geometry=CROP)
    extractor.load("cpu")
    units = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64, 3), np.uint8)
    mean, std = (torch.tensor(getattr(THEIRS[ours][0].transforms(), part)).view(3, 1, 1) for part in ("mean", "std"))
    with torch.inference_mode():
        expected = np.stack(
            [network(((torch.from_numpy(f).permute(2, 0, 1) / 255 - mean) / std)[None])[0].numpy() for f in units[0]]
        )
    got = extractor(units)
    assert set(got) == {"features"}
    np.testing.assert_allclose(got["features"][0], expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_rows_are_one_a_frame_in_order_of_time_with_the_times_of_their_part() -> None:
    features = np.arange(2 * 16 * 512, dtype=np.float32).reshape(2, 16, 512) / 16
    rows = ResNet18Frames("random:0").rows({"features": features})
    assert rows["features"].shape == (32, 512)
    assert rows["features"].dtype == np.float16
    np.testing.assert_allclose(rows["features"][:, 0], features[:, :, 0].ravel(), rtol=1e-3)
    times = row_times(np.array([[0, 3.84], [4, 7.84]], np.float32), 32)
    np.testing.assert_allclose(times[:3], [[0, 0.24], [0.24, 0.48], [0.48, 0.72]], atol=1e-6)
    np.testing.assert_allclose(times[16], [4, 4.24], atol=1e-6)


def test_the_default_is_16_frames_every_sixth_of_one_clip() -> None:
    times = np.arange(400) / 25
    indices, spans = ResNet34Frames.default_sampling.frame_indices(times)
    assert indices.shape == (1, 16)
    assert set(np.diff(indices[0])) == {6}
    assert spans[0, 1] - spans[0, 0] == pytest.approx(16 * 6 / 25)
    assert ResNet34Frames("random:0").columns() == {}


def test_file_of_another_network_is_bad_weights(tmp_path: object) -> None:
    path = f"{tmp_path}/w.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(BadWeights, match=r"Lacking: bn1\.bias.*Unknown: bias, weight\."):
        ResNet18Frames(path).load("cpu")


def test_no_weights_anywhere_lists_path_cache_hub_and_pack(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("TORCH_HOME", f"{tmp_path}/torch")
    monkeypatch.setattr("urllib.request.urlopen", _offline)
    with pytest.raises(WeightsMissing, match=r"\(1\) a path.*\(2\) the local cache.*\(3\) the hub.*offline pack"):
        ResNet101Frames().weights_path()


def _offline(*arguments: object, **options: object) -> None:
    raise OSError("no network in tests")
