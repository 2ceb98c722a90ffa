"""The captions of a data set's videos: `captions/DATASET.parquet`, a row a caption, a group a video, in their order.

    group   content key of the group: of its captions' keys, in their order
    place   number of the caption in its group, from 0: the segment of the video it stands for
    key     content key of the text; it is encoded once, whatever videos or classes it stands for
    text, source, line

A group is an item of the data set's manifest (kind `caption_group`); its features are those of its texts.

Captions are gathered in whatever order they come. Texts wait in files, dealt out by the beginnings of their groups'
keys; memory holds one such file, and of each caption its key and place.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stores.errors import WriteFailed
from stores.keys import KEY_BYTES, key_array
from stores.root import Root, of_table
from stores.scratch import scratch
from stores.selections import Selections

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
ARRIVING = pa.schema([("video", pa.int64()), *(SCHEMA.field(name) for name in SCHEMA.names[1:])])
_FOLDER = "captions"
_PILE_BYTES = 64 << 20  # of texts that are sorted at once
_MOST_PILES = 256  # files open at once
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4")


class Captions:
    """The captions of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def exist(self, dataset: str) -> bool:
        """Whether the data set has any."""
        return bool(dataset) and self._root.exists(_FOLDER, f"{self._name(dataset)}.parquet")

    def _name(self, dataset: str) -> str:
        """Under which they lie: of a selection with its version."""
        return Selections(self._root).full(dataset)

    def read(self, dataset: str, columns: list[str] | None = None) -> pa.Table:
        """The captions of a data set, sorted by group and place; none where it has none."""
        if not self.exist(dataset):
            return SCHEMA.empty_table().select(columns or SCHEMA.names)
        return self._root.read_table(_FOLDER, f"{self._name(dataset)}.parquet", columns=columns)

    def copy(self, datasets: Sequence[str], to: str, groups: pa.Array) -> None:
        """Give a selection the captions that some groups have in other data sets; none where they have none."""
        own = [table.filter(pc.is_in(table["group"], groups)) for table in map(self.read, datasets)]
        if any(table.num_rows for table in own):
            table = pa.concat_tables(own).sort_by([("group", "ascending"), ("place", "ascending")])
            self._root.write_table(table, _FOLDER, f"{to}.parquet")

    @contextlib.contextmanager
    def gathering(self) -> Iterator["Gathering"]:
        """Gather captions in whatever order they come."""
        with scratch("captions") as folder, contextlib.ExitStack() as stack:
            yield Gathering(folder, stack)

    def write(self, dataset: str, gathered: "Gathering", groups: pa.Array) -> None:
        """Replace the captions of a data set at once.

        Parameters
        ----------
        dataset : str
        gathered : Gathering
            Captions that are new, or stand somewhere else now.
        groups : (videos,) keys
            Of all groups the data set has now; those that were not gathered keep the captions they had.

        Raises
        ------
        WriteFailed
            Nothing was changed.
        """
        own = pa.array(gathered.groups().values(), pa.binary(KEY_BYTES))
        kept = groups.filter(pc.invert(pc.is_in(groups, own)))
        pieces = self._pieces(dataset) if self.exist(dataset) and len(kept) else ()
        there = (piece.filter(pc.is_in(piece["group"], kept)) for piece in pieces)
        new_file = self._root.new_file(_FOLDER, f"{dataset}.parquet")
        with new_file as path, pq.ParquetWriter(path, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            for rows in gathered.sorted(there):
                writer.write_table(rows)

    def _pieces(self, dataset: str) -> Iterator[pa.Table]:
        name = f"{dataset}.parquet"
        with (
            of_table(f"{_FOLDER}/{name}", self._root.url),
            self._root.at_hand(_FOLDER, name) as path,
            pq.ParquetFile(path, page_checksum_verification=True) as file,
        ):
            for number in range(file.num_row_groups):  # `iter_batches` reads far ahead
                yield file.read_row_group(number, use_threads=False)


class Gathering:
    """Captions on their way; of twins, which share a group, those of the video with the lowest number are kept.

    Parameters
    ----------
    folder : where texts wait
    stack : closes the files
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._told = stack.enter_context(pa.ipc.new_stream(str(folder / "told"), ARRIVING, options=_PACKED))
        self._bytes = 0
        self._places: list[np.ndarray] = []  # (rows, 2): video and place
        self._keys: list[np.ndarray] = []
        self._groups: dict[int, bytes] = {}

    def add(self, rows: pa.Table) -> None:
        """Add captions, rows of ARRIVING.

        Raises
        ------
        WriteFailed
            The disk of temporary files is full.
        """
        try:
            self._told.write_table(rows)
        except OSError as error:
            mend = "Give $TMPDIR a folder with more room and run the same command again"
            raise WriteFailed(
                f"Captions cannot wait in {self._folder}: {error}. Nothing was changed. {mend}."
            ) from error
        self._bytes += rows.nbytes
        self._places.append(np.stack([rows["video"].to_numpy(), rows["place"].to_numpy()], 1).astype(np.int32))
        self._keys.append(key_array(rows["key"]))

    def groups(self) -> dict[int, bytes]:
        """The key of each video's group, by the videos' numbers; to be asked for when all captions are in."""
        if not self._groups and self._keys:
            places = np.concatenate(self._places)
            order = np.lexsort((places[:, 1], places[:, 0]))
            keys = np.concatenate(self._keys)
            self._places, self._keys = [], []
            videos = places[order, 0]
            starts = np.flatnonzero(np.diff(videos, prepend=videos[0] - 1))
            for start, end in zip(starts, [*starts[1:], len(videos)], strict=True):
                self._groups[int(videos[start])] = group_key([keys[order[start:end]].tobytes()])
        return self._groups

    def sorted(self, there: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """These captions and others (tables of SCHEMA), sorted by group and place."""
        self._told.close()
        piles = _Piles(self._folder, min(1 + self._bytes // _PILE_BYTES, _MOST_PILES), self._stack)
        group_of = self.groups()
        first = {key: number for number, key in reversed(group_of.items())}
        own = np.zeros(max(group_of, default=-1) + 1, bool)
        own[list(first.values())] = True
        with pa.ipc.open_stream(pa.OSFile(str(self._folder / "told"))) as told:
            for batch in told:
                rows = pa.Table.from_batches([batch]).filter(pa.array(own[batch["video"].to_numpy()]))
                groups = pa.array([group_of[number] for number in rows["video"].to_pylist()], pa.binary(KEY_BYTES))
                piles.add(rows.append_column("group", groups).select(SCHEMA.names).cast(SCHEMA))
        for rows in there:
            piles.add(rows)
        yield from piles


class _Piles:
    """Rows dealt out to files by the beginning of their group's key, so that one file after the other is in order."""

    def __init__(self, folder: Path, count: int, stack: contextlib.ExitStack) -> None:
        self._paths = [str(folder / f"pile{number}") for number in range(count)]
        self._files = [stack.enter_context(pa.ipc.new_stream(path, SCHEMA, options=_PACKED)) for path in self._paths]

    def add(self, rows: pa.Table) -> None:
        keys = key_array(rows["group"])
        pile = (keys[:, 0].astype(np.int64) * 256 + keys[:, 1]) * len(self._files) >> 16
        for number in np.unique(pile):
            self._files[number].write_table(rows.take(np.flatnonzero(pile == number)))

    def __iter__(self) -> Iterator[pa.Table]:
        for path, file in zip(self._paths, self._files, strict=True):
            file.close()
            with pa.ipc.open_stream(pa.OSFile(path)) as stream:
                rows = stream.read_all()
            yield rows.sort_by([("group", "ascending"), ("place", "ascending")])


def group_key(texts: Iterable[bytes]) -> bytes:
    """Content key of a group of texts, from their keys in their order."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES, person=b"caption_group")
    for key in texts:
        digest.update(key)
    return digest.digest()
