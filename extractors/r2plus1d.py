"""R(2+1)D of 18 and 34 layers: a clip in, 512 features out, and 400 logits where it was trained on Kinetics-400.

    (B, T, 112, 112, 3) uint8 ─mean, std─▶ stem, 4 layers of residual blocks ─▶ (B, 512, T/8, 7, 7)
    a clip:    ─mean over T, H, W─▶ features (512) ─linear─▶ logits (400)
    segments:  ─mean over H, W─▶ features (T/8, 512), each of an equal part of the clip

Every convolution is a (1, 3, 3) one in space, then a (3, 1, 1) one in time, with BatchNorm and ReLU between and after.
The arithmetic of one clip of 16 x 112 x 112 is 81.0 GFLOP with 18 layers (2 a multiply-add).

Papers: Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018; Ghadiyaram et al.,
Large-scale weakly-supervised pre-training for video action recognition, CVPR 2019 (IG-65M). Segments are those of
JigsawNet, which takes one clip of 32 frames spread over the whole video and gets 4 of them. Layout and weights: 18
layers, torchvision's `r2plus1d_18`, KINETICS400_V1; 34 layers, release v1.0.0 of ig65m-pytorch (MIT), conversions of
the authors' Caffe2 files, whose own extraction normalises as torchvision does and resizes the shorter side to 128.
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
from extractors.errors import ExtractorError
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

    from extractors.folding import Convolution

MEAN = (0.43216, 0.394666, 0.37645)  #: of Kinetics' pixels, as torchvision has it
STD = (0.22803, 0.22145, 0.216989)
_FEATURES = 512
_FRAMES_A_SEGMENT = 8
_KINETICS = weights.Published(
    file="r2plus1d_18-91a641e6.pth", url="https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth"
)


def _ig65m(file: str) -> weights.Published:
    release = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0"
    return weights.Published(file, f"{release}/{file}")


# by the frames of the clips they were trained on
_IG65M = {
    8: _ig65m("r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae.pth"),
    32: _ig65m("r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth"),
}
_IG65M_KINETICS = {
    8: _ig65m("r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth"),
    32: _ig65m("r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth"),
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """A published R(2+1)D network.

    Parameters
    ----------
    blocks : 4 int
        Residual blocks a layer.
    classes : int
        Of the classifier; 0 where it is not used: then a file may have one for any number of classes.
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


_LAYOUT_18 = Layout()
_LAYOUT_34 = Layout(blocks=(3, 4, 6, 3), eps=1e-3, own_middle=True)
_CLIP: dict[str, Output] = {"features": Output((_FEATURES,), "float16")}
_CLIP_AND_CLASSES: dict[str, Output] = {**_CLIP, "logits": Output((_LAYOUT_18.classes,), "float16")}
# a batch of 4 short clips reads the last layers' weights once for 4 of them: 5 % faster than one by one; of long clips
# one is enough
_SHORT: dict[str, int] = {"cpu": 4, "cuda": 32}
_LONG: dict[str, int] = {"cpu": 1, "cuda": 16}
_SPREAD = Sampling(clips=1, frames=32, placement="spread", min_frames=2)


class _R2Plus1D(Backbone):
    """What depths and modes share; each adds its name, outputs, layout and published files."""

    trained_on: ClassVar[tuple[str, ...]] = ("Kinetics-400",)
    default_geometry = Geometry(resize=(128, 171), crop=112)
    normalisation = f"(x / 255 - {MEAN}) / {STD}"

    layout: ClassVar[Layout]
    #: a row a segment of 8 frames in place of a row a clip
    segments: ClassVar[bool] = False

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`."""
        arrays = weights.state_dict(path)
        if not self.layout.classes:
            arrays = {name: value for name, value in arrays.items() if not name.startswith("fc.")}
        return weights.checked(arrays, shapes(self.layout), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        return random_arrays(self.layout, seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`; raises ExtractorError if a clip cannot be cut into segments."""
        if self.segments and self.sampling.frames % _FRAMES_A_SEGMENT:
            raise ExtractorError(
                f"{self.name} gives a row for each {_FRAMES_A_SEGMENT} frames of a clip, so it needs a multiple of "
                f"{_FRAMES_A_SEGMENT}; got {self.sampling.frames}. Ask for {self.name}:frames=32, say."
            )
        return R2Plus1DNetwork(arrays, self.layout, device, dtype, self.segments)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a clip, or one a segment."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """Names of the 400 classes of `logits`, where they are stored."""
        return {"logits": list(class_names(KINETICS_400))} if "logits" in self.outputs else {}


class _R2Plus1D34(_R2Plus1D):
    """34 layers: published in a file for clips of 8 frames and one for clips of 32."""

    files: ClassVar[dict[int, weights.Published]]

    @property
    def published(self) -> weights.Published:
        """As `Backbone.published`."""
        if self.sampling.frames not in self.files:
            choices = " or ".join(f"{self.name}:frames={frames}" for frames in self.files)
            raise ExtractorError(
                f"{self.name} has published weights for clips of {' and '.join(map(str, self.files))} frames, got "
                f"frames={self.sampling.frames}. Ask for {choices}, or give weights for your own number of frames "
                f"(--weights {self.name}=PATH, or {self.name}=random:SEED)."
            )
        return self.files[self.sampling.frames]


class R2Plus1D18(_R2Plus1D):
    """R(2+1)D-18 trained on Kinetics-400.

    Outputs `features` (512,) and `logits` (400,) float16, one row a clip of 16 frames, every fourth of the video.
    """

    name = "r2plus1d_18"
    version = 1
    outputs = _CLIP_AND_CLASSES
    default_sampling = Sampling(clips=8, frames=16, stride=4, placement="centre", min_frames=2)
    batch_units: ClassVar[dict[str, int]] = _SHORT
    layout = _LAYOUT_18
    published = _KINETICS


class R2Plus1D18Segments(_R2Plus1D):
    """R(2+1)D-18 trained on Kinetics-400, without its pooling over time.

    Output `features` (512,) float16, 4 rows a video, one a quarter of 32 frames spread over it (JigsawNet).
    """

    name = "r2plus1d_18_segments"
    version = 1
    outputs = _CLIP
    default_sampling = _SPREAD
    batch_units: ClassVar[dict[str, int]] = _LONG
    layout = dataclasses.replace(_LAYOUT_18, classes=0)
    segments = True
    published = _KINETICS


class R2Plus1D34(_R2Plus1D34):
    """R(2+1)D-34 trained on IG-65M, then Kinetics-400.

    Outputs `features` (512,) and `logits` (400,) float16, one row a clip of 32 consecutive frames. The option
    `frames=8` takes the file that was trained on clips of 8.
    """

    trained_on = ("IG-65M", "Kinetics-400")
    name = "r2plus1d_34"
    version = 1
    outputs = _CLIP_AND_CLASSES
    default_sampling = Sampling(clips=4, frames=32, placement="centre", min_frames=2)
    batch_units: ClassVar[dict[str, int]] = _LONG
    layout = _LAYOUT_34
    files = _IG65M_KINETICS


class R2Plus1D34IG65M(_R2Plus1D34):
    """R(2+1)D-34 trained on IG-65M alone; the names of its classes were never published, so it stores no logits.

    Output `features` (512,) float16, one row a clip of 32 consecutive frames; `frames=8` as in `R2Plus1D34`.
    """

    trained_on = ("IG-65M",)
    name = "r2plus1d_34_ig65m"
    version = 1
    outputs = _CLIP
    default_sampling = Sampling(clips=4, frames=32, placement="centre", min_frames=2)
    batch_units: ClassVar[dict[str, int]] = _LONG
    layout = dataclasses.replace(_LAYOUT_34, classes=0)
    files = _IG65M


class R2Plus1D34Segments(_R2Plus1D34):
    """R(2+1)D-34 trained on IG-65M, then Kinetics-400, without its pooling over time.

    Output `features` (512,) float16, 4 rows a video, one a quarter of 32 frames spread over it (JigsawNet).
    """

    trained_on = ("IG-65M", "Kinetics-400")
    name = "r2plus1d_34_segments"
    version = 1
    outputs = _CLIP
    default_sampling = _SPREAD
    batch_units: ClassVar[dict[str, int]] = _LONG
    layout = dataclasses.replace(_LAYOUT_34, classes=0)
    segments = True
    files = _IG65M_KINETICS


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
    if layout.classes:
        out["fc.weight"] = (layout.classes, _FEATURES)
        out["fc.bias"] = (layout.classes,)
    return out


def _middle(width_in: int, width: int) -> int:
    """Planes between space and time that give both together the weights of a full 3 x 3 x 3 convolution."""
    return (width_in * width * 27) // (width_in * 9 + width * 3)


_Block = tuple["Convolution", "Convolution", "Convolution", "Convolution", "Convolution | None"]


class R2Plus1DNetwork(Network):
    """The folded network; call it with (B, T, H, W, 3) uint8. With `segments` it keeps time, at an eighth."""

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        layout: Layout,
        device: torch.device,
        dtype: torch.dtype,
        segments: bool = False,
    ) -> None:

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

        super().__init__((arrays["fc.weight"].T, arrays["fc.bias"]) if layout.classes else None, device, dtype)
        self.segments = segments
        self.early = sum(layout.blocks[:2])
        self.stem = (unit("stem.0", "stem.1", (1, 2, 2)), unit("stem.3", "stem.4", (1, 1, 1)))
        self.blocks: list[_Block] = []
        for layer, blocks in enumerate(layout.blocks, start=1):
            for block in range(blocks):
                at, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
                skip = (
                    unit(f"{at}.downsample.0", f"{at}.downsample.1", (stride,) * 3, relu=False) if stride > 1 else None
                )
                self.blocks.append((*halves(f"{at}.conv1", stride), *halves(f"{at}.conv2", 1), skip))

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`."""
        x = self.places(units)
        return x.mean((3, 4)).transpose(1, 2) if self.segments else x.mean((2, 3, 4))

    def places(self, units: np.ndarray) -> torch.Tensor:
        """(B, C, T, H, W) float32: what its last block gives of each place."""
        import torch

        from extractors.folding import in_parts, pixels

        std = np.array(STD)
        scale, shift = 1 / (255 * std), -np.array(MEAN) / std
        x = pixels(units, scale.astype(np.float32), shift.astype(np.float32), self.device, self.dtype)
        x = torch.cat([_through(self.blocks[: self.early], self._stem(part)) for part in in_parts(x)])
        return _through(self.blocks[self.early :], x).float()

    def _stem(self, x: torch.Tensor) -> torch.Tensor:
        space, time = self.stem
        return time(space(x))


def _through(blocks: list[_Block], x: torch.Tensor) -> torch.Tensor:
    """Residual blocks, one after the other."""
    for space1, time1, space2, time2, skip in blocks:
        x = time2(space2(time1(space1(x))), add=x if skip is None else skip(x))
    return x
