"""R(2+1)D, Kinetics-400: a clip in, 512 features and 400 logits out.

    (B, 16, 112, 112, 3) uint8 ─mean, std─▶ stem, 4 layers of residual blocks ─mean over T, H, W─▶ features (512)
                                                                                 features ─linear─▶ logits (400)

Every convolution is a (1, 3, 3) one in space, then a (3, 1, 1) one in time, with BatchNorm and ReLU between and after.
The arithmetic of one clip of 16 x 112 x 112 is 81.0 GFLOP (2 a multiply-add).

Paper: Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018. Layout and weights:
torchvision's `r2plus1d_18`, KINETICS400_V1. A deeper network of this layout is one more class with its `Layout`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import weights
from extractors.backbone import Backbone, Network, unit_rows
from extractors.base import Output
from extractors.class_names import KINETICS_400, class_names
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

    from extractors.folding import Convolution

_MEAN = (0.43216, 0.394666, 0.37645)
_STD = (0.22803, 0.22145, 0.216989)
_FEATURES = 512


@dataclasses.dataclass(frozen=True)
class Layout:
    """A published R(2+1)D network.

    Parameters
    ----------
    blocks : 4 int
        Residual blocks a layer.
    classes : int
    eps : float
        Of every BatchNorm.
    own_middle : bool
        Whether the second half of a block counts its middle planes from its own width (the 34-layer files) or shares
        those of the first half (torchvision). They differ in the first block of layers 2, 3 and 4.
    """

    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    classes: int = 400
    eps: float = 1e-5
    own_middle: bool = False


class _R2Plus1D(Backbone):
    """What the depths share; a depth adds its name, outputs, layout and published file."""

    default_geometry = Geometry(resize=(128, 171), crop=112)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 32}
    normalisation = f"(x / 255 - {_MEAN}) / {_STD}"

    layout: ClassVar[Layout]

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`."""
        return weights.checked(weights.state_dict(path), shapes(self.layout), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        return random_arrays(self.layout, seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        return R2Plus1DNetwork(arrays, self.layout, device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a clip."""
        return unit_rows(units, self.outputs)


class R2Plus1D18(_R2Plus1D):
    """R(2+1)D-18 trained on Kinetics-400.

    Outputs `features` (512,) and `logits` (400,) float16, one row a clip of 16 frames, every fourth of the video.
    """

    name = "r2plus1d_18"
    version = 1
    outputs: ClassVar[dict[str, Output]] = {
        "features": Output((_FEATURES,), "float16"),
        "logits": Output((400,), "float16"),
    }
    default_sampling = Sampling(clips=8, frames=16, stride=4, placement="centre", min_frames=2)
    layout = Layout()
    published = weights.Published(
        file="r2plus1d_18-91a641e6.pth", url="https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth"
    )

    def columns(self) -> dict[str, list[str]]:
        """Names of the 400 classes of `logits`."""
        return {"logits": list(class_names(KINETICS_400))}


def random_arrays(layout: Layout, seed: int) -> dict[str, np.ndarray]:
    """Seeded random arrays of the published layout."""
    wanted = shapes(layout)
    fan_in = {name: int(np.prod(shape[1:])) for name, shape in wanted.items() if len(shape) > 1}
    return weights.random_arrays(wanted, seed, fan_in)


def shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a published network, as torchvision names them."""
    out: dict[str, tuple[int, ...]] = {}

    def add(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        out[f"{convolution}.weight"] = shape
        out.update({f"{norm}.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")})

    add("stem.0", "stem.1", (45, 3, 1, 7, 7))
    add("stem.3", "stem.4", (64, 45, 3, 1, 1))
    width_in = 64
    for layer, blocks in enumerate(layout.blocks, start=1):
        width = 32 << layer
        for block in range(blocks):
            at = f"layer{layer}.{block}"
            middle = _middle(width_in, width)
            for half, inputs in (("conv1", width_in), ("conv2", width)):
                if half == "conv2" and layout.own_middle:
                    middle = _middle(width, width)
                add(f"{at}.{half}.0.0", f"{at}.{half}.0.1", (middle, inputs, 1, 3, 3))
                add(f"{at}.{half}.0.3", f"{at}.{half}.1", (width, middle, 3, 1, 1))
            if width_in != width:
                add(f"{at}.downsample.0", f"{at}.downsample.1", (width, width_in, 1, 1, 1))
            width_in = width
    out["fc.weight"] = (layout.classes, _FEATURES)
    out["fc.bias"] = (layout.classes,)
    return out


def _middle(width_in: int, width: int) -> int:
    """Planes between space and time that give both together the weights of a full 3 x 3 x 3 convolution."""
    return (width_in * width * 27) // (width_in * 9 + width * 3)


class R2Plus1DNetwork(Network):
    """The folded network; call it with (B, T, H, W, 3) uint8."""

    def __init__(self, arrays: dict[str, np.ndarray], layout: Layout, device: torch.device, dtype: torch.dtype) -> None:

        from extractors.folding import Convolution, folded

        def unit(convolution: str, norm: str, stride: tuple[int, int, int], relu: bool = True) -> Convolution:
            weight, bias = folded(
                arrays[f"{convolution}.weight"],
                mean=arrays[f"{norm}.running_mean"],
                var=arrays[f"{norm}.running_var"],
                eps=layout.eps,
                bias=arrays[f"{norm}.bias"],
                scale=arrays[f"{norm}.weight"],
            )
            padding = tuple(size // 2 for size in weight.shape[2:])
            return Convolution(weight, bias, stride, padding, "relu" if relu else "none", device=device, dtype=dtype)

        def halves(at: str, stride: int) -> tuple[Convolution, Convolution]:
            space = unit(f"{at}.0.0", f"{at}.0.1", (1, stride, stride))
            return space, unit(f"{at}.0.3", f"{at}.1", (stride, 1, 1))

        super().__init__((arrays["fc.weight"].T, arrays["fc.bias"]), device, dtype)
        self.stem = (unit("stem.0", "stem.1", (1, 2, 2)), unit("stem.3", "stem.4", (1, 1, 1)))
        self.blocks: list[tuple[Convolution, Convolution, Convolution, Convolution, Convolution | None]] = []
        for layer, blocks in enumerate(layout.blocks, start=1):
            for block in range(blocks):
                at, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
                skip = (
                    unit(f"{at}.downsample.0", f"{at}.downsample.1", (stride,) * 3, relu=False) if stride > 1 else None
                )
                self.blocks.append((*halves(f"{at}.conv1", stride), *halves(f"{at}.conv2", 1), skip))

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`."""
        from extractors.folding import pixels

        std = np.array(_STD)
        scale, shift = 1 / (255 * std), -np.array(_MEAN) / std
        x = pixels(units, scale.astype(np.float32), shift.astype(np.float32), self.device, self.dtype)
        for convolution in self.stem:
            x = convolution(x)
        for space1, time1, space2, time2, skip in self.blocks:
            x = time2(space2(time1(space1(x))), add=x if skip is None else skip(x))
        return x.float().mean((2, 3, 4))
