"""The one Celery app that beat and both workers share; the profile in the environment says what a process is.

Importing it reads the settings and checks the catalogue. A wrong setting ends the process with one clear line and
exit code 2, before anything starts. It connects to nothing.
"""

import os
import sys
from typing import Any

from celery import Celery

from packages.catalogue.checks import check_catalogue
from packages.catalogue.jobs import enabled_jobs
from packages.catalogue.queues import Profile, queues_of
from packages.infra.connections import resolve_connections
from packages.infra.queue.configuration import celery_configuration
from packages.infra.queue.entries import beat_entry
from packages.infra.queue.process_signals import connect_process_signals
from packages.infra.queue.profiles import profile_of, settings_of
from packages.infra.queue.redis_transport import use_mended_transport
from packages.shared_settings import SettingsError, get_beat_settings


def _build_beat_schedule(enabled: bool = True) -> dict[str, dict[str, Any]]:  # noqa: FBT001, FBT002  # a fixed name and signature
    """The enabled jobs of the catalogue as Celery's beat entries by job name; empty when not `enabled`.

    Raises:
        SettingsError: the settings of beat cannot be used.
    """
    if not enabled:
        return {}
    return {job.name: beat_entry(job) for job in enabled_jobs(get_beat_settings())}


def _make_app() -> Celery:
    check_catalogue()
    profile = profile_of(os.environ)
    settings = settings_of(profile, os.environ)
    connections = resolve_connections(settings)
    use_mended_transport()
    app = Celery("minsy")
    app.conf.update(celery_configuration(profile, settings, connections))
    app.conf.beat_schedule = _build_beat_schedule(enabled=profile in {Profile.BEAT, Profile.ALL})
    if served := queues_of(profile):
        # A worker without `-Q` consumes these; publishing knows every queue.
        app.amqp.queues.select(list(served))
    connect_process_signals(profile=profile, settings=settings, connections=connections)
    return app


try:
    celery_app = _make_app()
except SettingsError as error:
    # Celery's command turns an exception at import into a traceback; a user needs the line alone.
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
