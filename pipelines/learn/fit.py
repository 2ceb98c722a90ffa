"""Fit: train a head on the seen classes of each split of a protocol.

Run    `zsar fit coco --dataset ucf101 --feature minilm --protocol ucf101-50 --splits 0-9`
Takes  videos with features, texts of their classes, a protocol
Gives  `runs/RUN/`: weights and history a split, and what they depend on; a `FitReport`

Whatever is chosen (options under `tune`, when to stop, the penalty of seen classes) is chosen split by split, on
classes held out from that split's SEEN ones; then all seen classes are trained on, with what was chosen. A class that
is seen in one split is unseen in another, so nothing is chosen across splits. The same command finds the same run: it
goes on where it was killed, adds splits, or finds that there is nothing to do.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heads import metrics
from pipelines.learn.engine import History, Training, save, train
from pipelines.learn.protocols.met_before import seen_before
from pipelines.learn.protocols.protocols import chosen
from pipelines.learn.protocols.splits import Split, folds, hold_out
from pipelines.learn.settings import FitConfig, command_line
from pipelines.learn.study import HeadTask, Study, Trial, spread, trained_in
from pipelines.machine import cores_here, device_of
from pipelines.progress import Progress
from stores.root import Root
from stores.runs import Runs

_ABOUT = "split.json"
_NOT_IDENTITY = ("splits", "device", "workers")
_PENALTIES = np.linspace(-1.0, 4.0, 101)


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
        study.split(number)  # what is wrong with any split is said before the first is trained
    name = run_name(study)
    runs = Runs(root)
    runs.folder(name).mkdir(parents=True, exist_ok=True)
    if not root.exists("runs", name, "run.json"):
        runs.describe(name, _about(study))
    todo = [number for number in numbers if not (split_folder(runs, name, number) / _ABOUT).exists()]
    for done, _ in enumerate(_fitted(study, config, root, name, todo), start=1):
        if progress:
            progress(done, len(todo))
    return FitReport(name, len(numbers), len(todo), time.monotonic() - started, tuple(study.notes))


def run_name(study: Study) -> str:
    """Head, protocol, and a hash of all that the weights depend on."""
    config = {k: v for k, v in dataclasses.asdict(study.config).items() if k not in _NOT_IDENTITY}
    parts: list[Any] = [config, dataclasses.asdict(study.options), dataclasses.asdict(study.training)]
    parts += [study.videos.recipe, study.videos.digest, study.texts.recipe, study.texts.digest]
    if study.protocol.name.endswith(".json") or Path(study.protocol.name).is_file():  # what it says may change
        parts += [dataclasses.asdict(split) for split in study.protocol.splits]
    if study.config.gzsl:
        parts.append(hashlib.blake2b(study.kept_back.tobytes(), digest_size=8).hexdigest())
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=5).hexdigest()
    name = study.protocol.name
    protocol = Path(name).stem if name.endswith(".json") else name.replace("/", "-")
    return f"{study.config.head}-{study.videos.dataset}-{protocol}-{digest}"


def split_folder(runs: Runs, run: str, number: int) -> Path:
    """Where the training of a split lies."""
    return runs.folder(run, f"split-{number:03d}")


def config_of(about: dict[str, Any]) -> FitConfig:
    """The configuration of a run."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about["config"].items()}
    return FitConfig(**fields)


def command(config: FitConfig) -> str:
    """The command line of a configuration."""
    return command_line("fit", config)


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
    return {
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
            "pretraining": list(seen_before(videos)),
        },
        "texts": {
            "set": texts.set,
            "feature": texts.feature,
            "recipe": texts.recipe,
            "snapshot": texts.snapshot,
            "digest": texts.digest,
            "kinds": list(texts.tensors.kinds),
            "state": texts.state,
        },
        "reads_unseen_texts": bool(study.model().uses_unseen_texts),
        "notes": study.notes,
        "versions": versions,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


# -- splits, one after another or a core each -------------------------------------------------------------------------


def _fitted(study: Study, config: FitConfig, root: Root, name: str, todo: Sequence[int]) -> Iterator[int]:
    """Fit splits; yields the number of each when it is done. The bits do not depend on how many go at once."""
    device = device_of(config.device)
    cores = cores_here()
    workers = min(config.workers or (cores if device == "cpu" else 1), len(todo))
    if workers <= 1:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for number in todo:
                _fit_split(study, number, root, name, device)
                yield number
        finally:
            torch.set_num_threads(before)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (config, root.url)) as pool:
        waiting = [pool.submit(_in_worker, number, name, device) for number in todo]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            for child in active_children():  # a split that is cut short goes on from its checkpoint
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_study: Study | None = None
_root: Root | None = None


def _begin(config: FitConfig, url: str) -> None:
    """A worker begins: it reads the features once."""
    global _study, _root
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    torch.set_num_threads(1)
    _root = Root(url)
    _study = Study(config, _root)


def _in_worker(number: int, name: str, device: str) -> int:
    assert _study is not None
    assert _root is not None
    _fit_split(_study, number, _root, name, device)
    return number


def _fit_split(study: Study, number: int, root: Root, name: str, device: str) -> None:
    folder = split_folder(Runs(root), name, number)
    split = study.split(number)
    choice = _choose(study, split, folder / "held-out", device) if study.chooses else Choice(study.options)
    training = choice.training or study.training
    seen = study.numbers(split.seen)
    if len(seen):
        task = HeadTask(study, Trial(seen, np.empty(0, np.int64), study.numbers(split.unseen)), choice.options, device)
        train(task, training, folder, device)
    else:
        save(study.model(choice.options), folder)
    about = {
        "number": number,
        "seen": split.seen,
        "validation": split.validation,
        "unseen": split.unseen,
        "options": dataclasses.asdict(choice.options),
        "training": dataclasses.asdict(training),
        "held_out": choice.held_out,
        "penalty": choice.penalty,
    }
    shutil.rmtree(folder / "held-out", ignore_errors=True)
    whole = folder / f"{_ABOUT}.{os.getpid()}.part"
    whole.write_text(json.dumps(about, indent=1))
    os.replace(whole, folder / _ABOUT)  # a split is fitted where this file is, so it is there whole or not at all


# -- choosing, on classes held out from the seen ones -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen for a split.

    Attributes
    ----------
    options : of the head
    training : in place of the run's settings: as long, and at such rates, as was best; None: the run's
    held_out : top-1 on the classes held out, by the options tried; what the choice rests on
    penalty : what GZSL takes from the scores of seen classes (calibrated stacking)
    """

    options: Any
    training: Training | None = None
    held_out: dict[str, float] = dataclasses.field(default_factory=dict)
    penalty: float = 0.0


def _choose(study: Study, split: Split, folder: Path, device: str) -> Choice:
    """Try all that is to be tried on the seen classes of one split."""
    trials = list(_trials(study, split))
    best: tuple[float, dict[str, str], list[tuple[Trial, HeadTask, History]]] | None = None
    held_out = {}
    grid = study.grid()
    for given in grid:
        options, training = study.settings(given)
        label = (
            ", ".join(f"{k}={given[k]}" for k in sorted(given) if any(g.get(k) != given[k] for g in grid)) or "as is"
        )
        found = []
        for fold, trial in enumerate(trials):
            task = HeadTask(study, trial, options, device)
            history = train(task, training, folder / f"{_slug(label)}-{fold}", device)
            found.append((trial, task, history))
        top1 = float(np.mean([_top1(study, training, *trained) for trained in found]))
        held_out[label] = top1
        if best is None or top1 > best[0]:
            best = (top1, given, found)
    assert best is not None
    options, training = study.settings(best[1])
    epochs, lrs = _as_long(training, [history for _, _, history in best[2]])
    again = dataclasses.replace(training, epochs=epochs, schedule="listed", lrs=lrs, keep="last", stop_after=0)
    penalty = _penalty(study, best[2], device) if study.config.gzsl else 0.0
    return Choice(options, again if training.validates else training, held_out, penalty)


def _trials(study: Study, split: Split) -> Iterator[Trial]:
    """Seen classes to train on, and others of them to look at."""
    config = study.config
    if split.validation:
        pairs = [(split.seen, split.validation)]
    elif len(study.grid()) > 1:
        count = max(config.folds, round(1 / config.hold_out))
        pairs = list(folds(split.seen, count, config.seed + split.number))[: config.folds]
    else:
        pairs = [hold_out(split.seen, config.hold_out, config.seed + split.number)]
    for training, validation in pairs:
        held = study.numbers(validation)
        yield Trial(study.numbers(training), held, np.empty(0, np.int64))


def _top1(study: Study, training: Training, trial: Trial, task: HeadTask, history: History) -> float:
    """Zero-shot top-1 among the classes held out: of the best epoch where that one counts, else of the last."""
    if training.validates and not study.config.standardise:
        return history.epochs[history.best - 1]["validation"]
    rows = study.trained_on(trial.validation)
    best = trial.validation[_scores(study, trial, task, rows, trial.validation).argmax(1)]
    return float((best == study.videos.labels[rows]).mean())


def _scores(study: Study, trial: Trial, task: HeadTask, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(rows, classes) scores, standardised by the videos trained on where the run is judged so."""
    scores = task.scores(study, rows, classes)
    if not study.config.standardise:
        return scores
    told = task.scores(study, trained_in(study, trial), classes)
    return np.asarray((scores - told.mean(0)) / spread(told))


def _as_long(training: Training, histories: list[History]) -> tuple[int, tuple[float, ...]]:
    """Epochs and their rates: as they were in the trial whose best epoch is the median one."""
    if not training.validates:
        return training.epochs, ()
    middle = sorted(histories, key=lambda history: history.best)[len(histories) // 2]
    return middle.best, tuple(entry["lr"] for entry in middle.epochs[: middle.best])


def _penalty(study: Study, found: list[tuple[Trial, HeadTask, History]], device: str) -> float:
    """What to take from the scores of seen classes so that H is largest, the classes held out posing as unseen."""
    means = np.zeros(len(_PENALTIES))
    for trial, task, _ in found:
        classes = np.concatenate([trial.train, trial.validation])
        rows = study.videos.of(trial.train)
        rows = np.concatenate([rows[study.looked_at[rows]], study.trained_on(trial.validation)])
        scores = _scores(study, trial, task, rows, classes)
        labels = study.videos.labels[rows]
        for at, penalty in enumerate(_PENALTIES):
            best = classes[(scores - penalty * np.isin(classes, trial.train)).argmax(1)]
            right, unseen = best == labels, np.isin(labels, trial.validation)
            means[at] += metrics.harmonic_mean(float(right[~unseen].mean()), float(right[unseen].mean()))
    return float(_PENALTIES[means.argmax()])


def _slug(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
