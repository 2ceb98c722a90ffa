"""Clips of still images: from one square to another, evenly, and drawn by seed, epoch and row alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.errors import UsageError
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.learn.samples import ken_burns, pixels
from pipelines.learn.samples.pixels import Form, Pixels
from stores.manifest import Manifest

FORM = Form(frames=8, resize=40, crop=32)


def map_of(height: int, width: int) -> np.ndarray:
    """An image whose colours say where they are: red half the row, green half the column."""
    down, right = np.mgrid[:height, :width]
    return np.stack([down / 2, right / 2, np.zeros_like(down)], -1).round().astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_squares_lie_in_the_image_and_go_evenly_from_the_first_to_the_last(seed):
    found = ken_burns.clip(map_of(200, 300), 16, 112, np.random.default_rng(seed), False).astype(float) * 2
    assert found.shape == (16, 112, 112, 3)
    top, left = found[:, 0, 0, 0], found[:, 0, 0, 1]
    bottom, right = found[:, -1, -1, 0], found[:, -1, -1, 1]
    np.testing.assert_allclose(bottom - top, right - left, atol=5)  # squares
    for edge in (top, left, bottom, right):
        np.testing.assert_allclose(np.diff(edge), (edge[-1] - edge[0]) / 15, atol=3)
    side = (bottom - top) * 112 / 111
    assert side.min() >= 0.5 * 200 - 4
    assert side.max() <= 200 + 4


def test_ways_differ_with_what_they_are_drawn_from_and_every_other_is_mirrored():
    image = map_of(120, 160)
    clips = [ken_burns.clip(image, 4, 32, np.random.default_rng([5, row]), True) for row in range(60)]
    assert len({clip.tobytes() for clip in clips}) == 60
    mirrored = sum(clip[0, 0, 0, 1] > clip[0, 0, -1, 1] for clip in clips)
    assert 18 < mirrored < 42
    assert not any(
        clip[0, 0, 0, 1] > clip[0, 0, -1, 1]
        for clip in (ken_burns.clip(image, 4, 32, np.random.default_rng(row), False) for row in range(30))
    )


def test_what_is_not_drawn_is_the_middle_and_stands_still():
    found = ken_burns.still(map_of(64, 96), 5, 64)
    assert (found == found[0]).all()
    np.testing.assert_allclose(found[0].astype(int), map_of(64, 96)[:, 16:80], atol=1)


def test_a_large_image_is_averaged_not_picked_from():
    noise = np.random.default_rng(0).integers(0, 2, (1200, 1200, 1), np.uint8) * 255
    found = ken_burns.still(np.repeat(noise, 3, 2), 2, 30)
    assert found.std() < 25  # picked pixels would be black or white, with a deviation of 127


@pytest.fixture
def scenes(root, tmp_path):
    """SUN's folders: two classes of three images, one of which breaks."""
    for at, name in enumerate(
        ("a/abbey/sun_1", "a/abbey/sun_2", "a/abbey/sun_3", "b/bar/inside/sun_1", "b/bar/inside/sun_2")
    ):
        path = tmp_path / "SUN397" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(map_of(60, 90), at * 7, 1)).save(path)
    (tmp_path / "SUN397/b/bar/inside/sun_3.jpg").write_bytes(b"no image")
    (tmp_path / "SUN397/ClassName.txt").write_text("/a/abbey\n")
    report = index(IndexConfig((str(tmp_path / "SUN397"),), "sun", kind="images"), root)
    assert (report.layout, report.videos, report.failed, report.not_taken) == ("sun397", 6, 0, {".txt": 1})
    return tmp_path / "SUN397"


def test_images_are_labelled_by_their_folders_and_are_of_their_own_kind(root, scenes):
    rows = Manifest(root).read("sun", ["video_id", "kind", "label"]).to_pylist()
    assert {row["kind"] for row in rows} == {"image"}
    assert {row["video_id"]: row["label"] for row in rows}["b/bar/inside/sun_1"] == "bar/inside"
    again = index(IndexConfig((str(scenes),), "sun", kind="images"), root)
    assert (again.new, again.unchanged) == (0, 6)
    (scenes / "a/abbey/sun_1.jpg").unlink()
    assert index(IndexConfig((str(scenes),), "sun", kind="images", prune=True), root).pruned == 1


def test_a_sample_is_drawn_by_seed_epoch_and_row_and_what_is_broken_is_named(root, scenes):
    found = pixels.read("sun", root, FORM)
    assert (found.classes, found.stills.all()) == (("abbey", "bar/inside"), True)
    rows = np.arange(len(found.ids))
    own = Pixels(found, rows, found.classes, "cpu")
    (one,) = own.batches([torch.arange(6)], 3)
    assert one.segments.shape == (5, 3, 8, 32, 32)
    ((_, uri, fault),) = own.broken
    assert (uri.endswith("sun_3.jpg"), type(fault).__name__) == (True, "NotAnImage")
    alone = Pixels(found, rows, found.classes, "cpu", loaders=1)
    (two,) = alone.batches([torch.tensor([4, 1])], 3)
    assert (two.segments == one.segments[[4, 1]]).all()
    (later,) = own.batches([torch.tensor([4, 1])], 4)
    assert not (later.segments == two.segments).all()
    (shown,) = own.batches([torch.tensor([1])], None)
    assert (shown.segments[0, :, 0] == shown.segments[0, :, 7]).all()


def test_a_folder_without_images_says_which_endings_are_read(root, tmp_path):
    (tmp_path / "x.mp4").touch()
    with pytest.raises(UsageError, match=r"^No image below .*: 1 other files \(1 \.mp4\), none ends in \.bmp \.jpeg"):
        index(IndexConfig((str(tmp_path),), "sun", kind="images"), root)
    with pytest.raises(UsageError, match=r"ends in none of \.bmp"):
        index(IndexConfig((str(tmp_path / "x.mp4"),), "sun", kind="images"), root)
