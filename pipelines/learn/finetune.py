"""Finetune: train a network on the items of the seen classes of each split of a protocol.

Run    `zsar finetune stgcn_small --dataset utd --protocol utd-mhad-22/5`
       `zsar finetune stgcn_small --dataset utd --train subject=1,3,5,7 --test subject=2,4,6,8`
Takes  what is trained (`trainables`), a data set, a protocol, or conditions on the items to train and to test on
Gives  `runs/RUN/split-000/weights.safetensors` a split, in the published names, which says in its header what it was
       trained on; a `FinetuneReport`

Nothing is chosen on items that are judged later: the number of epochs is fixed. The same command finds the same run
(`runs`). Where a network begins from weights (`weights`), those must not have seen an unseen class: published ones,
which saw all classes of their data set, are refused there.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from extractors.errors import InputFault
from extractors.weights import at_path
from pipelines.errors import UsageError
from pipelines.learn import options, ranks, trainables
from pipelines.learn.begun import refuse_seen, sample
from pipelines.learn.checkpoints import save
from pipelines.learn.engine import train
from pipelines.learn.parts import Named, Part, kept_back, named, parts
from pipelines.learn.runs import Run, identity, key_of, name_of
from pipelines.learn.settings import FinetuneConfig, command_line
from pipelines.learn.tasks import Task
from pipelines.learn.trainables.base import Trainable
from pipelines.learn.training import Training
from pipelines.machine import device_of, processes, threads_here
from pipelines.progress import Telling
from stores.failures import Failure, Failures
from stores.keys import rows_digest, stream_key
from stores.root import Root
from stores.runs import WEIGHTS
from stores.workplaces import Workplace

_NOT_IDENTITY = ("splits", "device", "threads")


@dataclasses.dataclass(frozen=True)
class FinetuneReport:
    """What was trained.

    Attributes
    ----------
    run : its name
    weights : path by number of split
    top1 : on the sequences to test, the mean over splits; None where none were asked for
    trained : splits that were trained now; the others were there
    sequences, failed : that can be used, and that cannot; these are in the failures
    seconds : wall time
    notes : what a reader of the results must know
    """

    run: str
    weights: dict[int, str]
    top1: float | None
    trained: int
    sequences: int
    failed: int
    seconds: float
    notes: tuple[str, ...]


def finetune(config: FinetuneConfig, root: Root, progress: Telling | None = None) -> FinetuneReport:
    """Train a network on the seen classes of each split asked for.

    Parameters
    ----------
    config : FinetuneConfig
    root : Root
    progress : callable, optional
        Called with (epochs done, epochs in all, the loss and how fast it goes).

    Raises
    ------
    UsageError
        Conditions, classes or items that do not fit; the message says which.
    NotInStore, ExtractorError
        No such data set; weights that do not fit, or that have seen an unseen class.
    Stopped
        A loss that is not finite.
    """
    started = time.monotonic()
    asked_for = config
    with ranks.first():  # what lacks of the vectors of class names is computed, and stored, by one
        config = settled(config)
        trained = trainable(config, root)
        if device_of(config.device) == "cpu" and config.precision not in trained.cpu_precisions:
            raise UsageError(
                f"{config.model} cannot be trained in {config.precision} on a CPU, whose gradients are wrong there. "
                f"Give --precision {trained.cpu_precisions[0]}, or a GPU (`--device cuda`)."
            )
        items, leads = trained.items, not processes().rank
        if leads:
            _note(items.faults, config, root)
        names = named(config, trained, root)
        asked = list(parts(config, items, names))
        for part in asked:
            training(config, trained, len(part.train)).refuse_warmup(len(part.train))
    run = Run(root, run_name(config, trained, names), "finetune")
    removed = {"removed": list(names.removed)} if config.judge else {}
    if leads:
        run.begin(_about(config, trained, asked, run) | {"command": command_line("finetune", asked_for)} | removed)
    numbers = {part.number: part for part in asked}
    todo = ranks.agreed(run.lacking(numbers))
    for before, number in enumerate(todo):
        part = numbers[number]
        samples = training(config, trained, len(part.train)).samples_an_epoch(len(part.train))
        _train(config, trained, part, run, _told(progress, before, len(todo), number, samples))
    ranks.agreed(None)  # the first has written what is read now
    found = [run.told(number) or {} for number in numbers]
    tested = [each["top1"] for each in found if each["top1"] is not None]
    notes = [f"{items.unlabelled} {items.called}s have no label"] if items.unlabelled else []
    if config.judge:
        named_out = f": {', '.join(names.removed)}" if names.removed else ""
        notes.append(
            f"{len(names.removed)} classes are classes of {' or '.join(config.judge)}, and left out{named_out}"
        )
    notes += [
        f"split {p.number}: {p.twins} {items.called}s to test are also trained on, and left out"
        for p in asked
        if p.twins
    ]
    return FinetuneReport(
        run=run.name,
        weights={number: str(run.weights(number)) for number in numbers},
        top1=float(np.mean(tested)) if tested else None,
        trained=len(todo),
        sequences=len(items.ids),
        failed=len(items.faults),
        seconds=time.monotonic() - started,
        notes=tuple(notes),
    )


def settled(config: FinetuneConfig) -> FinetuneConfig:
    """The settings, those that were not given as what is trained has them.

    Raises
    ------
    UsageError
        One that was given, and that nothing of what is trained is called by.
    """
    kind = trainables.find(config.model)
    own: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(kind.Options)}
    own |= kind.trained_by
    ours = [field.name for field in dataclasses.fields(config) if field.default is None]
    if strange := [name for name in (*ours, "layout") if getattr(config, name) not in (None, "") and name not in own]:
        raise UsageError(f"{config.model} has no {', '.join(strange)}; leave {' and '.join(strange)} out.")
    values: dict[str, Any] = {name: own.get(name) for name in ours if getattr(config, name) is None}
    return dataclasses.replace(config, **values)


def trainable(config: FinetuneConfig, root: Root) -> Trainable:
    """What the settings ask to train, with its items.

    Raises
    ------
    UsageError, NotInStore
        As `finetune`.
    """
    config = settled(config)
    return trainables.find(config.model)(config.model, own_options(config), config.dataset, root)


def own_options(config: FinetuneConfig) -> Any:
    """The `Options` of what is trained, as the settings ask for them."""
    kind, config = trainables.find(config.model), settled(config)
    return options.settings(config.model, kind.Options, options.pairs(config.options), {}, _own(config))[0]


def training(config: FinetuneConfig, trained: Trainable, samples: int) -> Training:
    """The engine's settings, of so many samples an epoch."""
    assert config.epochs is not None
    assert config.batch is not None
    steps = config.epochs * -(-samples // config.batch)
    given = options.pairs(config.options)
    follows = options.as_published(trained.training(config.epochs, steps), given)
    return options.settings(config.model, trained.Options, given, follows, _own(config))[1]


def run_name(config: FinetuneConfig, trained: Trainable, names: Named) -> str:
    """Model, data set, protocol, and a hash of all that the weights depend on."""
    config, items = settled(config), trained.items
    if config.weights:  # what is in the file counts, not where it lies
        with at_path(config.weights).open("rb") as file:
            config = dataclasses.replace(config, weights=stream_key(file).hex())
    idle = {field.name for field in dataclasses.fields(trained.Options) if field.metadata.get("idle")}
    told = tuple(each for each in config.options if each.partition("=")[0] not in idle)
    config = dataclasses.replace(config, options=told)
    depends: list[Any] = [identity(config, _NOT_IDENTITY), *trained.about.values(), items.digest()]
    if sorted(names.classes) != list(items.classes):  # drawn by the spelling of a set, which may change
        depends.append(sorted(names.classes))
    if config.gzsl and any("recording" in split for split in items.splits):  # else it follows from the names
        depends.append(rows_digest(kept_back(items).tobytes()).hex())
    if names.vectors is not None:
        depends += [names.classes, rows_digest(names.vectors.tobytes()).hex()]
    return name_of((config.model, config.dataset), config.protocol, depends)


def _own(config: FinetuneConfig) -> dict[str, Any]:
    """Settings of the stage that are those of what is trained, or of its training, where they are called alike."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if value is not None}


def _about(config: FinetuneConfig, trained: Trainable, asked: list[Part], run: Run) -> dict[str, Any]:
    """What a run depends on, as it is stored; splits that were asked for before stay asked for."""
    return {
        "config": identity(config),
        "splits": sorted({*run.about().get("splits", ()), *(part.number for part in asked)}),
        **trained.about,
        "sequences": len(trained.items.ids),
        "failed": len(trained.items.faults),
        "digest": trained.items.digest(),
    }


def _train(config: FinetuneConfig, trained: Trainable, part: Part, run: Run, told: Callable[..., None]) -> None:
    with run.workplace(part.number) as folder:
        about = _trained(config, trained, part, run, folder, told)
        if not processes().rank:
            about["weights_key"] = key_of(folder.path / WEIGHTS)
    if not processes().rank:
        run.done(part.number, about)


def _trained(
    config: FinetuneConfig, trained: Trainable, part: Part, run: Run, folder: Workplace, told: Callable[..., None]
) -> dict[str, Any]:
    """Train a split in a folder; what it says of itself then."""
    started, whole = time.monotonic(), folder.is_empty
    device = device_of(config.device)
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or threads_here())
    try:
        torch.manual_seed(config.seed)
        network = trained.network(part.classes).to(device)
        texts = trained.texts(part.classes).to(device)
        head = trained.head(texts).to(device)
        seen = None
        if config.weights:
            path = at_path(config.weights)
            seen = trained.begin(network, path, part.unseen)
            items = trained.items
            kept = [items.keys[row] for row in np.flatnonzero(kept_back(items))] if config.gzsl else None
            refuse_seen(seen, path, part.unseen, config.dataset, kept)
        samples = trained.samples(part.train, part.classes, device)
        task, settings = Task(samples, head, texts, visual=network), training(config, trained, len(samples))
        stages = trained.stages(network, part.classes)
        epochs = [stage.training.get("epochs", settings.epochs) for stage in stages]
        try:
            for number, stage in enumerate(stages):
                first = Task(samples, stage.head, texts, visual=stage.visual.to(device))
                asked = dataclasses.replace(settings, **stage.training)
                train(first, asked, folder / stage.name, device, _part_of(told, epochs, number, settings.epochs))
            history = train(task, settings, folder, device, _part_of(told, epochs, len(stages), settings.epochs))
        finally:
            _note(trained.broken(samples), config, run.root)
        named_in_it = sample(trained.items.keys[row] for row in part.train) if config.gzsl else False
        save(task.model, folder.path, trained.header(part.classes, named_in_it, seen))
        task.model.eval()
        to_test = trained.samples(part.test, part.classes, device)
        tested = task.top1(to_test, texts) if len(part.test) else None
    finally:
        torch.set_num_threads(before)
    return {
        "number": part.number,
        "classes": part.classes,
        "unseen": part.unseen,
        "trained_on": len(part.train),
        "tested_on": len(part.test),
        "twins": part.twins,
        "epochs": len(history.epochs),
        "top1": tested,
        "seconds": round(time.monotonic() - started, 1) if whole else None,  # not known of one that was killed
    }


def _part_of(told: Callable[..., None], before: Sequence[int], number: int, last: int) -> Callable[..., None]:
    """Tell the epochs of one of several trainings as some of all of theirs."""
    done_before, total = sum(before[:number]), sum(before) + last
    return lambda done, _, entry: told(done_before + done, total, entry)


def _note(faults: Iterable[tuple[bytes, str, InputFault]], config: FinetuneConfig, root: Root) -> None:
    """Put items that cannot be used into the failures: a file of its own, so each process notes what it has met."""
    stage, model = "finetune", config.model
    Failures(root).append(
        [
            Failure(key, uri, config.dataset, f"finetune {model}", "", stage, type(fault).__name__, str(fault))
            for key, uri, fault in faults
        ]
    )


def _told(
    progress: Telling | None, before: int, splits: int, number: int, samples: int
) -> Callable[[int, int, dict[str, float]], None]:
    """Tell the epochs of a split, with the loss of the last and how many samples a second it took."""
    begun = time.monotonic()

    def told(done: int, total: int, entry: dict[str, float]) -> None:
        nonlocal begun
        rate, begun = samples / max(time.monotonic() - begun, 1e-9), time.monotonic()
        if progress:
            said = f"split {number}, loss {entry['loss']:.4g}, {rate:.0f} samples/s"
            progress(before * total + done, splits * total, said)

    return told
