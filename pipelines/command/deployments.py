"""Runs of Prefect deployments, found by their own name.

Run    `zsar run extract-kinetics --param path=/data/k400`
Takes  a Prefect server (`make prefect` starts one; `$PREFECT_API_URL` names another)
Gives  a flow run: started, its log lines as they come, and how it ended

The only stage that knows Prefect: it asks the server and computes nothing.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.errors import UsageError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_LOOK_S = 2.0
_PATIENCE_S = 10.0  # a worker that is there takes a run sooner
_LOGS_AT_ONCE = 200
_ITS_END = ("Finished in state Failed", "Finished in state Completed()", "Finished in state Broken")


@dataclasses.dataclass(frozen=True)
class RunReport:
    """A flow run as last seen.

    Attributes
    ----------
    deployment : as Prefect names it, FLOW/DEPLOYMENT
    run : the run's id
    state : Prefect's name of its state, such as Scheduled, Running, Completed, Failed
    message : what the state says, such as the one line of a user's mistake
    url : of the run's page
    results : what the run counted or measured, as it drew it: rows by the key of their table
    """

    deployment: str
    run: str
    state: str
    message: str
    url: str
    results: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)


def parameter(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` of a run; the value is JSON, or itself where it is none (`path=/data`)."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"A parameter is NAME=VALUE, got {text!r}.")
    with contextlib.suppress(json.JSONDecodeError):
        return name, json.loads(value)
    return name, value


def run(
    name: str, parameters: Mapping[str, Any], wait: bool = True, told: Callable[[str], None] = lambda line: None
) -> RunReport:
    """Run a deployment.

    Parameters
    ----------
    name : a deployment's own name, or FLOW/DEPLOYMENT
    parameters : in place of the deployment's own
    wait : until the run has ended
    told : called with each line of the run's log while waiting

    Raises
    ------
    UsageError
        No server, no such deployment, or parameters the flow does not take; or Ctrl-C, after which the run goes on.
    """
    with _client() as client:
        deployment = _find(client, name)
        flow = client.read_flow(deployment.flow_id).name
        unknown = sorted(set(parameters) - set(deployment.parameter_openapi_schema.get("properties", {})))
        if unknown:
            known = ", ".join(sorted(deployment.parameter_openapi_schema.get("properties", {})))
            raise UsageError(f"{name} has no parameter {', '.join(unknown)}; it has: {known}.")
        flow_run = client.create_flow_run_from_deployment(deployment.id, parameters=dict(parameters))
        url = f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{flow_run.id}"
        told(f"Started {flow}/{deployment.name}: {url}")
        seen: set[Any] = set()
        began, is_told = time.monotonic(), False
        try:
            while wait and not (flow_run.state and flow_run.state.is_final()):
                time.sleep(_LOOK_S)
                flow_run = client.read_flow_run(flow_run.id)
                _tell_logs(client, flow_run.id, seen, told)
                if not is_told and time.monotonic() - began > _PATIENCE_S:
                    is_told = _tell_why_it_waits(client, deployment, flow_run, told)
        except KeyboardInterrupt:
            raise UsageError(
                f"No longer followed: {name} goes on, see {url}. `prefect flow-run cancel {flow_run.id}` ends it."
            ) from None
        if not wait:
            _tell_why_it_waits(client, deployment, flow_run, told)
        state = flow_run.state
        return RunReport(
            f"{flow}/{deployment.name}",
            str(flow_run.id),
            state.name if state and state.name else "Unknown",
            (state.message if state else None) or "",
            url,
            _results(client, flow_run.id),
        )


def _tell_why_it_waits(
    client: "SyncPrefectClient", deployment: Any, flow_run: Any, told: Callable[[str], None]
) -> bool:
    """Say why a run that has not begun does not; whether that, or that it has begun, is settled."""
    if flow_run.state and not flow_run.state.is_scheduled():
        return True
    pool = deployment.work_pool_name
    if pool is None:
        return True
    start = f"`prefect worker start --pool {pool}`, or `make prefect`"
    if client.read_work_pool(pool).is_paused:
        told(f"It waits: the work pool {pool!r} is paused. `prefect work-pool resume {pool}` ends that.")
    elif not any(worker.status == "ONLINE" for worker in client.read_workers_for_work_pool(pool)):
        told(f"It waits: no worker takes runs of the work pool {pool!r}. Start one: {start}.")
    else:
        return False
    return True


def _results(client: "SyncPrefectClient", run: Any) -> dict[str, list[dict[str, Any]]]:
    """The tables of a run but that of failures, the newest of each key."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType
    from prefect.client.schemas.sorting import ArtifactSort

    tables = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]), type=ArtifactFilterType(any_=["table"]))
    found = client.read_artifacts(artifact_filter=tables, sort=ArtifactSort.CREATED_DESC)
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in found:
        if table.key and "-failures-" not in table.key and table.key not in rows:
            data: Any = table.data
            rows[table.key] = json.loads(data) if isinstance(data, str) else data
    return rows


@contextlib.contextmanager
def _client() -> Iterator["SyncPrefectClient"]:
    try:
        import httpx
        from prefect.client.orchestration import get_client
        from prefect.exceptions import PrefectHTTPStatusError
        from prefect.settings import get_current_settings
    except ImportError as error:
        raise UsageError("Prefect is not installed here. Run `pip install -e '.[flows]'`.") from error
    url = get_current_settings().api.url
    if not url:
        raise UsageError(
            "No Prefect server is named. Start one with `make prefect` and do as it says, or set PREFECT_API_URL."
        )
    try:
        with get_client(sync_client=True) as client:
            yield client
    except PrefectHTTPStatusError as error:
        raise UsageError(f"The Prefect server at {url} refused: {_detail(error.response.text)}") from error
    except httpx.TransportError as error:
        raise UsageError(f"No Prefect server answers at {url} ({error}). Start one with `make prefect`.") from error


def _detail(text: str) -> str:
    """What a server says of a refusal, which is JSON with one text, or is not."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(text)["detail"]).removeprefix("Error creating flow run: ")
    return text[:300]


def _find(client: "SyncPrefectClient", name: str) -> Any:
    """The deployment of this name; the message lists those there are."""
    there = client.read_deployments()
    flows = {deployment.flow_id: client.read_flow(deployment.flow_id).name for deployment in there}
    full = {f"{flows[deployment.flow_id]}/{deployment.name}": deployment for deployment in there}
    found = [d for n, d in full.items() if name in (n, d.name)]
    if len(found) != 1:
        known = ", ".join(sorted(full)) or "none yet: `make prefect` deploys them"
        what = "No deployment is" if not found else f"{len(found)} deployments are"
        raise UsageError(f"{what} called {name!r}. There are: {known}.")
    return found[0]


def _tell_logs(client: "SyncPrefectClient", run: Any, seen: set[Any], told: Callable[[str], None]) -> None:
    """Tell the log lines that were not seen yet; late ones, which the server gets out of order, too."""
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort

    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    offset = max(0, len(seen) - _LOGS_AT_ONCE // 2)
    while logs := client.read_logs(wanted, limit=_LOGS_AT_ONCE, offset=offset, sort=LogSort.TIMESTAMP_ASC):
        for log in logs:
            if log.id not in seen:
                seen.add(log.id)
                if log.message.startswith(_ITS_END):  # which the last line says
                    continue
                told(f"{log.timestamp:%H:%M:%S} {log.message}")
        if len(logs) < _LOGS_AT_ONCE:
            break
        offset += len(logs)
