"""E2E's networks as extractors: clips in, their feature and their point in the space of word vectors out.

    (B, T, H, W, 3) uint8 ─R(2+1)D or C3D, trained end to end─▶ features (D) ─linear─▶ words (A)

`words` is W f + b, not of unit length: the mean over the clips of a video is then the point of their mean feature,
which is what E2E compares with the classes (25 clips, averaged before the linear layer).

Weights are made by `zsar finetune e2e_r2plus1d` and say themselves what clips they take; there are no others.

Paper: Brattoli et al., Rethinking Zero-Shot Video Classification, CVPR 2020, section 3.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors import c3d, r2plus1d, weights
from extractors.backbone import Network, as_stored
from extractors.base import Output, VideoExtractor
from extractors.c3d import C3DNetwork
from extractors.clip_weights import ClipAbout, about
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from extractors.r2plus1d import MEAN, STD, Layout, R2Plus1DNetwork
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

_TEST_CLIPS = 25
_WORDS = 300  # of random weights
_LAYOUT = Layout(classes=0)
_SCALE = tuple(1 / (255 * std) for std in STD)
_SHIFT = tuple(-mean / std for mean, std in zip(MEAN, STD, strict=True))
VISUAL, POINT = "visual.", "head.regressor.linear."  #: what names of arrays begin with, of the two parts


class _E2E(VideoExtractor):
    """What both networks share."""

    version = 1
    precisions = ("fp32", "bf16")
    default_sampling = Sampling(clips=_TEST_CLIPS, frames=16, placement="linspace")
    default_geometry = Geometry(resize=128, crop=112)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 32}
    normalisation = f"(x / 255 - {MEAN}) / {STD}"
    _network: Network | None = None

    @abc.abstractmethod
    def width_of(self, told: ClipAbout) -> int:
        """D of such weights."""

    @abc.abstractmethod
    def build(
        self, arrays: dict[str, np.ndarray], told: ClipAbout, device: torch.device, dtype: torch.dtype
    ) -> Network:
        """The network of these arrays; BadWeights where some are lacking or do not fit."""

    @classmethod
    def defaults(cls, weights_given: str | None) -> tuple[Sampling, Geometry]:
        """As `VideoExtractor.defaults`: clips as the weights were trained on, 25 of a video."""
        if weights_given is None or weights.random_seed(weights_given) is not None:
            return cls.default_sampling, cls.default_geometry
        told = about(weights.at_path(weights_given), cls.name)
        sampling = Sampling(clips=_TEST_CLIPS, frames=told.frames, stride=told.stride, placement="linspace")
        return sampling, Geometry(told.resize, told.crop)

    @abc.abstractmethod
    def random(self, seed: int) -> dict[str, np.ndarray]:
        """Seeded random arrays of the network of the published size."""

    @functools.cached_property
    def about(self) -> ClipAbout:
        """What the weights were trained on; random ones on nothing."""
        if weights.random_seed(self.weights) is not None:
            frames, geometry = self.default_sampling.frames, self.default_geometry
            assert isinstance(geometry.resize, int)
            return ClipAbout(self.name, 64, frames, 1, geometry.resize, geometry.size[0], "", _WORDS, "", ())
        return about(self.weights_path(), self.name)

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`: as wide as the weights have it."""
        words = Output((self.about.text_width,), "float32")
        return {"features": Output((self.width_of(self.about),), "float16"), "words": words}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; `trained_on` names the classes that are not unseen to these weights."""
        told = self.about
        trained_on = told.trained_on if told.dataset else None
        return {**super().preprocessed(), "trained_on": trained_on, "texts": told.texts}

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`; there is no published file to fall back on."""
        if self.weights is None:
            raise WeightsMissing(
                f"{self.name} has no weights of its own. Train them on classes that shall be seen, `zsar finetune "
                f"{self.name}`, then give --weights {self.name}=PATH, or ask for random ones (random:SEED)."
            )
        return weights.at_path(self.weights)

    def load(self, device: str) -> None:
        """As `Extractor.load`; one batch of zeros goes through, so that nothing is set up while threads run."""
        from extractors import folding

        where, dtype = folding.placed(device, self.precision)
        seed = weights.random_seed(self.weights)
        path = self.weights_path() if seed is None else self.weights
        arrays = weights.safetensors(self.weights_path()) if seed is None else self._random(seed)
        visual = {name.removeprefix(VISUAL): each for name, each in arrays.items() if name.startswith(VISUAL)}
        try:
            self._point = arrays[f"{POINT}weight"], arrays[f"{POINT}bias"]
            self._network = self.build(visual, self.about, where, dtype)
        except (LookupError, ValueError) as error:
            raise BadWeights(f"{path} is no whole file of {self.name}: {error}. Train it again.") from error
        self._shape = (self.batch_units[where.type], self.sampling.frames, *self.geometry.size, 3)
        self(np.zeros(self._shape, np.uint8))

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `VideoExtractor.__call__`.

        Raises
        ------
        ExtractorError
            Not loaded, or another shape or dtype: a batch of another size would change the last bits of its rows.
        """
        if self._network is None:
            raise ExtractorError(f"{self.name} was called before load(device).")
        if units.shape != self._shape or units.dtype != np.uint8:
            raise ExtractorError(
                f"{self.name} takes batches (units, frames, height, width, 3) of {self._shape} uint8, "
                f"got {units.shape} {units.dtype}. Fill the last batch up."
            )
        features = self._network(units)["features"]
        weight, bias = self._point
        # unit by unit: a matrix product may round the last rows of a batch otherwise than the first
        return {"features": features, "words": np.stack([weight @ unit + bias for unit in features])}

    def _random(self, seed: int) -> dict[str, np.ndarray]:
        visual = {f"{VISUAL}{name}": each for name, each in self.random(seed).items()}
        width = self.width_of(self.about)
        shapes = {f"{POINT}weight": (_WORDS, width), f"{POINT}bias": (_WORDS,)}
        return visual | weights.random_arrays(shapes, seed, {f"{POINT}weight": width})

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `VideoExtractor.rows`: one row a clip."""
        return as_stored(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: neither space has names for its axes."""
        return {}


class E2ER2Plus1D(_E2E):
    """R(2+1)D-18, of any width, trained end to end towards word vectors.

    Outputs `features` (512,) float16 and `words` (300,) float32, one row a clip of consecutive frames.
    """

    name = "e2e_r2plus1d"

    def width_of(self, told: ClipAbout) -> int:
        """As `_E2E.width_of`."""
        return 8 * told.width

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `_E2E.random`."""
        return r2plus1d.random_arrays(_LAYOUT, seed)

    def build(
        self, arrays: dict[str, np.ndarray], told: ClipAbout, device: torch.device, dtype: torch.dtype
    ) -> Network:
        """As `_E2E.build`."""
        return R2Plus1DNetwork(arrays, _LAYOUT, device, dtype)


class E2EC3D(_E2E):
    """C3D, of any width, trained end to end towards word vectors.

    Outputs `features` (4096,) float16, fc6 after ReLU, and `words` (300,) float32, one row a clip.
    """

    name = "e2e_c3d"

    def width_of(self, told: ClipAbout) -> int:
        """As `_E2E.width_of`."""
        return 64 * told.width

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `_E2E.random`."""
        return c3d.random_arrays(seed)

    def build(
        self, arrays: dict[str, np.ndarray], told: ClipAbout, device: torch.device, dtype: torch.dtype
    ) -> Network:
        """As `_E2E.build`; ExtractorError for clips of another size than fc6 was made for."""
        asked, own = (self.sampling.frames, *self.geometry.size), (told.frames, told.crop, told.crop)
        if asked != own:
            raise ExtractorError(
                f"{self.name} has a layer that is connected to every place, so these weights take clips of {own[0]} "
                f"frames of {own[1]} x {own[2]}; got {asked[0]} of {asked[1]} x {asked[2]}. Ask for {self.name} "
                "without frames or crop."
            )
        side = (told.crop // 16 + 2) // 2
        return C3DNetwork(arrays, device, dtype, (8 * told.width, told.frames // 16, side, side), _SCALE, _SHIFT)
