"""Export: the features of a data set as one file or folder that others can read.

Run    `zsar export FEATURE --dataset D --format hdf5 --out F.h5 [--layout per-video] [--allow-missing]`
Takes  a feature set and a manifest
Gives  values, offsets, keys, video ids, times and recipe in manifest order, and what is known of each video: label, its
       class in words, split, recording, uri, span of the file; of captions their text. Equal stores give equal bytes

Texts of classes leave through `class_texts.py` (`--set`).

Sets above 1 GiB go through a scratch file beside the output, so memory holds 64 MiB of values at a time.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extractors.names import readable
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.caption_rows import caption_rows, kind_of
from pipelines.index.released import of_one_name
from pipelines.look import class_texts
from pipelines.look.settings import ExportConfig
from stores.captions import Captions
from stores.classes import Classes
from stores.errors import WriteFailed
from stores.failures import Failures
from stores.features import Features, FeatureSet, positions
from stores.foreign import FORMATS, Foreign, Gathered, Watched, write_foreign
from stores.keys import key_array
from stores.manifest import Manifest
from stores.ragged import rows_of
from stores.root import Root
from stores.scratch import scratch
from untrusted.names import few

_IN_MEMORY_BYTES = 1 << 30
_NAMED = 5
_SUFFIXES = {"hdf5": (".h5", ".hdf5"), "npy": ("", ".npz"), "parquet": (".parquet",), "lance": (".lance",)}
_KNOWN = ("label", "split", "recording", "uri", "start_s", "end_s")


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes
    ----------
    items, rows : videos (or classes) and rows of features in the file
    missing : video ids of the data set (or texts of the set) that have no features, in their order
    path, format : where and how
    """

    items: int
    rows: int
    missing: tuple[str, ...]
    path: str
    format: str


def export(
    config: ExportConfig, root: Root, advance: Callable[[int, int, str], None] = lambda done, total, said: None
) -> ExportReport:
    """Write one output of a feature set for the items of a data set.

    Parameters
    ----------
    config : ExportConfig
    root : Root
    advance : is told how many rows are read, and then written, of how many, and which of the two

    Raises
    ------
    UsageError
        No such format or layout; items without features (unless allowed); nothing to write at all; both or neither of
        a data set and a set of classes.
    NotInStore, Ambiguous
        No such feature set, output, data set or set, or several feature sets of that name.
    WriteFailed
        Nothing was written; what was there before is untouched.
    """

    def read(done: int, total: int) -> None:
        advance(done, total, "read")

    _check(config)
    feature_set = feature_sets.find(root, config.feature)
    feature_set.array(config.output)
    if config.set:
        found, lacking = class_texts.read(config, feature_set, root, read)
        _write(found, config, advance)
        return ExportReport(len(found.video_id), found.values.shape[0], lacking, config.out, config.format)
    table = _rows_of(Manifest(root).read(config.dataset, ["video_id", "key", "kind", *_KNOWN]), feature_set)
    keys = key_array(table["key"])
    of_captions = _of_captions(table, feature_set)
    if of_captions:
        there = np.diff(caption_rows(feature_set, keys, config.dataset, root).offsets) > 0
    else:
        there = positions(feature_set.keys(), keys) >= 0
    missing = table.filter(pa.array(~there))
    if missing.num_rows and (not config.allow_missing or not there.any()):
        raise UsageError(_missing_message(config, feature_set, missing, len(keys), root))
    arranged = _of_texts if of_captions else _in_order
    with arranged(feature_set, keys[there], config, root, read) as features:
        own = table.filter(pa.array(there))
        names = own["video_id"].to_pylist()
        foreign = dataclasses.replace(features, video_id=names, about=_known(own, config.dataset, root))
        _write(foreign, config, advance)
        rows = foreign.values.shape[0]
    return ExportReport(len(names), rows, tuple(missing["video_id"].to_pylist()), config.out, config.format)


@contextlib.contextmanager
def loaded(
    feature_set: FeatureSet,
    keys: np.ndarray,
    output: str,
    folder: str | Path,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Features]:
    """The rows of distinct keys: in memory up to 1 GiB, else in a scratch file below `folder`.

    Raises
    ------
    WriteFailed
        The disk has no room for the scratch file.
    """
    array = feature_set.array(output)
    size_bytes = array.size * array.dtype.itemsize
    if size_bytes <= _IN_MEMORY_BYTES:
        yield feature_set.load(keys, output, advance=advance)
        return
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes:  # asked first, because a full disk under a mapped file kills the process
        raise WriteFailed(
            f"{feature_set.name} needs {size_bytes / 1e9:.1f} GB of scratch space in {folder}, which has "
            f"{free_bytes / 1e9:.1f} GB. Free space, or work on a larger disk."
        )
    with scratch("values", Path(folder)) as beside:
        yield feature_set.load(keys, output, memmap=beside / "values", advance=advance)


def _write(features: Foreign, config: ExportConfig, advance: Callable[[int, int, str], None]) -> None:
    watched = Watched(features.values, lambda done, total: advance(done, total, "written"))
    write_foreign(config.out, dataclasses.replace(features, values=watched), config.format, config.layout)


@contextlib.contextmanager
def _of_texts(
    feature_set: FeatureSet, keys: np.ndarray, config: ExportConfig, root: Root, advance: Callable[[int, int], None]
) -> Iterator[Foreign]:
    """The rows of groups of captions in that order, a row a caption; a text is loaded once, wherever it stands."""
    found = caption_rows(feature_set, keys, config.dataset, root)
    with loaded(feature_set, found.texts, config.output, _folder_of(config), advance) as features:
        if (np.diff(features.offsets) != 1).any():
            raise UsageError(
                f"Output {config.output!r} of {feature_set.name} has several rows a text, which captions of a video "
                "cannot be told by. Export another output (--output)."
            )
        held = Captions(root).read(config.dataset, ["key", "text"])
        at = positions(key_array(held["key"]), found.texts)
        said = pa.table({"text": held["text"].take(pa.array(at[found.rows]))})
        values = Gathered(features.values, found.rows)
        yield Foreign([], keys, values, found.offsets, None, feature_set.recipe, beside=said)


@contextlib.contextmanager
def _in_order(
    feature_set: FeatureSet, keys: np.ndarray, config: ExportConfig, root: Root, advance: Callable[[int, int], None]
) -> Iterator[Foreign]:
    """The rows of `keys` in that order; twins are loaded once and written twice."""
    distinct, item = np.unique(keys, axis=0, return_inverse=True)
    if len(distinct) == len(keys):
        distinct, item = keys, np.arange(len(keys))
    with loaded(feature_set, distinct, config.output, _folder_of(config), advance) as features:
        order, offsets = rows_of(features.offsets, item)
        values = features.values if len(distinct) == len(keys) else Gathered(features.values, order)
        times = None if np.isnan(features.times).all() else features.times[order]
        yield Foreign([], keys, values, offsets, times, feature_set.recipe)


def _known(table: pa.Table, dataset: str, root: Root) -> pa.Table:
    """What is known of videos, as columns; of each that is known of one at least."""
    columns = {name: table[name] for name in _KNOWN[:-2]}
    written = Classes(root).rows(dataset)
    words = dict(zip(written["name"].to_pylist(), written["readable"].to_pylist(), strict=True))
    labels = columns["label"].to_pylist()
    in_words = [None if label is None else words.get(label) or readable(label) for label in labels]
    columns["class"] = pa.chunked_array([pa.array(in_words, pa.string())])
    columns |= {f"span_{name}": table[name] for name in _KNOWN[-2:]}
    names = ("label", "class", *_KNOWN[1:-2], *(f"span_{name}" for name in _KNOWN[-2:]))
    return pa.table({name: columns[name] for name in names if columns[name].null_count < table.num_rows})


def _folder_of(config: ExportConfig) -> Path:
    folder = Path(config.out).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(f"Cannot write to {folder}: {error.strerror}. Give another path with --out.") from error
    return folder


def _of_captions(table: pa.Table, feature_set: FeatureSet) -> bool:
    """Whether captions stand for the items, and the features are theirs."""
    return kind_of(feature_set) == "caption_group" and table["kind"].unique().to_pylist() == ["caption_group"]


def _check(config: ExportConfig) -> None:
    if (config.format, config.layout) not in FORMATS:
        known = "; ".join(f"{f} {layout}" for f, layout in FORMATS)
        raise UsageError(f"No export has format {config.format!r} and layout {config.layout!r}; there are: {known}.")
    if bool(config.dataset) == bool(config.set) or not config.out:
        raise UsageError("Give --out, and one of --dataset (features of its videos) and --set (texts of its classes).")
    if (config.kinds or config.means) and not config.set:
        raise UsageError("--kind and --means are of the texts of a set: give --set.")
    suffix = os.path.splitext(config.out)[1].lower()
    wanted = _SUFFIXES[config.format]
    if (suffix not in wanted and config.format != "npy") or (suffix == ".npz" and config.layout != "ragged"):
        raise UsageError(
            f"--out must end in {' or '.join(wanted)} for {config.format} {config.layout}, got {config.out!r}. "
            "The ending tells readers what the file is."
        )


def _rows_of(table: pa.Table, feature_set: FeatureSet) -> pa.Table:
    """Manifest rows of the kinds this feature set is of: texts of a data set are not missing video features."""
    if (kind := kind_of(feature_set)) == "caption_group" and kind in table["kind"].to_pylist():
        return table.filter(pc.equal(table["kind"], kind))
    table = of_one_name(table, feature_set.keys())
    kinds = table["kind"].unique().to_pylist()
    if len(kinds) < 2:
        return table
    there = positions(feature_set.keys(), key_array(table["key"])) >= 0
    kinds = table.filter(pa.array(there))["kind"].unique().to_pylist() or kinds
    return table.filter(pa.array([kind in kinds for kind in table["kind"].to_pylist()]))


def _missing_message(config: ExportConfig, feature_set: FeatureSet, missing: pa.Table, items: int, root: Root) -> str:
    failed = Failures(root).latest().select(["key", "recipe_key"]).to_pylist()
    keys = {row["key"] for row in failed if row["recipe_key"] == feature_set.key}
    names = list(zip(missing["video_id"].to_pylist(), missing["key"].to_pylist(), strict=True))
    quarantined = [name for name, key in names if key in keys]
    others = [name for name, key in names if key not in keys]
    parts = [
        f"{len(group)} {what}: {_some(group)}"
        for what, group in (("quarantined", quarantined), ("not extracted", others))
        if group
    ]
    there = items - len(names)
    allow = f", or pass --allow-missing to export {there}" if there else ""
    extractor = feature_set.name.partition("@")[0]
    mend = f"Run `zsar extract {extractor} --dataset {config.dataset}`"
    if extractor == "imported":
        mend = "Index a file of features that has them"
    return (
        f"Export of {config.dataset!r} needs {feature_set.name} for {items} items; it has {there} "
        f"({'; '.join(parts)}). {mend}{allow}."
    )


def _some(names: list[str]) -> str:
    return few(names, _NAMED)
