"""Decode and sample: a video in, the clips of every view out, from one decode.

    video ──scan packets──▶ timeline ──samplings──▶ frames needed ──decode──▶ RGB ──geometries──▶ (m, T, H, W, 3) uint8

The packets are read once without decoding: that gives the time of every frame, shows a truncated file, and tells which
packets a wanted frame depends on. Only those are decoded (skipping is exact: nothing is skipped that a decoded frame
refers to). A frame several views want is converted to RGB once. One thread, one reused reformatter: workers run side by
side, so threads inside would only compete.
"""

import bisect
import dataclasses
import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import av
import fsspec
import numpy as np
from av.video.reformatter import VideoReformatter

from extractors.errors import Corrupt, InputFault, MachineFault, NoDecoder, NotAVideo, TooShort, Truncated, Unreachable
from extractors.sampling import Geometry, Sampling, View

_RGB24 = "rgb24"
_NOT_FILM = {"tty", "bin", "xbin", "idf", "adf"}  # FFmpeg reads any text as a film of a terminal
_PROBES = Path(__file__).parent / "probes"
_PROBE_VIEW = View(Sampling(clips=2, frames=3, placement="linspace"), Geometry(resize=40, crop=32))


class Clips(NamedTuple):
    """The clips of one video.

    Attributes
    ----------
    pixels : (m, T, H, W, 3) uint8, RGB
    times : (m, 2) float32, seconds from the first frame of the item
    """

    pixels: np.ndarray
    times: np.ndarray


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What the packets of a video stream say without being decoded.

    Attributes
    ----------
    times : (n,) float64, seconds; when each frame is shown, increasing
    pts : list of int or None
        Time stamp of each frame in the same order; None where the container has none (AVI), then frames are told apart
        by their number.
    packets : list of (pts, is_keyframe, is_disposable), in decoding order
    """

    times: np.ndarray
    pts: list[int] | None
    packets: list[tuple[int | None, bool, bool]]

    def needed(self, wanted: set[int]) -> list[bool] | None:
        """Which packets must be decoded so that the frames with these time stamps come out right; None: all."""
        if self.pts is None:
            return None
        keyframes = [i for i, (_, is_key, _) in enumerate(self.packets) if is_key]
        until: dict[int, int] = {}  # first packet of a group of pictures -> last wanted packet in it
        for i, (pts, _, _) in enumerate(self.packets):
            if pts is None or pts not in wanted:
                continue
            group = bisect.bisect_right(keyframes, i) - 1
            if group > 0 and pts < (self.packets[keyframes[group]][0] or 0):
                group -= 1  # shown before its keyframe: it also refers to the group before
            until[keyframes[group] if group >= 0 else 0] = i
        needed = [False] * len(self.packets)
        for start, end in until.items():
            for i in range(start, end + 1):
                needed[i] = not self.packets[i][2] or self.packets[i][0] in wanted
        return needed


def read(
    uri: str, views: Mapping[str, View], key: bytes = b"", span_s: tuple[float, float] | None = None
) -> dict[str, Clips | InputFault]:
    """Decode one video once for all views.

    Parameters
    ----------
    uri : str
        A local path or anything fsspec opens.
    views : mapping of name to View
    key : bytes
        Content key; seeds the samplings that are random.
    span_s : (start, end), optional
        The part of an untrimmed video that is the item, in seconds.

    Returns
    -------
    dict of name to Clips, or to the InputFault that concerns this view alone (too short for it)

    Raises
    ------
    InputFault
        Unreachable, not a video, truncated, corrupt: the item gives nothing to any view.
    MachineFault
        FFmpeg here has no decoder for it.
    """
    timeline = _scan(uri)
    first, last = _span_of(timeline, span_s)
    out: dict[str, Clips | InputFault] = {}
    uses: dict[int, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for name, view in views.items():
        try:
            indices, spans = view.sampling.frame_indices(timeline.times[first:last], key)
        except TooShort as fault:
            out[name] = fault
            continue
        pixels = np.empty((*indices.shape, *view.geometry.size, 3), np.uint8)
        out[name] = Clips(pixels, spans)
        for frame in np.unique(indices):
            uses[int(frame) + first].append((name, np.argwhere(indices == frame)))
    missing = len(uses)
    for frame, rgb in _frames(uri, timeline, set(uses)):
        missing -= 1
        shaped: dict[Geometry, np.ndarray] = {}
        for name, places in uses[frame]:
            geometry = views[name].geometry
            if geometry not in shaped:
                shaped[geometry] = geometry(rgb)
            clips = out[name]
            assert isinstance(clips, Clips)
            for clip, t in places:
                clips.pixels[clip, t] = shaped[geometry]
    if missing:
        raise Corrupt(f"{missing} of the {len(uses)} frames needed did not come out of the decoder")
    return out


def stream(
    uri: str, choose: Callable[[np.ndarray], np.ndarray], span_s: tuple[float, float] | None = None
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """The frames of one video as they are decoded, for whoever looks at them one after another.

    Parameters
    ----------
    uri : str
        A local path or anything fsspec opens.
    choose : callable
        Gives the rising numbers of the frames wanted, of the times (n,) in seconds at which all are shown.
    span_s : (start, end), optional
        The part of an untrimmed video that is the item, in seconds.

    Returns
    -------
    times : (T, 2) float32, seconds from the first frame of the item; each frame stands until the next one
    frames : T times (h, w, 3) uint8, RGB, upright; only one is in memory

    Raises
    ------
    InputFault, MachineFault
        As `read`; what only decoding shows, while the frames are taken.
    """
    timeline = _scan(uri)
    first, last = _span_of(timeline, span_s)
    shown = timeline.times[first:last] - timeline.times[first]
    chosen = choose(timeline.times[first:last])
    end = shown[-1] + (shown[-1] / (len(shown) - 1) if len(shown) > 1 else 1 / 25)
    starts = shown[chosen]
    return np.stack([starts, [*starts[1:], end]], 1).astype(np.float32), _all_of(uri, timeline, chosen + first)


def _all_of(uri: str, timeline: Timeline, wanted: np.ndarray) -> Iterator[np.ndarray]:
    missing = len(wanted)
    for _, rgb in _frames(uri, timeline, {int(frame) for frame in wanted}):
        missing -= 1
        yield rgb
    if missing:
        raise Corrupt(f"{missing} of the {len(wanted)} frames needed did not come out of the decoder")


def thumbnails(uri: str, count: int, height: int) -> list[np.ndarray]:
    """`count` frames evenly over the video, (height, w, 3) uint8 RGB each, for people to look at."""
    timeline = _scan(uri)
    wanted, _ = Sampling(clips=1, frames=count, placement="spread").frame_indices(timeline.times)
    frames = {}
    for frame, rgb in _frames(uri, timeline, {int(i) for i in wanted[0]}):
        width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
        frames[frame] = Geometry((height, width), (height, width))(rgb)
    return [frames[int(i)] for i in wanted[0] if int(i) in frames]


@functools.cache
def probe_digest() -> str:
    """Digest of what decoding the bundled probe clips gives on this machine: 32 hexadecimal digits.

    It stands in every video recipe: an FFmpeg that decodes otherwise makes another feature set, one that decodes the
    same (seen over five releases) keeps the cache.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(_PROBES.iterdir()):
        if path.suffix == ".py" or path.name.startswith(("_", ".")):
            continue
        clips = read(str(path), {"probe": _PROBE_VIEW})["probe"]
        if isinstance(clips, InputFault):
            raise MachineFault(f"The bundled probe clip {path.name} does not decode here: {clips}.")
        digest.update(clips.pixels.tobytes())
    return digest.hexdigest()


def _span_of(timeline: Timeline, span_s: tuple[float, float] | None) -> tuple[int, int]:
    if span_s is None:
        return 0, len(timeline.times)
    shown = timeline.times - timeline.times[0]
    first, last = (int(i) for i in np.searchsorted(shown, span_s))
    if first >= last:
        raise TooShort(
            f"no frame lies between {span_s[0]:g} s and {span_s[1]:g} s; the video ends at {shown[-1]:.2f} s"
        )
    return first, last


class _Open:
    """An opened container with its first video stream; turns FFmpeg's errors into ours."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._file: Any = None
        self._container: Any = None

    def __enter__(self) -> tuple[Any, Any]:
        try:
            if "://" in self._uri and not self._uri.startswith("file://"):
                self._file = fsspec.open(self._uri, "rb").open()
            source = self._file or self._uri.removeprefix("file://")
            self._container = av.open(source, metadata_errors="replace")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        container = self._container
        if container.format.name in _NOT_FILM or not container.streams.video:
            kind = "no video stream" if container.streams.audio else f"the format {container.format.name}"
            self._close()
            raise NotAVideo(f"it has {kind}")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            self._close()
            raise NoDecoder("FFmpeg here has no decoder for its video stream, or its codec tag is broken")
        stream.codec_context.thread_count = 1
        return container, stream

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._close()
        if error is None or isinstance(error, (InputFault, MachineFault)):
            return
        if isinstance(error, av.error.DecoderNotFoundError):
            raise MachineFault(f"FFmpeg here has no decoder for {self._uri}: {error.strerror}.") from error
        if isinstance(error, (FileNotFoundError, IsADirectoryError)):
            raise Unreachable("the file is not there (any more)") from error
        if isinstance(error, PermissionError):
            raise Unreachable("the file may not be read (permissions)") from error
        if isinstance(error, MemoryError) and not _memory_is_left():
            return  # it is this machine, not the file
        if isinstance(error, av.error.FFmpegError):
            if self._container is None:
                raise NotAVideo(f"FFmpeg cannot open it: {error.strerror}") from error
            raise Corrupt(f"FFmpeg cannot decode it: {error.strerror}") from error
        if isinstance(error, OSError):
            raise Unreachable(f"reading failed: {error.strerror or error}") from error

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        if self._file is not None:
            self._file.close()


def _memory_is_left() -> bool:
    """True if a decoder's wish for memory failed because of what a broken header says, not because memory is short."""
    try:
        bytearray(256 << 20)
    except MemoryError:
        return False
    return True


def _scan(uri: str) -> Timeline:
    """The timeline of a video from its packets."""
    with _Open(uri) as (container, stream):
        packets: list[tuple[int | None, bool, bool]] = []
        stamps: list[int] = []
        has_stamps = True
        end = 0  # when the last frame is no longer shown: it may be shown long
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            packets.append((packet.pts, packet.is_keyframe, packet.is_disposable))
            if packet.is_discard:
                continue  # decoded for others' sake, never shown
            if packet.pts is None:
                has_stamps = False
            else:
                stamps.append(packet.pts)
                end = max(end, packet.pts + (packet.duration or 0))
        if not packets:
            raise NotAVideo("its video stream is empty")
        if has_stamps and len(set(stamps)) == len(stamps):
            stamps.sort()
            times = np.array(stamps, np.float64) * float(stream.time_base)
            timeline = Timeline(times, stamps, packets)
        else:
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            timeline = Timeline(np.arange(len(packets)) / rate, None, packets)
        _refuse_truncated(container, stream, timeline.times, end * float(stream.time_base))
        return timeline


def _refuse_truncated(container: Any, stream: Any, times: np.ndarray, end_s: float) -> None:
    """Compare how long a video the container announces with what it holds; FFmpeg itself hides the difference."""
    if container.format.name == "avi" and stream.frames:  # FFmpeg cuts the duration of a short AVI to fit the file
        announced = float(stream.frames * stream.time_base)
    elif stream.duration:
        announced = float(stream.duration * stream.time_base)
    elif len(container.streams) == 1 and container.duration:
        announced = container.duration / av.time_base
    else:
        return
    held = max(float(times[-1] - times[0]) * len(times) / max(len(times) - 1, 1), end_s - float(times[0]))
    if held < announced - max(0.5, 0.02 * announced):
        raise Truncated(
            f"the container announces {announced:.1f} s of video, the file holds {held:.1f} s, {len(times)} frames"
        )


def _frames(uri: str, timeline: Timeline, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(frame number, RGB (h, w, 3) uint8, upright) of the wanted frames, in the order shown."""
    if not wanted:
        return
    by_stamp = {timeline.pts[i]: i for i in wanted} if timeline.pts is not None else None
    needed = timeline.needed(set(by_stamp)) if by_stamp is not None else None
    reformatter = VideoReformatter()
    with _Open(uri) as (container, stream):
        for number, frame in enumerate(_decoded(container, stream, needed)):
            index = by_stamp.get(frame.pts) if by_stamp is not None else number
            if frame.is_corrupt:
                raise Corrupt(f"the frame at {float(frame.time or 0):.2f} s decodes with errors")
            if index is None or index not in wanted:
                continue
            rgb = reformatter.reformat(frame, format=_RGB24, threads=1).to_ndarray()
            turns = round(frame.rotation / 90) % 4
            yield index, np.rot90(rgb, turns) if turns else rgb


def _decoded(container: Any, stream: Any, needed: list[bool] | None) -> Iterator[Any]:
    """Decode the packets that are needed; across a gap the decoder is emptied, so nothing leaks from before it."""
    codec = stream.codec_context
    last = len(needed) - 1 - needed[::-1].index(True) if needed else None
    in_gap = False
    position = -1
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        position += 1
        if needed is not None and (position >= len(needed) or not needed[position]):
            in_gap = in_gap or not packet.is_disposable
            continue
        if in_gap and position:
            yield from codec.decode(None)
            codec.flush_buffers()
        in_gap = False
        yield from codec.decode(packet)
        if position == last:
            break
    yield from codec.decode(None)
