"""Decode and sample: a video in, the clips of every view out, from one decode.

    video ──timeline──▶ times ──samplings──▶ pictures needed ──decode──▶ RGB ──geometries──▶ (m, T, H, W, 3) uint8

Where the packets prove which picture each gives (`timeline`), only those are decoded that a wanted picture depends on.
Any other film is decoded whole and its pictures are counted as they come out: samplings are computed from what the
packets let expect, and once more where it comes otherwise. A picture several views want is converted to RGB once. One
thread, one reused reformatter: workers run side by side, so threads inside would only compete.

What a view gets does not depend on the views asked for beside it: where anything goes wrong, each is read by itself.
"""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.video.reformatter import VideoReformatter

from extractors.display import display_of
from extractors.errors import Corrupt, InputFault, MachineFault, TooShort, TooSmall, Unreachable
from extractors.films import Film
from extractors.recipe import DECODER
from extractors.sampling import Geometry, Sampling, View
from extractors.timeline import Frames, Timeline, known, refuse_corrupt, scan

_RGB24 = "rgb24"
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
    timeline = known(uri) if span_s else scan(uri)
    try:
        return _read(uri, timeline, views, key, span_s)
    except _Otherwise as found:
        return _read(uri, found.timeline, views, key, span_s)
    except Unreachable:
        raise
    except InputFault:
        if len(views) == 1 or timeline.packets is None:
            raise
    return {name: _alone(uri, view, key, span_s) for name, view in views.items()}


def _alone(uri: str, view: View, key: bytes, span_s: tuple[float, float] | None) -> Clips | InputFault:
    """What one view gets, or why it gets nothing: no frame of another's is decoded."""
    try:
        return read(uri, {"": view}, key, span_s)[""]
    except Unreachable:
        raise
    except InputFault as fault:
        return fault


def _read(
    uri: str, timeline: Timeline, views: Mapping[str, View], key: bytes, span_s: tuple[float, float] | None
) -> dict[str, Clips | InputFault]:
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
    for frame, rgb in _pictures(uri, timeline, set(uses)):
        missing -= 1
        shaped: dict[Geometry, np.ndarray] = {}
        for name, places in uses[frame]:
            clips = out[name]
            if isinstance(clips, InputFault):
                continue
            geometry = views[name].geometry
            try:
                if geometry not in shaped:
                    shaped[geometry] = geometry(rgb)
            except TooSmall as fault:
                out[name] = fault
                continue
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
    times : (T, 2) float64, seconds from the first frame of the item; each frame stands until the next one
    frames : T times (h, w, 3) uint8, RGB, upright; only one is in memory

    Raises
    ------
    InputFault, MachineFault
        As `read`; what only decoding shows, while the frames are taken.
    """
    timeline = known(uri)
    first, last = _span_of(timeline, span_s)
    shown = timeline.times[first:last] - timeline.times[first]
    chosen = choose(timeline.times[first:last])
    end = shown[-1] + (shown[-1] / (len(shown) - 1) if len(shown) > 1 else 1 / 25)
    starts = shown[chosen]
    return np.stack([starts, [*starts[1:], end]], 1), _all_of(uri, timeline, chosen + first)


def _all_of(uri: str, timeline: Timeline, wanted: np.ndarray) -> Iterator[np.ndarray]:
    missing = len(wanted)
    for _, rgb in _pictures(uri, timeline, {int(frame) for frame in wanted}):
        missing -= 1
        yield rgb
    if missing:
        raise Corrupt(f"{missing} of the {len(wanted)} frames needed did not come out of the decoder")


def thumbnails(uri: str, count: int, height: int) -> list[np.ndarray]:
    """`count` frames evenly over the video, (height, w, 3) uint8 RGB each, for people to look at."""
    timeline = known(uri)
    wanted, _ = Sampling(clips=1, frames=count, placement="spread").frame_indices(timeline.times)
    frames = {}
    for frame, rgb in _pictures(uri, timeline, {int(i) for i in wanted[0]}):
        width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
        frames[frame] = Geometry((height, width), (height, width))(rgb)
    return [frames[int(i)] for i in wanted[0] if int(i) in frames]


@functools.cache
def probe_digest() -> str:
    """What decoding gives on this machine: `DECODER`, a dash, the digest of the bundled probe clips' frames.

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
    return f"{DECODER}-{digest.hexdigest()}"


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


class _Otherwise(Exception):
    """A film that was decoded whole has other pictures than its packets let expect; carries its timeline."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(timeline)
        self.timeline = timeline


def _pictures(uri: str, timeline: Timeline, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(number, RGB (h, w, 3) uint8, upright) of the wanted pictures, in the order shown.

    Raises
    ------
    _Otherwise
        The timeline was a guess that did not come true; what was given is of no use.
    """
    if timeline.is_certain and not wanted:
        return
    reformatter, display = VideoReformatter(), None
    with Film(uri) as (container, stream):
        numbered = _of_packets if timeline.packets is not None else _of_all
        for number, frame in numbered(container, stream, timeline, wanted):
            display = display or display_of(frame)
            yield number, display.upright(reformatter.reformat(frame, format=_RGB24, threads=1).to_ndarray())


def _of_all(container: Any, stream: Any, timeline: Timeline, wanted: set[int]) -> Iterator[tuple[int, Any]]:
    frames = Frames(container, stream)
    for number, frame in enumerate(container.decode(stream)):
        refuse_corrupt(frame)
        frames.add(frame)
        if number in wanted:
            yield number, frame
    if not timeline.is_certain:
        counted = timeline.counted(frames)
        if counted.times is not timeline.times:
            raise _Otherwise(counted)


def _of_packets(container: Any, stream: Any, timeline: Timeline, wanted: set[int]) -> Iterator[tuple[int, Any]]:
    """Across a gap in the packets the decoder is emptied, so that nothing leaks from before it."""
    assert timeline.pts is not None
    by_stamp = {timeline.pts[number]: number for number in wanted}
    needed = timeline.needed(set(by_stamp))
    for frame in _decoded(container, stream, needed, set(by_stamp) if timeline.can_skip else None):
        refuse_corrupt(frame)
        if frame.pts in by_stamp:
            yield by_stamp[frame.pts], frame


def _decoded(container: Any, stream: Any, needed: list[bool], shown: set[int] | None) -> Iterator[Any]:
    """The pictures of the needed packets; where `shown` is given, of those that others refer to and of these."""
    codec = stream.codec_context
    last = len(needed) - 1 - needed[::-1].index(True)
    position, in_gap = -1, False
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        position += 1
        if position > last:
            break
        if not needed[position]:
            in_gap = True
            continue
        if in_gap and position:
            yield from codec.decode(None)
            codec.flush_buffers()
        in_gap = False
        if shown is not None:
            codec.skip_frame = "DEFAULT" if packet.pts in shown else "NONREF"
        yield from codec.decode(packet)
    yield from codec.decode(None)
