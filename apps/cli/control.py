"""How a command reaches what a running beat listens to: in the broker's Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import typer
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.cli.beat_settings import beat_settings
from apps.cli.environment import embedded_services, load_celery_app
from apps.cli.errors import CommandError
from packages.catalogue.jobs import JobDefinition
from packages.infra.connections import embedded_servers_needed
from packages.infra.control.control import Control, ControlStore
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import open_state_redis
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import to_datetime, to_instant
from packages.scheduling.snapshot import Pause, PauseScope
from packages.shared_settings import get_worker_io_settings


@contextmanager
def use_control() -> Iterator[ControlStore]:
    """The store that beat reads; valid inside the block. An embedded server that does not run is started for it.

    Raises:
        CommandError: the broker is not Redis.
        kombu.exceptions.OperationalError: it cannot be reached.
        EmbeddedError: the embedded server could not be started.
    """
    settings = get_worker_io_settings()
    if "valkey" not in embedded_servers_needed(settings):
        with _opened(load_celery_app()) as store:
            yield _required(store)
        return
    with embedded_services(settings).hold(want={"valkey"}), _opened(load_celery_app()) as store:
        yield _required(store)


def current_control(app: Celery) -> Control:
    """What an operator has said that holds now; nothing on a broker that is not Redis.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    with _opened(app) as store:
        return store.read(present()) if store is not None else Control()


def present() -> int:
    """The present instant."""
    return to_instant(datetime.now(UTC))


def pause_in_words(scope: PauseScope, target: str) -> str:
    """What a pause holds: `everything`, or `queue maintenance`."""
    return f"{scope.value} {target}" if target else "everything"


def pause_as_json(pause: Pause) -> dict[str, Any]:
    """A pause with its instants as RFC 3339."""
    until = None if pause.until is None else rfc3339(to_datetime(pause.until))
    return {**pause._asdict(), "since": rfc3339(to_datetime(pause.since)), "until": until}


def warn_if_off(definition: JobDefinition) -> None:
    """Say on standard error that beat may not know the job: its process may have another environment than ours."""
    if not definition.enabled(beat_settings()):
        typer.echo(
            f"Note: {definition.flag.upper()} is false here. A beat for which it is, too, knows no such job and drops "
            f"the request; `minsy run {definition.name}` runs it in this process.",
            err=True,
        )


@contextmanager
def _opened(app: Celery) -> Iterator[ControlStore | None]:
    try:
        redis = open_state_redis(app)
        if redis is None:
            yield None
            return
        try:
            yield RedisControl(redis)
        finally:
            redis.close()
    except RedisError as error:
        # As kombu says it of the broker; a bare one would be taken for the result backend's.
        raise OperationalError(str(error)) from None


def _required(store: ControlStore | None) -> ControlStore:
    if store is None:
        raise CommandError("beat takes a word only through Redis: the broker is none, and BEAT_STATE_URL is not set")
    return store
