"""The page of an answer: frames of the clip, the classes asked for and where each comes from, what else is seen.

Run    `zsar classify CLIP --classes ... --html`
Takes  a `ClassifyReport`, the clip
Gives  `reports/classify/CLIP-DIGEST.html` below the root, and its URL; the digest is of the path and the classes
"""

import hashlib
import json
from pathlib import Path

from extractors import clips
from pipelines.look.classify.classify import ClassifyReport
from pipelines.pages.page import frame, render
from stores.root import Root

_FRAMES, _FRAME_HEIGHT = 6, 120


def page(report: ClassifyReport, root: Root) -> str:
    """Write a report as one HTML file below the root and give its URL."""
    path = Path(report.clip).expanduser().absolute()
    frames = [frame(rgb) for rgb in clips.thumbnails(str(path), _FRAMES, _FRAME_HEIGHT)]
    asked = json.dumps([str(path), *sorted(answer.name for answer in report.answers)])
    name = f"{path.stem}-{hashlib.blake2b(asked.encode(), digest_size=4).hexdigest()}.html"
    html = render("classify", report=report, frames=frames, file=path.name)
    return root.write_text(html, "reports", "classify", name)
