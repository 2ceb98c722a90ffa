"""Clips from proxies: the small frames of `zsar extract proxy`, in place of the films.

A clip is of the same frames of the film as if it were read from the film itself. Every labelled video needs a proxy:
what a training sees must not depend on how far an extraction had come. Videos that have none because they failed are
left out, and counted.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from extractors import proxy
from extractors.errors import Corrupt, InputFault
from extractors.sampling import View
from pipelines import feature_sets
from pipelines.errors import UsageError
from stores.failures import Failures
from stores.features import FeatureSet, FeatureStore, positions
from stores.keys import keys_of
from stores.root import Root
from stores.spans import Spans


class Proxies:
    """The proxies of one feature set.

    Parameters
    ----------
    root : Root
    name : str
        Of the feature set, in full or the extractor's.
    resize : int
        The shorter side that is asked of frames.
    dataset : str
        For advice.

    Raises
    ------
    NotInStore, Ambiguous
        No such set, or several.
    UsageError
        One that is not of proxies, or of too small ones.
    """

    def __init__(self, root: Root, name: str, resize: int, dataset: str) -> None:
        found = feature_sets.find(root, name)
        if found.recipe["extractor"] != proxy.FrameProxy.name:
            raise UsageError(
                f"{found.name} holds no frames. Give proxy= a set that `zsar extract proxy --dataset {dataset}` made."
            )
        given = found.recipe["sampling"]
        if given["side"] < resize:
            raise UsageError(
                f"Frames of {found.name} have a shorter side of {given['side']}, resize={resize} asks for more. Run "
                f"`zsar extract proxy:side={resize} --dataset {dataset}`, or give --option resize={given['side']}."
            )
        self.name, self.key = found.name, found.key
        self._root, self._dataset = root, dataset
        standard = proxy.FrameProxy.default_options
        options = ",".join(f"{each}={value}" for each, value in given.items() if standard.get(each) != value)
        self._made_by = f"zsar extract proxy{':' * bool(options)}{options} --dataset {dataset}"
        self._set: FeatureSet = found

    def refused(self, keys: Iterable[bytes]) -> dict[bytes, InputFault]:
        """Faults by key of the videos that have no proxy because they failed.

        Raises
        ------
        UsageError
            Others have none either; the message counts them.
        """
        asked = list(dict.fromkeys(keys))
        lacking = [asked[each] for each in np.flatnonzero(positions(self._set.keys(), keys_of(asked)) < 0)]
        rows = Failures(self._root).latest().select(["key", "recipe_key", "message"]).to_pylist()
        failed = {row["key"]: row["message"] for row in rows if row["recipe_key"] == self.key}
        if todo := sum(key not in failed for key in lacking):
            raise UsageError(
                f"{todo} of {len(asked)} videos of {self._dataset!r} have no proxy in {self.name} yet. Run "
                f"`{self._made_by}`, or train without proxy={self.name.partition('@')[0]}."
            )
        return {key: InputFault(f"it has no proxy: {failed[key]}") for key in lacking}

    def of(self, keys: Sequence[bytes]) -> "Proxied":
        """The proxies of some videos."""
        at = positions(self._set.keys(), keys_of(keys))
        offsets = np.asarray(self._set.array("offsets")[:])
        return Proxied(self._root, self.name, tuple(keys), offsets[at], offsets[at + 1])


@dataclasses.dataclass
class Proxied:
    """Videos by the numbers of their rows; each process opens the store for itself.

    Attributes
    ----------
    root, name : Root and feature set
    keys : n content keys
    first, last : (n,) int64, from which row of the set to which each lies
    """

    root: Root
    name: str
    keys: tuple[bytes, ...]
    first: np.ndarray
    last: np.ndarray
    _rows: Spans | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_rows": None}

    def read(self, row: int, view: View) -> np.ndarray | InputFault:
        """(T, H, W, 3) uint8.

        Raises
        ------
        Damaged
            What is stored cannot be read.
        """
        if self._rows is None:
            self._rows = Spans(FeatureStore(self.root).find(self.name), proxy.OUTPUT)
        rows = self._rows
        try:
            pixels = proxy.read(lambda spans: self._fetch(rows, row, spans), view, self.keys[row]).pixels
        except Corrupt as fault:
            raise rows.damaged(f"{fault} ({self.keys[row].hex()[:12]})") from fault
        except InputFault as fault:
            return fault
        return np.asarray(pixels.reshape(-1, *pixels.shape[2:]))

    def _fetch(self, rows: Spans, row: int, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes of the run that the rows of a video are; neighbours are read together."""
        first, last, size = int(self.first[row]), int(self.last[row]), proxy.ROW_BYTES
        whole = [(start // size, min(-(-stop // size), last - first)) for start, stop in spans]
        together: list[tuple[int, int]] = []
        for start, stop in sorted(whole):
            if together and start <= together[-1][1]:
                start, stop = together[-1][0], max(together.pop()[1], stop)
            together.append((start, stop))
        read = rows.read([(first + start, first + stop) for start, stop in together])
        starts = np.array([start for start, _ in together])
        found = []
        for (start, stop), (row_start, _) in zip(spans, whole, strict=True):
            at = int(np.searchsorted(starts, row_start, side="right")) - 1
            own = read[at].reshape(-1)[start - int(starts[at]) * size : stop - int(starts[at]) * size]
            found.append(own.tobytes())
        return found
