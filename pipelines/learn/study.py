"""A study: one head on one feature under one protocol, in memory and ready to be trained and judged split by split.

Takes  a `FitConfig`
Gives  `Study`: the videos, the texts, the head's options and training settings, the splits; models, batches and scores
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import heads
from extractors.layers_above import LayersAbove
from heads.base import ClassTexts, Head, Videos
from heads.towered import Towered
from pipelines.errors import UsageError
from pipelines.learn import options
from pipelines.learn.layers import above_maps, above_tokens
from pipelines.learn.protocols.by_vectors import name_vectors
from pipelines.learn.protocols.fifths import fifths
from pipelines.learn.protocols.protocols import Protocol, protocol
from pipelines.learn.protocols.removal import removed_classes
from pipelines.learn.protocols.splits import Split
from pipelines.learn.protocols.subsets import subset
from pipelines.learn.samples import features as videos
from pipelines.learn.samples import texts as head_texts
from pipelines.learn.samples.features import VideoFeatures
from pipelines.learn.samples.joined import joined_texts, joined_videos
from pipelines.learn.samples.objects import recognised
from pipelines.learn.samples.texts import HeadTexts
from pipelines.learn.settings import FitConfig
from pipelines.learn.training import Training
from pipelines.texts import cut
from stores.classes import Classes
from stores.root import Root
from stores.stored_rows import StoredRows
from untrusted.names import few

BY_GAPS = "quantiles of the gaps"  #: how penalties are chosen
ALL_NEW = "validation and unseen"  #: whose texts are those of unseen classes, to a head that reads them


class Study:
    """All that the splits of a run share.

    Parameters
    ----------
    config : FitConfig
    root : Root
    found : VideoFeatures, optional
        The videos, where they are read already.
    fitted : mapping, optional
        What a run says of itself that is there: it was trained as that says, whatever is the default now.

    Attributes
    ----------
    videos, texts, protocol : what is learned from
    kept, removed : of another data set that is learned from, its classes: those first among all, and those left out
    options : of the head
    training : settings
    notes : what a reader of the results must know
    """

    def __init__(
        self,
        config: FitConfig,
        root: Root,
        found: VideoFeatures | None = None,
        fitted: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self._root = root
        self._fitted = fitted
        try:
            self.head = heads.find(config.head)
        except LookupError as error:
            raise UsageError(str(error)) from error
        self._part = subset(config.part, config.seed)
        self.set = config.set or config.dataset
        self.protocol: Protocol = protocol(config.protocol)
        read = (config.dataset, config.feature, self.set, root, config.segments, config.output)
        self.learned = self.videos = found or videos.read(*read)
        self.kept, self.removed = tuple[str, ...](), tuple[str, ...]()
        if config.judge:
            self._join(found, root)
        self.encoder = config.encoder or _encoder_of(self.videos)
        self.notes: list[str] = [self._removal()] if config.judge else []
        if self.videos.repeated:
            count, m = len(self.videos.ids), self.videos.segments.shape[1]
            self.notes.append(
                f"{self.videos.repeated} of {count} videos have fewer rows than {m} segments: rows are repeated"
            )
        given = self._fallbacks(options.pairs(config.options), root)
        self.options, self.training = self.settings(given)
        self._given = given
        self.texts: HeadTexts = head_texts.read(self.set, self.encoder, self._kinds(), root, config.k)
        self.learned_state = self.texts.state
        if config.judge:
            judged = head_texts.read(config.judge, self.encoder, self._kinds(), root, config.k)
            self.texts = joined_texts(self.texts, judged, self.kept)
        if self._residual_by_default():
            given.setdefault("residual", "true")
            self.options, self.training = self.settings(given)
        self._name_vectors = name_vectors(self.protocol, self.set, self.encoder, root)
        told = self.head.objects_told
        self.objects = recognised(config.objects, self.videos, self.set, self.encoder, root, told)
        self.classes = self.videos.classes
        if self.cut:
            self.notes.append(cut.said(self.cut, self.encoder))
        if config.gzsl and self.videos.trained_on:
            self.notes += videos.refuse_kept_back(self.videos, self.kept_back)

    @property
    def cut(self) -> dict[str, tuple[int, int]]:
        """Kinds of text some of which are longer than the encoder reads: how many of them, and all."""
        found = self.texts.cut | ({"object": self.objects.cut} if self.objects else {})
        return {kind: counts for kind, counts in found.items() if counts[0]}

    # -- settings -----------------------------------------------------------------------------------------------------

    def settings(self, given: Mapping[str, str]) -> tuple[Any, Training]:
        """The head's options and its training, with some set by hand.

        Raises
        ------
        UsageError
            A name that neither has, or a value that does not fit.
        """
        published: Mapping[str, Any] = self.head.published
        if self._fitted:  # by the defaults of its time
            published = {k: tuple(v) if isinstance(v, list) else v for k, v in self._fitted["training"].items()}
        training = {**options.as_published(published, given), "seed": self.config.seed}
        return options.settings(self.config.head, self.head.Options, given, training, {})

    def option_values(self, stored: Mapping[str, Any]) -> Any:
        """The head's options as a split has stored them."""
        return self.head.Options(**stored)

    def grid(self) -> list[dict[str, str]]:
        """The combinations `tune` asks for, each on top of the options; one without any."""
        tuned = options.pairs(self.config.tune)
        values = itertools.product(*(text.split(",") for text in tuned.values()))
        found = [self._given | dict(zip(tuned, chosen, strict=True)) for chosen in values]
        for given in found:
            self.settings(given)
        return found

    @property
    def penalties(self) -> str:
        """How GZSL's penalties were chosen; nothing of a run that was fitted when they were absolute numbers."""
        return BY_GAPS if self._fitted is None else str(self._fitted.get("penalties", ""))

    @property
    def new_texts(self) -> str:
        """Whose texts stand for unseen classes; nothing of a run that was fitted when validation classes had none."""
        return ALL_NEW if self._fitted is None else str(self._fitted.get("new_texts", ""))

    @functools.cached_property
    def reads_new_texts(self) -> bool:
        """Whether its head reads texts of unseen classes, by any of the options that are tried."""
        return any(self.model(self.settings(given)[0]).uses_unseen_texts for given in self.grid())

    def new(self, split: Split) -> np.ndarray:
        """Numbers of the classes whose texts a head reads that reads those of unseen ones: all that are not seen.

        A protocol that holds out validation classes splits the new ones, and the papers read the texts of all of them
        (of the 220 of KineticsZSAR), so that one model serves all its splits. Texts alone: no video of theirs is read.
        """
        return self.numbers((*split.unseen, *(split.validation if self.new_texts else ())))

    @property
    def in_one_space(self) -> bool:
        """Whether videos lie in the space of the texts, as captions do."""
        return self.texts.feature == self.videos.feature

    @property
    def chooses(self) -> bool:
        """Whether classes have to be held out from the seen ones, to choose something on."""
        return self.training.validates or len(self.grid()) > 1 or self.config.gzsl

    # -- splits -------------------------------------------------------------------------------------------------------

    def split(self, number: int) -> Split:
        """A split of the protocol, among the classes of the data set that have videos.

        Raises
        ------
        UsageError
            Classes of the protocol without a video with this feature; what `Protocol.split` refuses.
        """
        there = np.bincount(self.videos.labels, minlength=len(self.classes)) > 0
        names = self.classes[len(self.kept) :]
        if self.protocol.of_videos:
            names = tuple(name for name, has in zip(names, there[len(self.kept) :], strict=True) if has)
        split = self.protocol.split(number, names, self._name_vectors)
        if self.config.judge:
            if split.seen or split.validation:
                raise UsageError(
                    f"{split} says itself which classes are seen, and --judge trains on another data set. Take "
                    "cross-0/50 or cross-0/100, or leave --judge out."
                )
            split = dataclasses.replace(split, seen=tuple(sorted(self.kept)))
        split = dataclasses.replace(split, seen=self._part.of_classes(split.seen, number))
        videos.refuse_trained_on(self.videos, split.unseen, str(split))
        if empty := [name for name in split.classes if not there[self.classes.index(name)]]:
            raise UsageError(
                f"{split} needs videos of {few(empty)}; "
                f"{self.videos.dataset!r} has none with {self.videos.feature}. Extract them, or take another protocol."
            )
        return split

    def numbers(self, names: Iterable[str]) -> np.ndarray:
        """Numbers of classes by name, sorted."""
        return np.array(sorted(self.classes.index(name) for name in names), np.int64)

    def trained_on(self, seen: np.ndarray) -> np.ndarray:
        """Rows of the videos of seen classes that training may see: all, or four of five groups under GZSL."""
        rows = self.videos.of(seen)
        left = self._part.of_items(len(self.videos.ids))
        return np.asarray(rows[left[rows] & ~self.kept_back[rows]] if self.config.gzsl else rows[left[rows]])

    @property
    def kept_back(self) -> np.ndarray:
        """(N,) bool: every fifth group of videos, which GZSL keeps from training and judges on."""
        return np.asarray(self.fifth == 0)

    @property
    def looked_at(self) -> np.ndarray:
        """(N,) bool: another fifth, which a trial under GZSL is chosen by in place of the one that judges."""
        return np.asarray(self.fifth == 1)

    @functools.cached_property
    def fifth(self) -> np.ndarray:
        """(N,) int64: which fifth of the groups a video is in."""
        return fifths(self.videos.ids, [key.tobytes() for key in self.videos.keys], self.videos.recordings)

    @functools.cached_property
    def missing_kept_back(self) -> np.ndarray:
        """(M,) bool: the missing videos that would be kept back, if they were there."""
        videos = self.videos
        ids = (*videos.ids, *videos.missing)
        stored = np.concatenate([videos.keys, videos.missing_keys])  # nought: it was never read, and is nobody's twin
        keys = [key.tobytes() if key.any() else name.encode() for key, name in zip(stored, ids, strict=True)]
        recordings = (*videos.recordings, *videos.missing_recordings)
        return np.asarray(fifths(ids, keys, recordings)[len(videos.ids) :] == 0)

    # -- models, and what they are given ------------------------------------------------------------------------------

    def model(self, chosen: Any = None) -> Head:
        """A fresh head; its weights are drawn from the seed."""
        torch.manual_seed(self.config.seed)
        try:
            more = (self.segments,) if self.head.needs_segments else ()
            return self.above(self.head(self.width, self._text_width(), chosen or self.options, *more))
        except ValueError as error:
            raise UsageError(f"{self.config.head} on {self.videos.feature}: {error}") from error

    def batch(self, rows: np.ndarray, classes: np.ndarray | None = None) -> Videos:
        """Videos of some rows; their labels number `classes`."""
        labels = None
        if classes is not None:
            labels = torch.from_numpy(np.searchsorted(classes, self.videos.labels[rows]))
        found = Videos(torch.from_numpy(self.videos.segments[rows]), labels)
        return self.objects.of(rows, found) if self.objects else found

    def in_parts(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Rows, so many at a time that memory does not grow with their number; one part where there are none."""
        step = self.videos.at_once
        return (rows[start : start + step] for start in range(0, max(len(rows), 1), step))

    def told(self, classes: np.ndarray) -> ClassTexts:
        """The texts of some classes."""
        return self.texts.tensors.of(classes.tolist())

    def scores(self, head: Head, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """(rows, K) float32 scores of some videos, in blocks, so that memory does not grow with their number."""
        weights = itertools.chain(head.parameters(), head.buffers())
        device = next((str(weight.device) for weight in weights), "cpu")
        texts = self.told(classes).to(device)
        if not len(rows):
            return np.empty((0, len(classes)), np.float32)
        blocks = []
        head.eval()
        with torch.no_grad():
            for some in self.in_parts(rows):
                blocks.append(head.scores(self.batch(some).to(device), texts).float().cpu().numpy())
        return np.concatenate(blocks)

    def _join(self, found: VideoFeatures | None, root: Root) -> None:
        """Put what is judged behind what is learned from; where videos were read before, they are both already."""
        config = self.config
        learned_names = tuple(Classes(root).read(self.set)["name"].to_pylist())
        test = tuple(Classes(root).read(config.judge)["name"].to_pylist())
        self.removed = removed_classes(learned_names, test, config.tau)
        if found is not None:
            self.kept = found.classes[: len(found.classes) - len(test)]
            return
        there = np.bincount(self.videos.labels, minlength=len(learned_names)) > 0
        self.kept = tuple(
            n for n, is_there in zip(learned_names, there, strict=True) if is_there and n not in self.removed
        )
        if not self.kept:
            raise UsageError(
                f"All classes of {config.dataset!r} are classes of {config.judge!r}: nothing is left to learn."
            )
        m = self.learned.segments.shape[1]
        judged = videos.read(config.judge, config.feature, config.judge, root, m, config.output)
        self.videos = joined_videos(self.learned, judged, self.kept)

    def _removal(self) -> str:
        config = self.config
        names = f": {', '.join(self.removed)}" if self.removed else ""
        return (
            f"learned from {len(self.kept)} classes of {config.dataset}; {len(self.removed)} are classes of "
            f"{config.judge} by name or within tau {config.tau:g}{names}"
        )

    # -- details ------------------------------------------------------------------------------------------------------

    def _fallbacks(self, given: dict[str, str], root: Root) -> dict[str, str]:
        """Texts a head would read by default and the set has not are left out, and the notes say so."""
        if "texts" in given:
            return given
        there = head_texts.kinds_there(self.set, root)
        if self.config.judge:
            there &= head_texts.kinds_there(self.config.judge, root)
        if found := self.head.fallback(lambda kind: head_texts.base_of(kind) in there):
            self.notes.append(f"set {self.set!r} has {found[1]}")
            return given | {"texts": found[0]}
        return given

    def _kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind for g in self.grid() for kind in self.head.reads(self.settings(g)[0])))

    def _residual_by_default(self) -> bool:
        has = "residual" in {f.name for f in dataclasses.fields(self.head.Options)}
        if has and self.in_one_space and "residual" not in self._given:
            self.notes.append("videos lie in the space of the texts: residual projections")
            return True
        return False

    def above(self, head: Head) -> Head:
        """A head above the layers that are trained with it: where token states tell of texts, or maps of videos."""
        text, visual = self._above(), self._above_maps()
        return head if text is visual is None else Towered(head, text, self.in_one_space, visual)

    @functools.cached_property
    def _seen_as(self) -> tuple[int, int]:
        """(m, D) of a video as the head sees it."""
        visual, shape = self._above_maps(), self.videos.segments.shape[1:]
        return (shape[0], shape[-1]) if visual is None else (visual.rows(shape), visual.width)

    @property
    def width(self) -> int:
        """D, of a segment as the head sees it."""
        return self._seen_as[1]

    @property
    def segments(self) -> int:
        """m, of a video as the head sees it."""
        return self._seen_as[0]

    def pooled(self) -> ClassTexts:
        """The texts of all classes, a vector each: token states as the layers above make it before they are trained."""
        layers = self._above()
        if layers is None:
            return self.texts.tensors
        with torch.no_grad():
            return self.texts.tensors.through(layers)

    @property
    def trains_layers(self) -> bool:
        """Whether the last layers of the texts' encoder are trained with the head."""
        return next(iter(self.texts.tensors.kinds.values())).features.ndim > 2

    @property
    def trains_visual(self) -> bool:
        """Whether the last layers of the videos' network are trained with the head."""
        return isinstance(self.videos.segments, StoredRows)

    def _above_maps(self) -> LayersAbove | None:
        """The layers above the maps of the videos, with their weights; None where videos have vectors."""
        return above_maps(self.videos.feature, self._root, self.config.weights) if self.trains_visual else None

    def _above(self) -> nn.Module | None:
        """The layers above the token states of the texts, with their weights; None where texts have vectors."""
        if self.videos.segments.ndim > 3 and not (self.in_one_space or self.trains_visual):
            raise UsageError(
                f"{self.videos.feature} tells captions by token states, and {self.encoder} is another encoder: give "
                f"--encoder {self.videos.feature.partition('@')[0]}, or features that are a vector a caption."
            )
        return above_tokens(self.texts.feature, self._root) if self.trains_layers else None

    def _text_width(self) -> int:
        return int(next(iter(self.texts.tensors.kinds.values())).features.shape[-1])


def _encoder_of(found: VideoFeatures) -> str:
    return found.feature.partition("@")[0] if found.of_captions else "minilm"
