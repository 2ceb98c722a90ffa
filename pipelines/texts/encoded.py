"""The texts of a set's classes with their features: what heads, rankings and the lint read.

Takes  a set of texts, a feature set of texts (computed where it is missing)
Gives  `ClassTexts`: for each class its rows, and their features as one array; class vectors
"""

import dataclasses
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import extractors
from extractors.errors import WeightsMissing
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from stores.classes import Classes
from stores.failures import Failures
from stores.features import FeatureStore, positions
from stores.keys import key_array, rows_digest
from stores.padded import STATES, has_states, padded
from stores.root import Root
from stores.texts import Texts


@dataclasses.dataclass(frozen=True)
class ClassTexts:
    """Texts of a set with a feature each.

    Attributes
    ----------
    classes : K names, in the order of the class table
    feature : full name of the feature set
    keys : (T, 32) uint8, different texts that have a feature
    features : (T, A), a row a text; of an encoder's token states (T, L, D), NaN where a text has ended
    missing : texts that have none: those that failed, such as one without a word in the vocabulary
    rows : table of key, text, kind, class, part; a row a text that stands for a class
    """

    classes: tuple[str, ...]
    feature: str
    keys: np.ndarray
    features: np.ndarray
    missing: int
    rows: pa.Table

    @cached_property
    def at(self) -> np.ndarray:
        """(rows,) int64: where the text of each row of `rows` stands in `features`, -1 where it has none."""
        return positions(self.keys, key_array(self.rows["key"]))

    @cached_property
    def class_of(self) -> np.ndarray:
        """(rows,) int64: the class of each row of `rows`."""
        numbers = pc.index_in(self.rows["class"], pa.array(self.classes)).to_numpy()
        return np.asarray(numbers, np.int64)

    def of(self, number: int, kind: str) -> np.ndarray:
        """Numbers of the rows of one class and one kind that have a feature."""
        own = self._grouped(kind)[number]
        return np.asarray(own[self.at[own] >= 0])

    def vectors(self, kinds: tuple[str, ...]) -> np.ndarray:
        """(K, A) float32: a class's mean over the features of its texts of these kinds; NaN where it has none."""
        chosen = np.logical_or.reduce([self._is(kind) for kind in kinds]) & (self.at >= 0)
        sums = np.zeros((len(self.classes), self.features.shape[1]), np.float32)
        np.add.at(sums, self.class_of[chosen], self.features[self.at[chosen]].astype(np.float32))
        counts = np.bincount(self.class_of[chosen], minlength=len(self.classes))
        with np.errstate(invalid="ignore"):
            return np.asarray(sums / counts[:, None], np.float32)

    def said(self, rows: np.ndarray) -> list[str]:
        """The texts of some rows of `features`."""
        by_key = dict(zip(self.rows["key"].to_pylist(), self.rows["text"].to_pylist(), strict=True))
        return [by_key[self.keys[row].tobytes()] for row in rows]

    def digests(self, kind: str) -> list[bytes]:
        """A digest a class of the keys of its texts of a kind: it changes where these change, and only there."""
        keys = key_array(self.rows["key"])
        return [rows_digest(*sorted(key.tobytes() for key in keys[own])) for own in self._grouped(kind)]

    def _grouped(self, kind: str) -> list[np.ndarray]:
        """For each class the numbers of its rows of one kind."""
        if kind not in self._groups:
            chosen = np.flatnonzero(self._is(kind))
            order = chosen[np.argsort(self.class_of[chosen], kind="stable")]
            edges = np.searchsorted(self.class_of[order], np.arange(1, len(self.classes)))
            self._groups[kind] = np.split(order, edges)
        return self._groups[kind]

    @cached_property
    def _groups(self) -> dict[str, list[np.ndarray]]:
        return {}

    def _is(self, kind: str) -> np.ndarray:
        return np.asarray(pc.equal(self.rows["kind"], kind).to_numpy())


def read(name: str, spec: str, root: Root, kinds: tuple[str, ...], weights: tuple[str, ...] = ()) -> ClassTexts:
    """The texts of a set of these kinds with their features, which are computed where they are missing.

    Raises
    ------
    NotInStore
        No such set.
    UsageError
        An extractor of something else than texts.
    ExtractorError, StoreError
        As `extract` does.
    """
    if (kind := extractors.find(spec.partition(":")[0]).kind) != "text":
        raise UsageError(f"{spec} reads {kind} items; a set of texts needs an encoder or word vectors, such as minilm.")
    own = tuple(pair for pair in weights if pair.partition("=")[0] == spec.partition(":")[0])
    try:
        report = extract(ExtractConfig((spec,), weights=own, kinds=kinds, same_errors=10**9, set=name), root)
        full = report.features[0].name
    except WeightsMissing:
        full = _there(spec, name, kinds, root)
        if not full:
            raise
    rows = Texts(root, name).read(["key", "text", "kind", "class", "part"], kinds)
    feature_set = FeatureStore(root).find(full)
    stored = feature_set.keys()
    keys = key_array(rows["key"].unique())
    there = keys[positions(stored, keys) >= 0]
    values = padded(feature_set, there, STATES) if has_states(feature_set) else feature_set.load(there).values
    classes = tuple(Classes(root).read(name)["name"].to_pylist())
    return ClassTexts(classes, feature_set.name, there, values, len(keys) - len(there), rows)


def _there(spec: str, name: str, kinds: tuple[str, ...], root: Root) -> str:
    """The one feature set of an extractor whose weights were not given this time; empty where there is none, or more.

    Word vectors are a file of the user's own: where all texts went through it already, nothing needs the file again. A
    text that did not is no missing one: then the weights are asked for.
    """
    found = [full for full in FeatureStore(root).names() if full.partition("@")[0] == spec]
    if len(found) != 1:
        return ""
    feature_set = FeatureStore(root).find(found[0])
    keys = key_array(Texts(root, name).read(["key"], kinds)["key"].unique())
    lacking = {key.tobytes() for key in keys[positions(feature_set.keys(), keys) < 0]}
    failures = Failures(root).latest()
    failed = failures.filter(pc.equal(failures["recipe_key"], feature_set.key))["key"].to_pylist()
    return found[0] if lacking <= set(failed) else ""


def state_of(name: str, kinds: tuple[str, ...], root: Root) -> str:
    """Digest of which texts of these kinds a set has, quickly read: it changes where a text came or went."""
    read = {"elaboration": ("class", "definition"), "phrase": ()}
    wanted = tuple(sorted({each for kind in kinds for each in read.get(kind, (kind,))}))
    rows = Texts(root, name).read(["kind", "class", "key"], wanted).to_pylist() if wanted else []
    parts = sorted(f"{row['kind']} {row['class']} {row['key'].hex()}".encode() for row in rows)
    if "phrase" in kinds and root.exists("phrases", f"{name}.parquet"):
        table = root.read_table("phrases", f"{name}.parquet")
        pairs = zip(table["key"].to_pylist(), table["class"].to_pylist(), strict=True)
        parts += sorted(key + spelled.encode() for key, spelled in pairs)
    return rows_digest(*parts).hex()
