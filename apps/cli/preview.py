"""`minsy preview`: what beat will publish in a period, by the code that decides it live. Needs no server."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from apps.cli.errors import CommandError
from apps.cli.moments import moment_of
from apps.cli.output import AsJson
from apps.cli.preview_calendar import TooManyEventsError, calendar_of
from apps.cli.preview_changes import print_changes, write_changes_json
from apps.cli.preview_export import Setting, write_csv, write_json
from apps.cli.preview_jobs import Selected, chosen, flags_off, jobs_of, previewed
from apps.cli.preview_period import Period, period_of, zone_of
from apps.cli.preview_settings import (
    SETTINGS_PANEL,
    OneMoreFile,
    OtherEnvironment,
    OtherVariables,
    WhatIf,
    settings_of,
    variables_of,
)
from apps.cli.preview_table import DEFAULT_ROWS, Shown, print_preview
from packages.scheduling.instants import to_instant

_OUTPUT = "Output"


class Format(StrEnum):
    """What a preview is written as."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ICS = "ics"


@dataclass(frozen=True)
class _Asked:
    """What is asked of the jobs of an environment."""

    period: Period
    names: Sequence[str]
    queues: Sequence[str]
    now: datetime


def preview(  # noqa: PLR0913  # one parameter for each option
    *,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339 or a date. Default: now.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Likewise; exclusive.")] = None,
    hours: Annotated[float | None, typer.Option(help="How long, instead of --to. Default: 24.", min=0)] = None,
    job: Annotated[
        list[str] | None, typer.Option(help="Only this job: a name, the part behind the dot, a glob.")
    ] = None,
    queue: Annotated[list[str] | None, typer.Option(help="Only jobs of this queue.")] = None,
    zone: Annotated[str | None, typer.Option(help="Also show times there, such as Europe/Berlin.")] = None,
    env: OtherEnvironment = None,
    env_file: OneMoreFile = None,
    variable: OtherVariables = None,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="In what two environments differ.", rich_help_panel=SETTINGS_PANEL),
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="With --diff: fire by fire.", rich_help_panel=SETTINGS_PANEL)
    ] = False,
    output_format: Annotated[
        Format, typer.Option("--format", help="What to write.", rich_help_panel=_OUTPUT)
    ] = Format.TABLE,
    limit: Annotated[
        int, typer.Option(help="Rows of the table; 0 for all.", min=0, rich_help_panel=_OUTPUT)
    ] = DEFAULT_ROWS,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file instead.", dir_okay=False, rich_help_panel=_OUTPUT)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the fires of a period, from now on: times, jobs, decisions with their reasons, and what they come to.

    Readings of a running service are absent: no backlog, no pause, no run that is not over. Times without a zone are
    those of --zone, else UTC. `--diff A B` compares two environments instead; --set
    and --env-file then change B alone.
    """
    wanted = Format.JSON if as_json else output_format
    where = zone_of(zone) if zone is not None else None
    now = datetime.now(UTC)
    period = period_of(
        now=to_instant(now),
        since=None if since is None else moment_of(since, where or zone_of("UTC")),
        until=None if until is None else moment_of(until, where or zone_of("UTC")),
        hours=hours,
    )
    asked = _Asked(period, job or (), queue or (), now)
    what_if = WhatIf(env, env_file, variables_of(variable or ()))
    if diff is not None:
        _compare(diff, what_if, asked, wanted=wanted, rows=rows, limit=limit, output=output)
        return
    if rows:
        raise typer.BadParameter("--rows goes with --diff")
    selected = chosen(jobs_of(settings_of(what_if)), names=asked.names, queues=asked.queues)
    found, calendars = previewed(selected, asked.period, now=asked.now)
    with _written_to(output, wanted) as out:
        match wanted:
            case Format.TABLE:
                print_preview(found, selected.known.environment, Shown(where, limit))
            case Format.JSON:
                known_until = {market: table.known_until for market, table in sorted(calendars.items())}
                write_json(found, Setting(selected.known.environment, where, known_until), out)
            case Format.CSV:
                write_csv(found, where, out)
            case Format.ICS:
                try:
                    out.write(calendar_of(found, now=to_instant(now)))
                except TooManyEventsError as error:
                    raise CommandError(str(error)) from None
    if not selected.jobs:
        _say_what_is_off(selected, asked)


def _compare(  # noqa: PLR0913  # the options of a diff
    diff: tuple[str, str],
    what_if: WhatIf,
    asked: _Asked,
    *,
    wanted: Format,
    rows: bool,
    limit: int,
    output: Path | None,
) -> None:
    if what_if.environment is not None:
        raise typer.BadParameter("--env and --diff both name environments; give one of them")
    if wanted not in {Format.TABLE, Format.JSON}:
        raise typer.BadParameter(f"--diff is shown as table or json, not as {wanted.value}")
    # What if goes for the second one: so an environment can be compared with itself, changed.
    known = (settings_of(WhatIf(diff[0])), settings_of(WhatIf(diff[1], what_if.env_file, what_if.variables)))
    sides = (chosen(jobs_of(side), names=asked.names, queues=asked.queues) for side in known)
    before, after = (previewed(side, asked.period, now=asked.now)[0] for side in sides)
    changed = what_if.env_file is not None or what_if.variables
    names = (diff[0], f"{diff[1]}, changed" if changed else diff[1])
    with _written_to(output, wanted) as out:
        if wanted is Format.JSON:
            write_changes_json(names, before, after, out, rows=rows)
        else:
            print_changes(names, before, after, rows=rows, limit=limit)


@contextmanager
def _written_to(output: Path | None, wanted: Format) -> Iterator[TextIO]:
    """Where it is written; the lines of CSV and iCalendar end as their standards say, whatever the system's do."""
    if output is not None and wanted is Format.TABLE:
        raise typer.BadParameter("--output is for json, csv and ics; redirect the table instead")
    if output is not None:
        with output.open("w", encoding="utf-8", newline="") as out:
            yield out
        return
    yield sys.stdout


def _say_what_is_off(selected: Selected, asked: _Asked) -> None:
    off = flags_off(selected.known.settings, names=asked.names, queues=asked.queues)
    if not off:
        typer.echo("No job matches --job and --queue both.", err=True)
        return
    typer.echo(f"No such job is on in {selected.known.environment}. The flags that are off, and their jobs:", err=True)
    for flag, jobs in off.items():
        typer.echo(f"  {flag}: {', '.join(jobs)}", err=True)
