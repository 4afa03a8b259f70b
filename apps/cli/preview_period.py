"""Which stretch of time a preview covers, as a person gives it: instants, dates, hours; and the zone they are in."""

from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import typer

from packages.scheduling.instants import LAST_INSTANT, to_ms
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
