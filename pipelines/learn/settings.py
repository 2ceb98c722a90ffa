"""Settings of what is learned: heads and backbones."""

import dataclasses
import shlex
from typing import Annotated

from pipelines.errors import UsageError
from pipelines.settings import ARGUMENT, Called, Choices
from pipelines.texts.overlap import TAU

_PROTOCOLS = "pipelines.learn.protocols.protocols:names"
_OWN = (r"own-\d{1,4}%?", "own-12 or own-25% (so many unseen)")
ENCODER = Choices("extractor", "extractors:EXTRACTORS", with_options=True, told=False)


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """Settings of `zsar fit`.

    Attributes
    ----------
    head : what is fitted
    dataset : whose videos
    feature : feature set of the videos, or of the captions that stand for them
    protocol : which classes are seen, a JSON file that says it, or one of these names
    splits : which of the protocol's: `0-9,12`; nothing: all
    set : set of texts with the classes; nothing: the one named as the data set
    encoder : encoder of the texts; nothing: the feature itself where captions stand for videos, else `minilm`
    objects : feature set of recognised objects; nothing: heads go without
    k : so many descriptions a class, the most relevant; 0: all
    options : `NAME=VALUE` for the head or its training, such as `lr=1e-3`
    tune : `NAME=V1,V2,...`: of these each split takes what is best on classes held out from its SEEN ones
    folds : so many such held-out sets a choice is made on
    hold_out : share of the seen classes held out for validation, where anything is chosen
    gzsl : also keep a fifth of each seen class's videos from training, to judge on them
    standardise : judge by scores of each class that are told from its scores on the videos trained on
    seed : of everything that is drawn
    segments : of a video; 0: as many as most have
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    workers : splits at once, a core each; 0: one a core
    output : of the feature set that the head reads
    judge : data set to judge on; learned from are all classes of `dataset` but those near to one of its. The protocol
        has no seen class then: `cross-0/50`, `cross-0/100`
    tau : cosine distance of word vectors below which two classes are one; 0: names alone are compared
    part : only a part of what is seen: `classes=50`, `share=0.1` of the videos, `clusters=3` of which one is drawn from
    weights : file of a network whose head was trained with it (`zsar finetune jigsaw`): to begin with that head, on
        features of the same file
    """

    head: Annotated[str, ARGUMENT, Choices("head", "heads:HEADS")]
    dataset: str
    feature: str
    protocol: Annotated[str, Choices("protocol", _PROTOCOLS, or_file=True, or_like=_OWN)]
    splits: str = ""
    set: str = ""
    encoder: Annotated[str, ENCODER] = ""
    objects: str = ""
    k: int = 100
    options: Annotated[tuple[str, ...], Called("--option")] = ()
    tune: tuple[str, ...] = ()
    folds: int = 3
    hold_out: float = 0.2
    gzsl: bool = False
    standardise: bool = False
    seed: int = 0
    segments: int = 0
    device: str = "auto"
    workers: int = 0
    output: str = dataclasses.field(default="features", metadata={"later": True})
    judge: str = dataclasses.field(default="", metadata={"later": True})
    tau: float = dataclasses.field(default=TAU, metadata={"later": True})
    part: tuple[str, ...] = dataclasses.field(default=(), metadata={"later": True})
    weights: str = dataclasses.field(default="", metadata={"later": True})

    def __post_init__(self) -> None:
        for name, least in (("k", 0), ("folds", 1), ("segments", 0), ("workers", 0), ("seed", 0)):
            if not getattr(self, name) >= least:
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not 0 < self.hold_out < 1:
            raise UsageError(f"hold_out is a share between 0 and 1, got {self.hold_out}.")
        _check_judge(self.judge, self.dataset, self.tau)
        if self.weights and self.gzsl:
            raise UsageError(
                "A head that comes with --weights was trained on all seen classes, and GZSL's penalty is chosen on "
                "some that are held out: leave --gzsl out, or fit a fresh head."
            )
        if self.judge and (self.gzsl or self.objects):
            raise UsageError(
                "With --judge unseen classes alone are judged, without objects: leave --gzsl, --objects out."
            )


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """Settings of `zsar finetune`.

    Attributes
    ----------
    model : what is trained, ST-GCN on poses and the others on videos
    dataset : of what it learns from
    protocol : whose seen classes are trained on, a JSON file that says it, or one of these names; `none` is all classes
    splits : which of the protocol's: `0-9,12`; nothing: all
    set, encoder : of the class names, for a protocol that draws by their vectors; nothing: the data set's, `minilm`
    gzsl : keep from training the fifth of the items that `fit` with `gzsl` judges on
    train : conditions on the items to train on, `subject=1,3,5`; all must hold
    test : the same on items of the trained classes to report top-1 on; nothing: none
    layout : of the network's joints; nothing: those of the poses
    frames, people : of what the network is given; nothing: as it is made for, 32 and 1 for ST-GCN, 16 frames for E2E
    weights : file to begin with, but for the classifier; nothing: weights are drawn
    epochs, batch, lr, weight_decay : of the training; nothing: as it was published or settled, 60, 16, .1 and 5e-4 for
        ST-GCN, 150, 22, 1e-3 and 0 for E2E
    dropout, smoothing : of the network, of the labels; nothing: as settled, .25 and .1 for ST-GCN, .05 for E2E
    precision : of the computation
    seed : of everything that is drawn
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    threads : of a CPU; 0: `$OMP_NUM_THREADS` or all its cores; one is faster where others use them too
    options : `NAME=VALUE` for what is trained or its training, beyond the settings above, such as `momentum=0.8`
    judge : data sets to judge on later; trained on are all classes but those near to one of theirs; without a protocol
    tau : cosine distance of word vectors below which two classes are one; 0: names alone are compared
    part : only a part of what is seen: `classes=50`, `share=0.1` of the items, `clusters=3` of which one is drawn from
    """

    model: Annotated[str, ARGUMENT, Choices("network", "pipelines.learn.trainables:TRAINABLES")]
    dataset: str
    protocol: Annotated[str, Choices("protocol", _PROTOCOLS, ("none",), or_file=True, or_like=_OWN)] = "none"
    splits: str = ""
    set: str = ""
    encoder: Annotated[str, ENCODER] = "minilm"
    gzsl: bool = False
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    layout: str = ""
    frames: int | None = None
    people: int | None = None
    weights: str = ""
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    dropout: float | None = None
    smoothing: float | None = None
    precision: Annotated[str, Choices("precision", more=("fp32", "bf16", "fp16"))] = "fp32"
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    options: Annotated[tuple[str, ...], Called("--option")] = dataclasses.field(default=(), metadata={"later": True})
    judge: tuple[str, ...] = dataclasses.field(default=(), metadata={"later": True})
    tau: float = dataclasses.field(default=TAU, metadata={"later": True})
    part: tuple[str, ...] = dataclasses.field(default=(), metadata={"later": True})

    def __post_init__(self) -> None:
        least = {"frames": 4, "people": 1, "epochs": 1, "batch": 2, "lr": 0, "weight_decay": 0, "seed": 0, "threads": 0}
        for name, value in least.items():
            if getattr(self, name) is not None and not getattr(self, name) >= value:
                raise UsageError(f"{name} must be at least {value}, got {getattr(self, name)}.")
        for name in ("dropout", "smoothing"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is a share from 0 to below 1, got {getattr(self, name)}.")
        for each in self.judge:
            _check_judge(each, self.dataset, self.tau)
        if self.judge and self.protocol != "none":
            raise UsageError("With --judge all classes but those near to it are trained on; leave --protocol out.")


def _check_judge(judge: str, dataset: str, tau: float) -> None:
    if not 0 <= tau < 1:
        raise UsageError(f"tau is a cosine distance from 0 to below 1, got {tau}.")
    if judge == dataset:
        raise UsageError(f"{judge!r} is what is learned from: --judge names another data set, or is left out.")


def command_line(stage: str, config: FitConfig | FinetuneConfig) -> str:
    """The command line of a stage's settings: the first of them is its argument, the others options."""
    argument, *fields = dataclasses.fields(config)
    words = ["zsar", stage, getattr(config, argument.name)]
    for field in fields:
        value = getattr(config, field.name)
        if value is None or (field.default is not dataclasses.MISSING and value == field.default):
            continue
        option = {"options": "option"}.get(field.name, field.name).replace("_", "-")
        for each in value if isinstance(value, tuple) else (value,):
            words += [f"--{option}"] if each is True else [f"--{option}", str(each)]
    return shlex.join(words)
