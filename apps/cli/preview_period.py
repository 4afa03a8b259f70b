"""Which stretch of time a preview covers, as a person gives it: instants, dates, hours; and the zone they are in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import typer

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, to_instant, to_ms
from packages.scheduling.zones import UnknownZoneError, check_zone

DEFAULT_HOURS = 24.0
LONGEST = timedelta(days=366)


@dataclass(frozen=True)
class Period:
    """[start, end), in instants."""

    start: int
    end: int


def zone_of(text: str) -> ZoneInfo:
    """The zone of a name such as `Europe/Berlin`.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    try:
        check_zone(text)
    except UnknownZoneError as error:
        raise typer.BadParameter(str(error)) from None
    return ZoneInfo(text)


def moment_of(text: str, zone: ZoneInfo) -> int:
    """The instant of an RFC 3339 text or a date; one that names no zone is in `zone`, a date is its midnight.

    Of a time that the zone has twice, the first one; one that it skips is moved behind the gap.

    Raises:
        typer.BadParameter: it is neither, or is not between 1970 and 2200.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no instant; write it like 2026-11-22T09:30:00Z, 2026-11-22T09:30 or 2026-11-22"
        ) from None
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=zone)
    if not FIRST_INSTANT <= (instant := to_instant(moment)) <= LAST_INSTANT:
        raise typer.BadParameter(f"{text!r} is not between 1970 and 2200")
    return instant


def period_of(*, now: int, since: int | None, until: int | None, hours: float | None) -> Period:
    """From `since`, or now, for so many hours, or to `until`.

    Raises:
        typer.BadParameter: hours and an end are both given; nothing lies between the ends, or more than a year.
    """
    if until is not None and hours is not None:
        raise typer.BadParameter("--hours and --to both say where the preview ends; give one of them")
    start = now if since is None else since
    try:
        length_ms = to_ms(timedelta(hours=DEFAULT_HOURS if hours is None else hours))
    except (OverflowError, ValueError):
        raise typer.BadParameter(f"--hours {hours}: that is no length of time") from None
    end = start + length_ms if until is None else until
    if end <= start:
        raise typer.BadParameter("the end of the preview is not after its start")
    if end - start > to_ms(LONGEST):
        raise typer.BadParameter(f"a preview covers at most {LONGEST.days} days")
    return Period(start, min(end, LAST_INSTANT))
