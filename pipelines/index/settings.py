"""Settings of the index."""

import dataclasses
from typing import Annotated

from pipelines import kinds
from pipelines.errors import UsageError
from pipelines.settings import ARGUMENT, Choices


@dataclasses.dataclass(frozen=True)
class IndexConfig:
    """Settings of `zsar index`.

    Attributes
    ----------
    paths : folders, files or URLs of videos, or a file of features made elsewhere; of poses also a feature set that
        holds them, `mediapipe@KEY`
    dataset : name of the data set they belong to
    layout : how the data set is published; `auto` looks and says which. Of poses the layout of their joints (`ntu-25`,
        `kinect-20`, ...), where their files do not say it
    labels : label file of the data set (csv, json, split lists); of NTU's poses, its class names
    prune : forget rows of files that are gone
    kind : what is indexed; still images are to learn from, and captions stand for videos
    axes : of arrays of poses, the order of their axes where it is not certain, a letter each: `ctvm`
    declare : of poses, a TOML file of a layout of your own, which their joints are in
    """

    paths: Annotated[tuple[str, ...], ARGUMENT]
    dataset: str
    layout: Annotated[str, Choices("layout", "pipelines.index.layouts.names:names", told=False)] = "auto"
    labels: tuple[str, ...] = ()
    prune: bool = False
    kind: Annotated[str, Choices("kind of item", "pipelines.kinds:asked")] = "videos"
    axes: str = ""
    declare: str = ""

    def __post_init__(self) -> None:
        for name in ("axes", "declare"):
            if getattr(self, name) and self.kind != "poses":
                raise UsageError(f"{name} is about poses: give --kind poses with it.")
        if self.declare and self.layout != "auto":
            raise UsageError(f"The joints are in one layout: {self.layout}, or the one that {self.declare} declares.")
        if self.kind not in kinds.asked():
            raise UsageError(f"What is indexed is {' or '.join(kinds.asked())}, got {self.kind!r}.")
