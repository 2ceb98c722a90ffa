"""Label errors: videos whose neighbours, and a classifier that never saw them, have another label.

Takes  clips, their neighbours, groups of near duplicates
Gives  findings `label`, where what a video looks like does not explain its label, and `ambiguous`, where it looks more
       like another class than its own; each with the label it should perhaps have

Two judges speak of each labelled video: the share of each class among its neighbours, weighted by how near they are,
and a ridge classifier (targets -1 and 1, brought to 0 and 1) that was fitted on the other four fifths. Near duplicates
and clips of one recording are no neighbours and stay in one fifth: a whole film that is labelled wrong would vouch for
itself.

`label`: the probability that its label was drawn blindly (`blind.py`) is at least one in five. `ambiguous`: confident
learning. With s (K) half of what each judge says, a class's threshold t_j is the mean s_j over the videos labelled j,
so that classes which are hard to tell apart ask for more; a video is doubted where the likeliest class among those with
s_j >= t_j is not its own and is likelier than its own. That finds labels which are wrong in one way, and also whatever
features cannot tell apart.

References
----------
Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021, section 3.1
(equations 1 and 2: thresholds and the confident joint). The paper takes a model's probabilities for s.
"""

from collections.abc import Iterator

import numpy as np

from pipelines.look.audit.blind import blind
from pipelines.look.audit.clips import Clips
from pipelines.look.audit.findings import Finding

_FOLDS = 5
_RIDGE = 1.0
_LEAST = 0.2  # likely enough that one looks


def label_errors(clips: Clips, others: np.ndarray, cosines: np.ndarray, group: np.ndarray, k: int) -> Iterator[Finding]:
    """A finding for each video that is likelier of another class.

    The score of `label` is how likely its label was drawn blindly, that of `ambiguous` by how much it is likelier.
    """
    labels = clips.column("label")
    classes = sorted({label for label in labels if label is not None})
    if len(classes) < 2:
        return
    number = {name: at for at, name in enumerate(classes)}
    own = np.array([number.get(label, -1) for label in labels], np.int64)
    films = _films(clips, group)
    near = shares(own, others, cosines, films, k, len(classes))
    told = held_out(clips.vectors, own, films, len(classes))
    drawn = blind(near, told, own, k)
    said = (near + told) / 2
    best = confident(said, own)
    for at in np.flatnonzero(own >= 0):
        is_blind = drawn.probability[at] >= _LEAST and drawn.other[at] != own[at]
        other = drawn.other[at] if is_blind else best[at]
        margin = float(said[at, other] - said[at, own[at]]) if other >= 0 else 0.0
        if not is_blind and (other == own[at] or margin <= 0):
            continue
        nearest = next((int(o) for o in others[at] if o >= 0 and own[o] == other), -1)
        share, mine = near[at, other], near[at, own[at]]
        why = f"{share:.0%} of its neighbours are {classes[other]}, {mine:.0%} are {classes[own[at]]}"
        kind, score = ("label", float(drawn.probability[at])) if is_blind else ("ambiguous", margin)
        yield Finding(kind, int(at), score, nearest, classes[other], why)


def shares(
    own: np.ndarray, others: np.ndarray, cosines: np.ndarray, films: np.ndarray, k: int, classes: int
) -> np.ndarray:
    """What the neighbours of each video say of its label.

    Parameters
    ----------
    own : (N,) number of the label of each; -1 for none
    others, cosines : (N, n) as `Clips.neighbours`
    films : (N,) which videos are of one film, and so no neighbours
    k : so many are asked
    classes : K

    Returns
    -------
    (N, K) float32, rows of sum one; of nought where no neighbour has a label
    """
    allowed = (others >= 0) & (own[others] >= 0) & (films[others] != films[:, None])
    allowed &= np.cumsum(allowed, 1) <= k
    found = np.zeros((len(own), classes), np.float32)
    rows = np.repeat(np.arange(len(own)), allowed.sum(1))
    np.add.at(found, (rows, own[others[allowed]]), np.maximum(cosines[allowed], 0))
    total = found.sum(1, keepdims=True)
    return np.asarray(np.divide(found, total, out=np.zeros_like(found), where=total > 0))


def held_out(vectors: np.ndarray, own: np.ndarray, films: np.ndarray, classes: int) -> np.ndarray:
    """(N, K) float32 in [0, 1]: what a ridge classifier says of each video that was fitted without its film."""
    _, film = np.unique(films, return_inverse=True)
    fold = np.random.RandomState(0).permutation(film.max() + 1)[film] % _FOLDS
    targets = np.full((len(own), classes), -1.0, np.float32)
    targets[own >= 0, own[own >= 0]] = 1
    found = np.zeros((len(own), classes), np.float32)
    for number in range(_FOLDS):
        learned, asked = (fold != number) & (own >= 0), fold == number
        if not learned.any() or not asked.any():
            continue
        x, y = vectors[learned].astype(np.float64), targets[learned]
        middle, mean = x.mean(0), y.mean(0)
        x -= middle
        if len(x) < x.shape[1]:  # the smaller of the two systems
            weights = x.T @ np.linalg.solve(x @ x.T + _RIDGE * np.eye(len(x)), y - mean)
        else:
            weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (y - mean))
        found[asked] = (vectors[asked] - middle) @ weights + mean
    return np.clip((found + 1) / 2, 0, 1)


def confident(said: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(N,) int64: the likeliest class of each video whose threshold it reaches; -1 where it reaches none."""
    labelled = own >= 0
    sums = np.zeros(said.shape[1])
    np.add.at(sums, own[labelled], said[labelled, own[labelled]])
    counts = np.bincount(own[labelled], minlength=said.shape[1])
    reached = said >= sums / np.maximum(counts, 1)
    return np.where(reached.any(1), np.where(reached, said, -1).argmax(1), -1)


def _films(clips: Clips, group: np.ndarray) -> np.ndarray:
    """(N,) which videos are near duplicates or clips of one recording: the lowest number among them."""
    first: dict[str, int] = {}
    own = group.copy()
    for at, name in enumerate(clips.column("recording")):
        if name is not None:
            other = first.setdefault(name, int(own[at]))
            low, high = sorted((other, int(own[at])))
            own[own == high] = low
            first[name] = low
    return own
