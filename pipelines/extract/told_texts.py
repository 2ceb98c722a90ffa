"""Texts as items: of a set, or of the captions that stand for a data set's videos."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from extractors.base import Extractor
from pipelines.errors import UsageError
from pipelines.extract.items import Rows, TextItem, lacking, of_keys, rows_of
from pipelines.extract.settings import ExtractConfig
from stores.captions import Captions
from stores.keys import key_array
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import KINDS as TEXT_KINDS
from stores.texts import Texts

_OF_TEXTS = ["key", "text", "source", "line"]


class SetTexts:
    """Texts of a set, of all kinds of text or of those the configuration names."""

    def has(self, config: ExtractConfig, root: Root) -> bool:
        """As `Source.has`: texts that nobody has stand for no data set."""
        return True

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`; UsageError for a kind of text that there is not."""
        if strange := sorted(set(config.kinds) - set(TEXT_KINDS)):
            raise UsageError(f"A text is of the kind {', '.join(TEXT_KINDS)}, got {', '.join(strange)}.")
        table = Texts(root, config.items).read(["key", "time_ns"], config.kinds)
        return Rows(key_array(table["key"]), np.arange(table.num_rows), table["time_ns"])

    def refuse(self, asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
        """As `Source.refuse`: any text can be read."""

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with the texts."""
        texts = Texts(root, config.items)
        if not len(numbers):
            return texts.read(["key"], config.kinds).slice(0, 0)
        return texts.read(_OF_TEXTS, config.kinds).take(pa.array(numbers))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[TextItem]:
        """As `Source.items`."""
        return (_text(row, names) for row in rows_of(missing))

    def find(self, keys: set[bytes], root: Root) -> dict[bytes, TextItem]:
        """As `Source.find`."""
        tables = (Texts(root, each).read(_OF_TEXTS) for each in Texts.sets(root))
        return {row["key"]: _text(row, ()) for row in of_keys(keys, tables)}


class CaptionTexts:
    """Texts of the captions of a data set: each is encoded once, in whatever groups it stands."""

    def has(self, config: ExtractConfig, root: Root) -> bool:
        """As `Source.has`: of a data set that has captions, where no kind of text is asked for."""
        return not config.kinds and Captions(root).exist(config.dataset)

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`."""
        table = Captions(root).read(config.dataset, ["key"])
        seen = int(Manifest(root).read(config.dataset, ["seen_ns"])["seen_ns"].to_numpy().max())
        times = pa.chunked_array([pa.array(np.full(table.num_rows, seen, np.int64))])
        return Rows(key_array(table["key"]), np.arange(table.num_rows), times)

    def refuse(self, asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
        """As `Source.refuse`: any text can be read."""

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with the texts."""
        return Captions(root).read(config.dataset, _OF_TEXTS).take(pa.array(numbers))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[TextItem]:
        """As `Source.items`."""
        return (_text(row, names) for row in rows_of(missing))

    def find(self, keys: set[bytes], root: Root) -> dict[bytes, TextItem]:
        """As `Source.find`."""
        datasets = [each for each in Manifest(root).datasets() if Captions(root).exist(each)]
        tables = (Captions(root).read(each, _OF_TEXTS) for each in datasets)
        return {row["key"]: _text(row, ()) for row in of_keys(keys, tables)}


def _text(row: dict[str, Any], names: Sequence[str]) -> TextItem:
    return TextItem(row["key"], row["text"], f"{row['source']}:{row['line']}", lacking(row, names))


SET_TEXTS, CAPTIONS = SetTexts(), CaptionTexts()
