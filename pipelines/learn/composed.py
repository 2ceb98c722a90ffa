"""Classes that are composed of seen ones: which of a split's unseen classes nothing was left to compose of.

Takes  a head, the unseen classes of a split
Gives  their names, each with the seen class it keeps, its nearest; the line that says so
"""

from collections.abc import Mapping

import torch

from heads.base import ClassTexts, Head
from untrusted.names import few

_SHOWN = 5


def kept_nearest(head: Head, unseen: ClassTexts) -> dict[str, str]:
    """Unseen classes that have their nearest seen class alone for want of an allowed one; none where none is composed.

    Parameters
    ----------
    head : Head
    unseen : ClassTexts
        On the head's device.
    """
    with torch.no_grad():
        found = head.relatedness(unseen) if len(unseen) else None
    if found is None:
        return {}
    own = found.chosen.int().argmax(1).tolist()
    return {
        name: found.seen[place]
        for name, place, kept in zip(unseen.names, own, found.kept_nearest.tolist(), strict=True)
        if kept
    }


def told_of(kept: Mapping[int, Mapping[str, str]]) -> str:
    """A clause about the classes of some splits, by number; nothing where there are none.

    >>> told_of({0: {}, 3: {"juggling": "golf"}})
    'nothing was left to compose 1 unseen class of, which keeps its nearest seen class: juggling ~ golf (split 3)'
    """
    pairs = [f"{name} ~ {seen} (split {n})" for n, own in sorted(kept.items()) for name, seen in own.items()]
    if not pairs:
        return ""
    count = f"{len(pairs)} unseen class" + ("es of, which keep" if len(pairs) > 1 else " of, which keeps")
    whose = "their" if len(pairs) > 1 else "its"
    return f"nothing was left to compose {count} {whose} nearest seen class: {few(pairs, _SHOWN)}"
