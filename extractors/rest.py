"""ResT as an extractor: clips in, x out, the state that stands for a clip in its space of seen classes.

    (B, T, H, W, 3) uint8 ─frame encoder─▶ (T, p) ─transformer─▶ features (D), one row a clip

The words of labels play no part: no word reaches x (`rest_network`). Unseen classes are compared with x by prototypes
of the seen ones (`zsar fit transfer`, or `zsar judge`).

Weights are made by `zsar finetune rest` and say themselves what clips they take; there are no others.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition, CVPR 2022, section 3.2.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors import weights
from extractors.backbone import Backbone, Network, unit_rows
from extractors.base import Output
from extractors.clip_weights import ClipAbout, about
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from extractors.r2plus1d import MEAN, STD
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

    from extractors.rest_network import Architecture, VideoNetwork

_TEST_CLIPS = 25
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


class ResT(Backbone):
    """ResT of any encoder and size, trained end to end to tell seen classes apart and to read their labels.

    Outputs `features` (768,) float16, one row a clip of frames that are some apart.
    """

    name = "rest"
    version = 1
    default_sampling = Sampling(clips=_TEST_CLIPS, frames=16, stride=6, placement="linspace")
    default_geometry = Geometry(resize=256, crop=224)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 2, "cuda": 16}
    normalisation = f"(x / 255 - {MEAN}) / {STD}"

    @classmethod
    def defaults(cls, weights_given: str | None) -> tuple[Sampling, Geometry]:
        """As `VideoExtractor.defaults`: clips as the weights were trained on, 25 of a video."""
        if weights_given is None or weights.random_seed(weights_given) is not None:
            return cls.default_sampling, cls.default_geometry
        told = about(weights.at_path(weights_given), cls.name)
        sampling = Sampling(clips=_TEST_CLIPS, frames=told.frames, stride=told.stride, placement="linspace")
        return sampling, Geometry(told.resize, told.crop)

    @functools.cached_property
    def about(self) -> ClipAbout:
        """What the weights were trained on; random ones on nothing."""
        if weights.random_seed(self.weights) is not None:
            return ClipAbout(self.name, 768, 16, 6, 256, 224, "", 0, "", (), architecture=_PUBLISHED)
        return about(self.weights_path(), self.name)

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
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`: as wide as the weights have it."""
        return {"features": Output((self.about.width,), "float16")}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; `trained_on` names the classes that are not unseen to these weights."""
        told = self.about
        return {**super().preprocessed(), "trained_on": told.trained_on if told.dataset else None}

    @property
    def published(self) -> weights.Published:
        """As `Backbone.published`: there is none to fall back on."""
        raise WeightsMissing(
            f"{self.name} has no weights of its own. Train them on classes that shall be seen, `zsar finetune "
            f"{self.name}`, then give --weights {self.name}=PATH, or ask for random ones (random:SEED)."
        )

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`: arrays of the sizes that the file's header tells; those of the words are left out."""
        mine = {name: each for name, each in weights.safetensors(path).items() if _is_video(name)}
        return weights.checked(mine, self._shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        shapes = self._shapes()
        fan_in = {name: int(np.prod(shape[1:])) for name, shape in shapes.items() if len(shape) > 1}
        return weights.random_arrays(shapes, seed, fan_in)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`; ExtractorError where clips of another length than it was trained on are asked for."""
        import torch

        own = self.about.frames
        if self.sampling.frames != own:
            raise ExtractorError(
                f"These weights know the places of {own} frames; got {self.sampling.frames}. Ask for {self.name} "
                "without frames."
            )
        network = self._network_of()
        told = {name: torch.from_numpy(each) for name, each in arrays.items()}
        network.load_state_dict(told, strict=False)  # but for how many batches BatchNorm has met
        return _Network(network.eval().to(device, dtype), device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `VideoExtractor.rows`: one row a clip."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: the space has no names for its axes."""
        return {}

    def _network_of(self) -> VideoNetwork:
        from extractors.rest_network import VideoNetwork

        return VideoNetwork(self.architecture)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of such weights."""
        import torch

        with torch.device("meta"):
            arrays = self._network_of().state_dict()
        return {name: tuple(each.shape) for name, each in arrays.items() if not name.endswith("tracked")}


def _is_video(name: str) -> bool:
    """Whether an array belongs to what looks at videos."""
    own = name.removeprefix(_SUMMED)
    of_video = name.startswith(_VISUAL) or (own != name and not own.startswith(_OF_WORDS))
    return of_video and not name.endswith("tracked")


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
