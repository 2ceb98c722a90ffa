"""What stands for unseen classes, and the videos about it: for a page to show.

Takes  a trained head, see `inside`
Gives  `cloud`      videos of some unseen classes and what stands for these, flattened (ResT, figure 4)
       `relations`  the matrix that says what each unseen class is composed of, and its mask (figure 3)
       `pictures`   both drawn, by the names the page has for them; nothing for a head that has neither

Reference: ResT (Lin et al. 2022), figures 3 and 4, which shows subsets, and thirty random unseen classes.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from heads.base import Relatedness
from heads.relatedness import shares
from pipelines.look.run.inside import Space, Trained, evenly, flattened
from pipelines.pages import figures, matrices

_CLASSES, _VIDEOS = 30, 25  # at most, of a cloud; of each class
_ROWS, _COLUMNS = 110, 100  # at most, of a matrix


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Videos of K unseen classes and what stands for these, unit vectors in the head's space.

    Attributes
    ----------
    names : K names
    of : (N,) int, whose each video is
    videos, stars : (N, d) and (K, d) float32
    """

    names: tuple[str, ...]
    of: np.ndarray
    videos: np.ndarray
    stars: np.ndarray

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """t-SNE of both together: (N, 2) and (K, 2)."""
        every = np.concatenate([self.videos, self.stars])
        half = Space(("",) * len(self.videos), np.zeros(len(self.videos), bool), *np.split(every, [len(self.videos)]))
        return flattened(half)


def pictures(of: Trained) -> dict[str, Any]:
    """Drawings by the names a page has for them; nothing where there is nothing to draw."""
    found: dict[str, Any] = {}
    if own := cloud(of):
        dots, stars = own.flat()
        found["clouds"] = {
            "drawing": figures.clouds(dots, own.of, stars, own.names),
            "classes": len(own.names),
            "videos": len(own.videos),
        }
    if told := relations(of):
        found["composed"] = _drawn(of, told)
    return found


def cloud(of: Trained) -> Cloud | None:
    """Some videos, evenly, of at most thirty unseen classes; None for a head without one vector a video and a class."""
    study = of.study
    classes = of.unseen[evenly(len(of.unseen), min(len(of.unseen), _CLASSES))]
    each = [study.videos.of(classes[[k]]) for k in range(len(classes))]
    each = [rows[evenly(len(rows), min(len(rows), _VIDEOS))] for rows in each]
    rows = np.concatenate(each)
    with torch.no_grad():
        stars, videos = of.head.class_vectors(study.told(classes)), of.head.video_vectors(study.batch(rows))
    if stars is None or videos is None:
        return None
    units = [functional.normalize(vectors, dim=-1).numpy() for vectors in (videos, stars)]
    names = tuple(study.classes[k] for k in classes)
    return Cloud(names, np.repeat(np.arange(len(each)), list(map(len, each))), *units)


def relations(of: Trained) -> Relatedness | None:
    """What the unseen classes are composed of; None for a head that composes none."""
    with torch.no_grad():
        return of.head.relatedness(of.study.told(of.unseen))


def _drawn(of: Trained, told: Relatedness) -> dict[str, Any]:
    """Both matrices; of many seen classes those that compose most, in the order of the rows they are nearest to."""
    rows = [of.study.classes[k] for k in of.unseen[:_ROWS]]
    every = (told.matrix, told.chosen, told.kept_nearest, shares(told.matrix, told.chosen))
    matrix, chosen, kept, weights = (tensor.numpy()[:_ROWS] for tensor in every)
    columns = np.argsort(-chosen.sum(0), kind="stable")[:_COLUMNS]
    columns = columns[np.lexsort((-matrix[:, columns].max(0), matrix[:, columns].argmax(0)))]
    names = [told.seen[i] for i in columns]
    kept_of = [
        (of.study.classes[k], told.seen[int(told.chosen[j].int().argmax())])
        for j, k in enumerate(of.unseen)
        if bool(told.kept_nearest[j])
    ]
    return {
        "matrix": matrices.related(matrix[:, columns], rows, names, chosen[:, columns]),
        "mask": matrices.masked(weights[:, columns], rows, names, chosen[:, columns], kept),
        "mean": float(told.chosen.sum(1).double().mean()),
        "used": int(told.chosen.any(0).sum()),
        "seen": len(told.seen),
        "rows": len(rows),
        "columns": len(names),
        "unseen": len(of.unseen),
        "kept": kept_of,
    }
