"""Texts that are longer than what an encoder reads of them: how many, so that whoever uses their vectors knows.

An encoder reads a text's first tokens (`max_length`, 128 by default) and says nothing of the rest. Class elaborations,
which join all definitions of a class, and the five glossed objects of a video are the longest.
"""

from collections.abc import Iterable, Mapping, Sequence

from extractors import options
from extractors.base import TextExtractor
from extractors.errors import ExtractorError


class Reader:
    """What an encoder reads of texts.

    Parameters
    ----------
    spec : name of the extractor, with its options
    weights : `NAME=PATH` pairs; those of other extractors are left aside
    """

    def __init__(self, spec: str, weights: Sequence[str] = ()) -> None:
        name = spec.partition(":")[0]
        given = dict(options.pair(pair) for pair in weights).get(name)
        extractor = options.asked(spec, given, "fp32")
        self._extractor = extractor if isinstance(extractor, TextExtractor) else None

    def cut(self, texts: Iterable[str]) -> list[bool]:
        """Of each text whether it is longer than what is read of it; false where the encoder's files are gone."""
        told = list(texts)
        try:
            return [False] * len(told) if self._extractor is None else self._extractor.cut(told)
        except ExtractorError:  # its vectors are in the store, and nothing else of it is needed
            return [False] * len(told)


def said(cut: Mapping[str, Sequence[int]], encoder: str) -> str:
    """One line of how many texts of each kind were cut; nothing where none was.

    Parameters
    ----------
    cut : kind of text to (those that were cut, all)
    encoder : that cut them

    Examples
    --------
    >>> said({"elaboration": (12, 101), "class": (0, 101)}, "minilm")
    'longer than minilm reads, and cut: 12 of 101 elaboration texts'
    """
    some = [f"{count} of {total} {kind} texts" for kind, (count, total) in cut.items() if count]
    return f"longer than {encoder} reads, and cut: {', '.join(some)}" if some else ""
