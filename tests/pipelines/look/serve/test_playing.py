"""Films for browsers: what one plays is sent as it is, any other's segment is made anew, picture for picture."""

from pathlib import Path

import av
import numpy as np
import pytest

from extractors.errors import InputFault
from pipelines.errors import UsageError
from pipelines.look.frames import frames_at
from pipelines.look.serve import playing
from pipelines.look.serve.items import Item
from tests.conftest import make_video


def item(path: Path, kind: str = "video") -> Item:
    return Item("d", path.stem, kind, str(path), "00" * 32, None, None, None, None, None)


def decoded(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = list(container.decode(stream))
        return [float(each.pts * stream.time_base) for each in frames], [
            each.to_ndarray(format="rgb24") for each in frames
        ]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Three seconds of MPEG-4 part 2 in AVI."""
    return make_video(tmp_path / "old.avi", frames=75, size=(96, 64), codec="mpeg4", options={"b": "4M"})


def test_what_browsers_play_is_known_by_what_is_inside(tmp_path, old):
    whole = make_video(tmp_path / "a.mp4")
    assert playing.plays(whole) == "video/mp4"
    assert playing.plays(make_video(tmp_path / "a.webm", codec="libvpx", options={})) == "video/webm"
    assert playing.plays(old) == ""
    named = tmp_path / "named.mp4"
    named.write_bytes(old.read_bytes())
    assert playing.plays(named) == ""
    assert playing.plays(make_video(tmp_path / "a.mkv")) == ""
    assert playing.plays(make_video(tmp_path / "p2.mp4", codec="mpeg4", options={})) == ""
    late = make_video(tmp_path / "late.mp4", frames=5, pts=[1000, 1010, 1020, 1030, 1040])
    with av.open(str(late)) as container:  # where it does begin late, seconds of its segments are not the browser's
        begins = container.streams.video[0].start_time
    assert bool(playing.plays(late)) == (not begins)
    text = tmp_path / "no.mp4"
    text.write_text("#EXTM3U\nhttp://elsewhere.example/x.ts\n")
    assert playing.plays(text) == ""


def test_a_segment_has_the_pictures_of_its_span(tmp_path, old):
    path, kind = playing.Segments(tmp_path).film(item(old), 1.0, 2.0)
    times, pictures = decoded(path)
    assert kind == "video/mp4"
    assert np.allclose(times, np.arange(25) / 25, atol=1e-3)
    for at in (0, 7, 24):
        (own,) = frames_at(str(old), [1.0 + at / 25 + 0.001])
        (other,) = frames_at(str(old), [1.0 + (at + 8) / 25 + 0.001])
        near = np.abs(pictures[at].astype(int) - own).mean()
        assert near < 6
        assert near < np.abs(pictures[at].astype(int) - other).mean() / 2


def test_a_segment_is_made_once_and_its_length_is_bounded(tmp_path, old, monkeypatch):
    segments = playing.Segments(tmp_path)
    first, _ = segments.film(item(old), 0.0, 1.0)
    made = first.stat().st_ino
    assert segments.film(item(old), 0.0, 1.0)[0].stat().st_ino == made
    monkeypatch.setattr(playing, "LONGEST_S", 0.4)
    times, _ = decoded(segments.film(item(old), 0.0, None)[0])
    assert len(times) == 10
    times, _ = decoded(segments.film(item(old), 1.0, 3.0)[0])
    assert len(times) == 10
    with pytest.raises(UsageError, match="ends after it begins"):
        segments.film(item(old), 1.0, 1.0)
    with pytest.raises(UsageError, match="is a caption group and no film"):
        segments.film(item(old, "caption_group"), 0.0, 1.0)


def test_a_fast_and_large_film_is_thinned_out(tmp_path):
    film = make_video(tmp_path / "fast.avi", frames=60, size=(1280, 720), codec="mpeg4", rate=60, options={})
    path, _ = playing.Segments(tmp_path).film(item(film), 0.0, 1.0)
    times, pictures = decoded(path)
    assert 29 <= len(times) <= 31
    assert pictures[0].shape == (360, 640, 3)
    assert np.diff(times).max() < 0.06


def test_what_lies_longest_goes_where_there_is_no_room(tmp_path, old, monkeypatch):
    (tmp_path / "kept").mkdir()
    segments = playing.Segments(tmp_path / "kept")
    first, _ = segments.film(item(old), 0.0, 1.0)
    monkeypatch.setattr(playing, "_KEPT_BYTES", 10)
    second, _ = segments.film(item(old), 1.0, 2.0)
    assert not first.exists()
    assert second.exists()


def test_a_film_that_does_not_decode_leaves_nothing_behind(tmp_path, old):
    (tmp_path / "kept").mkdir()
    broken = tmp_path / "broken.avi"
    broken.write_bytes(old.read_bytes()[:3000])
    for path in (broken, tmp_path / "not there.avi"):
        with pytest.raises(InputFault):
            playing.Segments(tmp_path / "kept").film(item(path), 0.0, 1.0)
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.shared
def test_real_films_of_data_sets_are_played(tmp_path, shared_data):
    for path in sorted((shared_data / "odd" / "real_avi").glob("*.avi")):
        assert playing.plays(path) == ""
        times, pictures = decoded(playing.Segments(tmp_path).film(item(path), 0.5, 1.5)[0])
        assert len(times) in range(24, 32)
        (own,) = frames_at(str(path), [0.5])
        assert np.abs(pictures[0].astype(int) - own[: pictures[0].shape[0], : pictures[0].shape[1]]).mean() < 8
