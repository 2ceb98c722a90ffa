"""A layout of joints that a user declares: a small TOML file in, a Layout out, checked.

    joints = ["hip centre", "spine", "head", "left shoulder", "right shoulder", ...]      their names, in order
    bones = [["spine", "hip centre"], ["head", "spine"], ...]                             pairs of names
    centre = "spine"
    axes = 3                                     2: places in an image. 3, if it is left out
    hips = ["left hip", "right hip"]             these three may be left out where the names say it
    neck = ["left shoulder", "right shoulder"]
    shoulders = ["left shoulder", "right shoulder"]

Left and right follow from the names: each `left X` has a `right X`. Names that other layouts have too (`joints`) mean
the same joint: so poses are turned into a layout all of whose joints they name. A layout is called by its file and what
it says, `mine-3f2a1c`: another content is another layout, and what depends on it has another key.
"""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from extractors.errors import ExtractorError
from extractors.joints import Layout

_KEYS = {"joints", "bones", "centre", "axes", "hips", "neck", "shoulders"}
_SHOULDERS = ("left shoulder", "right shoulder")
_HIPS = ("left hip", "right hip")


def layout_of(text: str, name: str, where: str) -> Layout:
    """The layout that a file declares.

    Parameters
    ----------
    text : str
        Of the file.
    name : str
        What it is called, without the digest of what it says.
    where : str
        The file, for messages.

    Raises
    ------
    ExtractorError
        It is no TOML, lacks something, or contradicts itself; the message says what, in one line.
    """
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExtractorError(f"The layout {where} is no TOML: {error}.") from error
    if strange := set(told) - _KEYS:
        raise ExtractorError(f"The layout {where} has {_named(strange)}; it may have {_named(_KEYS)}.")
    joints = _names(told, "joints", where)
    bones = told.get("bones")
    if not isinstance(bones, list) or not all(isinstance(b, list) and len(b) == 2 for b in bones):
        raise ExtractorError(f"The layout {where} needs `bones`, a list of pairs of joints.")
    if doubled := [joint for joint, count in Counter(joints).items() if count > 1]:
        raise ExtractorError(f"The layout {where} names {_named(doubled)} twice among its joints.")
    axes = told.get("axes", 3)
    if axes not in (2, 3):
        raise ExtractorError(f"The layout {where} has axes = {axes!r}; it is 3, or 2 for places in an image.")
    _refuse_one_sided(joints, where)
    pairs = tuple((_number(a, joints, "bones", where), _number(b, joints, "bones", where)) for a, b in bones)
    centre = _number(told.get("centre"), joints, "centre", where)
    neck = "neck" if "neck" in joints else None
    shoulders = _some(told, "shoulders", joints, _SHOULDERS, where)
    if len(shoulders) != 2:
        raise ExtractorError(f"The layout {where} needs two `shoulders`, the left and the right one.")
    ends = Counter(joint for pair in pairs for joint in pair)
    found = Layout(
        name=f"{name}-{_digest(told)}",
        joints=joints,
        bones=pairs,
        centre=centre,
        hips=_some(told, "hips", joints, _HIPS, where),
        neck=_some(told, "neck", joints, (neck,) if neck else _SHOULDERS, where),
        shoulders=(shoulders[0], shoulders[1]),
        axes=axes,
        optional=frozenset(at for at in range(len(joints)) if axes == 2 or (ends[at] == 1 and at != centre)),
    )
    apart = [joint for at, joint in enumerate(joints) if at != centre and at not in found.inward()]
    if apart:
        raise ExtractorError(f"In the layout {where} no bones join {_named(apart)} to the centre {joints[centre]!r}.")
    return found


def _names(told: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    names = told.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise ExtractorError(f"The layout {where} needs `{key}`, a list of names.")
    return tuple(name.strip() for name in names)


def _number(name: object, joints: tuple[str, ...], key: str, where: str) -> int:
    if name is None:
        raise ExtractorError(f"The layout {where} needs `{key}`, the name of a joint.")
    if name not in joints:
        raise ExtractorError(f"The layout {where} names {name!r} in `{key}`, which is none of its joints.")
    return joints.index(str(name))


def _some(
    told: Mapping[str, Any], key: str, joints: tuple[str, ...], usual: tuple[str, ...], where: str
) -> tuple[int, ...]:
    """The joints of a key, or those that bear the usual names."""
    if key not in told and not set(usual) <= set(joints):
        raise ExtractorError(f"The layout {where} needs `{key}`, as it has no joints called {_named(usual)}.")
    return tuple(_number(name, joints, key, where) for name in (_names(told, key, where) if key in told else usual))


def _refuse_one_sided(joints: tuple[str, ...], where: str) -> None:
    for joint in joints:
        side, _, part = joint.partition(" ")
        other = {"left": "right", "right": "left"}.get(side)
        if other and f"{other} {part}" not in joints:
            raise ExtractorError(f"The layout {where} has {joint!r} and no '{other} {part}'.")


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=3).hexdigest()


def _named(names: Any) -> str:
    return ", ".join(map(repr, sorted(names)))
