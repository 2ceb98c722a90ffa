"""Activations of a video network below its last layers, as extractors: what a head trains those layers on.

    R(2+1)D   (B, T, H, W, 3) ─stem, layers 1 to 3─▶ maps (C, T/4, H/8, W/8)    a row a clip      `_below_stage`
                              ─and the first blocks of layer 4─▶ (2 C, T/8, H/16, W/16)           `_below_block`
    TSM       (B, 8, H, W, 3) ─likewise─▶ maps (1024, H/16, W/16), (2048, H/32, W/32)   a row a frame

Above `_below_stage` the last stage is trained, above `_below_block` the last residual block (`above`, a network of
`layers_above`). What comes out of it before it is trained is what the whole network gives, but for the rounding of the
maps to float16. Nothing is drawn: a video is the clips that its extractor takes of it, the same in each epoch.

Bytes a video, as published: R(2+1)D-18 803 kB and 201 kB, TSM 3.2 MB and 1.6 MB.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import weights
from extractors.backbone import Backbone, Network, as_stored
from extractors.base import Output
from extractors.jigsaw import VISUAL, Jigsaw
from extractors.r2plus1d import Layout, R2Plus1D18Segments, R2Plus1D34Segments, R2Plus1DNetwork
from extractors.tsm import LAYOUT as TSM_LAYOUT
from extractors.tsm import TSMNetwork, TSMResNet50

if TYPE_CHECKING:
    import torch

    from extractors.layers_above import AboveClips, AboveFrames, LayersAbove

Blocks = tuple[int, int, int, int]
MAPS = "maps"  #: the output


class Below(Backbone):
    """What all of them share.

    Attributes
    ----------
    trained : residual blocks that are left to be trained; 0: all of the last stage
    """

    trained: ClassVar[int]

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of a row."""

    @abc.abstractmethod
    def layers(self, arrays: dict[str, np.ndarray]) -> LayersAbove:
        """As `above`, of the arrays of the whole network."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`."""
        return {MAPS: Output(self.shape, "float16")}

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A row a clip, or a frame."""
        return as_stored({MAPS: units["features"].reshape(-1, *self.shape)}, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: places have no names."""
        return {}

    def above(self) -> LayersAbove:
        """The layers that are not run, to train: maps of videos in, features of their segments out.

        Raises
        ------
        WeightsMissing, BadWeights
            As `Backbone.load`.
        """
        seed = weights.random_seed(self.weights)
        return self.layers(self.read(self.weights_path()) if seed is None else self.random(seed))

    def lower(self, blocks: Blocks) -> Blocks:
        """Blocks of each stage that are run, of so many."""
        return (*blocks[:3], blocks[3] - self.trained if self.trained else 0)


class _Maps(R2Plus1DNetwork):
    """The lower layers; per unit `features` (B, C, T, H, W)."""

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`: no mean."""
        return self.places(units)


class _BelowClips(Below):
    """Of R(2+1)D."""

    layout: ClassVar[Layout]
    base: ClassVar[int] = 64

    @property
    def first_width(self) -> int:
        """w, of the first layer."""
        return self.base

    @property
    def shape(self) -> tuple[int, ...]:
        """As `Below.shape`."""
        halvings = 3 if self.trained else 2
        sides = (_halved(side, halvings + 1) for side in self.geometry.size)
        return (self.first_width << halvings, _halved(self.sampling.frames, halvings), *sides)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        blocks = self.lower(self.layout.blocks)
        lower = dataclasses.replace(self.layout, classes=0, blocks=blocks)
        return _Maps(self.named(arrays), lower, device, dtype)

    def named(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The backbone's arrays in torchvision's names."""
        return arrays

    def layers(self, arrays: dict[str, np.ndarray]) -> AboveClips:
        """As `Below.layers`."""
        from extractors.layers_above import AboveClips

        segments = isinstance(self, R2Plus1D18Segments | R2Plus1D34Segments)
        return AboveClips(self.named(arrays), self.layout, self.first_width, self.trained, segments)


class R2Plus1D18BelowStage(_BelowClips, R2Plus1D18Segments):  # type: ignore[misc]  # outputs: here of the options
    """R(2+1)D-18 trained on Kinetics-400, below its last stage; the features above are `r2plus1d_18_segments`.

    Output `maps` (256, 8, 14, 14) float16, one row a video: 32 frames spread over it.
    """

    name = "r2plus1d_18_below_stage"
    version = 1
    trained = 0


class R2Plus1D18BelowBlock(_BelowClips, R2Plus1D18Segments):  # type: ignore[misc]  # outputs: here of the options
    """R(2+1)D-18 trained on Kinetics-400, below its last residual block.

    Output `maps` (512, 4, 7, 7) float16, one row a video: 32 frames spread over it.
    """

    name = "r2plus1d_18_below_block"
    version = 1
    trained = 1


class R2Plus1D34BelowStage(_BelowClips, R2Plus1D34Segments):  # type: ignore[misc]  # outputs: here of the options
    """R(2+1)D-34 trained on IG-65M, then Kinetics-400, below its last stage.

    Output `maps` (256, 8, 14, 14) float16, one row a video: 32 frames spread over it.
    """

    name = "r2plus1d_34_below_stage"
    version = 1
    trained = 0


class R2Plus1D34BelowBlock(_BelowClips, R2Plus1D34Segments):  # type: ignore[misc]  # outputs: here of the options
    """R(2+1)D-34 trained on IG-65M, then Kinetics-400, below its last residual block.

    Output `maps` (512, 4, 7, 7) float16, one row a video: 32 frames spread over it.
    """

    name = "r2plus1d_34_below_block"
    version = 1
    trained = 1


class _BelowJigsaw(_BelowClips, Jigsaw):
    """Of a backbone that `zsar finetune jigsaw` trained, of any width."""

    layout = Layout(classes=0)

    @property
    def first_width(self) -> int:
        """As `_BelowClips.first_width`."""
        return self.about.width

    def named(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `_BelowClips.named`."""
        return {name.removeprefix(VISUAL): each for name, each in arrays.items()}


class JigsawBelowStage(_BelowJigsaw):
    """The backbone of JigsawNet, trained from films, below its last stage.

    Output `maps` (256, 4, 14, 14) float16, one row a segment of 16 frames.
    """

    name = "jigsaw_below_stage"
    trained = 0


class JigsawBelowBlock(_BelowJigsaw):
    """The backbone of JigsawNet, trained from films, below its last residual block.

    Output `maps` (512, 2, 7, 7) float16, one row a segment of 16 frames.
    """

    name = "jigsaw_below_block"
    trained = 1


class _FrameMaps(TSMNetwork):
    """The lower layers; per unit `features` (B, 8, C, H, W)."""

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`: no mean."""
        x = self.places(units).float()
        return x.view(*units.shape[:2], *x.shape[1:])


class _BelowFrames(Below, TSMResNet50):  # type: ignore[misc]  # outputs: here of the options
    """Of TSM."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As `Below.shape`."""
        halvings = 5 if self.trained else 4
        return (64 << halvings, *(_halved(side, halvings) for side in self.geometry.size))

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        lower = dataclasses.replace(TSM_LAYOUT, blocks=self.lower(TSM_LAYOUT.blocks))
        return _FrameMaps(arrays, device, dtype, lower, classes=False)

    def layers(self, arrays: dict[str, np.ndarray]) -> AboveFrames:
        """As `Below.layers`."""
        from extractors.layers_above import AboveFrames

        return AboveFrames(arrays, TSM_LAYOUT, self.trained, self.sampling.frames)


class TSMBelowStage(_BelowFrames):
    """TSM ResNet-50 trained on Kinetics-400, below its last stage; the features above are `tsm_resnet50`.

    Output `maps` (1024, 14, 14) float16, one row a frame, eight a video.
    """

    name = "tsm_resnet50_below_stage"
    version = 1
    trained = 0


class TSMBelowBlock(_BelowFrames):
    """TSM ResNet-50 trained on Kinetics-400, below its last residual block.

    Output `maps` (2048, 7, 7) float16, one row a frame, eight a video.
    """

    name = "tsm_resnet50_below_block"
    version = 1
    trained = 1


def _halved(side: int, times: int) -> int:
    """A side after so many convolutions of stride 2, each of which takes it up to the next whole number."""
    for _ in range(times):
        side = -(-side // 2)
    return side
