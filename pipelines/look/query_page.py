"""The page of a query: each segment with its frames or its caption, its cosine, and a way to the film at its time.

Run    `zsar query PHRASE --html`
Takes  a `QueryConfig`, its `Hits`
Gives  `reports/query/WORDS-DIGEST.html` below the root, and its URL; the digest is of what was asked
"""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from extractors.errors import InputFault, MachineFault
from extractors.sampling import Geometry
from pipelines.look.frames import frames_at
from pipelines.look.query import Hits
from pipelines.look.settings import QueryConfig
from pipelines.pages.page import frame, render
from stores.root import Root

_PLACES = (0.15, 0.5, 0.85)  # of a segment
_HEIGHT = 110
_PICTURED = 60  # segments; decoding takes a tenth of a second each


def page(config: QueryConfig, hits: Hits, root: Root) -> str:
    """Write what was found as one HTML file below the root and give its URL."""
    asked = config.phrase or f"like {config.like}"
    rows = [row | _seen(row, number < _PICTURED) for number, row in enumerate(hits.table.to_pylist())]
    html = render("query", asked=asked, hits=rows, space=hits.space, where=config.where, said=hits.said)
    digest = hashlib.blake2b(json.dumps(dataclasses.asdict(config)).encode(), digest_size=4).hexdigest()
    words = re.sub(r"[^a-z0-9]+", "-", asked.lower()).strip("-")[:60]
    return root.write_text(html, "reports", "query", f"{words}-{digest}.html")


def _seen(row: dict[str, Any], pictured: bool) -> dict[str, Any]:
    """Frames of a segment and where its film is; nothing of captions, and of a film that is not there."""
    start, end, local = row["start_s"], row["end_s"], Path(row["uri"])
    if row["text"] is not None or not local.is_absolute() or not local.is_file():
        return {"frames": [], "link": ""}
    fragment = "" if start is None else f"#t={start:.2f},{end:.2f}"
    span = (0.0, 0.0) if start is None else (start, end)
    frames = []
    if pictured:
        try:
            frames = frames_at(str(local), [span[0] + place * (span[1] - span[0]) for place in _PLACES])
        except (InputFault, MachineFault):
            frames = []
    return {"frames": [frame(_small(rgb)) for rgb in frames], "link": local.as_uri() + fragment}


def _small(rgb: Any) -> Any:
    size = (_HEIGHT, max(1, round(rgb.shape[1] * _HEIGHT / rgb.shape[0])))
    return Geometry(size, size)(rgb)
