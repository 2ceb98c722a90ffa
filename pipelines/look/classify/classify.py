"""Classify: which of a few class names fits a clip, whether the classifier has seen the class or not.

Run    `zsar classify clip.mp4 --classes "juggling, kneading dough, welding"`
Takes  a clip; class names; I3D, EfficientNet-Lite0, MiniLM and GloVe of the offline pack
Gives  a probability a class and where it comes from; 25 s on 2 busy cores the first time, 2.3 s from the cache

    classifier   the class is one of Kinetics-400: I3D's own logit
    map          it is not: the logit of a row told from its name, by a map learned from those rows (`heads.class_map`)

Both stand in one softmax. What the map's scores are worth beside the logits is found on stand-ins for videos of classes
held out from the map (`heads.row_videos`); no clip is looked at. With `--objects` what is seen adds what ER and
JigsawNet let it add, s = s_v + max(s_o, 0), with s_o the cosine of the joined names of the five likeliest objects and
the class name, in spreads of either over the Kinetics names, and s_o a quarter as heavy as what the map says. The
weight was settled on the 13 clips of the offline pack by nothing but I3D's own answers to them. Objects help where the
action has a place or a thing of its own; where ImageNet has no name for what is seen (hands, a plain wall), they do
harm, and of the three kinds of clip that could be tried two were worse with them: so they are asked for.

Features lie in a store under the clip's content key, as `extract` puts them there, vectors of names under the names'
keys; the map is made from the checkpoint once and kept by the digest of all it depends on. All of it is below
`classify/` of the root, so that an answer leaves nothing in its lists.

Papers: METHODS sections 3 and 4 for objects; `heads.class_map` and `heads.row_videos` for the rest.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from extractors.names import unspaced
from heads.class_map import ClassMap, unit
from heads.row_videos import softmax
from pipelines.errors import UsageError
from pipelines.look.classify.clip import VIDEO, Seen, own_root, seen_in, sets_of, stored, video_file
from pipelines.look.classify.model import Model, made
from pipelines.look.classify.names import SENTENCES, WORDS, Forms, checked, encoded, vectors
from pipelines.look.settings import ClassifyConfig
from stores.root import Root
from untrusted.names import few

OBJECT_WEIGHT = 0.25
_NEAREST, _SOURCES = 5, 3


@dataclasses.dataclass(frozen=True)
class Answer:
    """One class: its probability among those asked for, where that comes from, and what it rests on.

    Attributes
    ----------
    source : `classifier` or `map`
    rests_on : the Kinetics class itself, or those whose names its row is most made of
    objects : what the objects seen add to its logit
    """

    name: str
    probability: float
    source: str
    rests_on: tuple[str, ...]
    objects: float


@dataclasses.dataclass(frozen=True)
class ClassifyReport:
    """What a clip shows.

    Attributes
    ----------
    answers : best first
    nearest : the likeliest of all Kinetics-400 names, verb phrases most of them, with probability
    objects : the likeliest objects, with score
    learned_from : what the map was learned from, in words
    computed : features computed in this run; 0: all came from the store
    """

    clip: str
    answers: tuple[Answer, ...]
    nearest: tuple[tuple[str, float], ...]
    objects: tuple[tuple[str, float], ...]
    learned_from: str
    computed: int
    seconds: float


def classify(config: ClassifyConfig, root: Root) -> ClassifyReport:
    """Say which class a clip shows.

    Raises
    ------
    UsageError
        No class names, a name twice, a name without a known word, no such file, or a clip that does not decode.
    ExtractorError, StoreError
        As `extract` does.
    """
    started = time.monotonic()
    own = own_root(root)
    form = Forms(own)
    names = checked(config.classes, form)
    video_file(config.clip)
    fitted = _fitted(made(own, config.device, names), config.leave_out, form)
    asked = _asked(names, fitted, form, own, config.device)
    seen = seen_in(config, root)
    told = None
    if config.objects:  # as JigsawNet tells them: their names, joined
        text = ", ".join(name for name, _ in seen.objects)
        told = vectors(SENTENCES, [text], own, config.device, fitted.model.sets[0])[0]
    answers = _answers(asked, fitted, seen, told)
    odds = softmax(seen.logits)
    form.save()
    return ClassifyReport(
        config.clip,
        answers,
        tuple((fitted.model.names[k], float(odds[k])) for k in np.argsort(-odds, kind="stable")[:_NEAREST]),
        seen.objects,
        f"the names and classifier rows of {len(fitted.kept)} Kinetics-400 classes ({VIDEO}), none of them answered by "
        "the map; no video was used",
        seen.computed,
        time.monotonic() - started,
    )


def answers_of(keys: Sequence[bytes], classes: Sequence[str], root: Root) -> list[tuple[Answer, ...]]:
    """The answers for contents that have both features already, as `classify` gives them for one clip."""
    names, own = checked(classes), own_root(root)
    fitted = _fitted(made(own, also=names))
    asked = _asked(names, fitted, unspaced, own)
    sets = sets_of(root)
    return [_answers(asked, fitted, seen) for key in keys if (seen := stored(key, sets)) is not None]


class _Fitted(NamedTuple):
    """The model, its map, and the numbers of the classes the map was learned from; the others are never seen."""

    model: Model
    map: ClassMap
    kept: list[int]


def _fitted(model: Model, leave_out: Sequence[str] = (), form_of: Callable[[str], str] = unspaced) -> _Fitted:
    out = {name: model.number(form_of(name)) for name in leave_out if name.strip()}
    if strange := [name for name, number in out.items() if number is None]:
        raise UsageError(f"Only classes of Kinetics-400 can be left out; {few(strange)} is none of them.")
    kept = [k for k in range(len(model.names)) if k not in out.values()]
    return _Fitted(model, ClassMap().fit(model.rows[kept], [encoding[kept] for encoding in model.texts]), kept)


class _Asked(NamedTuple):
    """The classes to choose from: their names, their numbers at the classifier where it has seen them, encodings."""

    names: tuple[str, ...]
    numbers: list[int | None]
    texts: tuple[np.ndarray, ...]


def _asked(
    names: tuple[str, ...], fitted: _Fitted, form_of: Callable[[str], str], root: Root, device: str = "auto"
) -> _Asked:
    """Refused where a name to tell has no word that the vocabulary knows: MiniLM takes any letters for words."""
    found = (fitted.model.number(form_of(name)) for name in names)
    numbers = [number if number in fitted.kept else None for number in found]
    texts = encoded(names, root, device, fitted.model.sets)
    lacking = np.isnan(texts[-1]).any(1)
    if strange := [names[k] for k in np.flatnonzero(lacking) if numbers[k] is None]:
        shown = few(map(repr, strange))
        raise UsageError(f"No word of {shown} is in the vocabulary of {WORDS}. Give the class other words.")
    return _Asked(names, numbers, texts)


def _answers(asked: _Asked, fitted: _Fitted, seen: Seen, told: np.ndarray | None = None) -> tuple[Answer, ...]:
    """Joint softmax over the names; `told` is the encoding of the objects seen, where they count."""
    (model, by_name, kept), features = fitted, seen.features[None]
    scores = by_name.scores(features, asked.texts)[0] * by_name.length_
    mapped = model.calibration.scale * scores + model.calibration.shift
    logits = np.array([m if n is None else seen.logits[n] for n, m in zip(asked.numbers, mapped, strict=True)])
    extra = np.zeros(len(asked.names))
    if told is not None:
        usual = by_name.scores(features, [encoding[kept] for encoding in model.texts])
        spread = model.calibration.scale * by_name.length_ * usual.std()
        extra = object_evidence(told, asked.texts[0], model.texts[0]) * spread * OBJECT_WEIGHT
    odds = softmax(logits + extra)
    rests = by_name.sources(asked.texts, _SOURCES)
    found = []
    for i in np.argsort(-odds, kind="stable"):
        number = asked.numbers[i]
        own = [kept[k] for k in rests[i]] if number is None else [number]
        source, names = "map" if number is None else "classifier", tuple(model.names[k] for k in own)
        found.append(Answer(asked.names[i], float(odds[i]), source, names, float(extra[i])))
    return tuple(found)


def object_evidence(told: np.ndarray, classes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """How much better than the average name each class goes with the objects seen: max(s_o, 0), in spreads of s_o.

    Parameters
    ----------
    told : (A,), the text of the objects
    classes : (K, A), the class names
    names : (S, A), names that tell what is usual

    Returns
    -------
    (K,) float64
    """
    mean = names.mean(0, dtype=np.float64)
    seen = unit((told - mean)[None])[0]
    usual, own = unit(names - mean) @ seen, unit(classes - mean) @ seen
    return np.asarray(np.maximum(own, 0) / usual.std())
