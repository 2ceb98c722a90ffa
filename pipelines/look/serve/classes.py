"""Classes of the page: what is said of one, its clips, and what it is taken for.

Names of one class from several hands (a label, a set's class) are one where their words are (`extractors.names`).
"""

import dataclasses
from collections import Counter, defaultdict
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from extractors import names
from pipelines.look.serve.items import Items
from pipelines.texts import phrases
from stores.classes import Classes as ClassTables
from stores.errors import NotInStore
from stores.root import Root
from stores.runs import Runs
from stores.texts import Texts

_TAKEN = 3  # classes named that one is taken for


@dataclasses.dataclass(frozen=True)
class Named:
    """A class: its name as first read, its labels, in which sets it has texts, how many items are of it."""

    name: str
    labels: tuple[str, ...]
    sets: tuple[str, ...]
    items: int


@dataclasses.dataclass(frozen=True)
class Told:
    """What is said of a class in one way, in one set."""

    set: str
    kind: str
    texts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Taken:
    """How a class fared in a run: judged videos, those right, what most others were taken for, and what for it."""

    run: str
    setting: str
    n: int
    right: int
    taken_for: tuple[tuple[str, int], ...]
    taken: tuple[tuple[str, int], ...]


class Classes:
    """The classes of a root.

    Parameters
    ----------
    root : Root
    items : Items
    """

    def __init__(self, root: Root, items: Items) -> None:
        self._root, self._items = root, items

    def all(self) -> list[Named]:
        """Every class that a set names or an item has, by name."""
        spelt: dict[str, list[str]] = defaultdict(list)
        sets: dict[str, list[str]] = defaultdict(list)
        tables = ClassTables(self._root)
        for each in tables.sets():
            for name in tables.read(each)["name"].to_pylist():
                spelt[_one(name)].append(name)
                sets[_one(name)].append(each)
        labels = self._items.labels()
        of: dict[str, list[str]] = defaultdict(list)
        for label in labels:
            spelt[_one(label)].append(label)
            of[_one(label)].append(label)
        found = [
            Named(own[0], tuple(of[one]), tuple(dict.fromkeys(sets[one])), sum(labels[label] for label in of[one]))
            for one, own in spelt.items()
        ]
        return sorted(found, key=lambda each: each.name.lower())

    def find(self, name: str) -> Named:
        """The class of a name; NotInStore where there is none."""
        found = next((each for each in self.all() if _one(each.name) == _one(name)), None)
        if found is None:
            raise NotInStore(f"No set and no label has a class {name[:80]!r}.")
        return found

    def told(self, name: str) -> list[Told]:
        """What is said of a class, by set and kind; then its verb phrases."""
        found = []
        for each in Texts.sets(self._root):
            table = Texts(self._root, each).read(["class", "kind", "text"])
            own = _of(table, "class", name)
            kinds: dict[str, list[str]] = defaultdict(list)
            for kind, text in zip(own["kind"].to_pylist(), own["text"].to_pylist(), strict=True):
                kinds[kind].append(text)
            found += [Told(each, kind, tuple(dict.fromkeys(texts))) for kind, texts in kinds.items()]
        for file in self._root.names_in("phrases"):
            each = file.removesuffix(".parquet")
            own = _of(phrases.read(self._root, each), "class", name)
            if own.num_rows and not any((told.set, told.kind) == (each, "phrase") for told in found):
                found.append(Told(each, "phrase", tuple(own["phrase"].to_pylist())))
        return found

    def taken(self, name: str) -> list[Taken]:
        """How a class fared in each run that judged it."""
        found, store = [], Runs(self._root)
        for run in store.names():
            judged = store.read(run, "judged")
            if judged is None:
                continue
            for setting in pc.unique(judged["setting"]).to_pylist():
                rows = judged.filter(pc.equal(judged["setting"], setting)).select(["label", "best"])
                best = pc.list_element(rows["best"], 0)
                rows = rows.append_column("first", best)
                own, others = _of(rows, "label", name), _of(rows, "first", name)
                if not own.num_rows:
                    continue
                first = Counter(own["first"].to_pylist())
                right = sum(count for each, count in first.items() if _one(each) == _one(name))
                wrong = [(each, n) for each, n in first.most_common() if _one(each) != _one(name)]
                into = Counter(each for each in others["label"].to_pylist() if _one(each) != _one(name))
                counts = own.num_rows, right, tuple(wrong[:_TAKEN]), tuple(into.most_common(_TAKEN))
                found.append(Taken(run, setting, *counts))
        return found


@lru_cache(1 << 16)
def _one(name: str) -> str:
    """What is alike for all spellings of a class."""
    return names.canonical(name) or name.casefold()


def _of(table: pa.Table, column: str, name: str) -> pa.Table:
    """The rows of a class, however it is spelt."""
    spelt = [each for each in pc.unique(table[column]).to_pylist() if each is not None and _one(each) == _one(name)]
    return table.filter(pc.is_in(table[column], pa.array(spelt, pa.string())))
