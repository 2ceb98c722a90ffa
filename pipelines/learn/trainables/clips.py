"""What networks of clips share as something to train: the films, their labels, vectors of the class names, the weights.

    films of a data set ─`samples.pixels`─▶ clips ─network─▶ ...         labels ─▶ classes of a set, with vectors

The vectors are what E2E is trained towards; of every network they say which classes are near to those of other sets,
and they judge.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from extractors import weights
from extractors.clip_weights import ClipAbout
from extractors.errors import ExtractorError, InputFault
from heads.base import ClassTexts, Texts
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
from untrusted.names import few


@dataclasses.dataclass(frozen=True)
class ClipOptions:
    """Settings that networks of clips share, with the values of E2E.

    Attributes
    ----------
    set : of texts with the classes; nothing: the one named as the data set
    vectors : extractor of the vectors of class names
    width : of the network's first layer; 64 as published
    frames, stride : of a clip
    resize, crop : shorter side of a frame, side of what the network sees
    dropout : as each network says
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
    """A network of clips of films."""

    reads = "video"
    #: PyTorch's gradients of padded convolutions over two frames, as R(2+1)D-18 ends in, are wrong in bf16 on a CPU
    cpu_precisions = ("fp32",)
    options: Any

    def __init__(self, name: str, options: ClipOptions, dataset: str, root: Root) -> None:
        self.name, self.options, self._dataset = name, options, dataset
        if options.width < 1:
            raise UsageError(f"width must be at least 1, got {options.width}.")
        form = Form(options.frames, options.stride, options.resize, options.crop, getattr(options, "segments", 1))
        found = pixels.read(dataset, root, form, options.proxy)
        texts = options.set or dataset
        self._texts = head_texts.read(texts, options.vectors, ("class",), root)
        means = link(texts, dataset, root)
        if strange := sorted({label for label in found.labels if means.get(label) is None}):
            raise UsageError(
                f"{len(strange)} labels of {dataset!r} mean no class of the set {texts!r}: {few(strange)}"
                f". Add them: `zsar texts add FILE --kind class --set {texts}`."
            )
        if strange := sorted(set(options.unflipped) - set(found.classes)):
            raise UsageError(f"unflipped names {few(strange)}, which no video of {dataset!r} is labelled as.")
        names = self._texts.tensors.names
        self._number = {label: names.index(str(means[label])) for label in found.classes}
        self.items: Items = found
        self._videos, self._root = found, root

    @property
    def about(self) -> Mapping[str, Any]:
        """As `Trainable.about`: the options, the vectors of the classes, and the recipe of what is read from."""
        proxies = {} if self._videos.proxies is None else {"proxy": self._videos.proxies.key}
        return {"options": self._identity(), "texts": self._texts.digest, **proxies}

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

    def texts(self, classes: Sequence[str]) -> ClassTexts:
        """As `Trainable.texts`: the vector of each label's class, under the label."""
        own = self._texts.tensors.of([self._number[label] for label in classes])["class"]
        return ClassTexts(tuple(classes), {"class": Texts(own.features, own.text, own.owner)})

    def class_vectors(self, others: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `Trainable.class_vectors`: those it is trained towards (eq. 3 and 4)."""
        mine = self._vectors(self._texts.tensors)[[self._number[label] for label in self.items.classes]]
        read = [head_texts.read(each, self.options.vectors, ("class",), self._root) for each in others]
        return mine, np.concatenate([self._vectors(each.tensors) for each in read])

    @staticmethod
    def load(network: nn.Module, path: Path, start: str = "visual.") -> None:
        """Load the arrays of a file whose names begin so into a network that has them without.

        Raises
        ------
        ExtractorError
            Some lack.
        """
        arrays = {name: each for name, each in weights.safetensors(path).items() if name.startswith(start)}
        kept = {name.removeprefix(start): torch.from_numpy(each) for name, each in arrays.items()}
        lacking = [name for name in network.load_state_dict(kept, strict=False).missing_keys if "num_" not in name]
        if lacking:
            raise ExtractorError(f"{path} lacks {few(lacking, 3)}. Give the file as `zsar finetune` wrote it.")

    def told_of(
        self, classes: Sequence[str], kept_back: str | bool, before: Mapping[str, Any] | None, **more: Any
    ) -> dict[str, str]:
        """A header of weights, with what a network says of its own: `width`, `texts`, `text_width`, ..."""
        own = self.options
        sizes = {name: getattr(own, name) for name in ("frames", "stride", "resize", "crop")}
        said = {"dataset": self._dataset, "classes": tuple(classes), "kept_back": kept_back, "before": before}
        return ClipAbout(**{"network": self.name, **sizes, **said, **more}).metadata()

    def _identity(self) -> dict[str, Any]:
        """The options that weights depend on; of what is read from the full name, whatever it was called by."""
        proxy = "" if self._videos.proxies is None else self._videos.proxies.name
        return identity(dataclasses.replace(self.options, loaders=-1, recompute=False, proxy=proxy))

    @staticmethod
    def _vectors(told: ClassTexts) -> np.ndarray:
        own = told["class"]
        return own.mean(own.features, len(told)).numpy()
