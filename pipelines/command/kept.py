"""What was set in Prefect's UI outlives a deployment from the file.

Run    `prefect deploy`: the build step of `prefect.yaml` calls `keep_settings` before each deployment is written
Takes  the file's deployment, the server's, and what the file said when it was last deployed
Gives  an update that leaves alone what somebody set since then

`prefect deploy` writes the file's parameters, schedules and pause over the server's. Here each is merged of three: what
the server has stands where it is not what was last deployed, else what the file says now. What was last deployed
stands in the deployment itself, among the definitions of its parameters' schema, which nobody edits.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.client.schemas.responses import DeploymentResponse

_DEPLOYED = "deployed"
_ABSENT = object()
_FIELDS: dict[str, Any] = {  # what stands for nothing given
    "parameters": {},
    "schedules": [],
    "paused": False,
    "tags": [],
    "description": None,
    "job_variables": {},
    "concurrency_limit": None,
}
_OF_A_SCHEDULE = {
    "cron": "",
    "interval": 0,
    "rrule": "",
    "timezone": "UTC",
}  # an interval's anchor is the moment of deploying


def keep_settings() -> dict[str, Any]:
    """Have the deployments of this process keep what was set in the UI: a build step of `prefect deploy`."""
    from prefect.client.orchestration import PrefectClient

    create, update = PrefectClient.create_deployment, PrefectClient.update_deployment
    if hasattr(update, "__wrapped__"):
        return {}

    async def creating(self: PrefectClient, *args: Any, **fields: Any) -> Any:
        schema = _noting(_told(fields), fields.get("parameter_openapi_schema") or {})
        return await create(self, *args, **fields | {"parameter_openapi_schema": schema})

    async def updating(self: PrefectClient, deployment_id: Any, deployment: "DeploymentUpdate") -> None:
        await update(self, deployment_id, merged(deployment, await self.read_deployment(deployment_id)))

    updating.__wrapped__ = update  # type: ignore[attr-defined]
    PrefectClient.create_deployment, PrefectClient.update_deployment = creating, updating  # type: ignore[method-assign, assignment]
    return {}


def merged(file: "DeploymentUpdate", there: "DeploymentResponse") -> "DeploymentUpdate":
    """The update that writes what the file changed, and leaves what was set on the server since then."""
    from prefect.client.schemas.actions import DeploymentUpdate

    fields = file.model_dump(exclude_unset=True)
    said, has = _told(fields), _told(_of_server(there))
    definitions = (there.parameter_openapi_schema or {}).get("definitions") or {}
    last = definitions.get(_DEPLOYED, {}).get("default", {})
    fields["parameters"] = _each(said["parameters"], has["parameters"], last.get("parameters", {}))
    for name in _FIELDS:
        if (
            name in fields
            and name != "parameters"
            and (has[name] == said[name] or has[name] != last.get(name, _ABSENT))
        ):
            del fields[name]
    fields["parameter_openapi_schema"] = _noting(said, fields.get("parameter_openapi_schema") or {})
    return DeploymentUpdate(**fields)


def _each(said: dict[str, Any], has: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """Parameters one by one: the server's where somebody set it, or took it away, since the file was deployed."""
    found = {}
    for name in [*said, *(name for name in has if name not in said)]:
        now, was = has.get(name, _ABSENT), last.get(name, _ABSENT)
        value = said.get(name, _ABSENT) if now is was or now == was else now
        if value is not _ABSENT:
            found[name] = value
    return found


def _of_server(there: "DeploymentResponse") -> dict[str, Any]:
    fields: dict[str, Any] = there.model_dump(exclude={"concurrency_limit"})
    limit = there.global_concurrency_limit
    return fields | {"concurrency_limit": limit.limit if limit else None}


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are merged, as they can be compared."""
    from pydantic_core import to_jsonable_python

    told = {name: to_jsonable_python(fields.get(name)) or empty for name, empty in _FIELDS.items()}
    return told | {"schedules": sorted((_of_schedule(each) for each in told["schedules"]), key=str)}


def _of_schedule(schedule: dict[str, Any]) -> dict[str, Any]:
    when = schedule["schedule"]
    told = {name: when.get(name) or default for name, default in _OF_A_SCHEDULE.items()}
    told["day_or"] = when.get("day_or") is not False
    return told | {"active": schedule.get("active") is not False, "parameters": schedule.get("parameters") or {}}


def _noting(told: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what is deployed now among its definitions."""
    noted = {"description": "What prefect.yaml said when this was last deployed.", "default": told}
    return {**schema, "definitions": {**(schema.get("definitions") or {}), _DEPLOYED: noted}}
