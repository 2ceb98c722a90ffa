"""What features were trained on before, and which test classes were among it.

Takes  the names of test classes, the extractor of a feature set
Gives  the labelled data of its published weights, and `Overlap`s: test classes that are classes of it

Names alone find what is spelled alike ("HandstandPushups", "handstand pushups"); E2E's distance of word vectors finds
what only means the same. The distance asks for word vectors: those of the offline pack, where it is installed.
"""

import functools
from collections.abc import Sequence

import numpy as np

import extractors
from extractors import options
from extractors.base import TextExtractor
from extractors.class_names import KINETICS_400, class_names
from extractors.errors import ExtractorError, InputFault, UnknownExtractor
from extractors.names import readable
from pipelines.overlap import TAU, Overlap, overlap

#: data sets of actions whose classes are known by name
_CLASSES = {"Kinetics-400": KINETICS_400}
_VECTORS = "glove_50d"


def trained_on(feature: str) -> tuple[str, ...]:
    """The labelled data that the extractor of a feature set was trained on, as far as it is known."""
    try:
        return tuple(extractors.find(feature.partition("@")[0]).trained_on)
    except UnknownExtractor:
        return ("unknown",)


def met_before(test: Sequence[str], pretraining: Sequence[str], tau: float = TAU) -> tuple[Overlap, ...]:
    """Test classes that are among the classes of the data trained on: by name, and by E2E's distance."""
    found: list[Overlap] = []
    for data in pretraining:
        if list_name := _CLASSES.get(data):
            names = class_names(list_name)
            found += overlap(test, names)
            found += _near(tuple(test), names, {o.test for o in found}, tau)
    return tuple(found)


def _near(test: tuple[str, ...], names: tuple[str, ...], by_name: set[str], tau: float) -> list[Overlap]:
    ours, theirs = _vectors(test), _vectors(names)
    mine = [k for k in range(len(ours)) if test[k] not in by_name and np.isfinite(ours[k]).all()]
    its = [k for k in range(len(theirs)) if np.isfinite(theirs[k]).all()]
    if not mine or not its:
        return []
    rows = overlap([test[k] for k in mine], [names[k] for k in its], ours[mine], theirs[its], tau)
    return [row for row in rows if row.how == "distance"]


@functools.lru_cache(maxsize=64)
def _vectors(names: tuple[str, ...]) -> np.ndarray:
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
