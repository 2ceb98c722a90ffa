"""The report of an extraction as one page: what was asked, what came of it, what gave nothing and why.

Run    `zsar extract ... --html`; the flow `extract` links to it
Takes  the report of a run, its root
Gives  `reports/extract-DATASET-TIME.html` below the root, and its URL
"""

import datetime
from collections import Counter
from typing import Any

from pipelines.extract.extraction import ExtractReport
from pipelines.extract.settings import ExtractConfig
from pipelines.look.listing import failures
from pipelines.pages.page import render
from pipelines.texts.adding import TextsReport
from stores.features import FeatureStore
from stores.root import Root

_FOLDER = "reports"
_MOST_FAILURES = 500  # a page is for looking; `zsar list failures` has them all


def write(report: ExtractReport, config: ExtractConfig, root: Root, texts: TextsReport | None = None) -> str:
    """Write the page of a run, and of the texts it began with; returns its URL. Raises WriteFailed where it cannot."""
    now = datetime.datetime.now(datetime.UTC)
    lost = [row for row in failures(root) if row["dataset"] == config.items]
    reasons = Counter(f"{row['error']} ({row['stage']})" for row in lost).most_common()
    html = render(
        "extraction",
        config=config,
        report=report,
        root=root.url,
        texts=texts,
        when=now.strftime("%Y-%m-%d %H:%M UTC"),
        sets=[_set(root, feature.name) | {"counts": feature} for feature in report.features],
        rate=sum(f.extracted for f in report.features) / report.seconds if report.seconds else 0.0,
        reasons=[{"name": name, "count": count, "share": count / reasons[0][1]} for name, count in reasons],
        lost=lost[:_MOST_FAILURES],
        more=len(lost) - _MOST_FAILURES,
    )
    return root.write_text(html, _FOLDER, f"extract-{config.items}-{now:%Y%m%dT%H%M%S-%f}.html")


def _set(root: Root, name: str) -> dict[str, Any]:
    """A feature set's size and origin; nothing but its name where nothing was made."""
    feature_set = FeatureStore(root).get(name)
    if feature_set is None:
        return {"name": name}
    items, rows = feature_set.shape()
    newest = feature_set.commits()[0]
    return {
        "name": name,
        "items": items,
        "rows": rows,
        "megabytes": feature_set.size_bytes() / 1e6,
        "recipe": feature_set.recipe,
        "key": feature_set.key,
        "snapshot": newest["snapshot"],
        "environment": newest["with"],
    }
