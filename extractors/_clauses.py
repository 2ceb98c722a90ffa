"""What a sentence's verbs say, from its parse: one string a verb, in the sentence's order.

    class text ─sentences─▶ [str] ─spoken─▶ [[str, ...], ...]      "put or spread (a substance) on a surface."
                                                                  ─▶ "put substance on surface", "spread substance ..."

Every rule below mends a fault that was seen in the definitions of UCF101, HMDB51 and Kinetics as a small English parser
reads them; the words beside a rule are such a text. Tokens are spaCy's; nothing here imports it.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from extractors import names

_BATCH_SENTENCES = 64
_CHUNK_SENTENCES = 512
_NAME_WORDS = 4  # a sentence as short as a class name
_SENTENCE_WORDS, _WORD_CHARS = 400, 100  # what is longer is no sentence and no word; the parser's memory is bounded


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Verbs that say what a thing is, and those that only announce another verb.
_DEFINING = _set(
    "be have become include involve consist refer mean call name know describe define contain comprise feature "
    "seem appear consider resemble require exist belong depend vary tend regard let can might own represent "
    "originate relate differ need occur associate characterize classify allow enable constitute distinguish "
    "denote typify accord"
)
# In the passive only: "is used to cut" says less than "cut", but "use a rope" is something to see.
_DEFINING_PASSIVE = _set(
    "use make base locate design find situate perform do give see practice practise play intend suppose construct "
    "require develop invent popularize derive carry say take shape concern connect own produce equip compose bear"
)
# Alone they say nothing: "used for", "when performed", "is played".
_EMPTY_ALONE = _set(
    "use make perform do take get give keep help want follow put play set produce provide prevent hold shape "
    "cover go come move adopt cause end head face side track bar form feel sense execute choose receive maintain "
    "ensure score restrict award look employ note bear power result appear work"
)
_ANNOUNCING = _set("try attempt begin start want intend help continue aim seek learn like manage go come")
_CHANGING = frozenset({"pretend", "fail", "refuse", "stop"})  # what follows does not happen
_DROPPED_PREPOSITIONS = _set(
    "as for like such including because due according during depending than unlike despite since until via per "
    "before after amongst among while when"
)
_PERSONAL = _set(
    "it them him her me us you i he she they we oneself themselves yourself himself herself itself myself one"
)
_FUNCTION_WORDS = (
    names.STOP_WORDS
    | _PERSONAL
    | _set("am is are was were be been do does did has have had can may must will should would not this these in on")
)
_NOTHING_SEEN = _set("order addition case fact general particular contrast time times way example")
_DETERMINERS = frozenset({"DT", "PRP$", "PDT", "POS"})
_RELATIVE = frozenset({"which", "that", "who", "whom", "whose", "what", "where", "when", "how", "why"})
_DIRECTIONS = _set(
    "up down off on out in over away back forward forwards backward backwards upward upwards downward downwards "
    "sideways inward inwards outward outwards around round together apart aside along across through upright "
    "underwater overhead upside left right under underneath behind ahead inside outside aloud clockwise"
)
_NO_ADVERBS = _set("belly family fly butterfly jelly assembly rely apply supply multiply reply bully july italy")
_TEXTUAL = re.compile(r"[.;!?:]+(?:\s+|$)|\n+")
_OF_WHOM = re.compile(r"(^|[.;]\s+)\(\s*(?:of|in|chiefly|usually)\b[^)]*\)", re.IGNORECASE)  # "(of a person) expel air"
# "(not in game)" is dropped too: without its brackets the parser hangs "in game" on the verb and forgets the "not"
_ASIDE = re.compile(r"\(\s*(?:=|also|see|not)[^)]*\)?|\b(?:e\.\s?g|i\.\s?e)\.[^).;]*", re.IGNORECASE)


def sentences(text: str) -> Iterator[str]:
    """Sentences as the parser gets them: brackets opened, asides dropped, in lower case, bounded in length."""
    text = unicodedata.normalize("NFC", text).replace("\u2019", "'")
    text = re.sub(r"[()\[\]\"\u201c\u201d*_]+", " ", _ASIDE.sub(" ", _OF_WHOM.sub(r"\1", text)))
    for sentence in _TEXTUAL.split(text.lower().replace("to and fro", "back and forth")):
        every = [word[:_WORD_CHARS] for word in sentence.split()]
        if len(every) > _NAME_WORDS and every[0].endswith("ly") and every[0] not in _NO_ADVERBS:
            every = every[1:]  # "repeatedly strike": the verb comes first
        for start in range(0, len(every), _SENTENCE_WORDS):
            part = " ".join(every[start : start + _SENTENCE_WORDS]).strip(" ,-")
            if any(c.isalnum() for c in part):
                yield part


def spoken(sentences: Sequence[str], parser: Any) -> Iterator[list[str]]:
    """What the verbs of each sentence say; memory is bounded, and a sentence that comes again is parsed once a chunk.

    The definitions of a data set repeat themselves ("to take part in a game or other organized activity").
    """
    for start in range(0, len(sentences), _CHUNK_SENTENCES):
        chunk = sentences[start : start + _CHUNK_SENTENCES]
        once = list(dict.fromkeys(chunk))
        said = dict(zip(once, _parsed(once, parser), strict=True))
        yield from (said[sentence] for sentence in chunk)


def _parsed(sentences: Sequence[str], parser: Any) -> Iterator[list[str]]:
    """Each sentence as it stands, or in the frame that makes its first word a verb."""
    plain = list(parser.pipe(sentences, batch_size=_BATCH_SENTENCES))
    frames = {i: frame for i, doc in enumerate(plain) if (frame := _frame(doc))}
    again = parser.pipe([f"{frame} {sentences[i]}" for i, frame in frames.items()], batch_size=_BATCH_SENTENCES)
    framed = dict(zip(frames, again, strict=True))
    for i, doc in enumerate(plain):
        start = len(frames[i].split()) if i in frames else 0
        if start and framed[i][start].tag_ in ("VB", "VBG") and framed[i][start].dep_ == "ROOT":
            doc = framed[i]
        else:
            start = 0
        yield list(_said(doc, start))


def _frame(doc: Any) -> str | None:
    """What to say before a fragment so that its first word is read as the verb it may be."""
    first, root = doc[0], next(token for token in doc if token.dep_ == "ROOT")
    if first.tag_ in ("DT", "PRP", "PRP$", "IN", "TO", "WDT", "WP", "WRB", "CD", "CC", "EX", "NNS", "RB", "MD"):
        return None
    subjects = [t for t in root.children if t.dep_ in ("nsubj", "nsubjpass", "csubj", "expl") and t.i < root.i]
    if any(first in t.subtree for t in subjects) and root.tag_ != "NNS":
        return None
    if first.text.endswith("ing") and names.lemma(first.text) != first.text:
        return "they are"
    if names.lemma(first.text) != first.text or not first.text.isalpha():
        return None
    # "can" makes a verb of any noun, so it is kept for what an object or a second verb follows
    following = list(doc[1:3])
    coordinated = len(following) == 2 and following[0].tag_ == "CC" and following[1].tag_.startswith("VB")
    return "they can" if following and (following[0].tag_ in ("DT", "PRP$") or coordinated) else "to"


def _said(doc: Any, start: int) -> Iterator[str]:
    acting = [token for token in doc[start:] if _acts(token)]
    if acting and len(doc) - start <= _NAME_WORDS and (name := _name(doc, start, acting)):
        yield name
        return
    for token in acting:
        if not _says_little(token):
            said = list(_text(token))
            if said[-1] != _base(token) or said[-1] not in _EMPTY_ALONE:
                yield " ".join(said)


def _name(doc: Any, start: int, acting: Sequence[Any]) -> str:
    """A text as short as a class name, whole but for articles, as a small parser loses its nouns; else nothing.

    "playing beer pong" is "play beer pong"; where the verb comes after a noun the name is a compound ("basketball
    dunk"); two verbs first are two actions ("canoeing or kayaking").
    """
    first, last = doc[start], doc[-1]
    rest = [t for t in doc[start + 1 :] if t.tag_ != "DT" and (t.i > start + 1 or t.text != "of")]
    digging = last in acting and last.text.endswith("ing") and not any(t.tag_ == "CC" for t in rest)  # "clam digging"
    if all(map(_says_little, acting)) and first not in acting:
        return ""  # "equipment needed"
    if first.text not in _FUNCTION_WORDS and (first not in acting or (digging and not first.text.endswith("ing"))):
        return str(doc[start:].text)
    return f"{_base(first)} {_joined(rest)}".strip() if acting == [first] else ""


def _acts(token: Any) -> bool:
    """Whether a word tagged as a verb stands where a verb does; nouns are mistagged as the list of a noun's fellows."""
    if token.pos_ != "VERB" or token.dep_ in ("amod", "compound", "aux", "auxpass", "prep", "nmod", "npadvmod"):
        return False
    as_noun = token.dep_ in ("pobj", "dobj", "nsubj", "nsubjpass", "attr", "appos") or (
        token.dep_ == "conj" and token.head.pos_ in ("NOUN", "PROPN", "ADJ", "NUM")
    )
    hyphened = token.i + 1 < len(token.doc) and token.doc[token.i + 1].text == "-" and not token.whitespace_
    return not (as_noun and token.tag_ != "VBG") and not hyphened


def _base(verb: Any) -> str:
    """The verb's base form; spaCy's guess at a gerund it does not know is no word ("rid" for riding)."""
    return names.lemma(verb.text) if verb.tag_ == "VBG" else str(verb.lemma_)


def _children(token: Any, *deps: str) -> list[Any]:
    return [child for child in token.children if child.dep_ in deps]


def _passive(verb: Any) -> bool:
    """Whether it is said of what it is done to: "is thrown", "thrown by hand", "a ball thrown"."""
    participle = verb.tag_ == "VBN" and not _children(verb, "dobj", "obj", "aux")
    return participle or bool(_children(verb, "auxpass", "nsubjpass", "agent"))


def _says_little(verb: Any) -> bool:
    lemma = _base(verb)
    announces = lemma in _ANNOUNCING | _CHANGING and bool(_children(verb, "xcomp"))
    return lemma in _DEFINING or announces or (_passive(verb) and lemma in _DEFINING_PASSIVE)


def _text(verb: Any) -> Iterator[str]:
    """The words of a verb's phrase: negation, verb, particle, object, directions and prepositional objects."""
    if verb.dep_ == "xcomp" and verb.head.lemma_ in _CHANGING:
        yield f"{verb.head.lemma_} to"
    without = verb.dep_ == "pcomp" and verb.head.text == "without"
    if without or any(t.text in ("not", "never", "n't") for t in _children(verb, "neg")):
        yield "not"
    hyphened = verb.i > 1 and verb.nbor(-1).text == "-" and not verb.nbor(-2).whitespace_
    yield f"{verb.nbor(-2).text}-{_base(verb)}" if hyphened else _base(verb)
    yield from (child.text for child in _children(verb, "prt"))
    donor = _donor(verb)
    thing = _object(verb) or (donor is not None and _object(donor)) or None
    if thing is not None and (said := _noun(thing)):
        yield said
    for owner in (verb, donor) if donor is not None and not _complements(verb) else (verb,):
        for child in owner.children:
            if child.i > owner.i and child != thing and (thing is None or thing not in child.children):
                yield from _complement(child)


def _donor(verb: Any) -> Any | None:
    """The conjunct whose object this verb shares: "bite and work food", where the parser hangs it on the last verb."""
    if _object(verb) is not None or _children(verb, "prep", "advmod", "prt", "xcomp", "ccomp"):
        return None
    for child in _children(verb, "conj"):
        if child.pos_ == "VERB" and child.tag_ == verb.tag_:
            return child if _object(child) is not None or _complements(child) else _donor(child)
    return None


def _complements(verb: Any) -> list[Any]:
    return [child for child in verb.children if child.i > verb.i and list(_complement(child))]


def _object(verb: Any) -> Any | None:
    """The noun acted upon: the object, what a passive is said of, or the noun a participle or clause hangs on."""
    owned = [noun for child in _children(verb, "prep") if child.text == "of" for noun in _children(child, "pobj")]
    if verb.tag_ == "VBG" and owned and not _children(verb, "dobj"):
        return owned[0]  # "softening of the skin"
    found = _children(verb, "dobj", "obj") or _children(verb, "nsubjpass")
    if found and found[0].text not in _RELATIVE:
        return found[0]
    if found or (verb.dep_ == "acl" and verb.tag_ in ("VBN", "VBD")):
        return verb.head if verb.dep_ in ("acl", "relcl") and verb.head.pos_ in ("NOUN", "PROPN", "PRON") else None
    first = verb
    while first.dep_ == "conj" and first.head.pos_ == "VERB":
        first = first.head
    if first is not verb and verb.tag_ in ("VBN", "VBD") and _passive(first):
        return _object(first)  # "arms are pushed forwards and swept back"
    subjects = _children(verb, "nsubj")
    if verb.dep_ == "ROOT" and verb.tag_ == "VBD" and subjects:
        return subjects[0]  # "cosmetic applied to the lips": definitions are in the present, so this is a participle
    return None


def _complement(child: Any) -> Iterator[str]:
    if child.dep_ in ("advmod", "acomp", "oprd") and child.text in _DIRECTIONS:
        yield child.text
    elif child.dep_ in ("prep", "dative") and child.text not in _DROPPED_PREPOSITIONS:
        nouns = [noun for noun in _children(child, "pobj") if noun.text not in _RELATIVE | _NOTHING_SEEN]
        inner = _children(child, "prep")  # out of, up to
        if nouns and (said := _noun(nouns[0])):
            yield f"{child.text} {said}"
        elif inner and (rest := list(_complement(inner[0]))):
            yield f"{child.text} {' '.join(rest)}"
        elif child.text in _DIRECTIONS and not _children(child, "pobj", "prep", "pcomp"):
            yield child.text


def _noun(noun: Any) -> str:
    """A noun with its compounds, adjectives, numbers and "of"; without articles, owners, clauses and asides."""
    if noun.text in _PERSONAL or noun.text in _RELATIVE:
        return ""
    kept = {noun.i} | {t.i for child in noun.children if child.i < noun.i and _describes(child) for t in child.subtree}
    for child in noun.children:
        if child.i > noun.i and child.dep_ == "prep" and child.text == "of":
            for owned in _children(child, "pobj"):
                kept |= {child.i} | {t.i for t in _span(owned)}
        elif child.i > noun.i and child.dep_ == "conj" and child.pos_ in ("NOUN", "PROPN"):
            joint = {t.i for t in noun.children if t.dep_ == "cc"}  # none where a list goes on
            kept |= joint | {t.i for t in _span(child)} if joint else set()
    for i in sorted(kept, reverse=True):  # "hip-hop": the parser may hang the halves elsewhere
        while i > 1 and noun.doc[i - 1].text == "-" and not noun.doc[i - 2].whitespace_:
            kept |= {i - 1, i - 2}
            i -= 2
    tokens = [t for t in noun.doc if t.i in kept]
    return _joined([t for t in tokens if t.tag_ not in _DETERMINERS or t.text == "both"])


def _span(noun: Any) -> list[Any]:
    inner = [t for child in noun.children if child.i < noun.i and _describes(child) for t in child.subtree]
    return [*inner, noun]


def _describes(child: Any) -> bool:
    return child.dep_ in ("compound", "amod", "nummod", "nmod", "punct", "quantmod") and child.text not in ",;"


def _joined(tokens: Sequence[Any]) -> str:
    """Tokens as text; what stood together (two-point) stays together."""
    said = ""
    for token, following in zip(tokens, [*tokens[1:], None], strict=False):
        apart = following is None or following.i != token.i + 1 or token.whitespace_
        said += token.text + (" " if apart else "")
    return said.strip(" -")
