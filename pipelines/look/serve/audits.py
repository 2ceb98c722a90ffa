"""Audits of the page: doubts about a data set, with the clips they are about side by side.

data set, feature set ──audit──▶ findings of one kind, some at a time ──▶ Doubt each, with a card a side

An audit is made once for each state of a data set and its features; one at a time, since each takes a core.
"""

import dataclasses
import threading

from pipelines import feature_sets
from pipelines.look.audit.audit import Audit, audit
from pipelines.look.audit.findings import KINDS
from pipelines.look.serve.cards import Card, Cards
from pipelines.look.serve.items import Items
from pipelines.look.settings import AuditConfig
from stores.errors import NotInStore
from stores.manifest import Manifest
from stores.root import Root
from untrusted.names import few

OF_EACH = 12  # doubts on one page
_KEPT = 4  # audits in memory


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A doubt about a video.

    Attributes
    ----------
    about : dataset, video_id, label and suggested label, as they are
    why : in words
    score : how doubtful
    sides : cards of the video, and of the one it is compared with
    """

    about: dict[str, str | None]
    why: str
    score: float
    sides: tuple[Card, ...]


class Audits:
    """Audits of one root.

    Parameters
    ----------
    root : Root
    items : Items
    cards : Cards
    """

    def __init__(self, root: Root, items: Items, cards: Cards) -> None:
        self._root, self._items, self._cards = root, items, cards
        self._lock = threading.Lock()
        self._made: dict[tuple[object, ...], Audit] = {}

    def of(self, dataset: str, feature: str) -> Audit:
        """The audit of a data set.

        Raises
        ------
        NotInStore
            No such data set or feature set.
        UsageError
            As `audit`.
        """
        if dataset not in (known := Manifest(self._root).datasets()):
            raise NotInStore(
                f"No data set is called {dataset[:80]!r}; there are: {few(known, like=dataset) or 'none yet'}."
            )
        snapshot = feature_sets.find(self._root, feature).snapshot if feature else ""
        key = dataset, feature, snapshot, self._items.stamp()
        with self._lock:
            if key not in self._made:
                while len(self._made) >= _KEPT:
                    del self._made[next(iter(self._made))]
                self._made[key] = audit(AuditConfig(dataset, feature), self._root)
            return self._made[key]

    def doubts(self, found: Audit, kind: str, start: int) -> list[Doubt]:
        """Some doubts of one kind, worst first."""
        rows = [row for row in found.table.to_pylist() if row["kind"] == kind][start : start + OF_EACH]
        names = {name for row in rows for name in (row["video_id"], row["other"]) if name}
        items = self._items.named(found.dataset, names)
        told = []
        for row in rows:
            sides = [items[name] for name in (row["video_id"], row["other"]) if name in items]
            about = {"dataset": found.dataset} | {name: row[name] for name in ("video_id", "label", "suggested")}
            told.append(Doubt(about, row["why"], row["score"], tuple(self._cards.of_item(each) for each in sides)))
        return told


def first_kind(found: Audit, asked: str) -> str:
    """The kind that was asked for, else the first of which there are doubts; empty where there is none."""
    there = [kind for kind in KINDS if found.counts[kind]]
    return asked if asked in there else next(iter(there), "")
