"""E2E: a network of clips and a linear layer behind it, trained at once towards the word vectors of the classes.

    (B, 3, T, H, W) ─R(2+1)D or C3D─▶ (B, 1, D) ─dropout, linear, norm─▶ (B, A) ─▶ mean squared error to norm(W(class))

The published training: Adam at 1e-3, a tenth of it after 40 and after 80 % of 150 epochs, 22 clips of 16 frames a step,
at most 100,000 clips an epoch (`an_epoch`); from random weights.

Paper: Brattoli et al., Rethinking Zero-Shot Video Classification, CVPR 2020, equation 2.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from extractors import weights
from extractors.clip_weights import ClipAbout, about
from extractors.errors import ExtractorError, InputFault
from heads.base import ClassTexts, Texts, Videos
from heads.e2e import E2E, E2eOptions
from pipelines.errors import UsageError
from pipelines.learn.runs import identity
from pipelines.learn.samples import pixels
from pipelines.learn.samples import texts as head_texts
from pipelines.learn.samples.items import Items
from pipelines.learn.samples.pixels import Form, Pixels
from pipelines.learn.samples.samples import Samples
from pipelines.learn.trainables.base import Trainable
from pipelines.machine import cores_here
from pipelines.texts.adding import link
from stores.root import Root

_VISUAL = "visual."
_EPOCHS = 150
_MILESTONES = (0.4, 0.8)  # of the epochs: 60 and 120 of 150


@dataclasses.dataclass(frozen=True)
class ClipOptions:
    """Settings of `Clips`.

    Attributes
    ----------
    set : of texts with the classes; nothing: the one named as the data set
    vectors : extractor of the vectors of class names
    width : of the network's first layer; 64 as published
    frames, stride : of a clip
    resize, crop : shorter side of a frame, side of what the network sees
    dropout : before the linear layer; published .05, with C3D .10
    flip : mirror every other clip
    unflipped : classes whose clips are never mirrored, because left and right tell them apart
    loaders : processes that decode; -1: with a GPU one a core, else none beside the training
    recompute : activations are computed again on the way back instead of kept: less memory, half as much time again
    proxy : set of small frames (`zsar extract proxy`) to read from; nothing: from the films
    """

    set: str = ""
    vectors: str = "glove_50d"
    width: int = 64
    frames: int = 16
    stride: int = 1
    resize: int = 128
    crop: int = 112
    dropout: float = 0.05
    flip: bool = True
    unflipped: tuple[str, ...] = ()
    loaders: int = dataclasses.field(default=-1, metadata={"idle": True})  # idle: no weight depends on it
    recompute: bool = dataclasses.field(default=False, metadata={"later": True, "idle": True})
    proxy: str = dataclasses.field(default="", metadata={"later": True})


class Clips(Trainable):
    """R(2+1)D or C3D on clips of videos, `e2e_r2plus1d` or `e2e_c3d`."""

    Options = ClipOptions
    reads = "video"
    #: PyTorch's gradients of padded convolutions over two frames, as R(2+1)D-18 ends in, are wrong in bf16 on a CPU
    cpu_precisions = ("fp32",)
    trained_by: ClassVar[Mapping[str, Any]] = {"epochs": _EPOCHS, "batch": 22, "lr": 1e-3, "weight_decay": 0.0}

    @classmethod
    def judged_by(cls, options: ClipOptions) -> dict[str, Any]:
        """As `Trainable.judged_by`: the nearest class vector, of the mean point of all clips (eq. 1)."""
        return {"head": "nearest", "output": "words", "encoder": options.vectors, "options": ("texts=class",)}

    def __init__(self, name: str, options: ClipOptions, dataset: str, root: Root) -> None:
        self.name, self.options, self._dataset = name, options, dataset
        if options.width < 1:
            raise UsageError(f"width must be at least 1, got {options.width}.")
        form = Form(options.frames, options.stride, options.resize, options.crop)
        found = pixels.read(dataset, root, form, options.proxy)
        texts = options.set or dataset
        self._texts = head_texts.read(texts, options.vectors, ("class",), root)
        means = link(texts, dataset, root)
        if strange := sorted({label for label in found.labels if means.get(label) is None}):
            raise UsageError(
                f"{len(strange)} labels of {dataset!r} mean no class of the set {texts!r}: {', '.join(strange[:10])}"
                f"{', ...' if len(strange) > 10 else ''}. Add them: `zsar texts add FILE --kind class --set {texts}`."
            )
        if strange := sorted(set(options.unflipped) - set(found.classes)):
            raise UsageError(f"unflipped names {', '.join(strange)}, which no video of {dataset!r} is labelled as.")
        names = self._texts.tensors.names
        self._number = {label: names.index(str(means[label])) for label in found.classes}
        self.items: Items = found
        self._videos, self._root = found, root

    @property
    def about(self) -> Mapping[str, Any]:
        """As `Trainable.about`: the options, the vectors of the classes, and the recipe of what is read from."""
        proxies = {} if self._videos.proxies is None else {"proxy": self._videos.proxies.key}
        return {"options": self._identity(), "texts": self._texts.digest, **proxies}

    def training(self, epochs: int, steps: int) -> Mapping[str, Any]:
        """As `Trainable.training`."""
        milestones = tuple(round(share * epochs) for share in _MILESTONES)
        return {"optimiser": "adam", "schedule": "steps", "factor": 0.1, "milestones": milestones}

    def samples(self, rows: np.ndarray, classes: Sequence[str], device: str) -> Pixels:
        """As `Trainable.samples`."""
        loaders = self.options.loaders
        if loaders < 0:
            loaders = cores_here() if device.startswith("cuda") else 0
        unflipped = self.options.unflipped if self.options.flip else classes
        return Pixels(self._videos, rows, classes, device, unflipped, loaders)

    def broken(self, samples: Samples) -> Sequence[tuple[bytes, str, InputFault]]:
        """As `Trainable.broken`."""
        return samples.broken if isinstance(samples, Pixels) else ()

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

    def texts(self, classes: Sequence[str]) -> ClassTexts:
        """As `Trainable.texts`: the vector of each label's class, under the label."""
        own = self._texts.tensors.of([self._number[label] for label in classes])["class"]
        return ClassTexts(tuple(classes), {"class": Texts(own.features, own.text, own.owner)})

    def class_vectors(self, others: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `Trainable.class_vectors`: those it is trained towards (eq. 3 and 4)."""
        mine = self._vectors(self._texts.tensors)[[self._number[label] for label in self.items.classes]]
        read = [head_texts.read(each, self.options.vectors, ("class",), self._root) for each in others]
        return mine, np.concatenate([self._vectors(each.tensors) for each in read])

    def begin(self, network: nn.Module, path: Path, unseen: Sequence[str]) -> Mapping[str, Any]:
        """As `Trainable.begin`: the network, but for the linear layer behind it."""
        told = about(path, self.name)
        mine = (self.options.width, self.options.frames, self.options.crop)
        if (told.width, told.frames, told.crop) != mine and (self.name == "e2e_c3d" or told.width != mine[0]):
            raise ExtractorError(
                f"{path} is {told.width} wide and takes {told.frames} frames of {told.crop} x {told.crop}; asked for "
                f"are {mine[0]}, {mine[1]} and {mine[2]}. Give --option width={told.width}, or other weights."
            )
        arrays = {name: each for name, each in weights.safetensors(path).items() if name.startswith(_VISUAL)}
        kept = {name.removeprefix(_VISUAL): torch.from_numpy(each) for name, each in arrays.items()}
        lacking = [name for name in network.load_state_dict(kept, strict=False).missing_keys if "num_" not in name]
        if lacking:
            raise ExtractorError(f"{path} lacks {', '.join(lacking[:3])}. Give the file as `zsar finetune` wrote it.")
        return told.trained_on

    def header(
        self, classes: Sequence[str], kept_back: bool, before: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """As `Trainable.header`."""
        own, width = self.options, int(self._texts.tensors["class"].features.shape[1])
        sizes = (own.width, own.frames, own.stride, own.resize, own.crop)
        told = ClipAbout(
            self.name, *sizes, self._texts.feature, width, self._dataset, tuple(classes), kept_back, before
        )
        return told.metadata()

    def _identity(self) -> dict[str, Any]:
        """The options that weights depend on; of what is read from the full name, whatever it was called by."""
        proxy = "" if self._videos.proxies is None else self._videos.proxies.name
        return identity(dataclasses.replace(self.options, loaders=-1, recompute=False, proxy=proxy))

    @staticmethod
    def _vectors(told: ClassTexts) -> np.ndarray:
        own = told["class"]
        return own.mean(own.features, len(told)).numpy()
