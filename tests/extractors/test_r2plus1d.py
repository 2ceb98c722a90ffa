"""R(2+1)D against torchvision's own network, unfolded, with the same arrays."""

import numpy as np
import pytest
import torch
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18

from extractors import r2plus1d
from extractors.errors import BadWeights
from extractors.r2plus1d import Layout, R2Plus1D18
from extractors.sampling import Geometry, Sampling

SMALL = Sampling(clips=1, frames=8)
CROP = Geometry(resize=64, crop=56)


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


@pytest.mark.parametrize(("sampling", "geometry"), [(SMALL, CROP), (None, None)])
def test_features_and_logits_equal_torchvisions_unfolded_forward(
    sampling: Sampling | None, geometry: Geometry | None
) -> None:
    extractor = R2Plus1D18("random:0", sampling=sampling, geometry=geometry)
    extractor.load("cpu")
    units = noise(1, extractor.sampling.frames, extractor.geometry.size[0])
    transforms = R2Plus1D_18_Weights.KINETICS400_V1.transforms()
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (transforms.mean, transforms.std))
    x = (torch.from_numpy(units).permute(0, 4, 1, 2, 3) / 255 - mean) / std
    network = published(0)
    with torch.inference_mode():
        logits = network(x).numpy()
        network.fc = torch.nn.Identity()
        features = network(x).numpy()
    got = extractor(units)
    np.testing.assert_allclose(got["features"], features, rtol=1e-4, atol=1e-5 * features.max())
    np.testing.assert_allclose(got["logits"], logits, rtol=1e-4, atol=1e-5 * np.abs(logits).max())


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
        outputs.append(extractor(noise(1, 8, 56))["logits"])
    assert np.array_equal(*outputs)


def test_file_of_another_network_is_bad_weights(tmp_path: object) -> None:
    path = f"{tmp_path}/w.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(BadWeights, match=r"Lacking: .*Unknown: bias, weight\."):
        R2Plus1D18(path).load("cpu")


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
