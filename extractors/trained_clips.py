"""What networks of clips that are trained here share as extractors: weights say themselves what clips they take.

There are no others: a network of these has no published weights to fall back on. The recipe names the classes that the
weights were trained on, which are then no unseen ones.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors import weights
from extractors.backbone import Backbone, unit_rows
from extractors.base import Output
from extractors.clip_weights import ClipAbout, about
from extractors.errors import WeightsMissing
from extractors.r2plus1d import MEAN, STD
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    from torch import nn


class TrainedClips(Backbone):
    """An extractor whose weights `zsar finetune` wrote under its name.

    Attributes
    ----------
    first : what random weights are of
    """

    version = 1
    first: ClassVar[ClipAbout]
    default_sampling: ClassVar[Sampling]
    default_geometry: ClassVar[Geometry]
    normalisation = f"(x / 255 - {MEAN}) / {STD}"

    @abc.abstractmethod
    def network(self) -> nn.Module:
        """The network as it is trained, in the names of its arrays; ExtractorError where it cannot take the clips."""

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """D."""

    def belongs(self, name: str) -> bool:
        """Whether an array of the file is one of this network's."""
        return not name.endswith("tracked")

    @classmethod
    def clips_of(cls, told: ClipAbout) -> Sampling:
        """As many clips of a video as the default has, each as the weights were trained on."""
        return dataclasses.replace(cls.default_sampling, frames=told.frames, stride=told.stride)

    @classmethod
    def defaults(cls, weights_given: str | None) -> tuple[Sampling, Geometry]:
        """As `VideoExtractor.defaults`: clips as the weights were trained on."""
        if weights_given is None or weights.random_seed(weights_given) is not None:
            return cls.default_sampling, cls.default_geometry
        told = about(weights.at_path(weights_given), cls.first.network)
        return cls.clips_of(told), Geometry(told.resize, told.crop)

    @functools.cached_property
    def about(self) -> ClipAbout:
        """What the weights were trained on; random ones on nothing."""
        if weights.random_seed(self.weights) is not None:
            return self.first
        return about(self.weights_path(), self.first.network)

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`: as wide as the weights have it."""
        return {"features": Output((self.width,), "float16")}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; `trained_on` names the classes that are not unseen to these weights."""
        told = self.about
        return {**super().preprocessed(), "trained_on": told.trained_on if told.dataset else None}

    @property
    def published(self) -> weights.Published:
        """As `Backbone.published`: there is none to fall back on."""
        raise WeightsMissing(
            f"{self.name} has no weights of its own. Train them on classes that shall be seen, `zsar finetune "
            f"{self.first.network}`, then give --weights {self.name}=PATH, or ask for random ones (random:SEED)."
        )

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """As `Backbone.read`: arrays of the sizes that the file's header tells."""
        own = {name: each for name, each in weights.safetensors(path).items() if self.belongs(name)}
        return weights.checked(own, self.shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        shapes = self.shapes()
        fan_in = {name: int(np.prod(shape[1:])) for name, shape in shapes.items() if len(shape) > 1}
        return weights.random_arrays(shapes, seed, fan_in)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `VideoExtractor.rows`: one row a clip."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: the spaces have no names for their axes."""
        return {}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of such weights."""
        import torch

        with torch.device("meta"):
            arrays = self.network().state_dict()
        return {name: tuple(each.shape) for name, each in arrays.items() if not name.endswith("tracked")}
