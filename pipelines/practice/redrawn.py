"""The world of recorded motion: a film of each labelled sequence of poses.

settings, the cache ─drawn─▶ World: films; labels, classes and random splits
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from pipelines.errors import UsageError
from pipelines.practice import readme, recorded, world
from pipelines.practice.settings import PracticeConfig
from pipelines.practice.takes import Take
from pipelines.practice.world import World
from stores.root import Root


def drawn(config: PracticeConfig, root: Root) -> World:
    """The world of these settings.

    Raises
    ------
    UsageError
        None of the sequences can be drawn; and as `recorded.rows`.
    """
    found = recorded.rows(config.poses, root)
    labels = sorted({str(row["label"]) for row in found.rows})
    takes: list[Take] = []
    faults: list[str] = []
    digest = hashlib.blake2b(digest_size=8)
    taken: set[str] = set()
    for each in recorded.recorded(found, config.fps, config.rate):
        if isinstance(each, str):
            faults.append(each)
            continue
        name = _file_name(each.name, taken)
        digest.update(f"{name} {each.label} ".encode() + each.key)
        number = labels.index(each.label)
        takes.append(Take(name, each.label, config.seed, number, each.number, (), each.figures))
    if not takes:
        raise UsageError(f"None of the {len(found.rows)} sequences of {config.poses!r} can be drawn: {faults[0]}.")
    classes = sorted({take.label for take in takes})
    files = {
        "labels.csv": lambda: world.labels(takes),
        "classes.txt": lambda: "".join(f"{name}\n" for name in classes).encode(),
        "README.md": lambda: readme.of_poses(config, len(takes), len(classes)).encode(),
    }
    if len(classes) > 2:
        files["splits.json"] = lambda: world.as_json(_splits(classes, config))
    return World(takes, files, digest.hexdigest(), found.unlabelled + len(faults), faults)


def _splits(classes: Sequence[str], config: PracticeConfig) -> list[dict[str, list[str]]]:
    """Random splits of classes of which nothing is known but their names."""
    draw = np.random.default_rng([config.seed, len(classes), 1])
    unseen = min(config.unseen or len(classes) // 3, len(classes) - 1)
    found = []
    for _ in range(config.splits):
        hidden = {classes[place] for place in draw.permutation(len(classes))[:unseen]}
        found.append({"seen": sorted(set(classes) - hidden), "unseen": sorted(hidden)})
    return found


def _file_name(name: str, taken: set[str]) -> str:
    """A name that a file can have, and that no other has."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "film"
    free = next(each for each in (plain, *(f"{plain}-{k}" for k in range(1, len(taken) + 2))) if each not in taken)
    taken.add(free)
    return free
