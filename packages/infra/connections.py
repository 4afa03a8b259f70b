"""Which servers a process talks to: the ones that the settings name, else the embedded ones that run.

Decides nothing about starting them; beat and the workers only read.
"""

from typing import TYPE_CHECKING, NamedTuple

from packages.shared_settings.common import CommonSettings
from packages.shared_settings.fields import REDIS_SCHEMES
from packages.shared_settings.masking import masked_url
from packages.shared_settings.workers import EMAIL, WorkerIoSettings

if TYPE_CHECKING:
    from packages.infra.embedded.endpoints import Endpoints
    from packages.infra.embedded.state import ServerName

REDIS_URL_PREFIXES = tuple(f"{scheme}://" for scheme in REDIS_SCHEMES)


class NoServerError(RuntimeError):
    """A server is needed that no setting names and that does not run embedded either."""

    def __init__(self, what: str, variable: str) -> None:
        super().__init__(
            f"no {what}: {variable} is not set and no embedded server runs. Start it with `minsy services start`, "
            f"or set {variable}."
        )
        self.variable = variable


class Connections(NamedTuple):
    """URLs with their passwords; the representation masks them. None where there is no server."""

    broker_url: str | None
    result_backend: str | None
    redis_url: str | None
    database_url: str | None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={masked_url(url) if url else None}" for name, url in self._asdict().items())
        return f"Connections({shown})"

    def require_broker(self) -> str:
        """The broker's URL.

        Raises:
            NoServerError: there is none.
        """
        if self.broker_url is None:
            raise NoServerError("broker", "REDIS_URL")
        return self.broker_url

    def require_database(self) -> str:
        """The database's URL.

        Raises:
            NoServerError: there is none.
        """
        if self.database_url is None:
            raise NoServerError("database", "DATABASE_URL")
        return self.database_url


def embedded_servers_needed(settings: CommonSettings) -> "frozenset[ServerName]":
    """The embedded servers that are left to us: those without a URL, and a mail sink where no mail channel is set."""
    needed: set[ServerName] = set()
    if settings.redis_url is None and (settings.celery_broker_url is None or settings.celery_result_backend is None):
        needed.add("valkey")
    if settings.database_url is None:
        needed.add("postgres")
    if isinstance(settings, WorkerIoSettings):
        has_mail = EMAIL in settings.notification_channels
        if settings.notification_smtp_sink_enabled and not has_mail:
            needed.add("mail")
    return frozenset(needed)


def resolve_connections(settings: CommonSettings, *, needs_database: bool = True) -> Connections:
    """The URLs to use. A broker that is Redis serves as the result backend unless another is named.

    A process that needs no database is not told where an embedded one is.
    """
    needed = embedded_servers_needed(settings)
    embedded = _running(settings) if needed - (set() if needs_database else {"postgres"}) else None

    def given(field: str) -> str | None:
        secret = getattr(settings, field)
        return secret.get_secret_value() if secret is not None else None

    redis_url = given("redis_url") or (embedded.redis_url if embedded else None)
    broker_url = given("celery_broker_url") or redis_url
    broker_is_redis = broker_url is not None and broker_url.startswith(REDIS_URL_PREFIXES)
    return Connections(
        broker_url=broker_url,
        result_backend=given("celery_result_backend") or redis_url or (broker_url if broker_is_redis else "rpc://"),
        redis_url=redis_url or (broker_url if broker_is_redis else None),
        database_url=given("database_url") or (embedded.database_url if embedded else None),
    )


def _running(settings: CommonSettings) -> "Endpoints | None":
    # Imported here: beat at scale has a URL, and starts without it.
    from packages.infra.embedded.endpoints import read_endpoints

    return read_endpoints(settings.minsy_var_dir)
