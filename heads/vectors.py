"""One vector a video and one a class, as the baselines read them.

    v = mean_m x   (N, D), of unit length where asked;     t = norm(sum over kinds of norm(mean over texts))   (K, A)

With one kind and one text a class, as in the papers, t is that text's unit vector.
"""

import torch
from torch import Tensor

from heads.base import ClassTexts, Videos
from heads.projection import unit

_AT_ONCE = 8192  # videos in double precision at a time: all of Kinetics would be gigabytes


def class_vectors(classes: ClassTexts, texts: str) -> Tensor:
    """(K, A) unit vectors of the classes, from the kinds of text that `texts` names."""
    told = [classes[kind] for kind in texts.split("+")]
    return unit(torch.stack([unit(own.mean(own.features, len(classes))) for own in told]).sum(0))


def video_vectors(videos: Videos, unit_videos: bool) -> Tensor:
    """(N, D): each video's mean segment, of unit length where asked."""
    mean = videos.segments.mean(1)
    return unit(mean) if unit_videos else mean


def moments(videos: Videos, classes: int, unit_videos: bool) -> tuple[Tensor, Tensor]:
    """What a closed form needs of the videos: V'V (D, D) and V'Y (D, K), Y in {0, 1}, both float64.

    Ridge solutions lose half their digits to the squaring of V, so float32 would leave three or four.
    """
    assert videos.labels is not None
    vectors = video_vectors(videos, unit_videos)
    width = vectors.shape[1]
    squares = vectors.new_zeros(width, width, dtype=torch.float64)
    sums = vectors.new_zeros(classes, width, dtype=torch.float64)
    for start in range(0, len(vectors), _AT_ONCE):
        block = vectors[start : start + _AT_ONCE].double()
        squares += block.T @ block
        sums.index_add_(0, videos.labels[start : start + _AT_ONCE], block)
    return squares, sums.T


def ridged(squares: Tensor, by: float) -> Tensor:
    """(D, D) + by I."""
    return squares + by * torch.eye(len(squares), dtype=squares.dtype, device=squares.device)
