"""The 2-D ResNet, folded: frames in, one feature a frame out; what frame features and TSM have in common.

    (B, T, H, W, 3) uint8 ─mean, std─▶ 7 x 7 / 2, max 3 x 3 / 2 ─▶ 4 layers of residual blocks ─mean over H, W─▶ (D)

A basic block is two 3 x 3 convolutions; a bottleneck is 1 x 1, 3 x 3, 1 x 1 with four times the width at its end. The
stride of a bottleneck stands in its 3 x 3 convolution, where every file read here has it (torchvision's, and TSM's,
which began as torchvision's), and not in the first 1 x 1 of the paper. BatchNorm has eps 1e-5.

Paper: He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (table 1). Names and layout: torchvision's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from extractors import weights

if TYPE_CHECKING:
    import torch

    from extractors.folding import Convolution

    Begin = Callable[[Convolution, torch.Tensor], torch.Tensor]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
NORMALISATION = f"(x / 255 - {MEAN}) / {STD}"
_EPS = 1e-5
_STEM = 64
# of random weights: without it 33 blocks would double the variance 33 times, and float16 cannot hold that
_RESIDUAL_SCALE = 0.2


@dataclasses.dataclass(frozen=True)
class Layout:
    """A published ResNet.

    Parameters
    ----------
    blocks : 4 int
        Residual blocks a layer.
    bottleneck : bool
        Whether they are bottlenecks.
    classes : int
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    classes: int = 1000

    @property
    def width(self) -> int:
        """D, the length of a feature."""
        return 2048 if self.bottleneck else 512


RESNET18 = Layout((2, 2, 2, 2), bottleneck=False)
RESNET34 = Layout((3, 4, 6, 3), bottleneck=False)
RESNET50 = Layout((3, 4, 6, 3), bottleneck=True)
RESNET101 = Layout((3, 4, 23, 3), bottleneck=True)


@dataclasses.dataclass(frozen=True)
class _Part:
    """One residual block of a layout: its name, (width in, width out, kernel) of each convolution, stride and skip."""

    at: str
    convolutions: tuple[tuple[int, int, int], ...]
    stride: int
    skip: bool


def _parts(layout: Layout) -> list[_Part]:
    parts = []
    width_in = _STEM
    for layer, blocks in enumerate(layout.blocks, start=1):
        middle = 32 << layer
        width = middle * 4 if layout.bottleneck else middle
        for block in range(blocks):
            basic = ((width_in, middle, 3), (middle, middle, 3))
            bottleneck = ((width_in, middle, 1), (middle, middle, 3), (middle, width, 1))
            stride = 2 if layer > 1 and block == 0 else 1
            convolutions = bottleneck if layout.bottleneck else basic
            parts.append(_Part(f"layer{layer}.{block}", convolutions, stride, skip=width_in != width))
            width_in = width
    return parts


def shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a published network, as torchvision names them."""
    out: dict[str, tuple[int, ...]] = {}

    def add(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        out[f"{convolution}.weight"] = shape
        out.update({f"{norm}.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")})

    add("conv1", "bn1", (_STEM, 3, 7, 7))
    for part in _parts(layout):
        for n, (width_in, width, kernel) in enumerate(part.convolutions, start=1):
            add(f"{part.at}.conv{n}", f"{part.at}.bn{n}", (width, width_in, kernel, kernel))
        if part.skip:
            width_in, width = part.convolutions[0][0], part.convolutions[-1][1]
            add(f"{part.at}.downsample.0", f"{part.at}.downsample.1", (width, width_in, 1, 1))
    out["fc.weight"] = (layout.classes, layout.width)
    out["fc.bias"] = (layout.classes,)
    return out


def random_arrays(layout: Layout, seed: int) -> dict[str, np.ndarray]:
    """Seeded random arrays of the published layout."""
    wanted = shapes(layout)
    fan_in = {name: int(np.prod(shape[1:])) for name, shape in wanted.items() if len(shape) > 1}
    arrays = weights.random_arrays(wanted, seed, fan_in)
    for part in _parts(layout):
        arrays[f"{part.at}.bn{len(part.convolutions)}.weight"] *= np.float32(_RESIDUAL_SCALE)
    return arrays


class Block:
    """A folded residual block: its convolutions in order, the last adding what comes in, through `skip` if given."""

    def __init__(self, convolutions: list[Convolution], skip: Convolution | None) -> None:
        self.first, *self.later, self.last = convolutions
        self.skip = skip

    def __call__(self, x: torch.Tensor, begin: Begin) -> torch.Tensor:
        """The block of x (B, I, H, W), which it may write over."""
        y = begin(self.first, x)
        for convolution in self.later:
            y = convolution(y)
        return self.last.into(x if self.skip is None else self.skip(x), y)


def apart(convolution: Convolution, x: torch.Tensor) -> torch.Tensor:
    """How a block begins where frames are apart from each other: with its convolution, and nothing else."""
    return convolution(x)


class ResNet:
    """The folded network without its classifier; call it with (B, H, W, 3) uint8."""

    def __init__(self, arrays: dict[str, np.ndarray], layout: Layout, device: torch.device, dtype: torch.dtype) -> None:
        from extractors.folding import Convolution, folded

        def unit(convolution: str, norm: str, stride: int = 1, relu: bool = True) -> Convolution:
            weight, bias = folded(
                arrays[f"{convolution}.weight"],
                mean=arrays[f"{norm}.running_mean"],
                var=arrays[f"{norm}.running_var"],
                eps=_EPS,
                bias=arrays[f"{norm}.bias"],
                scale=arrays[f"{norm}.weight"],
            )
            padding = (weight.shape[-1] // 2,) * 2
            return Convolution(
                weight, bias, (stride, stride), padding, "relu" if relu else "none", device=device, dtype=dtype
            )

        self.device, self.dtype = device, dtype
        std = np.array(STD)
        self._scale, self._shift = (1 / (255 * std)).astype(np.float32), (-np.array(MEAN) / std).astype(np.float32)
        self._first = unit("conv1", "bn1", 2)
        self.blocks = []
        for part in _parts(layout):
            at, strided = part.at, 2 if layout.bottleneck else 1
            convolutions = [
                unit(f"{at}.conv{n}", f"{at}.bn{n}", part.stride if n == strided else 1)
                for n in range(1, len(part.convolutions) + 1)
            ]
            skip = unit(f"{at}.downsample.0", f"{at}.downsample.1", part.stride, relu=False) if part.skip else None
            self.blocks.append(Block(convolutions, skip))

    def __call__(self, frames: np.ndarray, begin: Begin = apart) -> torch.Tensor:
        """Features of frames.

        Parameters
        ----------
        frames : (B, H, W, 3) uint8
        begin : callable
            What the first convolution of a block gives for the activations of the frames, which it leaves as they are.

        Returns
        -------
        (B, D) float32
        """
        return self.places(frames, begin).float().mean((2, 3))

    def places(self, frames: np.ndarray, begin: Begin = apart) -> torch.Tensor:
        """(B, C, H, W): what its last block gives of each place, before the mean over these."""
        x = self._stem(frames)
        for block in self.blocks:
            x = block(x, begin)
        return x

    def _stem(self, frames: np.ndarray) -> torch.Tensor:
        """(B, 64, H / 4, W / 4), channels last, of (B, H, W, 3) uint8."""
        from torch.nn import functional

        from extractors.folding import pixels

        x = pixels(frames[:, None], self._scale, self._shift, self.device, self.dtype)[:, :, 0]
        return functional.max_pool2d(self._first(x), 3, 2, 1)
