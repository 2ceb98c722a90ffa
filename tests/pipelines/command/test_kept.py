"""What was set on a Prefect server against what the file says, of the fields that both can set."""

from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("prefect")

from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from pipelines.command.kept import merged

NIGHTLY = CronSchedule(cron="0 2 * * *", timezone="UTC")
EARLY = CronSchedule(cron="0 5 * * *", timezone="UTC")


def file_says(cron: CronSchedule = NIGHTLY, paused: bool = False, **parameters: Any) -> DeploymentUpdate:
    schedules = [DeploymentScheduleUpdate(schedule=cron, active=False)]
    return DeploymentUpdate(parameters=parameters, paused=paused, schedules=schedules, parameter_openapi_schema={})


def server_has(
    last: DeploymentUpdate | None,
    cron: CronSchedule = NIGHTLY,
    paused: bool = False,
    active: bool = False,
    **given: Any,
) -> DeploymentResponse:
    """A deployment as it is on the server, `last` being what the file said when it was deployed."""
    there = DeploymentResponse(
        id=uuid4(),
        name="extract-folder",
        flow_id=uuid4(),
        parameters=given,
        paused=paused,
        schedules=[DeploymentSchedule(schedule=cron, active=active)],
    )
    if last is not None:
        sent = merged(last, there).model_dump(exclude_unset=True)
        there.parameter_openapi_schema = sent["parameter_openapi_schema"]
    return there


@pytest.mark.parametrize(
    ("last", "has", "says", "stays"),
    [
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}),  # the file's change arrives
        ({"a": 1}, {"a": 5}, {"a": 2}, {"a": 5}),  # what was set stays, whatever the file says
        ({"a": 1}, {}, {"a": 1}, {}),  # and what was taken away stays away
        ({}, {"b": 5}, {}, {"b": 5}),
        ({"a": 1}, {"a": 1}, {}, {}),  # the file no longer has it
        ({}, {}, {"a": 1}, {"a": 1}),
        (None, {"a": 5}, {"a": 1, "b": 2}, {"a": 5, "b": 2}),  # deployed before this was noted
    ],
)
def test_a_parameter_is_the_servers_where_somebody_set_it_else_the_files(
    last: dict[str, int] | None, has: dict[str, int], says: dict[str, int], stays: dict[str, int]
) -> None:
    there = server_has(None if last is None else file_says(**last), **has)
    assert merged(file_says(**says), there).parameters == stays


def test_schedules_and_pauses_are_written_only_where_the_file_changed_and_nobody_set_them() -> None:
    first = file_says()
    assert "schedules" not in merged(first, server_has(first)).model_fields_set
    assert merged(file_says(EARLY, paused=True), server_has(first)).model_fields_set >= {"schedules", "paused"}
    for set_since in (server_has(first, active=True), server_has(first, EARLY)):
        assert "schedules" not in merged(file_says(), set_since).model_fields_set
    assert "paused" not in merged(file_says(), server_has(first, paused=True)).model_fields_set
