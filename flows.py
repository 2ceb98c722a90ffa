"""Prefect flows: order, slots and names; the stages in `pipelines/` do the work and run without Prefect too.

    prefect deployment run extract/extract-kinetics
    python -c "from flows import extract; extract('/data/ucf101', 'ucf101', ['i3d_k400'])"

A flow that died is continued by running it again: the plan is computed from the store, so no state is kept here and
Prefect caches no result. A user's mistake ends a run as Failed with one line and no traceback.
"""

import contextlib
import functools
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.concurrency.sync import concurrency
from prefect.exceptions import FailedRun
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner

from extractors.errors import ExtractorError
from pipelines.errors import UsageError
from pipelines.extract.compute import device_of
from pipelines.extract.extraction import Extraction, ExtractReport, Silent, extraction
from pipelines.extract.plan import Plan
from pipelines.extract.shards import Shard, cut, work
from pipelines.index.captions import index_captions
from pipelines.index.poses import index_poses
from pipelines.index.videos import index as index_stage
from pipelines.look import extraction_page as reports
from pipelines.look.listing import failures
from pipelines.settings import (
    EvaluateConfig,
    ExtractConfig,
    FinetuneConfig,
    FitConfig,
    IndexConfig,
    ShardConfig,
    TextsConfig,
)
from pipelines.texts.adding import TextsReport, add
from stores.errors import StoreError
from stores.root import Root
from stores.texts import KINDS

GPU_SLOTS = "gpu"  # a global concurrency limit: so many shards compute on GPUs at once, over all runs
_LOOK_S = 1.0
_TELL_S = 2.0
_COUNTS = ("planned", "extracted", "skipped", "failed", "quarantined")

P = ParamSpec("P")


def _without_traceback(record: logging.LogRecord) -> bool:
    """Prefect's engine logs the end of a run that says itself why it failed as if that were a defect."""
    if record.exc_info and isinstance(record.exc_info[1], FailedRun):
        record.msg, record.args, record.exc_info = str(record.exc_info[1]), (), None
    return True


for _logger in ("prefect.engine", "prefect.flow_runs"):
    logging.getLogger(_logger).addFilter(_without_traceback)


def _in_one_line(function: Callable[P, Any]) -> Callable[P, Any]:
    """A user's mistake ends the run as Failed with its one line; any other error keeps its traceback."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except (UsageError, StoreError, ExtractorError, FailedRun) as error:
            return Failed(message=str(error))

    return run


@task(name="index", task_run_name="index {config.dataset}")
@_in_one_line
def index(config: IndexConfig, root: str) -> Any:
    """Bring the manifest of a data set up to date."""
    if config.kind == "captions":
        return index_captions(config, Root(root))
    report = index_poses(config, Root(root)) if config.kind == "poses" else index_stage(config, Root(root))
    for line in report.told():
        get_run_logger().warning(line)
    return report


@task(name="read texts", task_run_name="read texts of {set}")
@_in_one_line
def read_texts(path: str, set: str, kind: str, classes: list[str], root: str) -> Any:
    """Add the class lists of a set, then the texts of a file or of all files of a folder: only what is new is kept."""
    cache = Root(root)
    if classes:
        add(TextsConfig(tuple(classes), "class", set), cache)
    return add(TextsConfig((path,), kind, set), cache)


@task(name="shard", task_run_name="shard {shard.number}")
@_in_one_line
def compute(shard: Shard) -> Any:
    """Compute one shard and hand it over; on a GPU only while a slot is free. Gives the videos opened."""
    with _slot(shard.config.device):
        return work(shard)


@flow(name="extract", flow_run_name="extract {dataset}")
@_in_one_line
def extract(
    path: str,
    dataset: str,
    features: list[str],
    root: str | None = None,
    layout: str = "auto",
    labels: list[str] | None = None,
    prune: bool = False,
    kind: str = "videos",
    weights: list[str] | None = None,
    precision: str = "fp32",
    device: str = "auto",
    workers: int = 0,
    decoders: int = 0,
    commit_every_s: float = 30.0,
    retry_failed: bool = False,
    same_errors: int = 50,
    kinds: list[str] | None = None,
    shard_size: int = 500,
    runner: str = "local",
    cluster: str = "",
    cluster_options: dict[str, Any] | None = None,
    adapt: dict[str, Any] | None = None,
) -> Any:
    """Index a data set, then extract the features it lacks.

    Parameters
    ----------
    path, dataset, layout, labels, prune, kind
        As `zsar index` takes them. A layout that is a kind of text (`description`) reads texts into the set of this
        name, as `zsar texts add` does; `labels` are then its class lists.
    features, weights, precision, device, workers, decoders, commit_every_s, retry_failed, same_errors, kinds
        As `zsar extract` takes them.
    root : str
        The cache; default `$ZSAR_ROOT`, else `./zsar-data`.
    shard_size, runner, cluster, cluster_options, adapt
        As `pipelines.settings.ShardConfig` says.

    Returns
    -------
    dict
        Feature set name to its counts: planned, extracted, skipped, failed, quarantined.
    """
    cache = Root(root or os.environ.get("ZSAR_ROOT") or "./zsar-data")
    sharding = ShardConfig(shard_size, runner, cluster, cluster_options or {}, adapt or {})
    settings = ExtractConfig(
        tuple(features),
        dataset,
        tuple(weights or ()),
        precision=precision,
        device=device,
        workers=workers,
        decoders=decoders,
        commit_every_s=commit_every_s,
        retry_failed=retry_failed,
        same_errors=same_errors,
        kinds=tuple(kinds or ()),
    )
    texts = None
    if layout in KINDS:
        texts = read_texts(path, dataset, layout, labels or [], cache.url, return_state=True).result()
    else:
        indexed = IndexConfig((path,), dataset, layout, tuple(labels or ()), prune, kind)
        index(indexed, cache.url, return_state=True).result()
    progress = _Progress(dataset)
    with extraction(settings, cache, progress) as run:
        shards = cut(run.todo, settings, cache, shard_size)
        if shards:
            _in_shards(run, shards, sharding)
    progress.finish()
    return _told(run.report(), settings, cache, texts)


@task(name="fit", task_run_name="fit {config.head} on {config.dataset}")
@_in_one_line
def fit_task(config: FitConfig, root: str) -> Any:
    """Train a head on the seen classes of each split; on a GPU only while a slot is free."""
    from pipelines.learn.fit import fit as fit_stage

    with _slot(config.device):
        log = get_run_logger()
        return fit_stage(config, Root(root), lambda done, total: log.info("%d of %d splits", done, total))


@task(name="evaluate", task_run_name="evaluate {run}")
@_in_one_line
def evaluate_task(run: str, root: str) -> Any:
    """Judge a run on the unseen classes of its splits."""
    from pipelines.judge.evaluate import evaluate as evaluate_stage

    return evaluate_stage(EvaluateConfig(run), Root(root))


@flow(name="fit", flow_run_name="fit {head} on {dataset}")
@_in_one_line
def fit(
    head: str,
    dataset: str,
    feature: str,
    protocol: str,
    root: str | None = None,
    splits: str = "",
    set: str = "",
    encoder: str = "",
    objects: str = "",
    k: int = 100,
    options: list[str] | None = None,
    tune: list[str] | None = None,
    folds: int = 3,
    hold_out: float = 0.2,
    gzsl: bool = False,
    standardise: bool = False,
    seed: int = 0,
    segments: int = 0,
    device: str = "auto",
    workers: int = 0,
) -> Any:
    """Train a head on the seen classes of each split of a protocol, then judge it on the unseen ones.

    Parameters
    ----------
    root : str
        The cache; default `$ZSAR_ROOT`, else `./zsar-data`.
    head and the others
        As `zsar fit` takes them; `options` is its `--option`.

    Returns
    -------
    dict
        The run, and each measure's mean and deviation over the splits.
    """
    cache = Root(root or os.environ.get("ZSAR_ROOT") or "./zsar-data")
    config = FitConfig(
        head,
        dataset,
        feature,
        protocol,
        splits=splits,
        set=set,
        encoder=encoder,
        objects=objects,
        k=k,
        options=tuple(options or ()),
        tune=tuple(tune or ()),
        folds=folds,
        hold_out=hold_out,
        gzsl=gzsl,
        standardise=standardise,
        seed=seed,
        segments=segments,
        device=device,
        workers=workers,
    )
    fitted = fit_task(config, cache.url, return_state=True).result()
    judged = evaluate_task(fitted.run, cache.url, return_state=True).result()
    measured = {**judged.zsl, **judged.gzsl}
    rows = [{"measure": name, "mean": pair[0], "std": pair[1]} for name, pair in measured.items()]
    told = f"{fitted.run}: {judged.splits} splits, {judged.n} videos judged, {judged.missing} missing"
    create_table_artifact(rows, key=_key("fit", dataset), description=told)
    get_run_logger().info("%s: top-1 %.4f ± %.4f", told, *judged.zsl["top1"])
    return {"run": fitted.run, **{row["measure"]: [row["mean"], row["std"]] for row in rows}}


@task(name="finetune", task_run_name="finetune {config.model} on {config.dataset}")
@_in_one_line
def finetune_task(config: FinetuneConfig, root: str) -> Any:
    """Train a network on the seen classes of each split; on a GPU only while a slot is free."""
    from pipelines.learn.finetune import finetune as finetune_stage

    with _slot(config.device):
        log = get_run_logger()
        return finetune_stage(config, Root(root), lambda done, total: log.info("%d of %d epochs", done, total))


@flow(name="finetune", flow_run_name="finetune {model} on {dataset}")
@_in_one_line
def finetune(
    path: str,
    model: str,
    dataset: str,
    protocol: str = "none",
    root: str | None = None,
    joints: str = "auto",
    labels: list[str] | None = None,
    splits: str = "",
    set: str = "",
    encoder: str = "minilm",
    gzsl: bool = False,
    train: list[str] | None = None,
    test: list[str] | None = None,
    layout: str = "",
    frames: int = 32,
    people: int = 1,
    weights: str = "",
    epochs: int = 60,
    batch: int = 16,
    lr: float = 0.1,
    weight_decay: float = 5e-4,
    dropout: float = 0.25,
    smoothing: float = 0.1,
    precision: str = "fp32",
    seed: int = 0,
    device: str = "auto",
    threads: int = 0,
) -> Any:
    """Index a data set of poses, then train a network on the seen classes of each split of a protocol.

    Parameters
    ----------
    path, joints, labels
        As `zsar index --kind poses` takes them; `joints` is its `--layout`.
    root : str
        The cache; default `$ZSAR_ROOT`, else `./zsar-data`.
    model and the others
        As `zsar finetune` takes them.

    Returns
    -------
    dict
        The run, the weights by number of split, and top-1 where there is something to test on.
    """
    cache = Root(root or os.environ.get("ZSAR_ROOT") or "./zsar-data")
    config = FinetuneConfig(
        model,
        dataset,
        protocol,
        splits=splits,
        set=set,
        encoder=encoder,
        gzsl=gzsl,
        train=tuple(train or ()),
        test=tuple(test or ()),
        layout=layout,
        frames=frames,
        people=people,
        weights=weights,
        epochs=epochs,
        batch=batch,
        lr=lr,
        weight_decay=weight_decay,
        dropout=dropout,
        smoothing=smoothing,
        precision=precision,
        seed=seed,
        device=device,
        threads=threads,
    )
    indexed = IndexConfig((path,), dataset, joints, tuple(labels or ()), kind="poses")
    index(indexed, cache.url, return_state=True).result()
    done = finetune_task(config, cache.url, return_state=True).result()
    rows = [{"split": number, "weights": where} for number, where in done.weights.items()]
    told = f"{done.run}: {done.sequences} sequences, {done.failed} cannot be used"
    create_table_artifact(rows, key=_key("finetune", dataset), description=told)
    get_run_logger().info("%s; weights: %s", told, ", ".join(done.weights.values()))
    weights_of = {str(number): where for number, where in done.weights.items()}
    return {"run": done.run, "weights": weights_of} | ({} if done.top1 is None else {"top1": done.top1})


@contextlib.contextmanager
def _slot(device: str) -> Iterator[None]:
    """A GPU slot where the work goes to a GPU."""
    with concurrency(GPU_SLOTS, occupy=1) if device_of(device).startswith("cuda") else contextlib.nullcontext():
        yield


def _in_shards(run: Extraction, shards: list[Shard], sharding: ShardConfig) -> None:
    """Have the shards computed, and commit what is handed over until all are done."""
    with _workers(sharding) as workers:
        waiting = [workers.submit(compute, {"shard": shard}) for shard in shards]
        try:
            while waiting:
                time.sleep(_LOOK_S)
                run.collect()
                done = [future for future in waiting if future.wrapped_future.done()]
                run.decoded += sum(future.result() for future in done)
                waiting = [future for future in waiting if future not in done]
        finally:
            run.collect()


@contextlib.contextmanager
def _workers(sharding: ShardConfig) -> Iterator[Any]:
    """What the shards are submitted to: this process, one after another, or a Dask cluster."""
    if sharding.runner == "local":
        with ThreadPoolTaskRunner(max_workers=1) as this_process:  # type: ignore[var-annotated]
            yield this_process
        return
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise UsageError("Dask is not installed here. Run `pip install -e '.[cluster]'`.") from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # of a cluster that begins and ends in this process
    if "://" in sharding.cluster:
        asked = DaskTaskRunner(address=sharding.cluster)
    else:
        options = dict(sharding.cluster_options)
        if not sharding.cluster:
            options.setdefault("threads_per_worker", 1)  # a shard brings its own threads
        asked = DaskTaskRunner(
            cluster_class=sharding.cluster or None, cluster_kwargs=options, adapt_kwargs=dict(sharding.adapt)
        )
    with asked as cluster:
        try:
            cluster.client  # noqa: B018 - made when first asked for: now, where its fault can be told
        except (OSError, ImportError, AttributeError) as error:
            raise UsageError(f"No Dask cluster at {sharding.cluster or 'this machine'}: {error}.") from error
        yield cluster


class _Progress(Silent):
    """How a run goes, as artifacts in the UI: a bar that moves, at most every two seconds."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._bar: UUID | None = None
        self._total = 0
        self._next = 0.0

    def started(self, plan: Plan) -> None:
        self._total = sum(f.planned for f in plan.features)
        self._bar = _uuid(
            create_progress_artifact(0.0, _key("progress", self._dataset), f"{self._total} features to compute")
        )

    def advanced(self, done: int, failed: int) -> None:
        if self._bar and time.monotonic() >= self._next:
            self._next = time.monotonic() + _TELL_S
            update_progress_artifact(self._bar, 100.0 * done / self._total)

    def waiting(self, feature: str) -> None:
        get_run_logger().info("Another run works on %s; waiting for it, then computing what it leaves.", feature)

    def finish(self) -> None:
        """The bar to its end."""
        if self._bar:
            update_progress_artifact(self._bar, 100.0)


def _told(
    report: ExtractReport, settings: ExtractConfig, root: Root, texts: TextsReport | None
) -> dict[str, dict[str, int]]:
    """The run's outcome as artifacts and as the flow's result."""
    dataset = settings.dataset
    results = {f.name: {count: getattr(f, count) for count in _COUNTS} for f in report.features}
    rows = [{"feature": name, **result} for name, result in results.items()]
    create_table_artifact(rows, key=_key("results", dataset), description=f"{report.decoded} items opened")
    if lost := [row for row in failures(root) if row["dataset"] == dataset]:
        create_table_artifact(lost, key=_key("failures", dataset), description="What gave no features, and why")
    page = reports.write(report, settings, root, texts)
    create_link_artifact(page, link_text=page, key=_key("report", dataset), description="The report, as a page")
    get_run_logger().info("%s: %s; report: %s", dataset, results, page)
    return results


def _key(what: str, dataset: str) -> str:
    """An artifact's key: lower-case letters, digits and dashes."""
    verb = "" if what in ("fit", "finetune") else "extract "
    return re.sub(r"[^a-z0-9]+", "-", f"{verb}{what} {dataset}".lower()).strip("-")


def _uuid(artifact: Any) -> UUID:
    """Prefect types its synchronous functions as if they might be awaited."""
    return artifact if isinstance(artifact, UUID) else UUID(str(artifact))
