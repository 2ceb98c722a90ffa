"""TSM ResNet-50, Kinetics-400: eight frames of a video in, a feature and logits a frame out.

    (B, 8, 224, 224, 3) uint8 ─mean, std─▶ ResNet-50 with shifts ─mean over H, W─▶ features (B, 8, 2048)
                                                                    features ─linear─▶ logits (B, 8, 400)

Before the first convolution of every residual block, and not on its skip, an eighth of the channels is taken from the
next frame, a second eighth from the previous one; before the first and after the last frame there are zeros:

    y[t, : c] = x[t + 1, : c],   y[t, c : 2c] = x[t - 1, c : 2c],   y[t, 2c :] = x[t, 2c :],   c = channels / 8

The published network averages its logits over the eight frames, ER its features; both are kept a frame.

Paper: Lin et al., TSM: Temporal Shift Module for Efficient Video Understanding, ICCV 2019. Weights: the authors' file
of 8 uniformly sampled frames. They do not publish the order of its classes. In the classifier that
ElaborativeRehearsal publishes of its TSM (by its scripts the authors' densely sampled file), similar rows belong to
similar names in the alphabetical order of torchvision and in no order moved against it (a test has it). The authors'
one labelling script reads one label list; so the order is taken to be the same here.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors import resnet, weights
from extractors.backbone import Backbone, Network, unit_rows
from extractors.base import Output
from extractors.class_names import KINETICS_400, class_names
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

    from extractors.folding import Convolution

LAYOUT = resnet.Layout(resnet.RESNET50.blocks, bottleneck=True, classes=400)
SHIFT_DIV = 8  #: what part of the channels is taken from a neighbour
_FILE = "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth"


class TSMResNet50(Backbone):
    """TSM ResNet-50 trained on Kinetics-400 (from ImageNet).

    Outputs `features` (2048,) and `logits` (400,) float16, one row a frame, eight a video: one from the middle of each
    of eight equal parts.
    """

    trained_on = ("ImageNet-1k", "Kinetics-400")
    name = "tsm_resnet50"
    version = 1
    outputs = {
        "features": Output((LAYOUT.width,), "float16"),
        "logits": Output((LAYOUT.classes,), "float16"),
    }
    default_sampling = Sampling(clips=1, frames=8, placement="spread")
    default_geometry = Geometry(resize=256, crop=224)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 16}
    normalisation = resnet.NORMALISATION
    published = weights.Published(file=_FILE, url=f"https://hanlab18.mit.edu/projects/tsm/models/{_FILE}")

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`."""
        theirs = {name: _published(name) for name in resnet.shapes(LAYOUT)}
        wanted = {theirs[name]: shape for name, shape in resnet.shapes(LAYOUT).items()}
        arrays = weights.checked(weights.state_dict(path), wanted, path)
        return {name: arrays[theirs[name]] for name in theirs}

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`; the names are torchvision's."""
        return resnet.random_arrays(LAYOUT, seed)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        return TSMNetwork(arrays, device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a frame."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """Names of the 400 classes of `logits`."""
        return {"logits": list(class_names(KINETICS_400))}


def _published(name: str) -> str:
    """The name in the published file, less the `module.` of torch's DataParallel, of an array as torchvision has it."""
    if name.startswith("fc."):
        return f"new_{name}"
    # the shift wraps the first convolution of a block, and not the stem, which has the same name
    return "base_model." + (name.replace(".conv1.", ".conv1.net.") if name.startswith("layer") else name)


class TSMNetwork(Network):
    """The folded network, or its lower layers without classes."""

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        device: torch.device,
        dtype: torch.dtype,
        layout: resnet.Layout = LAYOUT,
        classes: bool = True,
    ) -> None:
        super().__init__((arrays["fc.weight"].T, arrays["fc.bias"]) if classes else None, device, dtype)
        self.resnet = resnet.ResNet(arrays, layout, device, dtype)

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`: a row a frame."""
        return self.places(units).float().mean((2, 3)).view(*units.shape[:2], -1)

    def places(self, units: np.ndarray) -> torch.Tensor:
        """(B T, C, H, W): what its last block gives of each place of each frame."""
        frames = units.reshape(-1, *units.shape[2:])
        return self.resnet.places(frames, functools.partial(shifted, frames=units.shape[1]))


def shifted(convolution: Convolution, x: torch.Tensor, frames: int) -> torch.Tensor:
    """A convolution of activations of which an eighth is the next frame's and a second eighth the previous one's.

    Only the channels that move are copied: they are put in place, and put back once the convolution has seen them.

    Parameters
    ----------
    convolution : Convolution
    x : (B * frames, C, H, W)
        The frames of a unit beside each other; it is left as it was.
    frames : int

    Returns
    -------
    (B * frames, O, H, W)
    """
    by_unit = x.view(-1, frames, *x.shape[1:])
    fold = x.shape[1] // SHIFT_DIV
    first, second, both = slice(0, fold), slice(fold, 2 * fold), slice(0, 2 * fold)
    kept = by_unit[:, :, both].clone()
    by_unit[:, :-1, first] = kept[:, 1:, first]
    by_unit[:, -1, first] = 0
    by_unit[:, 1:, second] = kept[:, :-1, second]
    by_unit[:, 0, second] = 0
    y = convolution(x)
    by_unit[:, :, both] = kept
    return y
