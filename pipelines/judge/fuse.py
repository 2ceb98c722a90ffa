"""Fuse: judge several runs as one, by the mean of their standardised scores.

Run    `zsar fuse RUN RUN ...`
Takes  runs of `zsar fit` that judge the same classes of one data set
Gives  a run like those, `runs/fused-.../run.json` with `runs` and no weights, and its `results` and `judged`

    s(v, c) = 1/R sum_r (s_r(v, c) - m_rc) / d_rc       m, d: mean and deviation of s_r(., c) on videos r learned from

Streams are judged so for as long as there have been two (Simonyan and Zisserman, Two-Stream Convolutional Networks,
2014); scores of different heads have different units, so each is put into those of its own spread first (Jain,
Nandakumar, Ross, Score normalization in multimodal biometric systems, 2005). All weigh the same: nothing is chosen.
Under GZSL each run takes its own penalty off the seen classes. A video that one run cannot judge is missing. One run is
open at a time, so that memory does not grow with their number.
"""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.judge import measures
from pipelines.judge.evaluate import Setting, fitted_splits, judged_split, study_as_fitted
from pipelines.judge.measures import EvaluateReport
from pipelines.judge.settings import FuseConfig
from pipelines.learn.protocols.protocols import chosen
from pipelines.learn.runs import Run, name_of
from pipelines.progress import Progress
from stores.root import Root
from stores.runs import Runs
from untrusted.names import few

_FUSED = "fused"
_JOINED = ("feature", "recipe", "snapshot", "texts", "texts_recipe", "texts_snapshot", "kinds", "learned_from")
_OBJECTS = ("objects", "objects_recipe", "objects_snapshot")
_LISTS = ("overlap", "near", "removed", "kept_nearest")


def fuse(config: FuseConfig, root: Root, progress: Progress | None = None) -> EvaluateReport:
    """Judge several runs as one.

    Raises
    ------
    NotInStore, Ambiguous
        No such run.
    UsageError
        Fewer than two; runs that do not judge the same; as `evaluate`.
    """
    started = time.monotonic()
    runs = members(config.runs, root)
    splits = _common_splits(runs, config.splits)
    sums: dict[tuple[int, str], _Sum] = {}
    for at, run in enumerate(runs):
        study = study_as_fitted(run)
        fitted_splits(run, study, ",".join(map(str, splits)))
        for done, number in enumerate(splits, start=1):
            for one in judged_split(study, run, number):
                place = number, one.row["setting"]
                if place in sums:
                    sums[place].add(one)
                elif at == 0:
                    sums[place] = _Sum(one)
            if progress:
                progress(at * len(splits) + done, len(runs) * len(splits))
    whole = [each for each in sums.values() if len(each.rows) == len(runs)]  # not GZSL where one has none
    name = name_of_fused(runs)
    Run(root, name).begin(_about(runs))
    judged = [each.measured(name) for each in whole]
    measures.keep(name, root, splits, judged)
    return measures.report(name, [row for row, _ in judged], {}, time.monotonic() - started)


def name_of_fused(runs: Sequence[Run]) -> str:
    """The name of the run that some are fused into, which are all that it depends on."""
    return name_of((_FUSED, _judges(runs[0])[0]), _judges(runs[0])[1], [run.name for run in runs])


def members(names: Sequence[str], root: Root) -> list[Run]:
    """The runs that are fused, sorted by name.

    Raises
    ------
    NotInStore, Ambiguous, UsageError
        As `fuse`.
    """
    found = [Run(root, name) for name in sorted({Runs(root).find(name) for name in names})]
    if len(found) < 2:
        raise UsageError(f"Two runs or more are fused, got {few(run.name for run in found) or 'none'}.")
    first = found[0]
    for run in found:
        if parts := run.about().get("runs"):
            raise UsageError(f"{run.name} is several runs judged as one; name these in its place: {' '.join(parts)}.")
        for what, one, other in zip(("data set", "protocol"), _judges(first), _judges(run), strict=True):
            if one != other:
                raise UsageError(
                    f"Runs are fused that judge the same: {first.name} is of the {what} {one!r}, "
                    f"{run.name} of {other!r}."
                )
    return found


def _judges(run: Run) -> tuple[str, str]:
    about = run.about()
    return about["videos"]["dataset"], about["protocol"]["name"]


def _common_splits(runs: Sequence[Run], asked: str) -> list[int]:
    """Splits that all runs have fitted; with some asked for, those, and `fitted_splits` says which lack."""
    wanted = chosen(asked, runs[0].about()["protocol"]["splits"])
    if asked.strip() not in ("", "all"):
        return list(wanted)
    common = [number for number in wanted if not any(run.lacking([number]) for run in runs)]
    if not common:
        raise UsageError(
            f"No split is fitted of all: {'; '.join(f'{run.name} has {_listed(run, wanted)}' for run in runs)}. "
            "Fit one split of each."
        )
    return common


def _listed(run: Run, wanted: Iterable[int]) -> str:
    lacking = set(run.lacking(wanted))
    return ", ".join(str(number) for number in wanted if number not in lacking) or "none"


class _Sum:
    """The scores of one split and setting, added up over runs.

    Attributes
    ----------
    rows : what each run's row of results says beside the numbers
    """

    def __init__(self, one: Setting) -> None:
        self.rows = [one.row]
        self._run = one.row["run"]
        self._names = _names(one, one.candidates)
        self._unseen = _names(one, one.unseen)
        self._ids, self._labels, self._scores = _scored(one, self._names)
        self._known = {*self._ids.tolist(), *_lacking(one)}

    def add(self, one: Setting) -> None:
        """Another run's scores; of videos that both judge.

        Raises
        ------
        UsageError
            It judges other classes.
        """
        for what, own, others in (
            ("unseen classes", self._unseen, _names(one, one.unseen)),
            ("candidates", self._names, _names(one, one.candidates)),
        ):
            if apart := sorted(set(own) ^ set(others)):
                raise UsageError(
                    f"Runs are fused that judge the same: {self._run} and {one.row['run']} have other {what} in "
                    f"split {one.row['split']} ({few(apart, 5)})."
                )
        ids, labels, scores = _scored(one, self._names)
        both, mine, theirs = np.intersect1d(self._ids, ids, assume_unique=True, return_indices=True)
        if not len(both):
            raise UsageError(f"{self._run} and {one.row['run']} judge no video in common.")
        if (apart_at := np.flatnonzero(self._labels[mine] != labels[theirs])).size:
            raise UsageError(
                f"{self._run} and {one.row['run']} label {len(apart_at)} videos otherwise, the first "
                f"{both[apart_at[0]]}. Fit again the one that is older."
            )
        self._known |= {*ids.tolist(), *_lacking(one)}
        self._ids, self._labels = both, self._labels[mine]
        self._scores = self._scores[mine] + scores[theirs]
        self.rows.append(one.row)

    def measured(self, name: str) -> tuple[dict[str, Any], pa.Table]:
        """The row of results of all together, and its videos."""
        values = self._scores / len(self.rows)
        top = np.argsort(-values, 1, kind="stable")[:, : measures.KEPT]
        place = {each: k for k, each in enumerate(self._names)}
        return measures.measured(
            _row(self.rows, name),
            (np.take_along_axis(values, top, 1), top),
            self._ids.tolist(),
            np.array([place[label] for label in self._labels], np.int64),
            np.isin(self._labels, self._unseen),
            self._names,
            len(self._known) - len(self._ids),
        )


def _names(one: Setting, classes: np.ndarray) -> list[str]:
    return [one.study.classes[k] for k in classes]


def _scored(one: Setting, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) ids, (N,) names of classes and (N, K) standardised scores, of candidates in the order of `names`."""
    videos = one.study.videos
    place = {name: k for k, name in enumerate(_names(one, one.candidates))}
    scores = one.scoring.standardised(one.rows, one.candidates, one.penalty)
    ids = np.array([videos.ids[i] for i in one.rows], object)
    labels = np.array([one.study.classes[k] for k in videos.labels[one.rows]], object)
    return ids, labels, scores[:, [place[name] for name in names]]


def _lacking(one: Setting) -> list[str]:
    """Names of the videos that the run would judge and cannot."""
    return [name for name, lacks in zip(one.study.videos.missing, one.lacking, strict=True) if lacks]


# -- what is said of it ------------------------------------------------------------------------------------------------


def _row(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """What the row of a fused run says beside the numbers: all that its members' say."""
    own = {
        "run": name,
        "head": _FUSED,
        "penalty": None,
        "held_out_top1": None,
        "pretraining": ", ".join(_each(part for row in rows for part in row["pretraining"].split(", ") if part)),
        "unseen_texts": any(row["unseen_texts"] for row in rows),
        "options": json.dumps({"runs": [row["run"] for row in rows]}),
        "time_ns": time.time_ns(),
    }
    own |= {column: " + ".join(_each(row[column] for row in rows)) for column in _JOINED}
    own |= {column: " + ".join(_each(row[column] for row in rows if row[column])) or None for column in _OBJECTS}
    return rows[0] | own | {column: sorted({each for row in rows for each in row[column]}) for column in _LISTS}


def _about(runs: Sequence[Run]) -> dict[str, Any]:
    """What a fused run says of itself, in the form of `fit`'s."""
    of = [run.about() for run in runs]
    videos, texts = [each["videos"] for each in of], [each["texts"] for each in of]
    return {
        "runs": [run.name for run in runs],
        "command": f"zsar fuse {' '.join(run.name for run in runs)}",
        "config": {"head": _FUSED, "options": [], "tune": [], "splits": ""},
        "protocol": of[0]["protocol"],
        "videos": {
            "dataset": videos[0]["dataset"],
            "feature": " + ".join(_each(each["feature"] for each in videos)),
            "snapshot": " + ".join(_each(each["snapshot"] for each in videos)),
            "captions": any(each["captions"] for each in videos),
            "segments": " or ".join(_each(str(each["segments"]) for each in videos)),
            "pretraining": _each(name for each in videos for name in each["pretraining"]),
        },
        "texts": {
            "set": " + ".join(_each(each["set"] for each in texts)),
            "feature": " + ".join(_each(each["feature"] for each in texts)),
            "kinds": _each(kind for each in texts for kind in each["kinds"]),
        },
        "notes": _each(note for each in of for note in each.get("notes", [])),
        "reads_unseen_texts": any(each["reads_unseen_texts"] for each in of),
        "versions": of[0]["versions"],
    }


def _each(values: Iterable[str]) -> list[str]:
    """Those that differ, in their order."""
    return list(dict.fromkeys(values))
