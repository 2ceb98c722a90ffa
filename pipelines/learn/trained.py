"""What `fit` trained, found again: the name of a study's run, the study of a run, a split's head as it was fitted."""

import dataclasses
from pathlib import Path
from typing import Any

from heads.base import Head
from pipelines.errors import UsageError
from pipelines.learn.checkpoints import load
from pipelines.learn.protocols.fifths import kept_back_digest
from pipelines.learn.runs import Run, identity, name_of
from pipelines.learn.settings import FitConfig, command_line
from pipelines.learn.study import Study

_NOT_IDENTITY = ("splits", "device", "workers")


def run_name(study: Study) -> str:
    """Head, data set, protocol, and a hash of all that the weights depend on."""
    config = study.config
    if config.weights:  # what is in the file counts, which the features are made with, not where it lies
        config = dataclasses.replace(config, weights=study.videos.weights)
    parts: list[Any] = [identity(config, _NOT_IDENTITY), identity(study.options), identity(study.training)]
    parts += [study.videos.recipe, study.videos.digest, study.texts.recipe, study.texts.digest]
    if study.protocol.name.endswith(".json") or Path(study.protocol.name).is_file():  # what it says may change
        parts += [dataclasses.asdict(split) for split in study.protocol.splits]
    if study.config.gzsl:
        parts.append(kept_back_digest(study.fifth))
        parts += [study.penalties] if study.penalties else []
    if any(split.validation for split in study.protocol.splits) and study.new_texts and study.reads_new_texts:
        parts.append(study.new_texts)
    if study.objects:  # what was recognised, by what, and how it is told
        objects = study.objects
        parts.append([objects.recipe, objects.digest, objects.told, objects.texts_digest])
    datasets = (study.config.dataset, study.config.judge) if study.config.judge else (study.videos.dataset,)
    return name_of((study.config.head, *datasets), study.protocol.name, parts)


def config_of(about: dict[str, Any]) -> FitConfig:
    """The configuration of a run."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about["config"].items()}
    return FitConfig(**fields)


def command(config: FitConfig) -> str:
    """The command line of a configuration."""
    return command_line("fit", config)


def study_of(run: Run) -> tuple[Study, bool]:
    """What a run was fitted on, as it is now, and whether it is as it was then: else its weights mean nothing.

    Raises
    ------
    NotInStore, UsageError, ExtractorError
        Features or texts are gone, or it is several runs judged as one.
    """
    about = run.about()
    if parts := about.get("runs"):
        raise UsageError(f"{run.name} is {len(parts)} runs judged as one, and has no head: `{about['command']}`.")
    study = Study(config_of(about), run.root, fitted=about)
    return study, run_name(study) == run.name


def head_of(study: Study, run: Run, number: int) -> tuple[Head, Any]:
    """The head of a split that is done, in evaluation mode on the CPU; and its options."""
    told = run.told(number)
    assert told is not None
    options = study.option_values(told["options"])
    head = study.model(options)
    load(head, run.weights(number).parent)
    return head.eval(), options
