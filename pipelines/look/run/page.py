"""The page of a run: what it scores, which classes it confuses, and what its head has learned, for one split.

Run    `zsar show RUN --html --split 0`
Takes  a judged run; its features and texts, where they are as they were when it was fitted
Gives  `reports/run-NAME.html` below the root, and its URL; one file, with drawings inside and no script

A run whose features or texts have changed since keeps what was judged; what needs the head is left out, and the page
says why. Videos are shown as their captions where captions stand for them, else as one frame a segment; sequences of
poses as stick figures, see `poses.py`.
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup

from extractors import clips as films
from extractors.errors import ExtractorError, InputFault, MachineFault
from extractors.sampling import Geometry, Sampling, View
from heads import metrics
from pipelines.errors import UsageError
from pipelines.judge.results import judged_alike, results_of
from pipelines.learn.departures import of_run
from pipelines.look.run import clips, composed, inside, poses
from pipelines.look.run.inside import Trained
from pipelines.look.run.learned import learned
from pipelines.look.run.network_page import network_html
from pipelines.pages import figures, matrices, stick_figures
from pipelines.pages.page import frame, render
from pipelines.texts.overlap import TAU
from stores.captions import Captions
from stores.errors import StoreError
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from untrusted.names import few

_MOST_SEGMENTS = 8
_MOST_ATTENTION = 100
_FRAME, _QUALITY = 84, 72


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """How one unseen class fared: videos, those judged right, and the class that took most of the others."""

    name: str
    n: int
    right: int
    taken_for: str
    taken: int

    @property
    def accuracy(self) -> float:
        """Share of its videos that were judged right."""
        return self.right / self.n


@dataclasses.dataclass(frozen=True)
class Segment:
    """One segment: what it shows, and the phrases that won, of the class it was taken for and of its own."""

    caption: str
    frame: str
    phrase: str
    similarity: float
    own_phrase: str
    own_similarity: float


@dataclasses.dataclass(frozen=True)
class ShownVideo:
    """A video with its segments; `told` is how many segments it has, of which some may be left out."""

    video_id: str
    label: str
    best: str
    segments: tuple[Segment, ...]
    told: int

    @property
    def wrong(self) -> bool:
        """Whether it was taken for another class."""
        return self.best != self.label


def run_page(name: str, root: Root, split: int | None = None) -> str:
    """Write the page of a run, of a head or of a network; returns its URL. As `run_html`, and WriteFailed."""
    run = Runs(root).find_any(name)
    return root.write_text(run_html(run, root, split), "reports", f"run-{run}.html")


def run_html(name: str, root: Root, split: int | None = None, nav: Markup | str = "") -> str:
    """The page of a run, of a head or of a network.

    Parameters
    ----------
    name : of the run, or how it begins
    root : Root
    split : which is pictured; None: the first that was judged
    nav : links above its title

    Raises
    ------
    NotInStore, Ambiguous
        No such run.
    UsageError
        It, or this split of it, was not judged.
    """
    runs = Runs(root)
    run = runs.find_any(name)
    if run in runs.networks():
        return network_html(run, root, split, nav)
    run, number, own = judged_split(run, root, split)
    table = runs.read(run, "results")
    assert table is not None
    there = sorted(set(table["split"].to_pylist()))
    of_split = {row["setting"]: row for row in table.to_pylist() if row["split"] == number}
    scores, counts = class_scores(own), confusion(own)
    listed = {row["setting"]: row for row in results_of(run, root)}
    inside, why_not = _inside(run, number, own, scores, root, listed["zsl"]["state"])
    about = runs.about(run)
    if not (inside.get("videos") or inside.get("gallery")):
        inside["clips"] = clips.clips(own, about["videos"]["dataset"], bool(about["videos"].get("captions")), root)
    return render(
        "run",
        nav=nav,
        run=run,
        about=about,
        number=number,
        there=there,
        listed=listed,
        alike=judged_alike(listed["zsl"], root),
        split=of_split,
        scores=sorted(scores, key=lambda s: (-s.accuracy, s.name)),
        heat_map=matrices.heat_map(counts, named(own)),
        departures=of_run(about),
        overlap=sorted({name for row in table.to_pylist() for name in row["overlap"]}),
        why_not=why_not,
        learned=learned(run, number, root),
        **inside,
    )


def judged_split(name: str, root: Root, split: int | None) -> tuple[str, int, list[dict[str, Any]]]:
    """Full name of a run of a head, the number of a split, and its videos as they were judged zero-shot.

    Raises
    ------
    NotInStore, Ambiguous, UsageError
        As `run_page`.
    """
    runs = Runs(root)
    run = runs.find(name)
    judged, table = runs.read(run, "judged"), runs.read(run, "results")
    if judged is None or table is None:
        raise UsageError(f"{run} was not judged, so there is nothing to picture. Run `zsar evaluate {run}`.")
    there = sorted(set(table["split"].to_pylist()))
    number = there[0] if split is None else split
    if number not in there:
        raise UsageError(f"{run} was not judged on split {number}; it was on {few(there)}.")
    own = judged.filter(pc.and_(pc.equal(judged["split"], number), pc.equal(judged["setting"], "zsl")))
    return run, number, own.to_pylist()


# -- what was judged --------------------------------------------------------------------------------------------------


def class_scores(judged: list[dict[str, Any]]) -> list[ClassScore]:
    """A row a class that has videos, by name; of classes that took as many, the first by name is named."""
    names, counts = named(judged), confusion(judged)
    scores = []
    for k, name in enumerate(names):
        others = counts[k] * (np.arange(len(names)) != k)
        most = int(others.argmax())
        taken, n = int(others[most]), int(counts[k].sum())
        if n:
            scores.append(ClassScore(name, n, int(counts[k, k]), names[most] if taken else "", taken))
    return scores


def confusion(judged: list[dict[str, Any]]) -> np.ndarray:
    """(K, K) int: row the class, column what it was taken for, by name."""
    number = {name: k for k, name in enumerate(named(judged))}
    labels = np.array([number[row["label"]] for row in judged], np.int64)
    top = np.array([[number[row["best"][0]]] for row in judged], np.int64)
    return metrics.confusion(top, labels, len(number))


def named(judged: list[dict[str, Any]]) -> list[str]:
    """All classes that videos are of or were taken for; every unseen class has videos."""
    return sorted({row["label"] for row in judged} | {row["best"][0] for row in judged})


# -- what the head has learned ----------------------------------------------------------------------------------------


def _inside(
    run: str, number: int, judged: list[dict[str, Any]], scores: list[ClassScore], root: Root, state: str
) -> tuple[dict[str, Any], str]:
    """The parts of the page that need the head, and why there are none where there are none."""
    if state != "good":
        return {}, state
    try:
        of = inside.trained(run, number, root)
    except (UsageError, StoreError, ExtractorError) as error:
        return {}, str(error)
    space = inside.joint_space(of)
    found: dict[str, Any] = {"seen": len(of.seen), "unseen": len(of.unseen)}
    if space:
        flat = inside.flattened(space)
        found["space"] = figures.pairs(*flat, space.names, space.is_unseen)
    found |= composed.pictures(of)
    told = inside.attention(of)
    if told:
        found |= {"attention": told[:_MOST_ATTENTION], "attended": len(told)}
    gallery = poses.gallery(of, judged, root)
    if gallery:
        found |= {"gallery": gallery, "left_colour": stick_figures.LEFT, "right_colour": stick_figures.RIGHT}
    else:
        found["videos"] = shown_videos(of, judged, root)
    return found | _by_distance(of, scores), ""


def _by_distance(of: Trained, scores: list[ClassScore]) -> dict[str, Any]:
    """Accuracy against distance, its line, correlation, and each one's nearest; nothing where no class is seen."""
    names = [score.name for score in scores]
    every = inside.distances(of, names)
    if every is None:
        return {}
    x = np.sort(every, 1)[:, : inside.NEAREST].mean(1)
    closest = [
        {"name": name, "to": of.study.classes[of.seen[row.argmin()]], "distance": max(float(row.min()), 0.0)}
        for name, row in zip(names, every, strict=True)
    ]
    y = np.array([score.accuracy for score in scores])
    fits = len(x) > 2 and float(np.ptp(x)) > 0
    told = [
        f"{s.name}: distance {far:.3f}, {100 * s.accuracy:.1f} % of {s.n}" for s, far in zip(scores, x, strict=True)
    ]
    nearest = min(inside.NEAREST, len(of.seen))
    axes = (f"mean cosine distance to the {nearest} nearest seen classes", "top-1 of the class")
    line = None
    if fits:
        slope, intercept = np.polyfit(x, y, 1)
        varies = float(np.ptp(y)) > 0
        line = {"slope": slope, "intercept": intercept, "r": float(np.corrcoef(x, y)[0, 1]) if varies else None}
    kind = next(iter(of.study.texts.tensors.kinds))
    return {
        "distance": figures.scatter(x, y, names, told, axes, fits),
        "line": line,
        "distance_of": f"{kind} by {of.study.texts.feature}",
        "closest": sorted(closest, key=lambda each: each["distance"]),
        "tau": TAU,
    }


# -- segments and their phrases ---------------------------------------------------------------------------------------


def shown_videos(of: Trained, judged: list[dict[str, Any]], root: Root) -> list[ShownVideo]:
    """Some videos with the phrases that won, see `inside.examples`; none but JigsawNet's."""
    found = []
    row_of = {video_id: row for row, video_id in enumerate(of.study.videos.ids)}
    for video in inside.examples(judged):
        shown = _shown(of, row_of[video["video_id"]], video["label"], video["best"][0], root)
        if shown is None:
            return []
        found.append(shown)
    return found


def _shown(of: Trained, row: int, label: str, best: str, root: Root) -> ShownVideo | None:
    taken, own = (inside.winners(of, row, name) for name in (best, label))
    if taken is None or own is None:
        return None
    m = len(taken)
    blank, of_captions = [""] * m, of.study.videos.of_captions
    captions = _captions(of, row, m, root) if of_captions else blank
    frames = blank if of_captions else _frames(of, row, m, root)
    kept = inside.evenly(m, min(m, _MOST_SEGMENTS))
    segments = tuple(Segment(captions[i], frames[i], *taken[i], *own[i]) for i in kept)
    return ShownVideo(of.study.videos.ids[row], label, best, segments, m)


def _captions(of: Trained, row: int, m: int, root: Root) -> list[str]:
    """The captions that stand for a video's segments."""
    table = Captions(root).read(of.study.videos.dataset, ["group", "place", "text"])
    own = table.filter(pc.equal(table["group"], of.study.videos.keys[row].tobytes())).sort_by("place")
    texts = own["text"].to_pylist()
    return [texts[i] for i in inside.evenly(len(texts), m)]


def _frames(of: Trained, row: int, m: int, root: Root) -> list[str]:
    """A frame a segment as a data URL, the middle one of those the feature was made from; blank where none decodes."""
    read = of.study.videos
    table = Manifest(root).read(read.dataset, ["key", "uri", "start_s", "end_s"])
    own = table.filter(pc.equal(table["key"], read.keys[row].tobytes())).to_pylist()
    sampling = _sampling(FeatureStore(root).find(read.feature).recipe.get("sampling"), m)
    for place in own:
        span = None if place["start_s"] is None else (place["start_s"], place["end_s"])
        view = View(sampling, Geometry(_FRAME, _FRAME))
        try:
            found = films.read(place["uri"], {"frames": view}, read.keys[row].tobytes(), span)["frames"]
        except (InputFault, MachineFault):
            continue
        if not isinstance(found, InputFault):
            pixels = found.pixels.reshape(-1, *found.pixels.shape[2:])
            return [frame(pixels[i], _QUALITY) for i in inside.evenly(len(pixels), m)]
    return [""] * m


def _sampling(stored: Any, m: int) -> Sampling:
    """How a feature's frames were taken; m in the middle of m parts where it was made elsewhere."""
    known = {field.name for field in dataclasses.fields(Sampling)}
    if isinstance(stored, dict) and set(stored) <= known and {"clips", "frames"} <= set(stored):
        return Sampling(**stored)
    return Sampling(clips=m, frames=1)
