"""The heads by name; a class is imported when it is asked for, so that listing them imports no torch."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heads.base import Head

HEADS = {
    "nearest": "heads.nearest:Nearest",
    "er": "heads.er:ER",
    "jigsaw": "heads.jigsaw:JigsawNet",
    "coco": "heads.coco:CoCo",
    "pseudo": "heads.pseudo:Pseudo",
    "conse": "heads.conse:ConSE",
    "ridge": "heads.ridge:Ridge",
    "transfer": "heads.transfer:Transfer",
    "devise": "heads.devise:DeViSE",
    "ale": "heads.ale:ALE",
    "sje": "heads.sje:SJE",
    "dem": "heads.dem:DEM",
    "eszsl": "heads.eszsl:ESZSL",
    "gcn": "heads.gcn:GCN",
    "relation": "heads.relation:RelationNet",
    "e2e": "heads.e2e:E2E",
    "rest": "heads.rest:ResT",
}


def find(name: str) -> "type[Head]":
    """The class of a head by its name.

    Raises
    ------
    LookupError
        No head has this name; the message lists those there are.
    """
    if name not in HEADS:
        raise LookupError(f"No head is called {name!r}; there are: {', '.join(HEADS)}.")
    module, attribute = HEADS[name].split(":")
    found: type[Head] = getattr(importlib.import_module(module), attribute)
    return found
