"""The stages' settings: one frozen dataclass a stage.

Their fields are the flow parameters and the command's options alike; `--config F.toml` fills those not given by hand.
"""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from pipelines.errors import UsageError

INDEXED = ("videos", "captions", "poses")


@dataclasses.dataclass(frozen=True)
class IndexConfig:
    """Settings of `zsar index`.

    Attributes
    ----------
    paths : folders, files or URLs to index; of poses also a feature set that holds them, `mediapipe@KEY`
    dataset : name of the data set they belong to
    layout : `auto`, or one of `layouts.LAYOUTS`; of poses the layout of their joints, where their files do not say it
    labels : a label file of the data set's published form, where the layout has one; of NTU's poses, its class names
    prune : forget rows of files that are gone
    kind : what is indexed: `videos`, `captions` that stand for them, or `poses`
    axes : of arrays of poses, the order of their axes where it is not certain, a letter each: `ctvm`
    declare : of poses, a TOML file of a layout of your own, which their joints are in
    """

    paths: tuple[str, ...]
    dataset: str
    layout: str = "auto"
    labels: tuple[str, ...] = ()
    prune: bool = False
    kind: str = "videos"
    axes: str = ""
    declare: str = ""

    def __post_init__(self) -> None:
        for name in ("axes", "declare"):
            if getattr(self, name) and self.kind != "poses":
                raise UsageError(f"{name} is about poses: give --kind poses with it.")
        if self.declare and self.layout != "auto":
            raise UsageError(f"The joints are in one layout: {self.layout}, or the one that {self.declare} declares.")
        if self.kind not in INDEXED:
            raise UsageError(f"What is indexed is {' or '.join(INDEXED)}, got {self.kind!r}.")


@dataclasses.dataclass(frozen=True)
class ExtractConfig:
    """Settings of `zsar extract`.

    Attributes
    ----------
    features : extractor names, each with options after a colon: `r2plus1d_18:clips=25,frames=16`
    dataset : which data set; an encoder of texts reads its captions, or, where it has none, the set of this name
    set : which set of texts, in place of a data set
    kinds : of a set of texts, only these kinds (`class`, `definition`, ...); none: all
    weights : `NAME=PATH` or `NAME=random:SEED` for extractors that shall not take the default
    precision : `fp32` or `bf16`
    device : `auto`, `cpu` or `cuda[:i]`
    workers : forward threads on a CPU, of one core each; 0 takes one a core
    decoders : decode threads; 0 takes one a core
    commit_every_s : hand-over at least this often
    retry_failed : try quarantined items again
    same_errors : stop after this many identical errors in a row
    """

    features: tuple[str, ...]
    dataset: str = ""
    weights: tuple[str, ...] = ()
    precision: str = "fp32"
    device: str = "auto"
    workers: int = 0
    decoders: int = 0
    commit_every_s: float = 30.0
    retry_failed: bool = False
    same_errors: int = 50
    kinds: tuple[str, ...] = ()
    set: str = ""

    @property
    def items(self) -> str:
        """Name of what is extracted from: of the data set, or of the set of texts."""
        return self.set or self.dataset

    def __post_init__(self) -> None:
        if bool(self.dataset) == bool(self.set):
            raise UsageError("What shall be extracted from? Give either --dataset NAME or --set NAME.")
        for name, least in (("workers", 0), ("decoders", 0), ("commit_every_s", 0), ("same_errors", 1)):
            if not getattr(self, name) >= least:  # so put, it also refuses what is not a number
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}.")


@dataclasses.dataclass(frozen=True)
class TextsConfig:
    """Settings of `zsar texts add`.

    Attributes
    ----------
    files : what to read, in this order
    kind : `class`, `definition`, `description`, `phrase` or `object`
    set : the set of classes they are about
    part : what of a class they tell, where a record does not say so itself; heads can be told to read one part
    encoding : of lines that are not UTF-8, such as `cp1252`; nothing: they are not read
    """

    files: tuple[str, ...]
    kind: str
    set: str
    part: str = ""
    encoding: str = ""

    def __post_init__(self) -> None:
        try:
            b" ".decode(self.encoding or "utf-8")
        except LookupError as error:
            known = "cp1252 (Windows), latin-1, mac_roman, utf-16-le"
            raise UsageError(f"No encoding of texts is called {self.encoding!r}; there are {known}, ...") from error


@dataclasses.dataclass(frozen=True)
class RankConfig:
    """Settings of `zsar texts rank`.

    Attributes
    ----------
    set : whose descriptions
    k : so many a class
    vectors : the word vectors that say how relevant a description is, as an extractor's name
    weights : `NAME=PATH` for word vectors from a file
    """

    set: str
    k: int = 100
    vectors: str = "glove_50d"
    weights: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"k must be at least 1, got {self.k}.")


@dataclasses.dataclass(frozen=True)
class PhrasesConfig:
    """Settings of `zsar texts phrases`.

    Attributes
    ----------
    set : whose classes
    corrections : JSON or CSV file of phrases written by hand, which replace those of its classes
    """

    set: str
    corrections: str = ""


@dataclasses.dataclass(frozen=True)
class LintConfig:
    """Settings of `zsar texts lint`.

    Attributes
    ----------
    set : what is looked at
    against : another set, whose classes should not be among those of the first
    vectors : word vectors of the names
    encoder : sentence vectors, to compare a definition with its class
    weights : `NAME=PATH` for either
    near : E2E's distance of classes of two sets below which they are the same
    """

    set: str
    against: str = ""
    vectors: str = "glove_50d"
    encoder: str = "minilm"
    weights: tuple[str, ...] = ()
    near: float = 0.05


@dataclasses.dataclass(frozen=True)
class ObjectTextsConfig:
    """Settings of `zsar texts objects`.

    Attributes
    ----------
    feature : a feature set with recognised objects (`bit_objects`)
    dataset : whose videos
    set : where the texts go
    top : so many objects a video
    """

    feature: str
    dataset: str
    set: str
    top: int = 5


RUNNERS = ("local", "dask")


@dataclasses.dataclass(frozen=True)
class ShardConfig:
    """How a flow cuts an extraction into shards, and who works on them.

    Attributes
    ----------
    size : items a shard; a unit of scheduling only, and more where a run would have over 1,000 shards
    runner : `local`, one shard after another in the flow's own process, or `dask`
    cluster : of Dask: a scheduler's address, the qualified name of a cluster class, or nothing for one on this machine
    cluster_options : keyword arguments of that class
    adapt : keyword arguments of its `adapt`, to grow and shrink with the work
    """

    size: int = 500
    runner: str = "local"
    cluster: str = ""
    cluster_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    adapt: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"shard size must be at least 1, got {self.size}.")
        if self.runner not in RUNNERS:
            raise UsageError(f"runner must be {' or '.join(RUNNERS)}, got {self.runner!r}.")
        if self.runner == "local" and (self.cluster or self.cluster_options or self.adapt):
            raise UsageError("A cluster was described, but the runner is local; set runner to dask.")


@dataclasses.dataclass(frozen=True)
class VerifyConfig:
    """Settings of `zsar verify`.

    Attributes
    ----------
    features : names of feature sets; none: all
    recompute : so many items a set, drawn by `seed`, are computed again and compared
    repair : compute damaged items again and rewrite their rows
    weights : `NAME=PATH` for sets that were not made from the default weights
    """

    features: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    recompute: int = 0
    repair: bool = False
    seed: int = 0
    device: str = "auto"


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Settings of `zsar export`.

    Attributes
    ----------
    feature : name of a feature set
    dataset : items in the order of this manifest
    format : `hdf5`, `npy` or `parquet`
    out : file, or folder for `per-video` npy
    output : which output of the feature set
    layout : `ragged` or `per-video`
    allow_missing : export the items there are, when some have no features
    """

    feature: str
    dataset: str
    format: str
    out: str
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

    a: str
    b: str
    dataset: str | None = None
    output: str = "features"
    worst: int = 10
    out: str | None = None


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """Settings of `zsar fit`.

    Attributes
    ----------
    head : `nearest`, `er`, `jigsaw`, `coco`, `pseudo`, or a baseline of `heads.HEADS`
    dataset : whose videos
    feature : of the videos; a name of a feature set
    protocol : which classes are seen: a name, or a JSON file
    splits : which of the protocol's: `0-9,12`; nothing: all
    set : of texts, with the classes; nothing: the one named as the data set
    encoder : of the texts; nothing: the feature itself where captions stand for videos, else `minilm`
    objects : feature set of recognised objects; nothing: heads go without
    k : so many descriptions a class, the most relevant; 0: all
    options : `NAME=VALUE` for the head or its training
    tune : `NAME=V1,V2,...`: of these each split takes what is best on classes held out from its SEEN ones
    folds : so many such held-out sets a choice is made on
    hold_out : share of the seen classes held out for validation, where anything is chosen
    gzsl : also keep a fifth of each seen class's videos from training, to judge on them
    standardise : judge by scores of each class that are told from its scores on the videos trained on
    seed : of everything that is drawn
    segments : of a video; 0: as many as most have
    device : `auto`, `cpu` or `cuda[:i]`
    workers : splits at once, a core each; 0: one a core
    """

    head: str
    dataset: str
    feature: str
    protocol: str
    splits: str = ""
    set: str = ""
    encoder: str = ""
    objects: str = ""
    k: int = 100
    options: tuple[str, ...] = ()
    tune: tuple[str, ...] = ()
    folds: int = 3
    hold_out: float = 0.2
    gzsl: bool = False
    standardise: bool = False
    seed: int = 0
    segments: int = 0
    device: str = "auto"
    workers: int = 0

    def __post_init__(self) -> None:
        for name, least in (("k", 0), ("folds", 1), ("segments", 0), ("workers", 0), ("seed", 0)):
            if not getattr(self, name) >= least:
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not 0 < self.hold_out < 1:
            raise UsageError(f"hold_out is a share between 0 and 1, got {self.hold_out}.")


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of `zsar evaluate`.

    Attributes
    ----------
    run : its name, or how it begins
    splits : which of those that are fitted; nothing: all
    """

    run: str
    splits: str = ""


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """Settings of `zsar finetune`.

    Attributes
    ----------
    model : `stgcn` or `stgcn_small`
    dataset : of poses
    protocol : whose seen classes are trained on: a name, or a JSON file; `none`: all classes
    splits : which of the protocol's: `0-9,12`; nothing: all
    set, encoder : of the class names, for a protocol that draws by their vectors; nothing: the data set's, `minilm`
    gzsl : keep from training the fifth of the sequences that `fit` with `gzsl` judges on
    train : conditions on the sequences to train on, `subject=1,3,5`; all must hold
    test : the same on sequences of the trained classes to report top-1 on; nothing: none
    layout : of the network's joints; nothing: those of the poses
    frames, people : of what the network is given
    weights : file to begin with, but for the classifier; nothing: weights are drawn
    epochs, batch, lr, weight_decay : of SGD with Nesterov's momentum .9, after a warm-up on a cosine to nought
    dropout, smoothing : of the network, of the labels
    precision : `fp32` or `bf16`
    seed : of everything that is drawn
    device : `auto`, `cpu` or `cuda[:i]`
    threads : cores on a CPU; 0: all
    """

    model: str
    dataset: str
    protocol: str = "none"
    splits: str = ""
    set: str = ""
    encoder: str = "minilm"
    gzsl: bool = False
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    layout: str = ""
    frames: int = 32
    people: int = 1
    weights: str = ""
    epochs: int = 60
    batch: int = 16
    lr: float = 0.1
    weight_decay: float = 5e-4
    dropout: float = 0.25
    smoothing: float = 0.1
    precision: str = "fp32"
    seed: int = 0
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        least = {"frames": 4, "people": 1, "epochs": 1, "batch": 2, "lr": 0, "weight_decay": 0, "seed": 0, "threads": 0}
        for name, value in least.items():
            if not getattr(self, name) >= value:
                raise UsageError(f"{name} must be at least {value}, got {getattr(self, name)}.")
        for name in ("dropout", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is a share from 0 to below 1, got {getattr(self, name)}.")


def command_line(stage: str, config: FitConfig | FinetuneConfig) -> str:
    """The command line of a stage's settings: the first of them is its argument, the others options."""
    argument, *fields = dataclasses.fields(config)
    words = ["zsar", stage, getattr(config, argument.name)]
    for field in fields:
        value = getattr(config, field.name)
        if field.default is not dataclasses.MISSING and value == field.default:
            continue
        option = {"options": "option"}.get(field.name, field.name).replace("_", "-")
        for each in value if isinstance(value, tuple) else (value,):
            words += [f"--{option}"] if each is True else [f"--{option}", str(each)]
    return shlex.join(words)
