"""Texts of a set's classes on their way out: a row a text with its vector, or a row a class.

Run    `zsar export minilm --set ucf101 --format parquet --out texts.parquet [--kind definition] [--means]`
Takes  a set of texts, a feature set that has them; nothing is computed
Gives  `Foreign`: an item a class, a row a text (with kind, part, text, source), or a row the mean of a class's texts
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.look.settings import ExportConfig
from pipelines.texts import phrases
from stores.classes import Classes
from stores.features import FeatureSet, positions
from stores.keys import key_array
from stores.ragged import Foreign, Gathered
from stores.root import Root
from stores.texts import KINDS, Texts
from untrusted.names import few

_OF_TEXTS = ("text", "kind", "part", "source")
_NAMED = 5


def read(
    config: ExportConfig,
    feature_set: FeatureSet,
    root: Root,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Foreign, tuple[str, ...]]:
    """The texts of a set with their vectors, in the order of its classes, kinds and additions.

    Parameters
    ----------
    config : ExportConfig
    feature_set : FeatureSet
    root : Root
    advance : is told how many of its rows were gone through, of how many

    Returns
    -------
    features, missing : what is to be written; texts without a vector, which are left out

    Raises
    ------
    NotInStore
        No such set.
    UsageError
        No such kind, no text of it; texts without a vector, unless they may be missing; several rows a text.
    """
    if unknown := sorted(set(config.kinds) - set(KINDS)):
        raise UsageError(f"No texts are of kind {', '.join(unknown)}; kinds are: {', '.join(KINDS)}.")
    rows = _rows(config, root)
    at = positions(feature_set.keys(), key_array(rows["key"]))
    missing = tuple(dict.fromkeys(rows["text"].filter(pa.array(at < 0)).to_pylist()))
    if len(missing) and (not config.allow_missing or not (at >= 0).any()):
        raise UsageError(_missing(config, feature_set, missing, rows.num_rows))
    rows = rows.filter(pa.array(at >= 0))
    distinct, text = np.unique(key_array(rows["key"]), axis=0, return_inverse=True)
    held = feature_set.load(distinct, config.output, advance=advance)
    if (np.diff(held.offsets) != 1).any():
        raise UsageError(
            f"Output {config.output!r} of {feature_set.name} has several rows a text, which texts of a class cannot be "
            "told by. Export another output (--output)."
        )
    names, sizes = _runs(rows["class"].to_pylist())
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    values = Gathered(held.values, text.reshape(-1))
    if config.means:
        own = np.stack([np.asarray(values[slice(*span)], np.float32).mean(0) for span in _spans(offsets)])
        about = pa.table({"texts": pa.array(sizes, pa.float64())})
        offsets = np.arange(len(names) + 1, dtype=np.int64)
        return Foreign(names, None, own, offsets, None, feature_set.recipe, about=about, named="class"), missing
    keys, beside = None, rows.select(_OF_TEXTS)
    return Foreign(names, keys, values, offsets, None, feature_set.recipe, beside=beside, named="class"), missing


def _rows(config: ExportConfig, root: Root) -> pa.Table:
    """The texts that stand for the classes of a set, classes in the order of their table; phrases as corrected."""
    rows = Texts(root, config.set).read(["key", "class", *_OF_TEXTS], config.kinds)
    if root.exists("phrases", f"{config.set}.parquet"):
        table = phrases.read(root, config.set)
        sound = set(zip(table["class"].to_pylist(), table["key"].to_pylist(), strict=True))
        own = zip(rows["class"].to_pylist(), rows["key"].to_pylist(), strict=True)
        of_table = np.array([pair in sound for pair in own], bool)
        rows = rows.filter(pc.or_(pc.not_equal(rows["kind"], "phrase"), pa.array(of_table)))
    if not rows.num_rows:
        raise UsageError(f"The set {config.set!r} has no texts of kind {', '.join(config.kinds)}: `zsar list texts`.")
    number = pc.index_in(rows["class"], Classes(root).rows(config.set)["name"].combine_chunks())
    kind = pc.index_in(rows["kind"], pa.array(KINDS))
    return rows.take(np.lexsort((kind.to_numpy(), number.fill_null(len(number)).to_numpy())))


def _runs(names: list[str]) -> tuple[list[str], np.ndarray]:
    """Names that follow each other, once each, and how often each stands there."""
    found = dict.fromkeys(names)
    counts = dict(zip(*np.unique(np.array(names, object), return_counts=True), strict=True))
    return list(found), np.array([counts[name] for name in found], np.int64)


def _spans(offsets: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))


def _missing(config: ExportConfig, feature_set: FeatureSet, missing: tuple[str, ...], rows: int) -> str:
    named = few((repr(text[:60]) for text in missing), _NAMED)
    made = feature_set.name.partition("@")[0]
    return (
        f"Export of the texts of {config.set!r} needs {feature_set.name} for {rows} rows; {len(missing)} texts have no "
        f"vector in it: {named}. Run `zsar extract {made} --set {config.set}`, or pass --allow-missing."
    )
