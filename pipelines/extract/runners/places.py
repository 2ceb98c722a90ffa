"""Reading an item where it lies: at the first of its places that can be reached, and unchanged since it was indexed."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from extractors.errors import InputFault, Unreachable
from pipelines.extract.items import Item
from pipelines.index.files import Stat, stat_of

_Read = TypeVar("_Read")


def at_first_place(item: Item, read: Callable[[str, Stat | None], _Read]) -> _Read | InputFault:
    """What reading gives at the first place that can be reached: twins stand in for each other."""
    fault: InputFault = Unreachable("it lies nowhere")
    for uri, stat in item.places:
        try:
            return read(uri, stat)
        except Unreachable as error:
            fault = error
        except InputFault as error:
            return error
    return fault


@contextlib.contextmanager
def unchanged(uri: str, stat: Stat | None) -> Iterator[None]:
    """A file that is read, of this size and time, before and after.

    Rows belong to the bytes the key was taken of; other bytes in their place would be kept under a wrong key.
    """
    _refuse_changed(uri, stat)
    yield
    _refuse_changed(uri, stat)


def _refuse_changed(uri: str, stat: Stat | None) -> None:
    if stat is None:
        return
    try:
        now = stat_of(uri)
    except FileNotFoundError as error:
        raise Unreachable("the file is not there (any more)") from error
    except OSError as error:
        raise Unreachable(f"the file cannot be reached: {error.strerror or error}") from error
    if now != stat:
        raise Unreachable("its size or time changed since it was indexed; index the data set again")
