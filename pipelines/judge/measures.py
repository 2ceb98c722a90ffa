"""What came of judging, as it is stored and told: rows of results, judged videos, a report.

scores (N, K) ─▶ measured    a row of `runs/RUN/results.parquet`, and a row a video of `judged.parquet`
rows          ─▶ keep        beside the splits that were judged before
              ─▶ report      mean and deviation over the splits
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heads import metrics
from stores.root import Root
from stores.runs import Runs

KEPT = 5  #: best classes of a video that are kept

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


def measured(
    row: dict[str, Any],
    ranked: tuple[np.ndarray, np.ndarray],
    ids: Sequence[str],
    labels: np.ndarray,
    is_unseen: np.ndarray,
    names: Sequence[str],
    missing: int,
) -> tuple[dict[str, Any], pa.Table]:
    """One split and setting, judged.

    Parameters
    ----------
    row : what is known of it, by the columns of `RESULTS`
    ranked : (N, k) scores and (N, k) places among the candidates, best first
    ids, labels : of the N videos: names, and (N,) places of their classes among the candidates
    is_unseen : (N,) whether a video is of an unseen class
    names : (K,) of the candidates
    missing : videos that could not be judged

    Returns
    -------
    A row of `RESULTS`, and N rows of `JUDGED`.
    """
    values, top = ranked
    by_unseen = metrics.top_k(top[is_unseen], labels[is_unseen], 1)
    by_seen = metrics.top_k(top[~is_unseen], labels[~is_unseen], 1) if (~is_unseen).any() else None
    row = row | {
        "classes": len(names),
        "n": len(ids),
        "missing": missing,
        "top1": metrics.top_k(top, labels, 1),
        "top5": metrics.top_k(top, labels, 5),
        "mean_class_top1": metrics.mean_class_top1(top, labels, len(names)),
        "hubness": metrics.hubness(top, len(names)),
        "seen_top1": by_seen,
        "unseen_top1": by_unseen,
        "harmonic_mean": None if by_seen is None else metrics.harmonic_mean(by_seen, by_unseen),
    }
    called = np.array(names, object)
    table = pa.table(
        {
            "split": [row["split"]] * len(ids),
            "setting": [row["setting"]] * len(ids),
            "video_id": list(ids),
            "label": called[labels].tolist(),
            "best": called[top[:, :KEPT]].tolist(),
            "scores": values[:, :KEPT].tolist(),
        },
        schema=JUDGED,
    )
    return row, table


def keep(name: str, root: Root, splits: Sequence[int], judged: Sequence[tuple[dict[str, Any], pa.Table]]) -> None:
    """Store what came of judging some splits of a run, beside others that were judged before."""
    runs = Runs(root)
    tables = (
        ("judged", pa.concat_tables([videos for _, videos in judged])),
        ("results", pa.Table.from_pylist([row for row, _ in judged], schema=RESULTS)),
    )
    with root.lock(f"judged-{name}"):  # other splits may be judged at the same time
        for what, table in tables:
            before = runs.read(name, what)
            if before is not None and set(before.schema.names) <= set(table.schema.names):
                others = pc.invert(pc.is_in(before["split"], pa.array(splits, pa.int32())))  # not judged now
                # cast: Parquet calls what a list holds by another name, and so gives another type
                kept_as_is = before.filter(others).cast(pa.schema([table.field(name) for name in before.schema.names]))
                table = pa.concat_tables([table.slice(0, 0), kept_as_is, table], promote_options="default")
            runs.write(name, what, table)


def report(
    name: str, rows: Sequence[dict[str, Any]], kept: dict[int, dict[str, str]], seconds: float
) -> EvaluateReport:
    """How a run fares, by rows of `RESULTS`."""
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
