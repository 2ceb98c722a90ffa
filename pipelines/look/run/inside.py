"""Inside a trained head: where it puts classes, what it attends to, which phrases win; for a page to show.

Takes  a run whose features and texts are as they were, the number of a split
Gives  `Trained`: study, head and split; and what can be read from it:
       joint_space   class means of videos and class texts in the space they are compared in; `flattened` by t-SNE
       attention     the way back of CoCo's invariance: the five seen classes that tell each seen class (figure 12)
       winners       JigsawNet's best phrase of each segment (figure 4); `winners_of` several classes
       nearest_texts what stands for each unseen class, with its similarity to one video
       examples      some of the judged videos, as many right as wrong ones
       distances     of unseen classes' texts to the seen ones' (E2E, figures 3 and 7)

References: ActionHub (Zhou et al. 2024), figures 11 and 12; JigsawNet (Qian et al. 2022), figure 4; E2E (Brattoli et
al. 2020), figure 7, whose vectors are word vectors of names, and here are whatever texts the head reads.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from heads.base import Head
from pipelines.errors import UsageError
from pipelines.learn.protocols.splits import Split
from pipelines.learn.runs import Run
from pipelines.learn.study import Study
from pipelines.learn.trained import command, head_of, study_of
from pipelines.look.flattened import tsne
from stores.root import Root

NEAREST = 10
_EACH = 3  # videos shown that were judged right, and as many that were not


@dataclasses.dataclass(frozen=True)
class Trained:
    """One split's head, as it was judged.

    Attributes
    ----------
    study, head, options, split : the head, made with its options, is in evaluation mode, on the CPU
    seen, unseen : numbers of classes, sorted
    """

    study: Study
    head: Head
    options: Any
    split: Split
    seen: np.ndarray
    unseen: np.ndarray


@dataclasses.dataclass(frozen=True)
class Space:
    """Classes in the space where a head compares them, unit vectors.

    Attributes
    ----------
    names : of K classes
    is_unseen : (K,) bool
    videos, texts : (K, d) float32, means of their videos, and their texts
    """

    names: tuple[str, ...]
    is_unseen: np.ndarray
    videos: np.ndarray
    texts: np.ndarray


@dataclasses.dataclass(frozen=True)
class Attention:
    """What tells one class on CoCo's way back: the largest weights, best first, and the sum of all others."""

    name: str
    top: tuple[tuple[str, float], ...]
    others: float


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A text of a class: what it says, which part of the class's texts it is of, if any; and a cosine similarity."""

    text: str
    part: str
    similarity: float


def examples(judged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some of the judged videos, evenly over them: at most three that are right, then three that are not.

    Which are taken depends on nothing but their order, so that none is picked for its looks.
    """
    found = []
    for right in (True, False):
        own = [row for row in judged if (row["best"][0] == row["label"]) == right]
        found += [own[at] for at in sorted(set(evenly(len(own), _EACH)))]
    return found


def evenly(count: int, wanted: int) -> list[int]:
    """Numbers of `wanted` rows out of `count`, as `videos.read` picks them; none out of none."""
    return [int((i + 0.5) * count / wanted) for i in range(wanted)] if count else []


def trained(run: str, number: int, root: Root) -> Trained:
    """The head of a split.

    Raises
    ------
    UsageError
        What it depends on has changed since it was fitted, or the split was not fitted.
    NotInStore, ExtractorError
        Features or texts are gone.
    """
    own = Run(root, run)
    study, is_as_it_was = study_of(own)
    if not is_as_it_was:
        raise UsageError(
            f"Its features, its texts or the settings of its head have changed since {run} was fitted, so its weights "
            f"do not fit. Fit again: `{command(study.config)}`."
        )
    if own.told(number) is None:
        raise UsageError(f"{run} has no weights of split {number}. Run `{command(study.config)}`.")
    head, options = head_of(study, own, number)
    split = study.split(number)
    return Trained(study, head, options, split, study.numbers(split.seen), study.numbers(split.unseen))


# -- the joint space --------------------------------------------------------------------------------------------------


def joint_space(of: Trained) -> Space | None:
    """Where the head has seen and unseen classes; None for a head that compares in no space of one vector a class."""
    study = of.study
    classes = np.union1d(of.seen, of.unseen)
    texts = study.told(classes)
    with torch.no_grad():
        prototypes = of.head.class_vectors(texts)
        if prototypes is None:
            return None
        rows = np.concatenate([study.trained_on(of.seen), study.videos.of(of.unseen)])
        sums = torch.zeros(len(classes), prototypes.shape[1])
        for some in study.in_parts(rows):
            batch = study.batch(some, classes)
            vectors = of.head.video_vectors(batch)
            assert batch.labels is not None
            assert vectors is not None
            sums.index_add_(0, batch.labels, vectors)
    names = tuple(study.classes[k] for k in classes)
    units = [functional.normalize(vectors, dim=-1).numpy() for vectors in (sums, prototypes)]
    return Space(names, np.isin(classes, of.unseen), *units)


def flattened(space: Space) -> tuple[np.ndarray, np.ndarray]:
    """t-SNE of both kinds of vector together: (K, 2) of the videos, (K, 2) of the texts; the same each time."""
    flat = tsne(np.concatenate([space.videos, space.texts]).astype(np.float64))
    return flat[: len(space.names)], flat[len(space.names) :]


# -- what is attended to ----------------------------------------------------------------------------------------------


def attention(of: Trained, top: int = 5) -> list[Attention] | None:
    """Each seen class's way back through the unseen ones; None for a head without one, such as CoCo's invariance."""
    if not len(of.seen):
        return None
    with torch.no_grad():
        found_weights = of.head.attention(of.study.told(of.seen), of.study.told(of.study.new(of.split)))
    if found_weights is None:
        return None
    weights = found_weights.double().numpy()
    names = [of.study.classes[k] for k in of.seen]
    found = []
    for name, row in zip(names, weights, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        told = tuple((names[k], float(row[k])) for k in best)
        found.append(Attention(name, told, float(row.sum() - row[best].sum())))
    return found


def winners(of: Trained, row: int, class_name: str) -> list[tuple[str, float]] | None:
    """The best phrase of a class for each segment of one video, and its similarity; None where no groups are aligned.

    Parameters
    ----------
    of : Trained
    row : number of the video in `study.videos`
    class_name : whose phrases may win
    """
    found = winners_of(of, row, np.array([of.study.classes.index(class_name)]))
    return None if found is None else [(phrase.text, phrase.similarity) for phrase in found[0]]


def winners_of(of: Trained, row: int, classes: np.ndarray) -> list[list[Phrase]] | None:
    """For each of some classes its best phrase for each segment of one video; None where no groups are aligned."""
    with torch.no_grad():
        video = of.study.batch(np.full(len(classes), row))
        won = of.head.winners(video, of.study.texts.tensors, torch.from_numpy(classes))
    if won is None:
        return None
    said, (phrases, similar) = _said(of), won
    return [
        [Phrase(said[at][0], said[at][1], value) for at, value in zip(own, values, strict=True)]
        for own, values in zip(phrases.tolist(), similar.tolist(), strict=True)
    ]


def aligns_groups(of: Trained) -> bool:
    """Whether segments have phrases of their own."""
    return winners_of(of, 0, of.unseen[:1]) is not None


def nearest_texts(of: Trained, row: int) -> list[Phrase]:
    """What is compared of each unseen class with one video as a whole, in the order of `of.unseen`.

    With JigsawNet on one segment, the class's best phrase; else the first of its texts, which are told by one vector.
    Nothing for a head that compares in no space of one vector a class.
    """
    study = of.study
    if aligns_groups(of) and study.segments == 1:
        return [own[0] for own in winners_of(of, row, of.unseen) or []]
    with torch.no_grad():
        prototypes = of.head.class_vectors(study.told(of.unseen))
        video = of.head.video_vectors(study.batch(np.array([row])))
        if prototypes is None or video is None:
            return []
        similar = functional.cosine_similarity(video, prototypes).tolist()
    told = [_first_text(of, k) for k in of.unseen.tolist()]
    return [Phrase(text, part, value) for (text, part), value in zip(told, similar, strict=True)]


def _said(of: Trained) -> list[tuple[str, str]]:
    """Text and part of each row of what the head reads, a kind after another as it joins them."""
    kinds = of.head.reads(of.options)
    return [(text, _part(kind, len(kinds))) for kind in kinds for text in of.study.texts.said[kind]]


def _first_text(of: Trained, k: int) -> tuple[str, str]:
    """The first text of a class, and how many more there are."""
    own: list[str] = []
    for kind, texts in of.study.texts.tensors.kinds.items():
        own += [of.study.texts.said[kind][row] for row in texts.text[texts.owner == k].tolist()]
    return own[0], f"first of {len(own)} texts" if len(own) > 1 else ""


def _part(kind: str, kinds: int) -> str:
    """What tells texts of this kind from those of others.

    >>> _part("definition/start", 3)
    'start'
    """
    return "" if kinds == 1 else kind.partition("/")[2].rstrip("?") or kind


# -- how far unseen classes are ---------------------------------------------------------------------------------------


def distances(of: Trained, names: Sequence[str]) -> np.ndarray | None:
    """(U, S) cosine distance of each unseen class's text vector to those of the seen ones; None without seen ones."""
    if not len(of.seen):
        return None
    texts = next(iter(of.study.pooled().kinds.values()))
    vectors = functional.normalize(texts.mean(texts.features, len(of.study.classes)), dim=-1).double().numpy()
    own = vectors[[of.study.classes.index(name) for name in names]]
    return np.asarray(1 - own @ vectors[of.seen].T)
