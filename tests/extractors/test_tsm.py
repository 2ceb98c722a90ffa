"""TSM against an eager reference in the published layout: torchvision's ResNet-50 that shifts by plain loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet50

import extractors
from extractors import resnet, tsm
from extractors.class_names import KINETICS_400, class_names
from extractors.errors import BadWeights, WeightsMissing
from extractors.folding import Convolution, has_bf16
from extractors.sampling import Geometry, Sampling
from extractors.tsm import TSMResNet50

CROP = Geometry(resize=72, crop=64)
SMALL = Sampling(clips=1, frames=4, placement="spread")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def loops(x: torch.Tensor, frames: int) -> torch.Tensor:
    """The shift frame by frame and channel by channel: an eighth from the next, an eighth from the previous."""
    y = torch.zeros_like(x)
    eighth = x.shape[1] // 8
    for unit in range(len(x) // frames):
        for t in range(frames):
            for channel in range(x.shape[1]):
                source = t + 1 if channel < eighth else t - 1 if channel < 2 * eighth else t
                if 0 <= source < frames:
                    y[unit * frames + t, channel] = x[unit * frames + source, channel]
    return y


class Shifting(torch.nn.Module):
    """What the shift wraps stands under `net`, as in the published file."""

    def __init__(self, net: torch.nn.Module, frames: int) -> None:
        super().__init__()
        self.net, self.frames = net, frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(loops(x, self.frames))


class Reference(torch.nn.Module):
    def __init__(self, frames: int) -> None:
        super().__init__()
        self.base_model = resnet50(weights=None)
        self.base_model.fc = torch.nn.Dropout(0.5)
        self.new_fc = torch.nn.Linear(2048, 400)
        for layer in ("layer1", "layer2", "layer3", "layer4"):
            for block in getattr(self.base_model, layer):
                block.conv1 = Shifting(block.conv1, frames)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.base_model(x)
        return features, self.new_fc(features)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, Path]:
    """A network of 4 frames and its checkpoint, saved as the authors' training saves it: from DataParallel."""
    torch.manual_seed(0)
    network = Reference(4)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.9, 1.1)
    state = torch.nn.DataParallel(network).state_dict()
    assert "module.base_model.layer1.0.conv1.net.weight" in state
    assert "module.new_fc.weight" in state
    path = tmp_path_factory.mktemp("tsm") / "ckpt.pth"
    torch.save({"epoch": 50, "arch": "resnet50", "state_dict": state, "best_prec1": torch.tensor(71.2)}, path)
    return network.eval(), path


def noise(units: int, frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (units, frames, 64, 64, 3), np.uint8)


def test_published_checkpoint_gives_the_references_features_and_logits(reference: tuple[Reference, Path]) -> None:
    network, path = reference
    extractor = TSMResNet50(str(path), sampling=SMALL, geometry=CROP)
    extractor.load("cpu")
    units = noise(1, 4)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (resnet.MEAN, resnet.STD))
    with torch.inference_mode():
        features, logits = network((torch.from_numpy(units[0]).permute(0, 3, 1, 2) / 255 - mean) / std)
    got = extractor(units)
    for name, expected in (("features", features.numpy()), ("logits", logits.numpy())):
        assert got[name].shape == (1, *expected.shape)
        np.testing.assert_allclose(got[name][0], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_shift_equals_plain_loops_and_leaves_its_input_alone(frames: int) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((24, 16, 1, 1)).astype(np.float32), np.zeros(24, np.float32)
    convolution = Convolution(weight, bias, (1, 1), (0, 0), "none")
    x = torch.randn(2 * frames, 16, 6, 5).to(memory_format=torch.channels_last)
    before = x.clone()
    with torch.inference_mode():
        got = tsm.shifted(convolution, x, frames)
        assert torch.equal(got, convolution(loops(x, frames)))
    assert torch.equal(x, before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_neither_mates_nor_place_change_a_videos_bits(precision: str) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this CPU has no bf16 instructions")
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    extractor = TSMResNet50("random:0", precision)
    network = extractor.build(extractor.random(0), torch.device("cpu"), dtype)
    a, b, c, d = noise(4, 3, seed=5)
    first, moved, others = (network(np.stack(batch)) for batch in ((a, b, c), (c, a, b), (a, d, d)))
    for name in ("features", "logits"):
        assert np.array_equal(first[name][0], moved[name][1])
        assert np.array_equal(first[name][2], moved[name][0])
        assert np.array_equal(first[name][0], others[name][0])
        assert not np.array_equal(first[name][1], others[name][1])


def test_rows_are_eight_a_video_in_float16() -> None:
    extractor = TSMResNet50("random:0")
    assert extractors.find("tsm_resnet50") is TSMResNet50
    assert extractor.sampling.frame_indices(np.arange(80) / 25)[0].tolist() == [list(range(5, 80, 10))]
    rows = extractor.rows({"features": np.ones((1, 8, 2048)), "logits": np.ones((1, 8, 400))})
    assert {name: (row.shape, row.dtype.name) for name, row in rows.items()} == {
        "features": ((8, 2048), "float16"),
        "logits": ((8, 400), "float16"),
    }


@pytest.mark.shared
def test_the_order_of_the_classes_is_the_alphabetical_one(shared_data: Path) -> None:
    """The classifier ElaborativeRehearsal publishes of its TSM: rows are alike where the names' vectors are."""
    rows = np.load(shared_data / "kinetics" / "tsm_resnet50_k400_classifier.npz")["weight"].astype(float)
    words = np.load(shared_data / "word_vectors" / "kinetics620_glove300.npz")
    place = {str(name).lower(): at for at, name in enumerate(words["names"])}
    vectors = words["vectors"][[place[name.lower()] for name in class_names(KINETICS_400)]].astype(float)

    def likeness(matrix: np.ndarray) -> np.ndarray:
        centred = matrix - matrix.mean(0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray((unit @ unit.T)[np.triu_indices(len(unit), 1)])

    by_name = likeness(vectors)
    agreement = [float(np.corrcoef(likeness(np.roll(rows, by, 0)), by_name)[0, 1]) for by in (0, -2, -1, 1, 2, 50, 200)]
    assert agreement[0] > 0.3
    assert max(agreement[1:]) < 0.1
    assert TSMResNet50("random:0").columns()["logits"] == list(class_names(KINETICS_400))


def test_file_of_another_network_is_bad_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": resnet50(weights=None).state_dict()}, path)
    with pytest.raises(BadWeights, match=r"Lacking: base_model\.bn1\.bias.*Unknown: bn1\.bias"):
        TSMResNet50(str(path)).load("cpu")


def test_no_weights_anywhere_lists_path_cache_hub_and_pack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(WeightsMissing, match=r"\(1\) a path.*\(2\) the local cache.*\(3\) the hub.*offline pack"):
        TSMResNet50().weights_path()
