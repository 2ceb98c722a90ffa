"""Index: what exists of a data set, of whatever kind of item.

Run    `zsar index PATH... --dataset D [--kind KIND]`
Takes  paths, as the kind of item has them (`pipelines.kinds`)
Gives  the manifest of the data set, a row an item; an `IndexReport`
"""

from pipelines import kinds
from pipelines.index.report import IndexReport
from pipelines.index.settings import IndexConfig
from pipelines.progress import Progress
from stores.root import Root


def index(config: IndexConfig, root: Root, progress: Progress | None = None) -> IndexReport:
    """Index items of the kind that is asked for; takes, gives and raises what that kind's own stage does."""
    report: IndexReport = kinds.part(kinds.asked()[config.kind].index)(config, root, progress)
    return report
