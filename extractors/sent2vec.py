"""Sent2Vec sentence vectors: a text in, its vector (700,) out, by the sent2vec package where it is installed.

    text ─lower case, words and punctuation apart─▶ sent2vec ─▶ features (D,) float32

D is the model's: 700 for the bigram model of Wikipedia that the skeleton paper uses. The `.bin` model is a fastText
file of its own kind that only this package reads, so there is no other path and no random one.

A text is not made of this extractor's numbers but of words the model looks up itself; its unit is its UTF-8 bytes.

References
----------
Pagliardini et al., "Unsupervised Learning of Sentence Embeddings using Compositional n-Gram Features", NAACL 2018.
"""

import importlib
import importlib.util
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from extractors import weights
from extractors.base import Output, TextExtractor
from extractors.errors import BadWeights, ExtractorError, InputFault, MachineFault

PUBLISHED = weights.Published(file="wiki_bigrams.bin")
_PIECE = re.compile(r"\w+|[^\w\s]")


class Sent2Vec(TextExtractor):
    """Sentence vectors of a sent2vec model. Output: `features` (700,) float32, one row a text; option `width` is D."""

    name = "sent2vec"
    version = 1
    precisions = ("fp32",)
    default_options = {"width": 700}

    _model: Any = None

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`."""
        return {"features": Output((self.options["width"],), "float32")}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`."""
        return {"words": "lower case, words and punctuation apart"}

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`."""
        if weights.random_seed(self.weights) is not None:
            raise ExtractorError(f"{self.name} has no random weights; `word_vectors` has (random:SEED).")
        return weights.locate(PUBLISHED) if self.weights is None else weights.at_path(self.weights)

    def load(self, device: str) -> None:
        """As `Extractor.load`.

        Raises
        ------
        MachineFault
            The package is not installed.
        BadWeights
            The model has another width than the option says.
        """
        path = self.weights_path()
        if importlib.util.find_spec("sent2vec") is None:
            raise MachineFault(
                "sent2vec models are read by the package sent2vec, which is not installed: "
                "pip install git+https://github.com/epfml/sent2vec."
            )
        model = importlib.import_module("sent2vec").Sent2vecModel()
        model.load_model(str(path))
        if model.get_emb_size() != self.options["width"]:
            raise BadWeights(
                f"{path} has vectors of {model.get_emb_size()} numbers, not {self.options['width']}: give the option "
                f"width ({self.name}:width={model.get_emb_size()})."
            )
        self._model, self._lock = model, threading.Lock()

    def tokens(self, texts: list[str]) -> list[np.ndarray | InputFault]:
        """As `TextExtractor.tokens`: the bytes of the text as the model reads it."""
        pieces = [" ".join(_PIECE.findall(text.lower())) for text in texts]
        return [np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int32) for text in pieces]

    def shape(self, length: int) -> tuple[int, int]:
        """As `TextExtractor.shape`."""
        return 32, max(64, 1 << (length - 1).bit_length())

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `TextExtractor.__call__`; one text after the other."""
        if self._model is None:
            raise ExtractorError(f"{self.name} was called before load(device).")
        texts = [bytes(row[row >= 0].astype(np.uint8)).decode() for row in units]
        with self._lock:  # nothing says that the model may be asked by two threads at once
            vectors = [np.ravel(self._model.embed_sentence(text)) for text in texts]
        found = np.array(vectors, np.float32)
        # the model gives zeros for a text it knows no word of; NaN makes that a failure
        return {"features": np.where(found.any(1, keepdims=True), found, np.float32(np.nan))}

    def rows(self, units: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """One row a text."""
        return {"features": units["features"][None].astype(np.float32)}

    def columns(self) -> dict[str, list[str]]:
        """None has a name."""
        return {}
