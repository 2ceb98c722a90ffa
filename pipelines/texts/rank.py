"""Rank: the k descriptions of each class that are most about it (CoCo).

Run    `zsar texts rank --k 100 --set activitynet`
Takes  descriptions and class names, word vectors
Gives  `rankings/SET@KEY-kK.parquet`: class, rank, key, relevance; only classes with new descriptions are ranked again

Relevance is the cosine of the mean word vector of a description and that of the class's name; ties go by the text.

Paper: ActionHub (CoCo), METHODS section 5.
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.texts import encoded
from pipelines.texts.encoded import ClassTexts
from pipelines.texts.settings import RankConfig
from stores.keys import KEY_BYTES
from stores.root import Root

_FOLDER = "rankings"
SCHEMA = pa.schema(
    [
        ("class", pa.string()),
        ("rank", pa.int32()),
        ("key", pa.binary(KEY_BYTES)),
        ("relevance", pa.float32()),
        ("digest", pa.binary()),  # of the class's descriptions as they were ranked
    ]
)


@dataclasses.dataclass(frozen=True)
class RankReport:
    """How a ranking went.

    Attributes
    ----------
    name : of the ranking, below `rankings/`
    classes, ranked, kept : classes of the set, those ranked now, those whose descriptions had not changed
    descriptions : that stand in the ranking
    unranked : classes without a description, or whose name has no word in the vocabulary
    without_vector : descriptions without a word in the vocabulary
    """

    name: str
    classes: int
    ranked: int
    kept: int
    descriptions: int
    unranked: tuple[str, ...]
    without_vector: int


def rank(config: RankConfig, root: Root) -> RankReport:
    """Rank the descriptions of a set; raises as `class_texts.read` does."""
    texts = encoded.read(config.set, config.vectors, root, ("class", "description"), config.weights)
    name = f"{config.set}@{texts.feature.partition('@')[2]}-k{config.k}"
    with root.lock(f"ranked-{name}"):
        return _ranked_anew(config, root, texts, name)


def _ranked_anew(config: RankConfig, root: Root, texts: ClassTexts, name: str) -> RankReport:
    before = _by_class(root, name)
    digests = texts.digests("description")
    rows: list[dict[str, Any]] = []
    kept, unranked = 0, []
    for number, class_name in enumerate(texts.classes):
        old = before.get(class_name, [])
        if old and old[0]["digest"] == digests[number]:
            rows += old
            kept += 1
        elif fresh := _ranked(texts, number, config.k):
            rows += [{"class": class_name, "digest": digests[number], **row} for row in fresh]
        else:
            unranked.append(class_name)
    root.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), _FOLDER, f"{name}.parquet")
    ranked = len(texts.classes) - kept - len(unranked)
    return RankReport(name, len(texts.classes), ranked, kept, len(rows), tuple(unranked), texts.missing)


def read(root: Root, name: str) -> pa.Table:
    """A ranking: class, rank (from 1), key, relevance, digest."""
    return root.read_table(_FOLDER, f"{name}.parquet")


def _by_class(root: Root, name: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    if root.exists(_FOLDER, f"{name}.parquet"):
        for row in read(root, name).to_pylist():
            found.setdefault(row["class"], []).append(row)
    return found


def _ranked(texts: ClassTexts, number: int, k: int) -> list[dict[str, Any]]:
    """The k best descriptions of one class, each text once; none where the class's name has no vector."""
    names, own = texts.of(number, "class"), texts.of(number, "description")
    if not len(names) or not len(own):
        return []
    own = own[np.unique(texts.at[own], return_index=True)[1]]
    features, name = (texts.features[texts.at[rows]].astype(np.float64) for rows in (own, names[0]))
    relevance = features @ name / np.linalg.norm(features, axis=1) / np.linalg.norm(name)
    said = texts.rows["text"].take(pa.array(own)).to_pylist()
    best = sorted(range(len(own)), key=lambda i: (-relevance[i], said[i]))[:k]
    keys = texts.rows["key"].take(pa.array(own[best])).to_pylist()
    return [
        {"rank": place, "key": key, "relevance": float(relevance[i])}
        for place, (key, i) in enumerate(zip(keys, best, strict=True), start=1)
    ]
