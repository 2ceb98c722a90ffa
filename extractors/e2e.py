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

from extractors import weights
from extractors.backbone import Backbone, Network, unit_rows
from extractors.base import Output
from extractors.c3d import C3DNetwork
from extractors.clip_weights import ClipAbout, about
from extractors.errors import ExtractorError, WeightsMissing
from extractors.r2plus1d import MEAN, STD, Layout, R2Plus1DNetwork
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch
    from torch import nn

_TEST_CLIPS = 25
_WORDS = 300  # of random weights
_SCALE = tuple(1 / (255 * std) for std in STD)
_SHIFT = tuple(-mean / std for mean, std in zip(MEAN, STD, strict=True))
_VISUAL, _POINT = "visual.", "head.regressor.linear."  # what names of arrays begin with, of the two parts


class _E2E(Backbone):
    """What both networks share."""

    version = 1
    default_sampling = Sampling(clips=_TEST_CLIPS, frames=16, placement="linspace")
    default_geometry = Geometry(resize=128, crop=112)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 32}
    normalisation = f"(x / 255 - {MEAN}) / {STD}"

    @abc.abstractmethod
    def network(self) -> nn.Module:
        """The network as it is trained, whose `features` are D; ExtractorError where it cannot take the clips."""

    @abc.abstractmethod
    def folded(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """The same for computing alone."""

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
            frames, geometry = self.default_sampling.frames, self.default_geometry
            assert isinstance(geometry.resize, int)
            return ClipAbout(self.name, 64, frames, 1, geometry.resize, geometry.size[0], "", _WORDS, "", ())
        return about(self.weights_path(), self.name)

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """D."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`: as wide as the weights have it."""
        words = Output((self.about.text_width,), "float32")
        return {"features": Output((self.width,), "float16"), "words": words}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; `trained_on` names the classes that are not unseen to these weights."""
        told = self.about
        trained_on = told.trained_on if told.dataset else None
        return {**super().preprocessed(), "trained_on": trained_on, "texts": told.texts}

    @property
    def published(self) -> weights.Published:
        """As `Backbone.published`: there is none to fall back on."""
        raise WeightsMissing(
            f"{self.name} has no weights of its own. Train them on classes that shall be seen, `zsar finetune "
            f"{self.name}`, then give --weights {self.name}=PATH, or ask for random ones (random:SEED)."
        )

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`: arrays of the sizes that the file's header tells."""
        return weights.checked(weights.safetensors(path), self._shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        shapes = self._shapes()
        fan_in = {name: int(np.prod(shape[1:])) for name, shape in shapes.items() if len(shape) > 1}
        return weights.random_arrays(shapes, seed, fan_in)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        visual = {name.removeprefix(_VISUAL): each for name, each in arrays.items() if name.startswith(_VISUAL)}
        network = self.folded(visual, device, dtype)
        network.put_on((arrays[f"{_POINT}weight"].T, arrays[f"{_POINT}bias"]), "words")
        return network

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `VideoExtractor.rows`: one row a clip."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: neither space has names for its axes."""
        return {}

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of such weights."""
        import torch

        with torch.device("meta"):
            arrays = self.network().state_dict()
        found = {f"{_VISUAL}{n}": tuple(each.shape) for n, each in arrays.items() if not n.endswith("tracked")}
        words = self.about.text_width
        return found | {f"{_POINT}weight": (words, self.width), f"{_POINT}bias": (words,)}


class E2ER2Plus1D(_E2E):
    """R(2+1)D-18, of any width, trained end to end towards word vectors.

    Outputs `features` (512,) float16 and `words` (300,) float32, one row a clip of consecutive frames.
    """

    name = "e2e_r2plus1d"

    @property
    def width(self) -> int:
        """As `_E2E.width`."""
        return 8 * self.about.width

    def network(self) -> nn.Module:
        """As `_E2E.network`."""
        from extractors.r2plus1d_network import R2Plus1D

        return R2Plus1D(self.about.width)

    def folded(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `_E2E.folded`."""
        return R2Plus1DNetwork(arrays, Layout(classes=0), device, dtype)


class E2EC3D(_E2E):
    """C3D, of any width, trained end to end towards word vectors.

    Outputs `features` (4096,) float16, fc6 after ReLU, and `words` (300,) float32, one row a clip.
    """

    name = "e2e_c3d"

    @property
    def width(self) -> int:
        """As `_E2E.width`."""
        return 64 * self.about.width

    def network(self) -> nn.Module:
        """As `_E2E.network`; ExtractorError for clips of another size than fc6 was made for."""
        from extractors.c3d_network import C3D

        told = self.about
        asked, own = (self.sampling.frames, *self.geometry.size), (told.frames, told.crop, told.crop)
        if asked != own:
            raise ExtractorError(
                f"{self.name} has a layer that is connected to every place, so these weights take clips of {own[0]} "
                f"frames of {own[1]} x {own[2]}; got {asked[0]} of {asked[1]} x {asked[2]}. Ask for {self.name} "
                "without frames or crop."
            )
        return C3D(told.width, told.frames, told.crop)

    def folded(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `_E2E.folded`."""
        from extractors.c3d_network import last_places

        last = (8 * self.about.width, *last_places(self.about.frames, self.about.crop))
        return C3DNetwork(arrays, device, dtype, last, _SCALE, _SHIFT)
