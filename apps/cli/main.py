"""The `minsy` command: its sub-commands, and how an error becomes one line and an exit code."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError
from redis import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from apps.cli import approvals, backtest, control_commands, db, services
from apps.cli.backfill import backfill
from apps.cli.config import config
from apps.cli.errors import EXIT_FAILED, EXIT_USAGE, CommandError
from apps.cli.explain import explain
from apps.cli.health import health
from apps.cli.ledger import ledger
from apps.cli.pause import pause, pauses, resume
from apps.cli.plan import plan
from apps.cli.preview import preview
from apps.cli.run import run
from apps.cli.simulate import simulate
from apps.cli.status import status
from apps.cli.trigger import trigger
from apps.cli.up import up
from packages.infra.connections import NoServerError, resolve_connections
from packages.infra.db.errors import DatabaseError
from packages.infra.embedded.errors import EmbeddedError
from packages.shared_settings import SettingsError, get_worker_io_settings
from packages.shared_settings.masking import masked_url

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="A profile-driven periodic scheduler service for Celery.",
)
app.command()(up)
app.command()(status)
app.command()(health)
app.command()(run)
app.command()(preview)
app.command()(plan)
app.command()(explain)
app.command()(ledger)
app.command()(pause)
app.command()(resume)
app.command()(pauses)
app.command()(trigger)
app.command()(backfill)
app.command()(simulate)
app.command()(config)
app.add_typer(control_commands.app, name="control")
app.add_typer(approvals.app, name="approvals")
app.add_typer(backtest.app, name="backtest")
app.add_typer(services.app, name="services")
app.add_typer(db.app, name="db")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 not running.

    `arguments` are those after the command's name; None means those of the process.
    """
    try:
        app(arguments, prog_name="minsy")
    except (SettingsError, NoServerError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_USAGE) from None
    except (CommandError, EmbeddedError, DatabaseError) as error:
        _fail(str(error))
    except (KombuError, AMQPError) as error:
        _fail(f"{_named('broker', 'broker_url')} cannot be used: {_in_words(error)}")
    except RedisError as error:
        # The broker's own errors are wrapped by kombu; what is left comes from where the results are.
        _fail(f"{_named('result backend', 'result_backend')} cannot be used: {error}")
    except DBAPIError as error:
        # The driver's own words: SQLAlchemy's would add the statement.
        _fail(f"the database did not do it: {error.orig}")
    except (SQLAlchemyError, OSError) as error:
        _fail(str(error) or type(error).__name__)


def _named(what: str, connection: str) -> str:
    """The server with its place, where one is known; the password is masked."""
    url: str | None = getattr(resolve_connections(get_worker_io_settings()), connection)
    return f"the {what} at {masked_url(url)}" if url else f"the {what}"


def _in_words(error: Exception) -> str:
    # Imported here: a command that works needs none of it.
    from packages.infra.beat.trouble import sentence_of

    return sentence_of(error)


def _fail(text: str) -> NoReturn:
    # Servers answer with several lines; one is what a log and a person at a prompt can use.
    sys.stderr.write(f"Error: {' '.join(text.split())}\n")
    raise SystemExit(EXIT_FAILED) from None


if __name__ == "__main__":
    main()
