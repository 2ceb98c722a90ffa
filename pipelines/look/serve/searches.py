"""Searches of the page: what was typed, as a query; the spaces there are, and why others are none.

    Asked (an address) ──▶ QueryConfig ──query──▶ Hits

Nothing is written: what of an index is not there is in memory. One search at a time, since they share what is open; who
asks something else need not wait for it.
"""

import dataclasses
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlencode

import numpy as np
import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.look.query import Hits, query
from pipelines.look.searchers import Searchers
from pipelines.look.segments import Segments, segments
from pipelines.look.serve.settings import ServeConfig
from pipelines.look.settings import QueryConfig
from pipelines.look.spaces import Space, spaces
from stores.errors import NotInStore
from stores.features import FeatureSet
from stores.root import Root

MOST = 100  # segments a page
LONGEST = 400  # letters of a phrase
_FEW = 12
_KEPT_S = 30.0  # so long spaces are taken for what there is


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the form of the page says.

    Attributes
    ----------
    q : a phrase
    like : VIDEO or VIDEO@START-END; not where a phrase is typed
    feature : a feature set or a run; empty: whichever holds most
    dataset, label : what segments are to be of; empty: any
    k : so many segments
    """

    q: str = ""
    like: str = ""
    feature: str = ""
    dataset: str = ""
    label: str = ""
    k: int = _FEW

    @classmethod
    def of(cls, told: Mapping[str, str]) -> "Asked":
        """As an address has it.

        Raises
        ------
        UsageError
            A phrase too long, or a number that is none.
        """
        texts = {name: told.get(name, "").strip() for name in ("q", "like", "feature", "dataset", "label")}
        for name, text in texts.items():
            if len(text) > LONGEST:
                raise UsageError(f"{name!r} is at most {LONGEST} letters, got {len(text)}.")
        k = told.get("k", "").strip() or str(_FEW)
        if not (k.isascii() and k.isdigit() and 1 <= int(k[:9]) <= MOST):
            raise UsageError(f"How many segments are shown is a number from 1 to {MOST}, got {k[:40]!r}.")
        return cls(**texts | ({"like": ""} if texts["q"] else {}), k=int(k))

    def address(self) -> str:
        """The address of the page that asks this."""
        named = {name: str(value) for name, value in dataclasses.asdict(self).items()}
        return "/?" + urlencode({name: value for name, value in named.items() if value})

    def config(self, own: ServeConfig) -> QueryConfig:
        """As `zsar query` takes it."""
        quoted = self.label.replace("'", "''")
        where = f"label = '{quoted}'" if self.label else ""
        return QueryConfig(
            phrase=self.q,
            like=self.like,
            dataset=self.dataset,
            feature=self.feature,
            where=where,
            k=self.k,
            weights=own.weights,
            device=own.device,
        )


class Searches:
    """Answers in one root.

    Parameters
    ----------
    root : Root
    config : ServeConfig
    """

    def __init__(self, root: Root, config: ServeConfig) -> None:
        self._root, self._config = root, config
        self._searchers = Searchers(root, keep=False, device=config.device)
        self._searching, self._looking, self._reading = threading.Lock(), threading.Lock(), threading.Lock()
        self._spaces: list[Space] = []
        self._looked_at = -_KEPT_S
        self._segments: dict[str, Segments] = {}

    def answer(self, asked: Asked) -> Hits:
        """What `zsar query` answers; raises as it does."""
        with self._searching:
            return query(asked.config(self._config), self._root, self._searchers)

    def spaces(self) -> list[Space]:
        """Which spaces a phrase can be compared in, and why not in others; as it was half a minute ago at most."""
        with self._looking:
            if time.monotonic() - self._looked_at > _KEPT_S:
                self._spaces, self._looked_at = spaces(self._root), time.monotonic()
            return self._spaces

    def of(self, feature_set: FeatureSet) -> Segments:
        """The segments of a feature set, read again where it has changed."""
        with self._reading:
            held = self._segments.get(feature_set.name)
            if held is None or held.snapshot != feature_set.snapshot:
                held = self._segments[feature_set.name] = segments(feature_set, self._root)
            return held

    def segment(self, feature_set: FeatureSet, key: str, number: int) -> dict[str, object]:
        """One segment, as a row of `segments.SCHEMA`, by its item and its number in it."""
        own = self.of(feature_set)
        mine = np.isin(own.item, items_of(own, key)) & (own.number == number)
        if mine.any():
            found: dict[str, object] = own.take(np.flatnonzero(mine)[:1]).table().to_pylist()[0]
            return found
        raise NotInStore(f"{feature_set.name} has no segment {number} of this item.")


def items_of(own: Segments, key: str) -> np.ndarray:
    """(n,) int64: which items of some segments have a content key."""
    return np.flatnonzero(np.asarray(pc.equal(own.items["key"], bytes.fromhex(key))))
