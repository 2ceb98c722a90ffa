"""Near duplicates: videos whose vectors are closer than those of two takes ever are, inside a split and across two.

Two videos are near duplicates where their bytes are the same; where their cosine is at least `near`; or where each is
the other's nearest and any third is far: their distance (1 - cosine) is at most .4 of that to the next one, and their
cosine at least .8. A film that was encoded anew is closer to itself than to all else, but how close depends on the
features; the ratio does not.

Takes  clips and their neighbours
Gives  groups of videos that are one, and findings: `leak` where two of a group stand in different splits, or where one
       recording does; `conflict` where they have different labels; `duplicate` otherwise

Reference
---------
Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004, section 7.1 (the ratio of distances to the
nearest and the next, .8 there).
"""

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from pipelines.look.audit.clips import Clips
from pipelines.look.audit.findings import Finding

_RATIO, _LEAST = 0.4, 0.8
_NUMBERED = re.compile(r"(\d+):([^,]+)")


def groups(clips: Clips, others: np.ndarray, cosines: np.ndarray, near: float) -> np.ndarray:
    """(N,) int64: the lowest number of a video in the group of each, its own where it is alone."""
    parent = np.arange(len(clips))

    def top(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    rows, columns = np.nonzero((cosines >= near) & (others >= 0))
    pairs = [(int(a), int(others[a, c])) for a, c in zip(rows, columns, strict=True)]
    first: dict[bytes, int] = {}
    content = [first.setdefault(key, number) for number, key in enumerate(clips.table["key"].to_pylist())]
    pairs += [*enumerate(content), *_each_others(np.array(content), others, cosines)]
    for one, other in pairs:
        low, high = sorted((top(one), top(other)))
        parent[high] = low
    return np.array([top(at) for at in range(len(clips))])


def _each_others(content: np.ndarray, others: np.ndarray, cosines: np.ndarray) -> list[tuple[int, int]]:
    """Pairs that are each other's nearest and far from any third; videos of the same bytes are no third."""
    if others.shape[1] < 2:
        return []
    distances = np.where((content[others] == content[:, None]) | (others < 0), np.inf, 1 - cosines)
    rows = np.arange(len(others))
    at = distances.argmin(1)
    nearest, distance = others[rows, at], distances[rows, at]
    distances[content[others] == content[nearest][:, None]] = np.inf
    alone = (distance <= _RATIO * distances.min(1)) & (distance <= 1 - _LEAST) & np.isfinite(distances.min(1))
    found = np.flatnonzero(alone & (content[nearest[nearest]] == content[rows]))
    return [(int(row), int(nearest[row])) for row in found]


def duplicates(clips: Clips, group: np.ndarray) -> Iterator[Finding]:
    """A finding for each video of a group but its first, with the video of it that is nearest among those before."""
    keys, labels, splits = clips.table["key"].to_pylist(), clips.column("label"), clips.column("split")
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        for place in range(1, len(members)):
            at, before = members[place], members[:place]
            cosines = clips.vectors[before] @ clips.vectors[at]
            apart = np.array([_apart(splits[at], splits[each]) for each in before])
            differ = np.array([labels[at] != labels[each] for each in before])
            best = int(np.lexsort((-cosines, ~differ, ~apart))[0])  # what is worst is told
            other = before[best]
            kind = "leak" if apart[best] else "conflict" if differ[best] else "duplicate"
            same = "the same bytes" if keys[at] == keys[other] else f"cosine {cosines[best]:.4f}"
            said = [same]
            said += [f"in {splits[at]} and {splits[other]}"] if apart[best] else []
            said += [f"as {labels[at]} and {labels[other]}"] if differ[best] else []
            score = 1.0 if keys[at] == keys[other] else float(cosines[best])
            yield Finding(kind, int(at), score, int(other), None, ", ".join(said))


def recordings(clips: Clips) -> Iterator[Finding]:
    """A finding for each recording whose clips stand in different splits, by one of each."""
    splits, names = clips.column("split"), clips.column("recording")
    by_name: dict[str, list[int]] = {}
    for at in np.flatnonzero([name is not None for name in names]):
        by_name.setdefault(names[at], []).append(int(at))
    for name, own in by_name.items():
        own.sort(key=lambda at: str(splits[at]))
        if met := next(((a, b) for a, b in pairwise(own) if _apart(splits[a], splits[b])), None):
            yield Finding("leak", met[1], 1.0, met[0], None, f"{len(own)} clips of the recording {name} in two splits")


def _apart(one: str | None, other: str | None) -> bool:
    """Whether two splits are different sides of one: `train` and `test`, or `1:train` and `1:test,2:train`."""
    if one is None or other is None or one == other:
        return False
    sides, others = (dict(_NUMBERED.findall(text)) for text in (one, other))
    if sides and others:
        return any(sides[number] != others[number] for number in sides.keys() & others.keys())
    return True
