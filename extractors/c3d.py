"""C3D, Sports-1M: a clip of 16 frames in, the 4,096 activations of fc6 after ReLU out.

    (B, 16, 112, 112, 3) uint8 ─▶ 8 convolutions (3, 3, 3), 5 pools ─▶ (B, 512, 1, 4, 4) ─fc6, ReLU─▶ features (4096)

Every convolution has a bias and a ReLU and no normalisation. Pools take the largest of (1, 2, 2) after conv1 and of
(2, 2, 2) after conv2, conv3b, conv4b and conv5b; the last one pads its 7 x 7 pixels by one on each side, which makes
4 x 4 of them. fc7 and fc8 of the file (487 sports) are not computed. The arithmetic of a clip is 77.1 GFLOP.

Paper: Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, ICCV 2015. Weights: `c3d.pickle` of
c3d-pytorch, a conversion of the authors' Caffe file, published without a digest. It does not say what it was converted
with; what is known of its input comes from c3d-pytorch's own prediction script: RGB, values 0 to 255, no mean taken
off. That is what is done here. The Caffe network took the mean of its training clips off; E2E fed this very file with
the values it fed R(2+1)D (0 to 1, then mean and deviation of Kinetics), which is not done here, so the C3D rows of
E2E's tables are not those of these features. Frames are resized to 128 x 171, as the paper's were.

Activations follow values of 0 to 255, so they are larger than another network's: float16 holds up to 65,504, and a row
beyond that is a failure of its item, never a wrong number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import weights
from extractors.backbone import Backbone, Network, unit_rows
from extractors.base import Output
from extractors.errors import ExtractorError
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

    from extractors.folding import Convolution

_Pool = tuple[tuple[int, int, int], tuple[int, int, int]]
_FEATURES = 4096
_FRAMES, _SIDE = 16, 112
# name, width, and the kernel and padding of the pool behind it
_CONVOLUTIONS: tuple[tuple[str, int, _Pool | None], ...] = (
    ("conv1", 64, ((1, 2, 2), (0, 0, 0))),
    ("conv2", 128, ((2, 2, 2), (0, 0, 0))),
    ("conv3a", 256, None),
    ("conv3b", 256, ((2, 2, 2), (0, 0, 0))),
    ("conv4a", 512, None),
    ("conv4b", 512, ((2, 2, 2), (0, 0, 0))),
    ("conv5a", 512, None),
    ("conv5b", 512, ((2, 2, 2), (0, 1, 1))),
)
_EARLY = 4  # of them, whose results are larger than their weights
_LAST = (512, 1, 4, 4)  # what fc6 sees


class C3D(Backbone):
    """C3D trained on Sports-1M.

    Output `features` (4096,) float16, fc6 after ReLU, one row a clip of 16 consecutive frames.
    """

    trained_on = ("Sports-1M",)
    name = "c3d"
    version = 1
    outputs = {"features": Output((_FEATURES,), "float16")}
    default_sampling = Sampling(clips=8, frames=_FRAMES, placement="centre", min_frames=2)
    default_geometry = Geometry(resize=(128, 171), crop=_SIDE)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 32}
    normalisation = "x"
    published = weights.Published("c3d.pickle", "http://imagelab.ing.unimore.it/files/c3d_pytorch/c3d.pickle")

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`; fc7 and fc8 are left out."""
        arrays = weights.state_dict(path)
        kept = {name: value for name, value in arrays.items() if not name.startswith(("fc7.", "fc8."))}
        return weights.checked(kept, shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        return random_arrays(seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`; raises ExtractorError for clips of another size than fc6 was made for."""
        if (self.sampling.frames, *self.geometry.size) != (_FRAMES, _SIDE, _SIDE):
            height, width = self.geometry.size
            raise ExtractorError(
                f"{self.name} has a layer that is connected to every place, so it takes clips of {_FRAMES} frames of "
                f"{_SIDE} x {_SIDE}; got {self.sampling.frames} of {height} x {width}. Ask for {self.name} without "
                "frames or geometry."
            )
        return C3DNetwork(arrays, device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a clip."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: fc6 has no names."""
        return {}


def shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that is computed with."""
    out: dict[str, tuple[int, ...]] = {}
    width_in = 3
    for name, width, _ in _CONVOLUTIONS:
        out |= {f"{name}.weight": (width, width_in, 3, 3, 3), f"{name}.bias": (width,)}
        width_in = width
    return out | {"fc6.weight": (_FEATURES, int(np.prod(_LAST))), "fc6.bias": (_FEATURES,)}


def random_arrays(seed: int) -> dict[str, np.ndarray]:
    """Seeded random arrays of these names and shapes."""
    wanted = shapes()
    fan_in = {name: int(np.prod(shape[1:])) for name, shape in wanted.items() if len(shape) > 1}
    return weights.random_arrays(wanted, seed, fan_in)


class C3DNetwork(Network):
    """The network up to fc6; call it with (B, 16, 112, 112, 3) uint8, or with clips of the size fc6 was made for.

    Parameters
    ----------
    arrays, device, dtype : as `Network`
    last : what fc6 sees of a clip, (planes, T, H, W)
    scale, shift : of each channel's values
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        device: torch.device,
        dtype: torch.dtype,
        last: tuple[int, int, int, int] = _LAST,
        scale: Sequence[float] = (1, 1, 1),
        shift: Sequence[float] = (0, 0, 0),
    ) -> None:
        from extractors.folding import Convolution

        def unit(name: str, weight: np.ndarray, padding: int) -> Convolution:
            return Convolution(weight, arrays[f"{name}.bias"], (1,) * 3, (padding,) * 3, device=device, dtype=dtype)

        super().__init__(None, device, dtype)
        self._scale, self._shift = np.array(scale, np.float32), np.array(shift, np.float32)
        self.convolutions = [(unit(name, arrays[f"{name}.weight"], 1), pool) for name, _, pool in _CONVOLUTIONS]
        # over all it sees, a fully connected layer is a convolution of one output place
        self.fc6 = unit("fc6", arrays["fc6.weight"].reshape(-1, *last), 0)

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`."""
        import torch

        from extractors.folding import in_parts, pixels

        x = pixels(units, self._scale, self._shift, self.device, self.dtype)
        x = torch.cat([self._through(part, *self.convolutions[:_EARLY]) for part in in_parts(x)])
        return self.fc6(self._through(x, *self.convolutions[_EARLY:])).float().flatten(1)

    @staticmethod
    def _through(x: torch.Tensor, *layers: tuple[Convolution, _Pool | None]) -> torch.Tensor:
        """Convolutions, each with the pool behind it."""
        from torch.nn.functional import max_pool3d

        for convolution, pool in layers:
            x = convolution(x)
            if pool is not None:
                kernel, padding = pool
                x = max_pool3d(x, kernel, kernel, padding)
        return x
