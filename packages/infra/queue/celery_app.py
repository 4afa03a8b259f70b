"""The one Celery app that beat and both workers share; the profile in the environment says what a process is.

Importing it reads the settings and checks the catalogue. A wrong setting ends the process with one clear line and
exit code 2, before anything starts. It connects to nothing.
"""

import os
import sys
from typing import Any

from celery import Celery
from celery.backends.base import DisabledBackend

from packages.catalogue.checks import check_catalogue
from packages.catalogue.jobs import enabled_jobs
from packages.catalogue.queues import Profile, queues_of
from packages.infra.connections import resolve_connections
from packages.infra.queue.beat_calendars import BeatCalendars
from packages.infra.queue.configuration import celery_configuration, state_configuration
from packages.infra.queue.entries import beat_entries, takes_priorities
from packages.infra.queue.process_signals import BeatInputs, connect_process_signals
from packages.infra.queue.profiles import profile_of, settings_of
from packages.infra.queue.redis_transport import use_mended_transport
from packages.infra.queue.reload import EnvFilesSource
from packages.shared_settings import SettingsError, get_beat_settings


def _build_beat_schedule(enabled: bool = True) -> dict[str, dict[str, Any]]:  # noqa: FBT001, FBT002  # a fixed name and signature
    """The enabled jobs of the catalogue as Celery's beat entries by job name; empty when not `enabled`.

    Raises:
        SettingsError: the settings of beat cannot be used.
    """
    if not enabled:
        return {}
    settings = get_beat_settings()
    return beat_entries(enabled_jobs(settings), priorities=takes_priorities(settings))


def _make_app() -> Celery:
    check_catalogue()
    profile = profile_of(os.environ)
    publishes = profile in {Profile.BEAT, Profile.ALL}
    # Before the settings are read, so that no change of a file falls between.
    source = EnvFilesSource(os.environ)
    settings = settings_of(profile, os.environ)
    connections = resolve_connections(settings, needs_database=profile is not Profile.BEAT)
    use_mended_transport()
    app = Celery("minsy", task_cls="packages.infra.queue.once:OnceTask")
    app.conf.update(celery_configuration(profile, settings, connections))
    if publishes:
        app.conf.update(state_configuration(get_beat_settings()))
    if profile is Profile.BEAT:
        # What Celery makes of `disabled://`, but it would look through all installed packages for other backends first.
        app._backend = DisabledBackend(app=app, url="disabled://")  # type: ignore[attr-defined]  # noqa: SLF001  # there is no other way
    app.conf.beat_schedule = _build_beat_schedule(enabled=publishes)
    beat = BeatInputs(source, BeatCalendars(get_beat_settings())) if publishes else None
    if beat is not None:
        source.begin(get_beat_settings(), [entry["schedule"].job for entry in app.conf.beat_schedule.values()])
        app.conf.beat_schedule_source = source
        app.conf.beat_calendars = beat.calendars
        app.conf.beat_control = source.control
    if served := queues_of(profile):
        # A worker without `-Q` consumes these; publishing knows every queue.
        app.amqp.queues.select(list(served))
    connect_process_signals(profile=profile, settings=settings, connections=connections, beat=beat)
    return app


try:
    celery_app = _make_app()
except SettingsError as error:
    # Celery's command turns an exception at import into a traceback; a user needs the line alone.
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
