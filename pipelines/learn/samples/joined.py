"""Two data sets as one study: classes of the one are learned from, those of the other judged.

    videos and texts of A (classes that are kept) and of B ──▶ one array of videos, one list of classes: A's, then B's

Names do not meet: what is called alike was removed (`protocols.removal`).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from heads.base import ClassTexts as Tensors
from heads.base import Texts
from pipelines.errors import UsageError
from pipelines.learn.samples.features import VideoFeatures
from pipelines.learn.samples.texts import HeadTexts
from stores.keys import joined_digest
from stores.stored_rows import StoredRows


def joined_videos(learned: VideoFeatures, judged: VideoFeatures, kept: Sequence[str]) -> VideoFeatures:
    """The videos of both; what is missing is what cannot be judged.

    Raises
    ------
    UsageError
        Features of two recipes.
    """
    if learned.recipe != judged.recipe:
        raise UsageError(
            f"Both data sets need features of one recipe; {learned.dataset!r} has {learned.feature} and "
            f"{judged.dataset!r} {judged.feature}. Name the feature set in full."
        )
    new = np.full(len(learned.classes), -1, np.int64)
    new[[learned.classes.index(name) for name in kept]] = np.arange(len(kept))
    rows = np.flatnonzero(new[learned.labels] >= 0)
    chosen = [learned.ids[row] for row in rows], [learned.recordings[row] for row in rows]
    return dataclasses.replace(
        judged,
        digest=joined_digest(learned.digest, judged.digest, kept),
        classes=(*kept, *judged.classes),
        ids=(*chosen[0], *judged.ids),
        recordings=(*chosen[1], *judged.recordings),
        keys=np.concatenate([learned.keys[rows], judged.keys]),
        labels=np.concatenate([new[learned.labels[rows]], judged.labels + len(kept)]),
        segments=_then(learned.segments, rows, judged.segments),
        missing_labels=judged.missing_labels + len(kept),
        resampled=learned.resampled + judged.resampled,
        repeated=learned.repeated + judged.repeated,
        unlabelled=learned.unlabelled + judged.unlabelled,
    )


def _then(first: np.ndarray | StoredRows, rows: np.ndarray, second: np.ndarray | StoredRows) -> np.ndarray | StoredRows:
    """Some of the first, then the second; both are of one feature set, and so both are read or neither is."""
    if isinstance(first, StoredRows) and isinstance(second, StoredRows):
        return first.take(rows).then(second)
    return np.concatenate([first[rows], second[:]])


def joined_texts(learned: HeadTexts, judged: HeadTexts, kept: Sequence[str]) -> HeadTexts:
    """The texts of both, of one encoder."""
    new = torch.full((len(learned.tensors),), -1, dtype=torch.int64)
    new[[learned.tensors.names.index(name) for name in kept]] = torch.arange(len(kept))
    kinds = {}
    for kind, own in learned.tensors.kinds.items():
        there = new[own.owner] >= 0
        kinds[kind] = Texts(own.features, own.text[there], new[own.owner[there]])
    return dataclasses.replace(
        judged,
        digest=joined_digest(learned.digest, judged.digest, kept),
        tensors=Tensors(tuple(kept), kinds).joined(judged.tensors),
        said={kind: learned.said[kind] + judged.said[kind] for kind in kinds},
        cut={k: (learned.cut[k][0] + judged.cut[k][0], learned.cut[k][1] + judged.cut[k][1]) for k in kinds},
    )
