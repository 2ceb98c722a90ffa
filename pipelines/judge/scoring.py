"""Scores of candidate classes for videos, by the trained head of one split.

    videos, candidates ─▶ ranked          the best classes of each video, best first
                       ─▶ standardised    the scores of all, each class's in units of its own spread

A head whose scores are inner products is asked by FAISS, exactly; any other in bounded blocks.
"""

import numpy as np
import torch

from heads.base import Head
from heads.prototypes import nearest, standardised
from pipelines.errors import UsageError
from pipelines.judge.measures import KEPT
from pipelines.learn.study import Study
from pipelines.learn.trials import spread

_REFERENCE = 20_000  # videos a standardised score is told from, at most


class Scoring:
    """The head of one split, which scores.

    Parameters
    ----------
    study : what its run was fitted on
    head : of the split
    seen : (S,) numbers of its seen classes, by whose videos scores are standardised
    """

    def __init__(self, study: Study, head: Head, seen: np.ndarray) -> None:
        self._study, self._head, self._seen = study, head, seen

    def ranked(
        self, rows: np.ndarray, candidates: np.ndarray, penalty: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores and places among the candidates, best first, standardised where the run's are.

        Parameters
        ----------
        rows : (N,) of videos
        candidates : (K,) numbers of classes
        penalty : (K,) what is taken off; None: nothing

        Returns
        -------
        scores, places : (N, k) float32 and (N, k) int64

        Raises
        ------
        UsageError
            Scores are standardised, and no class is seen.
        """
        prototypes = self._prototypes(candidates)
        if prototypes is None:
            values = self._study.scores(self._head, rows, candidates)
            if self._study.config.standardise:
                mean, deviation = self._reference(candidates, None)
                values = (values - mean) / deviation
            if penalty is not None:
                values = values - penalty.astype(np.float32)
            top = np.argsort(-values, 1, kind="stable")[:, :KEPT]
            return np.take_along_axis(values, top, 1), top
        mean, deviation = np.zeros(len(candidates), np.float32), np.ones(len(candidates), np.float32)
        if self._study.config.standardise:
            mean, deviation = self._reference(candidates, prototypes)
        if penalty is not None:
            mean = mean + (penalty * deviation).astype(np.float32)
        return nearest(*standardised(self._embedded(rows), prototypes, mean, deviation), KEPT)

    def standardised(self, rows: np.ndarray, candidates: np.ndarray, penalty: np.ndarray | None = None) -> np.ndarray:
        """(N, K) float32: a class's scores less their mean on videos of seen classes, in their deviations there.

        As `ranked`, but for every class, and whatever the run's own are. The penalty stays in the units of these.
        """
        prototypes = self._prototypes(candidates)
        mean, deviation = self._reference(candidates, prototypes)
        values = (self._scores(rows, candidates, prototypes) - mean) / deviation
        if penalty is not None:
            values -= penalty if self._study.config.standardise else penalty / deviation
        return np.asarray(values, np.float32)

    def _prototypes(self, candidates: np.ndarray) -> np.ndarray | None:
        with torch.no_grad():
            found = self._head.prototypes(self._study.told(candidates))
        return None if found is None else found.numpy()

    def _reference(self, candidates: np.ndarray, prototypes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """(K,) mean and (K,) deviation of each candidate's scores on videos that were trained on."""
        if not len(self._seen):
            raise UsageError("Scores are standardised by videos of seen classes, and this protocol has none.")
        rows = self._study.trained_on(self._seen)
        told = self._scores(rows[:: max(1, len(rows) // _REFERENCE)], candidates, prototypes)
        return told.mean(0), spread(told)

    def _scores(self, rows: np.ndarray, candidates: np.ndarray, prototypes: np.ndarray | None) -> np.ndarray:
        if prototypes is None:
            return self._study.scores(self._head, rows, candidates)
        return np.asarray(self._embedded(rows) @ prototypes.T)

    def _embedded(self, rows: np.ndarray) -> np.ndarray:
        found = []
        with torch.no_grad():
            for some in self._study.in_parts(rows):
                embedded = self._head.embedded(self._study.batch(some))
                assert embedded is not None
                found.append(embedded.numpy())
        return np.concatenate(found)
