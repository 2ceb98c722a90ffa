"""The backbone of JigsawNet, trained from films, as an extractor: m clips of a video in, a feature each out.

    (B, T, H, W, 3) uint8 ─R(2+1)D, folded─▶ features (D), one row a clip; m clips a video, as it was trained

Weights are made by `zsar finetune jigsaw` and say themselves what clips they take; the head that was trained with them
lies in the same file (`zsar fit jigsaw --weights`).

Paper: Qian et al., Rethinking Zero-shot Action Recognition: Learning from Latent Atomic Actions, ECCV 2022.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors.backbone import Network
from extractors.clip_weights import ClipAbout
from extractors.r2plus1d import Layout, R2Plus1DNetwork
from extractors.sampling import Geometry, Sampling
from extractors.trained_clips import TrainedClips

if TYPE_CHECKING:
    import torch
    from torch import nn

VISUAL = "visual.network."  #: what names of the backbone's arrays begin with


class Jigsaw(TrainedClips):
    """R(2+1)D-18 of any width, trained with JigsawNet's head.

    Outputs `features` (512,) float16, one row a segment.
    """

    name = "jigsaw"
    default_sampling = Sampling(clips=8, frames=16)
    default_geometry = Geometry(resize=128, crop=112)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 32}
    first = ClipAbout("jigsaw", 64, 16, 1, 128, 112, "", 0, "", ())

    @classmethod
    def clips_of(cls, told: ClipAbout) -> Sampling:
        """As `TrainedClips.clips_of`: as many as there were segments."""
        segments = (told.architecture or {}).get("segments", cls.default_sampling.clips)
        return dataclasses.replace(super().clips_of(told), clips=segments)

    @property
    def width(self) -> int:
        """As `TrainedClips.width`."""
        return 8 * self.about.width

    def network(self) -> nn.Module:
        """As `TrainedClips.network`: the backbone alone."""
        from torch import nn

        from extractors.r2plus1d_network import R2Plus1D
        from extractors.segmented import Segmented

        return nn.ModuleDict({"visual": Segmented(R2Plus1D(self.about.width), 1)})

    def belongs(self, name: str) -> bool:
        """As `TrainedClips.belongs`: the head's are not asked about."""
        return super().belongs(name) and name.startswith(VISUAL)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        visual = {name.removeprefix(VISUAL): each for name, each in arrays.items()}
        return R2Plus1DNetwork(visual, Layout(classes=0), device, dtype)
