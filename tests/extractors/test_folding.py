"""The fused convolution against torch's own, where it is not the same call: colours in pairs of pixels."""

import numpy as np
import pytest
import torch

from extractors.folding import Convolution, has_bf16


@pytest.fixture(autouse=True)
def _bf16_here() -> None:
    torch.set_num_threads(1)
    if not has_bf16():
        pytest.skip("this CPU has no bf16 instructions")


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("width", [9, 10, 11, 12])
@pytest.mark.parametrize(
    ("kernel", "padding"), [(1, 0), (2, 0), (3, 0), (3, 1), (5, 2), (7, 0), (7, 1), (7, 2), (7, 3)]
)
def test_first_layer_in_bf16_equals_torchs_of_the_same_weights(
    axes: int, width: int, kernel: int, padding: int
) -> None:
    random = np.random.default_rng(kernel)
    weight = random.standard_normal((8, 3, *[3] * (axes - 1), kernel)).astype(np.float32)
    bias = random.standard_normal(8).astype(np.float32)
    stride, zeros = (2,) * axes, (*[1] * (axes - 1), padding)
    x = torch.from_numpy(random.standard_normal((2, *[6] * (axes - 1), width, 3))).to(torch.bfloat16).movedim(-1, 1)
    y = Convolution(weight, bias, stride, zeros, "none", dtype=torch.bfloat16)(x)
    convolve = torch.conv3d if axes == 3 else torch.conv2d
    rounded = (torch.from_numpy(array).to(torch.bfloat16).float() for array in (weight, bias))
    wanted = convolve(x.float(), *rounded, stride, zeros)
    assert y.dtype == torch.bfloat16
    np.testing.assert_allclose(y.float().numpy(), wanted.numpy(), rtol=2**-7, atol=2**-7)


def test_multiply_adds_are_those_of_the_convolution_not_of_its_filling() -> None:
    weight = np.zeros((4, 3, 7, 7, 7), np.float32)
    layer = Convolution(weight, np.zeros(4, np.float32), (2, 2, 2), (0, 0, 0), dtype=torch.bfloat16)
    assert layer.weight.shape[-1] == 4, "seven pixels are four pairs"
    assert layer.taps == 3 * 7**3
