"""What every backbone shares: published weights in, a folded network, batches of the one agreed shape, a linear head.

    weights file ─read─▶ arrays by name ─build─▶ Network ─(B, T, H, W, 3) uint8─▶ features (B, D), logits (B, K)

A new backbone says how its published file is read, what random arrays of its layout are, and how a network is built of
arrays; where weights come from, precision, devices and batches are settled here.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from extractors import weights
from extractors.base import Output, VideoExtractor
from extractors.errors import ExtractorError

if TYPE_CHECKING:
    import torch


class Network(abc.ABC):
    """A network with BatchNorm folded and, where its output is kept, a linear layer on its features.

    Parameters
    ----------
    head : ((D, K), (K,)) float32, or None
        Weight and bias of a linear layer on the features.
    device, dtype : where and in what the convolutions compute
    """

    def __init__(self, head: tuple[np.ndarray, np.ndarray] | None, device: torch.device, dtype: torch.dtype) -> None:

        self.device = device
        self.dtype = dtype
        self.put_on(head)

    def put_on(self, head: tuple[np.ndarray, np.ndarray] | None, output: str = "logits") -> None:
        """Take this linear layer, whose output is called so."""
        import torch

        self._output = output
        self.head = head and tuple(torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in head)

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """Per-unit `features` (B, [r,] D) and, of a head, its output (B, [r,] K), float32, of (B, T, H, W, 3) uint8."""
        import torch

        with torch.inference_mode():
            found = {"features": self.features(units)}
            if self.head:
                weight, bias = self.head
                # unit by unit: a matrix product may round the last rows of a batch otherwise than the first
                found[self._output] = torch.stack([unit @ weight for unit in found["features"]]) + bias
        return {name: values.cpu().numpy() for name, values in found.items()}

    @abc.abstractmethod
    def features(self, units: np.ndarray) -> torch.Tensor:
        """(B, D) float32 of (B, T, H, W, 3) uint8; (B, r, D) where a unit gives r rows."""


class Backbone(VideoExtractor):
    """An extractor that is one network with published weights."""

    _network: Network
    _shape: tuple[int, ...] | None = None

    @property
    @abc.abstractmethod
    def published(self) -> weights.Published:
        """The published file for this extractor as configured; most classes have one file and set it as an attribute.

        Asked for only where no weights are given, so it raises ExtractorError where no file fits the configuration.
        """

    @abc.abstractmethod
    def read(self, path: Path) -> dict[str, np.ndarray]:
        """The arrays of the published file, checked against the layout; BadWeights where they do not fit it."""

    @abc.abstractmethod
    def random(self, seed: int) -> dict[str, np.ndarray]:
        """Seeded random arrays of the published layout."""

    @abc.abstractmethod
    def build(self, arrays: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype) -> Network:
        """The network of these arrays; ExtractorError where it cannot take the clips asked for."""

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`."""
        return weights.locate(self.published) if self.weights is None else weights.at_path(self.weights)

    def load(self, device: str) -> None:
        """As `Extractor.load`; one batch of zeros goes through, so that nothing is set up while threads run."""
        from extractors import folding

        where, dtype = folding.placed(device, self.precision)
        seed = weights.random_seed(self.weights)
        arrays = self.read(self.weights_path()) if seed is None else self.random(seed)
        self._network = self.build(arrays, where, dtype)
        self._shape = (self.batch_units[where.type], self.sampling.frames, *self.geometry.size, 3)
        self(np.zeros(self._shape, np.uint8))

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `Extractor.__call__`.

        Raises
        ------
        ExtractorError
            Not loaded, or another shape or dtype: a batch of another size would change the last bits of its rows.
        """
        if self._shape is None:
            raise ExtractorError(f"{self.name} was called before load(device).")
        if units.shape != self._shape or units.dtype != np.uint8:
            raise ExtractorError(
                f"{self.name} takes batches (units, frames, height, width, 3) of {self._shape} uint8, "
                f"got {units.shape} {units.dtype}. Fill the last batch up."
            )
        return self._network(units)


def unit_rows(units: Mapping[str, np.ndarray], outputs: Mapping[str, Output]) -> dict[str, np.ndarray]:
    """The rows of an item whose units give a row each, (n, D), or r of them in the order of time, (n, r, D)."""
    return as_stored({name: values.reshape(-1, values.shape[-1]) for name, values in units.items()}, outputs)


def as_stored(rows: Mapping[str, np.ndarray], outputs: Mapping[str, Output]) -> dict[str, np.ndarray]:
    """Rows in the stored dtypes; what float16 cannot hold becomes infinite, and so a failure of its item."""
    with np.errstate(over="ignore"):
        return {name: rows[name].astype(output.dtype) for name, output in outputs.items()}
