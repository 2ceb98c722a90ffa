"""ST-GCN as an extractor: a sequence of poses in, its 256-d feature out, or one a temporal segment.

    poses ─mapped to the weights' joints, prepared─▶ (3, T, V, M) ─16 a batch on a CPU─▶ (T', 256) ─means─▶ (m, 256)

Options: `segments`, m rows of equal parts of time, 1 by default; `frames`, `people`, `fit` (resample or pad), `frame`
(body, hip or raw) and `layout` are those the weights were trained with, if nothing is given. Weights of our own
training say it themselves; the published `st_gcn.*.pt` take 300 frames, padded, of 2 people, raw, in the layout of
their graph.

Neither network's weights are on a hub: `zsar finetune` makes them, or a path is given.

Paper: Yan et al., Spatial Temporal Graph Convolutional Networks, AAAI 2018. The feature is the one before the last
pooling of Jasani and Mazagonwalla 2019, pooled.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors import joints, weights
from extractors.backbone import as_stored
from extractors.base import Output, PoseExtractor
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from extractors.joints import KINECT_20, NTU_25, Layout
from extractors.pose_weights import About, about, check
from extractors.poses import Form, Poses, prepared

if TYPE_CHECKING:
    import torch

    from extractors.stgcn_network import SpatialTemporalGraphNetwork

_RANDOM_CLASSES = 60  # of a classifier that nothing reads
_OF_WEIGHTS = {"frames": 0, "people": 0, "fit": "", "frame": "", "layout": ""}


class _GraphExtractor(PoseExtractor):
    """What the two sizes share."""

    version = 1
    precisions = ("fp32",)
    outputs = {"features": Output((256,), "float16")}
    default_options = {**_OF_WEIGHTS, "segments": 1}
    batch_units = {"cpu": 16, "cuda": 256}
    #: of weights that do not say it themselves, and of random ones
    default_form: ClassVar[Form]
    default_layout: ClassVar[Layout]
    _network: SpatialTemporalGraphNetwork | None = None
    _device: torch.device

    @property
    @abc.abstractmethod
    def sources(self) -> str:
        """Where its weights come from, for the message that there are none."""

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`; there is no published file to fall back on."""
        if self.weights is None:
            raise WeightsMissing(
                f"{self.name} has no weights of its own. {self.sources} Then give --weights {self.name}=PATH, "
                f"or ask for random ones by name (--weights {self.name}=random:SEED)."
            )
        return weights.at_path(self.weights)

    @functools.cached_property
    def about(self) -> About:
        """What the weights were trained on."""
        if weights.random_seed(self.weights) is not None:
            layout = joints.layout(self.options["layout"] or self.default_layout.name)
            return About(layout.name, self.default_form)
        from_file = about(self.weights_path(), self._architecture() if self._is_torch_file() else None)
        return dataclasses.replace(from_file, form=from_file.form or self.default_form)

    @functools.cached_property
    def form(self) -> Form:
        """What a sequence is put into: as the weights were trained, but for what the options say."""
        assert self.about.form is not None
        given = {name: self.options[name] for name in ("frames", "people", "fit", "frame") if self.options[name]}
        found = dataclasses.replace(self.about.form, **given)
        check(found, self.name)
        if self.options["segments"] < 1:
            raise ExtractorError(f"{self.name}: segments must be at least 1, got {self.options['segments']}.")
        return found

    @property
    def layout(self) -> Layout:
        """Of the joints the weights take.

        Raises
        ------
        ExtractorError
            Another one was asked for.
        """
        asked, own = self.options["layout"], self.about.layout
        if asked and asked != own:
            raise ExtractorError(
                f"{self.name} was asked for joints of {asked}, and its weights {self.weights} take {own}. "
                f"Drop the option: poses are turned into {own}; or give weights of {asked}."
            )
        return joints.layout(own)

    def sampled(self) -> dict[str, Any]:
        """As `Extractor.sampled`: the form of a sequence and its segments, whoever said it."""
        return {**dataclasses.asdict(self.form), "layout": self.layout.name, "segments": self.options["segments"]}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; `trained_on` names the classes that are not unseen to these weights."""
        return {"poses": "mapped, prepared", "trained_on": self.about.trained_on}

    def load(self, device: str) -> None:
        """As `Extractor.load`; one batch of zeros goes through, so that nothing is set up while threads run."""
        import torch

        from extractors import folding, stgcn_network

        self._device, _ = folding.placed(device, self.precision)
        architecture = self._architecture()
        seed = weights.random_seed(self.weights)
        if seed is None:
            arrays = stgcn_network.read(self.weights_path(), architecture)
        else:
            arrays = stgcn_network.random(architecture, self.layout, _RANDOM_CLASSES, seed)
        graph, _ = stgcn_network.graph_of(arrays["A"], self.weights or "", self.layout)
        if graph != self.layout:
            raise BadWeights(f"{self.weights} says that it is of {self.layout.name}, and its graph is of {graph.name}.")
        if self.options["segments"] > (steps := architecture.steps(self.form.frames)):
            raise ExtractorError(
                f"{self.name} has {steps} time steps of {self.form.frames} frames, too few for "
                f"{self.options['segments']} segments. Ask for fewer, or for more frames."
            )
        self._network = stgcn_network.network(arrays, architecture).to(self._device)
        self._shape = (self.batch_units[self._device.type], 3, self.form.frames, len(graph.joints), self.form.people)
        with torch.inference_mode():
            self(np.zeros(self._shape, np.float32))

    def unit(self, poses: Poses) -> np.ndarray:
        """As `PoseExtractor.unit`."""
        return prepared(poses if poses.layout is self.layout else poses.mapped(self.layout), self.form)

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `Extractor.__call__`.

        Raises
        ------
        ExtractorError
            Not loaded, or another shape: a batch of another size would change the last bits of its rows.
        """
        import torch

        if self._network is None:
            raise ExtractorError(f"{self.name} was called before load(device).")
        if units.shape != self._shape or units.dtype != np.float32:
            raise ExtractorError(
                f"{self.name} takes batches (sequences, 3, frames, joints, people) of {self._shape} float32, "
                f"got {units.shape} {units.dtype}. Fill the last batch up."
            )
        with torch.inference_mode():
            found = self._network.segments(torch.from_numpy(units).to(self._device), self.options["segments"])
        return {"features": found.cpu().numpy()}

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `PoseExtractor.rows`: m rows in the order of time."""
        return as_stored(units, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None: what a network has learned has no names."""
        return {}

    def _architecture(self) -> Any:
        from extractors import stgcn_network

        return stgcn_network.ARCHITECTURES[self.name]

    def _is_torch_file(self) -> bool:
        return self.weights is not None and not self.weights.endswith(".safetensors")


class STGCN(_GraphExtractor):
    """The published ten blocks."""

    name = "stgcn"
    default_form = Form(300, 2, "pad", "raw")
    default_layout = NTU_25

    @property
    def sources(self) -> str:
        """As `_GraphExtractor.sources`."""
        return "Train them on classes that shall be seen, `zsar finetune stgcn`, or take a published st_gcn.*.pt."


class STGCNSmall(_GraphExtractor):
    """Four blocks, our own, for CPUs."""

    name = "stgcn_small"
    default_form = Form(32, 1)
    default_layout = KINECT_20

    @property
    def sources(self) -> str:
        """As `_GraphExtractor.sources`."""
        return "Train them on classes that shall be seen, `zsar finetune stgcn_small`."
