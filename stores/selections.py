"""Selections: named, versioned data sets whose rows are those of others, chosen by a query.

    selections/NAME/000001.parquet     rows as in a manifest, their `dataset` is NAME@1
    selections/NAME/000001.json        the question, when, how many rows of which data sets
    captions/NAME@1.parquet            captions of the rows that captions stand for

NAME is its latest version, NAME@1 the first; a version that is there is never changed. Contents keep their keys, so
that features extracted for the data sets they come from are there at once.
"""

import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from stores.errors import NotInStore
from stores.root import Root, checked_name
from untrusted.names import few

_FOLDER = "selections"


class Selections:
    """The selections of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Names, sorted."""
        return [name for name in self._root.names_in(_FOLDER) if self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Numbers of the versions of one, rising; none where there is no such selection."""
        there = self._root.names_in(_FOLDER) if name else []
        files = self._root.names_in(f"{_FOLDER}/{name}") if name in there else []
        return sorted(int(file.removesuffix(".json")) for file in files if file.endswith(".json"))

    def find(self, dataset: str) -> tuple[str, int] | None:
        """The name and version that a data set's name means, `NAME` or `NAME@2`; None where it is no selection.

        Raises
        ------
        NotInStore
            A selection without such a version; the message lists those it has.
        """
        name, _, told = dataset.partition("@")
        if not (there := self.versions(name)):
            return None
        if not told:
            return name, there[-1]
        if not told.isdigit() or int(told) not in there:
            known = few(f"{name}@{number}" for number in reversed(there))
            raise NotInStore(f"The selection {name!r} has no version {told!r}; there are: {known}.")
        return name, int(told)

    def full(self, dataset: str) -> str:
        """The name with its version of a selection; of any other data set its own."""
        found = self.find(dataset)
        return f"{found[0]}@{found[1]}" if found else dataset

    def read(self, name: str, version: int, columns: list[str] | None = None) -> pa.Table:
        """The rows of a version."""
        return self._root.read_table(_FOLDER, name, f"{version:06d}.parquet", columns=columns)

    def about(self, name: str, version: int) -> dict[str, Any]:
        """What is said of a version: question, made_ns, rows, sources, digest."""
        mend = f"Bring it back from a copy, or remove them all (`zsar drop --selection {name}`) and save it again."
        return self._root.read_json(_FOLDER, name, f"{version:06d}.json", mend=mend)

    def add(self, name: str, table: pa.Table, about: Mapping[str, Any]) -> int:
        """Add a version, and give its number; to be called under the lock of the manifests.

        Its captions are to be there already: who sees a version sees it whole.
        """
        version = self.next(checked_name(name))
        self._root.write_table(table, _FOLDER, name, f"{version:06d}.parquet")
        told = dict(about) | {"made_ns": time.time_ns(), "rows": table.num_rows}
        self._root.write_json(told, _FOLDER, name, f"{version:06d}.json")
        return version

    def next(self, name: str) -> int:
        """The number that the next version gets."""
        return max(self.versions(name), default=0) + 1

    def remove(self, name: str) -> int:
        """Remove a selection with all its versions, and give how many there were.

        Raises
        ------
        NotInStore
            There is none of this name.
        """
        there = self.versions(name)
        if not there:
            raise NotInStore(
                f"No selection is called {name!r}; there are: {few(self.names(), like=name) or 'none yet'}."
            )
        self._root.remove(_FOLDER, name)
        for number in there:
            if self._root.exists("captions", f"{name}@{number}.parquet"):
                self._root.remove("captions", f"{name}@{number}.parquet")
        return len(there)
