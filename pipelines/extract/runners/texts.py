"""Texts in, rows out: tokens pooled by length, full batches to forward threads. Knows nothing of the store.

    items ─tokens─▶ pools by (feature, batch shape) ─full batches─▶ forwards ─▶ results

A batch is full of texts of about one length, whatever order they came in, and always of a shape its extractor names; so
little of it is padding, and neither batch mates nor order change a row. What does not fill a batch waits for the end.
"""

import itertools
from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from extractors.base import TextExtractor
from extractors.errors import InputFault
from pipelines.extract.items import TextItem
from pipelines.extract.runners.base import checked, in_threads
from pipelines.extract.runners.videos import Result

_TOKENISED_AT_ONCE = 4096


class _Entry(NamedTuple):
    """One text on its way through one extractor."""

    item: TextItem
    tokens: np.ndarray
    order: int


class TextRunner:
    """Runs texts through loaded extractors; iterate over `results`.

    Parameters
    ----------
    extractors : mapping of feature name to a loaded TextExtractor
    forwards : int
        Forward threads, of one core each on a CPU.
    """

    def __init__(self, extractors: Mapping[str, TextExtractor], forwards: int) -> None:
        self._extractors = extractors
        self._forwards = forwards
        self._pools: dict[tuple[str, tuple[int, int]], list[_Entry]] = {}
        self.decoded = 0  #: texts tokenised so far, each once a feature

    def results(self, items: Iterable[TextItem], tick_s: float = 1.0) -> Generator[Result | None, None, None]:
        """Results in the order they are ready; None every `tick_s` seconds without one."""
        yield from in_threads(self._batches(items), self._forward, self._forwards, tick_s)

    def _batches(
        self, items: Iterable[TextItem]
    ) -> Generator[Result | tuple[str, tuple[int, int], list[_Entry]], None, None]:
        """Full batches as they fill, then what is left; and the texts that have no token."""
        orders = itertools.count()
        source = iter(items)
        while chunk := list(itertools.islice(source, _TOKENISED_AT_ONCE)):
            order = dict(zip((item.key for item in chunk), orders, strict=False))
            for name, extractor in self._extractors.items():
                mine = [item for item in chunk if name in item.features]
                self.decoded += len(mine)
                for item, tokens in zip(mine, extractor.tokens([item.text for item in mine]), strict=True):
                    if isinstance(tokens, InputFault):
                        yield Result(item, name, tokens, order[item.key])
                        continue
                    shape = extractor.shape(len(tokens))
                    pool = self._pools.setdefault((name, shape), [])
                    pool.append(_Entry(item, tokens, order[item.key]))
                    if len(pool) == shape[0]:
                        yield name, shape, self._pools.pop((name, shape))
        for (name, shape), left in self._pools.items():
            yield name, shape, left
        self._pools = {}

    def _forward(self, name: str, shape: tuple[int, int], members: list[_Entry]) -> list[Result]:
        extractor = self._extractors[name]
        units = np.full(shape, -1, np.int32)
        for row, member in enumerate(members):
            units[row, : len(member.tokens)] = member.tokens
        units[len(members) :] = units[0]  # a constant shape: the filling is dropped
        outputs = extractor(units)
        found = []
        for row, member in enumerate(members):
            own = extractor.rows({output: values[row] for output, values in outputs.items()}, len(member.tokens))
            found.append(Result(member.item, name, checked(member.item.key, own), member.order))
        return found
