"""Objects seen in a video, of ImageNet-21k: eight frames in, the 20 likeliest labels, their scores and a feature out.

    (B, 8, 224, 224, 3) uint8 ─[-1, 1]─▶ BiT-M R50x1 ─mean over H, W, then over frames─▶ features (2048)
    features ─linear─▶ logits (21843) ─▶ the 20 best: ids (20), scores (20)

The published code averages the logits of the frames; the classifier is linear, so they are the logits of the averaged
feature, and its 179 MB of weights are read once a video and not once a frame.

A score is the sigmoid of a mean logit: so the published code of ER has it, and with sigmoids BiT-M was trained.

The network is ResNet-50 with the stride in the 3 x 3 convolution and, before each convolution, GroupNorm (32 groups,
eps 1e-5) and ReLU. What a block adds to is its raw input, or where the width changes a convolution of its normalised
one. Every kernel is standardised, w' = (w - mean) / sqrt(var + 1e-8) over the inputs of an output channel; that is done
once, in float64. The stem has no normalisation; before its max pool there are zeros around the image.

Paper: Kolesnikov et al., Big Transfer (BiT): General Visual Representation Learning, ECCV 2020. Weights and names of
arrays: timm's `resnetv2_50x1_bit.goog_in21k`, a conversion of Google's BiT-M-R50x1.npz.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import imagenet21k, top_labels, weights
from extractors.backbone import Backbone, Network
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

    from extractors.folding import Convolution

_CLASSES = 21843
_FEATURES = 2048
_STEM = 64
_BLOCKS = (3, 4, 6, 3)
_GROUPS = 32
_NORM_EPS = 1e-5
_KERNEL_EPS = 1e-8
_SCALE = np.full(3, 1 / 127.5, np.float32)
_SHIFT = np.full(3, -1, np.float32)


class BiTObjects(Backbone):
    """The objects BiT-M R50x1 sees in a video, of the 21,843 labels of ImageNet-21k.

    Outputs, one row a video: `ids` (20,) int32, best first; `scores` (20,) float16, sigmoid of the mean logit;
    `features` (2048,) float16, averaged over the frames. Labels are discrete, so it computes in fp32 only.
    """

    trained_on = ("ImageNet-21k",)
    name = "bit_objects"
    version = 1
    outputs = top_labels.outputs(_FEATURES)
    default_sampling = Sampling(clips=1, frames=8, placement="spread")
    default_geometry = Geometry(resize=256, crop=224)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 8}
    normalisation = "x / 127.5 - 1"
    precisions = ("fp32",)
    published = weights.Published(
        file="resnetv2_50x1_bit.goog_in21k.safetensors",
        url="https://huggingface.co/timm/resnetv2_50x1_bit.goog_in21k/resolve/main/model.safetensors",
    )

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`; a safetensors file."""
        return weights.checked(weights.safetensors(path), shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        return random_arrays(seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        return _Network(arrays, device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a video."""
        return top_labels.rows(units, self.outputs, top_labels.sigmoid)

    def columns(self) -> dict[str, list[str]]:
        """Names of the 21,843 labels: `ids` are places in this list."""
        return {"ids": list(imagenet21k.names())}


@dataclasses.dataclass(frozen=True)
class _Part:
    """One residual block: its name, widths in, within and out, and stride."""

    at: str
    width_in: int
    middle: int
    width: int
    stride: int

    @property
    def first(self) -> bool:
        """Whether it is the first of its stage, which changes the width."""
        return self.width_in != self.width


def _parts() -> Iterator[_Part]:
    width_in = _STEM
    for stage, blocks in enumerate(_BLOCKS):
        middle = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and block == 0 else 1
            yield _Part(f"stages.{stage}.blocks.{block}", width_in, middle, 4 * middle, stride)
            width_in = 4 * middle


def shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of the published file."""
    out: dict[str, tuple[int, ...]] = {"stem.conv.weight": (_STEM, 3, 7, 7)}
    for part in _parts():
        if part.first:
            out[f"{part.at}.downsample.conv.weight"] = (part.width, part.width_in, 1, 1)
        sizes = ((part.middle, part.width_in, 1), (part.middle, part.middle, 3), (part.width, part.middle, 1))
        for n, (width, width_in, kernel) in enumerate(sizes, start=1):
            out |= {f"{part.at}.norm{n}.{kind}": (width_in,) for kind in ("weight", "bias")}
            out[f"{part.at}.conv{n}.weight"] = (width, width_in, kernel, kernel)
    out |= {f"norm.{kind}": (_FEATURES,) for kind in ("weight", "bias")}
    out["head.fc.weight"] = (_CLASSES, _FEATURES, 1, 1)
    out["head.fc.bias"] = (_CLASSES,)
    return out


def random_arrays(seed: int) -> dict[str, np.ndarray]:
    """Seeded random arrays of the published layout."""
    wanted = shapes()
    fan_in = {name: int(np.prod(shape[1:])) for name, shape in wanted.items() if len(shape) > 1}
    return weights.random_arrays(wanted, seed, fan_in)


def standardised(weight: np.ndarray) -> np.ndarray:
    """A kernel (O, I, h, w) float32 with mean 0 and variance 1 over the inputs of each output, computed in float64."""
    exact = weight.astype(np.float64)
    centred = exact - exact.mean((1, 2, 3), keepdims=True)
    deviation = np.sqrt(exact.var((1, 2, 3), keepdims=True) + _KERNEL_EPS)
    return np.asarray(centred / deviation, np.float32)


class _Norm:
    """GroupNorm, then ReLU."""

    def __init__(self, arrays: dict[str, np.ndarray], at: str, device: torch.device) -> None:
        import torch

        self.weight, self.bias = (torch.from_numpy(arrays[f"{at}.{kind}"]).to(device) for kind in ("weight", "bias"))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), channels last, to the same."""
        from torch.nn import functional

        return functional.group_norm(x, _GROUPS, self.weight, self.bias, _NORM_EPS).relu_()


class _Block:
    """A residual block; a first one has a convolution on its skip, too."""

    def __init__(
        self, norms: tuple[_Norm, _Norm, _Norm], convolutions: list[Convolution], skip: Convolution | None
    ) -> None:
        self.norms, self.convolutions, self.skip = norms, convolutions, skip

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(B, I, H, W) to (B, O, H, W), channels last; x may be written over."""
        y = self.norms[0](x)
        if self.skip is not None:
            x = self.skip(y)
        y = self.norms[1](self.convolutions[0](y))
        y = self.norms[2](self.convolutions[1](y))
        return self.convolutions[2].into(x, y)


class _Network(Network):
    """The network with standardised kernels; call it with (B, T, H, W, 3) uint8."""

    def __init__(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> None:
        from extractors.folding import Convolution

        def convolution(name: str, stride: int = 1) -> Convolution:
            weight = standardised(arrays[f"{name}.weight"])
            bias, padding = np.zeros(len(weight), np.float32), weight.shape[-1] // 2
            return Convolution(weight, bias, (stride, stride), (padding, padding), "none", device=device, dtype=dtype)

        super().__init__((arrays["head.fc.weight"][:, :, 0, 0].T, arrays["head.fc.bias"]), device, dtype)
        self.stem = convolution("stem.conv", 2)
        self.blocks = []
        for part in _parts():
            norm1, norm2, norm3 = (_Norm(arrays, f"{part.at}.norm{n}", device) for n in (1, 2, 3))
            convolutions = [convolution(f"{part.at}.conv{n}", part.stride if n == 2 else 1) for n in (1, 2, 3)]
            skip = convolution(f"{part.at}.downsample.conv", part.stride) if part.first else None
            self.blocks.append(_Block((norm1, norm2, norm3), convolutions, skip))
        self.norm = _Norm(arrays, "norm", device)

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`: a unit of several frames is their mean."""
        from torch.nn import functional

        from extractors.folding import pixels

        frames = units.reshape(-1, 1, *units.shape[2:])
        x = self.stem(pixels(frames, _SCALE, _SHIFT, self.device, self.dtype)[:, :, 0])
        x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x).mean((2, 3)).view(*units.shape[:2], -1).mean(1)
