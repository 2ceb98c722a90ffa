"""Spellings: which of our names is which of theirs, where the same video is called in two ways.

    ids of a file (n), ids of a data set ──match──▶ which of ours each of theirs is, by which rule, and what met several

Names are compared as they stand, then with one more rule a step: what the rule takes away is taken from both sides. Two
names that are alike then are one video only if no third name is alike too, and if what was taken from them does not
contradict: `train/x` is `x`, `bow/x` is not `sit/x`; `ID_000010_000020` is `ID`, and not `ID_000030_000040`. Whatever
remains is matched with nothing: nobody guesses.

| rule | alike |
|---|---|
| Unicode | the same letters, composed or not |
| percent | `a%20b` and `a b` |
| array | `ID/c3d_features` and `ID`, where all ids of the file end so |
| ending | `ID.mp4` and `ID` |
| folder | `train/ID`, `class/ID` and `ID`; a backslash is a slash |
| digits | `ID_000010_000020` and `ID_10_20` |
| v_ | `v_ID` and `ID` |
| stream | `ID_rgb` and `ID`: what known extractors put behind a name |
| letters | capitals; blank, underscore and dash |
| times | `ID_000010_000020` and `ID` |
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from pipelines.index.files import EXTENSIONS
from untrusted.names import few

AS_IT_STANDS = "as it stands"
SPLIT_FOLDER = re.compile(
    r"(?:videos?[_-])?(train|training|val|valid|validate|validation|test|testing)(?:[_-]?\d+)?", re.I
)

_ENDINGS = EXTENSIONS | {".npy", ".npz", ".h5", ".hdf5", ".mat", ".pkl", ".pt"}
_STREAM = re.compile(
    r"[/_.-](rgb|flow|clip|i3d|r21d|s3d|c3d|tsn|tsm|timm|resnet\d*|vggish|raft|pwc|slowfast|features?|feats?)", re.I
)
TIMES = re.compile(r"_(\d{1,6})_(\d{1,6})$")  #: of a clip, in seconds, behind the id of its video
_IS_ARRAY = "feat"
_FIRST = 3


class Matches(NamedTuple):
    """What was found.

    Attributes
    ----------
    at : for each of their names the number of the one of ours, -1 where there is none
    rules : how many by which rules, the most first
    ambiguous : names of theirs that are alike to several of ours, or several of which are alike to one
    """

    at: list[int]
    rules: dict[str, int]
    ambiguous: tuple[str, ...]


def match(theirs: Sequence[str], ours: Sequence[str], contents: Sequence[Hashable] | None = None) -> Matches:
    """Find each name of a file among the names of a data set.

    Parameters
    ----------
    theirs : n different names
    ours : m names
    contents : m contents of ours; names of one content are no different ones. None: each is its own

    Examples
    --------
    >>> match(["train/v_x.mp4", "y", "z"], ["x", "y"])
    Matches(at=[0, 1, -1], rules={'as it stands': 1, 'ending, folder, v_': 1}, ambiguous=())
    """
    what = contents if contents is not None else range(len(ours))
    exact = {name: j for j, name in reversed(list(enumerate(ours)))}
    at = [exact.get(name, -1) for name in theirs]
    found = Counter({AS_IT_STANDS: n} if (n := sum(j >= 0 for j in at)) else {})
    left = [i for i, j in enumerate(at) if j < 0]
    if not left:
        return Matches(at, dict(found), ())
    rules = _rules(theirs)
    spelt_theirs, spelt_ours = list(theirs), list(ours)
    met: set[int] = set()
    for step, rule in enumerate(rules, 1):
        spelt_theirs, spelt_ours = [list(map(rule.apply, side)) for side in (spelt_theirs, spelt_ours)]
        by_ours = _grouped(spelt_ours)
        by_theirs = Counter(spelt_theirs)
        for i in left:
            alike = by_ours.get(spelt_theirs[i], [])
            if len({what[j] for j in alike}) > 1 or (alike and by_theirs[spelt_theirs[i]] > 1):
                met.add(i)
            elif alike and i not in met and (told := _told(theirs[i], ours[alike[0]], rules[:step])):
                at[i] = alike[0]
                found[told] += 1
        left = [i for i in left if at[i] < 0]
        if not left:
            break
    return Matches(at, dict(found.most_common()), tuple(theirs[i] for i in left if i in met))


def plain(names: Sequence[str]) -> list[str]:
    """Ids of a file as names of videos: without endings, the array's name and a stream that all of them bear.

    Examples
    --------
    >>> plain(["a.mp4/c3d_features", "b.mp4/c3d_features"])
    ['a', 'b']
    """
    spelt = list(names)
    array = (_array(names) or "").lower()
    for rule in _rules(names):
        if rule.name not in ("Unicode", "ending", "stream") and not (rule.name == "array" and _IS_ARRAY in array):
            continue
        found = [rule.apply(name) for name in spelt]
        ends = {name[len(rest) :] for name, rest in zip(spelt, found, strict=True)}
        if len(set(found)) == len(names) and (rule.name != "stream" or len(ends) == 1):
            spelt = found
    return spelt


def streams(names: Sequence[str]) -> dict[str, int]:
    """What stands behind names that are otherwise alike, or behind all names, and how often; empty where it is one.

    Examples
    --------
    >>> streams(["a_rgb", "a_flow", "b_rgb", "b_flow"])
    {'_rgb': 2, '_flow': 2}
    >>> streams(["a_rgb", "b_flow"])
    {'_rgb': 1, '_flow': 1}
    >>> streams(["a_rgb", "b_rgb"])
    {}
    """
    without = [_without_stream(name) for name in names]
    several = {name for name, count in Counter(without).items() if count > 1}
    all_end_so = all(name != rest for name, rest in zip(names, without, strict=True))
    ends = Counter(
        name[len(rest) :]
        for name, rest in zip(names, without, strict=True)
        if rest != name and (rest in several or all_end_so)
    )
    return dict(ends) if len(ends) > 1 else {}


def first(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return few(map(repr, names), _FIRST) or "none"


def counted(counts: Mapping[str, int]) -> str:
    """Counts by name, for a message.

    Examples
    --------
    >>> counted({".jpg": 12, ".txt": 1})
    '12 .jpg, 1 .txt'
    """
    return ", ".join(f"{count} {name}" for name, count in counts.items())


# -- the rules --------------------------------------------------------------------------------------------------------


class _Rule(NamedTuple):
    """A rule: its name, and what it makes of a name."""

    name: str
    apply: Callable[[str], str]


def _rules(theirs: Sequence[str]) -> list[_Rule]:
    """All rules in the order they are tried, the surest first."""
    array = _array(theirs)
    return [
        _Rule("Unicode", lambda name: unicodedata.normalize("NFC", name).strip()),
        _Rule("percent", lambda name: unquote(name) if "%" in name else name),
        *([_Rule("array", lambda name: name.removesuffix(f"/{array}"))] if array else []),
        _Rule("ending", _without_ending),
        _Rule("folder", lambda name: name.replace("\\", "/").rpartition("/")[2]),
        _Rule("digits", _with_six_digits),
        _Rule("v_", lambda name: name.removeprefix("v_")),
        _Rule("stream", _without_stream),
        _Rule("letters", _folded),
        _Rule("times", lambda name: _cut(TIMES, name)[0]),
    ]


def _array(names: Sequence[str]) -> str | None:
    """What all names have behind their last slash, if they are several or it speaks of features."""
    ends = {name.rpartition("/")[2] if "/" in name else "" for name in names}
    end = ends.pop() if len(ends) == 1 else ""
    return end if end and (len(names) > 1 or _IS_ARRAY in end.lower()) else None


def _without_ending(name: str) -> str:
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in _ENDINGS else name


def _with_six_digits(name: str) -> str:
    stem, times = _cut(TIMES, name)
    return f"{stem}_{int(times[1]):06d}_{int(times[2]):06d}" if times else name


def _folded(name: str) -> str:
    stem, times = _cut(TIMES, name)
    return re.sub(r"[\s_-]+", " ", stem).casefold() + (times[0] if times else "")


def _without_stream(name: str) -> str:
    return _cut(_STREAM, name)[0]


def _cut(pattern: re.Pattern[str], name: str) -> tuple[str, "re.Match[str] | None"]:
    """A name without what it ends in, and that end; nothing is cut where nothing would be left."""
    for start in [i for i, letter in enumerate(name) if letter in "/_.-" and i][-2:]:
        if found := pattern.fullmatch(name, start):
            return name[:start], found
    return name, None


def _grouped(names: Sequence[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for j, name in enumerate(names):
        groups.setdefault(name, []).append(j)
    return groups


def _told(one: str, other: str, rules: Sequence[_Rule]) -> str | None:
    """The rules that make two names alike, the last of which they need; None where they contradict each other."""
    used = []
    for rule in rules:
        before, after = (one, other), (rule.apply(one), rule.apply(other))
        changed = (before[0] != after[0]) + (before[1] != after[1])
        if rule.name == "folder" and not _folders_fit(*before):
            return None
        ends = {b[len(a) :].casefold() for b, a in zip(before, after, strict=True)}
        if rule.name in ("stream", "times") and changed == 2 and len(ends) == 2:
            return None
        if changed == 1 or rule is rules[-1]:
            used.append(rule.name)
        one, other = after
    return ", ".join(used)


def _folders_fit(one: str, other: str) -> bool:
    """Whether the folders of one name are the last folders of the other; folders of splits say nothing."""
    a, b = (
        [f.casefold().replace("_", " ") for f in re.split(r"[\\/]", name)[:-1] if not SPLIT_FOLDER.fullmatch(f)]
        for name in (one, other)
    )
    shorter, longer = sorted((a, b), key=len)
    return not shorter or longer[-len(shorter) :] == shorter
