"""Lint: what would quietly spoil an experiment with a set of texts, each finding with its mend.

Run    `zsar texts lint --set ucf101`, `zsar texts lint --set k700 --against ucf101`
Takes  a set's classes and definitions; word vectors of the names, sentence vectors of both
Gives  findings: rule, class, what was found, what to do

    no-text        a class with neither definition nor description
    same-vector    two classes whose names have the same word vector
    unrelated      a definition far from its own class, seen from either side
    vocabulary     words of a name that the word vectors lack
    near           a class of another set closer than E2E's distance: the same class under two names
    cut            texts of a class longer than the encoder reads, and its elaboration, which joins its definitions
    markup, placeholder, damaged    texts and names that are not as they should be read (`faults.py`)
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from extractors import options
from extractors.base import TextExtractor
from extractors.errors import InputFault
from extractors.names import words
from pipelines.errors import UsageError
from pipelines.texts import encoded, faults
from pipelines.texts.cut import Reader
from pipelines.texts.elaborations import KIND, elaborated
from pipelines.texts.encoded import ClassTexts
from pipelines.texts.overlap import distances, unit
from pipelines.texts.settings import LintConfig
from stores.classes import Classes
from stores.root import Root
from stores.texts import Texts

_SAME = 1 - 1e-6
_ANEW = "Add the mended file to a new set: what a set holds stays."
_FAR = 0.2  # in cosine; on the definitions of UCF101, HMDB51 and Kinetics-620 as published, sound ones hardly reach it


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    rule: str
    name: str
    what: str
    mend: str


def lint(
    config: LintConfig, root: Root, advance: Callable[[int, int, str], None] = lambda done, total, said: None
) -> tuple[Finding, ...]:
    """Look at a set; `advance` is called with the looks taken, how many there are, and the one that begins.

    Raises
    ------
    NotInStore
        No such set.
    ExtractorError, StoreError
        The vectors cannot be computed.
    """
    known = {spec.partition(":")[0] for spec in (config.vectors, config.encoder)}
    if strange := sorted({options.pair(pair)[0] for pair in config.weights} - known):
        raise UsageError(f"--weights names {', '.join(strange)}; the lint uses {' and '.join(sorted(known))}.")
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "texts": lambda: itertools.chain(_no_text(config.set, root), _faults(config.set, root)),
        "names": lambda: _same_vector(encoded.read(config.set, config.vectors, root, ("class",), config.weights)),
        "vocabulary": lambda: _vocabulary(config, root),
        "definitions": lambda: _definitions(config, root),
        "lengths": lambda: _cut(config, root),
        "the other set": lambda: _against(config, root),
    }
    findings: list[Finding] = []
    for done, (name, look) in enumerate(looks.items()):
        advance(done, len(looks), name)
        findings += look()
    advance(len(looks), len(looks), "")
    return tuple(findings)


def _definitions(config: LintConfig, root: Root) -> Iterator[Finding]:
    if "definition" in Texts(root, config.set).read(["kind"])["kind"].unique().to_pylist():
        yield from _unrelated(encoded.read(config.set, config.encoder, root, ("class", "definition"), config.weights))


def _against(config: LintConfig, root: Root) -> Iterator[Finding]:
    if config.against:
        own = encoded.read(config.set, config.vectors, root, ("class",), config.weights)
        yield from _near(own, encoded.read(config.against, config.vectors, root, ("class",), config.weights), config)


def _no_text(name: str, root: Root) -> Iterator[Finding]:
    rows = Texts(root, name).read(["class"], ("definition", "description"))
    there = set(rows["class"].unique().to_pylist())
    for spelled in Classes(root).read(name)["name"].to_pylist():
        if spelled not in there:
            mend = "Add one: `zsar texts add FILE --kind definition`, or see whether its file spells it otherwise."
            yield Finding("no-text", spelled, "has neither definition nor description", mend)


def _faults(name: str, root: Root) -> Iterator[Finding]:
    """What is wrong with names and texts as they are written: a finding a class and rule, with the first place."""
    for spelled in Classes(root).read(name)["name"].to_pylist():
        for fault in faults.of_name(spelled):
            yield Finding(fault.rule, spelled, f"its name {fault.what}", f"{fault.mend} {_ANEW}")
    found: dict[tuple[str, str], tuple[str, str, int]] = {}
    for source, line, spelled, text in faults.suspects(Texts(root, name)):
        for fault in faults.of_text(text):
            key = (spelled, fault.rule)
            first = f"{fault.what} ({Path(source).name}, line {line}): {text[:80]!r}"
            first, mend, count = found.get(key, (first, fault.mend, 0))
            found[key] = (first, mend, count + 1)
    for (spelled, rule), (first, mend, count) in found.items():
        others = f"; so are {count - 1} more of its texts" if count > 1 else ""
        yield Finding(rule, spelled, f"a text of it {first}{others}", f"{mend} {_ANEW}")


def _same_vector(names: ClassTexts) -> Iterator[Finding]:
    vectors = unit(names.vectors(("class",)))
    alike = vectors @ vectors.T
    for a, b in zip(*np.where(np.triu(alike > _SAME, 1)), strict=True):
        what = f"has the same word vector as {names.classes[b]!r}: no head can tell them apart"
        mend = "Rename one, or use a definition or other vectors."
        yield Finding("same-vector", names.classes[a], what, mend)


def _unrelated(texts: ClassTexts) -> Iterator[Finding]:
    """A definition is unrelated where other names are much closer to it, and other definitions to its class's name.

    One of the two alone is common: names such as `luge` say little to an encoder, and `throw` says much. Worst first.
    """
    names = unit(texts.vectors(("class",)))
    definitions = unit(texts.vectors(("definition",)))
    likeness = np.nan_to_num(definitions @ names.T, nan=-1)
    own = np.diag(likeness)
    far = np.minimum(likeness.max(1), likeness.max(0)) - own
    for k in sorted(np.flatnonzero(np.isfinite(definitions).all(1) & (far > _FAR)), key=lambda k: -far[k]):
        closest = texts.classes[int(likeness[k].argmax())]
        said = texts.rows["text"][int(texts.of(int(k), "definition")[0])].as_py()
        what = f"its definition (cosine {own[k]:.2f}) is closer to {closest!r} ({likeness[k].max():.2f}): {said[:80]!r}"
        yield Finding("unrelated", texts.classes[k], what, "Read it; write another and add the file again.")


def _vocabulary(config: LintConfig, root: Root) -> Iterator[Finding]:
    """Each word by itself has a vector, or it has not."""
    given = dict(options.pair(w) for w in config.weights).get(config.vectors.partition(":")[0])
    extractor = options.asked(config.vectors, given, "fp32")
    if not isinstance(extractor, TextExtractor):
        raise UsageError(f"{config.vectors} reads {extractor.kind} items; word vectors are an extractor of texts.")
    extractor.load("cpu")
    names = {spelled: words(spelled) for spelled in Classes(root).read(config.set)["name"].to_pylist()}
    every = list(dict.fromkeys(word for own in names.values() for word in own))
    # asked once of all: a file of vectors may hash its whole vocabulary for each question
    unknown = {word for word, told in zip(every, extractor.tokens(every), strict=True) if isinstance(told, InputFault)}
    for spelled, own in names.items():
        lacking = [word for word in own if word in unknown]
        if lacking:
            left = "nothing is left of it" if len(lacking) == len(own) else "the others stand for it"
            what = f"{', '.join(lacking)}: no word vector; {left}"
            yield Finding("vocabulary", spelled, what, "Give other vectors, or rename the class in its list.")


def _cut(config: LintConfig, root: Root) -> Iterator[Finding]:
    """A finding a class and kind of text."""
    texts, reader = Texts(root, config.set), Reader(config.encoder, config.weights)
    told: dict[str, dict[str, list[str]]] = {KIND: {k: [v] for k, v in elaborated(config.set, root).items()}}
    for row in texts.read(["class", "kind", "text"], ("definition", "description", "phrase")).to_pylist():
        told.setdefault(row["kind"], {}).setdefault(row["class"], []).append(row["text"])
    for kind, by_class in told.items():
        pairs = [(spelled, text) for spelled, own in by_class.items() for text in own]
        long: dict[str, list[str]] = {}
        for (spelled, text), is_cut in zip(pairs, reader.cut(text for _, text in pairs), strict=True):
            if is_cut:
                long.setdefault(spelled, []).append(text)
        for spelled, own in long.items():
            some = (
                f"{len(own)} of its {len(by_class[spelled])} texts of kind {kind} are"
                if kind != KIND
                else "its elaboration is"
            )
            what = f"{some} longer than {config.encoder} reads: the end of {own[0][:60]!r} is cut off"
            mend = "Shorten it, or give the encoder more: `:max_length=256`, where it has positions for them."
            yield Finding("cut", spelled, what, mend)


def _near(names: ClassTexts, other: ClassTexts, config: LintConfig) -> Iterator[Finding]:
    distance = distances(names.vectors(("class",)), other.vectors(("class",)))
    for a, b in zip(*np.where(distance < config.near), strict=True):
        what = f"is {distance[a, b]:.3f} from {other.classes[b]!r} of {config.against}"
        mend = f"Leave it out of training where {config.against} is the test."
        yield Finding("near", names.classes[a], what, mend)
