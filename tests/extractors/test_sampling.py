"""Sampling and geometry against plain loops, and what they promise for any video."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extractors.errors import ExtractorError, TooShort
from extractors.sampling import Geometry, Sampling, every, steady


def at_rate(n: int, fps: float) -> np.ndarray:
    return np.arange(n) / fps


def test_centre_clips_stand_in_the_middle_of_equal_parts():
    indices, spans = Sampling(clips=4, frames=5).frame_indices(at_rate(100, 25))
    for part, clip in enumerate(indices):
        middle = part * 25 + 12.5
        assert abs(clip.mean() - middle) <= 1.0
        assert (np.diff(clip) == 1).all()
    np.testing.assert_allclose(spans[:, 1] - spans[:, 0], 0.2, atol=1e-6)


def test_linspace_starts_at_the_first_frame_and_ends_with_the_last():
    indices, _ = Sampling(clips=25, frames=16, placement="linspace").frame_indices(at_rate(250, 30))
    assert indices[0, 0] == 0
    assert indices[-1, -1] == 249
    starts = [round(i * (250 - 16) / 24) for i in range(25)]
    assert np.abs(indices[:, 0] - starts).max() <= 1


def test_spread_takes_the_middle_of_each_equal_part():
    indices, spans = Sampling(clips=1, frames=8, placement="spread").frame_indices(at_rate(80, 25))
    assert indices[0].tolist() == [5 + 10 * i for i in range(8)]
    np.testing.assert_allclose(spans, [[0, 3.2]], atol=1e-6)
    assert Sampling(1, 8, placement="spread").frame_indices(at_rate(24, 25))[0][0].tolist() == [*range(1, 24, 3)]


@pytest.mark.parametrize("parts", [3, 8, 16])
def test_spread_takes_the_frames_that_tsm_takes(parts):
    for n in range(parts, 400):
        tick = n / parts  # its test-time sampling, of one frame a part
        theirs = [int(tick / 2 + tick * part + 1e-9) for part in range(parts)]
        ours, _ = Sampling(1, parts, placement="spread").frame_indices(at_rate(n, 29.97))
        assert ours[0].tolist() == theirs, n


@given(
    n=st.integers(1, 500),
    rate=st.sampled_from([10, 15, 24 / 1.001, 24, 25, 30 / 1.001, 30, 50, 60 / 1.001, 60, 120]),
    start=st.floats(0, 100),
    placement=st.sampled_from(["centre", "linspace", "spread"]),
    fps=st.sampled_from([None, 5.0, 12.5, 25.0, 30.0]),
    clips=st.integers(1, 10),
)
def test_a_stamp_rounded_to_a_millisecond_changes_no_frame(n, rate, start, placement, fps, clips):
    sampling = Sampling(clips, 8, 2, fps, placement)
    exact, _ = sampling.frame_indices(at_rate(n, rate))
    rounded, _ = sampling.frame_indices(np.round(start + at_rate(n, rate), 3))
    assert np.array_equal(exact, rounded)
    assert np.array_equal(every(at_rate(n, rate), 2, fps or 0.0), every(np.round(at_rate(n, rate), 3), 2, fps or 0.0))


def test_uneven_stamps_are_taken_as_they_are():
    uneven = np.array([0, 0.04, 0.08, 0.2, 0.24])
    shown, period = steady(3 + uneven)
    np.testing.assert_allclose(shown, uneven)
    assert period == pytest.approx(0.06)


def test_stride_counts_frames_of_the_video_and_fps_counts_time():
    by_frames, _ = Sampling(clips=1, frames=4, stride=4, placement="linspace").frame_indices(at_rate(60, 30))
    assert by_frames[0].tolist() == [0, 4, 8, 12]
    by_time, _ = Sampling(clips=1, frames=4, fps=10, placement="linspace").frame_indices(at_rate(60, 30))
    assert by_time[0].tolist() == [0, 3, 6, 9]


def test_a_video_of_variable_rate_gives_the_moments_of_its_constant_twin():
    constant = at_rate(100, 25)
    keep = np.sort(np.random.default_rng(0).choice(100, 70, replace=False))
    keep[0] = 0
    variable = constant[keep]
    sampling = Sampling(clips=3, frames=6, fps=5)
    a, _ = sampling.frame_indices(constant)
    b, _ = sampling.frame_indices(variable)
    assert np.abs(constant[a] - variable[b]).max() < 0.25
    by_number = np.linspace(0, 69, a.size).astype(int)  # what counting frames would give
    assert np.abs(constant[a] - variable[b]).mean() < np.abs(constant[a].ravel() - variable[by_number]).mean()


def test_a_video_shorter_than_a_clip_is_looped():
    indices, _ = Sampling(clips=1, frames=16).frame_indices(at_rate(6, 25))
    assert indices[0].tolist() == [i % 6 for i in range(16)]


def test_too_few_frames_are_refused_by_number():
    with pytest.raises(TooShort, match="it has 1 frame; at least 2 are needed"):
        Sampling(clips=1, frames=16, min_frames=2).frame_indices(at_rate(1, 25))


def test_jitter_depends_on_seed_and_key_and_stays_in_its_part():
    sampling = Sampling(clips=5, frames=4, jitter_seed=7)
    times = at_rate(500, 25)
    a, _ = sampling.frame_indices(times, b"video a")
    assert np.array_equal(a, sampling.frame_indices(times, b"video a")[0])
    assert not np.array_equal(a, sampling.frame_indices(times, b"video b")[0])
    assert not np.array_equal(a, Sampling(clips=5, frames=4, jitter_seed=8).frame_indices(times, b"video a")[0])
    for part, clip in enumerate(a):
        assert part * 100 - 1 <= clip[0]
        assert clip[-1] <= (part + 1) * 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"placement": "middle"}, "centre, linspace, spread"),
        ({"clips": 0}, "clips > 0"),
        ({"fps": -1.0}, "fps > 0"),
        ({"stride": float("inf")}, "finite"),
    ],
)
def test_a_sampling_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ExtractorError, match=message):
        Sampling(**({"clips": 1, "frames": 1} | change))


@given(
    n=st.integers(1, 400),
    clips=st.integers(1, 30),
    frames=st.integers(1, 40),
    stride=st.sampled_from([1, 2, 4, 0.5]),
    fps=st.sampled_from([None, 5.0, 25.0, 60.0]),
    placement=st.sampled_from(["centre", "linspace", "spread"]),
    seed=st.sampled_from([None, 3]),
    start=st.floats(0, 1000),
)
def test_every_sampling_of_every_video_stays_inside_it(n, clips, frames, stride, fps, placement, seed, start):
    times = start + at_rate(n, 29.97)
    sampling = Sampling(clips, frames, stride, fps, placement, seed)
    indices, spans = sampling.frame_indices(times, b"key")
    assert indices.shape == (clips, frames)
    assert indices.min() >= 0
    assert indices.max() < n
    assert spans.shape == (clips, 2)
    assert (spans[:, 0] >= 0).all()
    assert (spans[:, 1] >= spans[:, 0]).all()
    if n > 1:
        assert spans.max() <= n / 29.97 + 1e-3


def test_the_crop_offset_is_torchvisions():
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    ours = Geometry((128, 171), 112)(frame)
    resized = cv2.resize(frame, (171, 128), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(ours, resized[8 : 8 + 112, 30 : 30 + 112])  # round(29.5) is 30, as in torchvision


def test_resize_is_torch_bilinear_without_antialiasing():
    frame = np.random.default_rng(1).integers(0, 256, (256, 340, 3), np.uint8)
    ours = Geometry((128, 171), (128, 171))(frame).astype(np.float32)
    tensor = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    theirs = (
        torch.nn.functional.interpolate(tensor, (128, 171), mode="bilinear", antialias=False)[0]
        .permute(1, 2, 0)
        .numpy()
    )
    assert np.abs(ours - theirs).max() <= 1.0


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 640), (128, 170)), ((640, 480), (170, 128)), ((51, 37), (176, 128))]
)
def test_the_shorter_side_is_resized_whatever_the_orientation(size, expected):
    frame = np.zeros((*size, 3), np.uint8)
    assert Geometry(128, expected)(frame).shape == (*expected, 3)


def test_a_whole_video_is_taken_every_so_many_frames_or_ticks_each_frame_once():
    assert every(at_rate(7, 25)).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert every(at_rate(7, 25), stride=3).tolist() == [0, 3, 6]
    assert every(at_rate(60, 30), fps=10).tolist() == list(range(0, 60, 3))
    assert every(at_rate(60, 30), stride=2, fps=10).tolist() == list(range(0, 60, 6))
    assert every(at_rate(5, 25), fps=100).tolist() == [0, 1, 2, 3, 4], "a frame that stands for four ticks is one"
    assert every(np.zeros(1), fps=10).tolist() == [0]
    held = np.array([0, 0.04, 0.08, 1.08, 1.12])  # the third frame is shown for a second
    assert every(held, fps=5).tolist() == [0, 2]
