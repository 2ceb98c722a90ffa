"""Evaluate: judge what was fitted, on the unseen classes of each split.

Run    `zsar evaluate RUN`
Takes  a run of `zsar fit`
Gives  `runs/RUN/results.parquet`, a row a split and setting; `judged.parquet`, a row a judged video; a report

ZSL: candidates are the unseen classes. GZSL: seen and unseen, on videos of both; the penalty of the seen ones is what
was chosen when the split was fitted. A head whose scores are inner products is judged by FAISS, exactly; any other in
bounded blocks. Videos without features are not judged: those that would have been are counted, with what failed when it
was indexed, and stand with every number.
"""

import dataclasses
import json
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from heads import metrics
from heads.base import Head
from heads.prototypes import nearest, standardised
from pipelines.errors import UsageError
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.protocols.met_before import met_before, seen_before
from pipelines.learn.protocols.protocols import chosen
from pipelines.learn.protocols.splits import Split
from pipelines.learn.runs import Run
from pipelines.learn.study import Study
from pipelines.learn.trained import command, head_of, study_of
from pipelines.learn.trials import spread
from pipelines.progress import Progress
from stores.root import Root
from stores.runs import Runs

_KEPT = 5
_REFERENCE = 20_000  # videos a standardised score is told from, at most

RESULTS = pa.schema(
    [
        ("run", pa.string()),
        ("head", pa.string()),
        ("dataset", pa.string()),
        ("protocol", pa.string()),
        ("split", pa.int32()),
        ("setting", pa.string()),
        ("classes", pa.int32()),
        ("n", pa.int32()),
        ("missing", pa.int32()),
        ("top1", pa.float64()),
        ("top5", pa.float64()),
        ("mean_class_top1", pa.float64()),
        ("hubness", pa.float64()),
        ("seen_top1", pa.float64()),
        ("unseen_top1", pa.float64()),
        ("harmonic_mean", pa.float64()),
        ("penalty", pa.float64()),
        ("held_out_top1", pa.float64()),
        ("feature", pa.string()),
        ("recipe", pa.string()),
        ("snapshot", pa.string()),
        ("pretraining", pa.string()),
        ("overlap", pa.list_(pa.string())),
        ("near", pa.list_(pa.string())),
        ("texts", pa.string()),
        ("texts_recipe", pa.string()),
        ("texts_snapshot", pa.string()),
        ("kinds", pa.string()),
        ("unseen_texts", pa.bool_()),
        ("options", pa.string()),
        ("version", pa.string()),
        ("time_ns", pa.int64()),
        ("learned_from", pa.string()),
        ("removed", pa.list_(pa.string())),
        ("objects", pa.string()),
        ("objects_recipe", pa.string()),
        ("objects_snapshot", pa.string()),
        ("kept_nearest", pa.list_(pa.string())),
    ]
)
JUDGED = pa.schema(
    [
        ("split", pa.int32()),
        ("setting", pa.string()),
        ("video_id", pa.string()),
        ("label", pa.string()),
        ("best", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
    ]
)


@dataclasses.dataclass(frozen=True)
class EvaluateReport:
    """How a run fares, mean and population deviation over its splits; fractions in [0, 1].

    Attributes
    ----------
    run, splits : which, and over how many splits
    n, missing : videos judged, over all splits, and those that could not be for want of features
    zsl, gzsl : name of a number to its mean and deviation; empty where nothing was judged so
    overlap : test classes among those the features were trained on, by name
    near : and those whose word vectors are as good as one of theirs (E2E's distance)
    kept_nearest : by split, unseen classes that nothing was left to compose of, with the seen class each keeps
    seconds : wall time
    """

    run: str
    splits: int
    n: int
    missing: int
    zsl: dict[str, tuple[float, float]]
    gzsl: dict[str, tuple[float, float]]
    overlap: tuple[str, ...]
    near: tuple[str, ...]
    kept_nearest: dict[int, dict[str, str]]
    seconds: float


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
    runs = Runs(root)
    name = runs.find(config.run)
    run = Run(root, name)
    study, is_as_it_was = study_of(run)
    if not is_as_it_was:
        raise UsageError(
            f"The features or texts of {name}, the settings its head has, or the videos that are kept back, have "
            f"changed since it was fitted, so its weights cannot be judged. Fit again: `{command(study.config)}`."
        )
    wanted = chosen(config.splits, study.protocol.count)
    lacking_now = run.lacking(wanted)
    fitted = [number for number in wanted if number not in lacking_now]
    if not fitted or (config.splits and len(fitted) < len(wanted)):
        lacking = ", ".join(map(str, lacking_now))
        again = dataclasses.replace(study.config, splits=lacking.replace(" ", ""))
        raise UsageError(f"{name} has no weights of split {lacking}. Run `{command(again)}`.")
    rows, judged = [], []
    for done, number in enumerate(fitted, start=1):
        for row, videos in _split(study, run, number):
            rows.append(row)
            judged.append(videos)
        if progress:
            progress(done, len(fitted))
    fresh = (("judged", pa.concat_tables(judged)), ("results", pa.Table.from_pylist(rows, schema=RESULTS)))
    with root.lock(f"judged-{name}"):  # other splits may be judged at the same time
        for what, table in fresh:
            before = runs.read(name, what)
            if before is not None and set(before.schema.names) <= set(table.schema.names):
                others = pc.invert(pc.is_in(before["split"], pa.array(fitted, pa.int32())))  # not judged now
                # cast: Parquet calls what a list holds by another name, and so gives another type
                kept_as_is = before.filter(others).cast(pa.schema([table.field(name) for name in before.schema.names]))
                table = pa.concat_tables([table.slice(0, 0), kept_as_is, table], promote_options="default")
            runs.write(name, what, table)
    kept = {number: found for number in fitted if (found := (run.told(number) or {}).get("kept_nearest"))}
    return _report(name, rows, kept, time.monotonic() - started)


def _report(name: str, rows: list[dict[str, Any]], kept: dict[int, dict[str, str]], seconds: float) -> EvaluateReport:
    zsl = [row for row in rows if row["setting"] == "zsl"]
    gzsl = [row for row in rows if row["setting"] == "gzsl"]

    def over(which: list[dict[str, Any]], *names: str) -> dict[str, tuple[float, float]]:
        if not which:
            return {}
        return {n: (float(np.mean([r[n] for r in which])), float(np.std([r[n] for r in which]))) for n in names}

    return EvaluateReport(
        name,
        len(zsl),
        sum(row["n"] for row in zsl),
        sum(row["missing"] for row in zsl),
        over(zsl, "top1", "top5", "mean_class_top1", "hubness"),
        over(gzsl, "seen_top1", "unseen_top1", "harmonic_mean"),
        tuple(sorted({name for row in rows for name in row["overlap"]})),
        tuple(sorted({name for row in rows for name in row["near"]})),
        kept,
        seconds,
    )


def _split(study: Study, run: Run, number: int) -> list[tuple[dict[str, Any], pa.Table]]:
    """The results of one split: ZSL, and GZSL where videos of seen classes were kept back."""
    stored = run.told(number)
    assert stored is not None
    split = study.split(number)
    head, _ = head_of(study, run, number)
    unseen, seen = study.numbers(split.unseen), study.numbers(split.seen)
    judge = _Judge(study, head, seen)
    common = _provenance(study, run.about(), run.name, split, stored)
    rows = study.videos.of(unseen)
    found = [_judged(study, judge, common | {"setting": "zsl", "penalty": 0.0}, rows, unseen, unseen)]
    if study.config.gzsl:
        kept = study.videos.of(seen)
        rows = np.concatenate([rows, kept[study.kept_back[kept]]])
        both = np.union1d(seen, unseen)
        more = {"setting": "gzsl", "penalty": stored["penalty"]}
        found.append(_judged(study, judge, common | more, rows, both, unseen, stored["penalty"] * np.isin(both, seen)))
    return found


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


def _judged(
    study: Study,
    judge: "_Judge",
    row: dict[str, Any],
    rows: np.ndarray,
    candidates: np.ndarray,
    unseen: np.ndarray,
    penalty: np.ndarray | None = None,
) -> tuple[dict[str, Any], pa.Table]:
    values, top = judge(rows, candidates, penalty)
    labels = np.searchsorted(candidates, study.videos.labels[rows])
    is_unseen = np.isin(study.videos.labels[rows], unseen)
    by_unseen = metrics.top_k(top[is_unseen], labels[is_unseen], 1)
    by_seen = metrics.top_k(top[~is_unseen], labels[~is_unseen], 1) if (~is_unseen).any() else None
    would_be_judged = np.isin(study.videos.missing_labels, unseen)
    if by_seen is not None:
        would_be_judged |= np.isin(study.videos.missing_labels, candidates) & study.missing_kept_back
    missing = int(would_be_judged.sum())
    row = row | {
        "classes": len(candidates),
        "n": len(rows),
        "missing": missing,
        "top1": metrics.top_k(top, labels, 1),
        "top5": metrics.top_k(top, labels, 5),
        "mean_class_top1": metrics.mean_class_top1(top, labels, len(candidates)),
        "hubness": metrics.hubness(top, len(candidates)),
        "seen_top1": by_seen,
        "unseen_top1": by_unseen,
        "harmonic_mean": None if by_seen is None else metrics.harmonic_mean(by_seen, by_unseen),
    }
    names = np.array(study.classes, object)
    table = pa.table(
        {
            "split": [row["split"]] * len(rows),
            "setting": [row["setting"]] * len(rows),
            "video_id": [study.videos.ids[i] for i in rows],
            "label": names[study.videos.labels[rows]].tolist(),
            "best": names[candidates[top[:, :_KEPT]]].tolist(),
            "scores": values[:, :_KEPT].tolist(),
        },
        schema=JUDGED,
    )
    return row, table


class _Judge:
    """Ranks candidate classes for videos with one trained head."""

    def __init__(self, study: Study, head: Head, seen: np.ndarray) -> None:
        self._study = study
        self._head = head
        self._reference = None
        if study.config.standardise:
            if not len(seen):
                raise UsageError("Scores are standardised by videos of seen classes, and this protocol has none.")
            rows = study.trained_on(seen)
            step = max(1, len(rows) // _REFERENCE)
            self._reference = rows[::step]

    def __call__(self, rows: np.ndarray, candidates: np.ndarray, penalty: np.ndarray | None) -> tuple[Any, Any]:
        """(N, k) scores and places among the candidates, best first."""
        with torch.no_grad():
            prototypes = self._head.prototypes(self._study.told(candidates))
        if prototypes is None:
            values = self._study.scores(self._head, rows, candidates)
            if self._reference is not None:
                told = self._study.scores(self._head, self._reference, candidates)
                values = (values - told.mean(0)) / spread(told)
            if penalty is not None:
                values = values - penalty.astype(np.float32)
            top = np.argsort(-values, 1, kind="stable")[:, :_KEPT]
            return np.take_along_axis(values, top, 1), top
        mean, deviation = np.zeros(len(candidates), np.float32), np.ones(len(candidates), np.float32)
        if self._reference is not None:
            told = self._embedded(self._reference) @ prototypes.numpy().T
            mean, deviation = told.mean(0), spread(told)
        if penalty is not None:
            mean = mean + (penalty * deviation).astype(np.float32)
        return nearest(*standardised(self._embedded(rows), prototypes.numpy(), mean, deviation), _KEPT)

    def _embedded(self, rows: np.ndarray) -> np.ndarray:
        found = []
        with torch.no_grad():
            for some in self._study.in_parts(rows):
                embedded = self._head.embedded(self._study.batch(some))
                assert embedded is not None
                found.append(embedded.numpy())
        return np.concatenate(found)
