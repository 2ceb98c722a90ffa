"""Where the rows of captions lie: a video that captions stand for has the rows of their texts, in their order."""

from typing import NamedTuple

import numpy as np

import extractors
from extractors.errors import UnknownExtractor
from stores.captions import Captions
from stores.features import FeatureSet, positions
from stores.keys import key_array
from stores.root import Root


class CaptionRows(NamedTuple):
    """Rows of items, in what `feature_set.load(texts)` gives: a row a text.

    Attributes
    ----------
    rows : (rows,) int64
    offsets : (items + 1,) int64; an item one of whose captions has no features has no rows
    texts : (n, 32) uint8, the keys to load
    """

    rows: np.ndarray
    offsets: np.ndarray
    texts: np.ndarray


def kind_of(feature_set: FeatureSet) -> str:
    """The kind of items that a feature set is of; empty for features made elsewhere, of videos or of poses."""
    try:
        kind = extractors.find(feature_set.name.partition("@")[0]).kind
    except UnknownExtractor:
        return ""
    return "caption_group" if kind == "text" else kind


def caption_rows(feature_set: FeatureSet, groups: np.ndarray, dataset: str, root: Root) -> CaptionRows:
    """The rows of some groups of captions of a data set.

    Parameters
    ----------
    feature_set : FeatureSet
        Of texts.
    groups : (items, 32) uint8
    dataset : str
    root : Root
    """
    captions = Captions(root).read(dataset, ["group", "key"])
    texts = np.unique(key_array(captions["key"]), axis=0)
    texts = texts[positions(feature_set.keys(), texts) >= 0]
    row = positions(texts, key_array(captions["key"])) if len(texts) else np.full(captions.num_rows, -1)
    known, first, sizes = np.unique(key_array(captions["group"]), axis=0, return_index=True, return_counts=True)
    whole = np.minimum.reduceat(row, first) >= 0  # a group is there when all its captions are
    at = positions(known, groups)
    sizes = np.where((at >= 0) & whole[at], sizes[at], 0)
    rows = [row[first[g] : first[g] + n] for g, n in zip(at, sizes, strict=True) if n]
    return CaptionRows(
        np.concatenate(rows) if rows else np.empty(0, np.int64), np.concatenate([[0], np.cumsum(sizes)]), texts
    )
