"""When each picture of a film is shown, and which packets it takes to decode some of them.

    uri ──scan──▶ Timeline, exact: from the packets alone, with what must be decoded for the wanted pictures
                           or a guess, which a decode of the whole film confirms or mends
    uri ──known──▶ Timeline that is certain; a film without an exact one is decoded whole for it, once

A packet is not a picture and a time stamp may lie: AVI has none, packed B-frames come two in a packet, alternate
references are never shown, joined parts begin their clock anew. What the decoder puts out, in its order, is the truth.
It is known without decoding only where the container holds a stamp a picture and each packet's own bytes prove that it
gives one (`bitstreams`).
"""

import bisect
import dataclasses
from typing import Any, NamedTuple

import numpy as np
from av.video.frame import PictureType

from extractors.bitstreams import ENTRY, PICTURE, RESET, Look, look_into
from extractors.errors import Corrupt, NotAVideo, Truncated
from extractors.films import Film

_STAMPED = ("mov", "matroska")  # containers with a stamp a picture; others' are made up, or of another use
_RESTARTING = ("mpegts", "mpeg")  # containers whose clock may jump where parts were joined
_JUMP_S = 1.0  # no picture of those stands longer
_SAME_S = 1e-6  # times that differ by less are one
_RATE = 25.0  # of a film that says none


class Packet(NamedTuple):
    """One packet of an exact film: its stamp, what its bytes prove (`bitstreams`), and whether its picture is shown."""

    pts: int
    proof: int
    is_shown: bool


@dataclasses.dataclass(frozen=True)
class Timeline:
    """When the pictures of a film are shown.

    Attributes
    ----------
    times : (n,) float64, seconds, increasing
    pts : list of int or None
        Time stamp of each picture, in the same order, where `packets` are known.
    packets : list of Packet or None
        In decoding order, of an exact film: a packet a picture. None: it must be decoded whole, and its pictures
        counted as they come out.
    is_certain : False where only the packets were counted
    can_skip : whether the decoder itself knows the pictures that no other refers to
    begins_inside : whether the first packet is no key picture
    period_s : from one picture to the next, where stamps say nothing
    """

    times: np.ndarray
    pts: list[int] | None = None
    packets: list[Packet] | None = None
    is_certain: bool = True
    can_skip: bool = False
    begins_inside: bool = False
    period_s: float = 0.04

    def needed(self, wanted: set[int]) -> list[bool]:
        """Which packets must be decoded so that the pictures with these stamps come out right."""
        assert self.packets is not None
        entries = [i for i, packet in enumerate(self.packets) if packet.proof != PICTURE]
        until: dict[int, int] = {}  # first packet of a group of pictures -> last wanted packet in it
        for i, packet in enumerate(self.packets):
            if packet.pts not in wanted or not packet.is_shown:
                continue
            group = bisect.bisect_right(entries, i) - 1
            entry = self.packets[entries[group]]
            if entry.proof == ENTRY and packet.pts < entry.pts:
                group -= 1  # shown before its key picture: it also refers to the group before
            until[entries[group]] = i
        needed = [False] * len(self.packets)
        for start, end in until.items():
            needed[start : end + 1] = [True] * (end + 1 - start)
        return needed

    def counted(self, frames: "Frames") -> "Timeline":
        """The timeline of a film that was decoded whole: this one, now certain, where it came as expected.

        Raises
        ------
        Corrupt
            It begins between key pictures, so that its first pictures refer to what is not there.
        """
        fewer = len(frames.stamps) < len(self.times)
        if self.begins_inside and (fewer or not frames.begins_whole):
            raise Corrupt(
                "it was cut between key pictures: what its first pictures refer to is not in the file. Cut it again "
                "with re-encoding (`ffmpeg -ss START -i WHOLE ... -c:v libx264`), or at a key picture"
            )
        times = frames.times(self.period_s)
        came_true = len(times) == len(self.times) and np.allclose(
            times - times[0], self.times - self.times[0], rtol=0, atol=_SAME_S
        )
        return Timeline(self.times if came_true else times)


class Frames:
    """What a decode of a whole film puts out: stamps in its order.

    Parameters
    ----------
    container, stream : PyAV's, of the film
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.stamps: list[int | None] = []
        self.begins_whole = False
        self._base = float(stream.time_base)
        self._restarts = container.format.name in _RESTARTING

    def add(self, frame: Any) -> None:
        """Count one picture."""
        if not self.stamps:
            self.begins_whole = frame.pict_type == PictureType.I
        self.stamps.append(frame.pts)

    def times(self, period_s: float) -> np.ndarray:
        """(n,) float64, seconds: from the stamps where they are sane, else from the pictures' numbers."""
        if not self.stamps:
            raise Corrupt("none of its packets gives a picture")
        if None not in self.stamps:
            times = np.array(self.stamps, np.float64) * self._base
            steps = np.diff(times)
            if (steps > 0).all() and not (self._restarts and _jumps(steps)):
                return times
        return np.arange(len(self.stamps)) * period_s


def scan(uri: str) -> Timeline:
    """The timeline of a film as its packets tell it, without decoding: exact, or a guess (`is_certain` is False).

    Raises
    ------
    InputFault, MachineFault
        As `films.Film`; a film without a packet, or with less than its container announces.
    """
    with Film(uri) as (container, stream):
        look = _look(container, stream)
        packets: list[Packet] = []
        stamps: list[int | None] = []  # of the packets whose pictures are shown
        ticks: list[int] = []  # when they are decoded
        ends: dict[int, tuple[float, float]] = {}  # when a stream begins and is no longer shown
        begins_inside = None
        for packet in container.demux():
            if packet.size == 0:
                continue
            _extend(ends, packet)
            if packet.stream_index != stream.index:
                continue
            if begins_inside is None:
                begins_inside = not packet.is_keyframe
            if not packet.is_discard:  # else decoded for others' sake, never shown
                stamps.append(packet.pts)
                ticks += [] if packet.dts is None else [packet.dts]
            if look:
                proof = look(memoryview(packet))
                if proof is None or packet.pts is None:
                    look = None
                else:
                    packets.append(Packet(packet.pts, proof, not packet.is_discard))
        if not stamps:
            raise NotAVideo("its video stream is empty")
        period_s = _period(stream, ticks)
        _refuse_truncated(container, stream, ends, len(stamps), period_s)
        pts = [pts for pts in stamps if pts is not None]
        if len(set(pts)) < len(stamps):
            times = np.arange(len(stamps)) * period_s
        else:
            times = np.array(sorted(pts), np.float64) * float(stream.time_base)
            if look and packets[0].proof == RESET:
                can_skip = stream.codec_context.codec.canonical_name == "h264"
                return Timeline(times, sorted(pts), packets, can_skip=can_skip)
        return Timeline(times, is_certain=False, begins_inside=bool(begins_inside), period_s=period_s)


def known(uri: str) -> Timeline:
    """The timeline of a film, certain: where its packets do not prove it, the film is decoded whole.

    Raises
    ------
    InputFault, MachineFault
        As `scan`; what only decoding shows.
    """
    timeline = scan(uri)
    if timeline.is_certain:
        return timeline
    with Film(uri) as (container, stream):
        frames = Frames(container, stream)
        for frame in container.decode(stream):
            refuse_corrupt(frame)
            frames.add(frame)
        return timeline.counted(frames)


def refuse_corrupt(frame: Any) -> None:
    """Raise Corrupt for a picture that FFmpeg put out with errors in it."""
    if frame.is_corrupt:
        raise Corrupt(f"the frame at {float(frame.time or 0):.2f} s decodes with errors")


def _look(container: Any, stream: Any) -> Look | None:
    if container.format.name.split(",")[0] not in _STAMPED:
        return None
    codec = stream.codec_context
    return look_into(codec.codec.canonical_name, bytes(codec.extradata or b""))


def _period(stream: Any, ticks: list[int]) -> float:
    """Seconds from one picture to the next: what most packets keep, for an AVI may count ticks between its pictures."""
    steps = np.diff(ticks)
    if (steps > 0).any():
        return float(np.median(steps[steps > 0]) * stream.time_base)
    return 1 / float(stream.average_rate or stream.guessed_rate or _RATE)


def _jumps(steps: np.ndarray) -> bool:
    return bool((steps > max(_JUMP_S, 10 * float(np.median(steps)))).any()) if len(steps) else False


def _extend(ends: dict[int, tuple[float, float]], packet: Any) -> None:
    if packet.pts is None:
        return
    start = float(packet.pts * packet.time_base)
    end = start + float((packet.duration or 0) * packet.time_base)
    first, last = ends.get(packet.stream_index, (start, end))
    ends[packet.stream_index] = min(first, start), max(last, end)


def _refuse_truncated(
    container: Any, stream: Any, ends: dict[int, tuple[float, float]], shown: int, period_s: float
) -> None:
    """Compare what the container announces with what it holds; FFmpeg itself hides the difference."""
    name = container.format.name
    first, last = ends.get(stream.index, (0.0, 0.0))
    if name == "avi" and stream.frames:  # FFmpeg cuts the duration of a short AVI to fit the file
        announced, held = float(stream.frames * stream.time_base), max(last - first, shown * period_s)
    elif stream.duration and name not in _RESTARTING:  # theirs is reckoned from the stamps that are there
        announced = float(stream.duration * stream.time_base)
        held = max(last - first, shown * period_s)
    elif (
        container.duration and ends and name not in _RESTARTING
    ):  # of all streams: sound may well be longer than the film
        announced = container.duration / 1e6
        start = 0.0 if name.startswith("matroska") else min(start for start, _ in ends.values())
        held = max(end for _, end in ends.values()) - start
    else:
        return
    if held < announced - max(0.5, 0.02 * announced):
        raise Truncated(f"the container announces {announced:.1f} s, the file holds {held:.1f} s, {shown} frames")
