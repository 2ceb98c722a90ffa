"""ResT: a network of frames, first alone and then with the transformer that reads the label beside the frames.

    1.  (B, 3, T, H, W) ─frame encoder─▶ (B, T, p) ─mean, linear─▶ classes                      SGD .01, 150 epochs
    2.  (B, 3, T, H, W) ─frame encoder─▶ (B, T, p) ─`heads.rest`, with the label's words─▶ classes and hidden words

The published training: SGD at .01 with a weight decay of 1e-4, then AdamW at 1.5e-4 with .05 for 50 epochs, cosines
both, 16 clips a GPU of 16 frames 6 apart (ResNet-18; 8 and 4 with ResNet-34 and -101), from random weights. SGD's
momentum of .9 and how a crop is resized are ours: the paper does not tell them.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition, CVPR 2022, section 4.1.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from extractors.clip_weights import about
from extractors.errors import ExtractorError
from extractors.frame_encoders import Consensus, FrameEncoder
from heads.base import ClassTexts, Paper, Videos
from heads.classifier import Classifier, ClassifierOptions
from heads.rest import ResT, RestNetworkOptions, RestOptions
from pipelines.errors import UsageError
from pipelines.learn.trainables.base import Stage
from pipelines.learn.trainables.clips import ClipOptions, Clips
from stores.root import Root

_TRIED = ("nearest=5,10,20", "theta=0.8,0.9,1.0", "rho=2,4,8")  # K, theta and rho are unpublished


@dataclasses.dataclass(frozen=True)
class RestClipOptions(RestNetworkOptions, ClipOptions):
    """Settings of `ResTNetwork`: of `ClipOptions`, of the transformer, and

    Attributes
    ----------
    backbone : of the frames: `resnet18`, `resnet34`, `resnet50`, `resnet101`, `mobilenet_v2`, `vgg16`, `googlenet`,
        `r2plus1d` (of any `width`), `timm:NAME`
    backbone_epochs, backbone_lr, backbone_weight_decay : of the training that the encoder has first; 0 epochs: none
    """

    backbone: str = "resnet18"
    backbone_epochs: int = 150
    backbone_lr: float = 0.01
    backbone_weight_decay: float = 1e-4
    stride: int = 6
    resize: int = 256
    crop: int = 224
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("backbone_epochs", "backbone_lr"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}.")


class ResTNetwork(Clips):
    """ResT on clips of videos."""

    Options = RestClipOptions
    paper = Paper(
        "ResT, 2022",
        always=("positions, words, dropout, SGD's momentum and crops are not published, and ours",),
        settings={"vectors": "word_vectors"},
    )
    trained_by: ClassVar[Mapping[str, Any]] = {"epochs": 50, "batch": 16, "lr": 1.5e-4, "weight_decay": 0.05}

    def __init__(self, name: str, options: RestClipOptions, dataset: str, root: Root) -> None:
        super().__init__(name, options, dataset, root)
        try:
            with torch.device("meta"):
                self._encoder(options)
                self._head(1, 1, 1)
        except (ExtractorError, ValueError) as error:
            raise UsageError(str(error)) from error

    @classmethod
    def judged_by(cls, options: RestClipOptions) -> dict[str, Any]:
        """As `Trainable.judged_by`: composed prototypes, K, theta and rho chosen on the seen classes."""
        return {"head": "transfer", "encoder": options.vectors, "tune": _TRIED, "folds": 5}

    def training(self, epochs: int, steps: int) -> Mapping[str, Any]:
        """As `Trainable.training`."""
        return {"optimiser": "adamw", "schedule": "cosine"}

    def network(self, classes: Sequence[str]) -> nn.Module:
        """As `Trainable.network`: the encoder of frames."""
        return self._encoder(self.options)

    def stages(self, network: nn.Module, classes: Sequence[str]) -> Sequence[Stage]:
        """As `Trainable.stages`: the encoder alone."""
        own = self.options
        if not own.backbone_epochs:
            return ()
        assert isinstance(network, FrameEncoder)
        alone = nn.Sequential(network, Consensus(network.features, len(classes)))
        told = {"optimiser": "sgd", "lr": own.backbone_lr, "weight_decay": own.backbone_weight_decay}
        training = told | {"epochs": own.backbone_epochs, "schedule": "cosine"}
        return (Stage("backbone", alone, Classifier(ClassifierOptions()), training),)

    def head(self, texts: ClassTexts) -> ResT:
        """As `Trainable.head`."""
        with torch.device("meta"):
            encoder = self._encoder(self.options)
        head = self._head(encoder.features, texts["class"].features.shape[1], encoder.tokens(self.options.frames))
        head.begin(Videos(torch.empty(0)), texts)
        return head

    def begin(self, network: nn.Module, path: Path, unseen: Sequence[str]) -> Mapping[str, Any]:
        """As `Trainable.begin`: the encoder."""
        told, own = about(path, self.name), self.options
        theirs = told.architecture or {}
        if (theirs.get("backbone"), theirs.get("width")) != (own.backbone, own.width):
            raise ExtractorError(
                f"{path} has the backbone {theirs.get('backbone')} of width {theirs.get('width')}; asked for is "
                f"{own.backbone} of {own.width}. Give --option backbone={theirs.get('backbone')}, or other weights."
            )
        self.load(network, path)
        return told.trained_on

    def header(
        self, classes: Sequence[str], kept_back: str | bool, before: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """As `Trainable.header`."""
        own = self.options
        names = ("backbone", "width", "sequence", "hidden_size", "depth", "heads", "frames")
        architecture = {name: getattr(own, name) for name in names}
        told = {"width": own.hidden_size, "texts": "", "text_width": 0, "architecture": architecture}
        return self.told_of(classes, kept_back, before, **told)

    @staticmethod
    def _encoder(own: RestClipOptions) -> FrameEncoder:
        return FrameEncoder(own.backbone, own.width, own.recompute)

    def _head(self, width: int, text_width: int, tokens: int) -> ResT:
        own = {each.name: getattr(self.options, each.name) for each in dataclasses.fields(RestNetworkOptions)}
        return ResT(width, text_width, RestOptions(**own), tokens)
