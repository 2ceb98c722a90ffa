"""What makes a text one that an encoder should see, whatever it tells of.

Takes  a text of a class or of a video
Gives  what is wrong with it in words, and the text without HTML
"""

import html
import json
import re

from stores.keys import folded

MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?-->|&(?:[A-Za-z][A-Za-z0-9]*|#\d+|#[xX][0-9A-Fa-f]+);")
_LONGEST_TEXT = 1 << 16
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOTHING = frozenset({"nan", "null", "none", "n/a", "#n/a", "na", "<na>"})  # as tables write a missing text


def without_markup(text: str) -> str:
    """A text without HTML: tags are blanks, entities what they stand for.

    >>> without_markup("go&nbsp;<i>down</i>")
    'go down'
    """
    return folded(html.unescape(MARKUP.sub(lambda found: " " if found[0][0] == "<" else found[0], text)))


def has_word(text: str) -> bool:
    """Whether a letter or a digit is left when markup is taken away."""
    if "<" in text or "&" in text:
        text = without_markup(text)
    return any(map(str.isalnum, text))


def control(text: str) -> str:
    """What no file should hold in a text, a name or an id, in words; nothing where all is well."""
    found = _CONTROL.search(text)
    return f"holds U+{ord(found[0]):04X}, a control character or half of one" if found else ""


def unfit(text: str) -> str:
    """What is wrong with a folded text, in words; nothing where all is well.

    >>> unfit("he runs"), unfit("&nbsp;")
    ('', 'holds "&nbsp;" where its text should be')
    """
    if not text:
        return "holds only white space where its text should be"
    if len(text) > _LONGEST_TEXT:
        return f"holds a text of {len(text):,} characters; at most {_LONGEST_TEXT:,} are read"
    if wrong := control(text):
        return wrong
    if text.lower() in _NOTHING or not has_word(text):
        return f"holds {json.dumps(text[:40], ensure_ascii=False)} where its text should be"
    return ""
