"""A study: one head on one feature under one protocol, in memory and ready to be trained and judged split by split.

Takes  a `FitConfig`
Gives  `Study`: the videos, the texts, the head's options and training settings, the splits; models and tasks of them

What keeps the science honest lives here: a `Trial` names the classes it trains on and those it looks at to choose; both
are seen ones, and videos of any other class are refused to training.
"""

import dataclasses
import functools
import itertools
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import heads
from heads.base import ClassTexts, Head, Videos
from pipelines.errors import UsageError
from pipelines.learn.engine import Training
from pipelines.learn.protocols.by_vectors import name_vectors
from pipelines.learn.protocols.fifths import fifths
from pipelines.learn.protocols.protocols import Protocol, protocol
from pipelines.learn.protocols.splits import Split
from pipelines.learn.samples import features as videos
from pipelines.learn.samples import texts as head_texts
from pipelines.learn.samples.features import VideoFeatures
from pipelines.learn.samples.objects import Objects
from pipelines.learn.samples.texts import HeadTexts
from pipelines.learn.settings import FitConfig
from stores.root import Root


class Study:
    """All that the splits of a run share.

    Attributes
    ----------
    videos, texts, protocol : what is learned from
    options : of the head
    training : settings
    notes : what a reader of the results must know
    """

    def __init__(self, config: FitConfig, root: Root) -> None:
        self.config = config
        try:
            self.head = heads.find(config.head)
        except LookupError as error:
            raise UsageError(str(error)) from error
        self.set = config.set or config.dataset
        self.protocol: Protocol = protocol(config.protocol)
        self.videos: VideoFeatures = videos.read(config.dataset, config.feature, self.set, root, config.segments)
        self.encoder = config.encoder or _encoder_of(self.videos)
        self.notes: list[str] = []
        given = self._fallbacks(dict(map(_pair, config.options)), root)
        self.options, self.training = self.settings(given)
        self._given = given
        self.texts: HeadTexts = head_texts.read(self.set, self.encoder, self._kinds(), root, config.k)
        if self._residual_by_default():
            given.setdefault("residual", "true")
            self.options, self.training = self.settings(given)
        self._name_vectors = name_vectors(self.protocol, self.set, self.encoder, root)
        self.objects = Objects.read(config.objects, self.videos, self.set, self.encoder, root)
        self.classes = self.videos.classes
        if config.gzsl and self.videos.trained_on and not self.videos.kept_back:
            raise UsageError(
                f"Seen videos to judge on were trained on by the weights of {self.videos.feature}. "
                "Train them with `zsar finetune --gzsl`, which keeps the same fifth back, and extract with those."
            )

    # -- settings -----------------------------------------------------------------------------------------------------

    def settings(self, given: Mapping[str, str]) -> tuple[Any, Training]:
        """The head's options and its training, with some set by hand.

        Raises
        ------
        UsageError
            A name that neither has, or a value that does not fit.
        """
        training = {**self.head.published, "seed": self.config.seed}
        options: dict[str, Any] = {}
        for name, value in given.items():
            for kind, target in ((self.head.Options, options), (Training, training)):
                hints = typing.get_type_hints(kind)
                if name in hints:
                    target[name] = _typed(name, value, hints[name])
                    break
            else:
                known = [f.name for kind in (self.head.Options, Training) for f in dataclasses.fields(kind)]
                raise UsageError(f"{self.config.head} has no option {name!r}; it has: {', '.join(known)}.")
        try:
            return self.head.Options(**options), Training(**training)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def option_values(self, stored: Mapping[str, Any]) -> Any:
        """The head's options as a split has stored them."""
        return self.head.Options(**stored)

    def grid(self) -> list[dict[str, str]]:
        """The combinations `tune` asks for, each on top of the options; one without any."""
        names, values = [], []
        for entry in self.config.tune:
            name, text = _pair(entry)
            names.append(name)
            values.append(text.split(","))
        found = [self._given | dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values)]
        for given in found:
            self.settings(given)
        return found

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
        split = self.protocol.split(number, self.classes, self._name_vectors)
        videos.refuse_trained_on(self.videos, split.unseen, str(split))
        if empty := [name for name in split.classes if not there[self.classes.index(name)]]:
            raise UsageError(
                f"{split} needs videos of {', '.join(empty[:10])}{', ...' if len(empty) > 10 else ''}; "
                f"{self.videos.dataset!r} has none with {self.videos.feature}. Extract them, or take another protocol."
            )
        return split

    def numbers(self, names: Iterable[str]) -> np.ndarray:
        """Numbers of classes by name, sorted."""
        return np.array(sorted(self.classes.index(name) for name in names), np.int64)

    def trained_on(self, seen: np.ndarray) -> np.ndarray:
        """Rows of the videos of seen classes that training may see: all, or four of five groups under GZSL."""
        rows = self.videos.of(seen)
        return rows[~self.kept_back[rows]] if self.config.gzsl else rows

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
        return fifths(self.videos.ids, [key.tobytes() for key in self.videos.keys])

    # -- models and their tasks ---------------------------------------------------------------------------------------

    def model(self, options: Any = None) -> Head:
        """A fresh head; its weights are drawn from the seed."""
        torch.manual_seed(self.config.seed)
        width, text_width = self.videos.segments.shape[2], self._text_width()
        try:
            more = (self.videos.segments.shape[1],) if self.head.needs_segments else ()
            return self.head(width, text_width, options or self.options, *more)
        except ValueError as error:
            raise UsageError(f"{self.config.head} on {self.videos.feature}: {error}") from error

    def batch(self, rows: np.ndarray, classes: np.ndarray | None = None) -> Videos:
        """Videos of some rows; their labels number `classes`."""
        labels = None
        if classes is not None:
            labels = torch.from_numpy(np.searchsorted(classes, self.videos.labels[rows]))
        found = Videos(torch.from_numpy(self.videos.segments[rows]), labels)
        return self.objects.of(rows, found) if self.objects else found

    def told(self, classes: np.ndarray) -> ClassTexts:
        """The texts of some classes."""
        return self.texts.tensors.of(classes.tolist())

    # -- details ------------------------------------------------------------------------------------------------------

    def _fallbacks(self, given: dict[str, str], root: Root) -> dict[str, str]:
        """Texts a head would read by default and the set has not are left out, and the notes say so."""
        if "texts" in given:
            return given
        there = head_texts.kinds_there(self.set, root)
        if found := self.head.fallback(lambda kind: head_texts.base_of(kind) in there):
            self.notes.append(f"set {self.set!r} has {found[1]}")
            return given | {"texts": found[0]}
        return given

    def _kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind for g in self.grid() for kind in self.head.reads(self.settings(g)[0])))

    def _residual_by_default(self) -> bool:
        has = "residual" in {f.name for f in dataclasses.fields(self.head.Options)}
        same = self.texts.feature == self.videos.feature
        if has and same and "residual" not in self._given:
            self.notes.append("videos lie in the space of the texts: residual projections")
            return True
        return False

    def _text_width(self) -> int:
        return int(next(iter(self.texts.tensors.kinds.values())).features.shape[1])


@dataclasses.dataclass(frozen=True)
class Trial:
    """Which seen classes are trained on, and which are held out to look at.

    Attributes
    ----------
    train, validation : numbers of classes; nothing is held out where `validation` is empty
    unseen : classes whose TEXTS a head may read, if it says that it does; where none are named, those held out pose
        as unseen
    """

    train: np.ndarray
    validation: np.ndarray
    unseen: np.ndarray


def trained_in(study: Study, trial: Trial) -> np.ndarray:
    """Rows of the videos a trial trains on: under GZSL without those it is looked at by."""
    rows = study.trained_on(trial.train)
    is_choice = study.config.gzsl and len(trial.validation)
    return rows[~study.looked_at[rows]] if is_choice else rows


class HeadTask:
    """A trial as a task of the training engine; it holds videos of its seen classes and of no other."""

    def __init__(self, study: Study, trial: Trial, options: Any, device: str) -> None:
        both = np.concatenate([trial.train, trial.validation])
        if np.intersect1d(trial.train, trial.validation).size or np.intersect1d(both, trial.unseen).size:
            raise UsageError("A class would both train and test. Seen, validation and unseen classes must not meet.")
        self._head = study.model(options).to(device)
        self.model: nn.Module = self._head
        rows = trained_in(study, trial)
        self._videos = _moved(study.batch(rows, trial.train), device)
        self._seen = _texts_moved(study.told(trial.train), device)
        self._unseen = None
        unseen = trial.unseen if len(trial.unseen) else trial.validation
        if self._head.uses_unseen_texts and len(unseen):
            self._unseen = _texts_moved(study.told(unseen), device)
        self.samples = len(rows)
        self._validation: tuple[Videos, ClassTexts] | None = None
        if len(trial.validation):
            held = _moved(study.batch(study.trained_on(trial.validation), trial.validation), device)
            self._validation = held, _texts_moved(study.told(trial.validation), device)
        self._head.begin(self._videos, self._seen, self._unseen)

    def batches(self, order: Tensor, size: int) -> Iterator[Videos]:
        """As `Task.batches`."""
        for start in range(0, len(order), size):
            yield self._videos.take(order[start : start + size].to(self._videos.segments.device))

    def loss(self, batch: Videos) -> dict[str, Tensor]:
        """As `Task.loss`."""
        return self._head.loss(batch, self._seen, self._unseen)

    def epoch(self) -> None:
        """As `Task.epoch`."""
        self._head.epoch()

    def validate(self) -> float | None:
        """As `Task.validate`: zero-shot top-1 among the classes held out."""
        if self._validation is None:
            return None
        held, texts = self._validation
        right = 0
        with torch.no_grad():
            for start in range(0, len(held), _AT_ONCE):
                batch = held.take(torch.arange(start, min(start + _AT_ONCE, len(held)), device=held.segments.device))
                assert batch.labels is not None
                right += int((self._head.scores(batch, texts).argmax(1) == batch.labels).sum())
        return right / len(held)

    def scores(self, study: Study, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """(rows, classes) float32, in bounded blocks."""
        return scores(self._head, study, rows, study.told(classes))


def spread(scores: np.ndarray) -> np.ndarray:
    """(K,) deviation of each class's scores (N, K); 1 where they are all the same."""
    found = scores.std(0)
    return np.where(found > 0, found, 1).astype(scores.dtype)


def scores(head: Head, study: Study, rows: np.ndarray, classes: ClassTexts) -> np.ndarray:
    """(rows, K) float32 scores of some videos, computed in blocks, so that memory does not grow with their number."""
    weights = itertools.chain(head.parameters(), head.buffers())
    device = next((str(weight.device) for weight in weights), "cpu")
    texts = _texts_moved(classes, device)
    blocks = []
    head.eval()
    with torch.no_grad():
        for start in range(0, len(rows), _AT_ONCE):
            batch = _moved(study.batch(rows[start : start + _AT_ONCE]), device)
            blocks.append(head.scores(batch, texts).float().cpu().numpy())
    return np.concatenate(blocks) if blocks else np.empty((0, len(classes)), np.float32)


_AT_ONCE = 4096


def _moved(batch: Videos, device: str) -> Videos:
    fields = {f.name: getattr(batch, f.name) for f in dataclasses.fields(Videos)}
    moved: dict[str, Any] = {name: None if value is None else value.to(device) for name, value in fields.items()}
    return Videos(**moved)


def _texts_moved(texts: ClassTexts, device: str) -> ClassTexts:
    kinds = {
        kind: type(own)(own.features.to(device), own.text.to(device), own.owner.to(device))
        for kind, own in texts.kinds.items()
    }
    return ClassTexts(texts.names, kinds)


def _encoder_of(found: VideoFeatures) -> str:
    return found.feature.partition("@")[0] if found.of_captions else "minilm"


def _pair(entry: str) -> tuple[str, str]:
    name, sign, value = entry.partition("=")
    if not sign or not name or not value:
        raise UsageError(f"An option is NAME=VALUE, got {entry!r}.")
    return name, value


def _typed(name: str, value: str, hint: Any) -> Any:
    """A value given as text, as the field's type."""
    try:
        if hint is bool:
            return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        if typing.get_origin(hint) is tuple:
            inner = typing.get_args(hint)[0]
            return tuple(inner(v) for v in value.split("/") if v)
        return hint(value)
    except (ValueError, KeyError) as error:
        wanted = "true or false" if hint is bool else hint.__name__
        wanted = "a list with / between its values" if typing.get_origin(hint) is tuple else wanted
        raise UsageError(f"{name} should be {wanted}, got {value!r}.") from error
