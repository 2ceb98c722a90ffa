"""A process that reads a file first, and hangs or crashes in our place.

libhdf5 promises nothing of damaged files: some send it round for ever, some crash it, and neither can be caught in the
process that called it. So a file of others is read to its end by a scout, which answers when it is through. A scout
that crashes, or does not answer in time, is ended and the file refused; the next file gets a new scout. What is merely
wrong with a file is not the scout's to say: whoever reads it then meets the same.
"""

import atexit
import contextlib
import io
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from typing import IO, Any

from untrusted.limits import Unsafe

LEAST_S = 60.0
BYTES_A_SECOND = 2 << 20  # of a file, the least that a working disk and library give
_MEND = "It is damaged; get it anew, or save it again where it was made"


def look(source: str | os.PathLike[str] | io.BytesIO, size_bytes: int) -> None:
    """Have an HDF5 file read by the scout of this process.

    Parameters
    ----------
    source : path, or the file's bytes
    size_bytes : how large it is

    Raises
    ------
    Unsafe
        The scout crashed, or did not come back.
    """
    with _LOCK:
        scout = _scout()
        try:
            scout.look(source, size_bytes)
        except BaseException:  # an answer that is still to come is not the next file's
            scout.end()
            raise


class _Scout:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from untrusted.scouts import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def look(self, source: str | os.PathLike[str] | io.BytesIO, size_bytes: int) -> None:
        longest_s = LEAST_S + size_bytes / BYTES_A_SECOND
        content = source.getbuffer() if isinstance(source, io.BytesIO) else b""
        told: dict[str, Any] = {"bytes": size_bytes}
        if not isinstance(source, io.BytesIO):
            told["path"] = os.path.abspath(source)
        to, back = self._pipes()
        try:
            to.write(json.dumps(told).encode() + b"\n")
            to.write(content)
            to.flush()
        except BrokenPipeError:
            came = True
        else:
            came = _within(longest_s, back)
        if not came:
            raise Unsafe(f"was not read in {longest_s:.0f} s: the library that reads it goes round in it. {_MEND}")
        if not back.readline():
            status = self.end()
            if status >= 0:  # no fault of the file
                raise Unsafe(f"was not read: the process that reads such files first ended with status {status}")
            raise Unsafe(f"crashes the library that reads it ({signal.Signals(-status).name}). {_MEND}")

    def end(self) -> int:
        """End it, however it stands, and give its exit status."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)  # one that crashed has a status of its own
        self.process.kill()
        for pipe in self._pipes():
            with contextlib.suppress(OSError):  # what it was not told any more
                pipe.close()
        return self.process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdin
        assert self.process.stdout
        return self.process.stdin, self.process.stdout


def _within(longest_s: float, pipe: IO[bytes]) -> bool:
    """Whether something can be read from a pipe, or it came to its end."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ)
        return bool(waiting.select(longest_s))


_LOCK = threading.Lock()
_SCOUT: _Scout | None = None


def _scout() -> _Scout:
    global _SCOUT
    if _SCOUT is None or _SCOUT.process.poll() is not None:
        _SCOUT = _Scout()
    return _SCOUT


def _forget() -> None:
    """Of a process that was forked: the scout is its parent's."""
    global _LOCK, _SCOUT
    _LOCK, _SCOUT = threading.Lock(), None


def _end() -> None:
    if _SCOUT is not None:
        _SCOUT.end()


os.register_at_fork(after_in_child=_forget)
atexit.register(_end)


def serve() -> None:
    """The scout: read what is told, line by line, until the pipe is closed."""
    from untrusted.hdf5 import read_through

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C its owner hears too
    for line in sys.stdin.buffer:
        told = json.loads(line)
        size_bytes = told["bytes"]
        source = told["path"] if "path" in told else io.BytesIO(sys.stdin.buffer.read(size_bytes))
        read_through(source, size_bytes)
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
