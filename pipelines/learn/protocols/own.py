"""Splits of one's own: a JSON file of `{"seen": [names], "unseen": [names]}`, or a list of these, a split each.

`"seen": "rest"` stands for all classes that the data set has and that are on no other side.
"""

import json
from collections.abc import Mapping
from typing import Any

from pipelines.errors import UsageError
from pipelines.learn.protocols.splits import Split
from untrusted import places

REST = "rest"
_SIDES = {"seen": "seen", "training": "seen", "validation": "validation", "unseen": "unseen", "testing": "unseen"}


def own_splits(path: str) -> tuple[Split, ...]:
    """The splits of a JSON file.

    Raises
    ------
    UsageError
        It cannot be read, is no JSON, or a split is not of this form.
    """
    try:
        entries = json.loads(places.text_of(path, "utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. Check the spelling.") from error
    except ValueError as error:  # bad JSON, or not UTF-8
        raise UsageError(f"{path} is not JSON: {error}.") from error
    entries = entries if isinstance(entries, list) else [entries]
    if not entries:
        raise UsageError(f"{path} holds no split.")
    return tuple(_split(path, number, entry) for number, entry in enumerate(entries))


def _split(path: str, number: int, entry: Any) -> Split:
    fields = entry if isinstance(entry, Mapping) else {}
    sides = {_SIDES[key]: value for key, value in fields.items() if key in _SIDES}
    sides |= {"seen": [REST]} if sides.get("seen") == REST else {}
    listed = all(isinstance(side, list) and all(isinstance(name, str) for name in side) for side in sides.values())
    listed = listed and len(sides) == sum(key in _SIDES for key in fields)  # not both "seen" and "training"
    if not {"seen", "unseen"} <= set(sides) or not listed:
        form = '{"seen": [names] or "rest", "unseen": [names]}, or "training" and "testing"'
        raise UsageError(f"{path}: split {number} is not {form}. Class names are expected, no numbers.")
    return Split(path, number, *(tuple(sides.get(side, ())) for side in ("seen", "validation", "unseen")))
