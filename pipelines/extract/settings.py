"""Settings of extraction, on one machine or many, and of verification."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from pipelines.errors import UsageError
from pipelines.settings import ARGUMENT, Called, Choices


@dataclasses.dataclass(frozen=True)
class ExtractConfig:
    """Settings of `zsar extract`.

    Attributes
    ----------
    features : extractor names, each with options after a colon: `r2plus1d_18:clips=25,frames=16`
    dataset : name of the data set; an encoder of texts reads its captions, or, where it has none, the set of this name
    set : which set of texts, in place of a data set
    kinds : of a set of texts, only these kinds (`class`, `definition`, ...); none: all
    weights : `NAME=PATH` or `NAME=random:SEED` for extractors that shall not take the default
    precision : of the computation
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    workers : forward threads on a CPU, of one core each; 0 takes one a core
    decoders : decode threads; 0 takes one a core
    commit_every_s : hand-over at least this often
    retry_failed : try quarantined items again
    same_errors : stop after this many identical errors in a row
    """

    features: Annotated[
        tuple[str, ...], ARGUMENT, Choices("extractor", "extractors:EXTRACTORS", with_options=True, told=False)
    ]
    dataset: str = ""
    weights: tuple[str, ...] = ()
    precision: Annotated[str, Choices("precision", more=("fp32", "bf16"))] = "fp32"
    device: str = "auto"
    workers: int = 0
    decoders: int = 0
    commit_every_s: float = 30.0
    retry_failed: bool = False
    same_errors: int = 50
    kinds: Annotated[tuple[str, ...], Called("--kind")] = ()
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


RUNNERS = ("local", "dask")


@dataclasses.dataclass(frozen=True)
class ShardConfig:
    """How a flow cuts an extraction into shards, and who works on them.

    Attributes
    ----------
    size : items a shard; a unit of scheduling only, and more where a run would have over 1,000 shards
    runner : one shard after another in the flow's own process (`local`), or a cluster
    cluster : of Dask: a scheduler's address, the qualified name of a cluster class, or nothing for one on this machine
    cluster_options : keyword arguments of that class
    adapt : keyword arguments of its `adapt`, to grow and shrink with the work
    """

    size: int = 500
    runner: Annotated[str, Choices("runner", more=RUNNERS)] = "local"
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
    seed : which items are drawn
    weights : `NAME=PATH` for sets that were not made from the default weights
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    """

    features: Annotated[tuple[str, ...], ARGUMENT] = ()
    weights: tuple[str, ...] = ()
    recompute: int = 0
    repair: bool = False
    seed: int = 0
    device: str = "auto"
