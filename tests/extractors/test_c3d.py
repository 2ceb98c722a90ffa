"""C3D against the network c3d-pytorch describes, in torch.nn, with the same file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from extractors import c3d
from extractors.c3d import C3D
from extractors.errors import BadWeights, ExtractorError
from extractors.folding import has_bf16
from extractors.sampling import Geometry, Sampling


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Published(nn.Module):
    """The network, its layers by the names of the file."""

    def __init__(self) -> None:
        super().__init__()
        widths = {"1": (3, 64), "2": (64, 128), "3a": (128, 256), "3b": (256, 256), "4a": (256, 512)}
        widths |= dict.fromkeys(("4b", "5a", "5b"), (512, 512))
        for at, (width_in, width) in widths.items():
            self.add_module(f"conv{at}", nn.Conv3d(width_in, width, 3, padding=1))
        self.fc6, self.fc7, self.fc8 = nn.Linear(8192, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 487)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """fc6 after ReLU."""
        for names, pool in (
            ("1", nn.MaxPool3d((1, 2, 2))),
            ("2", nn.MaxPool3d(2)),
            ("3a 3b", nn.MaxPool3d(2)),
            ("4a 4b", nn.MaxPool3d(2)),
            ("5a 5b", nn.MaxPool3d(2, padding=(0, 1, 1))),
        ):
            for at in names.split():
                x = self.get_submodule(f"conv{at}")(x).relu()
            x = pool(x)
        return self.fc6(x.flatten(1)).relu()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, str]:
    """The network with seeded weights, and its file as torch wrote them in 2017: no zip archive."""
    torch.manual_seed(0)
    network = Published().eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    path = str(tmp_path_factory.mktemp("published") / "c3d.pickle")
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    return network, path


def noise(units: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (units, 16, 112, 112, 3), np.uint8)


def test_features_equal_the_published_network_on_plain_rgb_values(published: tuple[nn.Module, str]) -> None:
    network, path = published
    extractor = C3D(path)
    extractor.load("cpu")
    units = noise(4)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(units[:2]).permute(0, 4, 1, 2, 3).float()).numpy()
    got = extractor(units)
    assert set(got) == {"features"}
    assert got["features"].shape == (4, 4096)
    assert (wanted > 0).mean() > 0.2
    np.testing.assert_allclose(got["features"][:2], wanted, rtol=1e-4, atol=1e-5 * wanted.max())


def test_layout_is_the_published_one_up_to_fc6() -> None:
    with torch.device("meta"):
        theirs = {name: tuple(value.shape) for name, value in Published().state_dict().items()}
    assert c3d.shapes() == {name: shape for name, shape in theirs.items() if not name.startswith(("fc7", "fc8"))}


def test_file_of_another_width_is_bad_weights(tmp_path: Path) -> None:
    state = {name: torch.zeros(shape) for name, shape in c3d.shapes().items() if not name.startswith("fc6")}
    torch.save(state | {"fc6.weight": torch.zeros(4096, 4608), "fc6.bias": torch.zeros(4096)}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=r"fc6\.weight \(4096, 4608\), not \(4096, 8192\)"):
        C3D(str(tmp_path / "w.pth")).load("cpu")


@pytest.mark.parametrize(
    ("sampling", "geometry"), [(Sampling(clips=1, frames=8), None), (None, Geometry(resize=64, crop=56))]
)
def test_clips_of_another_size_are_refused(sampling: Sampling | None, geometry: Geometry | None) -> None:
    network = C3D("random:0", sampling=sampling, geometry=geometry)
    with pytest.raises(ExtractorError, match=r"c3d .* takes clips of 16 frames of 112 x 112; got "):
        network.build({}, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_neither_mates_nor_place_change_a_rows_bits(precision: str) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this CPU has no bf16 instructions")
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    network = c3d.C3DNetwork(c3d.random_arrays(0), torch.device("cpu"), dtype)
    a, b, c = noise(3, seed=5)
    first, moved = (network(np.stack(batch))["features"] for batch in ((a, b), (c, a)))
    assert first.dtype == np.float32
    assert np.array_equal(first[0], moved[1])
    assert not np.array_equal(first[1], moved[1])


def test_rows_are_one_a_clip_in_float16_and_what_it_cannot_hold_is_infinite() -> None:
    rows = C3D("random:0").rows({"features": np.array([[70_000.0] * 4096, [60_000.0] * 4096])})["features"]
    assert (rows.shape, rows.dtype) == ((2, 4096), np.float16)
    assert np.isinf(rows[0]).all()
    assert np.isfinite(rows[1]).all()
