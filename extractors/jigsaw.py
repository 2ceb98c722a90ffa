"""The backbone of JigsawNet, trained from films, as an extractor: m clips of a video in, a feature each out.

    (B, T, H, W, 3) uint8 ─R(2+1)D, folded─▶ features (D), one row a clip; m clips a video, as it was trained

Weights are made by `zsar finetune jigsaw` and say themselves what clips they take; the head that was trained with them
lies in the same file (`zsar fit jigsaw --weights`).

Paper: Qian et al., Rethinking Zero-shot Action Recognition: Learning from Latent Atomic Actions, ECCV 2022.
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
from extractors.errors import WeightsMissing
from extractors.r2plus1d import MEAN, STD, Layout, R2Plus1DNetwork
from extractors.sampling import Geometry, Sampling

if TYPE_CHECKING:
    import torch

_SEGMENTS = 8
_VISUAL = "visual.network."


class Jigsaw(Backbone):
    """R(2+1)D-18 of any width, trained with JigsawNet's head.

    Outputs `features` (512,) float16, one row a segment.
    """

    name = "jigsaw"
    version = 1
    default_sampling = Sampling(clips=_SEGMENTS, frames=16)
    default_geometry = Geometry(resize=128, crop=112)
    batch_units: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 32}
    normalisation = f"(x / 255 - {MEAN}) / {STD}"

    @classmethod
    def defaults(cls, weights_given: str | None) -> tuple[Sampling, Geometry]:
        """As `VideoExtractor.defaults`: segments as the weights were trained on."""
        if weights_given is None or weights.random_seed(weights_given) is not None:
            return cls.default_sampling, cls.default_geometry
        told = about(weights.at_path(weights_given), cls.name)
        segments = (told.architecture or {}).get("segments", _SEGMENTS)
        return Sampling(clips=segments, frames=told.frames, stride=told.stride), Geometry(told.resize, told.crop)

    @functools.cached_property
    def about(self) -> ClipAbout:
        """What the weights were trained on; random ones on nothing."""
        if weights.random_seed(self.weights) is not None:
            return ClipAbout(self.name, 64, 16, 1, 128, 112, "", 0, "", ())
        return about(self.weights_path(), self.name)

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`: as wide as the weights have it."""
        return {"features": Output((8 * self.about.width,), "float16")}

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
        """As `Backbone.read`: the backbone's arrays, of the sizes that the file's header tells."""
        own = {name: each for name, each in weights.safetensors(path).items() if name.startswith(_VISUAL)}
        return weights.checked(own, self._shapes(), path)

    def random(self, seed: int) -> dict[str, np.ndarray]:
        """As `Backbone.random`."""
        shapes = self._shapes()
        fan_in = {name: int(np.prod(shape[1:])) for name, shape in shapes.items() if len(shape) > 1}
        return weights.random_arrays(shapes, seed, fan_in)

    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """As `Backbone.build`."""
        visual = {name.removeprefix(_VISUAL): each for name, each in arrays.items()}
        return R2Plus1DNetwork(visual, Layout(classes=0), device, dtype)

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `VideoExtractor.rows`: one row a segment."""
        return unit_rows(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: the space has no names for its axes."""
        return {}

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of such a backbone."""
        import torch

        from extractors.r2plus1d_network import R2Plus1D

        with torch.device("meta"):
            arrays = R2Plus1D(self.about.width).state_dict()
        return {f"{_VISUAL}{n}": tuple(each.shape) for n, each in arrays.items() if not n.endswith("tracked")}
