"""C3D as a network to train, in the names of c3d-pytorch: what `c3d.py` computes with.

    (B, 3, T, H, W) float ─8 convolutions (3, 3, 3), 5 pools─▶ (B, 8 w, T/16, H/32, W/32) ─fc6, ReLU─▶ (B, 1, 64 w)

With a width w of 64 and clips of 16 x 112 x 112 it is the published one; fc6 is connected to every place, so its size
is that of the clips. The last pool pads its pixels by one on each side.

Paper: Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, ICCV 2015.
"""

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d

from extractors.recompute import recomputed

PUBLISHED_WIDTH = 64
# name, width as a multiple of w, and the kernel of the pool behind it
_CONVOLUTIONS = (
    ("conv1", 1, (1, 2, 2)),
    ("conv2", 2, (2, 2, 2)),
    ("conv3a", 4, None),
    ("conv3b", 4, (2, 2, 2)),
    ("conv4a", 8, None),
    ("conv4b", 8, (2, 2, 2)),
    ("conv5a", 8, None),
    ("conv5b", 8, (2, 2, 2)),
)


class C3D(nn.Module):
    """The network up to fc6.

    Parameters
    ----------
    width : int
        w, of the first convolution.
    frames, size : int
        T, and H = W, of the clips.
    recompute : bool
        Compute each convolution again on the way back, and keep nothing of it but what it is given.

    Raises
    ------
    ValueError
        Clips that the pools leave nothing of.
    """

    def __init__(
        self, width: int = PUBLISHED_WIDTH, frames: int = 16, size: int = 112, recompute: bool = False
    ) -> None:
        super().__init__()
        self._recompute = recompute
        if frames < 16 or size < 32:
            raise ValueError(
                f"C3D halves time four times and space five times: give it 16 frames of 32 x 32 at least, "
                f"got {frames} of {size} x {size}."
            )
        before = 3
        for name, times, _ in _CONVOLUTIONS:
            self.add_module(name, nn.Conv3d(before, times * width, 3, padding=1))
            before = times * width
        self.features = 64 * width
        self.fc6 = nn.Linear(before * math.prod(last_places(frames, size)), self.features)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, 1, 64 w): a row a clip."""
        x = clips
        for name, _, pool in _CONVOLUTIONS:
            part = functools.partial(self._convolved, name, pool)
            x = recomputed(part, x, self) if self._recompute else part(x)
        return torch.relu(self.fc6(x.flatten(1)))[:, None]

    def _convolved(self, name: str, pool: tuple[int, int, int] | None, x: Tensor) -> Tensor:
        x = torch.relu(self.get_submodule(name)(x))
        return x if pool is None else max_pool3d(x, pool, pool, (0, 1, 1) if name == "conv5b" else 0)


def last_places(frames: int, size: int) -> tuple[int, int, int]:
    """(T, H, W): places that are left of a clip before fc6."""
    side = (size // 16 + 2) // 2
    return frames // 16, side, side
