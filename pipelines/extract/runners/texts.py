"""Reading texts: many at once to tokens, each one unit, padded to a length its extractor names.

A batch is full of texts of about one length, whatever order they came in, so little of it is padding.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from extractors.base import Extractor, TextExtractor
from extractors.errors import InputFault
from pipelines.extract.items import TextItem
from pipelines.extract.runners.base import Outcome, Runner, Units, checked


def runner(extractors: Mapping[str, Extractor], device: str, forwards: int, decoders: int) -> Runner:
    """What runs texts through loaded extractors; one thread reads them."""
    texts = {name: each for name, each in extractors.items() if isinstance(each, TextExtractor)}
    return Runner(texts, TextTokens(texts), forwards, 1)


class TextTokens:
    """Reads texts; for one thread.

    Parameters
    ----------
    extractors : mapping of feature name to a loaded TextExtractor
    """

    chunk = 4096

    def __init__(self, extractors: Mapping[str, TextExtractor]) -> None:
        self._extractors = extractors
        self.opened = 0  #: texts tokenised so far, each once a feature

    def read(self, items: Sequence[TextItem]) -> Iterator[dict[str, Units | Outcome]]:
        """As `Reading.read`."""
        found: list[dict[str, Units | Outcome]] = [{} for _ in items]
        for name, extractor in self._extractors.items():
            own = [number for number, item in enumerate(items) if name in item.features]
            self.opened += len(own)
            for number, tokens in zip(own, extractor.tokens([items[k].text for k in own]), strict=True):
                found[number][name] = _units(items[number].key, extractor, tokens)
        return iter(found)

    def stop(self) -> None:
        """As `Reading.stop`: what is read at once is read to its end."""


def _units(key: bytes, extractor: TextExtractor, tokens: np.ndarray | InputFault) -> Units | Outcome:
    if isinstance(tokens, InputFault):
        return tokens
    batch, length = extractor.shape(len(tokens))
    padded = np.full(length, -1, np.int32)
    padded[: len(tokens)] = tokens
    return Units((padded,), batch, functools.partial(_rows, key, extractor, len(tokens)))


def _rows(key: bytes, extractor: TextExtractor, length: int, outputs: dict[str, np.ndarray]) -> Outcome:
    return checked(key, extractor.rows({name: values[0] for name, values in outputs.items()}, length))
