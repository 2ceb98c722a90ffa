"""`zsar practice`: a data set for who has none at hand."""

import dataclasses
from typing import TYPE_CHECKING

from pipelines.command.base import command, without_zeros
from pipelines.command.screen import Bar, Shown, counts
from pipelines.practice.settings import PracticeConfig

if TYPE_CHECKING:
    from stores.root import Root


@command("practice", PracticeConfig)
def practice(settings: PracticeConfig, root: "Root") -> Shown:
    """Write a data set of drawn figures as real ones look: films, labels, texts, poses, splits, word vectors.

    A class is two or three atomic motions in an order ("squat then kick left"), and a table says which is done when.
    With --poses the sequences of a data set of poses in the cache are drawn instead, so that real motion can be learned
    from films. DIR/README.md has the commands that come next. Kill it at any moment and run it again: it goes on.

    JSON: folder, kind, classes, videos, drawn (by this call); left_out (sequences without a label, or that cannot be
    used) and faults (why, of the first) when there are any.
    """
    from pipelines.practice import practice

    with Bar("Drawing") as advance:
        report = practice.practice(settings, root, advance)
    fields = without_zeros(dataclasses.asdict(report), "left_out", "faults")
    told = {"classes": report.classes, "videos": report.videos, "drawn now": report.drawn, "left out": report.left_out}
    said = [f"Left out: {fault}" for fault in report.faults]
    parts = [counts(f"{report.folder} ({report.kind})", without_zeros(told, "left out"))]
    return Shown(fields, [*parts, f"What comes next: {report.folder}/README.md"], said)
