"""How often a segment's winning phrase names what is done in it: whether group alignment aligns.

Run    `zsar named RUN --moments segments.csv`
Takes  a run whose head aligns segments with phrases, and a table of what is done when: id, phrase, start_s, end_s; an
       id is a video's, or that of the film which poses were told to be of
Gives  shares of right names: among all phrases, and among those of the video's own class; with what chance gives

A segment is what is done in its middle, segments being equal parts of a video up to the end of its last moment. Videos
of the classes trained on and of those judged are told apart. Figure 4 of JigsawNet shows four segments; this counts.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from heads.base import ClassTexts, Head, Texts
from pipelines.csv_rows import records
from pipelines.errors import UsageError
from pipelines.index.poses import values_of
from pipelines.judge.settings import NamedConfig
from pipelines.learn.runs import Run
from pipelines.learn.study import Study
from pipelines.learn.trained import head_of, study_of
from pipelines.lines import Problem, lines, opened
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs

_COLUMNS = ("id", "phrase", "start_s", "end_s")
_AT_ONCE = 256

Moments = Mapping[str, Sequence[tuple[float, float, str]]]


@dataclasses.dataclass(frozen=True)
class Named:
    """Of the segments of some videos.

    Attributes
    ----------
    segments : that were asked about
    among_all, among_own : share whose winner is what is done, of all phrases and of those of the video's class
    chance_all, chance_own : what a blind guess gives
    """

    segments: int
    among_all: float
    among_own: float
    chance_all: float
    chance_own: float


@dataclasses.dataclass(frozen=True)
class NamedReport:
    """Shares on the videos trained on, and on those judged.

    Attributes
    ----------
    run, split : asked about
    seen, unseen : Named
    without : videos that the table says nothing of, or of which it names a phrase that no class has
    """

    run: str
    split: int
    seen: Named
    unseen: Named
    without: int


def named(config: NamedConfig, root: Root) -> NamedReport:
    """Hold the winning phrases of a split's head against what is done.

    Raises
    ------
    NotInStore, Ambiguous
        No such run.
    UsageError
        A head without phrases of segments, a split that is not fitted, a table that does not fit.
    """
    run = Run(root, Runs(root).find(config.run))
    number = config.split
    if run.told(number) is None:
        raise UsageError(f"{run.name} has no split {number} that is fitted. Run `{run.about()['command']}`.")
    study, _ = study_of(run)
    head, options = head_of(study, run, number)
    kinds = head.reads(options)
    if len(kinds) != 1 or head.winners(study.batch(np.array([0])), _all(study, kinds[0]), torch.tensor([0])) is None:
        raise UsageError(f"{run.name} compares no segments with phrases of one kind: fit `jigsaw` with its groups.")
    moments, split = _moments(config.moments), study.split(number)
    sides = [study.numbers(names) for names in (split.seen, split.unseen)]
    films = _films(study.videos.dataset, root)
    known = [_known(study, classes, moments, films, kinds[0]) for classes in sides]
    without = sum(int(np.isin(study.videos.labels, own).sum()) for own in sides) - sum(len(rows) for rows, _ in known)
    if not all(len(rows) for rows, _ in known):
        raise UsageError(f"{config.moments} tells nothing of the videos of {study.videos.dataset!r}: are ids alike?")
    seen, unseen = (_shares(study, head, kinds[0], *own) for own in known)
    return NamedReport(run.name, number, seen, unseen, without)


def _moments(path: str) -> Moments:
    """What the table says, by the ids of videos."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    with opened(path) as file:
        for row in records(lines(file), ",", _is_header, _is_header):
            if isinstance(row, Problem):
                raise UsageError(f"{path}, line {row.line}: {row.reason}.")
            number, told = row
            if not isinstance(told, dict):
                raise UsageError(f"{path} needs a first row that names its columns: {', '.join(_COLUMNS)}.")
            try:
                name, phrase, start, end = (str(told[column]) for column in _COLUMNS)
                found.setdefault(name, []).append((float(start), float(end), phrase))
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: start_s and end_s are seconds ({error}).") from error
    return found


def _is_header(names: list[str]) -> bool:
    return set(_COLUMNS) <= set(names)


def _films(dataset: str, root: Root) -> dict[str, str]:
    """The film that each item was told to be of, such as a sequence of poses; of others nothing."""
    rows = Manifest(root).read(dataset, ["video_id", "split"]).to_pylist()
    told = ((row["video_id"], values_of(row["split"]).get("video")) for row in rows)
    return {item: film for item, film in told if film}


def _known(
    study: Study, classes: np.ndarray, moments: Moments, films: Mapping[str, str], kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) of the videos of some classes of which all is told, and the phrase (n, m) done in each segment."""
    number = {_plain(text): row for row, text in enumerate(study.texts.said[kind])}
    m, rows, done = study.segments, [], []
    for row in study.videos.of(classes):
        name = study.videos.ids[row]
        own = moments.get(name) or moments.get(films.get(name, ""), ())
        if own and all(_plain(phrase) in number for *_, phrase in own):
            end = max(last for _, last, _ in own)
            told = [_at((x + 0.5) / m * end, own) for x in range(m)]
            rows.append(row)
            done.append([number[_plain(phrase)] for phrase in told])
    return np.array(rows, np.int64), np.array(done, np.int64).reshape(-1, m)


def _at(moment: float, own: Sequence[tuple[float, float, str]]) -> str:
    """What is done at a moment, or nearest to it."""
    away = [max(start - moment, moment - end, 0.0) for start, end, _ in own]
    return own[int(np.argmin(away))][2]


def _plain(phrase: str) -> str:
    return " ".join(phrase.lower().split())


def _shares(study: Study, head: Head, kind: str, rows: np.ndarray, done: np.ndarray) -> Named:
    classes, labels = study.texts.tensors, torch.from_numpy(study.videos.labels[rows])
    everything, first = _all(study, kind), torch.zeros(len(rows), dtype=torch.int64)
    among_all: list[np.ndarray] = []
    among_own: list[np.ndarray] = []
    with torch.no_grad():
        for start in range(0, len(rows), _AT_ONCE):
            at = slice(start, start + _AT_ONCE)
            batch = study.batch(rows[at])
            for texts, chosen, found in ((everything, first, among_all), (classes, labels, among_own)):
                won = head.winners(batch, texts, chosen[at])
                assert won is not None
                found.append(won[0].numpy() == done[at])
    own = classes[kind].padded(len(classes))[labels]
    return Named(
        segments=done.size,
        among_all=float(np.concatenate(among_all).mean()),
        among_own=float(np.concatenate(among_own).mean()),
        chance_all=1 / len(classes[kind].features),
        chance_own=float((1 / (own >= 0).sum(1)).mean()),
    )


def _all(study: Study, kind: str) -> ClassTexts:
    """One class that has all phrases."""
    features = study.texts.tensors[kind].features
    rows = torch.arange(len(features))
    return ClassTexts(("all",), {kind: Texts(features, rows, torch.zeros_like(rows))})
