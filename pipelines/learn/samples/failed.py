"""Labelled items that failed when they were indexed: they have no row in the manifest, and a result must count them.

Takes  the failures of a root, the data set's rows
Gives  `FailedItem`s: those of the kind a feature is made from whose label is known and that did not succeed since
"""

import os
from collections.abc import Collection
from typing import NamedTuple

from pipelines.index.pose_reading import SUFFIXES
from pipelines.index.poses import KIND
from stores.failures import Failures
from stores.root import Root


class FailedItem(NamedTuple):
    """An item that could not be read: what it would be called, its place and its label."""

    name: str
    uri: str
    label: str


def failed_items(dataset: str, kind: str | None, there: Collection[str], root: Root) -> list[FailedItem]:
    """The labelled items of a data set that failed at index.

    Parameters
    ----------
    dataset : str
    kind : of the items a feature is made from; None: films
    there : uris of those that were read in the end
    root : Root
    """
    found = []
    for row in Failures(root).latest().to_pylist():
        is_own = (row["stage"], row["dataset"]) == ("index", dataset) and row["label"] and row["uri"] not in there
        if is_own and _is_pose(row["uri"]) == (kind == KIND):
            found.append(FailedItem(_name(row["uri"]), row["uri"], row["label"]))
    return found


def _is_pose(uri: str) -> bool:
    return _path(uri).lower().endswith(SUFFIXES)


def _name(uri: str) -> str:
    """As `index` would have called it: its file without ending, in a file of many with its number."""
    number = uri.removeprefix(_path(uri)).partition(",")
    return os.path.splitext(os.path.basename(_path(uri)))[0] + (number[0] if number[1] else "")


def _path(uri: str) -> str:
    return uri.rpartition("#")[0] or uri
