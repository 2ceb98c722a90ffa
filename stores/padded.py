"""Rows of items as one array: items of many rows beside items of few, NaN where an item has ended.

    tokens of texts (rows, D), offsets ─▶ (items, L, D)

What a head trains the last layers of an encoder on: the token states of texts (`bert_tokens`).
"""

import numpy as np

from stores.features import FeatureSet

STATES = "tokens"  #: the output of an encoder's token states


def has_states(feature_set: FeatureSet) -> bool:
    """Whether its rows are token states, many a text."""
    return STATES in feature_set.recipe.get("outputs", {})


def padded(feature_set: FeatureSet, keys: np.ndarray, output: str) -> np.ndarray:
    """The rows of some items of a feature set, side by side.

    Parameters
    ----------
    feature_set : FeatureSet
    keys : (n, 32) uint8, all in the set
    output : str

    Returns
    -------
    (n, L, D) float32, L the most rows that one of them has

    Raises
    ------
    NotInStore
        Some keys are not in the set.
    """
    found = feature_set.load(keys, output)
    sizes = np.diff(found.offsets)
    out = np.full((len(keys), int(sizes.max(initial=0)), found.values.shape[1]), np.nan, np.float32)
    place = np.arange(len(found.values)) - np.repeat(found.offsets[:-1], sizes)
    out[np.repeat(np.arange(len(keys)), sizes), place] = found.values
    return out
