"""Still images: a file in, upright RGB out.

    file ─Pillow─▶ (h, w, 3) uint8

Formats are those of data sets of scenes (JPEG, PNG, WebP, BMP, TIFF) and no others; what a file says of its size is
believed only up to `untrusted.limits.most_pixels`, before anything is allocated. Sixteen bits become eight by their
upper byte, and transparency is dropped.
"""

import io
import warnings
from typing import Any

import fsspec
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from extractors.errors import Corrupt, InputFault, NotAnImage, TooLarge, Unreachable
from untrusted.limits import VARIABLE, most_pixels
from untrusted.places import refuse_strange

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")


def read(uri: str, least: int = 0) -> np.ndarray:
    """(h, w, 3) uint8, upright.

    Parameters
    ----------
    uri : str
        A local path or anything fsspec opens.
    least : int
        The shorter side that is needed; a JPEG of more than twice that is decoded at a half, a quarter or an eighth.

    Raises
    ------
    InputFault
        Unreachable, no image, one of more pixels than are decoded, cut short, corrupt.
    """
    try:
        if "://" not in uri or uri.startswith("file://"):
            refuse_strange(uri.removeprefix("file://"))
        with fsspec.open(uri, "rb") as file:
            return _decoded(io.BytesIO(file.read()), least)
    except FileNotFoundError as error:
        raise Unreachable("the file is not there (any more)") from error
    except InputFault:
        raise
    except OSError as error:
        raise Unreachable(f"the file cannot be reached: {error.strerror or error}") from error


def _decoded(file: io.BytesIO, least: int) -> np.ndarray:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
            refuse_large(width, height)
            if least:
                image.draft("RGB", (least * width // min(width, height), least * height // min(width, height)))
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except UnidentifiedImageError as error:
        raise NotAnImage("it is no JPEG, PNG, WebP, BMP or TIFF, whatever its name says") from error
    except InputFault:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge(f"it says that it has more than {most_pixels():,} pixels, which are not decoded") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Corrupt(f"it does not decode: {error}") from error


def refuse_large(width: int, height: int) -> None:
    """TooLarge where a picture has more pixels than are decoded."""
    if width * height > (most := most_pixels()):
        raise TooLarge(
            f"it has {width} x {height} pixels; more than {most:,} are not decoded, nor more than ${VARIABLE} allows"
        )


def _rgb(image: Any) -> Any:
    if image.mode.startswith("I"):  # else Pillow takes all above 255 for white
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGB")
