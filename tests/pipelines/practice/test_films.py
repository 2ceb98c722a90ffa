"""A film has the pictures that were written, and lies in its place as a whole or not at all."""

import numpy as np
import pytest

from extractors import clips
from pipelines.practice import films


def flat(count: int, size: int = 32) -> list[np.ndarray]:
    """Pictures of one colour each, brighter and brighter."""
    return [np.full((size, size, 3), 20 + 12 * k, np.uint8) for k in range(count)]


@pytest.mark.parametrize(("count", "fps"), [(1, 15), (15, 15), (17, 30)])
def test_as_many_pictures_come_out_as_went_in_at_their_pace(tmp_path, count, fps):
    assert films.write(tmp_path / "f.mp4", flat(count), 32, fps) == count
    times = clips.known(str(tmp_path / "f.mp4")).times
    assert len(times) == count
    assert np.allclose(np.diff(times), 1 / fps, atol=2e-3)


def test_pictures_come_out_in_their_order_and_their_colours(tmp_path):
    films.write(tmp_path / "f.mp4", flat(18), 32, 15)
    shown = clips.thumbnails(str(tmp_path / "f.mp4"), 18, 32)
    for picture, written in zip(shown, flat(18), strict=True):
        assert abs(float(picture.mean()) - float(written.mean())) < 4


def test_a_film_that_breaks_off_is_not_in_its_place_and_leaves_the_old_one(tmp_path):
    def broken():
        yield from flat(3)
        raise RuntimeError("gone")

    films.write(tmp_path / "old.mp4", flat(4), 32, 15)
    before = (tmp_path / "old.mp4").read_bytes()
    for name in ("new", "old"):
        with pytest.raises(RuntimeError, match="gone"):
            films.write(tmp_path / f"{name}.mp4", broken(), 32, 15)
    assert not (tmp_path / "new.mp4").exists()
    assert (tmp_path / "old.mp4").read_bytes() == before
