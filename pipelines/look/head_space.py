"""Videos and phrases in the space of a head that `zsar fit` trained.

    stored rows (n, D) ─head─▶ (n, d) ◀─head─ (A,) ◀─encoder─ phrase

Every row is given to the head as a video of one segment, and the phrase as a class whose every text it is. Nothing is
kept: a search goes through all rows, some at a time. One split's head is asked, the first that was trained: it has seen
the seen classes of that split.

A head that compares sets (JigsawNet) or looks at two vectors at once (the relation network) has no such space.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import heads
from heads.base import ClassTexts, Head, Texts, Videos
from pipelines.errors import UsageError
from pipelines.learn.runs import Run
from pipelines.learn.trained import command, head_of, study_of
from pipelines.look.segments import Segments
from stores.root import Root
from stores.runs import Runs

_AT_ONCE = 4096


def why_not(name: str, root: Root) -> str:
    """Why a phrase cannot be compared in a run's space, as its head's class tells; empty where it may be."""
    about = Runs(root).about(name)
    if parts := about.get("runs"):
        return f"it is {len(parts)} runs judged as one"
    try:
        head = heads.find(about["config"]["head"])
    except LookupError as error:
        return str(error)
    if any(about[side].get("layers_trained") for side in ("texts", "videos")):
        return "layers below its head are trained, which take token states or maps, and not vectors"
    if head.needs_segments:
        return "its head is made for a number of segments a video, and a stored row is one"
    own = all(getattr(head, each) is not getattr(Head, each) for each in ("embedded", "prototypes"))
    shown = all(getattr(head, each) is not getattr(Head, each) for each in ("video_vectors", "class_vectors"))
    if not (own or shown):
        return "its head has no vector of a video or of a text by itself"
    return "" if Runs(root).splits(name) else "no split of it was trained"


class HeadSpace:
    """The space of one split's head.

    Parameters
    ----------
    name : full name of the run
    root : Root

    Attributes
    ----------
    feature, output, texts : the feature set its videos have, which of its outputs, and the one its texts have
    split : whose head is asked

    Raises
    ------
    UsageError
        The run has no such space, or what it was fitted on has changed since.
    """

    def __init__(self, name: str, root: Root) -> None:
        if why := why_not(name, root):
            raise UsageError(f"A phrase cannot be compared in {name}: {why}.")
        run = Run(root, name)
        study, as_it_was = study_of(run)
        if not as_it_was:
            raise UsageError(
                f"Its features or texts have changed since {name} was fitted, so its weights do not fit. "
                f"Fit again: `{command(study.config)}`."
            )
        done = [number for number in Runs(root).splits(name) if run.told(number) is not None]
        if not done:
            raise UsageError(f"No split of {name} was trained to its end. Run `{command(study.config)}`.")
        self.split = done[0]
        self._head, options = head_of(study, run, self.split)
        self._kinds = self._head.reads(options)
        self.feature, self.output, self.texts = study.videos.feature, study.config.output, study.texts.feature

    def phrase(self, vector: np.ndarray) -> Tensor:
        """(d,) of unit length: a phrase (A,) among the videos."""
        first = torch.zeros(1, dtype=torch.int64)
        one = Texts(torch.from_numpy(vector[None].astype(np.float32)), first, first)
        with torch.no_grad():
            found = self._head.class_vectors(ClassTexts(("phrase",), dict.fromkeys(self._kinds, one)))
        if found is None:
            raise UsageError("This head has no vector of a text by itself; take another run.")
        return functional.normalize(found[0].float(), dim=0)

    def search(self, own: Segments, query: Tensor, k: int) -> tuple[Segments, np.ndarray]:
        """The k of some segments nearest to a point of the space, and their cosines (k,) float32, best first."""
        rows, of_row = np.unique(own.row, return_inverse=True)
        scores, at = np.full(len(rows), -np.inf, np.float32), 0
        for block in own.feature_set.scan(self.output):
            low, high = np.searchsorted(rows, (at, at + len(block)))
            wanted = block[rows[low:high] - at].reshape(high - low, 1, -1).astype(np.float32)
            for start in range(0, high - low, _AT_ONCE):
                part = slice(low + start, min(low + start + _AT_ONCE, high))
                scores[part] = self._scores(wanted[start : start + _AT_ONCE], query)
            at += len(block)
        found = scores[of_row.ravel()]
        best = np.argsort(-found, kind="stable")[:k]
        return own.take(best), found[best]

    def _scores(self, segments: np.ndarray, query: Tensor) -> np.ndarray:
        with torch.no_grad():
            vectors = self._head.video_vectors(Videos(torch.from_numpy(segments)))
            if vectors is None:
                raise UsageError("This head has no vector of a video by itself; take another run.")
            return (functional.normalize(vectors.float(), dim=-1) @ query).numpy()
