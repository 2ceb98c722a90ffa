"""Folders of this machine for the time of a command; what a killed one left goes with the next.

A folder is held by a lock on a file in it, which the system lets go with the process. So whoever needs a folder takes
away those beside it that nobody holds: a training that is killed each night does not fill the disk.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX, _HELD = "zsar-", ".held"


@contextlib.contextmanager
def scratch(what: str, within: Path | None = None) -> Iterator[Path]:
    """A folder `zsar-WHAT-...`, empty but for its lock, that is gone at the end.

    Parameters
    ----------
    what : of whom it is, for people who look
    within : where; nothing: `$TMPDIR`

    Raises
    ------
    OSError
        There is no room for it.
    """
    there = Path(within or tempfile.gettempdir())
    _take_away_unheld(there)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{what}-", dir=there) as name:
        folder = Path(name)
        with open(folder / f"{_HELD}.new", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(lock.name, folder / _HELD)  # held already when others see it
            yield folder


def _take_away_unheld(there: Path) -> None:
    """Remove what killed processes of this user left; what cannot be removed stays."""
    for folder in there.glob(f"{_PREFIX}*/{_HELD}"):
        with contextlib.suppress(OSError), open(folder, "r+") as lock:
            if os.fstat(lock.fileno()).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder.parent)
