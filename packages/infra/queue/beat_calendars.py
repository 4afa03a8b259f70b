"""The calendars that the policies of the jobs speak of, opened from the settings.

A market without a calendar, and overrides that cannot be used, are refused when beat starts. Later they are told in the
log only, and what each policy says of unknown dates holds: a running beat is not ended by a name.
"""

import logging
from collections.abc import Collection, Iterable
from datetime import datetime

from packages.catalogue.jobs import JOBS, enabled_jobs
from packages.infra.calendars.errors import CalendarError, OverrideError
from packages.infra.calendars.load import MarketCalendars
from packages.scheduling.model import Job
from packages.shared_settings import SettingsError
from packages.shared_settings.beat import BeatSettings

log = logging.getLogger(__name__)


def open_calendars(settings: BeatSettings, jobs: Collection[Job], *, now: datetime) -> MarketCalendars:
    """The calendars of all markets that the policies of `jobs` name. One that was never made takes about a second.

    Raises:
        SettingsError: a market has no calendar, or the file of overrides cannot be used.
    """
    try:
        return _opened(settings, markets_of(jobs), now=now)
    except OverrideError as error:
        raise SettingsError(settings.problem_with("calendar_overrides_file", str(error))) from None
    except CalendarError as error:
        raise SettingsError(settings.problem_with(_field_to_blame(settings, str(error)), str(error))) from None


def markets_of(jobs: Iterable[Job]) -> frozenset[str]:
    """The markets that the policies of these jobs name."""
    markets: set[str] = set()
    for policies in (job.policies for job in jobs):
        markets |= set(policies.trading_hours.markets if policies.trading_hours else ())
        markets |= set(policies.windows.outside_sessions_of if policies.windows else ())
    return frozenset(markets)


class BeatCalendars:
    """What the scheduler calls for its calendars; the setting `beat_calendars` of the app."""

    def __init__(self, settings: BeatSettings) -> None:
        self._settings = settings
        self._calendars: MarketCalendars | None = None

    def open(self, now: datetime) -> None:
        """Open the calendars of the jobs that are on, before anything else starts.

        Raises:
            SettingsError: see `open_calendars`.
        """
        self._calendars = open_calendars(self._settings, enabled_jobs(self._settings), now=now)

    def __call__(self, markets: Collection[str], now: datetime) -> MarketCalendars:
        """The calendars of this process, which see to these markets, too. Raises nothing because of a market."""
        if self._calendars is None:
            self._calendars = self._opened_without_markets(now)
        self._calendars.want(markets)
        self._calendars.poll(now)
        return self._calendars

    def _opened_without_markets(self, now: datetime) -> MarketCalendars:
        try:
            return _opened(self._settings, (), now=now)
        except OverrideError as error:
            log.exception("calendar_overrides_refused", extra={"error": str(error)})
            return MarketCalendars((), self._settings.minsy_var_dir / "calendars", now=now)


def _opened(settings: BeatSettings, markets: Collection[str], *, now: datetime) -> MarketCalendars:
    overrides = settings.calendar_overrides_file
    directory = settings.minsy_var_dir / "calendars"
    return MarketCalendars(markets, directory, now=now, overrides=() if overrides is None else (overrides,))


def _field_to_blame(settings: BeatSettings, problem: str) -> str:
    """The field that names the market of a problem: a job's own, else that of all jobs."""
    for definition in JOBS:
        overrides = getattr(settings, definition.policy_field)
        own = {*(overrides.trading_hours_markets or ())}
        own |= markets_of([definition.job(settings)]) if overrides.windows else set()
        if any(repr(market) in problem for market in own - set(settings.trading_hours_markets)):
            return definition.policy_field
    return "trading_hours_markets"
