"""Samples: what a training goes through, given in batches; all that a task knows of features, sequences, or pixels."""

from collections.abc import Iterable, Iterator
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

    def batches(self, order: Iterable[Tensor], draw: int | None) -> Iterator[Videos]:
        """Samples on the device, with their labels, a batch after the other.

        Parameters
        ----------
        order : (B,) int64 rows of each batch
        draw : int or None
            A number that is another one each epoch: draw what is drawn anew, from torch's generator or from this number
            and the row alone. None: a sample is what an extractor is given.
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

    def batches(self, order: Iterable[Tensor], draw: int | None) -> Iterator[Videos]:
        """As `Samples.batches`."""
        return (self.videos.take(rows.to(self.videos.segments.device)) for rows in order)
