"""The extractors by name; a class is imported when it is asked for, so that listing them imports no torch."""

import importlib
from typing import TYPE_CHECKING

from extractors.errors import UnknownExtractor

if TYPE_CHECKING:
    from extractors.base import Extractor

EXTRACTORS = {
    "i3d_k400": "extractors.i3d:I3DKinetics400",
    "r2plus1d_18": "extractors.r2plus1d:R2Plus1D18",
    "efficientnet_lite0_objects": "extractors.objects:EfficientNetLite0Objects",
    "r2plus1d_18_segments": "extractors.r2plus1d:R2Plus1D18Segments",
    "r2plus1d_34": "extractors.r2plus1d:R2Plus1D34",
    "r2plus1d_34_ig65m": "extractors.r2plus1d:R2Plus1D34IG65M",
    "r2plus1d_34_segments": "extractors.r2plus1d:R2Plus1D34Segments",
    "r2plus1d_18_below_stage": "extractors.below:R2Plus1D18BelowStage",
    "r2plus1d_18_below_block": "extractors.below:R2Plus1D18BelowBlock",
    "r2plus1d_34_below_stage": "extractors.below:R2Plus1D34BelowStage",
    "r2plus1d_34_below_block": "extractors.below:R2Plus1D34BelowBlock",
    "tsm_resnet50_below_stage": "extractors.below:TSMBelowStage",
    "tsm_resnet50_below_block": "extractors.below:TSMBelowBlock",
    "jigsaw_below_stage": "extractors.below:JigsawBelowStage",
    "jigsaw_below_block": "extractors.below:JigsawBelowBlock",
    "c3d": "extractors.c3d:C3D",
    "e2e_r2plus1d": "extractors.e2e:E2ER2Plus1D",
    "e2e_c3d": "extractors.e2e:E2EC3D",
    "rest": "extractors.rest:ResT",
    "jigsaw": "extractors.jigsaw:Jigsaw",
    "resnet18_frames": "extractors.frames:ResNet18Frames",
    "resnet34_frames": "extractors.frames:ResNet34Frames",
    "resnet101_frames": "extractors.frames:ResNet101Frames",
    "tsm_resnet50": "extractors.tsm:TSMResNet50",
    "bit_objects": "extractors.bit:BiTObjects",
    "minilm": "extractors.encoders:MiniLM",
    "mpnet_base": "extractors.encoders:MPNetBase",
    "bert_base_uncased": "extractors.encoders:BertBaseUncased",
    "encoder": "extractors.encoders:AnyEncoder",
    "bert_tokens": "extractors.encoders:BertTokens",
    "minilm_tokens": "extractors.encoders:MiniLMTokens",
    "glove_50d": "extractors.word_vectors:GloVe50d",
    "word_vectors": "extractors.word_vectors:WordVectors",
    "sent2vec": "extractors.sent2vec:Sent2Vec",
    "random_vectors": "extractors.random_vectors:RandomVectors",
    "raw_joints": "extractors.raw_joints:RawJoints",
    "mediapipe": "extractors.mediapipe_pose:MediaPipePose",
    "proxy": "extractors.proxy:FrameProxy",
    "stgcn": "extractors.stgcn:STGCN",
    "stgcn_small": "extractors.stgcn:STGCNSmall",
}


def find(name: str) -> "type[Extractor]":
    """The extractor class of a name.

    Raises
    ------
    UnknownExtractor
        No extractor has this name; the message lists those there are.
    """
    if name not in EXTRACTORS:
        known = ", ".join(sorted(EXTRACTORS))
        raise UnknownExtractor(f"No extractor is called {name!r}. There are: {known}.")
    module, attribute = EXTRACTORS[name].split(":")
    found: type[Extractor] = getattr(importlib.import_module(module), attribute)
    return found
