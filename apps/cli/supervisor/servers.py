"""What `minsy up` does about the embedded servers while its processes run: revive them, and give back what was held."""

from collections.abc import Callable

from kombu.exceptions import OperationalError

from apps.cli.environment import embedded_services
from apps.cli.supervisor.process import NotYetError
from apps.cli.supervisor.watch import Nothing, Observation, Watch
from packages.catalogue.queues import Profile, queues_of
from packages.infra.connections import embedded_servers_needed, resolve_connections
from packages.infra.embedded.errors import EmbeddedError
from packages.shared_settings.common import CommonSettings

_BROKER_PATIENCE = {"socket_connect_timeout": 3, "socket_timeout": 5}


def give_back(settings: CommonSettings, profile: Profile) -> Callable[[], str | None] | None:
    """What a dead worker held goes back before the next one starts, if the broker is the embedded one.

    There the worker was the only consumer. While the broker is away the worker waits: what its predecessor held
    could not be told any more from what it holds itself.
    """
    if settings.redis_url is not None or settings.celery_broker_url is not None:
        return None

    def put_back() -> str | None:
        from kombu import Connection
        from redis.exceptions import ConnectionError as NotConnectedError
        from redis.exceptions import TimeoutError as NotAnsweredError

        from packages.infra.queue.unacknowledged import restore_unacknowledged

        # Looked up each time: the server may have moved.
        url = resolve_connections(settings).broker_url
        if url is None:
            raise NotYetError("it waits for the embedded valkey server")
        try:
            with Connection(url, transport_options=_BROKER_PATIENCE) as connection:
                restored = restore_unacknowledged(connection, queues_of(profile))
        except (OperationalError, NotConnectedError, NotAnsweredError, OSError):
            raise NotYetError("it waits for the embedded valkey server, which does not answer") from None
        return f"{restored} message(s) that its predecessor held went back to their queues" if restored else None

    return put_back


class ServerWatch:
    """Brings dead embedded servers back, and notices when one is found at another address than before."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._services = embedded_services(settings)
        self._known = resolve_connections(settings)

    def look(self) -> Observation:
        """Revive what died. A server that moved is lost to the processes that run: they looked it up at their start."""
        try:
            sentences = self._services.revive()
        except EmbeddedError as error:
            return Observation([f"{error} It is tried again."])
        now = resolve_connections(self._settings)
        moved = any(
            new is not None and new != old
            for new, old in ((now.broker_url, self._known.broker_url), (now.database_url, self._known.database_url))
        )
        if moved:
            self._known = now
        return Observation(sentences, restart=moved)

    def interrupt(self) -> None:
        """Give up a start that is under way."""
        self._services.interrupt()


def watch_servers(settings: CommonSettings) -> Watch:
    """What to look at while the processes run: the embedded servers, where there are any."""
    return ServerWatch(settings) if embedded_servers_needed(settings) else Nothing()
