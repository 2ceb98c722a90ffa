"""The kinds of items, a row each: what they are called, who finds them, who reads them, who runs them.

    video          a file of film, or a labelled span of one
    image          a file of a still image, to make clips of
    pose           a sequence of poses
    caption_group  the captions that stand for a video; what is extracted are their texts
    feature        a video of which there are features and no file
    text           a text of a set; in no manifest

A kind is one row here; its parts are found by their names when they are asked for, so that reading this table imports
nothing.
"""

import dataclasses
import importlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of items.

    Attributes
    ----------
    name : in the manifest
    called : what several of them are called
    asked : as `zsar index --kind` calls it; empty of a kind that comes along with another
    given : what is given to `zsar index` for it, in advice
    read_by : the kind of the extractors that read it; empty where none does
    index : `module:function` of (IndexConfig, Root, Progress), which brings a manifest up to date
    source : `module:name` of its `extract.items.Source`
    runner : `module:function` of (extractors by feature, device, forwards, decoders), which runs them
    """

    name: str
    called: str
    asked: str = ""
    given: str = ""
    read_by: str = ""
    index: str = ""
    source: str = ""
    runner: str = ""


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "video",
            "videos",
            asked="videos",
            given="PATH",
            read_by="video",
            index="pipelines.index.videos:index",
            source="pipelines.extract.manifested:VIDEOS",
            runner="pipelines.extract.runners.videos:runner",
        ),
        Kind(
            "image",
            "images",
            asked="images",
            given="PATH --kind images",
            index="pipelines.index.videos:index",
            source="pipelines.extract.manifested:IMAGES",
        ),
        Kind(
            "caption_group",
            "captions",
            asked="captions",
            given="captions.jsonl --kind captions",
            read_by="text",
            index="pipelines.index.captions:index_captions",
            source="pipelines.extract.told_texts:CAPTIONS",
            runner="pipelines.extract.runners.texts:runner",
        ),
        Kind(
            "pose",
            "poses",
            asked="poses",
            given="PATH --kind poses",
            read_by="pose",
            index="pipelines.index.poses:index_poses",
            source="pipelines.extract.manifested:POSES",
            runner="pipelines.extract.runners.poses:runner",
        ),
        Kind("feature", "features", given="FILE --labels FILE", source="pipelines.extract.manifested:FEATURES"),
        Kind(
            "text",
            "texts",
            read_by="text",
            source="pipelines.extract.told_texts:SET_TEXTS",
            runner="pipelines.extract.runners.texts:runner",
        ),
    )
}


def asked() -> dict[str, Kind]:
    """The kinds that `zsar index --kind` takes, by what it calls them."""
    return {kind.asked: kind for kind in KINDS.values() if kind.asked}


def read_by(extractors: str) -> list[Kind]:
    """The kinds that extractors of a kind read."""
    return [kind for kind in KINDS.values() if kind.read_by == extractors]


def part(name: str) -> Any:
    """What `module:attribute` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
