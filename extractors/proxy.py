"""Small copies of whole videos: every frame made smaller and kept as a JPEG, so that any of them can be read alone.

    frames ─shorter side 128─▶ JPEGs ─behind an index, as one run of bytes─▶ `frames` (r, 1024) uint8, 1,024 bytes a row

    count    int64, little-endian: T
    times    (T,) float64, seconds from the first frame of the item: what samplings take frames by
    borders  (T + 1,) int64: where in the run of bytes each frame begins, and where the last one ends
    frames   T JPEGs; zeros fill the last row

Frames are made smaller as an extractor does it (bilinear, not antialiased), so the middle of a frame at that size
differs from what an extractor is given by JPEG alone; a video that is smaller stays as it is. All frames are kept: a
clip may begin on any of them. A long video is gathered in a file, not in memory.

Options: `side`, of the shorter side (128); `quality`, of the JPEGs (90).
"""

import errno
import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from extractors.base import Output, Tracker
from extractors.clips import Clips
from extractors.errors import Corrupt, ExtractorError, MachineFault
from extractors.sampling import View, scaled

ROW_BYTES = 1024
OUTPUT = "frames"
_AHEAD = 8 * ROW_BYTES  # read at first: the index of 500 frames
_NUMBER = 8  # bytes of a number of the index
_IN_MEMORY = 16 << 20  # bytes of a video; every file that is mapped holds a descriptor, so only long ones are

#: gives the bytes of these (start, end) of a run of bytes
Fetch = Callable[[Sequence[tuple[int, int]]], list[bytes]]


class FrameProxy(Tracker):
    """All frames of a video as small JPEGs: `frames` (1024,) uint8, a row 1,024 bytes of them."""

    name = "proxy"
    version = 1
    precisions = ("fp32",)
    takes_weights = False
    outputs = {OUTPUT: Output((ROW_BYTES,), "uint8")}
    default_options = {"side": 128, "quality": 90}
    row_a_frame = False

    def sampled(self) -> dict[str, Any]:
        """As `Extractor.sampled`.

        Raises
        ------
        ExtractorError
            An option outside its range.
        """
        side, quality = self.options["side"], self.options["quality"]
        if side < 16 or not 1 <= quality <= 100:
            raise ExtractorError(
                f"{self.name} needs side >= 16 and quality from 1 to 100, got side={side}, quality={quality}."
            )
        return dict(self.options)

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; a JPEG library that writes other bytes makes another set."""
        return {"resize": "bilinear, never enlarged", "jpeg": _writes(self.options["quality"])}

    def weights_path(self) -> Path | None:
        """As `Extractor.weights_path`: none."""
        return None

    def load(self, device: str) -> None:
        """As `Extractor.load`: there is nothing to load."""

    def wanted(self, times: np.ndarray) -> np.ndarray:
        """As `Tracker.wanted`: all."""
        return np.arange(len(times))

    def __call__(self, units: Iterable[np.ndarray], times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """As `Tracker.__call__`, but for the rows, which are bytes; mapped from a file where they are many.

        Raises
        ------
        MachineFault
            No room for that file.
        """
        assert times is not None
        try:
            return {OUTPUT: self._gathered(units, times[:, 0])}
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise MachineFault(
                f"A long video is gathered in {tempfile.gettempdir()}, which is full. Free space, or set TMPDIR."
            ) from error

    def _gathered(self, units: Iterable[np.ndarray], times: np.ndarray) -> np.ndarray:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
            borders = [_NUMBER * (2 * len(times) + 2)]
            spool.seek(borders[0])
            for frame in units:
                spool.write(jpeg := _packed(frame, self.options["side"], self.options["quality"]))
                borders.append(borders[-1] + len(jpeg))
            spool.write(bytes(-borders[-1] % ROW_BYTES))
            spool.seek(0)
            for part in (np.array(len(times), "<i8"), times.astype("<f8"), np.array(borders, "<i8")):
                spool.write(part.tobytes())
            return _contents(spool, borders[-1]).reshape(-1, ROW_BYTES)

    def columns(self) -> dict[str, list[str]]:
        """As `Extractor.columns`: none."""
        return {}


def read(fetch: Fetch, view: View, key: bytes) -> Clips:
    """The clips of a view, of the frames that `clips.read` takes of the video itself; only those are read.

    Parameters
    ----------
    fetch : callable
        Gives bytes of the rows, as one run, at several places at once.
    view : View
    key : bytes
        Content key; seeds the samplings that are random.

    Raises
    ------
    TooShort, TooSmall
        As `clips.read` gives them.
    Corrupt
        What is stored is no proxy.
    """
    head = fetch([(0, _AHEAD)])[0]
    count = int(np.frombuffer(head, "<i8", 1)[0])
    index = _NUMBER * (2 * count + 2)
    if count < 1:
        raise Corrupt("its proxy holds no frames")
    if index > len(head) == _AHEAD:
        head += fetch([(len(head), index)])[0]
    if index > len(head):
        raise Corrupt(f"its proxy says that it holds {count} frames, and ends before their index does")
    times = np.frombuffer(head, "<f8", count, _NUMBER)
    borders = np.frombuffer(head, "<i8", count + 1, _NUMBER * (count + 1))
    if borders[0] != index or (np.diff(borders) < 0).any() or not np.isfinite(times).all():
        raise Corrupt("the index of its proxy makes no sense")
    indices, spans = view.sampling.frame_indices(times, key)
    pixels = np.empty((*indices.shape, *view.geometry.size, 3), np.uint8)
    numbers, places = np.unique(indices, return_inverse=True)
    jpegs = fetch([(int(borders[number]), int(borders[number + 1])) for number in numbers])
    for each, (number, jpeg) in enumerate(zip(numbers, jpegs, strict=True)):
        pixels[places.reshape(indices.shape) == each] = view.geometry(_unpacked(jpeg, int(number)))
    return Clips(pixels, spans)


def _packed(rgb: np.ndarray, side: int, quality: int) -> bytes:
    height, width = rgb.shape[:2]
    if min(height, width) > side:
        height, width = scaled(height, width, side)
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return jpeg.tobytes()


def _unpacked(jpeg: bytes, number: int) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if bgr is None:
        raise Corrupt(f"frame {number} of its proxy is no JPEG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _contents(spool: IO[bytes], size: int) -> np.ndarray:
    """(bytes,) uint8: of a long video mapped, and on the disk no longer than it is looked at."""
    if size > _IN_MEMORY:
        return np.memmap(spool, np.uint8, "r")
    spool.seek(0)
    return np.frombuffer(spool.read(), np.uint8)


@functools.cache
def _writes(quality: int) -> str:
    """Digest of the JPEG that a drawn picture gives here: small waves of all colours."""
    down, across = np.mgrid[:64, :96]
    waves = np.stack([across * 5 + down, down * 7, across * down // 3], -1) % 256
    return hashlib.blake2b(_packed(waves.astype(np.uint8), 64, quality), digest_size=16).hexdigest()
