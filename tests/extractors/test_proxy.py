"""Proxies: the frames of a film made small, each to be read alone, the same ones that are taken from the film."""

import errno
from collections.abc import Sequence

import numpy as np
import pytest

from extractors import clips, proxy
from extractors.errors import Corrupt, ExtractorError, MachineFault, TooShort
from extractors.options import asked
from extractors.proxy import FrameProxy
from extractors.sampling import PLACEMENTS, Geometry, Sampling, View
from tests.conftest import make_video
from tests.extractors.numbered import number_of, write
from tests.extractors.pack import pack_video


def rows_of(path, span_s=None, **options) -> np.ndarray:
    extractor = FrameProxy(options=options)
    times, frames = clips.stream(str(path), extractor.wanted, span_s)
    return extractor(frames, times)["frames"]


class Fetch:
    """Gives bytes of rows, and remembers which were asked for."""

    def __init__(self, rows: np.ndarray) -> None:
        self.run, self.asked = rows.tobytes(), []

    def __call__(self, spans):
        self.asked += spans
        return [self.run[start:stop] for start, stop in spans]


def views(resize: int, crop: int) -> list[View]:
    samplings = [
        Sampling(2, 5, stride, fps, placement, seed)
        for stride in (1, 3)
        for fps in (None, 12.5)
        for placement in PLACEMENTS
        for seed in (None, 1, 2)
    ]
    return [View(sampling, Geometry(resize, crop)) for sampling in samplings]


def frames_agree(path, span_s=None, side=128, tolerance=5.0) -> None:
    """Each view has the frames of the film, by their stamps and by their looks; `tolerance` of 255, in the mean."""
    fetch = Fetch(rows_of(path, span_s, side=side))
    for view in views(side, side * 7 // 8):
        wanted = clips.read(str(path), {"": view}, b"key", span_s)[""]
        got = proxy.read(fetch, view, b"key")
        assert np.array_equal(got.times, wanted.times)
        assert got.pixels.shape == wanted.pixels.shape
        apart = np.abs(got.pixels.astype(int) - wanted.pixels).mean((0, 2, 3, 4))
        assert apart.max() < tolerance, (view, apart)


@pytest.mark.parametrize("span_s", [None, (0.3, 1.5)])
@pytest.mark.parametrize("name", ["v.mp4", "v.avi", "v.mkv"])
def test_clips_of_a_proxy_are_of_the_frames_that_are_taken_from_the_film(tmp_path, name, span_s):
    path = write(tmp_path / name, "mpeg4" if name == "v.avi" else "libx264", {"bf": "2", "g": "12"})
    fetch = Fetch(rows_of(path, span_s))
    for view in views(64, 64):
        view = View(view.sampling, Geometry((64, 96), (64, 96)))
        wanted = clips.read(str(path), {"": view}, b"key", span_s)[""]
        got = proxy.read(fetch, view, b"key")
        numbers = [[number_of(frame) for frame in clip] for clip in got.pixels]
        assert numbers == [[number_of(frame) for frame in clip] for clip in wanted.pixels]
        assert np.array_equal(got.times, wanted.times)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1 << 60, "ends before their index"),
        (5000, "ends before their index"),
        (-3, "no frames"),
        (11, "makes no sense"),
    ],
)
def test_an_index_that_is_damaged_is_a_fault_and_nothing_is_allocated_by_it(tmp_path, count, message):
    fetch = Fetch(rows_of(make_video(tmp_path / "v.mp4", frames=12, size=(64, 48))))

    def damaged(spans: Sequence[tuple[int, int]]) -> list[bytes]:
        first, *others = fetch(spans)
        if spans[0][0] == 0:
            first = np.array(count, "<i8").tobytes() + first[8:]
        return [first, *others]

    with pytest.raises(Corrupt, match=message):
        proxy.read(damaged, View(Sampling(1, 4), Geometry(32, 32)), b"")


def test_an_uneven_rate_keeps_its_times(tmp_path):
    pts = [0, 4, 9, 13, 30, 31, 50, 66, 67, 90, 100, 140]
    frames_agree(make_video(tmp_path / "v.mp4", frames=12, size=(320, 240), pts=pts))


@pytest.mark.shared
@pytest.mark.parametrize("number", range(3))
def test_real_films_with_b_frames_in_avi(shared_data, number):
    path = sorted((shared_data / "odd" / "real_avi").glob("*.avi"))[number]
    frames_agree(path)


@pytest.mark.pack
@pytest.mark.parametrize("inside", ["Demo/demo.mp4"])
def test_a_real_clip_of_the_pack(inside):
    frames_agree(pack_video("Sports2D", inside), (2.0, 4.0))


def test_only_the_frames_of_a_clip_are_read(tmp_path):
    fetch = Fetch(rows_of(make_video(tmp_path / "v.mp4", frames=200, size=(320, 240))))
    proxy.read(fetch, View(Sampling(1, 4, 2), Geometry(128, 112)), b"")
    index, *frames = fetch.asked
    assert index[1] <= 8192
    assert len(frames) == 4
    assert sum(stop - start for start, stop in frames) < len(fetch.run) / 40


def test_a_long_index_is_read_in_two(tmp_path):
    fetch = Fetch(rows_of(make_video(tmp_path / "v.mp4", frames=700)))
    found = proxy.read(fetch, View(Sampling(1, 4, placement="spread"), Geometry(48, 48)), b"")
    assert fetch.asked[1] == (8192, 8 * (2 * 700 + 2))
    assert found.pixels.shape == (1, 4, 48, 48, 3)


def test_a_long_video_is_gathered_in_a_file_and_is_the_same(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", frames=60)
    rows = rows_of(path)
    assert not isinstance(rows, np.memmap)
    monkeypatch.setattr(proxy, "_IN_MEMORY", 10_000)
    mapped = rows_of(path)
    assert isinstance(mapped.base, np.memmap)
    assert np.array_equal(mapped, rows)


def test_a_full_disk_stops_the_run_in_one_line(tmp_path, monkeypatch):
    class Full:
        def __init__(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(proxy.tempfile, "SpooledTemporaryFile", Full)
    with pytest.raises(MachineFault, match=r"^A long video is gathered in .*, which is full\. Free space, or set"):
        rows_of(make_video(tmp_path / "v.mp4"))


def test_a_small_film_is_not_made_larger_and_a_clip_of_it_is(tmp_path):
    path = make_video(tmp_path / "v.mp4", size=(96, 64))
    small, same = rows_of(path, side=128), rows_of(path, side=64)
    assert np.array_equal(small, same)
    frames_agree(path, side=128)


def test_the_middle_at_the_same_size_differs_by_jpeg_alone(tmp_path):
    path = make_video(tmp_path / "v.mp4", size=(320, 240))
    view = View(Sampling(1, 8), Geometry(128, 112))
    film = clips.read(str(path), {"": view})[""].pixels.astype(int)
    apart = {
        q: np.abs(proxy.read(Fetch(rows_of(path, quality=q)), view, b"").pixels - film).mean() for q in (50, 90, 100)
    }
    assert apart[50] > apart[90] > apart[100]
    assert apart[100] < 4  # colours of this film are drawn, and JPEG halves them


def test_a_film_too_short_for_a_view_says_so(tmp_path):
    fetch = Fetch(rows_of(make_video(tmp_path / "v.mp4", frames=3)))
    with pytest.raises(TooShort, match="it has 3 frames"):
        proxy.read(fetch, View(Sampling(1, 4, min_frames=4), Geometry(48, 48)), b"")


def test_what_is_no_proxy_is_named(tmp_path):
    with pytest.raises(Corrupt, match="holds no frames"):
        proxy.read(Fetch(np.zeros((8, 1024), np.uint8)), View(Sampling(1, 4), Geometry(48, 48)), b"")
    rows = rows_of(make_video(tmp_path / "v.mp4", frames=3)).copy()
    rows.reshape(-1)[64:] = 0
    with pytest.raises(Corrupt, match=r"frame 0 of its proxy is no JPEG"):
        proxy.read(Fetch(rows), View(Sampling(1, 4), Geometry(48, 48)), b"")


def test_options_are_part_of_the_recipe_and_checked():
    plain, large = (asked(spec, None, "fp32").recipe("none", "probe") for spec in ("proxy", "proxy:side=256"))
    assert plain.sampling == {"side": 128, "quality": 90}
    assert plain.key != large.key
    for spec in ("proxy:side=8", "proxy:quality=0", "proxy:quality=101"):
        with pytest.raises(ExtractorError, match="^proxy needs side >= 16 and quality from 1 to 100, got"):
            asked(spec, None, "fp32").recipe("none", "probe")
