"""What is wrong with a text as it is written, whatever it says: markup, places left unfilled, letters read wrongly.

    markup        HTML tags and entities, which an encoder reads as words
    placeholder   `{}`, `{name}`, `%s`, `$name`, `<name>`, `[name]`: a template that nothing was put into
    damaged       U+FFFD, or letters such as `Ã©` that were UTF-8 and were read as Windows's encoding

In a class name brackets are no fault: classes of Something-Something are so named (`Putting [something] down`), and are
read without them.
"""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow.compute as pc

from pipelines.wording import MARKUP, without_markup
from stores.texts import Texts

_SUSPECT = r"[<&\[{%$ÃÂ\x{FFFD}]|â€"  # what every fault holds; found by Arrow, as most texts have none
_TAGS = frozenset(
    {"a", "b", "big", "blockquote", "body", "br", "center", "code", "dd", "del", "div", "dl", "dt", "em", "font", "h1"}
    | {"h2", "h3", "h4", "h5", "h6", "head", "hr", "html", "i", "img", "ins", "li", "ol", "p", "pre", "q", "ref", "s"}
    | {"script", "small", "span", "strike", "strong", "style", "sub", "sup", "table", "td", "th", "tr", "tt", "u", "ul"}
)
_BRACED = r"\{[^{}]{0,40}\}|(?<!\d)%(?:\(\w+\))?[sdrf]\b|(?<!\w)\$(?:[a-z_]{2,}\b|\{\w+\})|<[A-Za-z][\w ]{0,40}>"
_PLACE_IN_NAME = re.compile(_BRACED)
_PLACE = re.compile(rf"{_BRACED}|\[[A-Za-z][\w ]{{0,40}}\]")
_DAMAGED = re.compile("\ufffd|[\u00c2\u00c3][\u00a0-\u00bf]|\u00e2\u20ac")


class Fault(NamedTuple):
    """One fault of a text: by which rule, what was found, what to do."""

    rule: str
    what: str
    mend: str


def suspects(texts: Texts) -> Iterator[tuple[str, int, str, str]]:
    """(source, line, class, text) of a set's texts that may have a fault; names are not among them."""
    kinds = ("definition", "description", "phrase", "object")
    for table in texts.tables(["source", "line", "class", "text"], kinds):
        for row in table.filter(pc.match_substring_regex(table["text"], _SUSPECT)).to_pylist():
            yield row["source"], row["line"], row["class"], row["text"]


def of_text(text: str) -> list[Fault]:
    """The faults of a text.

    >>> [fault.rule for fault in of_text("a photo of a {}")], of_text("he ran & fell, 5 < 7")
    (['placeholder'], [])
    """
    return _faults(text, _PLACE)


def of_name(name: str) -> list[Fault]:
    """The faults of a class name.

    >>> of_name("Putting [something] down"), [fault.rule for fault in of_name("rock &amp; roll")]
    ([], ['markup'])
    """
    return _faults(name, _PLACE_IN_NAME)


def _faults(text: str, place: re.Pattern[str]) -> list[Fault]:
    faults = []
    if marks := [mark for mark in MARKUP.findall(text) if _is_html(mark)]:
        shown = f"holds HTML, {' '.join(dict.fromkeys(marks))[:60]}"
        only = "" if any(map(str.isalnum, without_markup(text))) else ", and nothing else"
        faults.append(Fault("markup", shown + only, "Take tags out and write what entities stand for."))
    if places := [found for found in place.findall(text) if not _is_html(found)]:
        faults.append(Fault("placeholder", f"has a place left unfilled, {places[0]}", "Fill it."))
    if found := _DAMAGED.search(text):
        mend = "Save its source as UTF-8 again, or read that with --encoding."
        faults.append(Fault("damaged", f"holds letters that were read in a wrong encoding, {found[0]!r}", mend))
    return faults


def _is_html(mark: str) -> bool:
    """Whether a mark is a tag that there is, or an entity, and no place to be filled."""
    name = re.match(r"</?([A-Za-z0-9]+)", mark)
    is_entity = mark[0] == "&" and html.unescape(mark) != mark
    return is_entity or mark.startswith("<!") or bool(name and name[1].lower() in _TAGS)
