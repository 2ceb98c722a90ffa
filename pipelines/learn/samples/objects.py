"""Recognised objects as heads read them: a text feature a video, and one an object.

Takes  a feature set with `ids` (bit_objects), an encoder
Gives  `Objects`: a text of each video's best objects, told as the head reads them, and `name: gloss` of each object, as
       text features; and what a run must say of where they come from

Papers: Elaborative Rehearsal, ICCV 2021; JigsawNet; METHODS sections 3 and 4.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

from heads.base import Videos
from pipelines import feature_sets
from pipelines.learn.samples.features import VideoFeatures, content_digest, learned_from
from pipelines.texts import encoded
from pipelines.texts.objects import gloss, object_texts, told_of
from pipelines.texts.settings import ObjectTextsConfig
from stores.features import positions
from stores.keys import KEY_BYTES, key_array, rows_digest, text_key
from stores.manifest import Manifest
from stores.root import Root


@dataclasses.dataclass(frozen=True)
class Objects:
    """Objects of the videos of a study.

    Attributes
    ----------
    feature : full name of the feature set
    of_video : (N,) rows of `features`, -1 for a video without objects
    concepts : (N, t) rows of `features`, -1 for none
    features : (J, A) float32
    recipe, snapshot : of the feature set
    digest : of what was recognised in the data set's videos (`digest_of`)
    told : how a video's objects are told, as `heads.base.Head.objects_told`
    texts_digest : of the texts that tell them, and of their features
    trained_on : what the recipe tells of the recogniser's weights, as `VideoFeatures.told`; empty where nothing
    """

    feature: str
    of_video: np.ndarray
    concepts: np.ndarray
    features: torch.Tensor
    recipe: str
    snapshot: str
    digest: str
    told: str
    texts_digest: str
    trained_on: Mapping[str, Any]

    @property
    def without(self) -> int:
        """Videos in which nothing was recognised."""
        return int((self.of_video < 0).sum())

    @classmethod
    def read(
        cls, feature: str, videos: VideoFeatures, texts: str, encoder: str, root: Root, told: str = "joined"
    ) -> Self | None:
        """The objects of these videos, or None where no feature set is named; their texts are encoded where need be."""
        if not feature:
            return None
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
        features = own.features.astype(np.float32)
        used = np.unique(np.concatenate([of_video, concepts.ravel()]))
        used = used[used >= 0]
        return cls(
            feature=feature_set.name,
            of_video=of_video,
            concepts=concepts,
            features=torch.from_numpy(features),
            recipe=feature_set.key,
            snapshot=feature_set.snapshot,
            digest=digest_of(feature_set.name, videos.dataset, root),
            told=told,
            texts_digest=rows_digest(own.keys[used].tobytes(), features[used].tobytes()).hex(),
            trained_on=learned_from(feature_set),
        )

    def of(self, rows: np.ndarray, videos: Videos) -> Videos:
        """The videos of some rows with their objects."""
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
