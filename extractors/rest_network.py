"""ResT's network as it is asked about videos: frames, and what sums them up, without the words it was trained with.

    (B, 3, T, H, W) ─frame encoder─▶ (B, T, p) ─transformer, or an RNN or LSTM─▶ x (B, D)

Its arrays are called as `zsar finetune rest` writes them: `visual.` the encoder, `head.network.` the rest.

Paper: Lin et al., CVPR 2022, equations 7 to 9.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from extractors.frame_encoders import FrameEncoder

_STREAMS = {"rnn": nn.RNN, "lstm": nn.LSTM}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What the layers follow from.

    Attributes
    ----------
    backbone, width : of the frames, as `FrameEncoder` takes them
    sequence : `transformer`, `rnn` or `lstm`
    hidden_size, depth, heads : D, layers, heads of attention
    frames : of a clip

    Raises
    ------
    ValueError, TypeError
        A size that is none.
    """

    backbone: str
    width: int
    sequence: str
    hidden_size: int
    depth: int
    heads: int
    frames: int

    def __post_init__(self) -> None:
        sizes = (self.width, self.hidden_size, self.depth, self.heads, self.frames)
        if not all(isinstance(size, int) and 0 < size <= 1 << 16 for size in sizes):
            raise ValueError(f"sizes of {sizes}")
        if self.sequence not in ("transformer", *_STREAMS) or self.hidden_size % self.heads:
            raise ValueError(f"{self.sequence} of {self.hidden_size} with {self.heads} heads")

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> "Architecture":
        """As weights tell it."""
        return cls(**(told or {}))


class VideoNetwork(nn.Module):
    """The network of videos alone.

    Parameters
    ----------
    architecture : Architecture
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        own, size = architecture, architecture.hidden_size
        self.visual = FrameEncoder(own.backbone, own.width)
        self.head = nn.ModuleDict({"network": _summing(own, self.visual.features, self.visual.tokens(own.frames))})
        self.features = size

    def tokens(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, tokens, p)."""
        tokens: Tensor = self.visual(clips)
        return tokens

    def summed(self, tokens: Tensor) -> Tensor:
        """(B, tokens, p) -> x (B, D)."""
        x: Tensor = self.head["network"](tokens)
        return x


def _summing(own: Architecture, width: int, tokens: int) -> nn.Module:
    if own.sequence == "transformer":
        return _Transformer(width, tokens, own.hidden_size, own.depth, own.heads)
    return _Stream(_STREAMS[own.sequence], width, own.hidden_size)


class _Transformer(nn.Module):
    def __init__(self, width: int, tokens: int, size: int, depth: int, heads: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, size)
        self.cls = nn.Parameter(torch.zeros(size))
        self.positions = nn.Parameter(torch.zeros(1 + tokens, size))
        layers = [
            nn.TransformerEncoderLayer(size, heads, 4 * size, 0.0, "gelu", batch_first=True) for _ in range(depth)
        ]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(size)

    def forward(self, tokens: Tensor) -> Tensor:
        z = torch.cat([self.cls.expand(len(tokens), 1, -1), self.project(tokens)], 1) + self.positions
        for layer in self.layers:
            z = layer(z)
        normed: Tensor = self.norm(z[:, 0])
        return normed


class _Stream(nn.Module):
    def __init__(self, kind: type[nn.RNN] | type[nn.LSTM], width: int, size: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, size)
        self.visual = kind(size, size, batch_first=True)
        self.norm = nn.LayerNorm(size)

    def forward(self, tokens: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.visual(self.project(tokens))[0][:, -1])
        return normed
