"""Settings of the practice world."""

import dataclasses
from typing import Annotated

from pipelines.errors import UsageError
from pipelines.settings import ARGUMENT

_BOUNDS = {
    "classes": (6, 240),
    "videos": (1, 10_000),
    "splits": (1, 1000),
    "unseen": (0, 200),
    "seed": (0, 2**31),
    "size": (32, 512),
    "fps": (5, 60),
    "rate": (1, 1000),
    "workers": (0, 1024),
}


@dataclasses.dataclass(frozen=True)
class PracticeConfig:
    """Settings of `zsar practice`.

    Attributes
    ----------
    folder : where it is written: one that is not there, that is empty, or that an earlier call began
    poses : data set of poses in the cache whose sequences are drawn; nothing: compositions of atomic motions
    classes : so many compositions
    videos : so many a composition
    unseen : classes that are unseen in each split; 0: a third of them
    splits : so many random splits, and so many in which one motion is in no seen class
    seed : of everything that is drawn
    size : of the pictures in pixels, each side; even
    fps : pictures a second of the films
    rate : frames a second of the poses
    workers : processes; 0: one a core
    """

    folder: Annotated[str, ARGUMENT]
    poses: str = ""
    classes: int = 60
    videos: int = 20
    unseen: int = 0
    splits: int = 5
    seed: int = 0
    size: int = 112
    fps: int = 15
    rate: float = 30.0
    workers: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"{name} must be between {least} and {most:,}, got {getattr(self, name)}.")
        if self.size % 2:
            raise UsageError(f"size must be even, as H.264 halves colours, got {self.size}.")
        if not self.poses and self.unseen > self.classes - 3:
            raise UsageError(f"unseen must leave 3 of the {self.classes} classes to be seen, got {self.unseen}.")
