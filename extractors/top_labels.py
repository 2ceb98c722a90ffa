"""The labels of a video: logits of its frames in, the likeliest labels and their scores out.

    logits (n, K), features (n, D) ─mean over n─▶ the 20 largest logits ─▶ ids (20), scores (20);  features (D)

Logits are averaged before the best are taken, and a score is the sigmoid of a mean logit, as the published code of
ElaborativeRehearsal (ICCV 2021) has it.
"""

from collections.abc import Mapping

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


def rows(units: Mapping[str, np.ndarray], stored: Mapping[str, Output]) -> dict[str, np.ndarray]:
    """The row of one item.

    Parameters
    ----------
    units : mapping with `logits` (n, K) and `features` (n, D)
    stored : mapping
        As `outputs` gives it.

    Returns
    -------
    dict of `ids` (1, 20), best first and equal ones in the order of their ids, `scores` (1, 20), `features` (1, D)
    """
    logits = units["logits"].mean(0, dtype=np.float64)
    ids = np.argsort(-logits, kind="stable")[:TOP]
    scores = 1 / (1 + np.exp(-logits[ids]))
    features = units["features"].mean(0, dtype=np.float64)
    return as_stored({"ids": ids[None], "scores": scores[None], "features": features[None]}, stored)
