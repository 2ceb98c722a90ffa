"""Frames one by one through an ImageNet ResNet: a clip in, a feature a frame out, in order of time.

    (B, 16, 224, 224, 3) uint8 ─mean, std─▶ ResNet ─mean over H, W─▶ features (B, 16, 512 or 2048)

Each frame is a row; its times are those of the equal part of the clip it stands for. The transformer of ResT reads such
features, and its own classifier is trained on them, so no logits are kept. ResT takes 16, 8 and 4 frames, every sixth,
for its three depths; here all have 16 by default. ResT trains these networks together with its transformer from random
weights; with ImageNet's weights a cache serves the frozen variant, which has seen ImageNet's classes.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition, CVPR 2022 (ResT;
implementation details). Networks and weights: torchvision's `resnet18`, `resnet34` and `resnet101`,
IMAGENET1K_V1.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import resnet, weights
from extractors.backbone import Backbone, Network, unit_rows
from extractors.base import Output
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch


class _Frames(Backbone):
    """What the depths share; a depth adds its name, outputs, layout and published file."""

    trained_on = ("ImageNet-1k",)
    default_sampling = Sampling(clips=1, frames=16, stride=6, placement="centre")
    default_geometry = Geometry(resize=256, crop=224)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 8}
    normalisation = resnet.NORMALISATION

    layout: ClassVar[resnet.Layout]

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`."""
        return weights.checked(weights.state_dict(path), resnet.shapes(self.layout), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        return resnet.random_arrays(self.layout, seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        return _Network(arrays, self.layout, device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a frame."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: features have no names."""
        return {}


class ResNet18Frames(_Frames):
    """Frame features of ResNet-18: `features` (512,) float16, one row a frame."""

    name = "resnet18_frames"
    version = 1
    outputs = {"features": Output((512,), "float16")}
    layout = resnet.RESNET18
    published = weights.Published(
        file="resnet18-f37072fd.pth", url="https://download.pytorch.org/models/resnet18-f37072fd.pth"
    )


class ResNet34Frames(_Frames):
    """Frame features of ResNet-34: `features` (512,) float16, one row a frame."""

    name = "resnet34_frames"
    version = 1
    outputs = {"features": Output((512,), "float16")}
    layout = resnet.RESNET34
    published = weights.Published(
        file="resnet34-b627a593.pth", url="https://download.pytorch.org/models/resnet34-b627a593.pth"
    )


class ResNet101Frames(_Frames):
    """Frame features of ResNet-101: `features` (2048,) float16, one row a frame."""

    name = "resnet101_frames"
    version = 1
    outputs = {"features": Output((2048,), "float16")}
    layout = resnet.RESNET101
    published = weights.Published(
        file="resnet101-63fe2227.pth", url="https://download.pytorch.org/models/resnet101-63fe2227.pth"
    )


class _Network(Network):
    """The folded network over the frames of all units."""

    def __init__(
        self, arrays: dict[str, np.ndarray], layout: resnet.Layout, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(None, device, dtype)
        self.resnet = resnet.ResNet(arrays, layout, device, dtype)

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`: a row a frame."""
        return self.resnet(units.reshape(-1, *units.shape[2:])).view(*units.shape[:2], -1)
