"""Telling apart the classes trained on: what a network is trained by before its features are used.

    a visual tower's logits (N, K) -> cross-entropy, labels smoothed

Nothing is learned here and no text is read: the network has the layer whose outputs are the classes.
"""

import dataclasses

from torch import Tensor
from torch.nn import functional

from heads.base import ClassTexts, Head, Videos


@dataclasses.dataclass(frozen=True)
class ClassifierOptions:
    """Settings of `Classifier`.

    Attributes
    ----------
    smoothing : of the labels
    """

    smoothing: float = 0.0


class Classifier(Head):
    """The classifier of a network that ends in one.

    Parameters
    ----------
    options : ClassifierOptions
    """

    Options = ClassifierOptions

    def __init__(self, options: ClassifierOptions) -> None:
        super().__init__()
        self.options = options

    @classmethod
    def reads(cls, options: ClassifierOptions) -> tuple[str, ...]:
        """As `Head.reads`: nothing."""
        return ()

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `classes`."""
        assert videos.labels is not None
        logits = videos.segments.float()
        return {"classes": functional.cross_entropy(logits, videos.labels, label_smoothing=self.options.smoothing)}

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`: the logits, of the classes trained on."""
        return videos.segments
