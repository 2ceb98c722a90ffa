"""What is open in a root for searches: spaces, feature sets, searchers and names of objects, each made once.

Takes  a root, what is asked
Gives  the searcher of an output, or of a space that phrases can be compared in
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipelines.extract.again import encoded_by
from pipelines.look.object_names import ObjectNames
from pipelines.look.searching import Searcher
from pipelines.look.settings import QueryConfig
from pipelines.look.spaces import Space, space_for
from stores.features import FeatureSet, FeatureStore
from stores.root import Root
from stores.vectors import OutputVectors, Vectors, blocks


class Searchers:
    """Searches in a root; what was opened is kept as long as its feature set is as it was.

    Parameters
    ----------
    root : Root
    advance : is told how an index grows, where rows came since it was last asked
    keep : whether that is written; in memory otherwise
    device : that it grows with
    """

    def __init__(
        self,
        root: Root,
        advance: Callable[[int, int], None] = lambda done, total: None,
        keep: bool = True,
        device: str = "auto",
    ) -> None:
        self._root, self._advance, self._keep, self._device = root, advance, keep, device
        self._open: dict[tuple[str, str, str], Searcher] = {}
        self._spaces: dict[tuple[str, str], tuple[Space, list[str], str]] = {}
        self._objects: dict[tuple[str, str], ObjectNames] = {}
        self._sets: dict[str, FeatureSet] = {}

    def of(self, feature_set: FeatureSet, compared: str | Vectors, selection: str = "") -> Searcher:
        """The searcher of one output of a feature set, or of vectors that are made of several.

        It is of all data sets, or of one version of a selection.
        """
        key = feature_set.name, compared if isinstance(compared, str) else compared.name, selection
        if key not in self._open or self._open[key].segments.snapshot != feature_set.snapshot:
            told = self._advance, self._keep, selection, self._device
            self._open[key] = Searcher(self._root, feature_set, compared, *told)
        return self._open[key]

    def of_space(self, space: Space, config: QueryConfig) -> Searcher:
        """The searcher of a space that phrases can be compared in."""
        compared = self.objects(space, config) if space.of_objects else space.output
        return self.of(self.find(space.name), compared, selection_of(config))

    def blocks(self, space: Space, config: QueryConfig) -> Iterator[np.ndarray]:
        """The vectors of all rows of such a space, some at a time; no index is made."""
        held = self.find(space.name)
        compared = self.objects(space, config) if space.of_objects else OutputVectors(held, space.output)
        return blocks(compared, held.shape()[1], self._advance)

    def objects(self, space: Space, config: QueryConfig) -> ObjectNames:
        """The names of the objects of a space as vectors, read and encoded once."""
        key = space.name, space.texts
        if key not in self._objects:

            def encode(names: Sequence[str]) -> np.ndarray:
                return encoded_by(names, space.texts, self._root, config.weights, config.device, gaps=True)

            self._objects[key] = ObjectNames(self._root, self.find(space.name), space.texts, encode, self._keep)
        return self._objects[key]

    def find(self, name: str) -> FeatureSet:
        """The feature set of a full name, opened once."""
        if name not in self._sets:
            self._sets[name] = FeatureStore(self._root).find(name)
        return self._sets[name]

    def space(self, config: QueryConfig) -> tuple[Space, list[str]]:
        """As `space_for`, found again as long as its feature set is as it was."""
        key = config.feature, config.encoder
        space, said, snapshot = self._spaces.get(key, (None, [], ""))
        if space is None or not space.output or self.find(space.name).snapshot != snapshot:
            space, said = space_for(config.phrase, config.feature, self._root, config.encoder, config.weights)
            snapshot = self.find(space.name).snapshot if space.output else ""
            self._spaces[key] = space, said, snapshot
        return space, said


def selection_of(config: QueryConfig) -> str:
    """The version of a selection to look in; nothing where a data set is none."""
    return config.dataset if "@" in config.dataset else ""
