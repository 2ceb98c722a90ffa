"""Decoding: what comes out is what a full decode gives, and every kind of broken file is named for what it is."""

import os
import shutil
import struct
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest

from extractors import clips
from extractors.errors import Corrupt, InputFault, NoDecoder, NotAVideo, TooShort, Truncated, Unreachable
from extractors.sampling import Geometry, Sampling, View
from tests.conftest import make_video, picture

SPARSE = View(Sampling(clips=3, frames=2, stride=3), Geometry(40, 32))
DENSE = View(Sampling(clips=2, frames=10), Geometry((30, 36), (28, 28)))
WHOLE = View(Sampling(clips=1, frames=4, placement="spread"), Geometry((48, 64), (48, 64)))


def decode_all(path: Path) -> list[np.ndarray]:
    """Every frame of a file, the plain way."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def times_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.array([frame.time for frame in container.decode(video=0)])


def frames_of(found: clips.Clips | InputFault) -> np.ndarray:
    assert isinstance(found, clips.Clips), found
    return found.pixels


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b_frames.mp4", "libx264", {"bf": "3", "g": "12", "b-pyramid": "normal"}),
        ("open_gop.mp4", "libx264", {"bf": "3", "g": "8", "x264-params": "open-gop=1"}),
        ("one_group.mkv", "libx264", {"g": "250"}),
        ("hevc.mp4", "libx265", {"g": "10", "x265-params": "log-level=none"}),
        ("vp9.webm", "libvpx-vp9", {"g": "10"}),
        ("xvid.avi", "mpeg4", {"bf": "2", "g": "9"}),
        ("av1.mkv", "libsvtav1", {"g": "10", "svtav1-params": "rc=0"}),
    ],
)
def test_skipping_packets_gives_the_frames_of_a_full_decode(tmp_path, name, codec, options):
    path = make_video(tmp_path / name, frames=60, codec=codec, options=options)
    plain, times = decode_all(path), times_of(path)
    assert len(plain) == 60
    found = clips.read(str(path), {"sparse": SPARSE, "dense": DENSE, "whole": WHOLE})
    for name, view in {"sparse": SPARSE, "dense": DENSE, "whole": WHOLE}.items():
        indices, _ = view.sampling.frame_indices(times)
        expected = [[view.geometry(plain[i]) for i in clip] for clip in indices]
        assert np.array_equal(frames_of(found[name]), np.array(expected))


@pytest.mark.parametrize("name", ["b.mp4", "b.avi"])
@pytest.mark.parametrize("span", [None, (0.4, 1.2)])
def test_a_stream_gives_the_chosen_frames_of_a_full_decode_in_their_order(tmp_path, name, span):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = make_video(tmp_path / name, frames=40, codec=codec, options={"bf": "2", "g": "9"})
    plain, asked = decode_all(path), []

    def choose(times):
        asked.append(times)
        return np.arange(0, len(times), 3)

    times, frames = clips.stream(str(path), choose, span)
    first, count = (10, 20) if span else (0, 40)
    assert len(asked[0]) == count
    got = list(frames)
    assert len(got) == len(times) == -(-count // 3)
    for number, frame in enumerate(got):
        assert np.array_equal(frame, plain[first + 3 * number])
    assert np.array_equal(times[1:, 0], times[:-1, 1]), "each stands until the next"
    if name == "b.mp4":  # AVI's own stamps of its last frames are odd
        np.testing.assert_allclose(times[:, 0], np.arange(0, count, 3) / 25, atol=1e-6)
        np.testing.assert_allclose(times[-1, 1], count / 25, atol=1e-6)


def test_a_stream_names_a_broken_video_before_or_while_its_frames_are_taken(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4")
    for content, fault in ((b"no video", NotAVideo), (path.read_bytes()[:1500], InputFault)):
        (tmp_path / "broken.mp4").write_bytes(content)
        with pytest.raises(fault):
            clips.stream(str(tmp_path / "broken.mp4"), lambda times: np.arange(len(times)))
    real = clips._decoded
    monkeypatch.setattr(clips, "_decoded", lambda *a: list(real(*a))[:7])
    _, frames = clips.stream(str(path), lambda times: np.arange(len(times)))
    with pytest.raises(Corrupt, match="13 of the 20 frames needed"):
        list(frames)


def test_one_decode_serves_several_views(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", frames=40)
    decoded = []
    real = clips._decoded

    def counted(*arguments):
        for frame in real(*arguments):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(clips, "_decoded", counted)
    clips.read(str(path), {"a": DENSE})
    alone = len(decoded)
    decoded.clear()
    clips.read(str(path), {"a": DENSE, "b": DENSE, "c": View(DENSE.sampling, Geometry(24, 16))})
    assert len(decoded) == alone


def test_fewer_packets_are_decoded_than_the_file_holds(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", frames=100, options={"bf": "3", "g": "10"})
    decoded = []
    real = clips._decoded
    monkeypatch.setattr(clips, "_decoded", lambda *a: (decoded.append(f) or f for f in real(*a)))
    clips.read(str(path), {"one": View(Sampling(clips=2, frames=1), Geometry(40, 32))})
    assert 0 < len(decoded) <= 20


def test_variable_rate_is_sampled_by_time(tmp_path):
    pts = [10 * t if t < 20 else 200 + 40 * (t - 20) for t in range(40)]  # 25 frames a second, then 6.25
    path = make_video(tmp_path / "vfr.mkv", frames=40, pts=pts)
    view = View(Sampling(clips=1, frames=4, placement="spread"), Geometry((48, 64), (48, 64)))
    found = frames_of(clips.read(str(path), {"v": view})["v"])
    plain, times = decode_all(path), times_of(path)
    length = times[-1] * 40 / 39
    for part in range(4):
        moment = (part + 0.5) * length / 4
        nearest = int(np.abs(times - moment).argmin())
        assert (
            min(np.abs(plain[i].astype(int) - found[0, part]).max() for i in (nearest - 1, nearest, nearest + 1)) == 0
        )
    assert not np.array_equal(found[0, 1], plain[15])  # what counting frames would give


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_is_applied(tmp_path, degrees, turns):
    path = make_video(tmp_path / "r.mp4", frames=10, size=(64, 48))
    upright = decode_all(path)
    unit = 1 << 16
    cos, sin = {90: (0, unit), 180: (-unit, 0), 270: (0, -unit)}[degrees]
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40  # the display matrix of the track header
    matrix = struct.pack(">9i", cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + matrix + data[at + 36 :])
    size = (64, 48) if turns % 2 else (48, 64)
    view = View(Sampling(clips=1, frames=10, placement="spread"), Geometry(size, size))
    found = frames_of(clips.read(str(path), {"v": view})["v"])
    clockwise = np.rot90(upright[3], -turns)  # a phone held so: players turn the picture clockwise by `degrees`
    assert np.array_equal(found[0, 3], clockwise)


@pytest.mark.parametrize("size", [(51, 37), (33, 95), (3840, 2160), (16, 16)])
def test_odd_and_large_sizes_are_just_videos(tmp_path, size):
    path = make_video(
        tmp_path / "v.webm", frames=4, size=size, codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"}
    )
    found = frames_of(clips.read(str(path), {"v": View(Sampling(1, 4), Geometry(128, 112))})["v"])
    assert found.shape == (1, 4, 112, 112, 3)
    assert found.std() > 5


def test_a_span_of_an_untrimmed_video_is_the_trimmed_video(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=100)
    found = clips.read(str(path), {"v": WHOLE}, span_s=(1.0, 2.0))["v"]
    plain = decode_all(path)
    expected = [plain[25 + i] for i in Sampling(1, 4, placement="spread").frame_indices(np.arange(25) / 25)[0][0]]
    assert np.array_equal(frames_of(found)[0], expected)
    assert found.times.max() <= 1.0 + 1e-6


def test_a_span_behind_the_end_is_too_short(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=20)
    with pytest.raises(TooShort, match=r"no frame lies between 5 s and 6 s; the video ends at 0\.76 s"):
        clips.read(str(path), {"v": WHOLE}, span_s=(5.0, 6.0))


def test_a_one_frame_video_serves_stills_but_not_clips(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=1)
    still, clip = View(Sampling(8, 1), Geometry(40, 32)), View(Sampling(1, 8, min_frames=2), Geometry(40, 32))
    found = clips.read(str(path), {"still": still, "clip": clip})
    assert frames_of(found["still"]).shape == (8, 1, 32, 32, 3)
    assert isinstance(found["clip"], TooShort)


def test_files_on_another_file_system_are_read_through_fsspec(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=20)
    with fsspec.open("memory://clips/v.mp4", "wb") as file:
        file.write(path.read_bytes())
    local, remote = (clips.read(uri, {"v": DENSE})["v"] for uri in (str(path), "memory://clips/v.mp4"))
    assert np.array_equal(frames_of(local), frames_of(remote))


# -- broken files -----------------------------------------------------------------------------------------------------


def broken(tmp_path: Path, kind: str) -> str:
    path = tmp_path / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no film\n" * 200)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(20000))
    elif kind == "folder":
        path.mkdir()
    elif kind == "audio":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize(
    ("kind", "fault", "message"),
    [
        ("empty", NotAVideo, "FFmpeg cannot open it|empty"),
        ("text", NotAVideo, "FFmpeg cannot open it|the format tty"),
        ("noise", NotAVideo, "FFmpeg cannot open it"),
        ("audio", NotAVideo, "no video stream"),
        ("vanished", Unreachable, "not there"),
        ("folder", Unreachable, "not there"),
    ],
)
def test_what_is_no_video_is_named_for_what_it_is(tmp_path, kind, fault, message):
    with pytest.raises(fault, match=message):
        clips.read(broken(tmp_path, kind), {"v": DENSE})


def test_what_may_not_be_read_is_unreachable(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(av, "open", refuse)
    (tmp_path / "x.mp4").touch()
    with pytest.raises(Unreachable, match="may not be read"):
        clips.read(str(tmp_path / "x.mp4"), {"v": DENSE})


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi"])
def test_a_truncated_file_is_never_taken_for_a_short_one(tmp_path, name):
    path = make_video(tmp_path / name, frames=150, size=(160, 120), codec="mpeg4" if name == "v.avi" else "libx264")
    if name == "v.mp4":  # the index in front, as published clips have it: then FFmpeg opens it and says nothing
        fast = tmp_path / "fast.mp4"
        with av.open(str(path)) as source, av.open(str(fast), "w", options={"movflags": "faststart"}) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        path = fast
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 4 // 10])
    with pytest.raises(Truncated, match=r"announces 6\.0 s, the file holds [23]\.\d s"):
        clips.read(str(path), {"v": View(Sampling(clips=1, frames=2, placement="linspace"), Geometry(40, 32))})


def test_a_last_frame_that_is_shown_long_is_no_truncation(tmp_path):
    path = tmp_path / "v.mp4"
    source = make_video(tmp_path / "source.mp4", frames=40, options={"g": "20", "bf": "0"})
    with av.open(str(source)) as given, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(given.streams.video[0])
        packets = [packet for packet in given.demux(video=0) if packet.size]
        for packet in packets:
            packet.stream = stream
            if packet is packets[-1]:
                packet.duration = packet.duration * 125  # five seconds
            target.mux(packet)
    with av.open(str(path)) as container:
        assert container.streams.video[0].duration * container.streams.video[0].time_base > 6
    assert frames_of(clips.read(str(path), {"v": DENSE})["v"]).shape[0] == 2


def test_flipped_bytes_either_decode_as_ffmpeg_says_or_are_corrupt_but_never_raise_anything_else(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=60, size=(160, 120), options={"g": "20"})
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    faults = 0
    for trial in range(30):
        data = bytearray(whole)
        for at in random.integers(0, len(data), 40):
            data[at] ^= 1 << int(random.integers(8))
        flipped = tmp_path / f"f{trial}.mp4"
        flipped.write_bytes(data)
        try:
            found = clips.read(str(flipped), {"v": DENSE})["v"]
            assert isinstance(found, (clips.Clips, InputFault))
        except InputFault:
            faults += 1
    assert faults > 10


def test_a_stream_of_an_unknown_codec_is_a_fault_of_its_own(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"avcX"))
    with pytest.raises(NoDecoder, match="no decoder for its video stream"):
        clips.read(str(path), {"v": DENSE})


def test_a_hole_in_the_stream_is_corrupt(tmp_path):
    path = make_video(tmp_path / "v.mkv", frames=60, size=(160, 120), options={"g": "60", "bf": "0"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises((Corrupt, Truncated)):
        clips.read(str(path), {"v": View(Sampling(clips=1, frames=60), Geometry(40, 32))})


# -- the probe --------------------------------------------------------------------------------------------------------


def test_the_probe_digest_follows_the_pixels(monkeypatch, tmp_path):
    here = clips.probe_digest()
    assert here == clips.probe_digest.__wrapped__()
    for path in clips._PROBES.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    make_video(tmp_path / "h264.mp4", frames=16, seed=3)
    monkeypatch.setattr(clips, "_PROBES", tmp_path)
    assert clips.probe_digest.__wrapped__() != here


def test_thumbnails_are_upright_pictures_of_the_film(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=30, size=(64, 48))
    shown = clips.thumbnails(str(path), 3, 24)
    assert [frame.shape for frame in shown] == [(24, 32, 3)] * 3
    small = np.abs(shown[1].astype(int) - picture(15, 64, 48)[::2, ::2]).mean()
    assert small < 40


def test_decoding_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, extractors.clips, pipelines.extract.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
