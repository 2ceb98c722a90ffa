"""Class names as data sets print them, into words, a readable text, a canonical name and E2E's list of words.

    "ApplyEyeMakeup", "apply_eye_makeup" ─words─▶ ["apply", "eye", "makeup"] ─readable─▶ "apply eye makeup"
                                             └─canonical─▶ "apply eye makeup"   ("Walking the dog" ─▶ "walk dog")

All functions are pure and know no data set but by its style. Text in and text out; every result is in lower case and
in Unicode NFC, with accents, digits and the order of the words kept.

The canonical name is what ActionHub calls an action: 1,490 names of seven data sets fall to 1,211 by stop-word removal
and lemmatisation. The words an E2E class vector is the mean of are prepared by style (Brattoli et al. 2020).

References
----------
Zhou et al., "ActionHub: A Large-scale Action Video Description Dataset for Zero-shot Action Recognition", section 3.2.
Brattoli et al., "Rethinking Zero-shot Video Classification: End-to-end Training for Realistic Applications", CVPR 2020.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from extractors.errors import ExtractorError

STYLES = ("kinetics", "activitynet", "ucf101", "hmdb51", "sun")

# Written here and short on purpose. The usual lists (spaCy's and NLTK's hold "up", "down", "off", "not", "back", "two",
# "take") merge classes that such a word alone tells apart: "swiping up" and "swiping down", "put on" and "take off",
# "in game" and "not in game". They also change with the library, and with them every link made before.
STOP_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "his", "her", "my", "of", "one's", "or", "the", "their"}
) | {
    "to",
    "using",
    "with",
    "your",
}
# Nouns and other words that end as gerunds do, and a direction that is no past tense here ("swiping left").
_ITS_OWN_LEMMA = frozenset({"left", "during", "ceiling", "earring", "evening", "lightning", "morning", "pudding"})
_E2E_STOP_WORDS = frozenset({"a", "an", "and", "at", "do", "in", "of", "on", "the", "using", "with"})

_NUMBER = re.compile(r"\s*a?\d{1,4}\s*[:.)]\s+", re.IGNORECASE)  # AVA's "1: ", NTU's "A1. "; not "0.5 turn"
_EXAMPLE = re.compile(r"\be\.\s?g\.", re.IGNORECASE)
_PLURAL = re.compile(r"(?<=\w)\(s\)")
_NOT = re.compile(r"\(\s*not\b", re.IGNORECASE)
_NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


def words(name: str) -> list[str]:
    """The words of a class name in any published spelling, in lower case.

    Splits at white space, underscores, hyphens, slashes, brackets, plus signs and other punctuation, and inside
    CamelCase; keeps an apostrophe and a decimal point inside a word. Dropped: the number before a name ("1: ",
    "A001. ") and "e.g.". A bracketed plural is a plural ("leg(s)").

    Parameters
    ----------
    name : str

    Returns
    -------
    list of str; empty where the name has no letter and no digit

    Examples
    --------
    >>> words("ApplyEyeMakeup"), words("1: bend/bow (at the waist)")
    (['apply', 'eye', 'makeup'], ['bend', 'bow', 'at', 'the', 'waist'])
    """
    name = unicodedata.normalize("NFC", name).replace("\u2019", "'")
    name = _NUMBER.sub("", name, count=1) if _NUMBER.match(name) else name
    name = _PLURAL.sub("s", _EXAMPLE.sub(" ", name))
    found: list[str] = []
    for piece in "".join(_kept(name)).split():
        found += [word for part in _camel(piece) if (word := unicodedata.normalize("NFC", part.lower()).strip("'."))]
    return found


def readable(name: str) -> str:
    """The words of a name joined by blanks: what a text encoder reads.

    >>> readable("HandstandPushups"), readable("playing+fun")
    ('handstand pushups', 'playing fun')
    """
    return " ".join(words(name))


def canonical(name: str) -> str:
    """What links one class's names from different hands: its lemmas without stop words, joined by blanks.

    Stop words are articles, possessives, "and", "or" and the prepositions that spellings add and drop
    ("WalkingWithDog", "walking the dog"). Particles, directions, "in", "on" and "not" stay: classes differ by them
    alone. Where nothing would be left ("to"), the words stay. The result is a name to compare, not to read.

    Parameters
    ----------
    name : str

    Returns
    -------
    str; empty where the name has no letter and no digit. `canonical(canonical(name)) == canonical(name)`

    References
    ----------
    ActionHub, section 3.2: "stop-word removal" and "word lemmatization" of the action names.

    Examples
    --------
    >>> canonical("WalkingWithDog"), canonical("Walking the dog"), canonical("swiping_up")
    ('walk dog', 'walk dog', 'swipe up')
    """
    every = [_without_possessive(word) for word in words(name)]
    kept = [lemma(word) for word in every if word not in STOP_WORDS]
    return " ".join([word for word in kept if word not in STOP_WORDS] or [lemma(word) for word in every])


def unspaced(name: str) -> str:
    """The canonical name without its blanks: the second try of a link, where two hands split a compound differently.

    >>> unspaced("HandStandPushups"), unspaced("HandstandPushups"), unspaced("BreastStroke")
    ('handstandpushup', 'handstandpushup', 'breaststroke')
    """
    return canonical(name).replace(" ", "")


@functools.lru_cache(maxsize=1 << 16)  # a list of captions asks for the same few thousand words again and again
def lemma(word: str) -> str:
    """The base form of one lower-case English word, whatever its part of speech.

    simplemma's dictionary, with three rules for what it leaves alone or takes too far: a gerund it lists as a noun
    gives its verb where the dictionary knows one ("baking", "cutting", "wrestling"); an unknown plural loses its "s"
    ("pushups"); a word whose own gerund leads back to it stays ("saw", "lay", "weed" are not "see", "lie", "wee").

    >>> lemma("baking"), lemma("cutting"), lemma("sawing"), lemma("teeth")
    ('bake', 'cut', 'saw', 'tooth')
    """
    seen = [word]
    while (shorter := _shorter(seen[-1])) not in seen:
        seen.append(shorter)
    # the dictionary has words that lead to each other (bacteria, bacterium); any one of them will do, but the same one
    return min(seen[seen.index(shorter) :])


def prepared(name: str, style: str, substitutions: Mapping[str, Sequence[str]] = _NOTHING) -> list[str]:
    """The words whose vectors E2E averages for a class, prepared as its data set's names are.

    =========== ==================================================================================================
    kinetics    lower case; cut at "(not"; brackets stripped; stop words dropped, "or" among them; verbs to base form
    activitynet the same, with "or" kept
    ucf101      split at capitals; nothing dropped; verbs to base form
    hmdb51      "_" to blank; nothing dropped; verbs to base form
    sun         split at "/" and "_"; nothing dropped, no base forms
    =========== ==================================================================================================

    Decided here, as the paper and its code leave it open or need what is not offline. Every style splits as `words`
    does, so that hyphens and apostrophes never make a word that no vocabulary has. A verb is a word in "-ing" or "-ed"
    whose `lemma` is shorter: the authors ask WordNet, which would shorten some nouns in the plural too ("shoes"). Where
    dropping would leave nothing, nothing is dropped. SUN's two excluded classes are left out by who reads its list.

    Parameters
    ----------
    name : str
        As published.
    style : str
        One of `STYLES`.
    substitutions : mapping of str to sequence of str
        What replaces words that a vocabulary lacks, used as given: first by the whole `readable` name ("yo yo" ->
        ["yoyo"]), then word by word, after the base form ("doughnut" -> ["donut"]). It depends on the vocabulary, so
        that none is built in.

    Returns
    -------
    list of str; empty only where the name has no letter and no digit

    Raises
    ------
    ExtractorError
        No such style; the message lists those there are.

    References
    ----------
    Brattoli et al. 2020, the word vectors of eq. 1; the preparation is in the authors' code, not in the paper.

    Examples
    --------
    >>> prepared("cooking sausages (not on barbeque)", "kinetics"), prepared("CleanAndJerk", "ucf101")
    (['cook', 'sausages'], ['clean', 'and', 'jerk'])
    """
    if style not in STYLES:
        raise ExtractorError(f"No class names are prepared in the style {style!r}. There are: {', '.join(STYLES)}.")
    if whole := substitutions.get(readable(name)):
        return list(whole)
    sweeps = style in ("kinetics", "activitynet")
    cut = _NOT.search(name) if sweeps else None
    every = words(name[: cut.start()]) if cut and words(name[: cut.start()]) else words(name)
    drop = _E2E_STOP_WORDS | {"or"} if style == "kinetics" else _E2E_STOP_WORDS if sweeps else frozenset()
    kept = [word for word in every if word not in drop] or every
    if style != "sun":
        kept = [_base_of_verb(word) for word in kept]
    return [part for word in kept for part in substitutions.get(word, (word,))]


def collisions(names: Iterable[str]) -> dict[str, list[str]]:
    """Canonical names that several names of one list share, with those names in the list's order.

    A data set's own classes should never share one: what links by it would join two classes. An exact repetition of a
    name counts once.

    >>> collisions(["push ups", "PushUps", "swiping up", "swiping down"])
    {'push up': ['push ups', 'PushUps']}
    """
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        groups.setdefault(canonical(name), {})[name] = None
    return {key: list(group) for key, group in groups.items() if len(group) > 1}


def _kept(name: str) -> Iterable[str]:
    """The characters of a name with blanks for what separates words; marks stay with their letters."""
    kinds = [unicodedata.category(character)[0] for character in name]
    for i, character in enumerate(name):
        around = "".join(kinds[i - 1 : i + 2 : 2]) if 0 < i < len(name) - 1 else ""
        apostrophe = character == "'" and around in ("LL", "LM", "ML", "MM")
        point = character == "." and around == "NN"
        yield character if kinds[i] in "LMN" or apostrophe or point else " "


def _camel(piece: str) -> list[str]:
    """CamelCase into its words: a capital begins one after a small letter, or before one within capitals.

    A capital without a small letter of its own (mathematical ones) begins none: it would again in lower case.
    """
    starts = [0]
    for i in range(1, len(piece)):
        after_small = piece[i - 1].islower() or unicodedata.category(piece[i - 1])[0] == "M"
        before_small = i + 1 < len(piece) and piece[i + 1].islower()
        is_capital = piece[i].isupper() and piece[i].lower() != piece[i]
        if is_capital and (after_small or (before_small and piece[i - 1].isupper())):
            starts.append(i)
    return [piece[start:end] for start, end in zip(starts, [*starts[1:], len(piece)], strict=True)]


def _without_possessive(word: str) -> str:
    return word if word in STOP_WORDS else word.removesuffix("'s")


def _shorter(word: str) -> str:
    """One step of `lemma`."""
    if word in _ITS_OWN_LEMMA or not word.isalpha() or any(_listed(gerund) == word for gerund in _gerunds(word)):
        return word
    shorter = _listed(word)
    if word.endswith("ing"):
        verb = _verb_of(word) if shorter == word else _without_wrong_e(shorter, word[:-3])
        return verb[:-1] if verb.endswith("ll") and _listed(f"{verb[:-1]}s") == verb[:-1] else verb  # travell-ing
    unknown = shorter == word and not _dictionary().is_known(word, lang="en")
    return word[:-1] if unknown and re.search(r"\w\w[^aiosu]s$", word) else shorter


def _dictionary() -> Any:
    """simplemma, when a lemma is asked for: reading names needs none of it."""
    import simplemma

    return simplemma


def _listed(word: str) -> str:
    """The dictionary's lemma, in lower case: it writes "American"."""
    return str(_dictionary().lemmatize(word, lang="en")).lower()


def _gerunds(word: str) -> tuple[str, ...]:
    """What the word's gerund may be spelled like: low(er)ing, tak(e)ing, cut(t)ing."""
    return f"{word}ing", f"{word.removesuffix('e')}ing", f"{word}{word[-1]}ing"


def _without_wrong_e(verb: str, stem: str) -> str:
    """The dictionary has "playe", "mixe", "singe" and "guarde" for playing, mixing, singing and guarding."""
    return stem if verb == f"{stem}e" and re.search(r"([aeiou][wxy]|[lr]d|nk|.ing)$", stem) and len(stem) > 2 else verb


def _verb_of(gerund: str) -> str:
    """The verb of a word in -ing that the dictionary has for a noun, where it knows that verb; else the word."""
    stem = gerund[:-3]
    if not re.search(r"[aeiouy]", stem) or len(stem) < 2:
        return gerund  # sing, ring, string
    if stem[-1] == stem[-2] and stem[-1] not in "aeiou":
        guesses = [stem, stem[:-1]] if stem[-1] in "fglsz" else [stem[:-1]]  # press-ing, cut-ting
    elif re.search(r"([^aeiou][aeiou][^aeiouwxy]|[cuvz]|th)$", stem):
        guesses = [f"{stem}e", stem]  # bak-ing, serv-ing, breath-ing before visit-ing
    else:
        guesses = [stem, f"{stem}e"]  # cast-ing before wrestl-ing
    return next((guess for guess in guesses if _dictionary().is_known(guess, lang="en")), gerund)


def _base_of_verb(word: str) -> str:
    return lemma(word) if word.endswith(("ing", "ed")) else word
