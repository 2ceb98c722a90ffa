"""What a split takes: options, how long and at which rates, the penalty of seen classes; on classes held out from them.

    seen classes ─hold out─▶ trials ─train each combination of `tune`─▶ `Choice`

A class that is seen in one split is unseen in another, so each split chooses for itself, and looks at no unseen class.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from heads import metrics
from pipelines.learn.engine import History, train
from pipelines.learn.protocols.splits import Split, folds, hold_out
from pipelines.learn.study import Study
from pipelines.learn.tasks import Task
from pipelines.learn.training import Training
from pipelines.learn.trials import Trial, spread, task_of, trained_in
from stores.workplaces import Workplace

_CANDIDATES = 101
_LONE = (
    "each held-out set has one class, among which every video is right, so the first of the values to try was taken: "
    "hold out more (fewer folds, a larger hold_out)"
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen for a split.

    Attributes
    ----------
    options : of the head
    training : in place of the run's settings: as long, and at such rates, as was best; None: the run's
    held_out : top-1 on the classes held out, by the options tried; what the choice rests on
    penalty : what GZSL takes from the scores of seen classes (calibrated stacking), in the unit of these scores
    doubts : what is doubtful about the choice
    """

    options: Any
    training: Training | None = None
    held_out: dict[str, float] = dataclasses.field(default_factory=dict)
    penalty: float = 0.0
    doubts: tuple[str, ...] = ()


def choose(study: Study, split: Split, folder: Workplace, device: str) -> Choice:
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
        trained_as = ", ".join(f"{k}={v}" for k, v in sorted(given.items()) if k not in study.head.late)
        for fold, trial in enumerate(trials):
            task = task_of(study, trial, options, device)
            history = train(task, training, folder / f"{_slug(trained_as)}-{fold}", device)
            found.append((trial, task, history))
        top1 = float(np.mean([_top1(study, training, *trained) for trained in found]))
        held_out[label] = top1
        if best is None or top1 > best[0]:
            best = (top1, given, found)
    assert best is not None
    options, training = study.settings(best[1])
    epochs, lrs = _as_long(training, [history for _, _, history in best[2]])
    # a share of fewer epochs would be a shorter warm-up than that of the trial
    warmup = min(training.warmup * training.epochs / max(epochs, 1), 0.99)
    again = dataclasses.replace(
        training, epochs=epochs, schedule="listed", lrs=lrs, keep="last", stop_after=0, warmup=warmup
    )
    penalty = _penalty(study, best[2]) if study.config.gzsl else 0.0
    lone = len(grid) > 1 and all(len(trial.validation) == 1 for trial in trials)
    return Choice(options, again if training.validates else training, held_out, penalty, (_LONE,) if lone else ())


def refuse_warmups(study: Study, split: Split) -> None:
    """Refuse settings under which any training of a split, those on held-out classes too, never leaves its warm-up.

    Raises
    ------
    UsageError
        As `Training.refuse_warmup`.
    """
    seen = Trial(study.numbers(split.seen), np.empty(0, np.int64), np.empty(0, np.int64))
    counts = [len(trained_in(study, trial)) for trial in (seen, *(_trials(study, split) if study.chooses else ()))]
    for given in study.grid():
        study.settings(given)[1].refuse_warmup(min(counts))


def _trials(study: Study, split: Split) -> Iterator[Trial]:
    """Seen classes to train on, and others of them to look at."""
    config = study.config
    if split.validation:
        pairs = [(split.seen, split.validation)]
    elif len(study.grid()) > 1:
        count = min(max(config.folds, round(1 / config.hold_out)), max(len(split.seen), 2))
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
    trials = []
    for trial, task, _ in found:
        rows = study.videos.of(trial.train)
        rows = np.concatenate([rows[study.looked_at[rows]], study.trained_on(trial.validation)])
        scores = _scores(study, trial, task, rows, np.concatenate([trial.train, trial.validation]))
        trials.append(_Gaps.of(scores.astype(np.float64), trial, study.videos.labels[rows]))
    candidates = penalties(np.concatenate([own.gap for own in trials]))
    return float(candidates[np.argmax([sum(own.h(penalty) for own in trials) for penalty in candidates])])


class _Gaps(NamedTuple):
    """Of each video: how far the best seen class leads the best unseen one, whether either is right, whose it is."""

    gap: np.ndarray
    seen_right: np.ndarray
    unseen_right: np.ndarray
    is_unseen: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, trial: Trial, labels: np.ndarray) -> "_Gaps":
        """From the scores (n, S + U) of the classes trained on, then of those held out."""
        seen, unseen = np.split(scores, [len(trial.train)], 1)
        right = (trial.train[seen.argmax(1)] == labels, trial.validation[unseen.argmax(1)] == labels)
        return cls(seen.max(1) - unseen.max(1), *right, np.isin(labels, trial.validation))

    def h(self, penalty: float) -> float:
        """H where a seen class has to lead by more than a penalty."""
        right = np.where(self.gap > penalty, self.seen_right, self.unseen_right)
        return metrics.harmonic_mean(float(right[~self.is_unseen].mean()), float(right[self.is_unseen].mean()))


def penalties(gaps: np.ndarray) -> np.ndarray:
    """(p,) penalties to try, ascending: between neighbours among the gaps, at even quantiles; so in the scores' unit.

    Between two neighbours every penalty says the same of all videos, so that these are all there are; of many gaps
    those at a hundred quantiles are taken.

    Parameters
    ----------
    gaps : (n,) float64
        The best seen score less the best unseen one.

    Examples
    --------
    >>> penalties(np.array([0.1, 0.3, 0.3, 0.5])).round(9).tolist()
    [0.2, 0.4]
    >>> penalties(np.array([0.1]))
    array([0.])
    """
    ordered = np.sort(gaps)
    between = np.flatnonzero(np.diff(ordered) > 0)
    if not len(between):
        return np.zeros(1)
    at = between[np.searchsorted(between, np.linspace(between[0], between[-1], _CANDIDATES))]
    at = np.unique(at)
    return np.asarray((ordered[at] + ordered[at + 1]) / 2)


def _slug(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
