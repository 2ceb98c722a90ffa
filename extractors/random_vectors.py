"""Random vectors in place of a meaning: the control of every zero-shot table.

    text ─BLAKE2b─▶ 8 numbers ─with the seed─▶ normal draws ─unit length─▶ features (D,) float32

Two texts are as far apart as any other two, whatever they say. What is learned towards such vectors is right by chance
alone; a table where it does better has a leak. Options: `seed`, and `width` D.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from extractors.base import Output, TextExtractor
from extractors.errors import ExtractorError, InputFault

_NUMBERS = 8
_BATCH = 256


class RandomVectors(TextExtractor):
    """A unit vector a text, drawn from the text and a seed."""

    name = "random_vectors"
    version = 1
    precisions = ("fp32",)
    takes_weights = False
    default_options: ClassVar[dict[str, Any]] = {"seed": 0, "width": 384}

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`."""
        if self.options["width"] < 2 or self.options["seed"] < 0:
            raise ExtractorError(
                f"{self.name}: width is at least 2 and seed at least 0, got {self.options['width']} and "
                f"{self.options['seed']}."
            )
        return {"features": Output((self.options["width"],), "float32")}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`."""
        return {"vectors": "normal, unit length"}

    def weights_path(self) -> None:
        """None: there is nothing to load."""

    def load(self, device: str) -> None:
        """As `Extractor.load`: nothing."""

    def tokens(self, texts: list[str]) -> list[np.ndarray | InputFault]:
        """As `TextExtractor.tokens`: 8 numbers that only this text has."""
        digests = [hashlib.blake2b(text.encode(), digest_size=4 * _NUMBERS).digest() for text in texts]
        return [(np.frombuffer(digest, np.uint32) >> 1).astype(np.int32) for digest in digests]

    def shape(self, length: int) -> tuple[int, int]:
        """As `TextExtractor.shape`."""
        return _BATCH, _NUMBERS

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `TextExtractor.__call__`."""
        seed, width = self.options["seed"], self.options["width"]
        drawn = [np.random.default_rng([seed, *row]).standard_normal(width) for row in np.maximum(units, 0).tolist()]
        return {"features": np.array([each / np.linalg.norm(each) for each in drawn], np.float32)}

    def rows(self, units: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """One row a text."""
        return {"features": units["features"][None]}

    def columns(self) -> dict[str, list[str]]:
        """None has a name."""
        return {}
