"""Clips of videos as something to learn from: decoded when they are wanted, each time another place and another crop.

    manifest rows ─▶ VideoSet ─workers: a random place in time, a random crop, flipped or not─▶ (B, 3, T, H, W) float
                              still images: the camera moves over them (`ken_burns`)

What a sample becomes is drawn from (seed, epoch, row) alone, so the number of workers changes nothing, and a training
that goes on in the middle of an epoch sees what it would have seen. Colours are left alone. A video that was found to
be broken is left out from the start, and one that breaks only now gives nothing, is named, and nothing takes its place.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from extractors.errors import InputFault
from extractors.r2plus1d import MEAN, STD
from extractors.sampling import Geometry, Sampling, View
from heads.base import Videos
from pipelines.errors import Stopped, UsageError
from pipelines.extract.items import Item
from pipelines.extract.manifested import IMAGES, VIDEOS
from pipelines.index.poses import values_of
from pipelines.index.recordings import with_recording
from pipelines.learn.samples import ken_burns
from pipelines.learn.samples.films import Films, Source, broken_before
from pipelines.learn.samples.items import Items
from pipelines.learn.samples.proxies import Proxies
from stores.errors import StoreError
from stores.manifest import Manifest
from stores.root import Root

_AREA = (0.5, 1.0)  # of a frame that a crop has
_ASPECT = (3 / 4, 4 / 3)  # of its width to its height
_TRIES = 10
_KINDS = {"video": VIDEOS, "image": IMAGES}


@dataclasses.dataclass(frozen=True)
class Form:
    """What a network is given of a video.

    Attributes
    ----------
    frames, stride : of a clip
    resize, crop : shorter side of a frame, side of what is seen of it
    clips : of a video, each from a part of it, one after the other in what a network is given
    """

    frames: int = 16
    stride: int = 1
    resize: int = 128
    crop: int = 112
    clips: int = 1

    def __post_init__(self) -> None:
        if self.frames < 2 or self.stride < 1 or self.crop < 16 or self.resize < self.crop:
            raise UsageError(
                f"A clip needs 2 frames, a stride of 1 and a crop of 16 to resize pixels, got frames={self.frames}, "
                f"stride={self.stride}, crop={self.crop}, resize={self.resize}."
            )


@dataclasses.dataclass(frozen=True)
class VideoSet(Items):
    """Labelled videos of a data set.

    Attributes
    ----------
    form : of the clips
    items : N, each with every place it lies in
    stills : (N,) bool, those that are still images
    proxies : to read from in place of the films
    """

    called = "video"
    form: Form
    items: tuple[Item, ...]
    stills: np.ndarray
    proxies: Proxies | None = None

    def source(self, rows: np.ndarray) -> Source:
        """Where the clips of some of them come from."""
        if self.proxies is None:
            return Films([self.items[row] for row in rows])
        return self.proxies.of([self.keys[row] for row in rows])


def read(dataset: str, root: Root, form: Form, proxy: str = "") -> VideoSet:
    """The labelled videos of a data set, and its still images; none is opened.

    Parameters
    ----------
    proxy : name of a set of proxies to read from; nothing: from the films

    Raises
    ------
    NotInStore, Ambiguous
        No such data set or set of proxies.
    UsageError
        No labelled video; proxies that do not fit, or that some videos lack.
    """
    table = Manifest(root).read(dataset, ["video_id", "kind", "uri", "key", "label", "split", "recording"])
    rows = table.filter(pc.is_in(table["kind"], pa.array([*_KINDS]))).to_pylist()
    labelled = [row for row in rows if row["label"] is not None]
    if not labelled:
        raise UsageError(
            f"Data set {dataset!r} has {len(rows)} videos, and none has a label to learn. Run `zsar index PATH "
            f"--dataset {dataset} --labels FILE`."
        )
    broken = broken_before(root)
    proxies = Proxies(root, proxy, form.resize, dataset) if proxy else None
    if proxies:
        broken |= proxies.refused(row["key"] for row in labelled if row["key"] not in broken)
    kept = [row for row in labelled if row["key"] not in broken]
    places: dict[bytes, Item] = {}
    for source in {row["kind"] for row in kept}:
        places |= _KINDS[source].find({row["key"] for row in kept}, root)
    return VideoSet(
        form=form,
        ids=tuple(row["video_id"] for row in kept),
        keys=tuple(row["key"] for row in kept),
        labels=tuple(row["label"] for row in kept),
        splits=tuple(values_of(with_recording(row["split"], row["recording"])) for row in kept),
        items=tuple(places[row["key"]] for row in kept),
        stills=np.array([row["kind"] == "image" for row in kept]),
        faults=tuple((row["key"], row["uri"], broken[row["key"]]) for row in labelled if row["key"] in broken),
        unlabelled=len(rows) - len(labelled),
        proxies=proxies,
    )


class Pixels:
    """Videos as samples, a clip of each.

    Parameters
    ----------
    videos : VideoSet
    rows : (n,) numbers of the videos
    classes : K names, in the order of their numbers; those of all rows
    device : where batches go
    unflipped : classes whose clips are never mirrored, because left and right tell them apart
    loaders : processes that decode; 0: this one does

    Attributes
    ----------
    broken : (key, uri, fault) of videos that broke while they were read
    """

    at_once = 16

    def __init__(
        self,
        videos: VideoSet,
        rows: np.ndarray,
        classes: Sequence[str],
        device: str,
        unflipped: Sequence[str] = (),
        loaders: int = 0,
    ) -> None:
        self.labels = videos.numbers(rows, classes)
        self.broken: list[tuple[bytes, str, InputFault]] = []
        self._items = [videos.items[row] for row in rows]
        flips = [videos.labels[row] not in unflipped for row in rows]
        stills = [item if still else None for item, still in zip(self._items, videos.stills[rows], strict=True)]
        self._device, self._wanted = device, _Wanted()
        self._loader: DataLoader[Any] = DataLoader(
            _Clips(videos.source(rows), videos.form, flips, stills),
            batch_sampler=self._wanted,
            num_workers=loaders,
            persistent_workers=loaders > 0,  # to begin anew in every epoch took longer than to decode
            collate_fn=_together,
            pin_memory=device.startswith("cuda"),
            multiprocessing_context=_processes() if loaders else None,
            generator=torch.Generator(),  # else it draws from the one that the training draws from
        )
        mean, std = (torch.tensor(values, device=device)[:, None, None, None] for values in (MEAN, STD))
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: Iterable[Tensor], draw: int | None) -> Iterator[Videos]:
        """As `Samples.batches`: (B, 3, T, H, W), normalised; a batch is smaller by the videos that broke.

        Raises
        ------
        Stopped
            A process that decodes was killed.
        Damaged
            Proxies that cannot be read.
        """
        self._wanted.batches = [[(int(row), draw) for row in rows] for rows in order]
        try:
            for rows, pixels, faults in self._loader:
                if damaged := [fault for _, fault in faults if isinstance(fault, StoreError)]:
                    raise damaged[0]  # no fault of a video
                self.broken += [(self._items[row].key, self._items[row].where, fault) for row, fault in faults]
                yield Videos(self._shown(pixels), self.labels[rows].to(self._device))
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise Stopped(
                "A process that decodes for the training was killed; was memory short? Run the same command again: it "
                "goes on where it was. Fewer of them need less (`--option loaders=1`)."
            ) from error

    def _shown(self, pixels: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 -> (B, 3, T, H, W) float32."""
        on_device = pixels.to(self._device, non_blocking=True).permute(0, 4, 1, 2, 3)
        return torch.addcmul(self._shift, on_device.float(), self._scale)


class _Wanted:
    """The samples of an epoch, batch by batch; the loader and its processes stay from one to the next."""

    batches: Sequence[list[tuple[int, int | None]]] = ()

    def __iter__(self) -> Iterator[list[tuple[int, int | None]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _processes() -> BaseContext:
    """How processes that decode begin: from one that has imported what they need."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


class _Clips(Dataset[Any]):
    """A clip of a video, as it is drawn."""

    def __init__(self, source: Source, form: Form, flips: Sequence[bool], stills: Sequence[Item | None]) -> None:
        self._source, self._form, self._flips, self._stills = source, form, flips, stills

    def __getitem__(self, wanted: tuple[int, int | None]) -> tuple[int, np.ndarray | InputFault | StoreError]:
        row, draw = wanted
        cv2.setNumThreads(1)
        if still := self._stills[row]:
            drawn = None if draw is None else np.random.default_rng([draw, row])
            return row, ken_burns.read(
                still, self._form.clips * self._form.frames, self._form.crop, drawn, self._flips[row]
            )
        view = _whole(self._form) if draw is None else _drawn(self._form, draw, row, self._flips[row])
        try:
            return row, self._source.read(row, view)
        except StoreError as error:  # raised in a process of its own it would be many lines
            return row, error


def _together(
    read: Sequence[tuple[int, np.ndarray | InputFault | StoreError]],
) -> tuple[Tensor, Tensor, list[tuple[int, InputFault | StoreError]]]:
    rows = [row for row, found in read if isinstance(found, np.ndarray)]
    pixels = [found for _, found in read if isinstance(found, np.ndarray)]
    stacked = np.stack(pixels) if pixels else np.empty((0, 1, 1, 1, 3), np.uint8)
    faults = [(row, found) for row, found in read if not isinstance(found, np.ndarray)]
    return torch.tensor(rows, dtype=torch.int64), torch.from_numpy(stacked), faults


# -- what is drawn ----------------------------------------------------------------------------------------------------


def _whole(form: Form) -> View:
    """The clip in the middle, and the middle of its frames: what an extractor is given."""
    return View(Sampling(form.clips, form.frames, form.stride), Geometry(form.resize, form.crop))


def _drawn(form: Form, draw: int, row: int, may_flip: bool) -> View:
    """A clip from anywhere in time, a crop from anywhere in its frames, and every other one mirrored."""
    drawn = np.random.default_rng([draw, row])
    sampling = Sampling(form.clips, form.frames, form.stride, jitter_seed=int(drawn.integers(1 << 62)))
    areas = drawn.uniform(_AREA[0], _AREA[1], _TRIES)
    aspects = np.exp(drawn.uniform(np.log(_ASPECT[0]), np.log(_ASPECT[1]), _TRIES))
    across, down = drawn.random(2)
    flipped = bool(drawn.random() < 0.5) and may_flip
    sides = tuple(zip(areas.tolist(), aspects.tolist(), strict=True))
    return View(sampling, _Crop(form.crop, sides, float(across), float(down), flipped))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class _Crop:
    """A part of a frame, resized to a square; in place of a `Geometry`.

    Attributes
    ----------
    side : H = W of what it gives
    sides : (share of the area, width over height) to try, until one fits into the frame
    across, down : where in the room that is left, from 0 to 1
    flipped : whether it is mirrored
    """

    side: int
    sides: tuple[tuple[float, float], ...]
    across: float
    down: float
    flipped: bool

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of what `__call__` gives."""
        return self.side, self.side

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """One frame (h, w, 3) uint8 to (H, W, 3) uint8."""
        height, width = rgb.shape[:2]
        own_height, own_width = self._sides_in(height, width)
        top, left = int(self.down * (height - own_height + 1)), int(self.across * (width - own_width + 1))
        part = rgb[top : top + own_height, left : left + own_width]
        out = np.asarray(cv2.resize(part, (self.side, self.side), interpolation=cv2.INTER_LINEAR))
        return out[:, ::-1] if self.flipped else out

    def _sides_in(self, height: int, width: int) -> tuple[int, int]:
        for area, aspect in self.sides:
            own_width = round((area * height * width * aspect) ** 0.5)
            own_height = round((area * height * width / aspect) ** 0.5)
            if 0 < own_width <= width and 0 < own_height <= height:
                return own_height, own_width
        shorter = min(height, width)
        return shorter, shorter
