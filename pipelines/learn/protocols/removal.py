"""Class removal: which classes of the data set learned from are too near to one of the data set judged on.

    names of both ──removed_classes──▶ classes to leave out: of one name, or of word vectors less than tau apart

Paper: Brattoli et al., Rethinking Zero-shot Video Classification, CVPR 2020, equations 3 and 4; METHODS section 2.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.errors import UsageError
from pipelines.learn.protocols.met_before import word_vectors
from pipelines.texts.overlap import overlap, removed
from untrusted.names import few


def removed_classes(
    train: Sequence[str], test: Sequence[str], tau: float, vectors: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[str, ...]:
    """The classes to leave out of training, in the order given.

    Parameters
    ----------
    train, test : names of the classes of both data sets
    tau : float
        Cosine distance below which two classes are one; 0: names alone are compared.
    vectors : ((K, A), (L, A)), optional
        Word vectors of the classes of both; else those of the pack.

    Raises
    ------
    UsageError
        A class without a word vector: whether it is near to another cannot be told.

    Examples
    --------
    >>> removed_classes(["Hand Stand Pushups", "bowling"], ["HandstandPushups"], tau=0)
    ('Hand Stand Pushups',)
    """
    out = {found.pretraining for found in overlap(test, train)} | set(train) & set(test)
    if rest := [name for name in train if name not in out] if tau else []:
        ours, theirs = vectors or (word_vectors(tuple(train)), word_vectors(tuple(test)))
        ours = ours[[name not in out for name in train]]
        lacking = [n for n, v in zip((*rest, *test), (*ours, *theirs), strict=True) if not np.isfinite(v).all()]
        if lacking:
            raise UsageError(
                f"Without a word vector it cannot be told whether a class is near to another: {few(lacking)}"
                f". Install the vectors (`make pack`), or give `--tau 0`: then "
                "names alone are compared."
            )
        out |= {name for name, is_near in zip(rest, removed(ours, theirs, tau), strict=True) if is_near}
    return tuple(name for name in train if name in out)
