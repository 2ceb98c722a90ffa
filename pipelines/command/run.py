"""`zsar run`: a deployment, by its own name."""

import dataclasses
from typing import Annotated

import typer

from pipelines.command.base import JsonOption, app, in_one_line
from pipelines.command.screen import Shown, say, show


@app.command("run")
def run(
    deployment: Annotated[str, typer.Argument(help="A deployment's own name, such as extract-kinetics.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE in place of the deployment's; JSON or text.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and do not wait.")] = False,
    root: Annotated[
        str | None, typer.Option("--root", help="The cache; default: what the deployment or its worker says.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a deployment of the Prefect server, and follow it to its end. Exit status 1 unless it completes.

    `make prefect` starts a server with deployments; `$PREFECT_API_URL` names the server.

    JSON: deployment, run, state, message, url, results (what the run counted or measured: rows by the key of their
    table in the UI, such as feature, planned, extracted, skipped, failed, quarantined).
    """
    shown = in_one_line(lambda: _followed(deployment, param or [], detach, root), as_json)
    show(shown, as_json)
    if shown.status:
        raise typer.Exit(shown.status)


def _followed(deployment: str, param: list[str], detach: bool, root: str | None) -> Shown:
    from pipelines.command import deployments

    parameters = dict(deployments.parameter(text) for text in param) | ({"root": root} if root else {})
    report = deployments.run(deployment, parameters, wait=not detach, told=say)
    message = f" ({report.message})" if report.message else ""
    line = f"{report.deployment}: {report.state}{message}, {report.url}"
    return Shown(dataclasses.asdict(report), [line], status=int(not detach and report.state != "Completed"))
