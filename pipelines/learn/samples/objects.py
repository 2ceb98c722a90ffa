"""Recognised objects as heads read them: a text feature a video, and one an object.

Takes  a feature set with `ids` (bit_objects), an encoder
Gives  `Objects`: a text of each video's best objects, told as the head reads them, and `name: gloss` of each object, as
       text features; and what a run must say of where they come from

Papers: Elaborative Rehearsal, ICCV 2021; JigsawNet; METHODS sections 3 and 4.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

from heads.base import Videos
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.learn.samples import features
from pipelines.learn.samples.features import VideoFeatures, content_digest, learned_from
from pipelines.texts import encoded
from pipelines.texts.cut import Reader
from pipelines.texts.objects import gloss, object_texts, told_of
from pipelines.texts.settings import ObjectTextsConfig
from stores.features import positions
from stores.keys import KEY_BYTES, key_array, rows_digest, text_key
from stores.manifest import Manifest
from stores.root import Root


@dataclasses.dataclass(frozen=True)
class Recognised(abc.ABC):
    """What was recognised in the videos of a study, and where it comes from.

    Attributes
    ----------
    feature : full name of the feature set
    recipe, snapshot : of the feature set
    digest : of what was recognised in the data set's videos (`digest_of`)
    told : how a video's objects are told, as `heads.base.Head.objects_told`
    texts_digest : of the texts that tell them, and of their features
    cut : texts that tell them and are longer than the encoder reads, and all of them
    trained_on : what the recipe tells of the recogniser's weights, as `VideoFeatures.told`; empty where nothing
    """

    feature: str
    recipe: str
    snapshot: str
    digest: str
    told: str
    texts_digest: str
    trained_on: Mapping[str, Any]
    cut: tuple[int, int]

    @property
    @abc.abstractmethod
    def without(self) -> int:
        """Videos in which nothing was recognised."""

    @abc.abstractmethod
    def of(self, rows: np.ndarray, videos: Videos) -> Videos:
        """The videos of some rows with their objects."""


def recognised(
    feature: str, videos: VideoFeatures, texts: str, encoder: str, root: Root, told: str
) -> Recognised | None:
    """The objects of these videos, as `told`; None where no feature set is named."""
    if not feature:
        return None
    if told == "seen":
        return Regions.read(feature, videos, root)
    return Objects.read(feature, videos, texts, encoder, root, told)


@dataclasses.dataclass(frozen=True)
class Regions(Recognised):
    """Objects by what they look like: rows of a network of objects or of a detector.

    Where the cache knows no regions, a row is what was recognised in a whole frame, and its place is that of the frame.

    Attributes
    ----------
    regions : (N, r, D + 7) float32: a row, then where it is (corners, width and height, all of the frame as it has no
        region of its own, and when, as a share of the video); NaN for a video without any
    """

    regions: np.ndarray

    @property
    def without(self) -> int:
        """As `Recognised.without`."""
        return int(np.isnan(self.regions[:, 0, 0]).sum())

    @classmethod
    def read(cls, feature: str, videos: VideoFeatures, root: Root) -> Self:
        """The rows of a feature set for these videos, as many of each as most have.

        Raises
        ------
        NotInStore, Ambiguous
            No such feature set.
        UsageError
            It has none of these videos.
        """
        found = feature_sets.find(root, feature)
        at = positions(found.keys(), videos.keys)
        there = at >= 0
        counts = np.diff(np.asarray(found.array("offsets")[:]))[at[there]]
        if not counts.any():
            raise UsageError(f"{found.name} has no row of the {len(at)} items of {videos.dataset!r}: extract it first.")
        count = int(np.bincount(counts[counts > 0]).argmax())
        values = found.load(videos.keys[there], "features").values
        rows = (np.cumsum(counts) - counts)[:, None] + features.evenly(counts, count)
        place = np.tile(np.array([0, 0, 1, 1, 1, 1, 0], np.float32), (count, 1))
        place[:, 6] = (np.arange(count) + 0.5) / count
        regions = np.full((len(at), count, values.shape[1] + 7), np.nan, np.float32)
        some = np.flatnonzero(there)[counts > 0]
        regions[some, :, :-7], regions[some, :, -7:] = values[rows[counts > 0]], place
        return cls(
            feature=found.name,
            recipe=found.key,
            snapshot=found.snapshot,
            digest=digest_of(found.name, videos.dataset, root),
            told="seen",
            texts_digest="",
            cut=(0, 0),
            trained_on=learned_from(found),
            regions=regions,
        )

    def of(self, rows: np.ndarray, videos: Videos) -> Videos:
        """As `Recognised.of`."""
        return dataclasses.replace(videos, regions=torch.from_numpy(self.regions[rows]))


@dataclasses.dataclass(frozen=True)
class Objects(Recognised):
    """Objects by what they are called.

    Attributes
    ----------
    of_video : (N,) rows of `features`, -1 for a video without objects
    concepts : (N, t) rows of `features`, -1 for none
    features : (J, A) float32
    """

    of_video: np.ndarray
    concepts: np.ndarray
    features: torch.Tensor

    @property
    def without(self) -> int:
        """As `Recognised.without`."""
        return int((self.of_video < 0).sum())

    @classmethod
    def read(
        cls, feature: str, videos: VideoFeatures, texts: str, encoder: str, root: Root, told: str = "joined"
    ) -> Self:
        """The objects of these videos; their texts are encoded where need be."""
        config = ObjectTextsConfig(feature, videos.dataset, texts)
        object_texts(config, root, (told,))
        feature_set = feature_sets.find(root, feature)
        names = feature_set.columns["ids"]
        at = positions(feature_set.keys(), videos.keys)
        ids = np.full((len(at), config.top), -1, np.int64)
        there = at >= 0
        ids[there] = feature_set.load(videos.keys[there], "ids").values[:, : config.top]
        own = encoded.read(texts, encoder, root, ("object",))

        def rows(told: list[str]) -> np.ndarray:
            keys = np.frombuffer(b"".join(map(text_key, told)), np.uint8).reshape(-1, KEY_BYTES)
            return np.asarray(positions(own.keys, keys))

        of_video = np.full(len(at), -1, np.int64)
        of_video[there] = rows([told_of(told, names, row) for row in ids[there]])
        each = np.unique(ids[there])
        concepts = np.full(ids.shape, -1, np.int64)
        concepts[there] = rows([gloss(names, int(i)) for i in each])[np.searchsorted(each, ids[there])]
        vectors = own.features.astype(np.float32)
        used = np.unique(np.concatenate([of_video, concepts.ravel()]))
        used = used[used >= 0]
        return cls(
            feature=feature_set.name,
            of_video=of_video,
            concepts=concepts,
            features=torch.from_numpy(vectors),
            recipe=feature_set.key,
            snapshot=feature_set.snapshot,
            digest=digest_of(feature_set.name, videos.dataset, root),
            told=told,
            texts_digest=rows_digest(own.keys[used].tobytes(), vectors[used].tobytes()).hex(),
            trained_on=learned_from(feature_set),
            cut=(sum(Reader(encoder).cut(own.said(used))), len(used)),
        )

    def of(self, rows: np.ndarray, videos: Videos) -> Videos:
        """As `Recognised.of`."""
        at = torch.from_numpy(self.of_video[rows])
        objects = self.features[at.clamp(min=0)].clone()
        objects[at < 0] = torch.nan
        concepts = torch.from_numpy(self.concepts[rows])
        return dataclasses.replace(videos, objects=objects, concepts=concepts, concept_features=self.features)


def digest_of(feature: str, dataset: str, root: Root) -> str:
    """Digest of what a feature set recognised in a data set's videos: it changes where that does.

    Raises
    ------
    NotInStore, Ambiguous
        No such feature set or data set.
    """
    keys = key_array(Manifest(root).read(dataset, ["key"])["key"].unique().sort())
    return content_digest(feature_sets.find(root, feature), keys)
