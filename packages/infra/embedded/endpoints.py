"""Where the embedded servers of a var directory can be reached.

Reads what the servers' state files say; starts nothing and connects to nothing. Beat imports this
at its start, so it needs no client of any server.
"""

from dataclasses import dataclass
from pathlib import Path

from packages.infra.embedded.state import ServerName, read_state, state_directory
from packages.shared_settings.masking import masked_url


@dataclass(frozen=True, repr=False)
class Endpoints:
    """URLs, with their passwords, of the servers that run. None for one that does not."""

    redis_url: str | None
    database_url: str | None
    smtp_url: str | None = None

    def __repr__(self) -> str:
        redis_url, database_url = _masked(self.redis_url), _masked(self.database_url)
        return f"Endpoints(redis_url={redis_url!r}, database_url={database_url!r}, smtp_url={self.smtp_url!r})"


def read_endpoints(var_dir: Path) -> Endpoints | None:
    """The endpoints of the running embedded servers of this var directory; None when none runs.

    Raises:
        PermissionError: the servers belong to another user.
    """
    endpoints = Endpoints(
        redis_url=_url(var_dir, "valkey"), database_url=_url(var_dir, "postgres"), smtp_url=_url(var_dir, "mail")
    )
    return endpoints if endpoints.redis_url or endpoints.database_url or endpoints.smtp_url else None


def _url(var_dir: Path, name: ServerName) -> str | None:
    state = read_state(state_directory(var_dir), name)
    return state.url if state is not None and state.process.is_alive() else None


def _masked(url: str | None) -> str | None:
    return None if url is None else masked_url(url)
