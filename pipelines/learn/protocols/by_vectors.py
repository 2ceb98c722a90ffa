"""Vectors of the names of classes, where a protocol draws its splits by them."""

import numpy as np

from pipelines.errors import UsageError
from pipelines.learn.protocols.protocols import Protocol
from pipelines.learn.samples.texts import read
from stores.root import Root


def name_vectors(protocol: Protocol, name: str, encoder: str, root: Root) -> np.ndarray | None:
    """(K, A) a vector of each class's name, where a protocol draws its splits by them; else nothing is read.

    Only names are looked at, so that a backbone and every head on top of it are given the same split.
    """
    if not protocol.needs_vectors:
        return None
    told = read(name, encoder, ("class",), root).tensors
    if told["class"].features.ndim > 2:
        raise UsageError(
            f"{protocol.name} draws its splits by vectors of the class names, and {encoder} gives token states. Take "
            "the encoder itself, such as minilm, or another protocol."
        )
    return told["class"].mean(told["class"].features, len(told)).numpy()
