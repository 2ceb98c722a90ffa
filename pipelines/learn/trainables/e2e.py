"""E2E: a network of clips and a linear layer behind it, trained at once towards the word vectors of the classes.

    (B, 3, T, H, W) ─R(2+1)D or C3D─▶ (B, 1, D) ─dropout, linear, norm─▶ (B, A) ─▶ mean squared error to norm(W(class))

The published training: Adam at 1e-3, a tenth of it after 40 and after 80 % of 150 epochs, 22 clips of 16 frames a step,
at most 100,000 clips an epoch (`an_epoch`); from random weights.

Paper: Brattoli et al., Rethinking Zero-Shot Video Classification, CVPR 2020, equation 2.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from extractors.clip_weights import about
from extractors.errors import ExtractorError
from heads.base import ClassTexts, Paper, Videos
from heads.e2e import E2E, E2eOptions
from pipelines.errors import UsageError
from pipelines.learn.trainables.clips import ClipOptions, Clips

_EPOCHS = 150
_MILESTONES = (0.4, 0.8)  # of the epochs: 60 and 120 of 150


class E2ENetwork(Clips):
    """R(2+1)D or C3D on clips of videos, `e2e_r2plus1d` or `e2e_c3d`."""

    Options = ClipOptions
    paper = Paper("E2E, 2020", settings={"an_epoch": 100_000, "vectors": "word_vectors"})
    trained_by: ClassVar[Mapping[str, Any]] = {"epochs": _EPOCHS, "batch": 22, "lr": 1e-3, "weight_decay": 0.0}

    @classmethod
    def judged_by(cls, options: ClipOptions) -> dict[str, Any]:
        """As `Trainable.judged_by`: the nearest class vector, of the mean point of all clips (eq. 1)."""
        return {"head": "nearest", "output": "words", "encoder": options.vectors, "options": ("texts=class",)}

    def training(self, epochs: int, steps: int) -> Mapping[str, Any]:
        """As `Trainable.training`."""
        milestones = tuple(round(share * epochs) for share in _MILESTONES)
        return {"optimiser": "adam", "schedule": "steps", "factor": 0.1, "milestones": milestones}

    def network(self, classes: Sequence[str]) -> nn.Module:
        """As `Trainable.network`."""
        if self.name == "e2e_r2plus1d":
            from extractors.r2plus1d_network import R2Plus1D

            return R2Plus1D(self.options.width, self.options.recompute)
        from extractors.c3d_network import C3D

        try:
            return C3D(self.options.width, self.options.frames, self.options.crop, self.options.recompute)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def head(self, texts: ClassTexts) -> E2E:
        """As `Trainable.head`."""
        width = {"e2e_r2plus1d": 8, "e2e_c3d": 64}[self.name] * self.options.width
        told = E2eOptions(dropout=self.options.dropout, one_clip=False)
        head = E2E(width, texts["class"].features.shape[1], told)
        head.begin(Videos(torch.empty(0)), texts)
        return head

    def begin(self, network: nn.Module, path: Path, unseen: Sequence[str]) -> Mapping[str, Any]:
        """As `Trainable.begin`: the network, but for the linear layer behind it."""
        told = about(path, self.name)
        mine = (self.options.width, self.options.frames, self.options.crop)
        if (told.width, told.frames, told.crop) != mine and (self.name == "e2e_c3d" or told.width != mine[0]):
            raise ExtractorError(
                f"{path} is {told.width} wide and takes {told.frames} frames of {told.crop} x {told.crop}; asked for "
                f"are {mine[0]}, {mine[1]} and {mine[2]}. Give --option width={told.width}, or other weights."
            )
        self.load(network, path)
        return told.trained_on

    def header(
        self, classes: Sequence[str], kept_back: str | bool, before: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """As `Trainable.header`."""
        width = int(self._texts.tensors["class"].features.shape[1])
        told = {"width": self.options.width, "texts": self._texts.feature, "text_width": width}
        return self.told_of(classes, kept_back, before, **told)
