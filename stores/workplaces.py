"""Where a training works: on a disk its own folder of the root, for an object store a folder of this machine.

    runs/RUN/split-000/ ──fetched──▶ a folder of this machine ──hand_over──▶ runs/RUN/split-000/

What reads and writes a training's files (checkpoint, weights, history) knows folders alone. On an object store they are
fetched when the work begins, and handed over whenever a file of them is whole: each is put only if it still is what was
fetched or put before, so of two that train the same one is told, and what was handed over last is what a killed
training goes on from. A history says that a training is finished, so it is put after all else.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from stores.errors import WriteFailed
from stores.object_store import ABSENT, Lost, ObjectStore
from stores.scratch import scratch

_SAYS_DONE = "history.json"


class Workplace:
    """A folder to work in.

    Parameters
    ----------
    path : Path
        Of this machine.
    shown : str, optional
        What it is called where something is said of it; its path.
    handed : Handed, optional
        What an object store has of it; nothing is handed over where there is none.
    """

    def __init__(self, path: Path, shown: str = "", handed: "Handed | None" = None) -> None:
        self.path, self.shown, self._handed = path, shown or str(path), handed

    def __truediv__(self, name: str) -> "Workplace":
        """A folder below it, handed over with it."""
        return Workplace(self.path / name, f"{self.shown}/{name}", self._handed)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was begun here."""
        return not self.path.is_dir() or not any(self.path.iterdir())

    def hand_over(self) -> None:
        """Bring what is here to where it is kept; nothing to do on a disk.

        Raises
        ------
        WriteFailed
            Another command has written it meanwhile.
        StoreError
            The store does not take it.
        """
        if self._handed:
            self._handed.put()


class Handed:
    """What an object store has of a folder of this machine.

    Parameters
    ----------
    store : ObjectStore
    there : str
        The folder there: bucket and prefix.
    here : Path
    """

    def __init__(self, store: ObjectStore, there: str, here: Path) -> None:
        self._store, self._there, self._here = store, there, here
        self._tags: dict[str, str] = {}
        self._as_put: dict[str, tuple[int, int, int]] = {}

    def fetch(self) -> None:
        """Bring here what is there."""
        for path in self._store.all_below(self._there):
            name = path.removeprefix(f"{self._there}/")
            target = self._here / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # removed since it was listed, by one that finished
                self._tags[name] = self._store.fetch(path, target)
                self._as_put[name] = _state(target)

    def put(self) -> None:
        """Put what has changed since, and remove what is gone."""
        files = [path for path in self._here.rglob("*") if path.is_file() and path.suffix != ".partial"]
        here = {path.relative_to(self._here).as_posix(): path for path in files}
        for name in sorted(here, key=lambda name: (Path(name).name == _SAYS_DONE, name)):
            state = _state(here[name])
            if self._as_put.get(name) == state:
                continue
            try:
                self._tags[name] = self._store.put(f"{self._there}/{name}", here[name], self._tags.get(name, ABSENT))
            except Lost as error:
                raise WriteFailed(
                    f"{self._there}/{name} was written by another command, which trains the same. Nothing is lost: "
                    "let that one end, or run this again when it has ended."
                ) from error
            self._as_put[name] = state
        for name in self._tags.keys() - here.keys():
            self._store.remove(f"{self._there}/{name}")
            del self._tags[name], self._as_put[name]


@contextlib.contextmanager
def beside(store: ObjectStore, there: str, shown: str) -> Iterator[Workplace]:
    """A workplace for a folder of an object store; what is in it at the end is handed over, after an error not."""
    with scratch("training") as folder:
        here = folder / there.rsplit("/", 1)[-1]
        handed = Handed(store, there, here)
        handed.fetch()
        yield (workplace := Workplace(here, shown, handed))
        workplace.hand_over()


def _state(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
