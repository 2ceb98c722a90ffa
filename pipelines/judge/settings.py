"""Settings of evaluation."""

import dataclasses
from typing import Annotated

from pipelines.settings import ARGUMENT, Called, Choices


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of `zsar evaluate`.

    Attributes
    ----------
    run : its name, or how it begins
    splits : which of those that are fitted; nothing: all
    """

    run: Annotated[str, ARGUMENT]
    splits: str = ""


@dataclasses.dataclass(frozen=True)
class FuseConfig:
    """Settings of `zsar fuse`.

    Attributes
    ----------
    runs : of `zsar fit`: their names, or how they begin
    splits : which of those that are fitted of all; nothing: all
    """

    runs: Annotated[tuple[str, ...], ARGUMENT]
    splits: str = ""


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """Settings of `zsar judge`.

    Attributes
    ----------
    run : a run of `zsar finetune`: its name, or how it begins
    splits : which of those that are trained; nothing: all
    sampling : options of the extractor, such as `clips=1`; nothing: as it has them
    head : that judges; nothing: the one that belongs to what was trained; else
    output : of the features that the head reads; nothing: the one that belongs to what was trained
    encoder : of the texts; nothing: the one that belongs to what was trained
    set : set of texts with the classes; nothing: the one it was trained with
    options : `NAME=VALUE` for the head
    dataset, protocol : whose items are judged, and on which classes: of a network that was trained on all classes of
        another data set, such as `cross-0/50`; nothing: as it was trained
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    """

    run: Annotated[str, ARGUMENT]
    splits: str = ""
    sampling: str = ""
    head: Annotated[str, Choices("head", "heads:HEADS")] = ""
    output: str = ""
    encoder: str = ""
    set: str = ""
    options: Annotated[tuple[str, ...], Called("--option")] = ()
    dataset: str = ""
    protocol: str = ""
    device: str = "auto"


@dataclasses.dataclass(frozen=True)
class NamedConfig:
    """Settings of `zsar named`.

    Attributes
    ----------
    run : of `zsar fit jigsaw`: its name, or how it begins
    moments : CSV of what is done when: id, phrase, start_s, end_s, as the `segments.csv` of a practice world
    split : which of those that are fitted
    """

    run: Annotated[str, ARGUMENT]
    moments: str
    split: int = 0
