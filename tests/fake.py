"""A real extractor that is small: colour statistics of clips. No weights, no network, no torch."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from extractors.base import Output, TextExtractor, VideoExtractor
from extractors.errors import InputFault, TooShort
from extractors.sampling import Geometry, Sampling


class FakeExtractor(VideoExtractor):
    """Mean, spread, highest and lowest value of each colour of each clip."""

    name = "fake"
    version = 1
    outputs = {"features": Output((12,), "float16"), "top": Output((2,), "int32")}
    default_sampling = Sampling(clips=3, frames=4, min_frames=2)
    default_geometry = Geometry(40, 32)
    batch_units = {"cpu": 4, "cuda": 4}
    normalisation = "none"

    def weights_path(self) -> Path:
        return Path(__file__)

    def load(self, device: str) -> None:
        self.device = device

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        assert len(units) == self.batch_units["cpu"]
        if count := os.environ.get("FAKE_COUNT"):
            with open(count, "a") as file:
                file.write("x")
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        pixels = units.reshape(len(units), -1, 3).astype(np.float32)
        features = np.concatenate([pixels.mean(1), pixels.std(1), pixels.max(1), pixels.min(1)], 1)
        return {"features": features, "top": np.argsort(features, 1)[:, :2].astype(np.float32)}

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: values.astype(self.outputs[name].dtype) for name, values in units.items()}

    def columns(self) -> dict[str, list[str]]:
        return {}


class FakeStillExtractor(VideoExtractor):
    """One row a video: the mean colour of four frames."""

    name = "fake_still"
    version = 1
    outputs = {"features": Output((3,), "float16")}
    default_sampling = Sampling(clips=4, frames=1)
    default_geometry = Geometry(20, 16)
    batch_units = {"cpu": 3, "cuda": 3}
    normalisation = "none"

    def weights_path(self) -> Path:
        return Path(__file__)

    def load(self, device: str) -> None:
        self.device = device

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        return {"features": units.reshape(len(units), -1, 3).mean(1, dtype=np.float32)}

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"features": units["features"].mean(0, keepdims=True).astype(np.float16)}

    def columns(self) -> dict[str, list[str]]:
        return {"features": ["red", "green", "blue"]}


class FakeTextExtractor(TextExtractor):
    """Letter counts of a text and how many letters it has; a text without a letter fails."""

    name = "fake_text"
    version = 1
    outputs = {"features": Output((27,), "float16")}
    default_options = {"longest": 64}

    def preprocessed(self) -> dict[str, Any]:
        return {"case": "lower"}

    def weights_path(self) -> Path:
        return Path(__file__)

    def load(self, device: str) -> None:
        self.device = device

    def tokens(self, texts: list[str]) -> list[np.ndarray | InputFault]:
        letters = [[ord(c) - 97 for c in text.lower() if "a" <= c <= "z"] for text in texts]
        longest = self.options["longest"]
        return [np.array(t[:longest], np.int32) if t else TooShort("it has no letter") for t in letters]

    def shape(self, length: int) -> tuple[int, int]:
        return (4, 16) if length <= 16 else (2, 64)

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        assert units.shape in ((4, 16), (2, 64))
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        counts = (units[:, :, None] == np.arange(26)).sum(1)
        return {"features": np.concatenate([counts, (units >= 0).sum(1, keepdims=True)], 1).astype(np.float32)}

    def rows(self, units: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        assert units["features"][26] == length
        return {"features": units["features"][None].astype(np.float16)}

    def columns(self) -> dict[str, list[str]]:
        return {}
