"""What each split of `finetune` trains and tests on: which items, of which classes.

    protocol, or none; conditions on the items; every fifth group kept back under GZSL ─▶ a `Part` a split

Items of unseen classes are not even looked at. Items with the same content as one that is trained on are left out of
the test, and counted.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from pipelines.errors import UsageError
from pipelines.learn.protocols.by_vectors import name_vectors
from pipelines.learn.protocols.fifths import fifths
from pipelines.learn.protocols.protocols import Protocol, chosen, protocol
from pipelines.learn.protocols.removal import removed_classes
from pipelines.learn.protocols.splits import Split
from pipelines.learn.protocols.subsets import subset
from pipelines.learn.samples.items import Items
from pipelines.learn.settings import FinetuneConfig
from pipelines.learn.trainables.base import Trainable
from pipelines.texts.adding import link
from stores.classes import Classes
from stores.root import Root

NO_PROTOCOL = "none"


@dataclasses.dataclass(frozen=True)
class Part:
    """What one split trains and tests on: numbers of items, and the classes trained on, sorted."""

    number: int
    classes: tuple[str, ...]
    unseen: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    twins: int


@dataclasses.dataclass(frozen=True)
class Named:
    """The classes as a protocol is given them.

    Attributes
    ----------
    classes : names to split
    means : the class that each label of the items means
    vectors : (K, A) of the names, where the protocol draws by them
    removed : classes that are left out, for they are those of the data set to judge on
    """

    classes: tuple[str, ...]
    means: dict[str, str | None]
    vectors: np.ndarray | None = None
    removed: tuple[str, ...] = ()

    def labels(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Labels of the items of some classes."""
        return tuple(label for label, name in self.means.items() if name in classes)


def named(config: FinetuneConfig, trained: Trainable, root: Root) -> Named:
    """The labels; for splits that are drawn the classes of the set, whose spelling and vectors `fit` draws by too."""
    items = trained.items
    found = None if config.protocol == NO_PROTOCOL else protocol(config.protocol)
    if config.judge:
        theirs = [name for each in config.judge for name in Classes(root).read(each)["name"].to_pylist()]
        out = removed_classes(items.classes, theirs, config.tau, trained.class_vectors(config.judge))
        kept = tuple(label for label in items.classes if label not in out)
        return Named(kept, {label: label for label in kept}, removed=out)
    if found is None or found.draw is None:
        return Named(items.classes, {label: label for label in items.classes})
    texts = config.set or config.dataset
    classes = tuple(Classes(root).read(texts)["name"].to_pylist())
    vectors, means = name_vectors(found, texts, config.encoder, root), link(texts, config.dataset, root)
    if found.of_videos:
        classes = tuple(name for name in classes if name in means.values())
    return Named(classes, means, vectors)


def parts(config: FinetuneConfig, items: Items, names: Named) -> Iterator[Part]:
    """What each split asked for trains and tests on; what is wrong with any is said before the first is trained."""
    chosen_for_training = items.matching(config.train)
    if config.gzsl:
        chosen_for_training &= ~kept_back(items)
    chosen_for_test = items.matching(config.test) if config.test else np.zeros(len(items.ids), bool)
    if (both := np.flatnonzero(chosen_for_training & chosen_for_test)).size:
        raise UsageError(
            f"{len(both)} {items.called}s are both trained and tested on, {items.ids[both[0]]} for one. "
            "Give --train and --test that exclude each other."
        )
    labels, part = np.array(items.labels, object), subset(config.part, config.seed)
    chosen_for_training &= part.of_items(len(items.ids))
    for number, seen, unseen in _splits(config, items, names):
        seen = part.of_classes(seen, number)
        of_seen = np.isin(labels, seen)
        train_rows = np.flatnonzero(chosen_for_training & of_seen)
        classes = tuple(sorted(set(labels[train_rows])))
        if len(classes) < 2:
            removed = f", {len(names.removed)} left out as --judge and --tau ask" if config.judge else ""
            raise UsageError(
                f"Split {number} of {config.protocol!r} trains on {len(train_rows)} {items.called}s of {len(classes)} "
                f"classes{removed}; 2 classes are needed. Take another protocol, or another "
                f"{'--tau' if config.judge else '--train'}."
            )
        trained = {items.keys[row] for row in train_rows}
        test_rows = np.flatnonzero(chosen_for_test & np.isin(labels, classes))
        apart = np.array([items.keys[row] not in trained for row in test_rows], bool)
        if config.test and not apart.any():
            raise UsageError(f"No {items.called} is left to test on with {' '.join(config.test)}.")
        yield Part(number, classes, unseen, train_rows, test_rows[apart], int((~apart).sum()))


def kept_back(items: Items) -> np.ndarray:
    """(N,) bool: the fifth of the items that GZSL judges on."""
    recordings = [split.get("recording") for split in items.splits]
    return np.asarray(fifths(items.ids, items.keys, recordings) == 0)


def _splits(
    config: FinetuneConfig, items: Items, names: Named
) -> Iterator[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """Number, seen and unseen classes of each split; without a protocol all are seen."""
    if config.protocol == NO_PROTOCOL:
        yield 0, names.classes, ()
        return
    found: Protocol = protocol(config.protocol)
    for number in chosen(config.splits, found.count):
        split: Split = found.split(number, names.classes, names.vectors)
        yield number, names.labels(split.seen), names.labels(split.validation + split.unseen)
