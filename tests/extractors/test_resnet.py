"""The folded ResNet against torchvision's own network, unfolded, with the same arrays."""

import numpy as np
import pytest
import torch
import torchvision

from extractors import resnet
from extractors.folding import Convolution, has_bf16

LAYOUTS = {"resnet18": resnet.RESNET18, "resnet34": resnet.RESNET34, "resnet50": resnet.RESNET50}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def noise(frames: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3), np.uint8)


def published(name: str, seed: int) -> torch.nn.Module:
    """torchvision's network in eval mode with the arrays of `random_arrays`."""
    network: torch.nn.Module = getattr(torchvision.models, name)(weights=None).eval()
    arrays = resnet.random_arrays(LAYOUTS[name], seed)
    missing, unexpected = network.load_state_dict({n: torch.from_numpy(a) for n, a in arrays.items()}, strict=False)
    assert unexpected == []
    assert all(n.endswith("num_batches_tracked") for n in missing)
    return network


@pytest.mark.parametrize("name", LAYOUTS)
def test_features_equal_torchvisions_unfolded_forward(name: str) -> None:
    frames = noise(3, 96)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (resnet.MEAN, resnet.STD))
    network = published(name, 0)
    network.fc = torch.nn.Identity()
    layout = LAYOUTS[name]
    folded = resnet.ResNet(resnet.random_arrays(layout, 0), layout, CPU, torch.float32)
    with torch.inference_mode():
        expected = network((torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
        for _ in range(2):  # the second call meets weights in oneDNN's order
            got = folded(frames).numpy()
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_layout_is_torchvisions(name: str) -> None:
    with torch.device("meta"):
        theirs = {n: tuple(v.shape) for n, v in getattr(torchvision.models, name)().state_dict().items()}
    ours = resnet.shapes(getattr(resnet, name.upper()))
    assert ours == {n: shape for n, shape in theirs.items() if not n.endswith("num_batches_tracked")}


def test_random_weights_of_the_deepest_network_fit_into_float16() -> None:
    network = resnet.ResNet(resnet.random_arrays(resnet.RESNET101, 0), resnet.RESNET101, CPU, torch.float32)
    with torch.inference_mode():
        assert 0 < float(network(noise(1, 64)).max()) < 1000


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neither_mates_nor_place_change_a_frames_bits(dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not has_bf16():
        pytest.skip("this CPU has no bf16 instructions")
    network = resnet.ResNet(resnet.random_arrays(resnet.RESNET50, 0), resnet.RESNET50, CPU, dtype)
    a, b, c, d = noise(4, 64, seed=5)
    with torch.inference_mode():
        first, moved, others = (network(np.stack(batch)).numpy() for batch in ((a, b, c), (c, a, b), (a, d, d)))
    assert np.array_equal(first[0], moved[1])
    assert np.array_equal(first[2], moved[0])
    assert np.array_equal(first[0], others[0])
    assert not np.array_equal(first[1], others[1])


@pytest.mark.parametrize("activation", ["none", "relu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_sum_in_place_is_the_sum_apart_to_the_bit(activation: str, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((32, 16, 1, 1)).astype(np.float32), rng.standard_normal(32).astype(np.float32)
    convolution = Convolution(weight, bias, (1, 1), (0, 0), activation, dtype=dtype)  # type: ignore[arg-type]
    x, total = (torch.randn(2, n, 9, 9).to(dtype, memory_format=torch.channels_last) for n in (16, 32))
    with torch.inference_mode():
        for _ in range(2):  # before and after the weights are ordered
            expected, own = convolution(x, add=total), total.clone()
            assert torch.equal(convolution.into(own, x), expected)
        assert convolution.into(own, x).data_ptr() == own.data_ptr()
