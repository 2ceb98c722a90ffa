"""How much better one row is than another on the same splits, and how sure that is.

    result rows of both, matched by split and seed ──paired──▶ mean difference and its standard error

Splits of one set of classes share classes to learn from and to be judged on, so their differences are no independent
draws, and deviation / sqrt(J) is too small. Corrected as Nadeau and Bengio correct repeated hold-out:

    error^2 = (1 / J + unseen / seen) deviation^2,    J splits, deviation over them, seeds averaged first

Of one split there is nothing but its seeds: then the error is that over seeds, and tells nothing of other classes.

Paper: Nadeau and Bengio, Inference for the Generalization Error, Machine Learning 52, 2003, equation 7.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def paired(own: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]], measure: str) -> str:
    """Mean difference in percent over the splits and seeds both have, with its standard error.

    Parameters
    ----------
    own, reference : result rows, with `split`, `seed` and the numbers of seen and unseen classes, `sides`
        One seed of the reference stands for all; where nothing is seen, splits count as halves, which they are.
    measure : of the rows

    Examples
    --------
    >>> rows = [{"split": k, "seed": 0, "sides": (5, 5), "top1": .1 * k} for k in range(2)]
    >>> paired([r | {"top1": .2 * r["split"]} for r in rows], rows, "top1")
    '+5.0 ± 8.7'
    """
    theirs = {(r["seed"], r["split"]): r[measure] for r in reference}
    first = {r["split"]: r[measure] for r in reversed(reference)}
    several = len({r["seed"] for r in reference}) > 1
    by_split: dict[int, list[float]] = {}
    ratios = {}
    for row in own:
        other = theirs.get((row["seed"], row["split"])) if several else first.get(row["split"])
        if other is not None:
            by_split.setdefault(row["split"], []).append(row[measure] - other)
            seen, unseen = row["sides"]
            ratios[row["split"]] = unseen / (seen or unseen)
    if not by_split:
        return ""
    draws = np.array([np.mean(each) for each in by_split.values()])
    mean = f"{100 * draws.mean():+.1f}"
    share = 1 / len(draws) + float(np.mean(list(ratios.values())))
    if len(draws) == 1:
        (draws,) = map(np.array, by_split.values())
        share = 1 / len(draws)
    if len(draws) == 1:
        return mean
    return f"{mean} ± {100 * draws.std(ddof=1) * np.sqrt(share):.1f}"
