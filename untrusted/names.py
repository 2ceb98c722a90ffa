"""Names of others as people are shown them: no character moves a cursor, and of a thousand names some stand in a line.

shown("a\\x1b[31mb")        a\\x1b[31mb, in letters
few(names, 2)             a, b and 998 more
few(names, 2, like="x")   those first that are like the one that was asked for
"""

import difflib
import re
from collections.abc import Iterable

# control characters but line feed and tab, what turns the direction of writing, and halves of characters
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def shown(text: str) -> str:
    r"""A text whose control characters are spelt out.

    >>> shown("a\x1b]0;b\x07")
    'a\\x1b]0;b\\x07'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def few(names: Iterable[object], most: int = 10, like: str = "") -> str:
    """Some names in a line, and how many there are beside; empty where there are none.

    Parameters
    ----------
    names : of whatever there is
    most : that are shown
    like : what was asked for and is none of them: those that resemble it are shown first

    Examples
    --------
    >>> few(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    >>> few(["a", "b"], 2), few([])
    ('a, b', '')
    >>> few(["a", "b", "coco-ucf", "er-ucf"], 2, like="coca")
    'coco-ucf, a and 2 more'
    """
    there = [str(name) for name in names]
    left = len(there) - most
    if left <= 0:
        return ", ".join(there)
    if like:
        begin = like.lower().partition("-")[0].partition("@")[0]
        near = {name: None for name in there if name.lower().startswith(begin)}
        near |= dict.fromkeys(difflib.get_close_matches(like, there, most, 0.5))
        there = [*near, *(name for name in there if name not in near)]
    return f"{', '.join(there[:most])} and {left:,} more"
