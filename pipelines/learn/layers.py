"""The layers that are trained below a head, above what is cached of videos and texts, with the weights that made this.

Takes  a feature set of token states (`bert_tokens`) or maps (`r2plus1d_18_below_stage`)
Gives  the layers above, as a network
"""

from contextlib import suppress
from pathlib import Path

from torch import nn

import extractors
from extractors import options
from extractors.below import Below
from extractors.encoders import BertTokens
from extractors.errors import BadWeights
from extractors.layers_above import LayersAbove
from extractors.trained_clips import TrainedClips
from pipelines.learn.runs import Run
from stores.features import FeatureStore
from stores.keys import stream_key
from stores.root import Root
from stores.runs import Runs


def above_tokens(feature: str, root: Root) -> nn.Module:
    """The last layers of an encoder of texts.

    Raises
    ------
    WeightsMissing, BadWeights
        The weights are not to be found, or are others now.
    """
    extractor = options.of_recipe(_recipe(feature, root), None)
    assert isinstance(extractor, BertTokens)
    _refuse_others(extractor, feature, root)
    return extractor.above()


def above_maps(feature: str, root: Root, given: str = "") -> LayersAbove:
    """The last layers of a network of videos.

    Parameters
    ----------
    feature : name of the feature set
    root : Root
    given : path of the weights; nothing: published ones, or those of a run of this root

    Raises
    ------
    WeightsMissing, BadWeights
        As `above_tokens`.
    """
    recipe = _recipe(feature, root)
    kind = extractors.find(recipe["extractor"])
    if not given and issubclass(kind, TrainedClips) and not recipe["weights"].startswith("random:"):
        given = str(_trained_here(kind.first.network, feature, root))
    extractor = options.of_recipe(recipe, given or None)
    assert isinstance(extractor, Below)
    _refuse_others(extractor, feature, root)
    return extractor.above()


def _recipe(feature: str, root: Root) -> dict[str, str]:
    return FeatureStore(root).find(feature).recipe


def _trained_here(network: str, feature: str, root: Root) -> Path:
    """The weights that made a feature set, among those of the runs of `zsar finetune`."""
    runs, digest = Runs(root), _recipe(feature, root)["weights"]
    for name in (run for run in runs.networks() if run.startswith(f"{network}-")):
        for number in runs.splits(name):
            with suppress(FileNotFoundError):
                path = Run(root, name, "finetune").weights(number)
                if _digest(path) == digest:
                    return path
    raise BadWeights(
        f"No run of {network} in {root.url} holds the weights that the maps of {feature} were made with. Give their "
        "file: `zsar fit --weights FILE`."
    )


def _refuse_others(extractor: BertTokens | Below, feature: str, root: Root) -> None:
    recipe = _recipe(feature, root)
    if recipe["weights"].startswith("random:"):
        return
    path = extractor.weights_path()
    if _digest(path) != recipe["weights"]:
        raise BadWeights(
            f"{path} is not what {feature} was made with. Put the file back, or extract it again: `zsar extract "
            f"{extractor.name}`."
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return stream_key(file).hex()
