"""What every head is: cached arrays in, a loss and scores out.

    Videos       segments (N, m, D), and what was recognised in them
    ClassTexts   texts of K classes with a feature each, by kind
    Head         loss(videos, seen, unseen) -> parts, scores(videos, classes) -> (N, K); its settings; its pictures

A head sees videos of seen classes only while it learns; texts of unseen classes come apart, to the heads that say they
use them. A prototype head has one vector a video and one a class; a group head scores sets against sets.

All that is particular to a head it says itself: nobody asks which head it is.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Videos:
    """Features of N videos.

    Attributes
    ----------
    segments : (N, m, D) float; or what a visual tower is given, or makes of it
    labels : (N,) int64, number of each video's class among the classes trained on; None where they are not known
    objects : (N, A) float, text feature of what was recognised in each video, joined; NaN where nothing was; or None
    concepts : (N, t) int64, rows of `concept_features` recognised in each video, best first, -1 for none; or None
    concept_features : (J, A) float, text feature of each recognised object; or None
    regions : (N, r, C) float, what objects look like and where they are; NaN of a video without any; or None
    """

    segments: Tensor
    labels: Tensor | None = None
    objects: Tensor | None = None
    concepts: Tensor | None = None
    concept_features: Tensor | None = None
    regions: Tensor | None = None

    def __len__(self) -> int:
        return len(self.segments)

    def to(self, device: str) -> "Videos":
        """The same videos on a device."""
        fields = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(self, **fields)

    def seen_by(self, tower: nn.Module) -> "Videos":
        """The same videos, with what a tower makes of their segments."""
        return dataclasses.replace(self, segments=tower(self.segments))

    def take(self, rows: Tensor) -> "Videos":
        """The videos of these rows, in this order."""
        return Videos(
            self.segments[rows],
            None if self.labels is None else self.labels[rows],
            None if self.objects is None else self.objects[rows],
            None if self.concepts is None else self.concepts[rows],
            self.concept_features,
            None if self.regions is None else self.regions[rows],
        )


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts of one kind: different texts once, and which of them stand for which class.

    Attributes
    ----------
    features : (T, A) float, a row a different text
    text, owner : (R,) int64, pairs of a row of `features` and a class, sorted by class; a text may have several owners
    """

    features: Tensor
    text: Tensor
    owner: Tensor

    def mean(self, features: Tensor, classes: int) -> Tensor:
        """(K, d): each class's mean over its rows of `features` (T, d); a class without a text is an error."""
        counts = torch.bincount(self.owner, minlength=classes)
        if bool((counts == 0).any()):
            raise ValueError(f"{int((counts == 0).sum())} classes have no text of a kind the head reads.")
        sums = features.new_zeros(classes, features.shape[1]).index_add(0, self.owner, features[self.text])
        return sums / counts[:, None].to(features.dtype)

    def padded(self, classes: int) -> Tensor:
        """(K, k) int64 rows of `features` of each class, -1 after its last; k is the largest class's number."""
        counts = torch.bincount(self.owner, minlength=classes)
        table = torch.full((classes, max(int(counts.max()), 1)), -1, dtype=torch.int64, device=self.text.device)
        first = torch.cumsum(counts, 0) - counts
        table[self.owner, torch.arange(len(self.owner), device=self.owner.device) - first[self.owner]] = self.text
        return table

    def with_those(self, other: "Texts") -> "Texts":
        """These texts and those of another kind, of the same classes."""
        owner = torch.cat([self.owner, other.owner])
        order = torch.argsort(owner, stable=True)
        text = torch.cat([self.text, other.text + len(self.features)])
        return Texts(torch.cat([self.features, other.features]), text[order], owner[order])

    def of(self, classes: Tensor, total: int) -> "Texts":
        """The texts of some of `total` classes, which are numbered anew in the order given."""
        new = torch.full((total,), -1, dtype=torch.int64, device=self.owner.device)
        new[classes] = torch.arange(len(classes), device=new.device)
        kept = torch.nonzero(new[self.owner] >= 0).flatten()
        kept = kept[torch.sort(new[self.owner[kept]], stable=True).indices]
        used, text = torch.unique(self.text[kept], return_inverse=True)
        return Texts(self.features[used], text, new[self.owner[kept]])


@dataclasses.dataclass(frozen=True)
class ClassTexts:
    """Texts of K classes, by kind: `class`, `elaboration`, `definition`, `description`, `phrase`."""

    names: tuple[str, ...]
    kinds: Mapping[str, Texts]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, kind: str) -> Texts:
        if kind not in self.kinds:
            raise KeyError(f"The classes have no texts of kind {kind!r}; they have: {', '.join(self.kinds)}.")
        return self.kinds[kind]

    def to(self, device: str) -> "ClassTexts":
        """The same texts on a device."""
        kinds = {k: Texts(t.features.to(device), t.text.to(device), t.owner.to(device)) for k, t in self.kinds.items()}
        return ClassTexts(self.names, kinds)

    def through(self, tower: nn.Module) -> "ClassTexts":
        """The same texts, with what a tower makes of their features."""
        kinds = {kind: dataclasses.replace(own, features=tower(own.features)) for kind, own in self.kinds.items()}
        return ClassTexts(self.names, kinds)

    def of(self, classes: Sequence[int]) -> "ClassTexts":
        """Some of the classes, in the order given."""
        chosen = torch.as_tensor(list(classes), dtype=torch.int64)
        return ClassTexts(
            tuple(self.names[k] for k in classes),
            {kind: texts.of(chosen.to(texts.owner.device), len(self)) for kind, texts in self.kinds.items()},
        )

    def joined(self, other: "ClassTexts") -> "ClassTexts":
        """These classes, then those of `other`."""
        kinds = {}
        for kind, mine in self.kinds.items():
            its = other[kind]
            kinds[kind] = Texts(
                torch.cat([mine.features, its.features]),
                torch.cat([mine.text, its.text + len(mine.features)]),
                torch.cat([mine.owner, its.owner + len(self)]),
            )
        return ClassTexts(self.names + other.names, kinds)


@dataclasses.dataclass(frozen=True)
class Relatedness:
    """How J classes are composed of S seen ones.

    Attributes
    ----------
    seen : S names
    matrix : (J, S) float64, how near each is to each seen class
    chosen : (J, S) bool, which seen classes compose it; at least one a row
    kept_nearest : (J,) bool, those that nothing was left to compose of, and so have their nearest seen class alone
    """

    seen: tuple[str, ...]
    matrix: Tensor
    chosen: Tensor
    kept_nearest: Tensor


@dataclasses.dataclass(frozen=True)
class Paper:
    """What a published system has that a run of it may not have; its options and training stand beside it.

    Attributes
    ----------
    name : of the paper, with its year
    inputs : by setting of a run (`feature`, `encoder`, `objects`, `k`, `model`), what the paper's tables use
    always : in what every run here departs, whatever its settings; or what the paper leaves open, and we chose
    settings : published values of what is settled otherwise here
    frozen : in what a run departs whose encoder's last layers are not trained
    still : in what a run departs whose backbone is not trained, and one in which its last layers are
    """

    name: str
    inputs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    always: tuple[str, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    still: tuple[str, str] | None = None


class Head(nn.Module, abc.ABC):
    """A head to be trained on videos of seen classes.

    Parameters
    ----------
    width, text_width : D and A
    options : its `Options`
    segments : m, given to a head that `needs_segments`, and to no other

    Attributes
    ----------
    Options : dataclass of its settings, named and typed as `--option NAME=VALUE` gives them
    published : how its paper trains it, by the engine's settings; ours where nothing is published. Lengths are shares:
        published counts of steps belong to a data set, and stand in the tables of that
    paper : what it was published with, and in what it departs here; None for what is ours
    learns : whether it takes anything from videos of seen classes; one that does not needs none
    needs_segments : whether it is made for a number of segments a video
    uses_unseen_texts : whether it takes anything from the texts of unseen classes before it is asked about these; every
        table of results says so
    late : options of its that count when it judges and not while it learns, so that a choice among them trains once
    objects_told : how `Videos.objects` tell what was recognised: `joined` names, or `glossed`, "name: gloss" of each;
        `seen`: not told but shown, by `Videos.regions`
    """

    Options: ClassVar[type[Any]]
    published: ClassVar[Mapping[str, Any]] = {}
    paper: ClassVar[Paper | None] = None
    needs_segments: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    uses_unseen_texts: bool = False
    late: ClassVar[tuple[str, ...]] = ()
    objects_told: ClassVar[str] = "joined"

    # -- what it reads ------------------------------------------------------------------------------------------------

    @classmethod
    def reads(cls, options: Any) -> tuple[str, ...]:
        """The kinds of text it reads with these options: those that `texts` names, joined with +."""
        return tuple(options.texts.split("+"))

    @classmethod
    def fallback(cls, there: Callable[[str], bool]) -> tuple[str, str] | None:
        """What to do without kinds of text that it would read by default and a set of classes has not.

        Parameters
        ----------
        there : callable
            Whether the set has texts of a kind.

        Returns
        -------
        The value of its option `texts` that leaves them out, and what the set has not; None where nothing is lacking,
        or where it has no such option.
        """
        if "texts" not in {field.name for field in dataclasses.fields(cls.Options)}:
            return None
        asked = cls.Options().texts.split("+")
        kept = [kind for kind in asked if there(kind)]
        return None if kept == asked else ("+".join(kept), f"no {', '.join(k for k in asked if k not in kept)}")

    # -- learning and judging -----------------------------------------------------------------------------------------

    @abc.abstractmethod
    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """The parts of the loss of a batch, weighted: what is minimised is their sum.

        Parameters
        ----------
        videos : Videos
            With labels, which number the classes of `seen`.
        seen : ClassTexts
        unseen : ClassTexts, optional
            Where `uses_unseen_texts`.
        """

    @abc.abstractmethod
    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """(N, K): how well each video fits each class; only these numbers judge."""

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """Training begins, on all these videos and texts: what a head takes from them once, it takes here."""
        return

    def finish(self, videos: Iterable[Videos], seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """Training is over: what a head takes from its videos, given in batches, with the weights it has now."""
        return

    def epoch(self) -> None:
        """An epoch begins; what a head remembers across the batches of one is reset here."""
        return

    def lower(self) -> Iterable[nn.Parameter]:
        """Weights of layers below a head's own, of which `Training.below` says how fast they learn: none."""
        return ()

    def prototypes(self, classes: ClassTexts) -> Tensor | None:
        """(K, d), whose inner products with `embedded` are the scores; None where scores are nothing so simple."""
        return None

    def embedded(self, videos: Videos) -> Tensor | None:
        """(N, d), as `prototypes`."""
        return None

    # -- its pictures: each None where it has none --------------------------------------------------------------------

    def class_vectors(self, classes: ClassTexts) -> Tensor | None:
        """(K, d): what stands for each class in the space where videos are compared with it."""
        return self.prototypes(classes)

    def video_vectors(self, videos: Videos) -> Tensor | None:
        """(N, d): what stands for each video there."""
        return self.embedded(videos)

    def winners(self, videos: Videos, classes: ClassTexts, chosen: Tensor) -> tuple[Tensor, Tensor] | None:
        """(N, m): for each segment the row of its best text of class `chosen` (N,), and its similarity."""
        return None

    def attention(self, seen: ClassTexts, unseen: ClassTexts) -> Tensor | None:
        """(S, S): how much of each seen class (row) is told by each other by way of the unseen ones."""
        return None

    def relatedness(self, classes: ClassTexts) -> Relatedness | None:
        """How these classes are composed of the seen ones; None for a head that composes none."""
        return None


class PrototypeHead(Head):
    """A head with one vector a video and one a class, whose inner product is the score."""

    @abc.abstractmethod
    def embedded(self, videos: Videos) -> Tensor:
        """(N, d)."""

    @abc.abstractmethod
    def prototypes(self, classes: ClassTexts) -> Tensor:
        """(K, d)."""

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`: inner products."""
        return self.embedded(videos) @ self.prototypes(classes).T
