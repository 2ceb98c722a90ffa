"""Files of word vectors, read only where a word is asked for.

| format | recognised by | words are found by |
|---|---|---|
| word2vec binary (GoogleNews) | a first line `N D`, then a word and D float32 | an index |
| text: GloVe, fastText `.vec`, word2vec | a word and D numbers a line, after a first line `N D` or not | an index |
| array and table | NumPy's magic bytes; the words in a Parquet file beside it | the table |

The index is one scan of the file: 64 bits of a word's hash and the byte it stands at, sorted, 16 bytes a word. It is
kept in the local cache by path, size and time of the file, memory-mapped, and a hit is held against the word in the
file itself. So a file of millions of words costs one reading in all, and then only the pages of the words asked for.
A word that stands twice has its first vector.
"""

import abc
import functools
import hashlib
import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from extractors.errors import BadWeights, WeightsMissing
from extractors.weights import cache_dir
from untrusted import arrays
from untrusted.places import refuse_strange

_ENTRY = np.dtype([("hash", "<u8"), ("offset", "<u8")])
_NUMPY_MAGIC = b"\x93NUMPY"
_LONGEST_WORD = 1 << 12  # bytes; what is longer is no word but damage
_HEAD_BYTES = 1 << 16


class VectorFile(abc.ABC):
    """An open file of word vectors; `width` is D, `beside` a file of its own for the words, where there is one."""

    width: int
    beside: Path | None = None

    @abc.abstractmethod
    def find(self, words: list[str]) -> list[int]:
        """The number of each word in this file, -1 for one it does not hold."""

    @abc.abstractmethod
    def take(self, numbers: np.ndarray) -> np.ndarray:
        """Vectors (n, D) float32 of words by their numbers (n,)."""


def opened(path: Path) -> VectorFile:
    """A file of word vectors of any known format; only its start is read.

    Raises
    ------
    BadWeights
        Of no known format, or an array without its table of words.
    WeightsMissing
        The table is not there.
    """
    refuse_strange(path)
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_NUMPY_MAGIC):
        return _ArrayFile(path)
    first, newline, rest = head.partition(b"\n")
    announced = _header(first) if newline else None
    if announced is None:
        if newline and (width := len(first.split()) - 1) > 0 and _is_line(first, width):
            return _TextFile(path, width, None, 0)
        raise BadWeights(
            f"{path} is not a file of word vectors: known are word2vec's binary, text with a word and its numbers a "
            "line (GloVe, fastText .vec), and a NumPy array with its table of words. Give one of these, unpacked."
        )
    count, width = announced
    start = len(first) + 1
    if _is_line(rest.partition(b"\n")[0], width):
        return _TextFile(path, width, count, start)
    return _BinaryFile(path, width, count, start)


def _words_beside(path: Path) -> Path:
    """The words' table: `X_index.parquet`, else `X_50d_index.parquet`, of `X_50d_emb.npy`; `X.parquet` of `X.npy`."""
    if not path.stem.endswith("_emb"):
        return path.with_suffix(".parquet")
    stem = path.stem.removesuffix("_emb")
    every = path.with_name(f"{re.sub(r'_[0-9]+d$', '', stem)}_index.parquet")  # one table for arrays of many widths
    return every if every.is_file() else path.with_name(f"{stem}_index.parquet")


class _ArrayFile(VectorFile):
    """A (V, D) array and a Parquet table of its V words, in its first column of text."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        beside = _words_beside(path)
        if not beside.is_file():
            raise WeightsMissing(f"The words of {path} should stand in {beside}, which is not there.")
        try:
            self._array = arrays.mapped(path)
            table = pq.read_table(beside)
        except (ValueError, EOFError, OSError, pa.ArrowException) as error:
            raise BadWeights(f"{path} and {beside.name} cannot be read: {_first_line(error)}.") from error
        column = next((field.name for field in table.schema if field.type in (pa.string(), pa.large_string())), None)
        if column is None or self._array.shape[:1] != (table.num_rows,) or self._array.ndim != 2:
            raise BadWeights(
                f"{path} is an array of shape {self._array.shape} and {beside.name} has {table.num_rows:,} rows and "
                f"{'no' if column is None else 'a'} column of text: there must be a word a row."
            )
        self._words = table.column(column).combine_chunks().cast(pa.string())
        self.width, self.beside = int(self._array.shape[1]), beside

    def find(self, words: list[str]) -> list[int]:
        import pyarrow as pa
        import pyarrow.compute as pc

        asked = pa.array([word.encode("utf-8", "replace") for word in words], pa.binary()).cast(pa.string())
        found: list[int] = pc.fill_null(pc.index_in(asked, self._words), -1).to_pylist()
        return found

    def take(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(self._array[numbers], np.float32)


class _IndexedFile(VectorFile):
    """A file whose words are found by an index of hashes and offsets."""

    def __init__(self, path: Path, width: int, count: int | None, start: int) -> None:
        self.path, self.width, self.count, self.start = path, width, count, start

    @abc.abstractmethod
    def scan(self) -> Iterator[tuple[bytes, int]]:
        """Every word and the byte it starts at; BadWeights with the place where the file is damaged."""

    @abc.abstractmethod
    def word_at(self, offset: int) -> bytes:
        """The word that starts at a byte."""

    @abc.abstractmethod
    def vector_at(self, offset: int) -> np.ndarray:
        """The vector (D,) float32 of the word that starts at a byte."""

    @functools.cached_property
    def bytes_(self) -> mmap.mmap:
        """The file, memory-mapped."""
        with open(self.path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @functools.cached_property
    def index(self) -> np.ndarray:
        """(V,) of `_ENTRY`, sorted by hash, then by offset."""
        there = self.path.stat()
        about = f"{self.path.resolve()}\0{there.st_size}\0{there.st_mtime_ns}".encode()
        kept = cache_dir() / "word-indexes" / f"{hashlib.blake2b(about, digest_size=16).hexdigest()}.npy"
        try:
            return np.asarray(np.load(kept, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError):
            made = self._scanned()
            _keep(made, kept)
            return made

    def find(self, words: list[str]) -> list[int]:
        hashes = np.array([_hash(word.encode("utf-8", "replace")) for word in words], np.uint64)
        found = []
        for word, first in zip(words, np.searchsorted(self.index["hash"], hashes), strict=True):
            found.append(self._held(word.encode("utf-8", "replace"), int(first)))
        return found

    def take(self, numbers: np.ndarray) -> np.ndarray:
        vectors = [self.vector_at(int(self.index["offset"][number])) for number in numbers]
        return np.stack(vectors) if vectors else np.zeros((0, self.width), np.float32)

    def _held(self, word: bytes, number: int) -> int:
        """The number of the word among those of its hash."""
        wanted = _hash(word)
        while number < len(self.index) and int(self.index["hash"][number]) == wanted:
            if self.word_at(int(self.index["offset"][number])) == word:
                return number
            number += 1
        return -1

    def _scanned(self) -> np.ndarray:
        found = np.fromiter(((_hash(word), offset) for word, offset in self.scan()), _ENTRY)
        if self.count is not None and len(found) != self.count:
            raise BadWeights(
                f"{self.path} announces {self.count:,} words and holds {len(found):,}: it is cut short, or its first "
                "line is wrong. Fetch it again."
            )
        return np.sort(found, order=["hash", "offset"])


class _TextFile(_IndexedFile):
    """A word and D numbers a line, with blanks between them; a word may hold blanks (some of GloVe 840B do)."""

    def scan(self) -> Iterator[tuple[bytes, int]]:
        with open(self.path, "rb") as file:
            file.seek(self.start)
            offset = self.start
            for number, line in enumerate(file, 2 if self.start else 1):
                word, *values = line.rstrip(b" \r\n").rsplit(b" ", self.width)
                if len(values) != self.width or not word or _is_number(word.rpartition(b" ")[2], word):
                    fields = len(line.split())
                    raise BadWeights(
                        f"{self.path} line {number}: expected a word and {self.width} numbers, got {fields} fields. "
                        "The file is damaged or cut short: fetch it again."
                    )
                yield _utf8(word, f"{self.path} line {number}"), offset
                offset += len(line)

    def word_at(self, offset: int) -> bytes:
        return self._line(offset)[0]

    def vector_at(self, offset: int) -> np.ndarray:
        try:
            return np.array([float(value) for value in self._line(offset)[1:]], np.float32)
        except ValueError as error:
            raise BadWeights(f"{self.path} byte {offset:,}: {_first_line(error)}. Fetch the file again.") from error

    def _line(self, offset: int) -> list[bytes]:
        end = self.bytes_.find(b"\n", offset)
        line = self.bytes_[offset : end if end >= 0 else len(self.bytes_)]
        return line.rstrip(b" \r\n").rsplit(b" ", self.width)


class _BinaryFile(_IndexedFile):
    """word2vec's binary: a word, a blank, D float32 of the byte order of x86, and, from some writers, a newline."""

    def scan(self) -> Iterator[tuple[bytes, int]]:
        data, at, size = self.bytes_, self.start, len(self.bytes_)
        for number in range(self.count or 0):
            while at < size and data[at] == 0x0A:
                at += 1
            blank = data.find(b" ", at, at + _LONGEST_WORD)
            end = blank + 1 + 4 * self.width
            if blank < 0 or end > size:
                raise BadWeights(
                    f"{self.path} byte {at:,}: it announces {self.count:,} words of {self.width} numbers and word "
                    f"{number + 1:,} is not whole. The file is damaged or cut short: fetch it again."
                )
            yield _utf8(data[at:blank], f"{self.path} byte {at:,}"), at
            at = end
        if data[at:].strip(b"\n"):
            raise BadWeights(
                f"{self.path} byte {at:,}: more follows the {self.count:,} words it announces. Fetch it again."
            )

    def word_at(self, offset: int) -> bytes:
        return self.bytes_[offset : self.bytes_.find(b" ", offset)]

    def vector_at(self, offset: int) -> np.ndarray:
        return np.frombuffer(self.bytes_, "<f4", self.width, self.bytes_.find(b" ", offset) + 1).astype(np.float32)


class RandomVectors(VectorFile):
    """A random vector for every word, always the same for a seed: the control that knows no meaning."""

    def __init__(self, seed: int, width: int) -> None:
        self.seed, self.width = seed, width

    def find(self, words: list[str]) -> list[int]:
        """31 bits of each word's hash; every word is known."""
        return [_hash(word.encode("utf-8", "replace")) >> 33 for word in words]

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """As `VectorFile.take`."""
        drawn = [np.random.default_rng([self.seed, int(n)]).standard_normal(self.width) for n in numbers]
        return np.array(drawn, np.float32).reshape(-1, self.width)


def _header(line: bytes) -> tuple[int, int] | None:
    """N and D of a first line that announces them."""
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not int(parts[1]):
        return None
    return int(parts[0]), int(parts[1])


def _is_line(line: bytes, width: int) -> bool:
    """Whether a line is a word and this many numbers."""
    word, *values = line.rstrip(b" \r\n").rsplit(b" ", width)
    return bool(word) and len(values) == width and all(_is_number(value, b"") for value in values)


def _is_number(value: bytes, whole: bytes) -> bool:
    """Whether a field is a number; one that is the `whole` word is a word ("1984")."""
    if value == whole:
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _hash(word: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")


def _utf8(word: bytes, where: str) -> bytes:
    try:
        word.decode()
    except UnicodeDecodeError as error:
        raise BadWeights(
            f"{where}: the word {word[:40]!r} is not UTF-8. Fetch the file again, or recode it."
        ) from error
    return word


def _keep(index: np.ndarray, path: Path) -> None:
    """Write an index whole or not at all; a cache that cannot be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".partial", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                np.save(file, index)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError:
        return


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
