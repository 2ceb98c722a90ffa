"""Content keys: what an item *is*, whatever its name and place.

BLAKE2b-256 of the bytes of a file, of the folded form of a text, or of a file's key and a span of seconds in it.
Moving or renaming changes nothing; twins (same bytes, two names) have one key.
"""

import hashlib
import unicodedata
from typing import BinaryIO

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
    folded = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.blake2b(folded.encode(), digest_size=KEY_BYTES).digest()


def span_key(key: bytes, start_s: float, end_s: float) -> bytes:
    """Key of the part of a file from `start_s` to `end_s` seconds: an untrimmed video holds many items."""
    return hashlib.blake2b(f"{key.hex()}:{start_s:.3f}:{end_s:.3f}".encode(), digest_size=KEY_BYTES).digest()


def rows_digest(*rows: bytes) -> bytes:
    """Digest of an item's row bytes, output by output in the order of their names: 16 bytes."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in rows:
        digest.update(part)
    return digest.digest()
