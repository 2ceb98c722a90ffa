"""Opening a film: which containers FFmpeg may open, which of their streams is the film, and whose fault an error is.

    uri ──Film──▶ container, stream

FFmpeg opens a great many things that are no film and take a film's name: playlists and scripts that fetch other
files, text as a terminal's screen, pictures, sound with a cover. So the containers of films are listed, and nothing
that a file says makes FFmpeg open another.
"""

import struct
from typing import Any

import av
import fsspec

from extractors import images
from extractors.errors import Corrupt, InputFault, MachineFault, NoDecoder, NotAVideo, Truncated, Unreachable
from untrusted.limits import most_pixels
from untrusted.places import refuse_strange

#: FFmpeg's names of the containers that hold films in one file
CONTAINERS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg"),
    *("gif", "mxf", "dv", "rm", "nut", "ivf", "wtv"),
)
_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
_STILLS = {"heic", "heix", "heim", "heis", "mif1", "avif"}  # brands of pictures in a film's container


class Film:
    """An opened container with its film; turns FFmpeg's errors into ours.

    Parameters
    ----------
    uri : str
        A local path or anything fsspec opens.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._file: Any = None
        self._container: Any = None

    def __enter__(self) -> tuple[Any, Any]:
        """PyAV's container and stream.

        Raises
        ------
        InputFault
            Unreachable, not a video, too large, cut short, no decoder, corrupt; the last also while packets are read.
        MachineFault
            FFmpeg here has no decoder for it.
        """
        try:
            if "://" in self._uri and not self._uri.startswith("file://"):
                self._file = fsspec.open(self._uri, "rb").open()
            else:
                refuse_strange(self._uri.removeprefix("file://"))
            source = self._file or self._uri.removeprefix("file://")
            largest = {"max_pixels": str(most_pixels())}  # already while FFmpeg looks at the first pictures
            self._container = av.open(source, metadata_errors="replace", options=_OPTIONS | largest)
            stream = _film_of(self._container)
            images.refuse_large(stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = largest
            stream.codec_context.thread_count = 1
            return self._container, stream
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        opened = self._container is not None
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
            if opened:
                raise Corrupt(f"FFmpeg cannot decode it: {error.strerror}") from error
            raise _why_not(self._uri, error) from error
        if isinstance(error, OSError):
            raise Unreachable(f"reading failed: {error.strerror or error}") from error

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        if self._file is not None:
            self._file.close()


def _film_of(container: Any) -> Any:
    """The first video stream that is no picture of the film; stills and covers are none."""
    streams = [s for s in container.streams.video if not _is_picture(s)]
    if container.metadata.get("major_brand", "") in _STILLS:
        raise NotAVideo("it is a still picture in a film's container")
    if not streams:
        kinds = "only a cover picture" if container.streams.video else "no video stream"
        raise NotAVideo(f"it has {kinds} (format {container.format.name})")
    if streams[0].codec_context is None:
        raise NoDecoder("FFmpeg here has no decoder for its video stream, or its codec tag is broken")
    return streams[0]


def _is_picture(stream: Any) -> bool:
    given = stream.disposition
    return any(kind.name in ("attached_pic", "timed_thumbnails", "still_image") for kind in given)


def _why_not(uri: str, error: Any) -> InputFault:
    """Why FFmpeg did not open a file: another format than a film's, an mp4 without its index, or nothing it knows."""
    if isinstance(error, av.error.ArgumentError):
        return NotAVideo(
            "it is no film's container but a playlist, a script, text or a picture, whatever its name says"
        )
    if _lacks_index(uri):
        return Truncated("its index (the moov box, written last) is missing: the file was cut short; fetch it again")
    return NotAVideo(f"FFmpeg cannot open it: {error.strerror}")


def _lacks_index(uri: str) -> bool:
    """True if a file begins as mp4 does and ends within a box before any `moov`."""
    try:
        with fsspec.open(uri, "rb") as file:
            file.seek(0, 2)
            end, at, first = file.tell(), 0, True
            while at + 8 <= end:
                file.seek(at)
                size, kind = struct.unpack(">I4s", file.read(8))
                if size == 1:
                    size = int.from_bytes(file.read(8), "big")
                if (first and kind != b"ftyp") or kind == b"moov" or 0 < size < 8:
                    return False
                first, at = False, at + size if size else end
            return not first
    except (OSError, struct.error, ValueError):
        return False


def _memory_is_left() -> bool:
    """True if a decoder's wish for memory failed because of what a broken header says, not because memory is short."""
    try:
        bytearray(256 << 20)
    except MemoryError:
        return False
    return True
