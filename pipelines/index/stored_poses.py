"""Pose sequences in a feature set: what a tracker found in videos, read as sequences again.

    features (T, 4 V) ─▶ x, y, z (T, 1, V, 3), visibility (T, 1, V) ─checked─▶ Poses

A set holds poses where its recipe names the layout of their joints.
"""

import functools

import numpy as np

from extractors import joints
from extractors.errors import Unreachable
from extractors.poses import Poses, checked
from pipelines.errors import UsageError
from stores.errors import StoreError
from stores.features import FeatureSet, FeatureStore
from stores.root import Root

_OUTPUT = "features"


class StoredPoses:
    """The sequences of a feature set, by the number of their item.

    Raises
    ------
    UsageError
        The set holds no poses.
    """

    def __init__(self, feature_set: FeatureSet) -> None:
        name = (feature_set.recipe.get("preprocessing") or {}).get("layout")
        if name not in joints.LAYOUTS or not _is_of(feature_set, name):
            raise UsageError(
                f"{feature_set.name} holds no poses: a set of poses names the layout of its joints in its recipe. "
                "Give one that `zsar extract mediapipe` made; `zsar list features` names all sets."
            )
        self.feature_set = feature_set
        self.layout = joints.layout(name)

    @classmethod
    def at(cls, root_url: str, name: str) -> "StoredPoses":
        """The sequences of a set of this full name; Unreachable where it is gone or cannot be opened."""
        try:
            found = FeatureStore(Root(root_url)).get(name)
        except StoreError as error:
            raise Unreachable(f"the feature set cannot be read: {error}") from error
        if found is None:
            raise Unreachable(f"the feature set {name} is not there (any more); extract it again")
        return cls(found)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def array(self, number: int) -> np.ndarray:
        """(T, 4 V) of a sequence, as stored."""
        start, end = int(self._offsets[number]), int(self._offsets[number + 1])
        return np.asarray(self._rows[start:end])

    def poses(self, number: int) -> Poses:
        """A sequence of one person; InputFault as `poses.checked`."""
        rows = self.array(number).reshape(-1, 1, len(self.layout.joints), 4)
        return checked(self.layout, rows[..., :3], rows[..., 3])

    @functools.cached_property
    def _offsets(self) -> np.ndarray:
        return np.asarray(self.feature_set.array("offsets")[:])

    @functools.cached_property
    def _rows(self) -> "_Chunks":
        return _Chunks(self.feature_set)


class _Chunks:
    """Rows of a set; the chunks of the last span stay in memory, for the next sequence is often in the same."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self._array = feature_set.array(_OUTPUT)
        self._first, self._held = 0, np.empty((0, *self._array.shape[1:]))

    def __getitem__(self, span: slice) -> np.ndarray:
        step = self._array.chunks[0]
        if span.start < self._first or span.stop > self._first + len(self._held):
            self._first = span.start // step * step
            self._held = np.asarray(self._array[self._first : -(-span.stop // step) * step])
        return self._held[span.start - self._first : span.stop - self._first]


def _is_of(feature_set: FeatureSet, layout: str) -> bool:
    """Whether its rows are as long as joints of this layout."""
    return _OUTPUT in feature_set.outputs and feature_set.array(_OUTPUT).shape[1:] == (
        4 * len(joints.layout(layout).joints),
    )
