"""A few rows of many: of an array without compression, read by their bytes and not by their chunks.

Zarr reads a whole chunk for a row of it; a chunk of 4,096 rows of 1,024 bytes is 4 MiB, of which a clip needs 80 KB.
"""

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import Any

import icechunk
import numpy as np
from zarr.abc.store import RangeByteRequest, Store
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import sync

from stores.errors import Damaged
from stores.features import FeatureSet


class Spans:
    """Spans of rows of one output; opened anew in each process.

    Parameters
    ----------
    feature_set : FeatureSet
    output : str
    """

    def __init__(self, feature_set: FeatureSet, output: str) -> None:
        self._set, self._output = feature_set, output
        self._array = feature_set.array(output)

    def read(self, spans: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """The rows (stop - start, ...) of each (start, stop), all asked for at once.

        Raises
        ------
        Damaged
            They cannot be read.
        """
        try:
            return self._read(spans)
        except icechunk.IcechunkError:  # of a snapshot that was opened long ago, the last chunk may be gone by now
            self._array = self._set.array(self._output)
        try:
            return self._read(spans)
        except icechunk.IcechunkError as error:
            raise self.damaged(str(error).strip().splitlines()[0]) from error

    def damaged(self, why: str) -> Damaged:
        """The error that rows cannot be what was written, with what to do."""
        name = self._set.name
        return Damaged(f"Rows of {name} are damaged: {why}. Run `zsar verify {name} --repair`, then go on.")

    def _read(self, spans: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        array = self._array
        step, inner, dtype = array.chunks[0], array.shape[1:], array.dtype
        width = math.prod(inner) * dtype.itemsize
        pieces = [list(_pieces(start, stop, step)) for start, stop in spans]
        asked = [
            (_name(array, chunk), RangeByteRequest(first * width, last * width))
            for each in pieces
            for chunk, first, last in each
        ]
        found = iter(sync(_all_of(array.store, asked)))
        read = []
        for each in pieces:
            rows = np.zeros((sum(last - first for _, first, last in each), *inner), dtype)
            flat, at = rows.reshape(-1).view(np.uint8), 0
            for _, first, last in each:
                size, part = (last - first) * width, next(found)
                if part is not None:  # a chunk of nothing but zeros is never written
                    if len(part) != size:
                        raise self.damaged("a chunk is cut short")
                    flat[at : at + size] = part.as_numpy_array().view(np.uint8)
                at += size
            read.append(rows)
        return read


async def _all_of(store: Store, asked: Sequence[tuple[str, RangeByteRequest]]) -> list[Buffer | None]:
    prototype = default_buffer_prototype()
    return await asyncio.gather(*(store.get(name, prototype, within) for name, within in asked))


def _pieces(start: int, stop: int, step: int) -> Iterator[tuple[int, int, int]]:
    """(chunk, first, last) of its rows, of each chunk that a span lies in."""
    for chunk in range(start // step, -(-stop // step)):
        yield chunk, max(start - chunk * step, 0), min(stop - chunk * step, step)


def _name(array: Any, chunk: int) -> str:
    key: str = array.metadata.encode_chunk_key((chunk, *(0,) * (array.ndim - 1)))
    return f"{array.path}/{key}"
