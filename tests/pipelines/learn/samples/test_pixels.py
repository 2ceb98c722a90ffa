"""Clips as samples: drawn by seed, epoch and row alone; what breaks is named, and nothing takes its place."""

import multiprocessing
import os

import numpy as np
import pytest
import torch

from extractors.errors import Corrupt
from extractors.r2plus1d import MEAN, STD
from pipelines.errors import UsageError
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.learn.samples import pixels
from pipelines.learn.samples.pixels import Form, Pixels
from stores.failures import Failure, Failures
from tests.conftest import make_video

FORM = Form(frames=4, stride=2, resize=32, crop=24)


@pytest.fixture
def films(root, tmp_path):
    """Six films of two classes, and one without a label."""
    for k in range(6):
        (tmp_path / "films").mkdir(exist_ok=True)
        make_video(tmp_path / "films" / f"v{k}.mp4", frames=20 + k, seed=k)
    labels = [{"id": f"v{k}", "label": ("bow", "clap")[k % 2]} for k in range(6)]
    make_video(tmp_path / "films" / "nobodys.mp4", frames=9, seed=9)
    table = "\n".join(["id,label", *(f"{row['id']},{row['label']}" for row in labels)])
    (tmp_path / "labels.csv").write_text(table)
    index(IndexConfig((str(tmp_path / "films"),), "d", labels=(str(tmp_path / "labels.csv"),)), root)
    return tmp_path / "films"


def samples(root, **more) -> Pixels:
    found = pixels.read("d", root, FORM)
    return Pixels(found, np.arange(len(found.ids)), found.classes, "cpu", **more)


def drawn(own: Pixels, order: list[list[int]], draw: int | None) -> list[torch.Tensor]:
    return [batch.segments for batch in own.batches([torch.tensor(rows) for rows in order], draw)]


def test_what_is_read_of_a_data_set(root, films):
    found = pixels.read("d", root, FORM)
    assert (found.ids, found.unlabelled) == (tuple(f"v{k}" for k in range(6)), 1)
    own = samples(root)
    assert own.labels.tolist() == [0, 1, 0, 1, 0, 1]
    (batch,) = drawn(own, [[0, 3]], None)
    assert batch.shape == (2, 3, 4, 24, 24)
    assert batch.dtype == torch.float32


def test_a_clip_that_is_not_drawn_is_the_one_an_extractor_is_given(root, films):
    from extractors import clips
    from extractors.sampling import Geometry, Sampling, View

    (batch,) = drawn(samples(root), [[2]], None)
    view = View(Sampling(1, 4, 2), Geometry(32, 24))
    (path,) = films.rglob("v2.mp4")
    wanted = clips.read(str(path), {"": view})[""].pixels[0].astype(np.float64) / 255
    wanted = ((wanted - MEAN) / STD).transpose(3, 0, 1, 2)
    np.testing.assert_allclose(batch[0].numpy(), wanted, atol=1e-5)


def test_a_sample_is_drawn_by_seed_epoch_and_row_whatever_its_mates_and_whoever_decodes(root, films):
    whole = torch.cat(drawn(samples(root), [[0, 1, 2], [3, 4, 5]], 7))
    alone = torch.cat(drawn(samples(root), [[5], [1], [0, 4]], 7))
    assert torch.equal(alone, whole[[5, 1, 0, 4]])
    other = torch.cat(drawn(samples(root), [[0, 1, 2], [3, 4, 5]], 8))
    assert not any(torch.equal(a, b) for a, b in zip(whole, other, strict=True))
    by_others = torch.cat(drawn(samples(root, loaders=2), [[0, 1, 2], [3, 4, 5]], 7))
    assert torch.equal(by_others, whole)


def test_processes_stay_from_one_epoch_to_the_next_and_an_epoch_that_is_left_leaves_nothing(root, films):
    alone, helped = samples(root), samples(root, loaders=1)
    order = [torch.tensor([row]) for row in (0, 1, 2, 3, 4)]
    first = helped.batches(order, 1)
    next(first)
    (process,) = multiprocessing.active_children()
    first.close()
    for draw in (2, 3):
        for mine, theirs in zip(alone.batches(order[:3], draw), helped.batches(order[:3], draw), strict=True):
            assert (mine.segments == theirs.segments).all()
            assert mine.labels.tolist() == theirs.labels.tolist()
    assert [own.pid for own in multiprocessing.active_children()] == [process.pid]
    del helped, first
    process.join(10)
    assert not process.is_alive()


def test_drawing_leaves_the_generator_of_the_training_alone(root, films):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn(samples(root), [[0, 1]], 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_clips_are_mirrored_but_those_of_classes_told_apart_by_left_and_right():
    views = [pixels._drawn(FORM, draw, 0, True) for draw in range(400)]
    assert 150 < sum(view.geometry.flipped for view in views) < 250
    assert not any(pixels._drawn(FORM, draw, 0, False).geometry.flipped for draw in range(400))
    frame = np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8)
    one = pixels._Crop(24, ((0.7, 1.0),), 0.3, 0.6, flipped=False)
    other = pixels._Crop(24, ((0.7, 1.0),), 0.3, 0.6, flipped=True)
    assert np.array_equal(one(frame)[:, ::-1], other(frame))


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (200, 20), (16, 16)])
def test_a_crop_lies_in_its_frame_and_has_its_share_of_it(size):
    frame = np.zeros((*size, 3), np.uint8)
    for draw in range(200):
        crop = pixels._drawn(FORM, draw, 3, True).geometry
        height, width = crop._sides_in(*size)
        assert 0 < height <= size[0]
        assert 0 < width <= size[1]
        assert crop(frame).shape == (24, 24, 3)
        if max(size) < 2 * min(size):
            assert 0.4 < height * width / (size[0] * size[1]) <= 1


def test_clips_begin_anywhere_in_the_film():
    times = np.arange(100) / 25
    starts = {pixels._drawn(FORM, draw, 1, True).sampling.frame_indices(times)[0][0, 0] for draw in range(300)}
    assert min(starts) < 5
    assert max(starts) > 88
    assert len(starts) > 60


def test_a_film_that_breaks_now_gives_nothing_and_is_named(root, films):
    own = samples(root)
    (path,) = films.rglob("v3.mp4")
    stat = path.stat()
    path.write_bytes(path.read_bytes()[:300].ljust(stat.st_size, b"x"))
    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    (batch,) = list(own.batches([torch.tensor([1, 3, 5])], 1))
    assert len(batch) == 2
    assert batch.labels.tolist() == [1, 1]
    ((key, uri, _),) = own.broken
    assert (key, uri) == (pixels.read("d", root, FORM).keys[3], str(path))
    (nothing,) = list(own.batches([torch.tensor([3])], 2))
    assert len(nothing) == 0


def test_another_film_in_the_place_of_one_is_not_learned_under_its_label(root, films):
    own = samples(root)
    (path,) = films.rglob("v3.mp4")
    make_video(path, frames=30, seed=77)
    (batch,) = list(own.batches([torch.tensor([3, 5])], 1))
    assert len(batch) == 1
    ((_, _, fault),) = own.broken
    assert "changed since it was indexed" in str(fault)


def test_a_film_that_was_found_broken_is_left_out_and_one_that_was_too_short_for_another_is_not(root, films):
    found = pixels.read("d", root, FORM)
    rows = [(found.keys[1], "Corrupt", "a frame does not decode"), (found.keys[2], "TooShort", "it has 3 frames")]
    told = [Failure(key, "uri", "d", "recipe", "i3d_k400@1", "decode", error, why) for key, error, why in rows]
    Failures(root).append(told)
    now = pixels.read("d", root, FORM)
    assert now.ids == ("v0", "v2", "v3", "v4", "v5")
    ((_, _, fault),) = now.faults
    assert isinstance(fault, Corrupt)
    assert "a frame does not decode" in str(fault)


@pytest.mark.parametrize("sizes", [{"frames": 1}, {"stride": 0}, {"crop": 8}, {"resize": 100}])
def test_a_form_that_makes_no_sense_is_one_line(sizes):
    with pytest.raises(UsageError, match=r"^A clip needs 2 frames, .* got frames=.*\.$"):
        Form(**sizes)


def test_a_data_set_without_labels_cannot_be_learned_from(root, tmp_path):
    make_video(tmp_path / "a.mp4", frames=5)
    index(IndexConfig((str(tmp_path / "a.mp4"),), "e"), root)
    with pytest.raises(UsageError, match="'e' has 1 videos, and none has a label to learn. Run `zsar index"):
        pixels.read("e", root, FORM)
