"""Object texts: what was recognised in videos, as the texts that ER and JigsawNet encode.

Run    `zsar texts objects bit_objects --dataset ucf101 --set ucf101`
Takes  a feature set with `ids` (the recognised labels of a video, best first)
Gives  texts of kind `object`: "name: gloss" of each label among the top 5 of any video (part `one`, ER), and for each
       video its five names joined (part `joined`, JigsawNet) and five "name: gloss" joined (part `glossed`, ER)

Glosses are WordNet's, of ImageNet-21k's labels and of ImageNet-1k's, as timm keeps them (`extractors.imagenet21k`).

Papers: Elaborative Rehearsal, ICCV 2021; JigsawNet; METHODS sections 1, 3 and 4.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from extractors import imagenet21k
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.texts.settings import ObjectTextsConfig
from stores.features import positions
from stores.keys import KEY_BYTES, key_array, text_key
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import Texts


@dataclasses.dataclass(frozen=True)
class ObjectTextsReport:
    """What came of it: videos, those without the feature, different objects, different texts of videos, new texts.

    Attributes
    ----------
    joined, glossed : different texts of videos, of names alone and of names with their glosses
    """

    videos: int
    missing: int
    objects: int
    joined: int
    new: int
    glossed: int = 0


#: how a video's objects are told, by part: as JigsawNet does, and as ER does
FORMS = ("joined", "glossed")


def object_texts(config: ObjectTextsConfig, root: Root, forms: Sequence[str] = FORMS) -> ObjectTextsReport:
    """Add the texts of recognised objects to a set.

    Parameters
    ----------
    config : ObjectTextsConfig
    root : Root
    forms : of `FORMS`, how each video's objects are told

    Raises
    ------
    NotInStore
        No such feature set or data set.
    UsageError
        A feature set without recognised objects.
    """
    feature_set = feature_sets.find(root, config.feature)
    if "ids" not in feature_set.outputs or "ids" not in feature_set.columns:
        raise UsageError(f"{feature_set.name} holds no recognised objects; take bit_objects or another with `ids`.")
    keys = key_array(Manifest(root).read(config.dataset, ["key"])["key"].unique())
    there = keys[positions(feature_set.keys(), keys) >= 0]
    ids = feature_set.load(there, "ids").values[:, : config.top]
    names = feature_set.columns["ids"]
    told = [gloss(names, int(i)) for i in np.unique(ids)]
    together = {form: sorted({told_of(form, names, row) for row in ids}) for form in forms}
    with root.lock(f"texts-{config.set}"), Texts(root, config.set).adding() as adding:
        adding.rows(_rows(told, "one", feature_set.name))
        for form, own in together.items():
            adding.rows(_rows(own, form, feature_set.name))
        new = adding.texts
    counts = {form: len(own) for form, own in together.items()}
    lacking = len(keys) - len(there)
    return ObjectTextsReport(len(keys), lacking, len(told), counts.get("joined", 0), new, counts.get("glossed", 0))


def gloss(names: list[str], label: int) -> str:
    """ER's text of an object: `name: gloss`."""
    return f"{names[label]}: {imagenet21k.glosses(len(names))[label]}"


def told_of(form: str, names: list[str], labels: np.ndarray) -> str:
    """The text of a video's objects, best first.

    Parameters
    ----------
    form : `joined`: their names, as JigsawNet has them; `glossed`: "name: gloss" of each, as ER has them
    names : of all labels
    labels : (t,) numbers of the video's
    """
    if form == "glossed":
        return " ".join(gloss(names, int(label)) for label in labels)
    return ", ".join(names[int(label)] for label in labels)


def _rows(texts: list[str], part: str, source: str) -> pa.Table:
    fixed = {"kind": "object", "part": part, "source": source}
    return pa.table(
        {
            "key": pa.array([text_key(text) for text in texts], pa.binary(KEY_BYTES)),
            "text": pa.array(texts, pa.string()),
            "class": pa.array([text.partition(":")[0] for text in texts], pa.string()),
            "line": pa.array([0] * len(texts), pa.int64()),
        }
        | {name: pa.array([value] * len(texts), pa.string()) for name, value in fixed.items()}
    )
