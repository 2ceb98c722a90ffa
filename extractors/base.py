"""What every extractor is: units in, rows out, and a recipe that says what the rows depend on.

A *unit* is what the model takes one of: a clip `(T, H, W, 3) uint8`, a frame being a clip of T = 1. An item gives n
units; a batch holds units of many items and always has the same shape, so that neither batch mates nor order change a
row. `__call__` maps a batch of units to per-unit arrays, `rows` maps one item's per-unit arrays to the rows stored.

    video ─clips.read─▶ units (n, T, H, W, 3) ─batched─▶ __call__ ─▶ {output: (n, ...)} ─rows─▶ {output: (r, ...)}
"""

import abc
import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np

from extractors.errors import ExtractorError
from extractors.recipe import Recipe
from extractors.sampling import Geometry, Sampling, View


@dataclasses.dataclass(frozen=True)
class Output:
    """One stored output: the shape of one row and its stored dtype; an item has as many rows in each output."""

    shape: tuple[int, ...]
    dtype: str


class Extractor(abc.ABC):
    """An extractor of video features.

    Parameters
    ----------
    weights : str or None
        Path of a weights file, `random:SEED`, or None for the local cache, the offline pack, then the hub.
    precision : str
        `fp32` or `bf16`: never what the hardware happens to like.
    sampling, geometry : optional
        In place of the class's own; part of the recipe.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    kind: ClassVar[str] = "video"
    outputs: ClassVar[dict[str, Output]]
    default_sampling: ClassVar[Sampling]
    default_geometry: ClassVar[Geometry]
    #: units a batch, by device type; constant, because a row's last bits depend on it
    batch_units: ClassVar[dict[str, int]]
    #: what is done to pixels after the geometry, for the recipe and for the reader
    normalisation: ClassVar[str]
    #: what it can compute in; discrete outputs (labels) stay in fp32
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")

    def __init__(
        self,
        weights: str | None = None,
        precision: str = "fp32",
        sampling: Sampling | None = None,
        geometry: Geometry | None = None,
    ) -> None:
        if precision not in self.precisions:
            raise ExtractorError(
                f"{self.name} computes in {' or '.join(self.precisions)}, got precision {precision!r}. "
                "Drop the option or choose one of these."
            )
        self.weights = weights
        self.precision = precision
        self.sampling = sampling or self.default_sampling
        self.geometry = geometry or self.default_geometry

    @property
    def view(self) -> View:
        """What this extractor asks the decoder for."""
        return View(self.sampling, self.geometry)

    def recipe(self, weights_digest: str, probe: str) -> Recipe:
        """The recipe of this extractor as configured; loads nothing.

        Parameters
        ----------
        weights_digest : str
            Digest of the file `weights_path` names, or `random:SEED`.
        probe : str
            Digest of decoding the probe clips here (`clips.probe_digest`).
        """
        return Recipe(
            extractor=self.name,
            version=self.version,
            weights=weights_digest,
            sampling=dataclasses.asdict(self.sampling),
            preprocessing={**dataclasses.asdict(self.geometry), "normalisation": self.normalisation},
            outputs={name: {"shape": list(o.shape), "dtype": o.dtype} for name, o in self.outputs.items()},
            precision=self.precision,
            probe=probe,
        )

    @abc.abstractmethod
    def weights_path(self) -> Path:
        """The weights file this extractor will load, fetched from the hub if need be (torch is not imported).

        Raises
        ------
        WeightsMissing
            Nothing by path, cache, pack or hub.
        """

    @abc.abstractmethod
    def load(self, device: str) -> None:
        """Build the model and load its weights, once a process. `device` is `cpu` or `cuda[:i]`."""

    @abc.abstractmethod
    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """Per-unit arrays of one batch.

        Parameters
        ----------
        units : (B, T, H, W, 3) uint8, RGB
            B is `batch_units` for the device, always.

        Returns
        -------
        dict of name to (B, ...) float32
            Safe to call from several threads at once after `load`.
        """

    @abc.abstractmethod
    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of one item from the per-unit arrays of its n units, in the dtypes of `outputs`."""

    @abc.abstractmethod
    def columns(self) -> dict[str, list[str]]:
        """Names of the columns of outputs that have any (a classifier's classes); stored beside the features."""
