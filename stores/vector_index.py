"""Nearest rows of a feature set by cosine: a FAISS index an output (or what is made of several), appended to.

    indexes/NAME/OUTPUT/index.json           what it is as far as: snapshot, items, rows; its lists, its parts
    indexes/NAME/OUTPUT/lists.faiss          what the lists are centred on, learned once
    indexes/NAME/OUTPUT/part-0003-....faiss  rows 3 * 2^20 and on, at most 2^20 of them; the number is the row behind

    few rows     (up to 65,536)  one part, exact (`IndexFlatIP` over unit rows)
    many         inverted lists over spherical k-means, a byte a number (`IndexIVFScalarQuantizer`, SQ8)

The number of a vector is that of its stored row. Rows that came since are encoded and added to the last part; full
parts are never written again. An index is made from nothing where its few rows became many, where rows it knows were
rewritten (`zsar verify --repair`), and where its set was made anew. Parts with lists are mapped from the disk: a search
reads those lists it probes, and memory holds what was read of late, at most a byte a number and 8 bytes a row.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stores.errors import Damaged, StoreError, WriteFailed
from stores.features import FeatureSet
from stores.gpu import flat_on
from stores.keys import rows_digest, stream_key
from stores.root import Root
from stores.vectors import OutputVectors, Vectors

_FOLDER = "indexes"
_ABOUT, _LISTS = "index.json", "lists.faiss"
_FORMAT = 1
EXACT_ROWS = 1 << 16  #: up to so many rows are searched exactly
_PART_ROWS = 1 << 20
_BLOCK_ROWS = 1 << 14  # read at a time
_POINTS_A_LIST = 40  # that lists are learned from
_MOST_LISTS = 8192
_ITERATIONS = 8
_PROBED = 64  # lists that are searched
_DEVIATIONS = 8  # of a rounding error, beyond which two cosines are told apart
_TRIES = 3


@dataclasses.dataclass(frozen=True)
class About:
    """What an index says of itself.

    Attributes
    ----------
    snapshot : of the feature set that it is as far as
    items, rows : how many of the set it knows
    digest : of these items' digests
    lists : inverted lists; 0 of an exact index
    parts : names of their files
    exact : digest of the file of an exact index, which gives its cosines as they are; "" of one of before, and of
        lists, whose candidates are compared by their stored rows
    """

    snapshot: str = ""
    items: int = 0
    rows: int = 0
    digest: str = ""
    lists: int = 0
    parts: tuple[str, ...] = ()
    format: int = _FORMAT
    exact: str = ""


@dataclasses.dataclass(frozen=True)
class Among:
    """Rows of an index that may be found, made ready once for many searches (`VectorIndex.among`).

    Attributes
    ----------
    bits : (rows / 8,) uint8
    count : how many may be
    """

    bits: np.ndarray
    count: int


class VectorIndex:
    """The index of one output of a feature set, brought up to date when it is opened.

    Where it cannot be written (a cache that may only be read), or is not to be, what came since is in memory.

    Parameters
    ----------
    root : Root
    feature_set : FeatureSet
    compared : an output, or vectors made of several
    advance : is told how many rows are in the index of how many there are, while some are added
    keep : whether what was added is written
    device : that lists are learned and rows are added with: `auto`, `cpu`, `cuda` or `cuda:N`; searches are the CPU's

    Attributes
    ----------
    about : About
    added : rows that were added when it was opened
    said : why a GPU that was asked for was not used; empty where none was, or none was needed

    Raises
    ------
    StoreError
        The output holds no vectors, the index is damaged, or FAISS is not installed.
    """

    def __init__(
        self,
        root: Root,
        feature_set: FeatureSet,
        compared: str | Vectors = "features",
        advance: Callable[[int, int], None] = lambda done, total: None,
        keep: bool = True,
        device: str = "auto",
    ) -> None:
        self._vectors = OutputVectors(feature_set, compared) if isinstance(compared, str) else compared
        self._root, self._set, self._advance = root, feature_set, advance
        self._keeps, self._device = keep, device
        self._folder = folder(feature_set.name, self._vectors.name)
        self._unwritten: dict[str, Any] = {}
        self.about, self.added, self.said = self._told(), 0, ""
        try:
            self._parts = self._made_ready()
        except (RuntimeError, OSError, MemoryError, Damaged):  # it can be made anew of the rows, and so it is
            self.about = About()
            self._parts = self._made_ready(About())

    def _made_ready(self, known: About | None = None) -> list[Any]:
        """The parts to be searched, with all rows; `known` is taken for known, where that is not what is told."""
        if self.about.snapshot != self._set.snapshot:
            try:
                with self._root.lock(f"index-{self._set.name}") if self._keeps else contextlib.nullcontext():
                    self._bring_up_to_date(known)
            except WriteFailed:
                self._keeps = False
                self._bring_up_to_date(known)
        return self._opened()

    def __len__(self) -> int:
        return self.about.rows

    def among(self, mask: np.ndarray) -> Among | None:
        """Rows that may be found, by a mask (rows,) bool; None where all may. Rows beyond the mask may not."""
        own = np.zeros(self.about.rows, bool)
        own[: len(mask)] = mask[: len(own)]
        count = int(np.count_nonzero(own))
        return Among(np.packbits(own, bitorder="little"), count) if count < len(own) else None

    def doubt(self, query: np.ndarray) -> float:
        """How far apart two cosines of `search` must be for their order to be certain; 0 of an exact index.

        Each of a row's numbers is rounded to a step s_d, an error even within it: that of its cosine with a unit query
        q has the variance sum q_d^2 s_d^2 / 12. (Numbers beyond those that the steps were learned from err by more.)
        """
        if not self.about.lists:
            return 0.0
        faiss = _faiss()
        _, ranges = np.split(faiss.vector_to_array(faiss.downcast_index(self._parts[0]).sq.trained), 2)
        steps = unit(np.asarray(query, np.float32).reshape(1, -1))[0] * ranges / 255
        return _DEVIATIONS * math.sqrt(float(steps @ steps) / 12)

    def search(self, queries: np.ndarray, k: int, among: Among | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k stored rows nearest to each query, best first.

        Parameters
        ----------
        queries : (q, D), of any length
        k : int
        among : Among, optional
            Rows that may be found; all, if not given.

        Returns
        -------
        scores : (q, k) float32, cosines; -inf where there are not so many rows
        rows : (q, k) int64, -1 there
        """
        queries = unit(np.asarray(queries, np.float32).reshape(len(queries), -1))
        if queries.shape[1] != self._vectors.width:
            raise StoreError(
                f"A query has {queries.shape[1]} numbers, rows of {self._set.name} have {self._vectors.width}."
            )
        if not (among.count if among else self.about.rows):
            return np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        faiss = _faiss()
        with _threads(faiss, len(queries)):
            return self._search(queries, k, among)

    def _search(self, queries: np.ndarray, k: int, among: Among | None) -> tuple[np.ndarray, np.ndarray]:
        faiss = _faiss()
        chosen = {"sel": faiss.IDSelectorBitmap(among.bits)} if among else {}
        if not self.about.lists:
            return _without_none(*self._parts[0].search(queries, k, params=faiss.SearchParameters(**chosen)))
        if among:  # as many of the rows that may be found are looked at as of all
            probed = min(self.about.lists, math.ceil(_PROBED * self.about.rows / among.count))
            settings = faiss.SearchParametersIVF(nprobe=probed, **chosen)
            found = [part.search(queries, k, params=settings) for part in self._parts]
        else:
            found = self._probe(queries, k, min(self.about.lists, _PROBED))
        scores, rows = _without_none(*(np.concatenate(each, 1) for each in zip(*found, strict=True)))
        order = np.argsort(-scores, 1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)

    def _probe(self, queries: np.ndarray, k: int, probed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """What each part finds; which lists are near is asked once for all of them."""
        near, lists = self._parts[0].quantizer.search(queries, probed)
        for part in self._parts:
            part.nprobe = probed
        return [part.search_preassigned(queries, k, lists, near) for part in self._parts]

    # -- keeping it ---------------------------------------------------------------------------------------------------

    def _bring_up_to_date(self, known: About | None = None) -> None:
        snapshot = self._set.snapshot
        digests = np.asarray(self._set.array("digest")[:])
        rows = int(self._set.array("offsets")[len(digests)])
        before = self._told()
        known = known or before
        if known.items > len(digests) or known.digest != _digest(digests[: known.items]):
            known = About()  # rows that it knows are others now
        self._vectors.ready(known.rows, rows, self._advance)
        gpu = None
        if rows > max(EXACT_ROWS, known.rows):
            gpu, self.said = flat_on(self._device, self._vectors.width, _faiss())
        if not known.lists and rows > EXACT_ROWS:
            trained = self._trained(rows, gpu)
            self._write(_LISTS, trained)
            known = About(lists=trained.nlist)
        self.added = rows - known.rows
        parts = self._grown(known, rows, gpu) if self.added else known.parts
        self.about = About(snapshot, len(digests), rows, _digest(digests), known.lists, parts)
        if self._keeps and not self._unwritten:
            if not known.lists:
                self.about = dataclasses.replace(self.about, exact=self._digest_of(parts))
            self._root.write_json(dataclasses.asdict(self.about), self._folder, _ABOUT)
            for name in set(before.parts) - set(parts):
                self._root.remove(self._folder, name)

    def _grown(self, known: About, rows: int, gpu: Any) -> tuple[str, ...]:
        """The parts with all rows; those that were full stay as they are."""
        names, at = list(known.parts), known.rows
        room = _PART_ROWS if known.lists else rows
        part = self._read(names.pop(), to_grow=True) if at % room else self._empty(known.lists)
        if gpu is not None:
            from faiss.contrib.ivf_tools import add_preassigned

            gpu.reset()
            gpu.add(part.quantizer.reconstruct_n(0, known.lists))
        for block in self._blocks(at, rows):
            self._advance(at, rows)
            while len(block):
                fits = block[: room - at % room]
                if gpu is not None:
                    add_preassigned(part, fits, gpu.search(fits, 1)[1][:, 0], np.arange(at, at + len(fits)))
                elif known.lists:
                    part.add_with_ids(fits, np.arange(at, at + len(fits)))
                else:
                    part.add(fits)
                at, block = at + len(fits), block[len(fits) :]
                if at % room == 0 or at == rows:
                    names.append(f"part-{(at - 1) // room:04d}-{at:010d}.faiss")
                    self._write(names[-1], part)
                    part = self._empty(known.lists) if at < rows else None
        self._advance(rows, rows)
        return tuple(names)

    def _empty(self, lists: int) -> Any:
        return self._read(_LISTS, to_grow=True) if lists else _faiss().IndexFlatIP(self._vectors.width)

    def _trained(self, rows: int, gpu: Any) -> Any:
        """An index without rows, its lists learned from rows drawn evenly from all."""
        faiss = _faiss()
        lists = min(_MOST_LISTS, 1 << round(math.log2(4 * math.sqrt(rows))), max(1, rows // 8))
        kind = (faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(self._vectors.width), self._vectors.width, lists, *kind)
        index.cp.niter, index.cp.spherical, index.cp.seed = _ITERATIONS, True, 0
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _POINTS_A_LIST
        step = max(1, rows // (lists * _POINTS_A_LIST))
        index.clustering_index = gpu
        index.train(np.concatenate([block[::step] for block in self._blocks(0, rows)]))
        index.clustering_index = None
        return index

    def _blocks(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Unit rows (n, D) float32, some at a time; what is not finite is nought, which is near to nothing."""
        for at in range(start - start % _BLOCK_ROWS, stop, _BLOCK_ROWS):
            yield unit(
                np.nan_to_num(self._vectors.span(max(at, start), min(at + _BLOCK_ROWS, stop)), posinf=0, neginf=0)
            )

    # -- files --------------------------------------------------------------------------------------------------------

    def _opened(self) -> list[Any]:
        """The parts to be searched; somebody else may have grown the last one since it was named."""
        why: Exception | None = None
        for _ in range(_TRIES):
            try:
                if self.about.exact and not self._unwritten and self.about.exact != self._digest_of(self.about.parts):
                    raise OSError("it is not what was written")
                return [self._read(name) for name in self.about.parts]
            except (RuntimeError, OSError) as error:
                why, self.about = error, self._told()
        raise Damaged(
            f"The index of {self._set.name} cannot be read ({str(why).splitlines()[0][-120:]}). "
            f"Remove {self._folder} in {self._root.url}; the next search makes it anew."
        ) from why

    def _told(self) -> About:
        try:
            told = self._root.read_json(self._folder, _ABOUT, mend="")
            return About(**told | {"parts": tuple(told["parts"])}) if told.get("format") == _FORMAT else About()
        except (FileNotFoundError, Damaged, KeyError, TypeError):  # none yet, or none that can be used
            return About()

    def _digest_of(self, parts: tuple[str, ...]) -> str:
        if not parts:
            return ""
        with self._root.at_hand(self._folder, parts[0]) as path, open(path, "rb") as file:
            return stream_key(file).hex()

    def _read(self, name: str, to_grow: bool = False) -> Any:
        """A file's index; one to be searched is mapped where it has lists, and one to grow is a copy in memory."""
        faiss = _faiss()
        if name in self._unwritten:
            return faiss.clone_index(self._unwritten[name]) if to_grow else self._unwritten[name]
        if self._root.is_local:
            mapped = not to_grow and bool(self.about.lists)
            index = faiss.read_index(self._root.path(self._folder, name), faiss.IO_FLAG_MMAP if mapped else 0)
            if mapped:  # else 32 threads a search read all of the lists it probes, of which few rows may be found
                faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
            return index
        return faiss.deserialize_index(np.frombuffer(self._root.read_bytes(self._folder, name), np.uint8))

    def _write(self, name: str, index: Any) -> None:
        """Write a file; where that cannot be, keep its index."""
        if not self._keeps:
            self._unwritten[name] = index
            return
        try:
            with self._root.new_file(self._folder, name) as path:
                try:
                    _faiss().write_index(index, str(path))
                except RuntimeError as error:
                    raise OSError(str(error)) from error
        except WriteFailed:
            self._unwritten[name] = index


def folder(name: str, compared: str) -> str:
    """Where the index of a feature set lies, below the root."""
    return f"{_FOLDER}/{name}/{compared}"


def forget(root: Root, name: str) -> None:
    """Remove the indexes of a feature set, where it has any."""
    if root.exists(_FOLDER, name):
        root.remove(_FOLDER, name)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, D) float32 of length 1; nought stays nought."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths > 0, lengths, 1), np.float32)


def _without_none(scores: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(rows < 0, -np.inf, scores).astype(np.float32), rows


def _digest(digests: np.ndarray) -> str:
    return rows_digest(np.ascontiguousarray(digests).data.cast("B")).hex() if len(digests) else ""


@contextlib.contextmanager
def _threads(faiss: Any, queries: int) -> Iterator[None]:
    """One thread for one query: with more, each search waits until all of them have had a core."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(before, queries))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:  # two builds install the same folder, so neither is a dependency
        raise StoreError("FAISS is not installed. Run `pip install -e '.[cpu]'`, or '.[gpu]' on a GPU.") from error
    return faiss
