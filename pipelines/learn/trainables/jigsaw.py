"""JigsawNet from films: segments against verb phrases, backbone and text layers trained with the head.

    (B, 3, m T, H, W) ─R(2+1)D, all of it or its last stage─▶ (B, m, D) ─┐
    phrases ─token states of the cache─last layers, trained─▶ (P, A) ────┴─▶ GE, GA, consistency (`heads.jigsaw`)

The published training: SGD with a momentum of .9 and a weight decay of 5e-4, 28 videos a step, 1e-5 and all of the
backbone on KineticsZSAR (20 epochs), 1e-4 and its last layer on UCF101 and HMDB51 (15). The weights hold the head too,
which judges as it is.

Departures: the rate does not follow a validation; objects are not read; segments are clips of consecutive frames.

Paper: Qian et al., Rethinking Zero-shot Action Recognition: Learning from Latent Atomic Actions, ECCV 2022.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from extractors import weights
from extractors.clip_weights import about
from extractors.errors import ExtractorError
from extractors.r2plus1d_network import R2Plus1D
from extractors.segmented import TRAINED, Segmented
from heads.base import ClassTexts, Head, Paper, Texts, Videos
from heads.jigsaw import JigsawNet, JigsawOptions
from heads.towered import Towered
from pipelines.errors import UsageError
from pipelines.learn.layers import above_tokens
from pipelines.learn.samples import texts as head_texts
from pipelines.learn.trainables.clips import ClipOptions, Clips
from stores.root import Root

_NETWORK = "visual.network."


@dataclasses.dataclass(frozen=True)
class JigsawClipOptions(JigsawOptions, ClipOptions):
    """Settings of `JigsawClips`: of `ClipOptions`, of the head, and

    Attributes
    ----------
    segments : m, clips of a video
    trained : of the backbone: `all`, `last_stage`, `last_block`, or nothing of it, `head`
    text_encoder : of the phrases; of token states the layers above are trained
    """

    segments: int = 8
    trained: str = "all"
    text_encoder: str = "bert_tokens"

    @property
    def head(self) -> JigsawOptions:
        """Those of the head."""
        return JigsawOptions(**{field.name: getattr(self, field.name) for field in dataclasses.fields(JigsawOptions)})


class JigsawClips(Clips):
    """JigsawNet on segments of videos."""

    Options = JigsawClipOptions
    paper = Paper(
        "JigsawNet, 2022",
        always=("the rate does not follow a validation", "objects are not read"),
        settings={"vectors": "word_vectors"},
    )
    trained_by: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch": 28, "lr": 1e-5, "weight_decay": 5e-4}

    def __init__(self, name: str, options: JigsawClipOptions, dataset: str, root: Root) -> None:
        super().__init__(name, options, dataset, root)
        if options.segments < 1 or options.trained not in TRAINED:
            raise UsageError(
                f"segments must be at least 1 and trained {', '.join(TRAINED[:-1])} or {TRAINED[-1]}, got "
                f"{options.segments} and {options.trained!r}."
            )
        kinds = JigsawNet.reads(options.head)
        self._told = head_texts.read(options.set or dataset, options.text_encoder, kinds, root)

    @property
    def about(self) -> Mapping[str, Any]:
        """As `Trainable.about`: the phrases too."""
        return {**super().about, "phrases": self._told.digest}

    @classmethod
    def judged_by(cls, options: JigsawClipOptions) -> dict[str, Any]:
        """As `Trainable.judged_by`: the head as it was trained."""
        own = dataclasses.asdict(options.head)
        told = tuple(
            f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in own.items()
        )
        return {"head": "jigsaw", "encoder": options.text_encoder, "options": told, "as_trained": True}

    def training(self, epochs: int, steps: int) -> Mapping[str, Any]:
        """As `Trainable.training`."""
        return {"optimiser": "sgd", "momentum": 0.9, "schedule": "constant"}

    def network(self, classes: Sequence[str]) -> nn.Module:
        """As `Trainable.network`."""
        own = self.options
        return Segmented(R2Plus1D(own.width, own.recompute), own.segments, own.trained)

    def texts(self, classes: Sequence[str]) -> ClassTexts:
        """As `Trainable.texts`: the phrases of each label's class."""
        own = self._told.tensors.of([self._number[label] for label in classes])
        kinds = {kind: Texts(each.features, each.text, each.owner) for kind, each in own.kinds.items()}
        return ClassTexts(tuple(classes), kinds)

    def head(self, texts: ClassTexts) -> Head:
        """As `Trainable.head`."""
        features = next(iter(texts.kinds.values())).features
        try:
            head: Head = JigsawNet(8 * self.options.width, features.shape[-1], self.options.head)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if features.ndim > 2:
            head = Towered(head, above_tokens(self._told.feature, self._root), captioned=False)
        head.begin(Videos(torch.empty(0)), texts)
        return head

    def begin(self, network: nn.Module, path: Path, unseen: Sequence[str]) -> Mapping[str, Any]:
        """As `Trainable.begin`: the backbone, of this network or of `e2e_r2plus1d`."""
        start = _NETWORK if any(name.startswith(_NETWORK) for name in weights.safetensors(path)) else "visual."
        told = about(path, self.name if start == _NETWORK else "e2e_r2plus1d")
        if told.width != self.options.width:
            raise ExtractorError(
                f"{path} is {told.width} wide, and asked for is {self.options.width}. Give --option "
                f"width={told.width}, or other weights."
            )
        assert isinstance(network, Segmented)
        self.load(network.network, path, start)
        return told.trained_on

    def header(
        self, classes: Sequence[str], kept_back: str | bool, before: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """As `Trainable.header`."""
        told = {"width": self.options.width, "texts": "", "text_width": 0}
        return self.told_of(classes, kept_back, before, **told, architecture={"segments": self.options.segments})
