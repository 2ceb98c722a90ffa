"""Samples: what a training goes through, given in batches; all that a task knows of features, sequences, or pixels."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
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


class Unread:
    """Features that are read when their batch comes, the next one while the last one is learned from.

    Parameters
    ----------
    batch : what gives some of the samples, by their rows (B,)
    labels : (N,) int64, numbers of classes
    device : where a batch is put
    at_once : as `Samples` has it
    """

    def __init__(self, batch: Callable[[Tensor], Videos], labels: Tensor, device: str, at_once: int) -> None:
        self._batch, self._device = batch, device
        self.labels, self.at_once = labels, at_once

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: Iterable[Tensor], draw: int | None) -> Iterator[Videos]:
        """As `Samples.batches`."""
        with ThreadPoolExecutor(1) as reader:
            coming = None
            for rows in order:
                following = reader.submit(self._batch, rows)
                if coming is not None:
                    yield coming.result().to(self._device)
                coming = following
            if coming is not None:
                yield coming.result().to(self._device)
