"""What features were trained on before, and which test classes were among it.

Takes  the names of test classes, the extractor of a feature set, and what its recipe tells of weights of one's own
Gives  the labelled data of its weights, and `Overlap`s: test classes that are classes of it

Weights that `zsar finetune` made name their data set and its classes in the recipe; that stands in place of what the
extractor says of published ones. Classes of one data set are different by its own word, however near their names are
("swipe left", "swipe right"): among these only a name counts.

Names alone find what is spelled alike ("HandstandPushups", "handstand pushups"); E2E's distance of word vectors finds
what only means the same. The distance asks for word vectors: those of the offline pack, where it is installed.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import extractors
from extractors import options
from extractors.base import TextExtractor
from extractors.class_names import KINETICS_400, class_names
from extractors.errors import ExtractorError, InputFault, UnknownExtractor
from extractors.names import readable
from pipelines.learn.samples.features import VideoFeatures
from pipelines.learn.samples.objects import Recognised
from pipelines.texts.overlap import TAU, Overlap, overlap

#: data sets of actions whose classes are known by name
_CLASSES = {"Kinetics-400": KINETICS_400}
#: and what recipes of weights that saw all their classes call them
_PUBLISHED = {"kinetics400": "Kinetics-400"}
_VECTORS = "glove_50d"


def seen_before(videos: VideoFeatures, objects: Recognised | None = None) -> tuple[str, ...]:
    """The labelled data that what stands for some videos, and for their objects, was trained on, as far as is known."""
    own = ("captioners, unknown",) if videos.of_captions else trained_on(videos.feature, videos.told)
    more = trained_on(objects.feature, objects.trained_on) if objects else ()
    return tuple(dict.fromkeys((*own, *more)))


def trained_on(feature: str, told: Mapping[str, Any]) -> tuple[str, ...]:
    """The labelled data that the weights of a feature set were trained on, as far as it is known.

    Parameters
    ----------
    feature : str
        Name of the feature set.
    told : mapping
        What its recipe tells of its weights: `dataset` and `classes`, none of which are named where it was all, and
        `before`, the same of the weights that these began with; empty where it tells nothing.

    Examples
    --------
    >>> trained_on("stgcn_small@0123456789ab", {"dataset": "utd", "classes": ["clap", "bow"]})
    ('utd (2 classes)',)
    """
    if told.get("random"):
        return ("nothing, the weights are random",)
    if told:
        name, count = told["dataset"], len(told["classes"])
        own = _PUBLISHED.get(name, f"{name} (all classes)") if not count else f"{name} ({count} classes)"
        return (own, *trained_on(feature, told["before"])) if told.get("before") else (own,)
    try:
        return tuple(extractors.find(feature.partition("@")[0]).trained_on)
    except UnknownExtractor:
        return ("unknown",)


def met_before(
    test: Sequence[str], pretraining: Sequence[str], told: Mapping[str, Any], dataset: str, tau: float = TAU
) -> tuple[Overlap, ...]:
    """Test classes that are among the classes of the data trained on: by name, and by E2E's distance.

    Parameters
    ----------
    test : names
    pretraining, told : as `trained_on` gives and takes them
    dataset : str
        Whose classes the test classes are.
    tau : float
        E2E's distance below which two classes are one.
    """
    found: list[Overlap] = []
    for names, is_own in _lists(pretraining, told, dataset):
        by_name = overlap(test, names)
        found += by_name
        if not is_own:
            found += _near(tuple(test), names, {o.test for o in by_name}, tau)
    return tuple(found)


def _lists(pretraining: Sequence[str], told: Mapping[str, Any], dataset: str) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The classes trained on that are known by name, and whether they are of the data set itself."""
    for data in pretraining:
        if list_name := _CLASSES.get(data):
            yield class_names(list_name), False
    while told:
        if told["classes"]:
            yield tuple(told["classes"]), told["dataset"] == dataset
        told = told.get("before") or {}


def _near(test: tuple[str, ...], names: tuple[str, ...], by_name: set[str], tau: float) -> list[Overlap]:
    ours, theirs = word_vectors(test), word_vectors(names)
    mine = [k for k in range(len(ours)) if test[k] not in by_name and np.isfinite(ours[k]).all()]
    its = [k for k in range(len(theirs)) if np.isfinite(theirs[k]).all()]
    if not mine or not its:
        return []
    rows = overlap([test[k] for k in mine], [names[k] for k in its], ours[mine], theirs[its], tau)
    return [row for row in rows if row.how == "distance"]


@functools.lru_cache(maxsize=64)
def word_vectors(names: tuple[str, ...]) -> np.ndarray:
    """(K, 50) mean word vector of each name, NaN where it has none or no vectors are installed."""
    found = np.full((len(names), 1), np.nan)
    try:
        extractor = _extractor()
    except ExtractorError:
        return found
    tokens = extractor.tokens([readable(name) for name in names])
    rows = {}
    for k, own in enumerate(tokens):
        if not isinstance(own, InputFault):
            batch, length = extractor.shape(len(own))
            units = np.full((batch, length), -1, np.int32)
            units[:, : len(own)] = own  # a full batch, as always: of one text, many times
            outputs = extractor(units)
            rows[k] = extractor.rows({name: values[0] for name, values in outputs.items()}, len(own))["features"][0]
    if rows:
        found = np.full((len(names), len(next(iter(rows.values())))), np.nan)
        for k, row in rows.items():
            found[k] = row
    return found


@functools.cache
def _extractor() -> TextExtractor:
    extractor = options.asked(_VECTORS, None, "fp32")
    extractor.load("cpu")
    assert isinstance(extractor, TextExtractor)
    return extractor
