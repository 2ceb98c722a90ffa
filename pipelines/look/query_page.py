"""The page of a query: each segment with its frames, its caption or its skeletons, its cosine, and a way to the film.

Run    `zsar query PHRASE --html`
Takes  a `QueryConfig`, its `Hits`
Gives  `reports/query/WORDS-DIGEST.html` below the root, and its URL; the digest is of what was asked
"""

import dataclasses
import hashlib
import json
import re
from typing import Any

from pipelines.extract.caption_rows import kind_of
from pipelines.index.poses import KIND as POSE
from pipelines.look.query import Hits
from pipelines.look.seen import PoseViewer, Seen, film
from pipelines.look.settings import QueryConfig
from pipelines.pages.page import render
from stores.features import FeatureStore
from stores.root import Root

_PICTURED = 60  # segments; decoding takes a tenth of a second each


def page(config: QueryConfig, hits: Hits, root: Root) -> str:
    """Write what was found as one HTML file below the root and give its URL."""
    asked = config.phrase or f"like {config.like}"
    of_poses = kind_of(FeatureStore(root).find(hits.feature)) == POSE
    viewer = PoseViewer(root) if of_poses else None
    rows = [row | vars(_seen(row, number < _PICTURED, viewer)) for number, row in enumerate(hits.table.to_pylist())]
    html = render("query", asked=asked, hits=rows, space=hits.space, where=config.where, said=hits.said)
    digest = hashlib.blake2b(json.dumps(dataclasses.asdict(config)).encode(), digest_size=4).hexdigest()
    words = re.sub(r"[^a-z0-9]+", "-", asked.lower()).strip("-")[:60]
    return root.write_text(html, "reports", "query", f"{words}-{digest}.html")


def _seen(row: dict[str, Any], pictured: bool, viewer: PoseViewer | None) -> Seen:
    """What is seen of a segment; of captions nothing but what they say."""
    if row["text"] is not None:
        return Seen()
    if viewer:
        return viewer.seen(row["uri"], row["key"], row["video_id"]) if pictured else Seen()
    return film(row["uri"], row["start_s"], row["end_s"], pictured)
