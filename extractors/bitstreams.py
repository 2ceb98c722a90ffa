"""What the bytes of a packet prove: that it holds one picture that is shown, and whether decoding may begin at it.

    name of the codec, its header ──look_into──▶ look(packet) ─▶ RESET, ENTRY, PICTURE, or None where nothing is proven

A container's flags are its writer's word: alternate references look like pictures, intra refresh like key pictures. So
packets are skipped only where the stream itself says, packet by packet, that this is exact; a stream that says anything
else is decoded whole. Only headers are read, a few bytes a packet.

References: ITU-T H.264 (7.3.1, 7.3.2.1.1, 7.3.3), ITU-T H.265 (7.3.1.2, 7.3.2.3.1, 7.3.6.1), the VP9 bitstream
specification (6.2, annex B), the AV1 bitstream specification (5.3, 5.9.2).
"""

from collections.abc import Callable, Iterator

Data = bytes | memoryview
Look = Callable[[Data], int | None]

PICTURE = 0  #: one shown picture, which may refer to others
ENTRY = 1  #: pictures shown after it refer to nothing before it; those shown before it, but coded after it, may
RESET = 2  #: nothing that comes after it refers to anything before it


def look_into(codec: str, header: bytes) -> Look | None:
    """How to look into the packets of a stream.

    Parameters
    ----------
    codec : str
        FFmpeg's name of the codec.
    header : bytes
        The codec's configuration, as mp4 and Matroska hold it.

    Returns
    -------
    Function of a packet's bytes, which gives RESET, ENTRY or PICTURE; None for a packet of which it is not certain that
    it gives exactly one picture. None instead of the function where that holds for the whole stream.
    """
    look = _of_codec(codec, header)
    return look and _careful(look)


def _of_codec(codec: str, header: bytes) -> Look | None:
    try:
        if codec == "h264":
            return _h264(header)
        if codec == "hevc":
            return _hevc(header)
    except IndexError:  # a header that ends too early
        return None
    return {"vp9": _vp9, "av1": _av1}.get(codec)


def _careful(look: Look) -> Look:
    def careful(data: Data) -> int | None:
        try:
            return look(data)
        except IndexError:  # a packet that ends too early
            return None

    return careful


class _Bits:
    """Bits of a header, first to last."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._at = 0

    def one(self) -> int:
        """The next bit."""
        bit = self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
        self._at += 1
        return bit

    def number(self, width: int) -> int:
        """The next `width` bits as a number."""
        value = 0
        for _ in range(width):
            value = value << 1 | self.one()
        return value

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while not self.one():
            zeros += 1
        return (1 << zeros) - 1 + self.number(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb number."""
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _unescaped(unit: bytes) -> bytes:
    """A NAL unit without the bytes that only keep start codes from appearing in it."""
    return unit.replace(b"\0\0\3", b"\0\0")


def _configured(header: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """So many NAL units of a header, each behind its length in two bytes, and where the next thing stands."""
    units = []
    for _ in range(count):
        length = header[at] << 8 | header[at + 1]
        units.append(header[at + 2 : at + 2 + length])
        at += 2 + length
    return units, at


def _units(data: Data, width: int) -> Iterator[Data]:
    """The NAL units of a packet, each behind its length in `width` bytes."""
    at = 0
    while at + width < len(data):
        length = int.from_bytes(data[at : at + width], "big")
        yield data[at + width : at + width + length]
        at += width + length


# -- H.264 ------------------------------------------------------------------------------------------------------------

_WITH_CHROMA = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # profiles whose header says more


def _h264(header: bytes) -> Look | None:
    if not header or header[0] != 1:
        return None
    width = (header[4] & 3) + 1
    known, _ = _configured(header, 6, header[5] & 31)
    if not known or not all(map(_is_progressive, known)):
        return None

    def look(data: Data) -> int | None:
        pictures, seen = 0, PICTURE
        for unit in _units(data, width):
            kind = unit[0] & 31 if len(unit) > 1 else 0
            if kind in (1, 5):
                pictures += unit[1] >> 7  # its first macroblock is number 0
                seen = RESET if kind == 5 else seen
            elif kind in (2, 3, 4) or (kind == 7 and bytes(unit) not in known):
                return None  # partitions of slices; a header we have not read
        return seen if pictures == 1 else None

    return look


def _is_progressive(unit: bytes) -> bool:
    """True if a sequence parameter set allows neither fields nor missing frames: then a slice 0 begins each picture."""
    bits = _Bits(_unescaped(unit)[1:])
    profile = bits.number(8)
    bits.number(16)
    bits.golomb()
    if profile in _WITH_CHROMA:
        chroma = bits.golomb()
        if chroma == 3:
            bits.one()
        bits.golomb(), bits.golomb(), bits.one()
        if bits.one():
            for number in range(12 if chroma == 3 else 8):
                if bits.one():
                    _pass_scaling_list(bits, 16 if number < 6 else 64)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.one(), bits.signed(), bits.signed()
        for _ in range(bits.golomb()):
            bits.signed()
    bits.golomb()
    has_gaps = bits.one()
    bits.golomb(), bits.golomb()
    return bool(bits.one()) and not has_gaps


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    last = scale = 8
    for _ in range(size):
        if scale:
            scale = (last + bits.signed()) % 256
        last = scale or last


# -- HEVC -------------------------------------------------------------------------------------------------------------


def _hevc(header: bytes) -> Look | None:
    if not header or header[0] != 1:
        return None
    width = (header[21] & 3) + 1
    known: list[bytes] = []
    at = 23
    for _ in range(header[22]):
        kind = header[at] & 63
        units, at = _configured(header, at + 3, header[at + 1] << 8 | header[at + 2])
        known += units if kind == 34 else []
    if not known or any(map(_may_hide, known)):
        return None

    def look(data: Data) -> int | None:
        pictures, seen = 0, PICTURE
        for unit in _units(data, width):
            if len(unit) < 3 or unit[0] & 1 or unit[1] >> 3:
                continue  # of another layer
            kind = unit[0] >> 1 & 63
            if kind < 32:
                pictures += unit[2] >> 7
                if 16 <= kind <= 23:
                    if unit[2] & 64:
                        return None  # pictures before it are not put out
                    seen = RESET if kind in (19, 20) else ENTRY
            elif kind in (36, 37) or (kind == 34 and bytes(unit) not in known):
                return None  # the sequence ends; a header we have not read
        return seen if pictures == 1 else None

    return look


def _may_hide(unit: bytes) -> bool:
    """True if a picture parameter set lets a picture say that it is not shown."""
    bits = _Bits(_unescaped(unit)[2:])
    bits.golomb(), bits.golomb(), bits.one()
    return bool(bits.one())


# -- VP9 --------------------------------------------------------------------------------------------------------------


def _vp9(data: Data) -> int | None:
    if not len(data):
        return None
    shown, seen = 0, PICTURE
    for number, first in enumerate(_vp9_frames(data)):
        bits = _Bits(bytes((first,)))
        if bits.number(2) != 2:
            return None
        if bits.one() + 2 * bits.one() == 3:
            bits.one()
        if bits.one():  # one of the pictures kept is shown
            shown += 1
            continue
        is_key = not bits.one()
        shown += bits.one()
        if is_key and number == 0:
            seen = RESET
    return seen if shown == 1 else None


def _vp9_frames(data: Data) -> Iterator[int]:
    """The first byte of each frame of a packet: one, or as many as the index at its end says."""
    last = data[-1]
    count, width = (last & 7) + 1, (last >> 3 & 3) + 1
    size = 2 + count * width
    if last & 0xE0 != 0xC0 or len(data) < size or data[-size] != last:
        yield data[0]
        return
    at = 0
    for number in range(count):
        place = len(data) - size + 1 + number * width
        length = int.from_bytes(data[place : place + width], "little")
        if length and at < len(data) - size:
            yield data[at]
        at += length


# -- AV1 --------------------------------------------------------------------------------------------------------------


def _av1(data: Data) -> int | None:
    shown, seen, frames, at = 0, PICTURE, 0, 0
    while at < len(data):
        head = data[at]
        kind = head >> 3 & 15
        at += 2 if head & 4 else 1
        if not head & 2:  # without its size: it is the last
            length = len(data) - at
        else:
            length = shift = 0
            while at < len(data):
                byte = data[at]
                length |= (byte & 127) << shift
                at, shift = at + 1, shift + 7
                if not byte & 128:
                    break
        if kind in (3, 6) and length:
            first = data[at]
            if first & 128:  # one of the pictures kept is shown
                shown += 1
            else:
                shown += first >> 4 & 1
                if not first >> 5 & 3 and first & 16 and not frames:
                    seen = RESET
            frames += 1
        at += length
    return seen if shown == 1 else None
