"""ST-GCN of either size as something to train: sequences of poses in, the classes of a split out.

    (B, 3, T, V, M) ─network─▶ logits (B, K) ─▶ cross-entropy, smoothed labels

Trained by SGD with Nesterov's momentum of .9, a warm-up of a twentieth of all steps, then a cosine to nought.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from extractors import graph, stgcn_network
from extractors.errors import ExtractorError
from extractors.pose_weights import About, about
from extractors.poses import Form
from heads.base import ClassTexts, Paper
from heads.classifier import Classifier, ClassifierOptions
from pipelines.learn.samples import sequences
from pipelines.learn.samples.sequences import Sequences
from pipelines.learn.trainables.base import Trainable
from stores.root import Root

_WARMUP = 0.05


@dataclasses.dataclass(frozen=True)
class SkeletonOptions:
    """Settings of `Skeletons`.

    Attributes
    ----------
    layout : of the network's joints; nothing: those of the poses
    frames, people : of what the network is given
    dropout, smoothing : of the network, of the labels
    """

    layout: str = ""
    frames: int = 32
    people: int = 1
    dropout: float = 0.25
    smoothing: float = 0.1


class Skeletons(Trainable):
    """ST-GCN on poses, `stgcn` or `stgcn_small`."""

    Options = SkeletonOptions
    reads = "pose"
    paper = Paper(
        "Skeleton based zero-shot action recognition, 2019",
        {"model": ("stgcn",)},
        ("Nesterov's momentum, a warm-up of a twentieth of the steps and a cosine",),
        {"epochs": 80, "batch": 48, "lr": 0.01, "weight_decay": 1e-4, "smoothing": 0.0},
    )
    trained_by: ClassVar[Mapping[str, Any]] = {"epochs": 60, "batch": 16, "lr": 0.1, "weight_decay": 5e-4}

    def __init__(self, name: str, options: SkeletonOptions, dataset: str, root: Root) -> None:
        self.options, self._dataset = options, dataset
        self._architecture = stgcn_network.ARCHITECTURES[name]
        self.items = sequences.read(dataset, root, options.layout, Form(options.frames, options.people))
        self._poses = self.items

    @property
    def about(self) -> Mapping[str, str]:
        """As `Trainable.about`: the layout of the joints."""
        return {"layout": self._poses.layout.name}

    def training(self, epochs: int, steps: int) -> Mapping[str, Any]:
        """As `Trainable.training`."""
        warmup = {"warmup_steps": round(_WARMUP * steps)}
        return {"optimiser": "nesterov", "momentum": 0.9, "schedule": "cosine", **warmup}

    def samples(self, rows: np.ndarray, classes: Sequence[str], device: str) -> Sequences:
        """As `Trainable.samples`."""
        return Sequences(self._poses, rows, classes, device)

    def network(self, classes: Sequence[str]) -> nn.Module:
        """As `Trainable.network`."""
        adjacency = graph.spatial(self._poses.layout)
        dropout = self.options.dropout
        return stgcn_network.SpatialTemporalGraphNetwork(self._architecture, adjacency, len(classes), dropout)

    def head(self, texts: ClassTexts) -> Classifier:
        """As `Trainable.head`: the network ends in a classifier."""
        return Classifier(ClassifierOptions(self.options.smoothing))

    def begin(self, network: nn.Module, path: Path, unseen: Sequence[str]) -> Mapping[str, Any] | None:
        """As `Trainable.begin`: all but the classifier."""
        said, arrays = about(path, self._architecture), stgcn_network.read(path, self._architecture)
        if said.layout != self._poses.layout.name:
            raise ExtractorError(
                f"{path} takes joints of {said.layout}, and the network is made for {self._poses.layout.name}. "
                f"Give --layout {said.layout}, or other weights."
            )
        if unseen:
            stgcn_network.refuse_seen(arrays, path, _published_name(self._dataset))
        kept = {name: torch.from_numpy(values) for name, values in arrays.items() if not name.startswith("fcn.")}
        network.load_state_dict(kept, strict=False)
        return said.trained_on

    def header(
        self, classes: Sequence[str], kept_back: str | bool, before: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """As `Trainable.header`."""
        poses = self._poses
        return About(poses.layout.name, poses.form, self._dataset, tuple(classes), kept_back, before).metadata()


def _published_name(dataset: str) -> str:
    """The data set of published weights that a data set of this name is, or its own name."""
    for start, name in (("ntu", "ntu60"), ("kinetics", "kinetics400")):
        if re.match(start, dataset, re.IGNORECASE):
            return name
    return dataset
