"""Protocols: which splits of which classes a result is measured on, by name or from a file of one's own.

    name or path ──protocol──▶ Protocol ──split(number, classes)──▶ Split, spelled as the data set spells its classes

=============================================== ============================================================== ========
name                                            what                                                           splits
=============================================== ============================================================== ========
ucf101-50, hmdb51-50                            half seen, half unseen (51/50, 26/25)                          50
ucf101-truze, hmdb51-truze; truze for either    no unseen class in Kinetics-400 (67/34, 29/22)                 1
kinetics-zsar                                   400 of Kinetics-400 / 60 validation / 160 new of Kinetics-600  3
utd-mhad-22/5, -18/9, -14/13                    PURLS                                                          1 each
nw-ucla-8/2, -5/5                               PURLS                                                          1 each
cross-0/50, cross-0/100                         trained elsewhere; half of the classes drawn, all              10, 1
ntu-nearest, ntu-furthest, ntu-random           5 unseen, the others seen; by class vectors or drawn           1, 1, 10
own-12, own-25%                                 so many unseen, drawn from the classes that have videos        10
=============================================== ============================================================== ========

The published ones stand in `data/`, a file a data set: its class names once, and a bit mask a split. TruZe's
spelling ("Apply Eye Makeup", "Breaststroke") is replaced by the data set's own. The drawn ones are in `splits.py`.
Splits 6, 7 and 8 of ucf101-50 are 0, 1 and 2 again: they were published so, and the mean over 50 counts them twice.

References
----------
`source` of each protocol names its paper.
"""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from extractors.names import canonical, readable
from pipelines.errors import UsageError
from pipelines.learn.protocols.own import REST, own_splits
from pipelines.learn.protocols.splits import Split, anywhere, furthest, half, hold_out, nearest
from pipelines.texts.adding import Linker
from untrusted.names import few

_DATA = Path(__file__).parent / "data"
_PUBLISHED = {
    "ucf101-50": "ucf101",
    "hmdb51-50": "hmdb51",
    "ucf101-truze": "ucf101",
    "hmdb51-truze": "hmdb51",
    "kinetics-zsar": "kinetics620",
    "utd-mhad-22/5": "utd-mhad",
    "utd-mhad-18/9": "utd-mhad",
    "utd-mhad-14/13": "utd-mhad",
    "nw-ucla-8/2": "nw-ucla",
    "nw-ucla-5/5": "nw-ucla",
}
_OWN = re.compile(r"own-(\d{1,4})(%?)")
_E2E = "Brattoli et al., 'Rethinking Zero-shot Video Classification', CVPR 2020"
_JASANI = (
    "Jasani, Mazagonwalla, 'Skeleton based Zero Shot Action Recognition in Joint Pose-Language Semantic Space', 2019; "
    "how it chooses is unpublished, and chosen here"
)

#: number of the split, classes of the data set, their vectors -> the split
Draw = Callable[[int, Sequence[str], np.ndarray], Split]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The splits a result is measured on.

    Attributes
    ----------
    name : what a result says
    dataset : the data set it is published for: a hint, nothing is checked by it; "any" for a file of one's own
    source : who published it, or the file it was read from
    count : number of splits, numbered from 0
    splits : published splits in the published spelling; empty where they are drawn
    draw : makes a split that is not published as a list
    needs_vectors : `split` needs a vector a class
    of_videos : `split` is given the classes that have videos, not all of the set
    """

    name: str
    dataset: str
    source: str
    count: int
    splits: tuple[Split, ...] = ()
    draw: Draw | None = None
    needs_vectors: bool = False
    of_videos: bool = False

    def split(self, number: int, classes: Sequence[str], vectors: np.ndarray | None = None) -> Split:
        """One split, in the spelling of a data set.

        Parameters
        ----------
        number : int
        classes : K names of the data set, in any order
        vectors : (K, A), a row a class
            Only `ntu-nearest` and `ntu-furthest` look at them.

        Returns
        -------
        Split

        Raises
        ------
        UsageError
            No such split, other classes than the protocol's, or vectors that are missing.

        Examples
        --------
        >>> protocol("cross-0/50").split(0, ["run", "jump", "walk", "clap"]).unseen
        ('run', 'walk')
        """
        if not 0 <= number < self.count:
            raise UsageError(f"Protocol {self.name!r} has {_range(self.count)}; got {number}.")
        if self.draw is None:
            return resolve(self.splits[number], classes)
        if self.needs_vectors and vectors is None:
            raise UsageError(
                f"Protocol {self.name!r} chooses by the vectors of the classes' texts. Give a text feature."
            )
        return self.draw(number, classes, np.empty((0, 0)) if vectors is None else vectors)


def protocol(name: str) -> Protocol:
    """A protocol by its name, or the JSON file of one.

    Parameters
    ----------
    name : str
        A built-in name, or a path to `{"seen": [names], "unseen": [names]}` or a list of these, a split each.
        "training" and "testing" are read as "seen" and "unseen"; "validation" may be there too; "seen" may be "rest".

    Raises
    ------
    UsageError
        No such protocol (the message lists those there are), or a file that cannot be read as one.

    Examples
    --------
    >>> protocol("ucf101-50").count, len(protocol("hmdb51-truze").splits[0].unseen)
    (50, 22)
    """
    if name in _PUBLISHED:
        return _published(name)
    if drawn := _DRAWN.get(name):
        return drawn
    if found := _OWN.fullmatch(name):
        return _own(name, int(found[1]), bool(found[2]))
    if name.endswith(".json") or Path(name).is_file():
        return _of_file(name)
    raise UsageError(
        f"No protocol is called {name!r}. There are: {', '.join(names())}, and own-12 or own-25% (so many unseen). "
        'A JSON file of {"seen": [names], "unseen": [names]} is one too.'
    )


def names() -> tuple[str, ...]:
    """The built-in protocols."""
    return *_PUBLISHED, *_DRAWN


def resolve(split: Split, classes: Sequence[str], *, rest: bool = False) -> Split:
    """A split with its names replaced by those that a data set has for the same classes; sides are sorted.

    Parameters
    ----------
    split : Split
    classes : names of the data set: its labels, or those of a class table
    rest : bool
        Allow classes of the data set that are on no side.

    Raises
    ------
    UsageError
        A class of the split that the data set lacks, two that are one there, or a class of the data set on no side; the
        message names all of them.

    Examples
    --------
    >>> resolve(Split("mine", 0, ("Hand Stand Pushups",), (), ("Archery",)), ["archery", "HandstandPushups"]).seen
    ('HandstandPushups',)
    """
    link = _linker(tuple(classes))
    own = {name: link(name) for name in split.classes}
    faults = []
    if lacking := [name for name, found in own.items() if found is None]:
        faults.append(f"the data set lacks {few(lacking)}")
    named: dict[str, list[str]] = {}
    for name, found in own.items():
        if found is not None:
            named.setdefault(found, []).append(name)
    faults += [f"{' and '.join(group)} are both its {found!r}" for found, group in named.items() if len(group) > 1]
    if not rest and (left := sorted(set(classes).difference(named))):
        faults.append(f"of its classes on no side: {few(left)}")
    if faults:
        raise UsageError(
            f"{split} does not fit the {len(classes)} classes of the data set: {'; '.join(faults)}. "
            "Mend the names, or give a protocol of this data set."
        )
    sides = ([own[name] or name for name in side] for side in (split.seen, split.validation, split.unseen))
    return Split(split.protocol, split.number, *(tuple(sorted(side)) for side in sides))


def chosen(text: str, count: int) -> tuple[int, ...]:
    """Numbers of splits from what a user writes: "0-9,12", or "all" or nothing for all; sorted, each once.

    Raises
    ------
    UsageError
        Something else than numbers and ranges, or a split that there is not.

    Examples
    --------
    >>> chosen("0-2,12", 50)
    (0, 1, 2, 12)
    """
    if text.strip() in ("", "all"):
        return tuple(range(count))
    numbers: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise UsageError(f"Splits are given as 0-9,12 or all; got {part.strip()!r} in {text!r}.")
        if last >= count:
            raise UsageError(f"The protocol has {_range(count)}; got {part.strip()!r} in {text!r}.")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def _range(count: int) -> str:
    return f"splits 0 to {count - 1}" if count > 1 else "one split, 0"


@functools.lru_cache(maxsize=4)  # of 50 splits each asks for the same classes
def _linker(classes: tuple[str, ...]) -> Linker:
    forms = {"name": classes, "readable": map(readable, classes), "canonical": map(canonical, classes)}
    return Linker(pa.table({form: pa.array(list(values), pa.string()) for form, values in forms.items()}))


@functools.cache
def _published(name: str) -> Protocol:
    with (_DATA / f"{_PUBLISHED[name]}.toml").open("rb") as file:
        table = tomllib.load(file)
    classes, entry = table["classes"], table["protocols"][name]
    seen = [int(mask, 16) for mask in entry["seen"]]
    validation = [int(mask, 16) for mask in entry.get("validation", [])] or [0] * len(seen)
    every = (1 << len(classes)) - 1
    splits = tuple(
        Split(name, k, _members(s, classes), _members(v, classes), _members(every & ~(s | v), classes))
        for k, (s, v) in enumerate(zip(seen, validation, strict=True))
    )
    return Protocol(name, table["dataset"], entry["source"], len(splits), splits)


def _members(mask: int, classes: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for k, name in enumerate(classes) if mask >> k & 1)


def _truze(number: int, classes: Sequence[str], vectors: np.ndarray) -> Split:
    """That of the two data sets whose classes are more at home here; its own errors where it is neither."""
    link = _linker(tuple(classes))
    both = [_published("ucf101-truze"), _published("hmdb51-truze")]
    fitting = max(both, key=lambda one: sum(link(name) is not None for name in one.splits[0].classes))
    return fitting.split(number, classes)


def _of_file(path: str) -> Protocol:
    """Splits of a file; where one's seen classes are the rest, all are made when the classes are known."""
    splits = own_splits(path)
    if not any(split.seen == (REST,) for split in splits):
        return Protocol(path, "any", path, len(splits), splits)

    def draw(number: int, classes: Sequence[str], vectors: np.ndarray) -> Split:
        split = splits[number]
        if split.seen != (REST,):
            return resolve(split, classes, rest=True)
        named = resolve(dataclasses.replace(split, seen=()), classes, rest=True)
        return dataclasses.replace(named, seen=tuple(sorted(set(classes).difference(named.classes))))

    return Protocol(path, "any", path, len(splits), draw=draw, of_videos=True)


def _own(name: str, count: int, in_percent: bool) -> Protocol:
    """So many classes unseen, or so many of a hundred, drawn by the number of the split; the others are seen."""

    def draw(number: int, classes: Sequence[str], vectors: np.ndarray) -> Split:
        unseen = max(1, round(count * len(classes) / 100)) if in_percent else count
        if not 0 < unseen < len(classes) - 1:
            raise UsageError(f"{name} leaves fewer than 2 of {len(classes)} classes seen, or none unseen.")
        seen, drawn = hold_out(classes, unseen, number)
        return Split(name, number, seen, (), drawn)

    return Protocol(name, "any", "drawn from the classes that have videos", 10, draw=draw, of_videos=True)


def _cross(name: str, count: int, unseen: Callable[[Sequence[str], int], Sequence[str]]) -> Protocol:
    def draw(number: int, classes: Sequence[str], vectors: np.ndarray) -> Split:
        return Split(name, number, (), (), tuple(unseen(classes, number)))

    return Protocol(name, "ucf101, hmdb51 or activitynet", _E2E, count, draw=draw)


def _ntu(name: str, count: int, unseen: Callable[[Sequence[str], np.ndarray, int], tuple[str, ...]]) -> Protocol:
    def draw(number: int, classes: Sequence[str], vectors: np.ndarray) -> Split:
        own = unseen(classes, vectors, number)
        return Split(name, number, tuple(sorted(set(classes).difference(own))), (), own)

    return Protocol(name, "ntu60", _JASANI, count, draw=draw, needs_vectors=name != "ntu-random")


_DRAWN = {
    made.name: made
    for made in (
        Protocol("truze", "ucf101 or hmdb51", "as ucf101-truze and hmdb51-truze, by the classes", 1, draw=_truze),
        _cross("cross-0/50", 10, half),
        _cross("cross-0/100", 1, lambda classes, _: sorted(classes)),
        _ntu("ntu-nearest", 1, lambda classes, vectors, _: nearest(classes, vectors)),
        _ntu("ntu-furthest", 1, lambda classes, vectors, _: furthest(classes, vectors)),
        _ntu("ntu-random", 10, lambda classes, _, seed: anywhere(classes, seed)),
    )
}
