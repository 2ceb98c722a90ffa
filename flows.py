"""Prefect flows: order, slots and names; the stages in `pipelines/` do the work and run without Prefect too.

    prefect deployment run extract/extract-kinetics
    python -c "from flows import extract; extract('/data/ucf101', 'ucf101', ['i3d_k400'])"

A flow that died is continued by running it again: the plan is computed from the store, so no state is kept here and
Prefect caches no result. A user's mistake ends a run as Failed with one line and no traceback.
"""

import contextlib
import dataclasses
import errno
import functools
import inspect
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.concurrency.sync import concurrency
from prefect.deployments import run_deployment
from prefect.exceptions import FailedRun, ObjectNotFound
from prefect.runtime import deployment
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.importtools import from_qualified_name

from extractors.errors import ExtractorError
from pipelines import kinds
from pipelines.errors import UsageError, refused
from pipelines.extract.extraction import Extraction, ExtractReport, extraction
from pipelines.extract.settings import ExtractConfig, ShardConfig
from pipelines.extract.shards import Shard, cut, work
from pipelines.index.indexing import index as index_stage
from pipelines.index.settings import IndexConfig
from pipelines.judge.settings import EvaluateConfig, JudgeConfig
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.look import extraction_page as reports
from pipelines.look.listing import failures
from pipelines.machine import device_of
from pipelines.progress import Silent
from pipelines.settings import Taken, flow_parameters
from pipelines.texts.adding import TextsReport, add
from pipelines.texts.settings import TextsConfig
from stores.errors import StoreError, WriteFailed
from stores.root import Root
from stores.texts import KINDS

BROKEN = "Broken"  # the state of what failed by the machine
GPU_SLOTS = "gpu"  # a global concurrency limit: so many shards compute on GPUs at once, over all runs
_DASHBOARD = "127.0.0.1:8787"
_LOOK_S = 1.0
_WAITED_S = [float(each) for each in os.environ.get("ZSAR_RETRY_S", "10,60").split(",")]  # before a task is tried again
_PASSES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE)  # room may be made, a disk may come back
_OUT_OF_MEMORY = ("OutOfMemoryError", "AcceleratorError")  # torch's, by name: a flow imports no torch to say it
_TELL_S = 2.0
_COUNTS = ("planned", "extracted", "skipped", "failed", "quarantined")

P = ParamSpec("P")


class _OneMessage(logging.Filter):
    """Of what Prefect logs of one failure, in task, flow and engine, the first traceback and the last line.

    A user's mistake has no traceback, and stands in the flow's last line alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, FailedRun) or (error and getattr(error, "told", False)):
            return False
        if error:
            error.told = True  # type: ignore[attr-defined]
        said = record.getMessage()
        if record.name == "prefect.task_runs":
            return error is not None or " - Retry " in said or not said.startswith(_OF_A_FAILED_TASK)
        return True


_OF_A_FAILED_TASK = ("Task run failed with", "Finished in state Failed", f"Finished in state {BROKEN}")
for _logger in ("prefect.engine", "prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_logger).addFilter(_OneMessage())


def _in_one_line(function: Callable[P, Any]) -> Callable[P, Any]:
    """A user's mistake ends the run as Failed with its one line, the machine's fault as `BROKEN`: tasks try again.

    Any other error keeps its traceback.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except WriteFailed as error:
            return Failed(message=str(error), name=BROKEN)
        except (UsageError, StoreError, ExtractorError, FailedRun) as error:
            return Failed(message=str(error))
        except OSError as error:
            if not (told := refused(error)):
                raise
            return Failed(message=told, name=BROKEN if error.errno in _PASSES else None)

    return run


def _by_the_machine(task: Any, run: Any, state: State[Any]) -> bool:
    """Whether a task may do better when it is tried again: a disk, a network or memory failed, not the user."""
    if isinstance(state.data, Exception):
        if isinstance(state.data, FileNotFoundError | NotADirectoryError | FileExistsError):
            return False
        return isinstance(state.data, OSError | MemoryError) or type(state.data).__name__ in _OUT_OF_MEMORY
    return state.name == BROKEN


_TRIED_AGAIN: dict[str, Any] = {
    "retries": len(_WAITED_S),
    "retry_delay_seconds": _WAITED_S,
    "retry_condition_fn": _by_the_machine,
}


def _takes(*taken: Taken) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a flow's function of one of (root, settings, ...): its parameters are the fields of these settings."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters, told = flow_parameters(*taken)
        signature = inspect.Signature(parameters)

        def run(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            root = Root(bound.arguments["root"] or os.environ.get("ZSAR_ROOT") or "./zsar-data")
            return function(root, *(stage.made(bound.arguments) for stage in taken))

        run.__name__, run.__module__ = function.__name__, function.__module__
        run.__doc__ = f"{inspect.getdoc(function)}\n\n{told}"
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return wrap


@task(name="index", task_run_name="index {config.dataset}", **_TRIED_AGAIN)
@_in_one_line
def index(config: IndexConfig, root: str) -> Any:
    """Bring the manifest of a data set up to date."""
    report = index_stage(config, Root(root))
    for line in report.told():
        get_run_logger().warning(line)
    return report


@task(name="read texts", task_run_name="read texts of {set}", **_TRIED_AGAIN)
@_in_one_line
def read_texts(config: IndexConfig, set: str, root: str) -> Any:
    """Add the class lists of a set, then the texts of a file or of all files of a folder: only what is new is kept."""
    cache = Root(root)
    if config.labels:
        add(TextsConfig(config.labels, "class", set), cache)
    return add(TextsConfig(config.paths, config.layout, set), cache)


@task(name="shard", task_run_name="shard {shard.number}", **_TRIED_AGAIN)
@_in_one_line
def compute(shard: Shard) -> Any:
    """Compute one shard and hand it over; on a GPU only while a slot is free. Gives the videos opened."""
    with _slot(shard.config.device):
        return work(shard)


@flow(name="extract", flow_run_name="extract {dataset}")
@_in_one_line
@_takes(
    Taken(IndexConfig, one={"paths": "path"}), Taken(ExtractConfig), Taken(ShardConfig, calls={"size": "shard_size"})
)
def extract(root: Root, indexed: IndexConfig, settings: ExtractConfig, sharding: ShardConfig) -> Any:
    """Index a data set, then extract the features it lacks; gives each feature set's counts.

    A layout that is a kind of text (`description`) reads texts into the set of this name, as `zsar texts add` does;
    `labels` are then its class lists.
    """
    texts = None
    if indexed.layout in KINDS:
        texts = read_texts(indexed, settings.items, root.url, return_state=True).result()
    else:
        index(indexed, root.url, return_state=True).result()
    told = settings.items if texts is None else f"texts of {settings.items}"
    progress = _Progress(told)
    with extraction(settings, root, progress) as run:
        shards = cut(run.todo, settings, root, sharding.size)
        if shards:
            _in_shards(run, shards, sharding)
    progress.finish()
    return _told(run.report(), settings, root, texts, told)


@task(name="fit", task_run_name="fit {config.head} on {config.dataset}", **_TRIED_AGAIN)
@_in_one_line
def fit_task(config: FitConfig, root: str) -> Any:
    """Train a head on the seen classes of each split; on a GPU only while a slot is free."""
    from pipelines.learn.fit import fit as fit_stage

    with _slot(config.device):
        log = get_run_logger()
        return fit_stage(config, Root(root), lambda done, total: log.info("%d of %d splits", done, total))


@task(name="evaluate", task_run_name="evaluate {run}", **_TRIED_AGAIN)
@_in_one_line
def evaluate_task(run: str, root: str) -> Any:
    """Judge a run on the unseen classes of its splits."""
    from pipelines.judge.evaluate import evaluate as evaluate_stage

    return evaluate_stage(EvaluateConfig(run), Root(root))


@flow(name="fit", flow_run_name="fit {head} on {dataset}")
@_in_one_line
@_takes(Taken(FitConfig))
def fit(root: Root, config: FitConfig) -> Any:
    """Train a head on the seen classes of each split of a protocol, then judge it on the unseen ones.

    Gives the run, and each measure's mean and deviation over the splits.
    """
    fitted = fit_task(config, root.url, return_state=True).result()
    judged = evaluate_task(fitted.run, root.url, return_state=True).result()
    measured = {**judged.zsl, **judged.gzsl}
    rows = [{"measure": name, "mean": pair[0], "std": pair[1]} for name, pair in measured.items()]
    told = f"{fitted.run}: {judged.splits} splits, {judged.n} videos judged, {judged.missing} missing"
    create_table_artifact(rows, key=_key("fit", config.dataset), description=told)
    get_run_logger().info("%s: top-1 %.4f ± %.4f", told, *judged.zsl["top1"])
    return {"run": fitted.run, **{row["measure"]: [row["mean"], row["std"]] for row in rows}}


@task(name="finetune", task_run_name="finetune {config.model} on {config.dataset}", **_TRIED_AGAIN)
@_in_one_line
def finetune_task(config: FinetuneConfig, root: str) -> Any:
    """Train a network on the seen classes of each split; on a GPU only while a slot is free."""
    from pipelines.learn.finetune import finetune as finetune_stage

    with _slot(config.device):
        log = get_run_logger()
        return finetune_stage(config, Root(root), lambda *told: log.info("%d of %d epochs: %s", *told))


def _kind_learned_from(given: Mapping[str, Any]) -> str:
    """What `zsar index --kind` calls the items that a network is trained on."""
    from pipelines.learn import trainables

    return kinds.KINDS[trainables.find(given["model"]).reads].asked


_LEARNED_FROM = Taken(IndexConfig, one={"paths": "path"}, calls={"layout": "joints"}, told={"kind": _kind_learned_from})


@flow(name="finetune", flow_run_name="finetune {model} on {dataset}")
@_in_one_line
@_takes(_LEARNED_FROM, Taken(FinetuneConfig))
def finetune(root: Root, indexed: IndexConfig, config: FinetuneConfig) -> Any:
    """Index a data set, then train a network on the seen classes of each split of a protocol.

    `joints` is the layout of the data set, of poses that of their joints, as `zsar index --layout` takes it; `layout`
    is the network's. `kind` is what is indexed, as `zsar index --kind` takes it; nothing: what the network learns from,
    which of films may be `images` too. Gives the run, the weights by number of split, and top-1 where there is
    something to test on.
    """
    return _finetuned(root, indexed, config)[1]


@task(name="features of a split", task_run_name="features of split {number}", **_TRIED_AGAIN)
@_in_one_line
def features_task(config: JudgeConfig, number: int, root: str) -> Any:
    """Features with the weights of one split, those that lack; on a GPU only while a slot is free. Gives their name."""
    from pipelines.judge import network

    run, trained = network.trained_by(config, Root(root))
    with _slot(config.device):
        return network.features(config, run, trained, number)


@task(name="judge a split", task_run_name="judge split {number}", **_TRIED_AGAIN)
@_in_one_line
def judge_task(config: JudgeConfig, number: int, feature: str, root: str) -> Any:
    """A head on one split's features, fitted and judged on its unseen classes."""
    from pipelines.judge import network

    run, trained = network.trained_by(config, Root(root))
    return network.judged(config, run, trained, number, feature)


@flow(name="finetune-and-judge", flow_run_name="finetune and judge {model} on {dataset}")
@_in_one_line
@_takes(
    _LEARNED_FROM,
    Taken(FinetuneConfig),
    Taken(
        JudgeConfig,
        calls={"options": "head_options", "encoder": "head_encoder"},
        fixed=dict.fromkeys(("run", "dataset", "protocol", "set", "splits"), ""),
    ),
)
def finetune_and_judge(root: Root, indexed: IndexConfig, config: FinetuneConfig, judging: JudgeConfig) -> Any:
    """Index a data set, train a network on each split's seen classes, extract with its weights, judge on the unseen.

    Each step is found again where it is done, so a run that was killed goes on. Gives the run, and each measure's mean
    and deviation over the splits.
    """
    from pipelines.judge import network

    done, told = _finetuned(root, indexed, config)
    judging = dataclasses.replace(judging, run=done.run)
    reports = []
    for number in done.weights:
        feature = features_task(judging, number, root.url, return_state=True).result()
        reports.append(judge_task(judging, number, feature, root.url, return_state=True).result())
    measured = {**network.over([report.zsl for report in reports]), **network.over([report.gzsl for report in reports])}
    rows = [{"measure": name, "mean": pair[0], "std": pair[1]} for name, pair in measured.items()]
    said = f"{done.run}: {len(reports)} splits, {sum(report.n for report in reports)} videos judged"
    create_table_artifact(rows, key=_key("judged", config.dataset), description=said)
    get_run_logger().info("%s: top-1 %.4f ± %.4f", said, *measured["top1"])
    return told | {row["measure"]: [row["mean"], row["std"]] for row in rows}


def _finetuned(root: Root, indexed: IndexConfig, config: FinetuneConfig) -> tuple[Any, dict[str, Any]]:
    """Index and train; what the stage reports, and what the flow says of it."""
    from pipelines.look.run.page import run_page

    index(indexed, root.url, return_state=True).result()
    done = finetune_task(config, root.url, return_state=True).result()
    rows = [{"split": number, "weights": where} for number, where in done.weights.items()]
    told = f"{done.run}: {done.sequences} items, {done.failed} cannot be used"
    create_table_artifact(rows, key=_key("finetune", config.dataset), description=told)
    page = run_page(done.run, root)
    create_link_artifact(page, link_text=page, key=_key("learned", config.dataset), description="How it was learned")
    get_run_logger().info("%s; weights: %s; page: %s", told, ", ".join(done.weights.values()), page)
    weights_of = {str(number): where for number, where in done.weights.items()}
    return done, {"run": done.run, "weights": weights_of} | ({} if done.top1 is None else {"top1": done.top1})


@flow(name="chain", flow_run_name=lambda: deployment.name or "chain")
@_in_one_line
def chain(steps: list[str], given: dict[str, dict[str, Any]] | None = None, root: str | None = None) -> Any:
    """Run deployments one after another, each on its own pool, with what is set for it in the UI; gives their runs.

    What a step finds done it does not do again, so a chain that was ended goes on by being run again.

    Args:
        steps: Deployments in their order, each `FLOW/DEPLOYMENT`; the chain ends where one does not complete.
        given: Parameters in place of a step's own, by step: `{"fit/fit-er": {"splits": "0"}}`.
        root: The cache of all steps; nothing: as each of them says, else `$ZSAR_ROOT`.
    """
    given = given or {}
    if strange := sorted(set(given) - set(steps)):
        raise UsageError(f"{', '.join(strange)} is none of the steps, which are {', '.join(steps)}.")
    done: list[dict[str, str]] = []
    for step in steps:
        parameters = ({"root": root} if root else {}) | given.get(step, {})
        try:
            ran = run_deployment(step, parameters=parameters, poll_interval=_TELL_S)
        except ObjectNotFound as error:
            raise UsageError(f"No deployment is called {step!r}: `prefect deploy --all` makes them.") from error
        assert isinstance(ran, FlowRun)  # Prefect types its synchronous functions as if they might be awaited
        state = ran.state
        if state is None or not state.is_completed():
            name, why = (state.name, state.message) if state else ("Unknown", "")
            raise FailedRun(f"{step} ended as {name}{f': {why}' if why else '.'}")
        done.append({"step": step, "run": str(ran.id), "name": ran.name})
        told = f"{len(done)} of {len(steps)} steps"
        create_table_artifact(done, key=_key("chain", deployment.name or ""), description=told)
        get_run_logger().info("%s is done, %s", step, told)
    return done


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
        options = _kept_to_this_machine(sharding.cluster, dict(sharding.cluster_options))
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


def _kept_to_this_machine(cluster: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a cluster, its dashboard for this machine alone unless they say where it is looked at.

    Dask's own default listens to every network the machine is in, and asks nobody who they are.
    """
    try:
        kind = from_qualified_name(cluster or "distributed.LocalCluster")
        taken = {name for each in kind.__mro__ for name in inspect.signature(each).parameters}
    except (ImportError, AttributeError, ValueError, TypeError):  # told where the cluster is made
        return options
    if "dashboard_address" in taken:
        return {"dashboard_address": _DASHBOARD} | options
    if "scheduler_options" in taken:  # of a batch system
        return options | {"scheduler_options": {"dashboard_address": _DASHBOARD} | options.get("scheduler_options", {})}
    return options


class _Progress(Silent):
    """How a run goes, as artifacts in the UI: a bar that moves, at most every two seconds."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._bar: UUID | None = None
        self._total = 0
        self._next = 0.0

    def started(self, pairs: int) -> None:
        self._total = pairs
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
    report: ExtractReport, settings: ExtractConfig, root: Root, texts: TextsReport | None, told: str
) -> dict[str, dict[str, int]]:
    """The run's outcome as artifacts and as the flow's result."""
    results = {f.name: {count: getattr(f, count) for count in _COUNTS} for f in report.features}
    rows = [{"feature": name, **result} for name, result in results.items()]
    create_table_artifact(rows, key=_key("results", told), description=f"{report.decoded} items opened")
    if lost := [row for row in failures(root) if row["dataset"] == settings.items]:
        create_table_artifact(lost, key=_key("failures", told), description="What gave no features, and why")
    page = reports.write(report, settings, root, texts)
    create_link_artifact(page, link_text=page, key=_key("report", told), description="The report, as a page")
    get_run_logger().info("%s: %s; report: %s", told, results, page)
    return results


def _key(what: str, dataset: str) -> str:
    """An artifact's key: lower-case letters, digits and dashes."""
    verb = "" if what in ("fit", "finetune", "learned", "judged", "chain") else "extract "
    return re.sub(r"[^a-z0-9]+", "-", f"{verb}{what} {dataset}".lower()).strip("-")


def _uuid(artifact: Any) -> UUID:
    """Prefect types its synchronous functions as if they might be awaited."""
    return artifact if isinstance(artifact, UUID) else UUID(str(artifact))
