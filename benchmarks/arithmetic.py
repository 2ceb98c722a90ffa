"""How much arithmetic a forward pass is, and how fast this machine's matrix products are."""

from unittest import mock

import numpy as np
import torch

from extractors.base import VideoExtractor
from extractors.folding import Convolution

SIDE = 2048
PRODUCT_GFLOP = 2e-9 * SIDE**3


def batch(extractor: VideoExtractor, device: str = "cpu") -> np.ndarray:
    """A full batch of noise for an extractor, (B, T, H, W, 3) uint8."""
    units = extractor.batch_units[torch.device(device).type]
    shape = (units, extractor.sampling.frames, *extractor.geometry.size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def gflop(extractor: VideoExtractor, units: np.ndarray) -> float:
    """GFLOP of one batch through a loaded extractor, 2 a multiply-add.

    Counted at the convolutions, which are all of a backbone's work but a fraction: pools, sums and the linear
    classifier are left out. torch's own counter does not see oneDNN's fused convolutions.
    """
    total = 0
    convolve = Convolution.__call__

    def counted(self: Convolution, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        nonlocal total
        y = convolve(self, x, add)
        total += 2 * y.numel() * self.taps
        return y

    def counted_into(self: Convolution, into: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        nonlocal total
        before = total
        y = write_into(self, into, x)
        if total == before:  # else it went through `__call__`
            total += 2 * y.numel() * self.taps
        return y

    write_into = Convolution.into
    with mock.patch.multiple(Convolution, __call__=counted, into=counted_into):
        extractor(units)
    return total / 1e9


def matrices(precision: str, device: str = "cpu", side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """Two square matrices of noise, to be multiplied."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(2, side, side, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    return a, b
