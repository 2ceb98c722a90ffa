"""The world of compositions: classes drawn, each performed many times, with all that a data set brings.

settings ─composed─▶ World: films; labels, definitions, phrases, splits, segments, poses, word vectors
"""

import functools
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from extractors.joints import KINECT_20
from pipelines.practice import readme, splits, words, world
from pipelines.practice.classes import compositions
from pipelines.practice.motions import BY_NAME
from pipelines.practice.performance import Performance
from pipelines.practice.settings import PracticeConfig
from pipelines.practice.takes import Take
from pipelines.practice.world import World


def composed(config: PracticeConfig) -> World:
    """The world of these settings.

    Raises
    ------
    UsageError
        As `compositions` and `random_splits`.
    """
    classes = compositions(config.classes, config.seed)
    unseen = config.unseen or config.classes // 3
    takes = [
        Take(f"v{each.number:03d}-{number:02d}", each.name, config.seed, each.number, number, each.motion_names)
        for each in classes
        for number in range(config.videos)
    ]
    random = splits.random_splits(classes, unseen, config.splits, config.seed)
    control = splits.control_splits(classes, unseen, config.splits, config.seed)

    @functools.cache
    def performances() -> list[Performance]:
        return [take.performance(config.fps) for take in takes]

    files = {
        "labels.csv": lambda: world.labels(takes),
        "definitions.json": lambda: world.as_json({each.name: each.definition for each in classes}),
        "phrases.json": lambda: world.as_json({each.name: each.phrases for each in classes}),
        "splits.json": lambda: world.as_json(random),
        "control.json": lambda: world.as_json(control),
        "segments.csv": lambda: _segments(takes, performances()),
        "poses.npz": lambda: _poses(takes, performances()),
        "word_vectors.txt": lambda: words.written(config.seed),
        "README.md": lambda: readme.of_compositions(config, classes, len(takes), len(control)).encode(),
    }
    return World(takes, files)


def _segments(takes: Sequence[Take], performances: Sequence[Performance]) -> bytes:
    def rows() -> Iterator[tuple[Any, ...]]:
        for take, performance in zip(takes, performances, strict=True):
            for number, segment in enumerate(performance.segments):
                phrase = BY_NAME[segment.motion].phrase
                yield take.name, number, segment.motion, phrase, segment.start_s, segment.end_s

    return world.as_csv(("id", "number", "motion", "phrase", "start_s", "end_s"), rows())


def _poses(takes: Sequence[Take], performances: Sequence[Performance]) -> bytes:
    """An .npz file of many sequences: the joints as a Kinect in the camera's place would have them."""
    names = sorted({take.label for take in takes})
    seen, views = [], []
    for take, performance in zip(takes, performances, strict=True):
        camera = take.camera(performance)
        seen.append(np.round(camera.before(performance.places()), 4).astype(np.float32))
        views.append(camera.view)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        data=np.concatenate(seen),
        length=np.array([len(each) for each in seen], np.int32),
        label=np.array([names.index(take.label) for take in takes], np.int32),
        class_names=np.array(names),
        layout=np.array(KINECT_20.name),
        video=np.array([take.name for take in takes]),
        view=np.array(views),
    )
    return file.getvalue()
