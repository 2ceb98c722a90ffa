"""Files that are files: what waits without end, or has no end, is told before it is read.

A pipe waits for somebody who writes, a device gives without end, and a file of `/proc` or `/sys` is a question to the
machine, some of which wait too (`/proc/kmsg`). Each may have the name of a film, or have taken its place since it was
indexed. `refuse_strange` raises the OSError that readers make a fault of this one file already.
"""

import errno
import io
import os
import stat

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_QUESTIONS = ("/proc/", "/sys/")


def refuse_strange(path: str | os.PathLike[str]) -> None:
    """Refuse what is there and is no file, folders apart, of which readers have their own to say.

    Raises
    ------
    OSError
        It is a pipe, a socket, a device, or the machine's own; or it cannot be looked at.
    """
    _refuse(os.stat(path).st_mode, os.path.realpath(path), os.fspath(path))


def opened(path: str | os.PathLike[str]) -> io.BufferedReader:
    """The bytes of a file; raises as `refuse_strange`, also where a pipe takes its place at that moment."""
    return open(path, "rb", opener=_handle)


def text_of(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """All of a file of text; raises as `opened`, and UnicodeDecodeError."""
    with opened(path) as file:
        return file.read().decode(encoding)


def _handle(path: str, flags: int) -> int:
    """A file, opened so that a pipe is not waited for, and looked at."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    try:
        _refuse(os.fstat(handle).st_mode, os.path.realpath(path), os.fspath(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _refuse(mode: int, real: str, path: str) -> None:
    what = next((said for is_one, said in _KINDS if is_one(mode)), None)
    if what is None and real.startswith(_QUESTIONS):
        what = "the machine's own"
    if what:
        raise OSError(errno.EINVAL, f"it is {what}, and no file", path)
