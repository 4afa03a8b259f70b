"""`minsy db`: the tables of the database, up and down, and the demonstration rows.

Works on the database that the settings name, else on the embedded one, started for the command if it does not run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from apps.cli.environment import use_database, use_servers
from apps.cli.output import AsJson, print_json, print_table
from packages.infra.db import migrate as migrations
from packages.infra.db.engine import place_of, psycopg_url
from packages.infra.db.seed import seed_demo
from packages.shared_settings import get_worker_io_settings

app = typer.Typer(
    no_args_is_help=True, help="Make and change the tables of the database, and fill them for a demonstration."
)


@contextmanager
def database_url() -> Iterator[str]:
    """The URL, with its password, of the database to work on; it can be reached inside the block."""
    with use_servers(get_worker_io_settings()) as connections:
        yield connections.require_database()


@app.command()
def migrate(
    *,
    revision: Annotated[str, typer.Option("--revision", help="The revision to go up to.")] = migrations.HEAD,
    as_json: AsJson = False,
) -> None:
    """Apply the migrations that are missing. Running it again, or twice at once, is harmless."""
    with database_url() as url:
        applied = migrations.upgrade(url, revision)
        _print_moved(url, "applied", applied, as_json=as_json)


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to go down to; `base` removes every table.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Undo migrations, with the rows in the tables that they made. Asks first."""
    with database_url() as url:
        if not yes:
            question = f"Undo every migration of {place_of(psycopg_url(url))} above {revision}? Rows are lost."
            typer.confirm(question, abort=True, err=True)
        undone = migrations.downgrade(url, revision)
        _print_moved(url, "undone", undone, as_json=as_json)


@app.command()
def current(*, as_json: AsJson = False) -> None:
    """Show the revision that the database is at, and those that are missing."""
    with database_url() as url:
        at, missing = migrations.current(url), migrations.pending(url)
    if as_json:
        print_json({"revision": at, "pending": missing})
    else:
        typer.echo(f"revision: {at or 'none'}\npending: {', '.join(missing) or 'none'}")


@app.command()
def seed(*, as_json: AsJson = False) -> None:
    """Add the demonstration rows that are missing: users, deployments, an approval, a stale backtest, messages."""
    with use_database() as sessions, sessions.begin() as session:
        report = seed_demo(session, now=datetime.now(UTC))
    if as_json:
        print_json(asdict(report))
    else:
        print_table(("table", "rows added"), report.added.items())


def _print_moved(url: str, verb: str, revisions: list[str], *, as_json: bool) -> None:
    at = migrations.current(url)
    if as_json:
        print_json({verb: revisions, "revision": at})
    else:
        typer.echo(f"{verb}: {', '.join(revisions) or 'nothing'}\nrevision: {at or 'none'}")
