"""`minsy trigger JOB`: one run now, published by the running beat as any other fire."""

from typing import Annotated

import typer

from apps.cli.control import present, use_control, warn_if_off
from apps.cli.job_names import JobArgument, find_job
from apps.cli.output import AsJson, print_json
from packages.infra.control.request_ids import new_request_id
from packages.scheduling.requests import TriggerRequest


def trigger(
    job: JobArgument,
    *,
    force: Annotated[bool, typer.Option("--force", help="Also while an earlier run is not over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have beat publish one run of a job now, whatever its schedule, pauses and windows say.

    A request is kept until a beat takes it over. `minsy run` runs a job in this process instead.
    """
    definition = find_job(job)
    warn_if_off(definition)
    now = present()
    asked = TriggerRequest(id=new_request_id(now), job=definition.name, requested_at=now, forced=force)
    with use_control() as store:
        store.read(now)
        store.request(asked)
    if as_json:
        print_json({"request": asked.id, "job": asked.job, "forced": asked.forced})
    else:
        typer.echo(f"asked for a run of {asked.job} (request {asked.id}); beat publishes it when it wakes")
