"""The labels of a video: logits of its frames in, the likeliest labels and their scores out.

    logits (n, K), features (n, D) ─mean over n─▶ the 20 largest logits ─▶ ids (20), scores (20);  features (D)

Logits are averaged before the best are taken, and a score is what the network was trained to say of its mean logit: a
sigmoid where each label was learned by itself, as the published code of ElaborativeRehearsal (ICCV 2021) has it of BiT;
where labels exclude each other, a softmax over all of them.
"""

from collections.abc import Callable, Mapping

import numpy as np

from extractors.backbone import as_stored
from extractors.base import Output

TOP = 20


def outputs(features: int) -> dict[str, Output]:
    """What such an extractor stores, one row a video; `features` is D."""
    return {
        "ids": Output((TOP,), "int32"),
        "scores": Output((TOP,), "float16"),
        "features": Output((features,), "float16"),
    }


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Scores (K,) of logits (K,), each by itself."""
    return np.asarray(1 / (1 + np.exp(-logits)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Scores (K,) of logits (K,) that sum to 1."""
    odds = np.exp(logits - logits.max())
    return np.asarray(odds / odds.sum())


def rows(
    units: Mapping[str, np.ndarray], stored: Mapping[str, Output], scored: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """The row of one item.

    Parameters
    ----------
    units : mapping with `logits` (n, K) and `features` (n, D)
    stored : mapping
        As `outputs` gives it.
    scored : `sigmoid` or `softmax`, as the network was trained

    Returns
    -------
    dict of `ids` (1, 20), best first and equal ones in the order of their ids, `scores` (1, 20), `features` (1, D)
    """
    logits = units["logits"].mean(0, dtype=np.float64)
    ids = np.argsort(-logits, kind="stable")[:TOP]
    scores = scored(logits)[ids]
    features = units["features"].mean(0, dtype=np.float64)
    return as_stored({"ids": ids[None], "scores": scores[None], "features": features[None]}, stored)
