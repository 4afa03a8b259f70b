"""What the commands have in common before they start: the servers, and a database that has its tables."""

from collections.abc import Iterator
from contextlib import contextmanager

from apps.cli.errors import CommandError
from packages.infra.connections import Connections, embedded_servers_needed, resolve_connections
from packages.infra.db.migrate import pending
from packages.infra.embedded.services import EmbeddedServices
from packages.shared_settings.common import CommonSettings


def embedded_services(settings: CommonSettings) -> EmbeddedServices:
    """The embedded servers of the settings' var directory."""
    return EmbeddedServices(settings.minsy_var_dir)


@contextmanager
def use_servers(settings: CommonSettings) -> Iterator[Connections]:
    """The servers of the settings; those that none is named for run embedded inside the block.

    Raises:
        EmbeddedError: an embedded server could not be started.
    """
    needed = embedded_servers_needed(settings)
    if not needed:
        yield resolve_connections(settings)
        return
    with embedded_services(settings).hold(want=needed):
        yield resolve_connections(settings)


def ready_database(settings: CommonSettings) -> None:
    """Check that the database has its tables.

    Raises:
        CommandError: migrations are pending.
    """
    if missing := pending(resolve_connections(settings).require_database()):
        raise CommandError(
            f"the database lacks {len(missing)} migration(s) ({', '.join(missing)}). Run: minsy db migrate"
        )
