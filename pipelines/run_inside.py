"""Inside a trained head: where it puts classes, what it attends to, which phrases win; for a page to show.

Takes  a run whose features and texts are as they were, the number of a split
Gives  `Trained`: study, head and split; and what can be read from it:
       joint_space   class means of videos and class texts in the space they are compared in; `flattened` by t-SNE
       attention     the way back of CoCo's invariance: the five seen classes that tell each seen class (figure 12)
       winners       JigsawNet's best phrase of each segment (figure 4)
       distances     of unseen classes' texts to the nearest seen ones' (E2E, figure 7)

References: ActionHub (Zhou et al. 2024), figures 11 and 12; JigsawNet (Qian et al. 2022), figure 4; E2E (Brattoli et
al. 2020), figure 7, whose vectors are word vectors of names, and here are whatever texts the head reads.
"""

import dataclasses
import json
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from heads.base import ClassTexts, Head, PrototypeHead, Videos
from heads.coco import CoCo, there_and_back
from heads.er import ER
from heads.jigsaw import JigsawNet
from pipelines.errors import UsageError
from pipelines.fit import command, config_of, run_name, split_folder
from pipelines.splits import Split
from pipelines.study import Study
from pipelines.training import load
from stores.root import Root
from stores.runs import Runs

NEAREST = 10
_AT_ONCE = 4096
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Trained:
    """One split's head, as it was judged.

    Attributes
    ----------
    study, head, split : the head is in evaluation mode, on the CPU
    seen, unseen : numbers of classes, sorted
    """

    study: Study
    head: Head
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


def trained(run: str, number: int, root: Root) -> Trained:
    """The head of a split.

    Raises
    ------
    UsageError
        What it depends on has changed since it was fitted, or the split was not fitted.
    NotInStore, ExtractorError
        Features or texts are gone.
    """
    runs = Runs(root)
    study = Study(config_of(runs.about(run)), root)
    if run_name(study) != run:
        raise UsageError(
            f"Its features, its texts or the settings of its head have changed since {run} was fitted, so its weights "
            f"do not fit. Fit again: `{command(study.config)}`."
        )
    folder = split_folder(runs, run, number)
    if not (folder / "split.json").exists():
        raise UsageError(f"{run} has no weights of split {number}. Run `{command(study.config)}`.")
    head = study.model(study.option_values(json.loads((folder / "split.json").read_text())["options"]))
    load(head, folder)
    split = study.split(number)
    return Trained(study, head.eval(), split, study.numbers(split.seen), study.numbers(split.unseen))


# -- the joint space --------------------------------------------------------------------------------------------------


def joint_space(of: Trained) -> Space | None:
    """Where the head has seen and unseen classes; None for a head that compares in no space of one vector a class."""
    study = of.study
    classes = np.union1d(of.seen, of.unseen)
    texts = study.told(classes)
    with torch.no_grad():
        prototypes = _class_vectors(of.head, texts)
        if prototypes is None:
            return None
        rows = np.concatenate([study.trained_on(of.seen), study.videos.of(of.unseen)])
        sums = torch.zeros(len(classes), prototypes.shape[1])
        for start in range(0, len(rows), _AT_ONCE):
            batch = study.batch(rows[start : start + _AT_ONCE], classes)
            assert batch.labels is not None
            sums.index_add_(0, batch.labels, _video_vectors(of.head, batch))
    names = tuple(study.classes[k] for k in classes)
    units = [functional.normalize(vectors, dim=-1).numpy() for vectors in (sums, prototypes)]
    return Space(names, np.isin(classes, of.unseen), *units)


def _class_vectors(head: Head, texts: ClassTexts) -> torch.Tensor | None:
    """(K, d): what stands for each class; a group of phrases is told by its mean."""
    if isinstance(head, PrototypeHead):
        return head.prototypes(texts)
    if isinstance(head, CoCo):
        return head.joined(head.class_vectors(texts))
    if isinstance(head, ER):
        return head.streams.classes(texts, "elaboration")
    if isinstance(head, JigsawNet):
        own = head.phrases(texts)
        return own.mean(head.text(own.features), len(texts))
    return None


def _video_vectors(head: Head, videos: Videos) -> torch.Tensor:
    """(N, d): what stands for each video; excited segments are told by their mean."""
    if isinstance(head, PrototypeHead):
        return head.embedded(videos)
    if isinstance(head, JigsawNet):
        return head.groups(videos)[1].mean(1)
    assert isinstance(head, (CoCo, ER))
    vectors: torch.Tensor = head.streams(videos)[0]
    return vectors


def flattened(space: Space) -> tuple[np.ndarray, np.ndarray]:
    """t-SNE of both kinds of vector together: (K, 2) of the videos, (K, 2) of the texts; the same each time."""
    from sklearn.manifold import TSNE  # type: ignore[import-untyped,unused-ignore]

    both = np.concatenate([space.videos, space.texts]).astype(np.float64)
    perplexity = min(30.0, max(1.0, (len(both) - 1) / 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of points that coincide
        flat = TSNE(2, perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(both)
    return flat[: len(space.names)], flat[len(space.names) :]


# -- what is attended to ----------------------------------------------------------------------------------------------


def attention(of: Trained, top: int = 5) -> list[Attention] | None:
    """Each seen class's way back through the unseen ones; None for a head without CoCo's invariance."""
    head = of.head
    if not isinstance(head, CoCo) or not head.options.invariance or not len(of.seen):
        return None
    with torch.no_grad():
        seen, unseen = (head.joined(head.class_vectors(of.study.told(side))) for side in (of.seen, of.unseen))
        weights = there_and_back(seen, unseen, head.options.tau)[0].double().numpy()
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
    head = of.head
    if not isinstance(head, JigsawNet) or not head.options.groups:
        return None
    texts = of.study.texts
    chosen = torch.tensor([of.study.classes.index(class_name)])
    with torch.no_grad():
        phrases, similar = head.winners(of.study.batch(np.array([row])), texts.tensors, chosen)
    said = texts.said[head.reads(head.options)[0]]
    return [(said[phrase], value) for phrase, value in zip(phrases[0].tolist(), similar[0].tolist(), strict=True)]


# -- how far unseen classes are ---------------------------------------------------------------------------------------


def distances(of: Trained, names: Sequence[str], nearest: int = NEAREST) -> np.ndarray | None:
    """(U,) mean cosine distance of each unseen class's text vector to its nearest seen ones; None without seen ones."""
    if not len(of.seen):
        return None
    texts = next(iter(of.study.texts.tensors.kinds.values()))
    vectors = functional.normalize(texts.mean(texts.features, len(of.study.classes)), dim=-1).double().numpy()
    own = vectors[[of.study.classes.index(name) for name in names]]
    return np.asarray(np.sort(1 - own @ vectors[of.seen].T, 1)[:, :nearest].mean(1))
