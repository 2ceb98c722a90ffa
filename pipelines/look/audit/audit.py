"""Audit: what is doubtful in a data set, as one table.

Run    `zsar audit ucf101 --feature i3d_k400 [--run A --run B] [--html]`
Takes  a data set, features of it; two runs judged on it, where they are named
Gives  `Audit`: a row a doubt, worst first within its kind: leaks, conflicts, duplicates, label errors, ambiguous
       videos, outliers, disagreements

    vectors ──Clips.neighbours──▶ others, cosines ──duplicates, labels, outliers──▶ Finding

Nothing is written and nothing removed: a selection (`zsar sql ... --save-as`) leaves out what is to be left out.
"""

import contextlib
import dataclasses

import numpy as np
import pyarrow as pa

from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.look.audit.clips import Clips, clips
from pipelines.look.audit.disagree import disagreements
from pipelines.look.audit.duplicates import duplicates, groups, recordings
from pipelines.look.audit.findings import KINDS, Finding
from pipelines.look.audit.labels import label_errors
from pipelines.look.audit.outliers import outliers
from pipelines.look.segments import segments
from pipelines.look.settings import AuditConfig
from stores.errors import StoreError
from stores.features import FeatureSet, FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.selections import Selections

_MORE = 50  # neighbours beyond those asked, as clips of one recording are none
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "video_id", "label", "split")),
        ("score", pa.float64()),
        *((name, pa.string()) for name in ("other", "other_label", "other_split", "suggested", "why", "uri")),
        *((name, pa.float64()) for name in ("start_s", "end_s")),
        *((name, pa.string()) for name in ("other_uri", "key")),
        *((name, pa.float64()) for name in ("other_start_s", "other_end_s")),
    ]
)


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes
    ----------
    dataset, feature : what was audited, by which features
    videos, labelled, without : with features; of these with a label; without features, which were not looked at
    counts : findings of each kind
    table : of SCHEMA
    """

    dataset: str
    feature: str
    videos: int
    labelled: int
    without: int
    counts: dict[str, int]
    table: pa.Table


def audit(config: AuditConfig, root: Root) -> Audit:
    """Look for what is doubtful in a data set.

    Raises
    ------
    UsageError
        Fewer than three videos with features, or as `disagreements`.
    NotInStore, Ambiguous
        No such data set, feature set, output or run, or several.
    """
    dataset = Selections(root).full(config.dataset)
    feature_set = feature_sets.find(root, config.feature) if config.feature else _widest(config, dataset, root)
    own = clips(feature_set, dataset, root, config.output)
    if len(own) < 3:
        raise UsageError(f"{dataset!r} has {len(own)} videos with {feature_set.name}: too few to compare.")
    others, cosines = own.neighbours(config.neighbours + _MORE)
    group = groups(own, others, cosines, config.near)
    found = [*duplicates(own, group), *recordings(own)]
    found += [*label_errors(own, others, cosines, group, config.neighbours)]
    found += [*outliers(own, others, cosines, group, config.neighbours)]
    found += [*disagreements(own, config.runs, dataset, root)] if config.runs else []
    kinds = list(KINDS)
    found.sort(key=lambda finding: (kinds.index(finding.kind), -finding.score, finding.at))
    counts = {kind: sum(finding.kind == kind for finding in found) for kind in kinds}
    labelled = len(own) - own.table["label"].null_count
    return Audit(dataset, feature_set.name, len(own), labelled, own.without, counts, _table(found, own))


def _widest(config: AuditConfig, dataset: str, root: Root) -> FeatureSet:
    """The feature set that has most videos of a data set; of equals the first by name."""
    Manifest(root).read(dataset, ["video_id"])
    having = []
    for name in FeatureStore(root).names():
        with contextlib.suppress(StoreError, UsageError):
            held = FeatureStore(root).find(name)
            if config.output in held.outputs:
                having.append((-len(np.unique(segments(held, root, dataset).item)), name, held))
    if not having:
        raise UsageError(
            f"No feature set has {config.output} of {dataset!r}. Run `zsar extract NAME --dataset {dataset}`."
        )
    return min(having)[2]


def _table(found: list[Finding], own: Clips) -> pa.Table:
    rows = own.table.to_pylist()
    nobody = dict.fromkeys(own.table.column_names)
    told = []
    for finding in found:
        row, other = rows[finding.at], rows[finding.other] if finding.other >= 0 else nobody
        told.append(
            {name: row[name] for name in ("video_id", "label", "split", "uri", "start_s", "end_s")}
            | {f"other_{name}": other[name] for name in ("label", "split", "uri", "start_s", "end_s")}
            | {"kind": finding.kind, "score": round(finding.score, 6), "other": other["video_id"]}
            | {"suggested": finding.suggested, "why": finding.why, "key": row["key"].hex()}
        )
    return pa.Table.from_pylist(told, schema=SCHEMA)
