"""What packets prove of themselves: one picture each, and where decoding may begin; anything else proves nothing."""

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.bitstreams import ENTRY, PICTURE, RESET, look_into
from tests.extractors.numbered import hide, remux, write


def packets_of(path) -> tuple[str, bytes, list[bytes]]:
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        header = bytes(codec.extradata or b"")
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        return codec.codec.canonical_name, header, packets


def proofs(path) -> list[int | None]:
    name, header, packets = packets_of(path)
    look = look_into(name, header)
    assert look is not None
    return [look(packet) for packet in packets]


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "baseline", "bf": "0"},
        {"profile": "main"},
        {"profile": "high"},
        {"profile": "high", "x264-params": "cqm=jvt"},
        {"x264-params": "slices=4"},
        {"x264-params": "repeat-headers=1"},
        {"bf": "0", "tune": "zerolatency"},
    ],
    ids=str,
)
def test_h264_begins_at_each_idr_picture_whatever_the_encoder_was_told(tmp_path, options):
    found = proofs(write(tmp_path / "v.mp4", "libx264", {"g": "12", "sc_threshold": "0", **options}))
    assert [i for i, proof in enumerate(found) if proof == RESET] == [0, 12, 24, 36]
    assert set(found) == {RESET, PICTURE}


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p10le", "yuv422p"])
def test_h264_headers_of_other_pixels_are_read(tmp_path, pixels):
    assert proofs(write(tmp_path / "v.mp4", "libx264", {"g": "12"}, pixels=pixels))[0] == RESET


def test_intra_refresh_and_open_groups_are_no_place_to_begin(tmp_path):
    for parameters in ("intra-refresh=1", "open-gop=1"):
        path = write(tmp_path / "v.mp4", "libx264", {"g": "10", "x264-params": parameters})
        with av.open(str(path)) as container:
            flagged = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
        assert flagged > 1, "the container flags no other picture, so nothing is tried here"
        assert proofs(path).count(RESET) == 1


def test_h264_of_fields_proves_nothing(tmp_path):
    name, header, _ = packets_of(write(tmp_path / "v.mp4", "libx264", {"x264-params": "interlaced=1"}))
    assert look_into(name, header) is None


def test_a_packet_of_two_pictures_or_of_none_proves_nothing(tmp_path):
    name, header, packets = packets_of(write(tmp_path / "v.mp4", "libx264", {"bf": "0"}))
    look = look_into(name, header)
    assert look is not None
    assert look(packets[3] + packets[4]) is None
    nothing = bytes([0, 0, 0, 2, 6, 5])  # a message and no slice
    assert look(nothing) is None


@pytest.mark.parametrize(("is_open", "expected"), [("0", RESET), ("1", ENTRY)])
def test_hevc_tells_closed_groups_from_open_ones(tmp_path, is_open, expected):
    parameters = f"log-level=none:open-gop={is_open}:keyint=10:min-keyint=10:scenecut=0"
    found = proofs(write(tmp_path / "v.mp4", "libx265", {"x265-params": parameters}))
    assert found[0] == RESET
    assert [found[i] for i in range(1, 48) if found[i] != PICTURE] == [expected] * 4
    assert None not in found


def test_vp9_shows_one_picture_a_packet_whatever_else_the_packet_holds(tmp_path):
    source = write(tmp_path / "source.webm", "libvpx-vp9", {"g": "20", "lag-in-frames": "0"})
    path = remux(source, tmp_path / "v.webm", lambda packets: hide(packets, {5, 30}, joined=True))
    name, header, packets = packets_of(path)
    assert packets[5][-1] & 0xE0 == 0xC0, "no packet holds a hidden picture"
    found = proofs(path)
    assert [i for i, proof in enumerate(found) if proof == RESET] == [0, 19, 38]
    assert len(found) == 46
    assert None not in found
    look = look_into(name, header)
    assert look is not None
    alone = bytearray(packets[1])
    alone[0] &= 0xFD
    assert look(bytes(alone)) is None, "a packet that shows nothing"
    assert look(b"") is None


def test_av1_begins_at_each_key_frame_that_is_shown(tmp_path):
    found = proofs(write(tmp_path / "v.mkv", "libsvtav1", {"g": "10", "preset": "10", "crf": "30"}))
    assert found[0] == RESET
    assert found.count(RESET) == 5
    assert None not in found


@pytest.mark.parametrize("codec", ["vp8", "mpeg4", "mpeg2video", "theora", "mjpeg", "gif"])
def test_other_codecs_prove_nothing(codec):
    assert look_into(codec, b"") is None


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    made = {
        "h264": write(folder / "a.mp4", "libx264", frames=6),
        "hevc": write(folder / "b.mp4", "libx265", {"x265-params": "log-level=none"}, frames=6),
        "vp9": write(folder / "c.webm", "libvpx-vp9", frames=6),
        "av1": write(folder / "d.mkv", "libsvtav1", {"preset": "12"}, frames=6),
    }
    return {name: packets_of(path)[1:] for name, path in made.items()}


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "av1"])
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_headers_and_packets_never_raise(films, codec, seed):
    header, packets = films[codec]
    random = np.random.default_rng(seed)

    def damaged(data: bytes) -> bytes:
        changed = bytearray(data[: random.integers(0, len(data) + 1)])
        for at in random.integers(0, max(len(changed), 1), 4):
            if changed:
                changed[at] = random.integers(256)
        return bytes(changed)

    for given_header in (header, damaged(header)):
        look = look_into(codec, given_header)
        for packet in packets:
            assert look is None or look(damaged(packet)) in (None, PICTURE, ENTRY, RESET)
