"""The last layers of a video network as a network to train, on activations that are there (`extractors.below`).

    R(2+1)D   maps (N, m, C, T, H, W), a row a clip ─last stage, or block─▶ mean over H, W, or T, H, W ─▶ (N, m', D)
    TSM       maps (N, m, C, H, W), a row a frame ─the same, with shifts──▶ mean over H, W ─▶ (N, m, D)

Names, shapes and arithmetic are those of the published files, BatchNorm included, which learns as the rest does: while
training it measures its batch, and remembers means and variances for judging.

Papers: Tran et al., CVPR 2018; Lin et al., TSM, ICCV 2019. JigsawNet trains the last layer of either on UCF101 and
HMDB51 (METHODS section 4).
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from extractors.r2plus1d_network import last_stage
from extractors.tsm import SHIFT_DIV

if TYPE_CHECKING:
    from extractors import r2plus1d, resnet

_STAGE = "layer4."


class LayersAbove(nn.Module, abc.ABC):
    """Residual blocks, and the mean over places.

    Attributes
    ----------
    blocks : the blocks
    width : D, of what comes out
    """

    blocks: nn.Sequential
    width: int

    @abc.abstractmethod
    def forward(self, maps: Tensor) -> Tensor:
        """(N, m, ...) -> (N, m', D)."""

    @abc.abstractmethod
    def rows(self, shape: tuple[int, ...]) -> int:
        """m', of a video whose maps are of this shape (m, ...)."""

    def load(self, arrays: Mapping[str, np.ndarray], first: int) -> None:
        """Take the arrays of the last stage from its block `first` on, in their published names."""
        found = {}
        for name, values in arrays.items():
            block, _, rest = name.removeprefix(_STAGE).partition(".")
            if name.startswith(_STAGE) and int(block) >= first:
                found[f"{int(block) - first}.{rest}"] = torch.from_numpy(values.copy())
        lacking = self.blocks.load_state_dict(found, strict=False)
        assert not lacking.unexpected_keys
        assert all("num_batches" in name for name in lacking.missing_keys)


class AboveClips(LayersAbove):
    """Of R(2+1)D.

    Parameters
    ----------
    arrays : of the network, in torchvision's names
    layout : its blocks
    width : of its first layer
    trained : blocks; 0: all of the last stage
    segments : whether time is kept, at an eighth, so that a clip gives a row for eight frames of it
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        layout: r2plus1d.Layout,
        width: int,
        trained: int,
        segments: bool,
    ) -> None:
        super().__init__()
        blocks = last_stage(layout.blocks[-1], width, layout.own_middle, layout.eps)
        first = len(blocks) - trained if trained else 0
        self.blocks, self.width = nn.Sequential(*list(blocks)[first:]), 8 * width
        self._halves, self._segments = first == 0, segments
        self.load(arrays, first)

    def forward(self, maps: Tensor) -> Tensor:
        """As `LayersAbove.forward`; (N, m, C, T, H, W) in."""
        x: Tensor = self.blocks(maps.flatten(0, 1))
        x = x.mean((3, 4)).transpose(1, 2) if self._segments else x.mean((2, 3, 4))[:, None]
        return x.reshape(len(maps), -1, self.width)

    def rows(self, shape: tuple[int, ...]) -> int:
        """As `LayersAbove.rows`."""
        m, _, time, _, _ = shape
        return m * (-(-time // 2) if self._halves else time) if self._segments else m


class AboveFrames(LayersAbove):
    """Of TSM.

    Parameters
    ----------
    arrays : of the network, in torchvision's names
    layout : its blocks
    trained : blocks; 0: all of the last stage
    frames : of a clip, among which activations are shifted
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], layout: resnet.Layout, trained: int, frames: int) -> None:
        super().__init__()
        count, width = layout.blocks[-1], layout.width
        first = count - trained if trained else 0
        self.blocks = nn.Sequential(*(_Shifted(width, frames, begins=block == 0) for block in range(first, count)))
        self.width, self._frames = width, frames
        self.load(arrays, first)

    def forward(self, maps: Tensor) -> Tensor:
        """As `LayersAbove.forward`; (N, m, C, H, W) in, m a multiple of the frames of a clip."""
        if maps.shape[1] % self._frames:
            raise ValueError(f"{maps.shape[1]} frames are no whole clips of {self._frames}")
        x: Tensor = self.blocks(maps.flatten(0, 1))
        return x.mean((2, 3)).view(*maps.shape[:2], self.width)

    def rows(self, shape: tuple[int, ...]) -> int:
        """As `LayersAbove.rows`: m."""
        return shape[0]


class _Shifted(Bottleneck):  # type: ignore[misc]  # torchvision has no types
    """A bottleneck of the last stage whose first convolution sees an eighth of either neighbour."""

    def __init__(self, width: int, frames: int, begins: bool) -> None:
        middle = width // self.expansion
        skip = None
        if begins:
            skip = nn.Sequential(nn.Conv2d(width // 2, width, 1, 2, bias=False), nn.BatchNorm2d(width))
        super().__init__(width // 2 if begins else width, middle, 2 if begins else 1, skip)
        self._frames = frames

    def forward(self, x: Tensor) -> Tensor:
        """(B T, C, H, W) -> (B T, D, H', W')."""
        beside = x if self.downsample is None else self.downsample(x)
        y = torch.relu(self.bn1(self.conv1(self._shift(x))))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + beside)

    def _shift(self, x: Tensor) -> Tensor:
        clips = x.view(-1, self._frames, *x.shape[1:])
        fold = x.shape[1] // SHIFT_DIV
        none = torch.zeros_like(clips[:, :1])
        after = torch.cat([clips[:, 1:], none], 1)[:, :, :fold]
        before = torch.cat([none, clips[:, :-1]], 1)[:, :, fold : 2 * fold]
        return torch.cat([after, before, clips[:, :, 2 * fold :]], 2).flatten(0, 1)
