"""Films whose pictures say which they are: a number in stripes, a blue corner at the upper left."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT = 96, 64
RATE = 25
BITS = 8
_STRIPE = WIDTH // BITS


def numbered(t: int) -> np.ndarray:
    """Picture t: its number as eight stripes, black or white, over a ramp that moves; blue at the upper left."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for bit in range(BITS):
        rgb[HEIGHT // 2 :, bit * _STRIPE : (bit + 1) * _STRIPE] = 255 * (t >> bit & 1)
    rgb[: HEIGHT // 2] = ((np.arange(WIDTH) * 2 + 7 * t) % 200)[None, :, None]
    rgb[: HEIGHT // 4, : WIDTH // 4] = (0, 0, 250)
    return rgb


def number_of(rgb: np.ndarray) -> int:
    """The number that a picture (64, 96, 3) carries."""
    stripes = rgb[HEIGHT // 2 + 6 : -6].mean((0, 2)).reshape(BITS, _STRIPE)[:, 3:-3].mean(1)
    return int(sum((level > 127) << bit for bit, level in enumerate(stripes)))


def write(
    path: Path,
    codec: str,
    options: dict[str, str] | None = None,
    frames: int = 48,
    stamps: list[int] | None = None,
    first: int = 0,
    sound: str | None = None,
    pixels: str = "yuv420p",
    format: str | None = None,
) -> Path:
    """Write a film of pictures `first`, `first + 1`, ...; `stamps` in hundredths of a second, `sound` a codec."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        if stamps:
            stream.codec_context.time_base = Fraction(1, 100)
        beside = container.add_stream(sound, rate=48000) if sound else None
        for t in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(first + t), format="rgb24")
            if stamps:
                frame.pts, frame.time_base = stamps[t], Fraction(1, 100)
            container.mux(stream.encode(frame))
            if beside is not None:
                _mux_sound(container, beside, t)
        container.mux(stream.encode(None))
        if beside is not None:
            container.mux(beside.encode(None))
    return path


def _mux_sound(container: Any, stream: Any, t: int) -> None:
    count = 48000 // RATE
    frame = av.AudioFrame.from_ndarray(np.zeros((1, count), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48000, t * count
    container.mux(stream.encode(frame))


def decode(path: Path) -> list[np.ndarray]:
    """Every picture as the decoder puts it out, the plain way."""
    with av.open(str(path), metadata_errors="replace") as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def remux(source: Path, target: Path, change: Any = lambda packets: packets, **options: Any) -> Path:
    """The same packets in another container, after `change` has had its way with the list."""
    with av.open(str(source)) as given, av.open(str(target), "w", **options) as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in change([packet for packet in given.demux(video=0) if packet.size]):
            packet.stream = stream
            container.mux(packet)
    return target


def pack(path: Path) -> Path:
    """Pack the B-frames of an MPEG-4 AVI as DivX did: each in the packet of the picture coded before it.

    An empty picture stands in the place of each, so that the packets still come at the film's rate.
    """
    with av.open(str(path)) as given:
        packets = [bytes(packet) for packet in given.demux(video=0) if packet.size]
        base = given.streams.video[0].time_base
    kinds = [packet[packet.index(b"\0\0\1\xb6") + 4] >> 6 for packet in packets]  # 0 I, 1 P, 2 B
    head, picture = packets[0].split(b"\0\0\1\xb6", 1)
    packets[0] = head + b"\0\0\1\xb2DivX503b1393p" + b"\0\0\1\xb6" + picture
    nothing = b"\0\0\1\xb6" + int("01" + "0" + "1" + "00000" + "1" + "0" + "01111", 2).to_bytes(2, "big")
    packed: list[bytes] = []
    for packet, kind in zip(packets, kinds, strict=True):
        if kind == 2:
            packed[-1] += packet
            packed.append(nothing)
        else:
            packed.append(packet)
    target = path.with_name("packed_" + path.name)
    with av.open(str(path)) as given, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for tick, data in enumerate(packed):
            packet = av.Packet(data)
            packet.pts = packet.dts = tick
            packet.time_base, packet.stream = base, stream
            packet.is_keyframe = kinds[tick] == 0
            container.mux(packet)
    return target


def hide(packets: list[Any], hidden: set[int], joined: bool = False) -> list[Any]:
    """Clear the bit in some VP8 or VP9 pictures' headers that says that they are shown.

    Each gets the stamp of the next one, or, `joined` as VP9 does it, lies in one packet with it, before an index.
    """
    changed, shown, before = [], 0, b""
    for number, packet in enumerate(packets):
        data = bytearray(packet)
        if number in hidden:
            data[0] &= 0xFD if joined else 0xEF
            if joined:
                before = bytes(data)
                continue
        elif before:
            sizes = len(before).to_bytes(4, "little") + len(data).to_bytes(4, "little")
            mark = bytes([0xC0 | 3 << 3 | 1])
            data, before = bytearray(before + data + mark + sizes + mark), b""
        again = av.Packet(bytes(data))
        again.pts = again.dts = shown * 40
        again.duration, again.time_base, again.is_keyframe = 40, Fraction(1, 1000), packet.is_keyframe
        changed.append(again)
        shown += number not in hidden
    return changed
