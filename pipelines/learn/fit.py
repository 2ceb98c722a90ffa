"""Fit: train a head on the seen classes of each split of a protocol.

Run    `zsar fit coco --dataset ucf101 --feature minilm --protocol ucf101-50 --splits 0-9`
Takes  videos with features, texts of their classes, a protocol
Gives  `runs/RUN/`: weights and history a split, and what they depend on; a `FitReport`

Whatever is chosen is chosen split by split, on classes held out from that split's SEEN ones (`choosing`); then all seen
classes are trained on, with what was chosen. The same command finds the same run (`runs`).
"""

import dataclasses
import importlib.metadata
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Any

import numpy as np
import torch

from pipelines.errors import Stopped, UsageError
from pipelines.learn.checkpoints import save
from pipelines.learn.choosing import Choice, choose, refuse_warmups
from pipelines.learn.composed import kept_nearest, told_of
from pipelines.learn.doubts import doubts
from pipelines.learn.engine import train
from pipelines.learn.protocols.fifths import kept_back_digest
from pipelines.learn.protocols.met_before import seen_before, trained_on
from pipelines.learn.protocols.protocols import chosen
from pipelines.learn.protocols.splits import Split
from pipelines.learn.runs import Run, key_of
from pipelines.learn.samples.features import SharedFeatures
from pipelines.learn.settings import FitConfig
from pipelines.learn.study import Study
from pipelines.learn.trained import command, run_name
from pipelines.learn.trials import Trial, task_of
from pipelines.machine import cores_here, device_of
from pipelines.progress import Progress
from stores.root import Root
from stores.runs import WEIGHTS
from stores.workplaces import Workplace

_SHOWN = 3  # notes on splits, of which there may be fifty


@dataclasses.dataclass(frozen=True)
class FitReport:
    """What was fitted.

    Attributes
    ----------
    run : its name
    splits, fitted : splits asked for, and those that were trained now; the others were there
    seconds : wall time
    notes : what a reader of the results must know
    """

    run: str
    splits: int
    fitted: int
    seconds: float
    notes: tuple[str, ...]


def fit(config: FitConfig, root: Root, progress: Progress | None = None) -> FitReport:
    """Train a head on each split asked for.

    Raises
    ------
    UsageError
        Options, classes, videos or texts that do not fit; the message says which.
    NotInStore, ExtractorError
        No such data set, feature or set of texts.
    Stopped
        A loss that is not finite.
    """
    started = time.monotonic()
    study = Study(config, root)
    numbers = chosen(config.splits, study.protocol.count)
    for number in numbers:
        _check(study, study.split(number))  # what is wrong with any is said before the first is trained
    run = Run(root, run_name(study))
    if not run.about():
        run.begin(_about(study))
    todo = run.lacking(numbers)
    for done, _ in enumerate(_fitted(study, run, todo), start=1):
        if progress:
            progress(done, len(todo))
    told = {number: run.told(number) or {} for number in numbers}
    kept = told_of({number: own.get("kept_nearest", {}) for number, own in told.items()})
    notes = (*study.notes, *_doubts(told), *([kept] if kept else ()))
    return FitReport(run.name, len(numbers), len(todo), time.monotonic() - started, notes)


def _check(study: Study, split: Split) -> None:
    """Refuse a split that its head cannot learn from, or with these settings not."""
    if not split.seen:
        if study.head.learns:
            raise UsageError(
                f"{study.config.head} learns, and {split} has no seen class to learn from. Learn from another data set "
                f"and judge on this one (`--dataset OTHER --judge {study.config.dataset}`), or take `nearest`."
            )
        return
    refuse_warmups(study, split)


def _doubts(told: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """What the splits say that is doubtful about them, the first few."""
    found = [f"split {n}: {line}" for n, own in told.items() for line in own.get("doubts", ())]
    more = [f"and {len(found) - _SHOWN} more such notes"] if len(found) > _SHOWN else []
    return found[:_SHOWN] + more


def _about(study: Study) -> dict[str, Any]:
    """All that a run depends on, as it is stored."""
    videos, texts = study.videos, study.texts
    libraries = ("torch", "lightning-fabric", "numpy", "faiss-cpu", "faiss-gpu")
    versions = {}
    for library in ("zsar", *libraries):
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    learned = {
        "dataset": study.config.dataset,
        "set": study.set,
        "digest": study.learned.digest,
        "state": study.learned_state,
        "classes": list(study.kept),
        "removed": list(study.removed),
        "tau": study.config.tau,
    }
    return ({"learned_from": learned} if study.config.judge else {}) | {
        "config": dataclasses.asdict(study.config),
        "command": command(study.config),
        "options": dataclasses.asdict(study.options),
        "training": dataclasses.asdict(study.training),
        "protocol": {"name": study.protocol.name, "source": study.protocol.source, "splits": study.protocol.count},
        "videos": {
            "dataset": videos.dataset,
            "feature": videos.feature,
            "recipe": videos.recipe,
            "snapshot": videos.snapshot,
            "digest": videos.digest,
            "segments": videos.segments.shape[1],
            "resampled": videos.resampled,
            "unlabelled": videos.unlabelled,
            "captions": videos.of_captions,
            "layers_trained": study.trains_visual,
            "pretraining": list(seen_before(videos)),
        },
        "texts": {
            "set": texts.set,
            "feature": texts.feature,
            "recipe": texts.recipe,
            "snapshot": texts.snapshot,
            "digest": texts.digest,
            "kinds": list(texts.tensors.kinds),
            "layers_trained": study.trains_layers,
            "state": texts.state,
            "cut": study.cut,
            "a_class": {k: len(own.owner) / max(len(texts.tensors), 1) for k, own in texts.tensors.kinds.items()},
        },
        "objects": _objects(study),
        "penalties": study.penalties,
        "kept_back": kept_back_digest(study.fifth) if study.config.gzsl else "",
        "new_texts": study.new_texts,
        "reads_unseen_texts": study.reads_new_texts,
        "notes": study.notes,
        "versions": versions,
    }


def _objects(study: Study) -> dict[str, Any] | None:
    """What a run says of the objects it read; None of one that read none."""
    if study.objects is None:
        return None
    own = study.objects
    return {
        "feature": own.feature,
        "recipe": own.recipe,
        "snapshot": own.snapshot,
        "digest": own.digest,
        "told": own.told,
        "pretraining": list(trained_on(own.feature, own.trained_on)),
        "videos_without": own.without,
    }


# -- splits, one after another or a core each -------------------------------------------------------------------------


def _fitted(study: Study, run: Run, todo: Sequence[int]) -> Iterator[int]:
    """Fit splits; yields the number of each when it is done. The bits do not depend on how many go at once."""
    config = study.config
    device = device_of(config.device)
    workers = min(config.workers or (cores_here() if device == "cpu" else 1), len(todo))
    if workers <= 1:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for number in todo:
                _fit_split(study, number, run, device)
                yield number
        finally:
            torch.set_num_threads(before)
        return
    with (
        study.videos.shared() as videos,
        ProcessPoolExecutor(workers, get_context("spawn"), _begin, (config, run.root.url, videos)) as pool,
    ):
        study.videos = videos.mapped()  # what was read is let go
        waiting = [pool.submit(_in_worker, number, run.name, device) for number in todo]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as error:
            raise Stopped(
                f"A process that fits was killed; was memory short? {workers} ran at once. Run the same command "
                f"again, with fewer (`--workers {max(workers // 2, 1)}`): it goes on where it was."
            ) from error
        except BaseException:
            for child in active_children():  # a split that is cut short goes on from its checkpoint
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_study: Study | None = None
_root: Root | None = None


def _begin(config: FitConfig, url: str, videos: SharedFeatures) -> None:
    """A worker begins: it maps the features that were read before it, and reads none."""
    global _study, _root
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    torch.set_num_threads(1)
    _root = Root(url)
    _study = Study(config, _root, videos.mapped())


def _in_worker(number: int, name: str, device: str) -> int:
    assert _study is not None
    assert _root is not None
    _fit_split(_study, number, Run(_root, name), device)
    return number


def _fit_split(study: Study, number: int, run: Run, device: str) -> None:
    with run.workplace(number) as folder:
        about = _fitted_split(study, number, folder, device)
        about["weights_key"] = key_of(folder.path / WEIGHTS)
    run.done(number, about)


def _fitted_split(study: Study, number: int, folder: Workplace, device: str) -> dict[str, Any]:
    """Train a split in a folder; what it says of itself then."""
    split = study.split(number)
    choice = choose(study, split, folder / "held-out", device) if study.chooses else Choice(study.options)
    training = choice.training or study.training
    seen, unseen = study.numbers(split.seen), study.numbers(split.unseen)
    doubted, kept = list(choice.doubts), dict[str, str]()
    if len(seen):
        trial = Trial(seen, np.empty(0, np.int64), study.new(split))
        task = task_of(study, trial, choice.options, device)
        train(task, training, folder, device)
        doubted += doubts(study, task.head, seen)
        kept = kept_nearest(task.head, study.told(unseen).to(device))
    else:
        save(study.model(choice.options), folder.path)
    about = {
        "number": number,
        "seen": split.seen,
        "validation": split.validation,
        "unseen": split.unseen,
        "options": dataclasses.asdict(choice.options),
        "training": dataclasses.asdict(training),
        "held_out": choice.held_out,
        "penalty": choice.penalty,
        "doubts": doubted,
        "kept_nearest": kept,
    }
    shutil.rmtree(folder.path / "held-out", ignore_errors=True)
    return about
