"""Evaluate: judge what was fitted, on the unseen classes of each split.

Run    `zsar evaluate RUN`
Takes  a run of `zsar fit`
Gives  `runs/RUN/results.parquet`, a row a split and setting; `judged.parquet`, a row a judged video; a report

ZSL: candidates are the unseen classes. GZSL: seen and unseen, on videos of both; the penalty of the seen ones is what
was chosen when the split was fitted. Videos without features are not judged: those that would have been are counted,
with what failed when it was indexed, and stand with every number.
"""

import dataclasses
import json
import time
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.judge import measures
from pipelines.judge.measures import EvaluateReport
from pipelines.judge.scoring import Scoring
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.protocols.met_before import met_before, seen_before
from pipelines.learn.protocols.protocols import chosen
from pipelines.learn.protocols.splits import Split
from pipelines.learn.runs import Run
from pipelines.learn.study import Study
from pipelines.learn.trained import command, head_of, study_of
from pipelines.progress import Progress
from stores.root import Root
from stores.runs import Runs


def evaluate(config: EvaluateConfig, root: Root, progress: Progress | None = None) -> EvaluateReport:
    """Judge a run's splits.

    Raises
    ------
    NotInStore, Ambiguous
        No such run.
    UsageError
        Nothing is fitted, or the texts or features have changed since.
    """
    started = time.monotonic()
    run = Run(root, Runs(root).find(config.run))
    study = study_as_fitted(run)
    fitted = fitted_splits(run, study, config.splits)
    judged = []
    for done, number in enumerate(fitted, start=1):
        judged += [_measured(each) for each in judged_split(study, run, number)]
        if progress:
            progress(done, len(fitted))
    measures.keep(run.name, root, fitted, judged)
    kept = {number: found for number in fitted if (found := (run.told(number) or {}).get("kept_nearest"))}
    return measures.report(run.name, [row for row, _ in judged], kept, time.monotonic() - started)


def study_as_fitted(run: Run) -> Study:
    """What a run was fitted on.

    Raises
    ------
    UsageError
        It is no longer what it was.
    """
    study, is_as_it_was = study_of(run)
    if not is_as_it_was:
        raise UsageError(
            f"The features or texts of {run.name}, the settings its head has, or the videos that are kept back, have "
            f"changed since it was fitted, so its weights cannot be judged. Fit again: `{command(study.config)}`."
        )
    return study


def fitted_splits(run: Run, study: Study, splits: str) -> list[int]:
    """Numbers of the splits that are fitted, of those asked for.

    Raises
    ------
    UsageError
        None is, or one that was asked for by number is not.
    """
    wanted = chosen(splits, study.protocol.count)
    lacking_now = run.lacking(wanted)
    fitted = [number for number in wanted if number not in lacking_now]
    if not fitted or (splits and len(fitted) < len(wanted)):
        lacking = ", ".join(map(str, lacking_now))
        again = dataclasses.replace(study.config, splits=lacking.replace(" ", ""))
        raise UsageError(f"{run.name} has no weights of split {lacking}. Run `{command(again)}`.")
    return fitted


@dataclasses.dataclass(frozen=True)
class Setting:
    """One split of a run, zero-shot or generalised, to be judged.

    Attributes
    ----------
    row : what its row of results says beside the numbers
    scoring : by the split's head
    study : of the run
    rows : (N,) of the videos that are judged
    candidates, unseen : (K,) and (U,) numbers of classes, the unseen among the candidates
    penalty : (K,) what is taken off a candidate's scores; None: nothing
    lacking : (M,) whether a missing video would have been judged
    """

    row: dict[str, Any]
    scoring: Scoring
    study: Study
    rows: np.ndarray
    candidates: np.ndarray
    unseen: np.ndarray
    penalty: np.ndarray | None
    lacking: np.ndarray


def judged_split(study: Study, run: Run, number: int) -> list[Setting]:
    """What is judged of one split: ZSL, and GZSL where videos of seen classes were kept back."""
    stored = run.told(number)
    assert stored is not None
    split = study.split(number)
    head, _ = head_of(study, run, number)
    unseen, seen = study.numbers(split.unseen), study.numbers(split.seen)
    scoring = Scoring(study, head, seen)
    common = _provenance(study, run.about(), run.name, split, stored)
    rows = study.videos.of(unseen)
    lacking = np.isin(study.videos.missing_labels, unseen)
    zsl = common | {"setting": "zsl", "penalty": 0.0}
    found = [Setting(zsl, scoring, study, rows, unseen, unseen, None, lacking)]
    if study.config.gzsl:
        kept = study.videos.of(seen)
        rows = np.concatenate([rows, kept[study.kept_back[kept]]])
        both = np.union1d(seen, unseen)
        if len(rows) > len(found[0].rows):
            lacking = lacking | (np.isin(study.videos.missing_labels, both) & study.missing_kept_back)
        penalty = stored["penalty"]
        gzsl = common | {"setting": "gzsl", "penalty": penalty}
        found.append(Setting(gzsl, scoring, study, rows, both, unseen, penalty * np.isin(both, seen), lacking))
    return found


def _measured(one: Setting) -> tuple[dict[str, Any], pa.Table]:
    labels = one.study.videos.labels[one.rows]
    return measures.measured(
        one.row,
        one.scoring.ranked(one.rows, one.candidates, one.penalty),
        [one.study.videos.ids[i] for i in one.rows],
        np.searchsorted(one.candidates, labels),
        np.isin(labels, one.unseen),
        [one.study.classes[k] for k in one.candidates],
        int(one.lacking.sum()),
    )


def _provenance(study: Study, about: dict[str, Any], name: str, split: Split, stored: dict[str, Any]) -> dict[str, Any]:
    videos, texts = about["videos"], about["texts"]
    objects = study.objects
    pretraining = seen_before(study.videos, objects)
    among = met_before(split.unseen, pretraining, study.videos.told, study.videos.dataset)
    held_out = list(stored["held_out"].values())
    return {
        "run": name,
        "head": study.config.head,
        "dataset": videos["dataset"],
        "protocol": split.protocol,
        "split": split.number,
        "held_out_top1": max(held_out) if held_out else None,
        "feature": videos["feature"],
        "recipe": videos["recipe"],
        "snapshot": videos["snapshot"],
        "pretraining": ", ".join(pretraining),
        "overlap": sorted({o.test for o in among if o.how == "name"}),
        "near": sorted({f"{o.test} ~ {o.pretraining}" for o in among if o.how == "distance"}),
        "texts": texts["feature"],
        "texts_recipe": texts["recipe"],
        "texts_snapshot": texts["snapshot"],
        "kinds": "+".join(texts["kinds"]),
        "unseen_texts": about["reads_unseen_texts"],
        "options": json.dumps(stored["options"], sort_keys=True),
        "version": about["versions"].get("zsar", ""),
        "time_ns": time.time_ns(),
        "learned_from": about.get("learned_from", {}).get("dataset", videos["dataset"]),
        "removed": about.get("learned_from", {}).get("removed", []),
        "objects": objects.feature if objects else None,
        "objects_recipe": objects.recipe if objects else None,
        "objects_snapshot": objects.snapshot if objects else None,
        "kept_nearest": [f"{name} ~ {nearest}" for name, nearest in stored.get("kept_nearest", {}).items()],
    }
