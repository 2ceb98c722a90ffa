"""The texts of a set's classes as heads read them: tensors by kind, with where they come from.

Takes  a set of texts, an encoder (features are computed where they are missing), the kinds of text a head reads
Gives  `HeadTexts`: `heads.base.ClassTexts` of all classes in the order of the class table

    class          the name                                elaboration   `name: definition`, one text
    definition     dictionary-like texts                   description   the k most relevant, as `rank` finds them; all
                                                                         of a class whose name has no word vector
    phrase         verb phrases, of the table that `phrases` wrote; classes share them

`definition/motion` are the definitions of the part `motion` (`zsar texts add --part`) only; with a `?` at its end, a
class that has none of that part is told by all its texts of the kind.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from heads.base import ClassTexts as Tensors
from heads.base import Texts as OneKind
from pipelines.errors import UsageError
from pipelines.learn.samples.features import content_digest
from pipelines.texts import encoded, phrases
from pipelines.texts import rank as rankings
from pipelines.texts.cut import Reader
from pipelines.texts.elaborations import elaborate
from pipelines.texts.settings import PhrasesConfig, RankConfig
from stores.features import FeatureStore, positions
from stores.keys import KEY_BYTES, rows_digest
from stores.root import Root
from stores.texts import Texts
from untrusted.names import few


@dataclasses.dataclass(frozen=True)
class HeadTexts:
    """Texts of all classes of a set.

    Attributes
    ----------
    set, feature, recipe, snapshot : where they come from
    digest : of which texts stand for which class, and of their features
    state : as `class_texts.state_of`
    tensors : by kind
    said : text of each row of `tensors.kinds[kind].features`, by kind
    cut : texts of each kind that are longer than the encoder reads, and all of them
    """

    set: str
    feature: str
    recipe: str
    snapshot: str
    digest: str
    state: str
    tensors: Tensors
    said: dict[str, tuple[str, ...]]
    cut: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def read(name: str, encoder: str, kinds: tuple[str, ...], root: Root, k: int = 0) -> HeadTexts:
    """The texts of these kinds of a set's classes.

    Parameters
    ----------
    name : of the set
    encoder : extractor of texts
    kinds : each class must have a text of each
    root : Root
    k : so many descriptions a class, the most relevant to its name; 0: all

    Raises
    ------
    UsageError
        Classes without a text of some kind; the message names them.
    NotInStore, ExtractorError
        As `class_texts.read`.
    """
    pairs: dict[str, list[tuple[bytes, str]]] = {}
    for kind in kinds:
        pairs[kind] = _pairs(kind, name, root, k)
    bases = tuple(dict.fromkeys(map(base_of, kinds)))
    texts = encoded.read(name, encoder, root, bases)
    number = {spelled: at for at, spelled in enumerate(texts.classes)}
    tensors, said, parts = {}, {}, []
    by_key = dict(zip(texts.rows["key"].to_pylist(), texts.rows["text"].to_pylist(), strict=True))
    for kind in kinds:
        keys = np.frombuffer(b"".join(key for key, _ in pairs[kind]), np.uint8).reshape(-1, KEY_BYTES)
        owner = np.array([number[spelled] for _, spelled in pairs[kind]], np.int64)
        at = positions(texts.keys, keys) if len(keys) else np.empty(0, np.int64)
        order = np.argsort(owner, kind="stable")
        order = order[at[order] >= 0]
        if without := sorted(set(range(len(number))) - set(owner[order].tolist())):
            raise UsageError(_lacking(kind, name, [texts.classes[c] for c in without], len(number)))
        used, text = np.unique(at[order], return_inverse=True)
        features = torch.from_numpy(texts.features[used].astype(np.float32))
        tensors[kind] = OneKind(features, torch.from_numpy(text), torch.from_numpy(owner[order]))
        said[kind] = tuple(by_key[texts.keys[row].tobytes()] for row in used)
        parts += [kind.encode(), keys[order].tobytes(), owner[order].tobytes()]
    reader = Reader(encoder)
    feature_set = FeatureStore(root).find(texts.feature)
    parts.append(bytes.fromhex(content_digest(feature_set, texts.keys)))
    return HeadTexts(
        name,
        texts.feature,
        feature_set.key,
        feature_set.snapshot,
        rows_digest(*parts).hex(),
        encoded.state_of(name, bases, root),
        Tensors(texts.classes, tensors),
        said,
        {kind: (sum(reader.cut(own)), len(own)) for kind, own in said.items()},
    )


def base_of(kind: str) -> str:
    """The kind of text that a kind, or a part of one, is of.

    >>> base_of("definition/motion?")
    'definition'
    """
    return kind.partition("/")[0].rstrip("?")


def kinds_there(name: str, root: Root) -> set[str]:
    """Kinds of text a set has, or can be given: names and elaborations always."""
    there = set(Texts(root, name).read(["kind"])["kind"].unique().to_pylist())
    return there | {"class", "elaboration", "phrase"}


def _pairs(kind: str, name: str, root: Root, k: int) -> list[tuple[bytes, str]]:
    """(text key, class) of each text of a kind that stands for a class now."""
    base, _, part = kind.partition("/")
    if part:
        table = Texts(root, name).read(["key", "class", "part"], (base,))
        own = _both(table.filter(pc.equal(table["part"], part.rstrip("?"))))
        told = {spelled for _, spelled in own}
        return own + [pair for pair in _both(table) if part.endswith("?") and pair[1] not in told]
    if kind == "elaboration":
        return [(key, spelled) for spelled, key in elaborate(name, root).items()]
    if kind == "phrase":
        if not root.exists("phrases", f"{name}.parquet"):
            phrases.phrases(PhrasesConfig(name), root)
        return _both(phrases.read(root, name))
    if kind == "description" and k:
        report = rankings.rank(RankConfig(name, k), root)
        ranked = _both(rankings.read(root, report.name))
        everything = _both(Texts(root, name).read(["key", "class"], (kind,)))
        return ranked + [pair for pair in everything if pair[1] in report.unranked]
    return _both(Texts(root, name).read(["key", "class"], (kind,)))


def _both(table: pa.Table) -> list[tuple[bytes, str]]:
    return list(zip(table["key"].to_pylist(), table["class"].to_pylist(), strict=True))


def _lacking(kind: str, name: str, classes: list[str], total: int) -> str:
    some = few(classes)
    mend = {"phrase": f"`zsar texts phrases --set {name}`"}.get(
        kind, f"`zsar texts add FILE --kind {kind} --set {name}`"
    )
    return f"{len(classes)} of the {total} classes of {name!r} have no {kind} with a feature: {some}. Run {mend}."
