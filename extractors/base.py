"""What every extractor is: items in, rows out, and a recipe that says what the rows depend on.

A *unit* is what a model takes one of; a batch holds units of many items and always has the same shape, so that neither
batch mates nor order change a row. `__call__` maps a batch of units to per-unit arrays, `rows` maps one item's per-unit
arrays to the rows stored.

    video ─clips.read─▶ units (n, T, H, W, 3) uint8 ─batched─▶ __call__ ─▶ {output: (n, ...)} ─rows─▶ {output: (r, ...)}
    text ─tokens─▶ unit (length,) int32 ─batched by length─▶ __call__ ─▶ {output: (1, ...)} ─rows─▶ {output: (r, ...)}
    poses ─unit─▶ unit (3, T, V, M) float32 ─batched─▶ __call__ ─▶ {output: (1, ...)} ─rows─▶ {output: (r, ...)}
    video ─clips.stream─▶ frames, one after another ─▶ __call__ ─▶ {output: (T, ...)}, which are its rows

A video unit is a clip, a frame being a clip of T = 1; a text is one unit, and so is a sequence of poses. A tracker
remembers the frame before: its unit is a whole video, and there is nothing to batch.
"""

import abc
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from extractors.errors import ExtractorError, InputFault
from extractors.poses import Poses
from extractors.recipe import Recipe
from extractors.sampling import Geometry, Sampling, View


@dataclasses.dataclass(frozen=True)
class Output:
    """One stored output: the shape of one row and its stored dtype; an item has as many rows in each output.

    `gaps`: its rows may hold NaN, where nothing was seen. In any other output NaN is a fault.
    """

    shape: tuple[int, ...]
    dtype: str
    gaps: bool = False


class Extractor(abc.ABC):
    """What extractors of all kinds of items share.

    Parameters
    ----------
    weights : str or None
        Path of a weights file, `random:SEED`, or None for the local cache, the offline pack, then the hub.
    precision : str
        `fp32` or `bf16`: never what the hardware happens to like.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    kind: ClassVar[str]
    #: labelled data its published weights were trained on, a tuple of names; classes of these are not unseen
    trained_on: ClassVar[tuple[str, ...]] = ()
    #: what it can compute in; discrete outputs (labels) stay in fp32
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")
    #: whether it computes with weights of one's own, where they are given; else it has none, or its package's alone
    takes_weights: ClassVar[bool] = True

    def __init__(self, weights: str | None = None, precision: str = "fp32") -> None:
        if precision not in self.precisions:
            raise ExtractorError(
                f"{self.name} computes in {' or '.join(self.precisions)}, got precision {precision!r}. "
                "Drop the option or choose one of these."
            )
        if weights is not None and not self.takes_weights:
            raise ExtractorError(f"{self.name} takes no weights, got {weights!r}. Drop --weights {self.name}=...")
        self.weights = weights
        self.precision = precision

    def recipe(self, weights_digest: str, probe: str) -> Recipe:
        """The recipe of this extractor as configured; loads nothing.

        Parameters
        ----------
        weights_digest : str
            Digest of the file `weights_path` names, or `random:SEED`.
        probe : str
            Digest of decoding the probe clips here (`clips.probe_digest`); of no meaning to a text.
        """
        return Recipe(
            extractor=self.name,
            version=self.version,
            weights=weights_digest,
            sampling=self.sampled(),
            preprocessing=self.preprocessed(),
            outputs={
                name: {"shape": list(o.shape), "dtype": o.dtype} | ({"gaps": True} if o.gaps else {})
                for name, o in self.outputs.items()
            },
            precision=self.precision,
            probe=probe if self.kind == "video" else "",
        )

    @property
    @abc.abstractmethod
    def outputs(self) -> Mapping[str, Output]:
        """What is stored, by name; most classes always store the same and set it as an attribute."""

    @abc.abstractmethod
    def sampled(self) -> dict[str, Any]:
        """What of an item is looked at: frames, tokens; for the recipe."""

    @abc.abstractmethod
    def preprocessed(self) -> dict[str, Any]:
        """What is done to it before the model; for the recipe."""

    @abc.abstractmethod
    def weights_path(self) -> Path | None:
        """The weights file this extractor will load, fetched from the hub if need be (torch is not imported).

        None of an extractor that has no weights.

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
        """Per-unit arrays (B, ...) float32 of one batch; safe to call from several threads at once after `load`."""

    @abc.abstractmethod
    def columns(self) -> dict[str, list[str]]:
        """Names of the columns of outputs that have any (a classifier's classes); stored beside the features."""


class WithOptions(Extractor):
    """An extractor that is set by named options.

    Parameters
    ----------
    weights, precision : as Extractor
    options : mapping, optional
        In place of `default_options`, of their names and types; part of the recipe.
    """

    default_options: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, weights: str | None = None, precision: str = "fp32", options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(weights, precision)
        self.options = {**self.default_options, **(options or {})}

    def sampled(self) -> dict[str, Any]:
        """As `Extractor.sampled`: the options, all of them."""
        return dict(self.options)


class VideoExtractor(Extractor):
    """An extractor of video features.

    Parameters
    ----------
    weights, precision : as Extractor
    sampling, geometry : optional
        In place of the class's own; part of the recipe.
    """

    kind = "video"
    default_sampling: ClassVar[Sampling]
    default_geometry: ClassVar[Geometry]
    #: units a batch, by device type; constant, because a row's last bits depend on it
    batch_units: ClassVar[dict[str, int]]
    #: what is done to pixels after the geometry, for the recipe and for the reader
    normalisation: ClassVar[str]

    def __init__(
        self,
        weights: str | None = None,
        precision: str = "fp32",
        sampling: Sampling | None = None,
        geometry: Geometry | None = None,
    ) -> None:
        super().__init__(weights, precision)
        self.sampling = sampling or self.default_sampling
        self.geometry = geometry or self.default_geometry

    @classmethod
    def defaults(cls, weights: str | None) -> tuple[Sampling, Geometry]:
        """The sampling and geometry that options change; of some networks their weights say what they take."""
        return cls.default_sampling, cls.default_geometry

    @property
    def view(self) -> View:
        """What this extractor asks the decoder for."""
        return View(self.sampling, self.geometry)

    def sampled(self) -> dict[str, Any]:
        """As `Extractor.sampled`."""
        return dataclasses.asdict(self.sampling)

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`."""
        return {**dataclasses.asdict(self.geometry), "normalisation": self.normalisation}

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
        """

    @abc.abstractmethod
    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of one item from the per-unit arrays of its n units, in the dtypes of `outputs`."""


class Tracker(WithOptions):
    """An extractor that goes through a whole video frame by frame and may remember the one before."""

    kind = "video"
    #: whether each row is of one frame, and has its time
    row_a_frame: ClassVar[bool] = True

    @abc.abstractmethod
    def wanted(self, times: np.ndarray) -> np.ndarray:
        """(T,) int64, rising: which of the frames that are shown at `times` (n,) seconds it looks at."""

    @abc.abstractmethod
    def __call__(self, units: Iterable[np.ndarray], times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The rows of one video, in the dtypes of `outputs`.

        Parameters
        ----------
        units : T frames (h, w, 3) uint8, RGB, upright, in the order shown
        times : (T, 2) float64, seconds from the first frame of the item: from when to when each is shown; a run
            always gives them

        Returns
        -------
        dict of name to (T, ...), or to (r, ...) where not `row_a_frame`

        Raises
        ------
        InputFault
            A video that gives no rows; or what the frames themselves raise.
        """


class TextExtractor(WithOptions):
    """An extractor of text features."""

    kind = "text"

    @abc.abstractmethod
    def tokens(self, texts: list[str]) -> list[np.ndarray | InputFault]:
        """Token numbers (length,) int32 of each text, cut to the longest length the model takes.

        A text of which nothing is left (no word in the vocabulary, say) gives the fault it fails with.
        """

    def cut(self, texts: list[str]) -> list[bool]:
        """Of each text whether it is longer than what is read of it; false for a model that reads any length."""
        return [False] * len(texts)

    @abc.abstractmethod
    def shape(self, length: int) -> tuple[int, int]:
        """(B, L) of the batches a text of this many tokens goes into, on the device loaded for; the same always."""

    @abc.abstractmethod
    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """Per-text arrays of one batch.

        Parameters
        ----------
        units : (B, L) int32, of a shape `shape` gives; -1 after a text's last token

        Returns
        -------
        dict of name to (B, ...) float32, per-token outputs (B, L, ...)
        """

    @abc.abstractmethod
    def rows(self, units: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """The rows of one text of `length` tokens from its arrays (...), in the dtypes of `outputs`."""


class PoseExtractor(WithOptions):
    """An extractor of features of pose sequences."""

    kind = "pose"
    #: sequences a batch, by device type; constant, because a row's last bits depend on it
    batch_units: ClassVar[dict[str, int]]

    @abc.abstractmethod
    def unit(self, poses: Poses) -> np.ndarray:
        """(3, T, V, M) float32 of a sequence, in the loaded weights' layout of joints.

        Raises
        ------
        InputFault
            A sequence that cannot be put into this form, see `extractors.poses`.
        """

    @abc.abstractmethod
    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """Per-sequence arrays of one batch.

        Parameters
        ----------
        units : (B, 3, T, V, M) float32
            B is `batch_units` for the device, always.

        Returns
        -------
        dict of name to (B, ...) float32
        """

    @abc.abstractmethod
    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of one sequence from its arrays (...), in the dtypes of `outputs`."""
