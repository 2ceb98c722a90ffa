"""E2E's networks as extractors: clips in, their feature and their point in the space of word vectors out.

    (B, T, H, W, 3) uint8 ─R(2+1)D or C3D, trained end to end─▶ features (D) ─linear─▶ words (A)

`words` is W f + b, not of unit length: the mean over the clips of a video is then the point of their mean feature,
which is what E2E compares with the classes (25 clips, averaged before the linear layer).

Weights are made by `zsar finetune e2e_r2plus1d` and say themselves what clips they take; there are no others.

Paper: Brattoli et al., Rethinking Zero-Shot Video Classification, CVPR 2020, section 3.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors.backbone import Network
from extractors.base import Output
from extractors.c3d import C3DNetwork
from extractors.clip_weights import ClipAbout
from extractors.errors import ExtractorError
from extractors.r2plus1d import MEAN, STD, Layout, R2Plus1DNetwork
from extractors.sampling import Geometry, Sampling
from extractors.trained_clips import TrainedClips

if TYPE_CHECKING:
    import torch
    from torch import nn

_WORDS = 300  # of random weights
_SCALE = tuple(1 / (255 * std) for std in STD)
_SHIFT = tuple(-mean / std for mean, std in zip(MEAN, STD, strict=True))
_VISUAL, _POINT = "visual.", "head.regressor.linear."  # what names of arrays begin with, of the two parts


class _E2E(TrainedClips):
    """What both networks share."""

    default_sampling = Sampling(clips=25, frames=16, placement="linspace")
    default_geometry = Geometry(resize=128, crop=112)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 32}

    @abc.abstractmethod
    def visual(self) -> nn.Module:
        """The network as it is trained, whose `features` are D; ExtractorError where it cannot take the clips."""

    @abc.abstractmethod
    def folded(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """The same for computing alone."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`: as wide as the weights have it."""
        return {**super().outputs, "words": Output((self.about.text_width,), "float32")}

    def preprocessed(self) -> dict[str, Any]:
        """As `TrainedClips.preprocessed`, and the vectors that were trained towards."""
        return {**super().preprocessed(), "texts": self.about.texts}

    def network(self) -> nn.Module:
        """As `TrainedClips.network`."""
        from torch import nn

        point = nn.ModuleDict({"regressor": nn.ModuleDict({"linear": nn.Linear(self.width, self.about.text_width)})})
        return nn.ModuleDict({"visual": self.visual(), "head": point})

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        visual = {name.removeprefix(_VISUAL): each for name, each in arrays.items() if name.startswith(_VISUAL)}
        network = self.folded(visual, device, dtype)
        network.put_on((arrays[f"{_POINT}weight"].T, arrays[f"{_POINT}bias"]), "words")
        return network


class E2ER2Plus1D(_E2E):
    """R(2+1)D-18, of any width, trained end to end towards word vectors.

    Outputs `features` (512,) float16 and `words` (300,) float32, one row a clip of consecutive frames.
    """

    name = "e2e_r2plus1d"
    first = ClipAbout(name, 64, 16, 1, 128, 112, "", _WORDS, "", ())

    @property
    def width(self) -> int:
        """As `TrainedClips.width`."""
        return 8 * self.about.width

    def visual(self) -> nn.Module:
        """As `_E2E.visual`."""
        from extractors.r2plus1d_network import R2Plus1D

        return R2Plus1D(self.about.width)

    def folded(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `_E2E.folded`."""
        return R2Plus1DNetwork(arrays, Layout(classes=0), device, dtype)


class E2EC3D(_E2E):
    """C3D, of any width, trained end to end towards word vectors.

    Outputs `features` (4096,) float16, fc6 after ReLU, and `words` (300,) float32, one row a clip.
    """

    name = "e2e_c3d"
    first = ClipAbout(name, 64, 16, 1, 128, 112, "", _WORDS, "", ())

    @property
    def width(self) -> int:
        """As `TrainedClips.width`."""
        return 64 * self.about.width

    def visual(self) -> nn.Module:
        """As `_E2E.visual`; ExtractorError for clips of another size than fc6 was made for."""
        from extractors.c3d_network import C3D

        told = self.about
        asked, own = (self.sampling.frames, *self.geometry.size), (told.frames, told.crop, told.crop)
        if asked != own:
            raise ExtractorError(
                f"{self.name} has a layer that is connected to every place, so these weights take clips of {own[0]} "
                f"frames of {own[1]} x {own[2]}; got {asked[0]} of {asked[1]} x {asked[2]}. Ask for {self.name} "
                "without frames or crop."
            )
        return C3D(told.width, told.frames, told.crop)

    def folded(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `_E2E.folded`."""
        from extractors.c3d_network import last_places

        last = (8 * self.about.width, *last_places(self.about.frames, self.about.crop))
        return C3DNetwork(arrays, device, dtype, last, _SCALE, _SHIFT)
