"""What happens when a Celery process starts: its logs are set up, and without a server it refuses to start."""

import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning

from packages.catalogue.queues import QUEUES, Profile
from packages.infra.connections import Connections, NoServerError
from packages.infra.queue.beat_calendars import BeatCalendars
from packages.infra.queue.priority_lists import PriorityLists
from packages.infra.queue.reload import EnvFilesSource, reload_on_hangup
from packages.infra.telemetry.logs import configure_logging
from packages.shared_settings import SettingsError
from packages.shared_settings.common import CommonSettings


class BeatInputs(NamedTuple):
    """What beat reads beside the messages: its entries and thresholds, and the calendars of its jobs."""

    source: EnvFilesSource
    calendars: BeatCalendars


def connect_process_signals(
    *, profile: Profile, settings: CommonSettings, connections: Connections, beat: BeatInputs | None
) -> None:
    """Connect the receivers of this process; called once, when the app is made. `beat`: of a process that publishes."""

    def set_up_logs(loglevel: int | str | None = None, **_: object) -> None:
        # Celery passes a level of its own when none was typed.
        level = loglevel if loglevel and typed_log_level(sys.argv) else settings.log_level
        configure_logging(log_format=settings.log_format, level=level)
        # Celery 6 will cancel late-acknowledged tasks when the broker goes away. Ours go on: they are safe to repeat.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, module="celery.worker")

    def refuse_without_servers(**_: object) -> None:
        try:
            connections.require_broker()
            if profile is not Profile.BEAT:
                connections.require_database()
        except NoServerError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(2) from None

    if beat is not None:
        _connect_what_beat_reads(beat.source)
    # A connected `setup_logging` keeps Celery from configuring the root logger itself.
    signals.setup_logging.connect(set_up_logs, weak=False)
    if profile is Profile.BEAT:
        # Beat sends this before it prints anything about itself; `beat_init` comes after its banner.
        signals.import_modules.connect(refuse_without_servers, weak=False)
        signals.celeryd_init.connect(_refuse_to_consume, weak=False)
        if beat is not None:
            calendars = beat.calendars

            def refuse_without_calendars(**_: object) -> None:
                # What is logged while they are opened wants to be read, too.
                set_up_logs()
                _open_or_end(calendars)

            signals.import_modules.connect(refuse_without_calendars, weak=False)
    else:
        signals.celeryd_init.connect(refuse_without_servers, weak=False)
        _connect_what_a_worker_tells(profile, connections)


def _connect_what_beat_reads(source: EnvFilesSource) -> None:
    lists = PriorityLists(source)

    def look_at_lists(sender: Celery, **_: object) -> None:
        # Whoever brings the app under a name of their own has changed its configuration by now.
        lists.look(sender)

    def begin(**_: object) -> None:
        reload_on_hangup(source)
        source.control.warn()
        lists.warn()

    signals.import_modules.connect(look_at_lists, weak=False)
    signals.beat_init.connect(begin, weak=False)


def _connect_what_a_worker_tells(profile: Profile, connections: Connections) -> None:
    # Beat imports none of it.
    from packages.infra.queue.running_signals import connect_running_signals
    from packages.infra.queue.work_signals import connect_work_signals
    from packages.infra.queue.worker_delays import connect_worker_delays
    from packages.infra.queue.worker_reports import connect_worker_reports
    from packages.infra.queue.worker_signals import connect_worker_signals

    connect_work_signals()
    connect_worker_signals()
    connect_running_signals()
    connect_worker_delays([queue.name for queue in QUEUES])
    has_market_data = profile in {Profile.IO, Profile.ALL}
    connect_worker_reports(database_url=connections.database_url if has_market_data else None)


def _open_or_end(calendars: BeatCalendars) -> None:
    try:
        calendars.open(datetime.now(UTC))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


def typed_log_level(arguments: Sequence[str]) -> bool:
    """Whether a command line names a log level itself."""
    return any(argument.startswith(("-l", "--loglevel")) for argument in arguments)


def _refuse_to_consume(**_: object) -> None:
    # It knows no task, so it would take every message and throw it away.
    sys.stderr.write("the profile `beat` publishes only; a worker needs MINSY_CELERY_PROFILE=cpu, io or all\n")
    raise SystemExit(2)
