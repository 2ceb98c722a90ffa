"""Groups of videos that must not be told apart: clips of one recording, and items of one content.

Under GZSL a fifth of the groups is kept from training and judged on. Which fifth a group is in follows from its name
alone, so that a backbone and the heads on top of it keep back the same videos, whatever else the data set holds.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

FIFTHS = 5


def fifths(ids: Sequence[str], keys: Sequence[bytes], recordings: Sequence[str | None] = ()) -> np.ndarray:
    """(N,) int64 in 0..4: which fifth of the groups each video is in.

    Parameters
    ----------
    ids : N video ids
        One whose recording nobody tells is called by its id without the clip's number (`v_X_g01_c03`), which captions
        of UCF101 have, and so has a manifest that was written before layouts told recordings.
    keys : N content keys
        Twins join their recordings into one group, which is called by the first of their names.

    recordings : N names of what each video was cut from, or None, as the data set's layout tells; nothing: all None

    Examples
    --------
    >>> a, b, c = fifths(["v_Run_g01_c01", "v_Run_g01_c02", "elsewhere"], [b"1", b"2", b"2"])
    >>> a == b == c
    True
    """
    told = recordings or [None] * len(ids)
    groups = [own or name.rpartition("_c")[0] or name for name, own in zip(ids, told, strict=True)]
    joined: dict[str, str] = {}
    first: dict[bytes, str] = {}
    for key, group in zip(keys, groups, strict=True):
        ends = sorted((_end(joined, group), _end(joined, first.setdefault(key, group))))
        joined[ends[1]] = ends[0]
    return np.array([_fifth(_end(joined, group)) for group in groups], np.int64)


def kept_back_digest(fifth: np.ndarray) -> str:
    """Digest of which videos are kept back, of what `fifths` gives."""
    return hashlib.blake2b((fifth == 0).tobytes(), digest_size=8).hexdigest()


def _fifth(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") % FIFTHS


def _end(joined: Mapping[str, str], group: str) -> str:
    """The group that stands for all that are joined to one."""
    while joined.get(group, group) != group:
        group = joined[group]
    return group
