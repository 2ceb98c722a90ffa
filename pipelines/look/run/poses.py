"""Sequences of poses on the page of a run: the skeleton in each part of time, and the phrases that won there.

Takes  a trained head whose features are of poses, the judged sequences of one split
Gives  `Gallery`: for some sequences, as many right as wrong, a drawing a part; under it, where the feature has several
       segments and the head is JigsawNet, the best phrases of the part, else the texts nearest to the whole sequence

Sequences are read from where they were indexed, and none but those shown. A file of many is read as a whole. Poses are
put into the form that the feature's recipe names, and always into the frame of the body, so that they stand upright.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from extractors import joints, stgcn_network
from extractors.errors import InputFault, Unreachable
from extractors.poses import Form, Poses
from pipelines.index import joint_layouts
from pipelines.index.pose_places import PoseReader
from pipelines.index.poses import KIND
from pipelines.look.run import inside
from pipelines.look.run.inside import Trained
from pipelines.look.skeletons import drawings, when
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root

_STRIP = 5  # parts drawn of a sequence that has but one segment
_MOST_PARTS = 8
_NEAREST = 3


@dataclasses.dataclass(frozen=True)
class Said:
    """A text with its class and cosine similarity; `role` is `taken` of the class judged best, `own`, or `other`."""

    text: str
    part: str
    class_name: str
    similarity: float
    role: str


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of time: its drawing (None: nobody is there), when it is, and the phrases that won in it, best first."""

    drawing: Markup | None
    when: str
    said: tuple[Said, ...]


@dataclasses.dataclass(frozen=True)
class Sequence:
    """One sequence; `scores` are of `best` and, where that is wrong and it is known, of `label`.

    Attributes
    ----------
    nearest : texts nearest to the sequence as a whole, where no part has phrases of its own
    told : how many segments it has, of which some may be left out
    why_not : why nothing is drawn, where it is not
    """

    video_id: str
    label: str
    best: str
    score: float
    own_score: float | None
    parts: tuple[Part, ...]
    nearest: tuple[Said, ...]
    told: int
    why_not: str

    @property
    def wrong(self) -> bool:
        """Whether it was taken for another class."""
        return self.best != self.label


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The sequences shown.

    Attributes
    ----------
    sequences : right ones, then wrong ones
    frames, fit : of the form of a sequence
    phrases : whether parts have phrases
    is_mean : whether a class's score is the mean over segments of its best phrase
    compares : whether the head has vectors of sequences and of texts to compare
    """

    sequences: tuple[Sequence, ...]
    frames: int
    fit: str
    phrases: bool
    is_mean: bool
    compares: bool


def gallery(of: Trained, judged: list[dict[str, Any]], root: Root) -> Gallery | None:
    """Some judged sequences; None where the features are not of poses.

    Parameters
    ----------
    of : Trained
    judged : rows of the sequences of unseen classes that were judged
    root : Root
    """
    shown = inside.examples(judged)
    row_of = {video_id: row for row, video_id in enumerate(of.study.videos.ids)}
    rows = [row_of[row["video_id"]] for row in shown]
    joint_layouts.load(root)
    places = _places(of, rows, root)
    if not any(places.values()):
        return None
    sampling = FeatureStore(root).find(of.study.videos.feature).recipe.get("sampling") or {}
    known = {name: sampling[name] for name in ("frames", "fit") if name in sampling}
    form = Form(**known, people=1, frame="body")
    found = _read(places, sampling.get("layout"))
    spans = _spans(of, sampling, form.frames)
    has_phrases = len(set(spans)) > 1 and inside.aligns_groups(of)
    sequences = tuple(
        _sequence(of, row, entry, found[row], form, spans, has_phrases) for row, entry in zip(rows, shown, strict=True)
    )
    is_mean = has_phrases and of.study.objects is None and not of.study.config.standardise
    compares = has_phrases or any(each.nearest for each in sequences)
    return Gallery(sequences, form.frames, form.fit, has_phrases, is_mean, compares)


# -- reading ----------------------------------------------------------------------------------------------------------


def _places(of: Trained, rows: list[int], root: Root) -> dict[int, list[tuple[str, bytes]]]:
    """Where each of these sequences lies, with its key; nowhere for what is no sequence of poses."""
    keys = {row: of.study.videos.keys[row].tobytes() for row in rows}
    table = Manifest(root).read(of.study.videos.dataset, ["key", "uri", "kind"])
    table = table.filter(pc.and_(pc.equal(table["kind"], KIND), pc.is_in(table["key"], pa.array(set(keys.values())))))
    own = list(zip(table["key"].to_pylist(), table["uri"].to_pylist(), strict=True))
    return {row: [(uri, key) for known, uri in own if known == key] for row, key in keys.items()}


def _read(places: Mapping[int, list[tuple[str, bytes]]], layout: str | None) -> dict[int, Poses | InputFault]:
    """The sequences in the layout of the feature; those of one file one after another, so that it is read once."""
    reader = PoseReader()
    found: dict[int, Poses | InputFault] = {}
    for row in sorted(places, key=lambda row: [uri.rpartition("#")[0] for uri, _ in places[row]]):
        found[row] = Unreachable("it lies nowhere")
        for uri, key in places[row]:
            try:
                poses = reader.read(uri, key)
                target = joints.LAYOUTS.get(layout or "", poses.layout)
                found[row] = poses if poses.layout is target else poses.mapped(target)
                break
            except InputFault as fault:
                found[row] = fault
    return found


def _spans(of: Trained, sampling: Mapping[str, Any], frames: int) -> list[tuple[float, float]]:
    """When each segment is, in frames; parts overlap by a step of the network where its steps cannot be divided."""
    m, name = of.study.videos.segments.shape[1], of.study.videos.feature.partition("@")[0]
    stored = int(sampling.get("segments", m))
    architecture = stgcn_network.ARCHITECTURES.get(name)
    steps = architecture.steps(frames) if architecture else frames
    parts = [(k * steps // stored, -(-(k + 1) * steps // stored)) for k in range(stored)]
    return [(parts[k][0] * frames / steps, parts[k][1] * frames / steps) for k in inside.evenly(stored, m)]


# -- one sequence -----------------------------------------------------------------------------------------------------


def _sequence(
    of: Trained,
    row: int,
    entry: Mapping[str, Any],
    poses: Poses | InputFault,
    form: Form,
    spans: list[tuple[float, float]],
    has_phrases: bool,
) -> Sequence:
    label, best = entry["label"], entry["best"][0]
    kept = inside.evenly(len(spans), min(len(spans), _MOST_PARTS))
    said = _phrases(of, row, label, best) if has_phrases else [()] * len(spans)
    told = len(set(spans))
    if told == 1:
        spans = [(form.frames * k / _STRIP, form.frames * (k + 1) / _STRIP) for k in range(_STRIP)]
        kept, said = list(range(_STRIP)), [()] * _STRIP
    drawn, why_not = drawings(poses, form, [spans[k] for k in kept], entry["video_id"])
    parts = tuple(Part(drawn[i], when(spans[k], form.frames), said[k]) for i, k in enumerate(kept))
    scores = dict(zip(entry["best"], entry["scores"], strict=True))
    return Sequence(
        video_id=entry["video_id"],
        label=label,
        best=best,
        score=scores[best],
        own_score=scores.get(label) if label != best else None,
        parts=parts if not why_not or has_phrases else (),
        nearest=() if has_phrases else _nearest(of, row, label, best),
        told=told,
        why_not=why_not,
    )


# -- what is said of it -----------------------------------------------------------------------------------------------


def _phrases(of: Trained, row: int, label: str, best: str) -> list[tuple[Said, ...]]:
    """For each segment the best phrase of all unseen classes, that of the class judged best and that of its own."""
    names = [of.study.classes[k] for k in of.unseen]
    won = inside.winners_of(of, row, of.unseen)
    assert won is not None
    found = []
    for segment in range(len(won[0])):
        own = {name: won[k][segment] for k, name in enumerate(names)}
        first = max(names, key=lambda name: own[name].similarity)
        shown = sorted({first, best, label}, key=lambda name: (-own[name].similarity, names.index(name)))
        found.append(tuple(_said(own[name], name, label, best) for name in shown))
    return found


def _nearest(of: Trained, row: int, label: str, best: str) -> tuple[Said, ...]:
    """The unseen classes nearest to a whole sequence, best first, each with its text; none where nothing compares."""
    nearest = inside.nearest_texts(of, row)
    names = [of.study.classes[k] for k in of.unseen]
    order = sorted(range(len(nearest)), key=lambda k: -nearest[k].similarity)[:_NEAREST]
    return tuple(_said(nearest[k], names[k], label, best) for k in order)


def _said(phrase: inside.Phrase, name: str, label: str, best: str) -> Said:
    role = "taken" if name == best else "own" if name == label else "other"
    return Said(phrase.text, phrase.part, name, phrase.similarity, role)
