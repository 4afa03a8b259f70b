"""`minsy explain JOB`: why a job runs or does not run at an instant, and what would have to change."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from apps.cli.explain_live import Live, no_readings, read_live
from apps.cli.explain_output import Case, explanation_as_json, print_explanation
from apps.cli.job_names import JobArgument, find_job
from apps.cli.moments import moment_of
from apps.cli.output import AsJson, print_json
from apps.cli.preview_jobs import calendars_in_use, calendars_of, job_of
from apps.cli.preview_period import zone_of
from apps.cli.preview_settings import WhatIf, settings_of, variables_of
from apps.cli.supervisor.record import is_up
from packages.scheduling.explain import explain as explanation_of
from packages.scheduling.instants import to_instant


def explain(  # noqa: PLR0913  # one parameter for each option
    job: JobArgument,
    *,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339 or a date. Default: now.")] = None,
    zone: Annotated[str | None, typer.Option(help="Also show times there, such as Europe/Berlin.")] = None,
    fires: Annotated[int, typer.Option(help="How many of the next decisions.", min=1, max=1000)] = 5,
    env: Annotated[str | None, typer.Option(help="Another environment: its name, or a directory of env files.")] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="What if: one more env file.", exists=True, dir_okay=False)
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="What if: a variable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show why a job runs or does not at an instant: what each gate says, what would change it, and what comes next.

    Pauses, runs and the last decisions come from the broker where one can be reached; without one, and with --env,
    --env-file or --set, they are absent.
    """
    definition = find_job(job)
    where = zone_of(zone) if zone is not None else None
    now = datetime.now(UTC)
    instant = to_instant(now) if at is None else moment_of(at, where or zone_of("UTC"))
    what_if = WhatIf(env, env_file, variables_of(variable or ()))
    known = settings_of(what_if)
    selected = job_of(definition, known)
    markets = calendars_of(selected, now=now)
    live: Live
    if what_if == WhatIf(variables={}):
        live = read_live(definition.name, to_instant(now), markets, in_use=partial(calendars_in_use, selected, now=now))
    else:
        live = no_readings(to_instant(now), markets, "the settings are not those of this process")
    explanation = explanation_of(
        selected.jobs[0], live.snapshot, instant, fires=fires, state=live.state if at is None else None
    )
    case = Case(
        definition,
        known.settings,
        known.environment,
        where,
        live,
        explanation,
        is_up=is_up(known.settings.minsy_var_dir),
    )
    if as_json:
        print_json(explanation_as_json(case))
    else:
        print_explanation(case)
