"""Pictures come out in the order they are shown, whatever the container, the codec and the way both were used.

Each film's pictures carry their number. What is right is said here, and a plain decode of the whole film must say the
same; then every sampling must give just these pictures, at the times the film was made with.
"""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from extractors import clips, timeline
from extractors.errors import Corrupt, InputFault, NotAVideo, Truncated
from extractors.sampling import Geometry, Sampling, View
from tests.extractors.numbered import HEIGHT, RATE, WIDTH, decode, hide, number_of, numbered, pack, remux, write

SAME = Geometry((HEIGHT, WIDTH), (HEIGHT, WIDTH))
SAMPLINGS = {
    "centre": Sampling(clips=4, frames=3, stride=2),
    "linspace": Sampling(clips=3, frames=4, placement="linspace"),
    "spread": Sampling(clips=1, frames=5, placement="spread"),
    "clock": Sampling(clips=2, frames=4, fps=10),
    "jitter": Sampling(clips=6, frames=1, jitter_seed=3),
    "all": Sampling(clips=1, frames=48),
}

H264 = {
    "h264": ("libx264", {"bf": "3", "g": "12", "b-pyramid": "normal"}),
    "h264_no_b": ("libx264", {"bf": "0", "g": "12"}),
    "h264_open": ("libx264", {"bf": "3", "g": "10", "x264-params": "open-gop=1"}),
    "h264_refresh": ("libx264", {"bf": "0", "g": "12", "x264-params": "intra-refresh=1"}),
    "h264_fields": ("libx264", {"bf": "2", "g": "12", "x264-params": "interlaced=1"}),
    "h264_one_group": ("libx264", {"g": "250"}),
}
HEVC = {
    "hevc_open": ("libx265", {"g": "10", "x265-params": "log-level=none:open-gop=1:keyint=10:min-keyint=10"}),
    "hevc_closed": ("libx265", {"g": "10", "x265-params": "log-level=none:open-gop=0:keyint=10:min-keyint=10"}),
}
VP8 = {"vp8": ("libvpx", {"g": "12", "b": "200k"})}
VP9 = {"vp9": ("libvpx-vp9", {"error-resilient": "default", "lag-in-frames": "0", "g": "12", "b": "200k"})}
AV1 = {"av1": ("libsvtav1", {"g": "10", "preset": "10", "crf": "18"})}
MPEG4 = {
    "mpeg4": ("mpeg4", {"bf": "2", "g": "9", "qscale": "2"}),
    "mpeg4_no_b": ("mpeg4", {"g": "9", "qscale": "2"}),
}
MPEG2 = {
    "mpeg2": ("mpeg2video", {"bf": "2", "g": "9", "qscale": "2"}),
    "mpeg2_closed": (
        "mpeg2video",
        {"bf": "2", "g": "9", "qscale": "2", "flags": "+cgop", "sc_threshold": "1000000000"},
    ),
}
MPEG1 = {"mpeg1": ("mpeg1video", {"bf": "2", "g": "9", "qscale": "2"})}
MJPEG = {"mjpeg": ("mjpeg", {"qscale": "2"})}
SORENSON = {"sorenson": ("flv", {"g": "9", "qscale": "2"})}
WMV = {"wmv2": ("wmv2", {"g": "9", "qscale": "2"})}
CELLS = {
    "mp4": H264 | HEVC | VP9 | AV1 | MPEG4 | MPEG2 | MJPEG,
    "mov": H264 | HEVC | MPEG4 | MJPEG,
    "mkv": H264 | HEVC | VP8 | VP9 | AV1 | MPEG4 | MPEG2 | MPEG1 | MJPEG,
    "webm": VP8 | VP9 | AV1,
    "avi": H264 | VP8 | MPEG4 | MPEG2 | MJPEG | WMV,
    "ts": H264 | HEVC | MPEG4 | MPEG2,
    "mpg": MPEG2 | MPEG1,
    "vob": MPEG2,
    "flv": H264 | SORENSON,
    "asf": WMV | MPEG4 | H264,
    "ogv": VP8,
    "nut": H264 | MPEG4,
}
FORMATS = {"vob": "vob", "ogv": "ogg"}
#: cells whose packets prove themselves, so that packets may be skipped; everything else is decoded whole
EXACT = {
    *((container, codec) for container in ("mp4", "mov", "mkv") for codec in (*H264, *HEVC, *VP9, *AV1)),
    *(("webm", codec) for codec in (*VP9, *AV1)),
}
EXACT -= {(container, codec) for container, codec in EXACT if codec == "h264_fields"}


def check(path: Path, numbers: list[int], times: np.ndarray | None = None) -> None:
    """Every sampling gives the pictures of these numbers, which a plain decode gives in this order, at these times."""
    times = np.arange(len(numbers)) / RATE if times is None else times
    plain = decode(path)
    assert [number_of(rgb) for rgb in plain] == numbers, "what the test takes for right is not what FFmpeg puts out"
    views = {name: View(sampling, SAME) for name, sampling in SAMPLINGS.items()}
    together = clips.read(str(path), views, b"key")
    for name, view in views.items():
        indices, spans = view.sampling.frame_indices(times, b"key")
        for found in (together[name], clips.read(str(path), {name: view}, b"key")[name]):
            assert isinstance(found, clips.Clips), found
            given = [[number_of(rgb) for rgb in clip] for clip in found.pixels]
            assert given == np.array(numbers)[indices].tolist(), name
            assert np.array_equal(found.pixels, np.array([[plain[i] for i in clip] for clip in indices])), name
            np.testing.assert_allclose(found.times, spans, atol=2e-3)
    shown, frames = clips.stream(str(path), lambda all_: np.arange(0, len(all_), 5))
    assert [number_of(rgb) for rgb in frames] == numbers[::5]
    np.testing.assert_allclose(shown[:, 0], (times - times[0])[::5], atol=2e-3)


@pytest.mark.parametrize(
    ("container", "codec"), [(container, codec) for container, codecs in CELLS.items() for codec in codecs]
)
def test_every_sampling_gives_the_pictures_of_a_plain_decode(tmp_path, container, codec):
    encoder, options = CELLS[container][codec]
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write(tmp_path / f"film.{container}", encoder, options, pixels=pixels, format=FORMATS.get(container))
    check(path, list(range(48)))
    assert timeline.scan(str(path)).is_certain == ((container, codec) in EXACT)


@pytest.mark.parametrize("options", [{"bf": "1"}, {"bf": "1", "g": "7"}])
def test_packed_b_frames_come_out_in_order(tmp_path, options):
    path = write(tmp_path / "film.avi", "mpeg4", {"g": "12", "qscale": "2", **options}, frames=49)
    packed = pack(path)
    with av.open(str(packed)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert min(sizes) < 8, "no packet stands for a picture that lies in another"
    check(packed, [number_of(rgb) for rgb in decode(path)])


@pytest.mark.parametrize("container", ["webm", "mkv"])
def test_pictures_that_are_never_shown_are_not_counted(tmp_path, container):
    source = write(tmp_path / "source.mkv", *VP8["vp8"], frames=52)
    hidden = {5, 6, 17, 40}
    path = remux(source, tmp_path / f"film.{container}", lambda packets: hide(packets, hidden))
    check(path, [t for t in range(52) if t not in hidden])


VARIABLE = [4 * t if t < 24 else 96 + 12 * (t - 24) for t in range(48)]  # 25 pictures a second, then 8.3


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("v.mp4", H264["h264"]),
        ("v.mkv", H264["h264"]),
        ("v.mkv", VP8["vp8"]),
        ("v.webm", VP9["vp9"]),
        ("v.ts", H264["h264"]),
        ("v.flv", H264["h264"]),
        ("v.avi", MJPEG["mjpeg"]),
        ("v.avi", MPEG4["mpeg4_no_b"]),
    ],
)
def test_a_variable_rate_is_sampled_by_time(tmp_path, name, codec):
    pixels = "yuvj420p" if codec[0] == "mjpeg" else "yuv420p"
    path = write(tmp_path / name, *codec, stamps=VARIABLE, pixels=pixels)
    check(path, list(range(48)), np.array(VARIABLE) / 100)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts", "late.flv", "late.webm"])
def test_a_film_that_begins_late_is_the_film_that_begins_at_once(tmp_path, name):
    codec = VP8["vp8"] if name.endswith("webm") else H264["h264"]
    path = write(tmp_path / name, *codec, stamps=[400 + 4 * t for t in range(48)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time * container.streams.video[0].time_base > 3
    check(path, list(range(48)), 4 + np.arange(48) / RATE)


@pytest.mark.parametrize("shift_s", [0.0, 0.04, 60.0, -0.5], ids=["equal", "shifted", "later", "earlier"])
@pytest.mark.parametrize("codec", ["h264", "h264_no_b", "mpeg2"])
def test_joined_transport_streams_are_the_first_part_then_the_second(tmp_path, shift_s, codec):
    start = 300  # so that the second part can begin earlier
    encoder, options = (H264 | MPEG2)[codec]
    one = write(tmp_path / "1.ts", encoder, options, 24, [start + 4 * t for t in range(24)])
    begin = start + round(100 * shift_s)
    two = write(tmp_path / "2.ts", encoder, options, 24, [begin + 4 * t for t in range(24)], first=24)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    check(joined, list(range(48)))


# -- turned and mirrored ----------------------------------------------------------------------------------------------

UNIT = 1 << 16
#: a display matrix (a, b, c, d) and what it makes of a picture
DISPLAYS: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "upright": ((1, 0, 0, 1), lambda rgb: rgb),
    "mirrored": ((-1, 0, 0, 1), lambda rgb: rgb[:, ::-1]),
    "upside_down_mirrored": ((1, 0, 0, -1), lambda rgb: rgb[::-1]),
    "turned_180": ((-1, 0, 0, -1), lambda rgb: rgb[::-1, ::-1]),
    "turned_90_clockwise": ((0, 1, -1, 0), lambda rgb: np.rot90(rgb, -1)),
    "turned_90_back": ((0, -1, 1, 0), lambda rgb: np.rot90(rgb, 1)),
    "transposed": ((0, 1, 1, 0), lambda rgb: rgb.swapaxes(0, 1)),
    "transposed_the_other_way": ((0, -1, -1, 0), lambda rgb: rgb[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("name", ["r.mp4", "r.mov"])
def test_a_display_matrix_is_applied_whole(tmp_path, display, name):
    path = write(tmp_path / name, *H264["h264"], frames=6)
    plain = decode(path)
    (a, b, c, d), shown = DISPLAYS[display]
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44  # the track header's matrix
    matrix = np.array([a * UNIT, b * UNIT, 0, c * UNIT, d * UNIT, 0, 0, 0, 1 << 30], ">i4")
    path.write_bytes(data[:at] + matrix.tobytes() + data[at + 36 :])
    expected = shown(plain[3])
    size = expected.shape[:2]
    view = View(Sampling(clips=1, frames=6), Geometry(size, size))
    found = clips.read(str(path), {"v": view})["v"]
    assert isinstance(found, clips.Clips)
    at_corner = {"upright": (0, 0), "mirrored": (0, -1)}.get(display)
    if at_corner:
        assert found.pixels[0, 3][at_corner][2] > 150 > found.pixels[0, 3][at_corner][0]  # the blue corner
    assert np.array_equal(found.pixels[0, 3], expected)


# -- cut short --------------------------------------------------------------------------------------------------------

SOUNDS = {"mp4": "aac", "mov": "aac", "mkv": "aac", "webm": "libopus", "flv": "aac", "avi": "mp2"}


@pytest.mark.parametrize("sound", [True, False], ids=["with_sound", "silent"])
@pytest.mark.parametrize(
    ("container", "start"), [*((name, 0) for name in SOUNDS), *((name, 400) for name in SOUNDS if name != "avi")]
)
def test_a_film_that_was_cut_short_is_truncated_and_a_whole_one_is_not(tmp_path, container, sound, start):
    codec = VP9["vp9"] if container == "webm" else H264["h264"]
    beside = SOUNDS[container] if sound else None
    stamps = [start + 4 * t for t in range(150)] if start else None
    path = write(tmp_path / f"film.{container}", *codec, frames=150, sound=beside, stamps=stamps)
    if container in ("mp4", "mov"):
        path = _index_in_front(path)
    assert len(timeline.known(str(path)).times) == 150
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 4 // 10])
    with pytest.raises(Truncated, match=r"announces \d+\.\d s, the file holds \d\.\d s, \d+ frames|its index"):
        clips.read(str(path), {"v": View(SAMPLINGS["spread"], SAME)})


def _index_in_front(path: Path) -> Path:
    target = path.with_name("fast_" + path.name)
    with av.open(str(path)) as given, av.open(str(target), "w", options={"movflags": "faststart"}) as container:
        streams = {s.index: container.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    return target


def test_an_mp4_without_its_index_was_cut_short(tmp_path):
    path = write(tmp_path / "film.mp4", *H264["h264"])
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(Truncated, match="its index .* is missing"):
        clips.read(str(path), {"v": View(SAMPLINGS["spread"], SAME)})


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("cut.mkv", H264["h264"]),
        ("cut.ts", H264["h264"]),
        ("cut.mp4", H264["h264_no_b"]),
        ("cut.flv", H264["h264_no_b"]),
        ("cut.avi", MPEG4["mpeg4_no_b"]),
        ("cut.mkv", VP9["vp9"]),
        ("cut.ts", MPEG2["mpeg2"]),
    ],
)
def test_a_film_cut_between_key_pictures_is_named_as_one(tmp_path, name, codec):
    source = write(tmp_path / f"whole_{name}", *codec)
    path = remux(source, tmp_path / name, lambda packets: packets[5:])
    with pytest.raises(Corrupt, match="cut between key pictures.*Cut it again|FFmpeg cannot decode it"):
        clips.read(str(path), {"v": View(SAMPLINGS["spread"], SAME)})


# -- what is no film --------------------------------------------------------------------------------------------------


def no_film(folder: Path, kind: str) -> Path:
    write(folder / "inside.mp4", *H264["h264"])
    write(folder / "inside.ts", *H264["h264"])
    texts = {
        "hls.mp4": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\ninside.ts\n#EXT-X-ENDLIST\n",
        "hls.m3u8.ts": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\ninside.ts\n#EXT-X-ENDLIST\n",
        "ffconcat.mp4": "ffconcat version 1.0\nfile inside.mp4\n",
        "ffconcat.mkv": "ffconcat version 1.0\nfile inside.ts\n",
        "sdp.ts": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "dash.mp4": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>\n',
        "typescript.ts": "export function frame(n: number): string {\n  return `frame ${n}`;\n}\n" * 40,
        "subtitles.mp4": "1\n00:00:00,000 --> 00:00:02,000\nhello\n",
    }
    path = folder / kind
    if kind in texts:
        path.write_text(texts[kind])
    elif kind in ("picture.mp4", "picture.mkv"):
        with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(1), format="rgb24")))
            container.mux(stream.encode(None))
    elif kind == "elementary.mp4":
        remux(folder / "inside.ts", path, format="h264")
    elif kind == "song.mp4":
        with av.open(str(path), "w", format="mp3") as container:
            sound = container.add_stream("libmp3lame", rate=48000)
            cover = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(1), format="rgb24")))
            container.mux(cover.encode(None))
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48000
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    "kind",
    [
        *("hls.mp4", "hls.m3u8.ts", "ffconcat.mp4", "ffconcat.mkv", "sdp.ts", "dash.mp4", "typescript.ts"),
        *("subtitles.mp4", "picture.mp4", "picture.mkv", "elementary.mp4", "song.mp4"),
    ],
)
def test_what_only_bears_the_name_of_a_film_is_none(tmp_path, kind):
    path = no_film(tmp_path, kind)
    with pytest.raises(NotAVideo):
        clips.read(str(path), {"v": View(SAMPLINGS["spread"], SAME)})


def test_a_cover_is_not_taken_for_the_film(tmp_path):
    path = tmp_path / "covered.mp4"
    source = write(tmp_path / "source.mkv", *H264["h264"])
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream_from_template(given.streams.video[0])
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(200), format="rgb24")))
        container.mux(cover.encode(None))
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with av.open(str(path)) as container:
        assert any(s.disposition & av.stream.Disposition.attached_pic for s in container.streams.video)
    assert len(timeline.known(str(path)).times) == 48


# -- each view by itself ----------------------------------------------------------------------------------------------


def test_a_view_that_cannot_be_had_leaves_the_others_what_they_have_alone(tmp_path):
    path = write(tmp_path / "film.mkv", "libx264", {"bf": "0", "g": "8", "crf": "10"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    place, size = packets[41]
    data[place + size // 3 : place + size] = bytes(size - size // 3)  # picture 41 and those that refer to it
    path.write_bytes(data)
    views = {
        "before": View(Sampling(clips=1, frames=30, placement="linspace"), SAME),
        "at": View(SAMPLINGS["all"], SAME),
        "too_narrow": View(Sampling(clips=1, frames=2), Geometry(32, (32, 200))),
        "too_short": View(Sampling(clips=1, frames=2, min_frames=1000), SAME),
    }
    alone: dict[str, clips.Clips | InputFault] = {}
    for name, view in views.items():
        try:
            alone[name] = clips.read(str(path), {name: view})[name]
        except InputFault as fault:
            alone[name] = fault
    kinds = {name: type(found).__name__ for name, found in alone.items()}
    assert kinds == {"before": "Clips", "at": "Corrupt", "too_narrow": "TooSmall", "too_short": "TooShort"}
    for names in (list(views), ["at", "before"], ["too_narrow", "before"], ["before", "too_short"]):
        together = clips.read(str(path), {name: views[name] for name in names})
        for name in names:
            assert type(together[name]) is type(alone[name])
            if isinstance(found := alone[name], clips.Clips):
                assert np.array_equal(together[name].pixels, found.pixels)  # type: ignore[union-attr]


# -- files as people have them ----------------------------------------------------------------------------------------


def of(shared_data: Path, folder: str, *names: str) -> list[Path]:
    paths = sorted((shared_data / "odd" / folder).iterdir())
    return [path for path in paths if not names or path.name in names]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "counts"),
    [
        ("real_avi", [72, 48, 164]),
        ("packed_b_frames", [60, 60]),
        ("avi_b_frames", [80] * 5),
        ("joined_ts", [100] * 4),
        ("vp8_altref", [200, 200]),
        ("late_start", [250] * 10),
    ],
)
def test_real_and_odd_films_give_the_pictures_of_a_plain_decode(shared_data, folder, counts):
    for path, count in zip(of(shared_data, folder), counts, strict=True):
        plain = decode(path)
        known = timeline.known(str(path))
        assert len(plain) == len(known.times) == count
        views = {name: View(sampling, SAME) for name, sampling in SAMPLINGS.items()}
        for name, found in clips.read(str(path), views, b"key").items():
            assert isinstance(found, clips.Clips)
            indices, _ = SAMPLINGS[name].frame_indices(known.times, b"key")
            assert np.array_equal(found.pixels, np.array([[SAME(plain[i]) for i in clip] for clip in indices]))
        if folder == "vp8_altref":
            assert known.times[-1] + 1 / 25 == pytest.approx(8.0)


@pytest.mark.shared
@pytest.mark.parametrize("pair", ["mp4", "mkv", "webm", "ts", "flv", "packed.avi"])
def test_the_same_film_told_otherwise_gives_the_same_pictures(shared_data, pair):
    one, two = (
        of(shared_data, "packed_b_frames", "packed.avi", "plain.avi")
        if pair == "packed.avi"
        else of(shared_data, "late_start", f"late.{pair}", f"zero.{pair}")
    )
    a, b = (clips.read(str(path), {"v": View(SAMPLINGS["clock"], SAME)})["v"] for path in (one, two))
    assert isinstance(a, clips.Clips)
    assert isinstance(b, clips.Clips)
    apart = np.abs(a.pixels.astype(int) - b.pixels).max()
    assert apart <= (60 if pair == "packed.avi" else 0)  # the two AVI were encoded apart


@pytest.mark.shared
def test_odd_films_that_are_not_whole_or_no_films_are_named(shared_data):
    view = {"v": View(SAMPLINGS["spread"], SAME)}
    for path in of(shared_data, "truncated_with_sound"):
        if path.name.startswith("cut"):
            with pytest.raises(Truncated):
                clips.read(str(path), view)
        else:
            assert len(timeline.known(str(path)).times) == 250
    for path in of(shared_data, "cut_between_keys", "cut.mkv", "cut.ts"):
        with pytest.raises(Corrupt, match="cut between key pictures"):
            clips.read(str(path), view)
    for path in of(shared_data, "playlists"):
        if not path.name.startswith("inside"):
            with pytest.raises(NotAVideo):
                clips.read(str(path), view)
    for path in of(shared_data, "other_endings"):
        assert len(timeline.known(str(path)).times) in (20, 30)


@pytest.mark.shared
def test_mirrored_films_are_shown_as_their_matrix_says(shared_data):
    def first(name: str, size: tuple[int, int]) -> np.ndarray:
        (path,) = of(shared_data, "mirrored", f"{name}.mp4")
        found = clips.read(str(path), {"v": View(Sampling(1, 1), Geometry(size, size))})["v"]
        assert isinstance(found, clips.Clips)
        return found.pixels[0, 0]

    plain = first("plain", (64, 96))
    assert np.array_equal(first("hflip", (64, 96)), plain[:, ::-1])
    assert np.array_equal(first("vflip", (64, 96)), plain[::-1])
    assert np.array_equal(first("rot180", (64, 96)), plain[::-1, ::-1])
    assert np.array_equal(first("transposed", (96, 64)), plain.swapaxes(0, 1))
