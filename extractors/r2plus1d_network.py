"""R(2+1)D as a network to train, in torchvision's names: what `r2plus1d.py` folds, before it is folded.

    (B, 3, T, H, W) float ─stem, 4 layers of 2 residual blocks─▶ (B, 8 w, T/8, H/16, W/16) ─mean─▶ (B, 1, 8 w)

Every convolution is a (1, 3, 3) one in space to as many planes as give both together the weights of a full one, then a
(3, 1, 1) one in time. With a width w of 64 it is the published one of 18 layers; smaller ones train on a CPU.

Paper: Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018.
"""

import torch
from torch import Tensor, nn

from extractors.recompute import recomputed

PUBLISHED_WIDTH = 64
_STEM_PLANES = 45 / 64  # between space and time in the stem, of its width


class R2Plus1D(nn.Module):
    """The network up to the mean over time and space.

    Parameters
    ----------
    width : int
        w, of the stem and the first layer; each further layer is twice as wide.
    recompute : bool
        Compute the stem and each block again on the way back, and keep nothing of them but what they are given.
    """

    def __init__(self, width: int = PUBLISHED_WIDTH, recompute: bool = False) -> None:
        super().__init__()
        self._recompute = recompute
        between = max(1, round(width * _STEM_PLANES))
        self.stem = nn.Sequential(
            nn.Conv3d(3, between, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(between),
            nn.ReLU(),
            nn.Conv3d(between, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
        )
        self.layer1 = _layer(width, width, 1)
        self.layer2 = _layer(width, 2 * width, 2)
        self.layer3 = _layer(2 * width, 4 * width, 2)
        self.layer4 = _layer(4 * width, 8 * width, 2)
        self.features = 8 * width
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, 1, 8 w): a row a clip."""
        return self.places(clips).mean((2, 3, 4))[:, None]

    def places(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, 8 w, T/8, H/16, W/16): before the mean."""
        x = clips
        for part in (self.stem, *self.layer1, *self.layer2, *self.layer3, *self.layer4):
            x = recomputed(part, x, part) if self._recompute else part(x)
        return x


def planes_between(width_in: int, width: int) -> int:
    """Planes between space and time that give both together the weights of a full 3 x 3 x 3 convolution."""
    return (width_in * width * 27) // (width_in * 9 + width * 3)


def last_stage(blocks: int, width: int, own_middle: bool, eps: float) -> nn.Sequential:
    """The fourth layer, of any published network.

    Parameters
    ----------
    blocks : residual ones
    width : w, of the first layer
    own_middle : whether the second half of a block counts its middle planes from its own width
    eps : of every BatchNorm
    """
    stage = nn.Sequential(
        _Block(4 * width, 8 * width, 2, own_middle),
        *(_Block(8 * width, 8 * width, 1, own_middle) for _ in range(blocks - 1)),
    )
    for module in stage.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = eps
    return stage


class _Factored(nn.Sequential):
    """A convolution in space, then one in time."""

    def __init__(self, width_in: int, width: int, between: int, stride: int) -> None:
        super().__init__(
            nn.Conv3d(width_in, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(between),
            nn.ReLU(),
            nn.Conv3d(between, width, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


class _Block(nn.Module):
    """A residual block of two factored convolutions."""

    def __init__(self, width_in: int, width: int, stride: int, own_middle: bool = False) -> None:
        super().__init__()
        between = planes_between(width_in, width)
        later = planes_between(width, width) if own_middle else between
        self.conv1 = nn.Sequential(_Factored(width_in, width, between, stride), nn.BatchNorm3d(width), nn.ReLU())
        self.conv2 = nn.Sequential(_Factored(width, width, later, 1), nn.BatchNorm3d(width))
        self.downsample: nn.Module | None = None
        if stride > 1 or width_in != width:
            self.downsample = nn.Sequential(nn.Conv3d(width_in, width, 1, stride, bias=False), nn.BatchNorm3d(width))

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.conv1(x)) + beside)


def _layer(width_in: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(width_in, width, stride), _Block(width, width, 1))
