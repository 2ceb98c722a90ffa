"""Prefect flows: order and names; the stages in `pipelines/` do the work and run without Prefect too.

    python -c "from flows import extract; extract('/data/ucf101', 'ucf101', ['i3d_k400'])"

A flow that died is continued by running it again: the plan is computed from the store, so no state is kept here and
Prefect caches no result.
"""

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact

from pipelines.config import ExtractConfig, IndexConfig
from pipelines.extract import ExtractReport
from pipelines.extract import extract as extract_stage
from pipelines.index import IndexReport
from pipelines.index import index as index_stage
from pipelines.listing import failures
from stores.root import Root


@task(name="index", task_run_name="index {config.dataset}")
def index(config: IndexConfig, root: str) -> IndexReport:
    """Bring the manifest of a data set up to date."""
    return index_stage(config, Root(root))


@task(name="compute", task_run_name="extract {config.features} of {config.dataset}")
def compute(config: ExtractConfig, root: str) -> ExtractReport:
    """Compute and commit what the store lacks."""
    return extract_stage(config, Root(root))


@flow(name="extract", flow_run_name="extract {dataset}")
def extract(
    path: str,
    dataset: str,
    features: list[str],
    root: str = "./zsar-data",
    layout: str = "auto",
    labels: list[str] | None = None,
    precision: str = "fp32",
    device: str = "auto",
    retry_failed: bool = False,
) -> dict[str, Any]:
    """Index a data set, then extract the features it lacks.

    Parameters
    ----------
    path, dataset, layout, labels
        As `zsar index` takes them.
    features, precision, device, retry_failed
        As `zsar extract` takes them.
    root : str
        The cache.

    Returns
    -------
    dict
        Feature set name to its counts: planned, extracted, skipped, failed, quarantined.
    """
    index(IndexConfig((path,), dataset, layout, tuple(labels or ())), root)
    settings = ExtractConfig(tuple(features), dataset, precision=precision, device=device, retry_failed=retry_failed)
    report = compute(settings, root)
    counts = ("planned", "extracted", "skipped", "failed", "quarantined")
    results = {f.name: {count: getattr(f, count) for count in counts} for f in report.features}
    rows = [{"feature": name, **result} for name, result in results.items()]
    create_table_artifact(rows, key="extract-results", description=f"{dataset}: {report.decoded} videos decoded")
    if lost := [row for row in failures(Root(root)) if row["dataset"] == dataset]:
        create_table_artifact(lost, key="extract-failures", description="Videos that gave no features, and why")
    get_run_logger().info("%s: %s", dataset, results)
    return results
