"""What a split takes: options, how long and at which rates, the penalty of seen classes; on classes held out from them.

    seen classes ─hold out─▶ trials ─train each combination of `tune`─▶ `Choice`

A class that is seen in one split is unseen in another, so each split chooses for itself, and looks at no unseen class.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heads import metrics
from pipelines.learn.engine import History, train
from pipelines.learn.protocols.splits import Split, folds, hold_out
from pipelines.learn.study import Study
from pipelines.learn.tasks import Task
from pipelines.learn.training import Training
from pipelines.learn.trials import Trial, spread, task_of, trained_in

_PENALTIES = np.linspace(-1.0, 4.0, 101)


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


def choose(study: Study, split: Split, folder: Path, device: str) -> Choice:
    """Try all that is to be tried on the seen classes of one split."""
    trials = list(_trials(study, split))
    best: tuple[float, dict[str, str], list[tuple[Trial, Task, History]]] | None = None
    held_out = {}
    grid = study.grid()
    for given in grid:
        options, training = study.settings(given)
        label = (
            ", ".join(f"{k}={given[k]}" for k in sorted(given) if any(g.get(k) != given[k] for g in grid)) or "as is"
        )
        found = []
        for fold, trial in enumerate(trials):
            task = task_of(study, trial, options, device)
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
    penalty = _penalty(study, best[2]) if study.config.gzsl else 0.0
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


def _top1(study: Study, training: Training, trial: Trial, task: Task, history: History) -> float:
    """Zero-shot top-1 among the classes held out: of the best epoch where that one counts, else of the last."""
    if training.validates and not study.config.standardise:
        return history.epochs[history.best - 1]["validation"]
    rows = study.trained_on(trial.validation)
    best = trial.validation[_scores(study, trial, task, rows, trial.validation).argmax(1)]
    return float((best == study.videos.labels[rows]).mean())


def _scores(study: Study, trial: Trial, task: Task, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(rows, classes) scores, standardised by the videos trained on where the run is judged so."""
    scores = study.scores(task.head, rows, classes)
    if not study.config.standardise:
        return scores
    told = study.scores(task.head, trained_in(study, trial), classes)
    return np.asarray((scores - told.mean(0)) / spread(told))


def _as_long(training: Training, histories: list[History]) -> tuple[int, tuple[float, ...]]:
    """Epochs and their rates: as they were in the trial whose best epoch is the median one."""
    if not training.validates:
        return training.epochs, ()
    middle = sorted(histories, key=lambda history: history.best)[len(histories) // 2]
    return middle.best, tuple(entry["lr"] for entry in middle.epochs[: middle.best])


def _penalty(study: Study, found: list[tuple[Trial, Task, History]]) -> float:
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
