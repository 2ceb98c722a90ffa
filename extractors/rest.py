"""ResT as an extractor: clips in, x out, the state that stands for a clip in its space of seen classes.

    (B, T, H, W, 3) uint8 ─frame encoder─▶ (T, p) ─transformer─▶ features (D), one row a clip

The words of labels play no part: no word reaches x (`rest_network`). Unseen classes are compared with x by prototypes
of the seen ones (`zsar fit transfer`, or `zsar judge`).

Weights are made by `zsar finetune rest` and say themselves what clips they take; there are no others.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition, CVPR 2022, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from extractors.backbone import Network
from extractors.clip_weights import ClipAbout
from extractors.errors import BadWeights, ExtractorError
from extractors.r2plus1d import MEAN, STD
from extractors.sampling import Geometry, Sampling
from extractors.trained_clips import TrainedClips

if TYPE_CHECKING:
    import torch

    from extractors.rest_network import Architecture, VideoNetwork

_PUBLISHED = {
    "backbone": "resnet18",
    "width": 64,
    "sequence": "transformer",
    "hidden_size": 768,
    "depth": 12,
    "heads": 12,
    "frames": 16,
}
_VISUAL, _SUMMED = "visual.", "head.network."  # what names of arrays begin with: the encoder, what sums up
_OF_WORDS = ("words.", "joined.")  # of the network of two streams, what belongs to its words


class ResT(TrainedClips):
    """ResT of any encoder and size, trained end to end to tell seen classes apart and to read their labels.

    Outputs `features` (768,) float16, one row a clip of frames that are some apart.
    """

    name = "rest"
    default_sampling = Sampling(clips=25, frames=16, stride=6, placement="linspace")
    default_geometry = Geometry(resize=256, crop=224)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 2, "cuda": 16}
    first = ClipAbout("rest", 768, 16, 6, 256, 224, "", 0, "", (), architecture=_PUBLISHED)

    @property
    def architecture(self) -> Architecture:
        """What the layers follow from; BadWeights where the file does not say it."""
        from extractors.rest_network import Architecture

        try:
            return Architecture.of(self.about.architecture)
        except (TypeError, ValueError) as error:
            raise BadWeights(
                f"{self.weights} does not say what network it is of ({error}). Give weights that `zsar finetune "
                f"{self.name}` wrote."
            ) from error

    @property
    def width(self) -> int:
        """As `TrainedClips.width`."""
        return self.about.width

    def network(self) -> VideoNetwork:
        """As `TrainedClips.network`: what looks at videos."""
        from extractors.rest_network import VideoNetwork

        return VideoNetwork(self.architecture)

    def belongs(self, name: str) -> bool:
        """As `TrainedClips.belongs`: what reads words is left out."""
        own = name.removeprefix(_SUMMED)
        of_video = name.startswith(_VISUAL) or (own != name and not own.startswith(_OF_WORDS))
        return super().belongs(name) and of_video

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`; ExtractorError where clips of another length than it was trained on are asked for."""
        import torch

        own = self.about.frames
        if self.sampling.frames != own:
            raise ExtractorError(
                f"These weights know the places of {own} frames; got {self.sampling.frames}. Ask for {self.name} "
                "without frames."
            )
        network = self.network()
        told = {name: torch.from_numpy(each) for name, each in arrays.items()}
        network.load_state_dict(told, strict=False)  # but for how many batches BatchNorm has met
        return _Network(network.eval().to(device, dtype), device, dtype)


class _Network(Network):
    """The network in evaluation."""

    def __init__(self, network: VideoNetwork, device: torch.device, dtype: torch.dtype) -> None:
        import torch

        super().__init__(None, device, dtype)
        self.network = network
        mean, std = (torch.tensor(values, device=device)[:, None, None, None] for values in (MEAN, STD))
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def features(self, units: np.ndarray) -> torch.Tensor:
        """As `Network.features`."""
        import torch

        frames = torch.from_numpy(units).to(self.device).permute(0, 4, 1, 2, 3)
        tokens = self.network.tokens(torch.addcmul(self._shift, frames.float(), self._scale).to(self.dtype))
        # clip by clip: a matrix product may round the last rows of a batch otherwise than the first
        return torch.cat([self.network.summed(each[None]) for each in tokens]).float()
