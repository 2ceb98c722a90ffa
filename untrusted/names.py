"""Names of others as people are shown them: no character of a name moves a cursor, rings a bell or turns a line round.

shown("a\\x1b[31mb")   a\\x1b[31mb, in letters
"""

import re

# control characters but line feed and tab, what turns the direction of writing, and halves of characters
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def shown(text: str) -> str:
    r"""A text whose control characters are spelt out.

    >>> shown("a\x1b]0;b\x07")
    'a\\x1b]0;b\\x07'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
