"""The captions of a data set's videos: `captions/DATASET.parquet`, a row a caption, a group a video, in their order.

    group   content key of the group: of its captions' keys, in their order
    place   number of the caption in its group, from 0: the segment of the video it stands for
    key     content key of the text; it is encoded once, whatever videos or classes it stands for
    text, source, line

A group is an item of the data set's manifest (kind `caption_group`); its features are those of its texts.
"""

import hashlib

import pyarrow as pa

from stores.keys import KEY_BYTES
from stores.root import Root

SCHEMA = pa.schema(
    [
        ("group", pa.binary(KEY_BYTES)),
        ("place", pa.int32()),
        ("key", pa.binary(KEY_BYTES)),
        ("text", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
    ]
)
_FOLDER = "captions"


class Captions:
    """The captions of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def exist(self, dataset: str) -> bool:
        """Whether the data set has any."""
        return bool(dataset) and self._root.exists(_FOLDER, f"{dataset}.parquet")

    def read(self, dataset: str, columns: list[str] | None = None) -> pa.Table:
        """The captions of a data set, sorted by group and place; none where it has none."""
        if not self.exist(dataset):
            return SCHEMA.empty_table().select(columns or SCHEMA.names)
        return self._root.read_table(_FOLDER, f"{dataset}.parquet", columns=columns)

    def write(self, dataset: str, table: pa.Table) -> None:
        """Replace the captions of a data set at once."""
        table = table.cast(SCHEMA).sort_by([("group", "ascending"), ("place", "ascending")])
        self._root.write_table(table, _FOLDER, f"{dataset}.parquet")


def group_key(texts: list[bytes]) -> bytes:
    """Content key of a group of texts, from their keys in their order."""
    return hashlib.blake2b(b"".join(texts), digest_size=KEY_BYTES, person=b"caption_group").digest()
