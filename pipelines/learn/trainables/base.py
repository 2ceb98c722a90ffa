"""What a trainable is: a network, samples, a loss with the texts it reads, and the extractor its weights belong to.

    items of a data set ─samples─▶ network ─▶ head ─▶ loss          weights, with a header ─▶ `extract --weights`

`finetune` asks for nothing else: splits, names of runs, going on, refusals and notes are the same for all. A trainable
is one file here and one line in `trainables/__init__.py`.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from extractors.errors import InputFault
from heads.base import ClassTexts, Head, Paper
from pipelines.learn.samples.items import Items
from pipelines.learn.samples.samples import Samples
from stores.root import Root


@dataclasses.dataclass(frozen=True)
class Stage:
    """A training of some of a network before all of it is trained.

    Attributes
    ----------
    name : of its folder
    visual, head : what is trained
    training : settings of the engine that differ from those of the training it comes before
    """

    name: str
    visual: nn.Module
    head: Head
    training: Mapping[str, Any]


class Trainable(abc.ABC):
    """Something with weights of its own that is learned from the items of a data set.

    Parameters
    ----------
    name : what it is called, and so is the extractor that its weights belong to
    options : its `Options`
    dataset : whose items
    root : Root

    Attributes
    ----------
    Options : dataclass of its settings; those that `finetune` has too it takes, others are `--option NAME=VALUE`
    reads : the kind of items it learns from, by its name in `pipelines.kinds`
    trained_by : the engine's settings where nothing is asked for: epochs, batch, lr, weight_decay
    paper : what it was published with, and in what it departs here; None for what is ours
    items : those that can be learned from
    cpu_precisions : what it can be trained in on a CPU
    about : what the weights depend on beside settings and items, by name: it enters the name of the run, and its file
    """

    Options: ClassVar[type[Any]]
    reads: ClassVar[str]
    trained_by: ClassVar[Mapping[str, Any]]
    paper: ClassVar[Paper | None] = None
    items: Items
    cpu_precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")

    @classmethod
    def judged_by(cls, options: Any) -> dict[str, Any]:
        """What judges its features where nothing else is asked for: fields of `FitConfig`, of these `Options`."""
        return {"head": "ridge"}

    @abc.abstractmethod
    def __init__(self, name: str, options: Any, dataset: str, root: Root) -> None:
        """Read the items."""

    @property
    @abc.abstractmethod
    def about(self) -> Mapping[str, str]:
        """As the class says."""

    @abc.abstractmethod
    def training(self, epochs: int, steps: int) -> Mapping[str, Any]:
        """The engine's settings that follow from how long a training is, in epochs and in steps."""

    @abc.abstractmethod
    def samples(self, rows: np.ndarray, classes: Sequence[str], device: str) -> Samples:
        """Some items as samples, whose labels number the classes."""

    @abc.abstractmethod
    def network(self, classes: Sequence[str]) -> nn.Module:
        """A fresh network, its weights drawn from torch's generator."""

    @abc.abstractmethod
    def head(self, texts: ClassTexts) -> Head:
        """What says how far the network's outputs are from what they are to be, for classes that have these texts."""

    def stages(self, network: nn.Module, classes: Sequence[str]) -> Sequence[Stage]:
        """Trainings that come first, in their order: none."""
        return ()

    def texts(self, classes: Sequence[str]) -> ClassTexts:
        """The texts that the head reads: none."""
        return ClassTexts(tuple(classes), {})

    @abc.abstractmethod
    def begin(self, network: nn.Module, path: Path, unseen: Sequence[str]) -> Mapping[str, Any] | None:
        """Load weights to begin with; what they were trained on, as `begun` has it, None where they do not say it.

        Raises
        ------
        ExtractorError
            They do not fit; published ones that have seen an unseen class.
        """

    def class_vectors(self, others: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
        """Vectors by which its classes are near to those of other sets of texts; None: the word vectors of the pack.

        Parameters
        ----------
        others : names of sets

        Returns
        -------
        ((K, A), (L, A)) : of `items.classes`, and of the classes of all these sets
        """
        return None

    def broken(self, samples: Samples) -> Sequence[tuple[bytes, str, InputFault]]:
        """(key, uri, fault) of items that broke while samples were read."""
        return ()

    @abc.abstractmethod
    def header(
        self, classes: Sequence[str], kept_back: str | bool, before: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """What the weights say of themselves to the extractor: above all the classes they were trained on.

        Parameters
        ----------
        classes : trained on
        kept_back : where a fifth of the items was kept from the training, what `begun.sample` says of the others
        before : what the weights that it began with were trained on
        """
