"""HDF5 that stays in its file: the one door through which such files are opened.

HDF5 can take its numbers from elsewhere: a dataset may lie in other files (external storage), be put together of others
(virtual), and a link may lead into another file. A file from elsewhere could so read any file of this machine into a
store. And libhdf5 hangs or crashes on some damaged files, so a process of its own reads them first (`scouts`). Whoever
opens one here gets a file that was looked through, and reads datasets with `numbers`, `texts` and `lists`, which hold
what is announced against the memory that one file may take.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from untrusted import scouts
from untrusted.limits import Room, Unsafe
from untrusted.places import refuse_strange

_MOST_THINGS = 10_000_000


class File:
    """An opened HDF5 file that refers to nothing outside itself.

    Attributes
    ----------
    top : h5py.File
    """

    def __init__(self, top: Any, size_bytes: int) -> None:
        self.top = top
        self._room = Room()
        self._piece = max(1, self._room.most // max(1, size_bytes))  # vlen elements that fit, were each the whole file

    def numbers(self, dataset: Any) -> np.ndarray:
        """All of a dataset of elements of one size.

        Raises
        ------
        Unsafe
            It asks for more memory than one file may take, or is behind a filter that is not here.
        """
        _refuse_filters(dataset)
        said = f"{dataset.name}: {dataset.shape} {dataset.dtype}"[:120]
        chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
        self._room.take(chunk, f"{said} in chunks of {dataset.chunks}"[:120])
        self._room.take(dataset.size * dataset.dtype.itemsize, said)
        return np.asarray(dataset[()])

    def texts(self, dataset: Any) -> np.ndarray:
        """(...) str of a dataset of strings; raises as `numbers`."""
        _refuse_filters(dataset)
        if h5py.check_string_dtype(dataset.dtype).length is not None:
            self._room.take(dataset.size * dataset.dtype.itemsize * 5, f"{dataset.name}: {dataset.shape} names")
            return np.asarray(dataset.asstr()[()])
        if dataset.ndim == 0:
            return np.asarray(dataset.asstr()[()])
        self._room.take(dataset.size * 64, f"{dataset.name}: {dataset.shape} names")
        return np.asarray(self._pieces(dataset, dataset.asstr()), object)

    def lists(self, dataset: Any) -> list[np.ndarray]:
        """The lists of a dataset (n,) of numbers of any length each; raises as `numbers`."""
        _refuse_filters(dataset)
        self._room.take(dataset.size * 64, f"{dataset.name}: {dataset.shape} lists")
        return [np.asarray(one) for one in self._pieces(dataset, dataset)]

    def pass_over(self, dataset: Any) -> None:
        """Read a dataset of any kind and keep nothing, if memory could hold it."""
        if dataset.is_virtual or dataset.external:
            return
        if h5py.check_string_dtype(dataset.dtype) is not None:
            self.texts(dataset)
        elif dataset.dtype.kind == "O":
            self.lists(dataset)
        elif dataset.chunks and dataset.size * dataset.dtype.itemsize <= self._room.most:
            for piece in dataset.iter_chunks():
                dataset[piece]

    def _pieces(self, dataset: Any, view: Any) -> list[Any]:
        """Elements of any length: so few at a time that these fit, whatever they hold."""
        if dataset.ndim != 1:
            raise Unsafe(f"has {dataset.name}, lists or names in {dataset.ndim} axes; one is read")
        found: list[Any] = []
        for start in range(0, dataset.shape[0], min(self._piece, 65536)):
            part = list(view[start : start + min(self._piece, 65536)])
            taken = sum(one.nbytes if isinstance(one, np.ndarray) else len(one) for one in part)
            self._room.take(taken, f"{dataset.name}: {dataset.shape} of any length")
            found += part
        return found


@contextlib.contextmanager
def opened(source: Any, size_bytes: int) -> Iterator[File]:
    """A file, looked through.

    Parameters
    ----------
    source : path, or a file of bytes
    size_bytes : how large it is

    Raises
    ------
    Unsafe
        Something in it lies outside it, wherever it stands; the message names it. Or the library crashes on it, or goes
        round in it; or what is read is of a type, or behind a filter, that is not known here.
    OSError, RuntimeError, KeyError, ValueError
        It is no HDF5 file, or a damaged one.
    """
    if isinstance(source, str | os.PathLike):
        refuse_strange(source)
    scouts.look(source, size_bytes)
    try:
        with h5py.File(source, "r") as top:
            for dataset in _datasets(top):
                _refuse_elsewhere(dataset)
            yield File(top, size_bytes)
    except OverflowError as error:  # h5py's, of a place that no file has
        raise OSError(f"it points outside itself: {error}") from error
    except TypeError as error:  # h5py's, when a dataset is asked for its type
        if "NumPy equivalent" not in str(error):
            raise
        raise Unsafe(f"has a dataset of a type that arrays have not ({error}); save it as numbers") from error


def read_through(source: Any, size_bytes: int) -> None:
    """Read all that a reader may, so that a scout meets what it would meet; what is merely wrong is passed over.

    Numbers that lie in one piece are not read: there the library has nothing to follow.
    """
    with contextlib.suppress(Exception), h5py.File(source, "r") as top:
        file = File(top, size_bytes)
        dict(top.attrs)
        for dataset in _datasets(top):
            with contextlib.suppress(Exception):
                dict(dataset.attrs)
                file.pass_over(dataset)


_MEND = ". Nothing outside it is read; save the numbers themselves (`h5repack`, or h5py where it was made)"


def _refuse_elsewhere(dataset: Any) -> None:
    if dataset.is_virtual:
        raise Unsafe(f"has {dataset.name!r}, a virtual dataset, which is read from other files{_MEND}")
    if dataset.external:
        raise Unsafe(f"has {dataset.name!r}, which lies in another file: {dataset.external[0][0]!r}{_MEND}")


def _refuse_filters(dataset: Any) -> None:
    """HDF5 says of a filter that it lacks in which folder it looked for it, and not which one it is."""
    created = dataset.id.get_create_plist()
    for at in range(created.get_nfilters()):
        code, _, _, name = created.get_filter(at)
        if not h5py.h5z.filter_avail(code):
            called = name.decode(errors="replace") or f"number {code}"
            raise Unsafe(f"has {dataset.name}, compressed by a filter that is not here ({called}); save it with gzip")


def _datasets(top: Any) -> Iterator[Any]:
    """Every dataset, each group once: groups may hold each other."""
    waiting, seen, count = [top], set(), 0
    while waiting:
        group = waiting.pop()
        if (place := _place(group)) in seen:
            continue
        seen.add(place)
        for name in group:
            if (count := count + 1) > _MOST_THINGS:
                raise Unsafe(f"has more than {_MOST_THINGS:,} names")
            link = _link(group, name)
            if isinstance(link, h5py.SoftLink):
                continue  # leads to what is met elsewhere in this file, or nowhere
            if not isinstance(link, h5py.HardLink):
                kind = f"to {link.filename!r}" if isinstance(link, h5py.ExternalLink) else "of a kind of its own"
                raise Unsafe(f"has {group.name.rstrip('/')}/{name}, a link {kind}{_MEND}")
            thing = group[name]
            if isinstance(thing, h5py.Group):
                waiting.append(thing)
            elif isinstance(thing, h5py.Dataset):
                yield thing


def _link(group: Any, name: str) -> Any:
    try:
        return group.get(name, getlink=True)
    except TypeError:  # a link of a class of its own
        return None


def _place(group: Any) -> Any:
    """Where a group lies in its file."""
    return h5py.h5o.get_info(group.id).addr
