"""How often the map finds the name of a class it never saw, against ridge regression on the same folds.

Run: `python -m benchmarks.classify` (three minutes; one core).

The 400 classifier rows of I3D, five times five folds: each fold's 80 rows are matched with their 80 names after
learning from the other 320 (chance 1.25 %). Both sides choose their settings by folds of those 320 and of nothing else.
The ridge is the plain one, from centred rows to centred MiniLM vectors of the names. The error is the standard error of
the paired difference over the five repetitions, in each of which every row is held out once. The method was found on
folds of other seeds of these same rows; TSM's rows, where they lie beside the checkout, were looked at only here.

Real clips, where they lie beside the checkout: 20 of signing, whose class is left out, so that the map answers for it
among 17 names that the classifier has: drawn evenly, and drawn from the 60 that it finds likeliest in the clip. Beside
it how often the class comes first when the classifier has it, and half of the others are left out.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.bars import Bar, run
from heads.class_map import ClassMap, chosen, folds, ranks, unit
from pipelines.look.classify.clip import own_root, seen_in
from pipelines.look.classify.model import Model, made
from pipelines.look.settings import ClassifyConfig
from stores.root import Root

_REPEATS, _FOLDS, _FIRST_SEED = 5, 5, 100
_RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)
_DATA = Path(__file__).parents[2] / "shared" / "data"
_CLIPS, _SIGNING, _OTHERS, _LIKELY, _DRAWS = _DATA / "videos" / "asl_signs", "sign language interpreting", 17, 60, 200
_TSM = _DATA / "kinetics" / "tsm_resnet50_k400_classifier.npz"

Finder = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Found:
    """Shares of names found, one a repetition: (repetitions,) each."""

    top1: np.ndarray
    top5: np.ndarray


def bars() -> Iterator[Bar]:
    """The map over the ridge, top-1 and top-5; the calibration; the same on another network's rows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Root(folder)
        model = made(own_root(root), "cpu")
        yield from _compared("i3d-rows", model.rows, model.texts)
        error = model.calibration.error
        detail = f"expected calibration error on stand-ins of classes held out: {100 * error:.1f} %"
        yield Bar.at_most("joint-answer-calibration-of-0.1", error / 0.1, 1, detail)
        yield from _clips(model, root)
        if _TSM.is_file():
            with np.load(_TSM) as arrays:
                rows = arrays["weight"].astype(np.float32)
            yield from _compared("tsm-rows", rows, model.texts)
        else:
            yield Bar.skipped("tsm-rows-map-over-ridge-top1", ">= 1.1", "no rows of TSM beside the checkout")


def _clips(model: Model, root: Root) -> Iterator[Bar]:
    if not _CLIPS.is_dir():
        yield Bar.skipped("real-clips-own-class-left-out", "no bar", "no clips beside the checkout")
        return
    own = model.names.index(_SIGNING)
    seen = [seen_in(ClassifyConfig(str(path), (_SIGNING,)), root) for path in sorted(_CLIPS.glob("*.mkv"))]
    features, logits = (np.stack([getattr(each, name) for each in seen]) for name in ("features", "logits"))
    kept, scale, shift = np.delete(np.arange(len(model.names)), own), model.calibration.scale, model.calibration.shift

    def mapped(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
        fitted = ClassMap().fit(model.rows[learned], [encoding[learned] for encoding in model.texts])
        return scale * fitted.scores(features, [encoding[asked] for encoding in model.texts]) * fitted.length_ + shift

    told, random = mapped(kept, np.array([own]))[:, 0], np.random.RandomState(0)
    out = np.empty_like(logits)
    for left, held in folds(len(kept), _FOLDS, 0):
        out[:, kept[held]] = mapped(np.append(kept[left], own), kept[held])
    shares = dict.fromkeys(("drawn", "likeliest", "seen"), 0.0)
    for clip in range(len(seen)):
        likely = kept[np.argsort(-logits[clip, kept])[:_LIKELY]]
        for _ in range(_DRAWS):
            drawn, near, both = (random.choice(pool, _OTHERS, replace=False) for pool in (kept, likely, kept))
            shares["drawn"] += told[clip] > logits[clip, drawn].max()
            shares["likeliest"] += told[clip] > logits[clip, near].max()
            half = _OTHERS // 2
            shares["seen"] += logits[clip, own] > max(logits[clip, both[:half]].max(), out[clip, both[half:]].max())
    for name, told_as in (("drawn", "left out"), ("likeliest", "left out, hard names"), ("seen", "seen")):
        share = shares[name] / (len(seen) * _DRAWS)
        yield Bar.measured(f"real-clips-first-of-18-{name}", share, f"{len(seen)} clips, {_SIGNING!r} {told_as}")


def _compared(what: str, rows: np.ndarray, texts: Sequence[np.ndarray]) -> Iterator[Bar]:
    by_map = _found(len(rows), lambda kept, held: _by_map(rows, texts, kept, held))
    by_ridge = _found(len(rows), lambda kept, held: _by_ridge(rows, texts[0], kept, held))
    for top in ("top1", "top5"):
        a, b = getattr(by_map, top), getattr(by_ridge, top)
        error = (a - b).std(ddof=1) / np.sqrt(len(a))
        detail = (
            f"map {100 * a.mean():.1f} %, ridge {100 * b.mean():.1f} %, difference {100 * (a - b).mean():+.1f} "
            f"+- {100 * error:.1f} over {_REPEATS} x {_FOLDS} folds of {len(rows)} rows"
        )
        yield Bar.at_least(f"{what}-map-over-ridge-{top}", a.mean() / b.mean(), 1.2 if top == "top1" else 1.05, detail)


def _found(classes: int, finder: Finder) -> Found:
    share = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + _REPEATS):
        rank = np.concatenate([finder(kept, held) for kept, held in folds(classes, _FOLDS, seed)])
        share.append([(rank < 1).mean(), (rank < 5).mean()])
    return Found(*np.array(share).T)


def _by_map(rows: np.ndarray, texts: Sequence[np.ndarray], kept: np.ndarray, held: np.ndarray) -> np.ndarray:
    own, new = [encoding[kept] for encoding in texts], [encoding[held] for encoding in texts]
    fitted = ClassMap(chosen(rows[kept], own)).fit(rows[kept], own)
    return ranks(fitted.scores(rows[held] - rows[kept].mean(0), new))


def _by_ridge(rows: np.ndarray, names: np.ndarray, kept: np.ndarray, held: np.ndarray) -> np.ndarray:
    mean = dict.fromkeys(_RIDGES, 0.0)
    for inner, outer in folds(len(kept), 4, seed=0):
        for ridge in _RIDGES:
            mean[ridge] += float((1 / (1 + _ridge(rows, names, kept[inner], kept[outer], ridge))).sum())
    return _ridge(rows, names, kept, held, max(_RIDGES, key=lambda ridge: mean[ridge]))


def _ridge(rows: np.ndarray, names: np.ndarray, kept: np.ndarray, held: np.ndarray, ridge: float) -> np.ndarray:
    """Ranks by W = X' (X X' + ridge I)^-1 Z over centred rows X and names Z."""
    x, z = rows - rows[kept].mean(0), names - names[kept].mean(0)
    solved = np.linalg.solve(x[kept] @ x[kept].T + ridge * np.eye(len(kept)), z[kept])
    return ranks(unit(x[held] @ x[kept].T @ solved) @ unit(z[held]).T)


if __name__ == "__main__":
    run(bars())
