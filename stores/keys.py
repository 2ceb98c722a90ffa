"""Content keys: what an item *is*, whatever its name and place.

BLAKE2b-256 of the bytes of a file, of the folded form of a text, of a file's key and a span of seconds in it, of the
numbers of a pose sequence and what they are of, or of a name where there is nothing else.
Moving or renaming changes nothing; twins (same bytes, two names) have one key.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEY_BYTES = 32
DIGEST_BYTES = 16
_READ_BYTES = 1 << 20


def stream_key(stream: BinaryIO) -> bytes:
    """Key of everything `stream` still holds: 32 bytes. Reads in pieces of 1 MiB, so memory is flat."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    while piece := stream.read(_READ_BYTES):
        digest.update(piece)
    return digest.digest()


def text_key(text: str) -> bytes:
    """Key of a text in Unicode NFC with runs of white space folded to one blank: 32 bytes.

    >>> text_key("bend  knees\\n") == text_key("bend knees")
    True
    """
    return hashlib.blake2b(folded(text).encode(), digest_size=KEY_BYTES).digest()


def folded(text: str) -> str:
    """A text as its key sees it: Unicode NFC, runs of white space one blank, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def key_array(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """(rows, 32) uint8 of a column of keys."""
    flat = pc.cast(column, pa.binary(KEY_BYTES))
    chunks = flat.chunks if isinstance(flat, pa.ChunkedArray) else [flat]
    parts = [
        np.frombuffer(c.buffers()[1], np.uint8).reshape(-1, KEY_BYTES)[c.offset : c.offset + len(c)]
        for c in chunks
        if len(c)
    ]
    return np.concatenate([np.empty((0, KEY_BYTES), np.uint8), *parts])


def keys_of(keys: Iterable[bytes]) -> np.ndarray:
    """(n, 32) uint8 of single keys."""
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)


def key_words(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two 64-bit words of keys (rows, 32): they join twice as fast, and 128 bits do not collide."""
    words = np.ascontiguousarray(keys[:, :16]).view(np.int64).reshape(-1, 2)
    return np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])


def span_key(key: bytes, start_s: float, end_s: float) -> bytes:
    """Key of the part of a file from `start_s` to `end_s` seconds: an untrimmed video holds many items."""
    return hashlib.blake2b(f"{key.hex()}:{start_s:.3f}:{end_s:.3f}".encode(), digest_size=KEY_BYTES).digest()


def id_key(dataset: str, video_id: str) -> bytes:
    """Key of a video of which nothing is there but its name, as of released features: 32 bytes."""
    digest = hashlib.blake2b(f"{dataset}:{video_id}".encode(), digest_size=KEY_BYTES, person=b"ids")
    return digest.digest()


def pose_key(layout: str, numbers: bytes, kind: str = "") -> bytes:
    """Key of a pose sequence: of the bytes of its file or of its array, whose type and shape `kind` says: 32 bytes.

    The layout of its joints is part of it, because files of arrays do not say it.
    """
    digest = hashlib.blake2b(f"{layout}:{kind}:".encode(), digest_size=KEY_BYTES, person=b"poses")
    digest.update(numbers)
    return digest.digest()


def rows_digest(*rows: bytes | memoryview) -> bytes:
    """Digest of an item's row bytes, output by output in the order of their names: 16 bytes."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in rows:
        digest.update(part)
    return digest.digest()


def joined_digest(learned: str, judged: str, kept: Sequence[str]) -> str:
    """The digest of the rows of two data sets, of the classes of the first those that are kept."""
    return rows_digest(learned.encode(), judged.encode(), "\n".join(kept).encode()).hex()
