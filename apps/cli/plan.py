"""`minsy plan`: phases and times of day that lower the peak of each queue, as a change to the settings.

Nothing is changed by it. It works from the settings alone, and starts no server; what a service has measured makes the
weights better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from apps.cli.errors import CommandError
from apps.cli.moments import duration, moment_of
from apps.cli.output import AsJson
from apps.cli.plan_live import Readings, read_readings
from apps.cli.plan_output import Planned, Side, plan_as_json, print_plan
from apps.cli.plan_work import Work, given_seconds, work_of
from apps.cli.preview_jobs import Selected, calendars_in_use, chosen, flags_off, jobs_of, previewed
from apps.cli.preview_period import Period, period_of
from apps.cli.preview_settings import (
    OneMoreFile,
    OtherEnvironment,
    OtherVariables,
    WhatIf,
    settings_of,
    variables_of,
)
from packages.catalogue.assignments import assignments_of, can_be_moved
from packages.catalogue.jobs import JOBS
from packages.scheduling.flatten.flatten import Flattened, Freedom, flatten, loads_of
from packages.scheduling.flatten.load import Slots
from packages.scheduling.flatten.variants import OffPeak, OffPeakTimes
from packages.scheduling.instants import to_instant, to_ms
from packages.scheduling.policies import PolicyError, Windows
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.windows import parse_windows
from packages.shared_settings.beat import BeatSettings

_A_WEEK_HOURS: Final = 168.0
_SHORTEST_SLOT: Final = timedelta(seconds=10)
_LONGEST_SLOT: Final = timedelta(hours=1)
# A month of minutes; each place of each job is looked at in all of them.
_MOST_SLOTS: Final = 50_000
_NEVER_CLOSES: Final = "24/7"
_MOVES = "What may be moved, and where to"


@dataclass(frozen=True)
class _Allowed:
    """What may be moved, as names and globs, and where to."""

    queues: Sequence[str]
    keep: Sequence[str]
    windowed: Sequence[str]
    off_peak: OffPeak
    gain_percent: float


def plan(  # noqa: PLR0913  # one parameter for each option
    *,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339 or a date, in UTC. Default: now.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Likewise; exclusive.")] = None,
    hours: Annotated[float | None, typer.Option(help="How long, instead of --to. Default: a week.", min=0)] = None,
    slot: Annotated[str, typer.Option(help="The load is counted in stretches of this length.")] = "1m",
    seconds: Annotated[
        list[str] | None, typer.Option(metavar="JOB=N", help="What a run takes, instead of what was measured.")
    ] = None,
    gain: Annotated[
        float, typer.Option(help="Move nothing for less than so many percent of a peak.", min=0, max=100)
    ] = 5.0,
    queue: Annotated[list[str] | None, typer.Option(help="Only jobs of this queue.", rich_help_panel=_MOVES)] = None,
    keep: Annotated[list[str] | None, typer.Option(metavar="JOB", help="Not this job.", rich_help_panel=_MOVES)] = None,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOWS",
            help="When daily jobs may run, as a policy has it. Default: outside the sessions of TRADING_HOURS_MARKETS.",
            rich_help_panel=_MOVES,
        ),
    ] = None,
    away: Annotated[
        str, typer.Option(help="How far from the edges of --within a daily job stays.", rich_help_panel=_MOVES)
    ] = "1h",
    off_peak: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JOB",
            help="An interval job that may be confined to a window of the day, and run less often.",
            rich_help_panel=_MOVES,
        ),
    ] = None,
    off_peak_hours: Annotated[
        int, typer.Option(help="The length of that window.", min=1, max=23, rich_help_panel=_MOVES)
    ] = 8,
    env: OtherEnvironment = None,
    env_file: OneMoreFile = None,
    variable: OtherVariables = None,
    as_json: AsJson = False,
) -> None:
    """Propose phases and times of day that lower the peak of each queue, as lines for an env file. Changes nothing.

    The load is that of a preview, each run as long as it was given by --seconds, or measured, or a second.
    """
    now = datetime.now(UTC)
    what_if = WhatIf(env, env_file, variables_of(variable or ()))
    selected = jobs_of(settings_of(what_if))
    if not selected.jobs:
        raise CommandError(_off(selected))
    slots = _slots(slot, since=since, until=until, hours=hours, now=now)
    allowed = _Allowed(
        queue or (),
        keep or (),
        off_peak or (),
        OffPeak(_within(within, selected.known.settings), to_ms(_away(away)), off_peak_hours),
        gain,
    )
    given = given_seconds(seconds or (), selected)
    readings = _readings(selected, what_if, now=now)
    work = work_of(selected, given=given, measured=readings.measured, published=readings.published)
    planned = _planned(selected, what_if, slots, allowed, work, readings, now=now)
    if as_json:
        plan_as_json(planned)
    else:
        print_plan(planned)


def _planned(  # noqa: PLR0913, PLR0917  # what a plan is made of
    selected: Selected,
    what_if: WhatIf,
    slots: Slots,
    allowed: _Allowed,
    work: Mapping[str, Work],
    readings: Readings,
    *,
    now: datetime,
) -> Planned:
    period = Period(slots.start, slots.end)
    work_ms = {name: each.weighed_ms for name, each in work.items()}
    found, calendars = previewed(selected, period, now=now)
    wanted = allowed.off_peak.windows.outside_sessions_of if allowed.off_peak.windows else ()
    markets = {**calendars, **calendars_in_use(selected, set(wanted) - set(calendars), now=now)}
    if missing := [market for market in wanted if market not in markets]:
        raise typer.BadParameter(f"--within: there is no calendar of the market {missing[0]}")
    freedom = Freedom(
        movable=_movable(selected, allowed),
        windowed=_named(selected, allowed.windowed),
        times=OffPeakTimes(allowed.off_peak, markets, slots.start),
        least_gain_percent=allowed.gain_percent,
    )
    snapshot = Snapshot(taken_at=slots.start, markets=markets)
    flattened = flatten(selected.jobs, snapshot, slots, work_ms=work_ms, freedom=freedom)
    lines = _lines(selected, flattened)
    # Not what was promised but what the settings give: they are read again with the lines, and previewed anew.
    changed = jobs_of(settings_of(replace(what_if, variables={**(what_if.variables or {}), **lines})))
    after, _ = previewed(changed, period, now=now)
    return Planned(
        environment=selected.known.environment,
        slots=slots,
        work=work,
        before=Side(found, loads_of(found, slots, work_ms)),
        after=Side(after, loads_of(after, slots, work_ms)),
        flattened=flattened,
        lines=lines,
        readings=readings,
        off_peak=allowed.off_peak,
        gain_percent=allowed.gain_percent,
    )


def _lines(selected: Selected, flattened: Flattened) -> dict[str, str]:
    definitions = {definition.name: definition for definition in JOBS}
    lines: dict[str, str] = {}
    for job in flattened.moved:
        lines |= assignments_of(definitions[job.name], selected.known.settings, job)
    return lines


def _readings(selected: Selected, what_if: WhatIf, *, now: datetime) -> Readings:
    if what_if.environment is not None or what_if.env_file is not None:
        return Readings(absent="the settings are not those of this process")
    return read_readings(selected, now=now, with_ledger=not what_if.variables)


def _slots(slot: str, *, since: str | None, until: str | None, hours: float | None, now: datetime) -> Slots:
    length = duration(slot)
    if not _SHORTEST_SLOT <= length <= _LONGEST_SLOT:
        raise typer.BadParameter(f"--slot {slot}: a slot is 10s to 1h long")
    period = period_of(
        now=to_instant(now),
        since=None if since is None else moment_of(since),
        until=None if until is None else moment_of(until),
        hours=_A_WEEK_HOURS if hours is None and until is None else hours,
    )
    length_ms = to_ms(length)
    # Whole slots, so that the minutes of the plan are those of the clock; and as long as was asked for.
    start = period.start // length_ms * length_ms
    length_of_period_ms = period.end - (period.start if until is None else start)
    count = -(-length_of_period_ms // length_ms)
    if count > _MOST_SLOTS:
        raise typer.BadParameter(f"that is more than {_MOST_SLOTS:,} slots: fewer hours, or a longer --slot")
    return Slots(start, length_ms, count)


def _within(text: str | None, settings: BeatSettings) -> Windows | None:
    if text is not None:
        try:
            return parse_windows(text)
        except PolicyError as error:
            raise typer.BadParameter(f"--within: {error}") from None
    # Nobody can stay out of a session that never ends.
    markets = tuple(market for market in settings.trading_hours_markets if market != _NEVER_CLOSES)
    return Windows(outside_sessions_of=markets) if markets else None


def _away(text: str) -> timedelta:
    return timedelta(0) if text.strip() in {"0", "0s", "0m", "0h"} else duration(text)


def _movable(selected: Selected, allowed: _Allowed) -> frozenset[str]:
    definitions = {definition.name: definition for definition in JOBS}
    of_queues = chosen(selected, names=(), queues=allowed.queues).jobs
    movable = {job.name for job in of_queues if can_be_moved(definitions[job.name], job)}
    return frozenset(movable - _named(selected, allowed.keep))


def _named(selected: Selected, names: Sequence[str]) -> frozenset[str]:
    return frozenset(job.name for job in chosen(selected, names=names, queues=()).jobs) if names else frozenset()


def _off(selected: Selected) -> str:
    flags = flags_off(selected.known.settings, names=(), queues=())
    return f"no job is on in {selected.known.environment}. The flags that are off: {', '.join(flags)}"
