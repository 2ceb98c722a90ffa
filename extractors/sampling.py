"""Which frames of a video, and what becomes of each: the two halves of a view.

`Sampling` turns a timeline (the times of a video's frames) into frame numbers (clips, T); `Geometry` turns one decoded
frame into (H, W, 3) uint8. Both are plain values and stand in the recipe. Sampling is by time, so a video of variable
frame rate gives the same moments as its constant-rate twin.
"""

import dataclasses
import hashlib

import cv2
import numpy as np

from extractors.errors import ExtractorError, TooShort, TooSmall

PLACEMENTS = ("centre", "linspace", "spread")
_ROUNDING_S = 0.00051  # of a stamp in whole milliseconds
_RATES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 12.5, 15, 16, 18, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)
_INSTANT_S = 1e-7  # moments that differ by less are one: sums of floats are


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Which frames of a video make its clips.

    Parameters
    ----------
    clips : int
        Clips a video (m).
    frames : int
        Frames a clip (T).
    stride : float
        From one frame of a clip to the next, in frame periods of the clock.
    fps : float or None
        The clock; None takes the video's own mean rate.
    placement : str
        `centre`: the video in m equal parts, a clip in the middle of each. `linspace`: clip starts linearly spaced over
        the video (E2E). `spread`: each clip covers the whole video, its T frames one from the middle of each of T equal
        parts (JigsawNet, TSM); stride and fps play no part.
    jitter_seed : int or None
        If given, the place in each part is drawn uniformly from (seed, content key): the same video, the same draw.
    min_frames : int
        Fewest frames a video must have; below that it is too short. A video shorter than a clip is looped.
    """

    clips: int
    frames: int
    stride: float = 1
    fps: float | None = None
    placement: str = "centre"
    jitter_seed: int | None = None
    min_frames: int = 1

    def __post_init__(self) -> None:
        if self.placement not in PLACEMENTS:
            raise ExtractorError(f"placement must be one of {', '.join(PLACEMENTS)}, got {self.placement!r}.")
        for field in ("clips", "frames", "stride", "min_frames", "fps"):
            value = getattr(self, field)
            if value is not None and not 0 < value < float("inf"):
                raise ExtractorError(f"Sampling needs {field} > 0 and finite, got {value}.")

    def frame_indices(self, times: np.ndarray, key: bytes = b"") -> tuple[np.ndarray, np.ndarray]:
        """Frame numbers and times of the clips of one video.

        Parameters
        ----------
        times : (n,) float64, seconds, increasing
            When each frame of the video is shown.
        key : bytes
            Content key, the seed of the jitter.

        Returns
        -------
        indices : (clips, T) int64, into `times`
        spans : (clips, 2) float32, seconds from the first frame; start and end of each clip

        Raises
        ------
        TooShort
            The video has fewer than `min_frames` frames.
        """
        n = len(times)
        if n < self.min_frames:
            raise TooShort(f"it has {n} frame{'s' * (n != 1)}; at least {self.min_frames} are needed")
        shown, period = steady(times)
        length = float(shown[-1]) + period
        grace = period / 2  # a frame is taken from half a period before it is shown: the nearest at an even rate
        place = np.full((self.clips, self.frames if self.placement == "spread" else 1), 0.5)
        if self.jitter_seed is not None:
            seed = hashlib.blake2b(key + str(self.jitter_seed).encode(), digest_size=16).digest()
            place = np.random.default_rng(int.from_bytes(seed, "little")).random(place.shape)

        if self.placement == "spread":
            wanted = (np.arange(self.frames) + place) * length / self.frames
            spans = np.tile([0.0, length], (self.clips, 1))
        else:
            step = self.stride * (1 / self.fps if self.fps else period)
            cover = step * self.frames
            last_start = max(length - cover, 0.0)
            if self.placement == "linspace":
                starts = np.linspace(0, last_start, self.clips)
            else:
                part = length / self.clips
                room = part - cover  # negative where clips overlap: the clip is still centred on its part
                starts = np.arange(self.clips) * part + place[:, 0] * room
            starts = np.clip(starts, 0, last_start)
            if self.fps is None:  # start on a frame, so that a stride of whole frames picks whole frames
                starts = shown[_frame_at(shown, starts + grace)]
            wanted = (starts[:, None] + np.arange(self.frames) * step + grace) % length  # past its end it begins again
            spans = np.stack([starts, np.minimum(starts + cover, length)], 1)
        return _frame_at(shown, wanted), spans.astype(np.float32)


def steady(times: np.ndarray) -> tuple[np.ndarray, float]:
    """When frames are shown, from the first one, without what rounding did to their stamps.

    A film of an even rate has its frames at whole multiples of a period, which containers round to their own clock: to
    1 ms in Matroska and FLV. Where all stamps are that near to such multiples, the multiples are taken, and a rate as
    near to one in use, or to that by 1.001 where the film is long enough to tell, is taken for it; so a frame that
    stands exactly at a wanted moment is found in every container.

    Parameters
    ----------
    times : (n,) float64, seconds, increasing

    Returns
    -------
    shown : (n,) float64, seconds; shown[0] is 0
    period : float, seconds from one frame to the next, in the mean

    Examples
    --------
    >>> shown, period = steady(np.array([1.0, 1.033, 1.067, 1.1]))
    >>> bool(period == 1 / 30)
    True
    """
    shown = times - times[0]
    n = len(shown)
    if n < 2 or shown[-1] <= 0:
        return shown, 1 / 25
    period = float(shown[-1] / (n - 1))
    ends_s = 2 * _ROUNDING_S  # both ends may be rounded
    if np.abs(shown - np.arange(n) * period).max() > ends_s:
        return shown, period
    whole = min(_RATES, key=lambda rate: abs((n - 1) / rate - shown[-1]))
    ends = (n - 1) / whole, (n - 1) / whole * 1.001
    off = [abs(end - shown[-1]) for end in ends]
    if min(off) <= ends_s:
        told_apart = ends[1] - ends[0] > 2 * ends_s
        period = ends[off.index(min(off)) if told_apart else 0] / (n - 1)
    return np.arange(n) * period, period


def every(times: np.ndarray, stride: int = 1, fps: float = 0.0) -> np.ndarray:
    """Numbers of the frames of a whole video, every `stride` of them.

    Parameters
    ----------
    times : (n,) float64, seconds, increasing
    stride : int
    fps : float
        The clock: of each of its ticks the frame on screen, each frame once. 0: the video's own frames.

    Returns
    -------
    (T,) int64, rising

    Examples
    --------
    >>> every(np.arange(5) / 25, stride=2)
    array([0, 2, 4])
    >>> every(np.arange(10) / 30, fps=10)
    array([0, 3, 6, 9])
    """
    if not fps:
        return np.arange(0, len(times), stride)
    shown, _ = steady(times)
    grace = float(np.median(np.diff(shown))) / 2 if len(shown) > 1 else 0.02  # the nearest at an even rate
    return np.unique(_frame_at(shown, np.arange(0, float(shown[-1]) + grace, stride / fps) + grace))


def _frame_at(shown: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Number of the frame on screen at each wanted time; the one that begins then is."""
    return np.clip(np.searchsorted(shown, wanted + _INSTANT_S, side="right") - 1, 0, len(shown) - 1)


def scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) of a frame whose shorter side is made `side`.

    Examples
    --------
    >>> scaled(240, 320, 128)
    (128, 170)
    """
    scale = side / min(height, width)
    return (side, int(width * scale)) if height <= width else (int(height * scale), side)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What becomes of one RGB frame: bilinear resize without antialiasing, then a centre crop.

    Parameters
    ----------
    resize : int or (int, int)
        Length of the shorter side, or (height, width) whatever the aspect.
    crop : int or (int, int)
        Side, or (height, width), of the centre crop; the offset is rounded as torchvision does.
    """

    resize: int | tuple[int, int]
    crop: int | tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of what `__call__` gives."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else (self.crop[0], self.crop[1])

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """One frame (h, w, 3) uint8 to (H, W, 3) uint8."""
        height, width = rgb.shape[:2]
        if isinstance(self.resize, int):
            target = scaled(height, width, self.resize)
        else:
            target = (self.resize[0], self.resize[1])
        if target != (height, width):
            rgb = cv2.resize(rgb, (target[1], target[0]), interpolation=cv2.INTER_LINEAR)
        crop_height, crop_width = self.size
        if crop_height > target[0] or crop_width > target[1]:
            raise TooSmall(f"a crop of {self.size} does not fit into its frames, resized to {target}; resize to more")
        top = round((target[0] - crop_height) / 2)
        left = round((target[1] - crop_width) / 2)
        return rgb[top : top + crop_height, left : left + crop_width]


@dataclasses.dataclass(frozen=True)
class View:
    """One way to see a video: what an extractor asks the decoder for."""

    sampling: Sampling
    geometry: Geometry
