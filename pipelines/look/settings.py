"""Settings of exports, comparisons, audits, queries, and answers about a clip."""

import dataclasses
from typing import Annotated

from pipelines.errors import UsageError
from pipelines.settings import ARGUMENT, Called

ENCODER = "minilm"  #: that names of recognised objects go through, where none is asked for


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Settings of `zsar export`.

    Attributes
    ----------
    feature : name of a feature set
    dataset : data set whose items are written, in the order of its manifest
    set : in place of a data set: the set of classes whose texts are written, a row a text
    out : file, or folder for `per-video` npy; Lance's folder ends in .lance
    format : `hdf5`, `npy`, `parquet` or `lance`
    output : which output of the feature set
    layout : `ragged` or `per-video`
    kinds : of a set, texts of these kinds only, such as `class` or `definition`
    means : of a set, a row a class: the mean over its texts
    allow_missing : export the items there are, when some have no features
    """

    feature: Annotated[str, ARGUMENT]
    dataset: str = ""
    out: str = ""
    format: str = "hdf5"
    set: str = ""
    kinds: Annotated[tuple[str, ...], Called("--kind")] = ()
    means: bool = False
    output: str = "features"
    layout: str = "ragged"
    allow_missing: bool = False


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Settings of `zsar compare`.

    Attributes
    ----------
    a : name of a feature set
    b : name of another, or a file or folder of features made elsewhere
    dataset : whose video ids the file speaks of
    output : which output of A (and of B)
    worst : so many of the least alike videos are listed
    out : Parquet file for the whole table, optional
    """

    a: Annotated[str, ARGUMENT]
    b: Annotated[str, ARGUMENT]
    dataset: str | None = None
    output: str = "features"
    worst: int = 10
    out: str | None = None


@dataclasses.dataclass(frozen=True)
class ClassifyConfig:
    """Settings of `zsar classify`.

    Attributes
    ----------
    clip : path of a video file
    classes : the names to choose from
    leave_out : Kinetics classes to treat as never seen: their rows are not used, neither to classify nor to learn from
    objects : whether recognised objects count
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    """

    clip: str
    classes: tuple[str, ...]
    leave_out: tuple[str, ...] = ()
    objects: bool = False
    device: str = "auto"


@dataclasses.dataclass(frozen=True)
class AuditConfig:
    """Settings of `zsar audit`.

    Attributes
    ----------
    dataset : data set, or selection, to look at
    feature : feature set to compare its videos in; the one that has most of them, if none is named
    output : output of the feature set
    near : videos whose vectors, less the mean of all, have at least this cosine are near duplicates; so are two that
        are each other's nearest and far from any third
    neighbours : so many say what label a video should have, and how far out it lies
    runs : two runs judged on the data set: where they disagree
    """

    dataset: Annotated[str, ARGUMENT]
    feature: str = ""
    output: str = "features"
    near: float = 0.99
    neighbours: int = 10
    runs: Annotated[tuple[str, ...], Called("--run")] = ()

    def __post_init__(self) -> None:
        if not 0 < self.near <= 1:
            raise UsageError(f"--near is a cosine between 0 and 1, got {self.near:g}.")
        if self.neighbours < 1:
            raise UsageError(f"--neighbours must be at least 1, got {self.neighbours}.")


@dataclasses.dataclass(frozen=True)
class QueryConfig:
    """Settings of `zsar query`.

    Attributes
    ----------
    phrase : what to look for, in words
    like : VIDEO, or VIDEO@START-END in seconds: what the segments found are to be like
    dataset : data set to look in; all, if none is given
    feature : feature set to compare in, or a run of `zsar fit`, in whose head's space a phrase is compared
    output : output of the feature set to compare segments in, where it is not `features`
    where : condition in SQL on dataset, video_id, label, split, segment, start_s, end_s, text, uri, key
    k : so many segments (videos, with `each`; texts, with `set`)
    each : the phrase is a description: each of its sentences finds its segment in the videos that tell all of them best
    set : with `like`: the texts of this set that tell the segments best, in place of other segments
    kinds : of the set, texts of these kinds only, such as `phrase` or `definition`
    weights : `NAME=PATH` of an encoder whose weights are a file of your own
    encoder : in a set of recognised objects, what their names and the phrase go through
    device : of the encoder, and of an index while it is made: `auto`, `cpu`, `cuda` or `cuda:N`
    """

    phrase: Annotated[str, ARGUMENT] = ""
    like: str = ""
    dataset: str = ""
    feature: str = ""
    output: str = ""
    where: str = ""
    k: Annotated[int, Called("-k")] = 20
    each: bool = False
    set: str = ""
    kinds: Annotated[tuple[str, ...], Called("--kind")] = ()
    weights: tuple[str, ...] = ()
    encoder: str = ENCODER
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"-k must be at least 1, got {self.k}.")
        if self.each and not self.phrase:
            raise UsageError("--each is of a description: give it as the phrase.")
        if self.set and not self.like:
            raise UsageError("--set tells what segments show: give --like VIDEO@START-END.")
        if self.kinds and not self.set:
            raise UsageError("--kind is of the texts of --set.")
