"""What an audit finds of what was planted: copies, wrong labels, strangers.

Run: `python -m benchmarks.audit` (a minute); `python -m benchmarks.audit ROOT DATASET FEATURE` for wrong labels in a
data set of one's own, of which it saves a selection `wrong-DATASET` there.

UTD-MHAD and NW-UCLA, by their raw joints. Copies: a twentieth of the sequences once more with 5 mm of noise on each
joint, as a file saved anew has it; another twentieth also cut by two frames at each end. Wrong
labels: a twentieth of the labels replaced by another, drawn evenly.
Strangers: ten sequences of the other data set. NW-UCLA itself holds 94 sequences twice.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.bars import Bar, run
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.poses import index_poses
from pipelines.index.settings import IndexConfig
from pipelines.look.audit.audit import audit
from pipelines.look.selection import save
from pipelines.look.settings import AuditConfig
from stores.manifest import Manifest
from stores.root import Root

_DATA = Path(__file__).parents[2] / "shared" / "data" / "skeleton"
_SETS = {"utd-mhad": ("utd_mhad.npz", "kinect-20-utd"), "nw-ucla": ("nw_ucla.npz", "kinect-20")}
_PART, _STRANGERS, _SEED = 20, 10, 0


def bars(url: str = "", dataset: str = "", feature: str = "") -> Iterator[Bar]:
    """Precision and recall of copies, wrong labels and strangers, a data set each."""
    if url:
        yield from _labels(Root(url), dataset, feature)
        return
    if not _DATA.is_dir():
        yield Bar.skipped("audit-copies-found", ">= 0.9", "no skeletons beside the checkout")
        return
    with tempfile.TemporaryDirectory() as scratch:
        root, random = Root(f"{scratch}/root"), np.random.RandomState(_SEED)
        for name, (file, layout) in _SETS.items():
            for cut in (2, 0):  # the last one stays for the rest
                copies = _with_copies(_DATA / file, target := Path(scratch) / file, cut, random)
                index_poses(IndexConfig((str(target),), name, layout=layout, kind="poses"), root)
                extract(ExtractConfig(("raw_joints",), name), root)
                yield from _copies(root, name, copies, cut)
        for name in _SETS:
            yield from _labels(root, name, "raw_joints")
            yield from _strangers(root, name)


def _with_copies(source: Path, target: Path, cut: int, random: np.random.RandomState) -> dict[int, int]:
    """Write a file of sequences with altered copies behind them; number of each copy to that of its original."""
    with np.load(source) as arrays:
        held = dict(arrays)
    ends = np.cumsum(held["length"])
    count = len(ends)
    chosen = np.sort(random.permutation(np.flatnonzero(held["length"] > 12))[: count // _PART])
    parts = [held["data"][ends[at] - held["length"][at] + cut : ends[at] - cut] for at in chosen]
    noisy = [part + random.normal(0, 0.005, part.shape).astype(part.dtype) for part in parts]
    held["data"] = np.concatenate([held["data"], *noisy])
    for name in held:
        if name not in ("data", "class_names") and held[name].shape[:1] == (count,):
            more = [len(part) for part in parts] if name == "length" else held[name][chosen]
            held[name] = np.concatenate([held[name], np.asarray(more, held[name].dtype)])
    np.savez(target, **held)
    return {count + place: int(at) for place, at in enumerate(chosen)}


def _copies(root: Root, name: str, copies: dict[int, int], cut: int) -> Iterator[Bar]:
    """Pairs that an audit calls near duplicates, against those that are: the copies, and files' own of equal bytes."""
    items = Manifest(root).read(name, ["video_id", "key"])
    number = [int(video_id.rpartition("#")[2]) for video_id in items["video_id"].to_pylist()]
    by_number = dict(zip(number, items["video_id"].to_pylist(), strict=True))
    true: dict[str, set[str]] = {}
    for key, video_id in zip(items["key"].to_pylist(), items["video_id"].to_pylist(), strict=True):
        true.setdefault(key.hex(), set()).add(video_id)
    same = sum(len(group) - 1 for group in true.values())
    home = {video_id: at for at, group in enumerate(true.values()) for video_id in group}
    for copy, original in copies.items():
        home[by_number[copy]] = home[by_number[original]]
    rows = audit(AuditConfig(name, "raw_joints"), root).table.to_pylist()
    found = [row for row in rows if row["kind"] in ("leak", "conflict", "duplicate") and row["other"]]
    right = [row for row in found if home[row["video_id"]] == home[row["other"]]]
    detail = f"{len(copies)} copies planted, {same} of equal bytes there; {len(found)} found, {len(right)} right"
    recall = min(1, len(right) / (len(copies) + same))
    if cut:
        yield Bar.measured(f"audit-{name}-cut-copies-recall", recall, detail)
        return
    yield Bar.at_least(f"audit-{name}-copies-recall", recall, 0.95, detail)
    detail = "the others are takes of one motion by one person"
    yield Bar.measured(f"audit-{name}-copies-precision", len(right) / max(1, len(found)), detail)


def _labels(root: Root, dataset: str, feature: str) -> Iterator[Bar]:
    """Wrong labels found, and how many of those found are planted; the set's own errors count as wrongly found."""
    random = np.random.RandomState(_SEED)
    items = Manifest(root).read(dataset, ["video_id", "label"])
    items = items.filter(items["label"].is_valid())
    ids, labels = items["video_id"].to_pylist(), items["label"].to_pylist()
    classes, wrong = sorted(set(labels)), {}
    for at in random.permutation(len(ids))[: len(ids) // _PART]:
        wrong[ids[at]] = labels[at]
        labels[at] = random.choice([name for name in classes if name != labels[at]])
    table = pa.table({"dataset": [dataset] * len(ids), "video_id": ids, "label": labels})
    full = save(table, f"wrong-{dataset}", "planted wrong labels", root).dataset
    found = audit(AuditConfig(full, feature), root).table.to_pylist()
    rows = [row for row in found if row["kind"] == "label"]
    more = [row for row in found if row["kind"] == "ambiguous"]
    first = rows[: len(wrong)]
    hit = [row for row in rows if row["video_id"] in wrong]
    mended = sum(row["suggested"] == wrong[row["video_id"]] for row in hit)
    among = sum(row["video_id"] in wrong for row in first) / max(1, len(first))
    detail = f"{len(wrong)} of {len(ids)} planted, {len(rows)} doubted; the right label is suggested for {mended}"
    yield Bar.measured(f"audit-{dataset}-labels-recall", len(hit) / len(wrong), detail)
    yield Bar.measured(f"audit-{dataset}-labels-precision", len(hit) / max(1, len(rows)), "of all doubted")
    yield Bar.measured(f"audit-{dataset}-labels-precision-first", among, f"of the first {len(first)}")
    rest = sum(row["video_id"] in wrong for row in more)
    detail = f"{len(more)} ambiguous beside them, {rest} of these planted"
    yield Bar.measured(f"audit-{dataset}-labels-and-ambiguous-recall", (len(hit) + rest) / len(wrong), detail)


def _strangers(root: Root, name: str) -> Iterator[Bar]:
    """Sequences of the other data set among the outliers."""
    random = np.random.RandomState(_SEED)
    other = next(each for each in _SETS if each != name)
    own, theirs = (Manifest(root).read(each, ["video_id"])["video_id"].to_pylist() for each in (name, other))
    strangers = random.permutation(theirs)[:_STRANGERS].tolist()
    table = pa.table({"dataset": [name] * len(own) + [other] * _STRANGERS, "video_id": own + strangers})
    full = save(table, f"mixed-{name}", "planted strangers", root).dataset
    rows = [row for row in audit(AuditConfig(full, "raw_joints"), root).table.to_pylist() if row["kind"] == "outlier"]
    hit = sum(row["video_id"] in strangers for row in rows)
    detail = f"{hit} of {_STRANGERS} of {other}, {len(rows)} doubted of {len(own)}"
    yield Bar.measured(f"audit-{name}-strangers-recall", hit / _STRANGERS, detail)


if __name__ == "__main__":
    run(bars(*sys.argv[1:]))
