"""What the commands have in common before they start: the servers, a database that has its tables, the Celery app."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery import Celery
from sqlalchemy.orm import Session, sessionmaker

from apps.cli.errors import CommandError
from packages.catalogue.queues import Profile
from packages.infra.connections import Connections, embedded_servers_needed, resolve_connections
from packages.infra.db.engine import make_engine, make_session_factory
from packages.infra.db.migrate import pending
from packages.infra.embedded.services import EmbeddedServices
from packages.shared_settings import get_worker_io_settings
from packages.shared_settings.common import CommonSettings


def embedded_services(settings: CommonSettings) -> EmbeddedServices:
    """The embedded servers of the settings' var directory."""
    return EmbeddedServices(settings.minsy_var_dir)


@contextmanager
def use_servers(settings: CommonSettings, *, leave_within: timedelta | None = None) -> Iterator[Connections]:
    """The servers of the settings; those that none is named for run embedded inside the block.

    `leave_within` bounds the wait for them to stop, if they do.

    Raises:
        EmbeddedError: an embedded server could not be started.
    """
    needed = embedded_servers_needed(settings)
    if not needed:
        yield resolve_connections(settings)
        return
    with embedded_services(settings).hold(want=needed, leave_within=leave_within):
        yield resolve_connections(settings)


@contextmanager
def use_database() -> Iterator[sessionmaker[Session]]:
    """Sessions on the database of the settings, which has its tables; valid inside the block.

    Raises:
        EmbeddedError: an embedded server could not be started.
        CommandError: migrations are pending.
        DatabaseError: the database cannot be reached.
    """
    settings = get_worker_io_settings()
    with use_servers(settings) as connections:
        ready_database(settings)
        engine = make_engine(connections.require_database(), application_name="minsy", pool_size=1)
        try:
            yield make_session_factory(engine)
        finally:
            engine.dispose()


def ready_database(settings: CommonSettings) -> None:
    """Check that the database has its tables.

    Raises:
        CommandError: migrations are pending.
    """
    if missing := pending(resolve_connections(settings).require_database()):
        raise CommandError(
            f"the database lacks {len(missing)} migration(s) ({', '.join(missing)}). Run: minsy db migrate"
        )


def load_celery_app() -> Celery:
    """The Celery app as a command uses it. Call it while the servers run: the app keeps where they are.

    A command knows every task and reads what `worker_io` reads, whatever a shell still has in its variables.
    """
    os.environ["MINSY_CELERY_PROFILE"] = Profile.ALL
    os.environ["MINSY_SERVICE"] = "worker_io"

    from packages.infra.queue.celery_app import celery_app

    return celery_app
