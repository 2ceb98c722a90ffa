"""Films as a browser plays them: the file itself where it can, else its segment once more as H.264, or as frames.

    plays        what a browser is told a film is; empty where it would not play it (AVI, MPEG-4 part 2, Matroska, ...)
    Segments     a span of any film as an MP4 without sound, at most 30 s of it, at most 360 lines
    picture      one frame as JPEG

A segment goes picture by picture from the decoder into the encoder: memory holds one. What was made is kept in a folder
that goes when the pages end, the oldest first, so that a browser can ask for parts of it.
"""

import functools
import hashlib
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from extractors import clips, images
from extractors.errors import InputFault, MachineFault, Unreachable
from extractors.films import Film
from extractors.sampling import Geometry
from pipelines.errors import UsageError
from pipelines.look.frames import frames_at
from pipelines.look.serve.items import Item

LONGEST_S = 30.0
_LINES, _RATE = 360, 30.0  # of a segment made anew; pictures beyond this rate are left out
_KEPT_BYTES = 512 << 20
_HEIGHT, _QUALITY = 240, 80
_CODECS = {"video/mp4": {"h264", "av1", "vp9"}, "video/webm": {"vp8", "vp9", "av1"}}
_SOUNDS = {"video/mp4": {"aac", "mp3", "opus", "flac"}, "video/webm": {"vorbis", "opus"}}
_PIXELS = {"yuv420p", "yuvj420p"}
_TICKS = 90_000  # a second
_LATE_S = 0.05


def local(item: Item) -> Path | None:
    """The file of an item on this machine; None where it is elsewhere, or not there."""
    path = Path(item.uri.removeprefix("file://"))
    return path if item.kind == "video" and path.is_absolute() and path.is_file() else None


def plays(path: Path) -> str:
    """The type a browser plays a film as; empty where it would not, or is no film."""
    told = path.stat()
    return _plays(str(path), told.st_mtime_ns, told.st_size)


@functools.lru_cache(4096)
def _plays(path: str, mtime_ns: int, size_bytes: int) -> str:
    try:
        with Film(path) as (container, stream):
            kind = "video/webm" if path.endswith(".webm") else "video/mp4"
            known = "mp4" in container.format.name or (kind == "video/webm" and "matroska" in container.format.name)
            sounds = {each.codec_context.name for each in container.streams.audio if each.codec_context}
            begins = float(stream.start_time * stream.time_base) if stream.start_time is not None else 0.0
            fits = stream.codec_context.name in _CODECS[kind] and stream.codec_context.pix_fmt in _PIXELS
            return kind if known and fits and sounds <= _SOUNDS[kind] and abs(begins) < _LATE_S else ""
    except (InputFault, MachineFault, av.error.FFmpegError, ValueError):
        return ""


def encoder() -> str:
    """The encoder that segments are made with; empty where FFmpeg here has none that browsers know."""
    return next((name for name in ("libx264", "libvpx") if name in av.codecs_available), "")


class Segments:
    """Segments of films, made when they are asked for.

    Parameters
    ----------
    folder : where they are kept
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()

    def film(self, item: Item, start: float, end: float | None) -> tuple[Path, str]:
        """The file of a span in seconds of its film, and the type it is; made once.

        Raises
        ------
        UsageError
            The span is none, or there is no encoder here.
        InputFault, MachineFault
            The film is not there, or cannot be decoded.
        """
        name = encoder()
        if item.kind != "video":
            raise UsageError(f"It is a {item.kind.replace('_', ' ')} and no film.")
        if not name:
            raise UsageError("FFmpeg here has no encoder that browsers know (libx264, libvpx): look at the frames.")
        end = min(start + LONGEST_S, end if end is not None else start + LONGEST_S)
        if end <= start:
            raise UsageError(f"A segment ends after it begins, got {start:g} to {end:g} s.")
        kind = "mp4" if name == "libx264" else "webm"
        digest = hashlib.blake2b(f"{item.key} {item.uri} {start:.3f} {end:.3f}".encode(), digest_size=16).hexdigest()
        path = self._folder / f"{digest}.{kind}"
        with self._lock:  # one at a time: each takes a core
            if not path.exists():
                self._make_room()
                beside = path.with_suffix(f".partial.{kind}")
                try:
                    _encode(item.uri, start, end, beside, name)
                    beside.replace(path)
                finally:
                    beside.unlink(missing_ok=True)
            os.utime(path)
        return path, f"video/{kind}"

    def _make_room(self) -> None:
        there = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        total = 0
        for path in there:
            total += path.stat().st_size
            if total > _KEPT_BYTES:
                path.unlink()


def _encode(uri: str, start: float, end: float, out: Path, encoder: str) -> None:
    times, frames = _pictures(uri, start, end)
    first = next(frames)
    lines = min(_LINES, first.shape[0]) // 2 * 2 or 2
    width = max(2, round(first.shape[1] * lines / first.shape[0] / 2) * 2)
    with av.open(str(out), "w", options={"movflags": "faststart"}) as container:
        stream: Any = container.add_stream(encoder, rate=round(_RATE), options=_options(encoder))
        stream.width, stream.height, stream.pix_fmt = width, lines, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.thread_count = 1
        frame: Any = None
        for at, rgb in zip(times, _with(first, frames), strict=True):
            shown = cv2.resize(rgb, (width, lines), interpolation=cv2.INTER_AREA)
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts, frame.time_base = round(max(at - start, 0.0) * _TICKS), Fraction(1, _TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _options(encoder: str) -> dict[str, str]:
    if encoder == "libx264":
        return {"preset": "veryfast", "crf": "23", "g": "30"}
    return {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "2M"}


def _with(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _pictures(uri: str, start: float, end: float) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Times (T,) in seconds and frames of a span, at most `_RATE` a second; at least the frame shown at its start."""
    chosen: list[np.ndarray] = []

    def choose(times: np.ndarray) -> np.ndarray:
        shown = times - times[0]
        first = max(int(np.searchsorted(shown, start, side="right")) - 1, 0)
        last = max(int(np.searchsorted(shown, end, side="left")), first + 1)
        # half a step of room: times of one rate are never quite even
        step, due, kept = 1 / _RATE, -np.inf, []
        for at in range(first, last):
            if shown[at] >= due - step / 2:
                kept.append(at)
                due = max(due, shown[at] - step / 2) + step
        found = np.array(kept, np.int64)
        chosen.append(shown[found])
        return found

    _, frames = clips.stream(uri, choose)
    return chosen[-1], frames


def picture(item: Item, moment: float) -> bytes:
    """The frame that is shown at a moment of a film, or an image, as JPEG of 240 lines.

    Raises
    ------
    InputFault, MachineFault
        As `frames_at`.
    """
    if item.kind not in ("video", "image"):
        raise Unreachable(f"it is a {item.kind.replace('_', ' ')}, which has no frames")
    path = local(item)
    return _picture(item.uri, path.stat().st_mtime_ns if path else 0, round(moment, 2), item.kind == "image")


@functools.lru_cache(512)
def _picture(uri: str, stamp: int, moment: float, is_image: bool) -> bytes:
    rgb = images.read(uri, _HEIGHT) if is_image else frames_at(uri, [moment])[0]
    size = (_HEIGHT, max(1, round(rgb.shape[1] * _HEIGHT / rgb.shape[0])))
    small = Geometry(size, size)(rgb)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data.tobytes())
