"""The page of an audit: each doubt with the clips it is about, side by side, worst first.

Run    `zsar audit DATASET --html`
Takes  an `Audit`
Gives  `reports/audit/DATASET-FEATURE.html` below the root, and its URL
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.index.poses import KIND as POSE
from pipelines.look.audit.audit import Audit
from pipelines.look.audit.findings import KINDS
from pipelines.look.seen import PoseViewer, film
from pipelines.pages.page import render
from stores.captions import Captions
from stores.manifest import Manifest
from stores.root import Root

_OF_EACH = 24  # clips and pairs of a kind that are shown


def page(found: Audit, root: Root) -> str:
    """Write the page and give its URL."""
    rows, kinds = found.table.to_pylist(), []
    viewer, keys = PoseViewer(root), _poses(found.dataset, root)
    for kind, about in KINDS.items():
        own = [row for row in rows if row["kind"] == kind]
        shown = own[:_OF_EACH]
        said = _captions(found.dataset, shown, root)
        pairs = [
            row | {"sides": [_side(row, "", said, viewer, keys), *_other(row, said, viewer, keys)]} for row in shown
        ]
        kinds.append({"kind": kind, "about": about, "count": len(own), "rows": pairs, "more": len(own) - len(shown)})
    html = render("audit", found=found, kinds=kinds)
    return root.write_text(html, "reports", "audit", f"{found.dataset}-{found.feature}.html".replace("@", "-"))


def _other(row: dict[str, Any], *shared: Any) -> list[dict[str, Any]]:
    return [_side(row, "other_", *shared)] if row["other"] else []


def _side(
    row: dict[str, Any], which: str, said: dict[str, str], viewer: PoseViewer, keys: dict[str, str]
) -> dict[str, Any]:
    """One video: its frames, its skeletons or its first caption, where its film is, its label and split."""
    name, uri = row["other"] if which else row["video_id"], row[f"{which}uri"]
    told = {"name": name, "label": row[f"{which}label"], "split": row[f"{which}split"], "text": said.get(name)}
    if told["text"]:
        return told
    if name in keys:
        return told | vars(viewer.seen(uri, keys[name], name))
    return told | vars(film(uri, row[f"{which}start_s"], row[f"{which}end_s"]))


def _poses(dataset: str, root: Root) -> dict[str, str]:
    """The keys, in hexadecimal digits, of its sequences of poses by name."""
    table = Manifest(root).read(dataset, ["video_id", "key", "kind"])
    own = table.filter(pc.equal(table["kind"], POSE))
    return {name: key.hex() for name, key in zip(own["video_id"].to_pylist(), own["key"].to_pylist(), strict=True)}


def _captions(dataset: str, rows: list[dict[str, Any]], root: Root) -> dict[str, str]:
    """The first caption of each video that has some, by its name."""
    table = Captions(root).read(dataset, ["group", "place", "text"])
    if not table.num_rows:
        return {}
    names = {name for row in rows for name in (row["video_id"], row["other"]) if name}
    items = Manifest(root).read(dataset, ["video_id", "key"])
    items = items.filter(pc.is_in(items["video_id"], pa.array(sorted(names), pa.string())))
    first = table.filter(pc.and_(pc.equal(table["place"], 0), pc.is_in(table["group"], items["key"].combine_chunks())))
    texts = dict(zip(first["group"].to_pylist(), first["text"].to_pylist(), strict=True))
    pairs = zip(items["video_id"].to_pylist(), items["key"].to_pylist(), strict=True)
    return {name: texts[key] for name, key in pairs if key in texts}
