"""Recognised objects as heads read them: a text feature a video, and one an object.

Takes  a feature set with `ids` (bit_objects), an encoder
Gives  `Objects`: the joined names of each video's best objects, and `name: gloss` of each object, as text features

Papers: Elaborative Rehearsal, ICCV 2021; JigsawNet; METHODS sections 3 and 4.
"""

import dataclasses
from typing import Self

import numpy as np
import torch

from heads.base import Videos
from pipelines import feature_sets
from pipelines.learn.samples.features import VideoFeatures
from pipelines.texts import encoded
from pipelines.texts.objects import gloss, joined, object_texts
from pipelines.texts.settings import ObjectTextsConfig
from stores.features import positions
from stores.keys import KEY_BYTES, text_key
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
    """

    feature: str
    of_video: np.ndarray
    concepts: np.ndarray
    features: torch.Tensor

    @classmethod
    def read(cls, feature: str, videos: VideoFeatures, texts: str, encoder: str, root: Root) -> Self | None:
        """The objects of these videos, or None where no feature set is named; their texts are encoded where need be."""
        if not feature:
            return None
        config = ObjectTextsConfig(feature, videos.dataset, texts)
        object_texts(config, root)
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
        of_video[there] = rows([joined(names, row) for row in ids[there]])
        each = np.unique(ids[there])
        concepts = np.full(ids.shape, -1, np.int64)
        concepts[there] = rows([gloss(names, int(i)) for i in each])[np.searchsorted(each, ids[there])]
        return cls(feature_set.name, of_video, concepts, torch.from_numpy(own.features.astype(np.float32)))

    def of(self, rows: np.ndarray, videos: Videos) -> Videos:
        """The videos of some rows with their objects."""
        at = torch.from_numpy(self.of_video[rows])
        objects = self.features[at.clamp(min=0)].clone()
        objects[at < 0] = torch.nan
        concepts = torch.from_numpy(self.concepts[rows])
        return dataclasses.replace(videos, objects=objects, concepts=concepts, concept_features=self.features)
