"""The classes of a set, in the order they were first read: `classes/SET.parquet`.

    name        as the data set spells it; what labels and splits say
    readable    its words in lower case; what an encoder reads
    canonical   its words without stop words, each lemmatised; what other hands' spellings are matched with

A set is a data set's classes (ucf101, activitynet) or a list of one's own; texts are linked to them by name.
"""

import pyarrow as pa

from stores.errors import NotInStore
from stores.root import Root, checked_name
from untrusted.names import few

SCHEMA = pa.schema([("name", pa.string()), ("readable", pa.string()), ("canonical", pa.string())])
_FOLDER = "classes"


class Classes:
    """The class tables of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def sets(self) -> list[str]:
        """Names of the sets that have classes, sorted."""
        return [name.removesuffix(".parquet") for name in self._root.names_in(_FOLDER) if name.endswith(".parquet")]

    def rows(self, name: str) -> pa.Table:
        """The classes of a set, as `read`; none of one that has none."""
        return self.read(name) if self._root.exists(_FOLDER, f"{name}.parquet") else SCHEMA.empty_table()

    def read(self, name: str) -> pa.Table:
        """The classes of a set.

        Raises
        ------
        NotInStore
            The set has no classes; the message lists those that have.
        """
        if name not in self.sets():
            raise NotInStore(
                f"No set of classes is called {name!r} in {self._root.url}; there are: "
                f"{few(self.sets(), like=name) or 'none yet'}. "
                f"Run `zsar texts add FILE --kind class --set {name}` first."
            )
        return self._root.read_table(_FOLDER, f"{name}.parquet")

    def write(self, name: str, table: pa.Table) -> None:
        """Replace the classes of a set at once; StoreError where the name cannot be a file's."""
        self._root.write_table(table.cast(SCHEMA), _FOLDER, f"{checked_name(name)}.parquet")
