"""Samples: what a training goes through, given in batches; all that a task knows of features, sequences, or pixels."""

from typing import Protocol

from torch import Tensor

from heads.base import Videos


class Samples(Protocol):
    """Samples to learn from or to test on.

    Attributes
    ----------
    labels : (N,) int64, numbers of classes
    at_once : samples a batch where nothing is learned
    """

    labels: Tensor
    at_once: int

    def __len__(self) -> int:
        """N."""

    def batch(self, rows: Tensor, draw: bool) -> Videos:
        """Some samples on the device, with their labels.

        Parameters
        ----------
        rows : (B,) int64
        draw : bool
            Draw what is drawn anew each time, from torch's generator; else a sample is what an extractor is given.
        """


class Features:
    """Features as samples: there is nothing to draw.

    Parameters
    ----------
    videos : Videos
        With labels.
    device : where all of them are put
    """

    at_once = 4096

    def __init__(self, videos: Videos, device: str) -> None:
        assert videos.labels is not None
        self.videos = videos.to(device)
        self.labels = videos.labels

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: Tensor, draw: bool) -> Videos:
        """As `Samples.batch`."""
        return self.videos.take(rows.to(self.videos.segments.device))
