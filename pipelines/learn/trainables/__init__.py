"""What `finetune` trains, by name; a class is imported when it is asked for."""

import importlib
from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from pipelines.kinds import KINDS

if TYPE_CHECKING:
    from pipelines.learn.trainables.base import Trainable

TRAINABLES = {
    "stgcn": "pipelines.learn.trainables.stgcn:Skeletons",
    "stgcn_small": "pipelines.learn.trainables.stgcn:Skeletons",
    "e2e_r2plus1d": "pipelines.learn.trainables.e2e:E2ENetwork",
    "e2e_c3d": "pipelines.learn.trainables.e2e:E2ENetwork",
    "jigsaw": "pipelines.learn.trainables.jigsaw:JigsawClips",
    "rest": "pipelines.learn.trainables.rest:ResTNetwork",
}


def learned_from(name: str) -> str:
    """What the items are called that something is trained on, `videos` or `poses`; `items` where it is not known."""
    return KINDS[find(name).reads].called if name in TRAINABLES else "items"


def find(name: str) -> "type[Trainable]":
    """The class of what is trained under a name.

    Raises
    ------
    UsageError
        Nothing is trained under this name; the message lists what is.
    """
    if name not in TRAINABLES:
        raise UsageError(f"{name!r} is not trained here; there are: {', '.join(TRAINABLES)}.")
    module, attribute = TRAINABLES[name].split(":")
    found: type[Trainable] = getattr(importlib.import_module(module), attribute)
    return found
