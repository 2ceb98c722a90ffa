"""Still images: upright RGB whatever the file has, and a fault of one line for what is none."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from extractors import images
from extractors.errors import Corrupt, NotAnImage, TooLarge, Unreachable


@pytest.fixture
def pixels() -> np.ndarray:
    """(40, 60, 3): red grows down, green to the right."""
    down, right = np.mgrid[:40, :60]
    return np.stack([down * 6, right * 4, np.full_like(down, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize("ending", sorted(images.ENDINGS - {".jpg", ".jpeg", ".webp"}))
def test_what_is_kept_whole_comes_out_as_it_was(tmp_path, pixels, ending):
    path = tmp_path / f"a{ending}"
    Image.fromarray(pixels).save(path)
    assert (images.read(str(path)) == pixels).all()


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_what_loses_a_little_comes_out_near(tmp_path, pixels, ending):
    path = tmp_path / f"a{ending}"
    Image.fromarray(pixels).save(path, quality=95)
    assert np.abs(images.read(str(path)).astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_mode_becomes_rgb(tmp_path, pixels, mode):
    path = tmp_path / f"a.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.fromarray(pixels).convert(mode).save(path)
    found = images.read(str(path))
    assert (found.shape, found.dtype) == ((40, 60, 3), np.uint8)
    assert found.std() > 20


def test_sixteen_bits_become_their_upper_byte(tmp_path, pixels):
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + 7).save(tmp_path / "a.png")
    assert (images.read(str(tmp_path / "a.png"))[..., 1] == pixels[..., 0]).all()


def test_a_camera_that_was_turned_is_turned_back(tmp_path, pixels):
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x112] = 6  # a quarter to the right
    turned.save(tmp_path / "a.png", exif=exif)
    assert (images.read(str(tmp_path / "a.png")) == np.rot90(pixels, -1)).all()


def test_a_large_jpeg_is_decoded_smaller_but_never_below_what_is_needed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).resize((1600, 1200)).save(tmp_path / "a.jpg")
    assert images.read(str(tmp_path / "a.jpg")).shape == (1200, 1600, 3)
    assert images.read(str(tmp_path / "a.jpg"), 224).shape == (300, 400, 3)
    assert images.read(str(tmp_path / "a.jpg"), 1000).shape == (1200, 1600, 3)


def header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    sizes = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sizes) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def broken(name: str) -> bytes:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)).save(whole, "jpeg")
    return {
        "cut": whole.getvalue()[:5000],
        "empty": b"",
        "text": b"hello",
        "large": header(30_000, 10_000),
        "larger": header(9_600, 9_600),
        "hollow": header(30, 30),
        "gif": b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,"
        b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
    }[name]


@pytest.mark.parametrize(
    ("name", "fault", "message"),
    [
        ("cut", Corrupt, "truncated"),
        ("empty", NotAnImage, "it is no JPEG, PNG, WebP, BMP or TIFF"),
        ("text", NotAnImage, "it is no JPEG, PNG, WebP, BMP or TIFF"),
        ("gif", NotAnImage, "it is no JPEG, PNG, WebP, BMP or TIFF"),
        ("large", TooLarge, "more than 89,000,000"),
        ("larger", TooLarge, "9600 x 9600 pixels; more than 89,000,000 are not decoded"),
        ("hollow", Corrupt, "it does not decode"),
    ],
)
def test_what_is_no_image_is_a_fault_of_one_line(tmp_path, name, fault, message):
    (tmp_path / "a.png").write_bytes(broken(name))
    with pytest.raises(fault, match=message) as told:
        images.read(str(tmp_path / "a.png"))
    assert "\n" not in str(told.value)


def test_one_that_is_gone_is_out_of_reach(tmp_path):
    with pytest.raises(Unreachable, match="not there"):
        images.read(str(tmp_path / "none.png"))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(Unreachable, match="cannot be reached"):
        images.read(str(tmp_path / "folder.png"))
