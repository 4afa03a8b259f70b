"""The `minsy` command: its sub-commands, and how an error becomes one line and an exit code."""

import sys

import typer
from kombu.exceptions import OperationalError

from apps.cli import db, services
from apps.cli.config import config
from apps.cli.errors import EXIT_FAILED, EXIT_USAGE, CommandError
from apps.cli.run import run
from apps.cli.status import status
from apps.cli.up import up
from packages.infra.connections import NoServerError
from packages.infra.db.errors import DatabaseError
from packages.infra.embedded.errors import EmbeddedError
from packages.shared_settings import SettingsError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="A profile-driven periodic scheduler service for Celery.",
)
app.command()(up)
app.command()(status)
app.command()(run)
app.command()(config)
app.add_typer(services.app, name="services")
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 not running."""
    try:
        app(prog_name="minsy")
    except (SettingsError, NoServerError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_USAGE) from None
    except (CommandError, EmbeddedError, DatabaseError) as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(EXIT_FAILED) from None
    except OperationalError as error:
        sys.stderr.write(f"Error: the broker cannot be reached: {error}\n")
        raise SystemExit(EXIT_FAILED) from None


if __name__ == "__main__":
    main()
