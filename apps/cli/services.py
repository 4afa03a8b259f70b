"""`minsy services`: the embedded servers alone, for work by hand in several terminals.

`env` is the one command of the project that prints passwords, since that is what it is for.
"""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from packages.infra.connections import embedded_servers_needed
from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.embedded.errors import EmbeddedError
from packages.infra.embedded.services import EmbeddedServices, ServerStatus
from packages.shared_settings.loading import load
from packages.shared_settings.workers import WorkerIoSettings

EXIT_FAILED = 1
EXIT_NOT_RUNNING = 3

app = typer.Typer(no_args_is_help=True, help="Start, stop and look at the embedded servers.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def var_directory() -> Path:
    """Where the embedded servers keep their data."""
    return load(WorkerIoSettings).minsy_var_dir


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start the servers and let them run until `minsy services stop`."""
    services = EmbeddedServices(var_directory())
    with _failures_reported():
        needed = embedded_servers_needed(load(WorkerIoSettings))
        if not needed:
            typer.echo("Nothing to start: REDIS_URL and DATABASE_URL name servers of your own.", err=True)
            return
        services.start(want=needed)
        _print_status(services, as_json=as_json)
    for sentence in services.created_outside_var():
        typer.echo(sentence, err=True)


@app.command()
def stop(
    *,
    force: Annotated[bool, typer.Option("--force", help="Stop them even while processes use them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the servers, now or with the last process that uses them."""
    services = EmbeddedServices(var_directory())
    with _failures_reported():
        outcome = services.stop(force=force)
    if as_json:
        typer.echo(json.dumps(asdict(outcome)))
    elif outcome.held_by_pids:
        pids = ", ".join(map(str, dict.fromkeys(outcome.held_by_pids)))
        typer.echo(f"Still in use by process {pids}; they stop with the last of them (now: --force).")
    elif outcome.stopped:
        typer.echo(f"Stopped: {', '.join(outcome.stopped)}.")
    else:
        typer.echo("Nothing was running.")


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show each server; exit code 3 when none runs or one has died."""
    services = EmbeddedServices(var_directory())
    with _failures_reported():
        states = {server.state for server in _print_status(services, as_json=as_json)}
    if "running" not in states or "dead" in states:
        raise typer.Exit(EXIT_NOT_RUNNING)


@app.command()
def env(*, as_json: AsJson = False) -> None:
    """Print REDIS_URL and DATABASE_URL, with passwords, for `eval "$(minsy services env)"`."""
    with _failures_reported():
        endpoints = read_endpoints(var_directory())
    if endpoints is None:
        typer.echo("No embedded server runs. Start them: minsy services start", err=True)
        raise typer.Exit(EXIT_NOT_RUNNING)
    variables = {"REDIS_URL": endpoints.redis_url, "DATABASE_URL": endpoints.database_url}
    known = {name: url for name, url in variables.items() if url is not None}
    if as_json:
        typer.echo(json.dumps(known))
        return
    for name, url in known.items():
        typer.echo(f"export {name}={shlex.quote(url)}")


@app.command("delete-data")
def delete_data(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop the servers and delete their data, also where it stands outside the var directory."""
    services = EmbeddedServices(var_directory())
    places = ", ".join(str(server.data_dir) for server in services.status())
    if not yes:
        typer.confirm(f"Delete {places}?", abort=True)
    with _failures_reported():
        services.delete_data()
    typer.echo(f"Deleted: {places}.")


@contextmanager
def _failures_reported() -> Iterator[None]:
    try:
        yield
    except (EmbeddedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error


def _print_status(services: EmbeddedServices, *, as_json: bool) -> list[ServerStatus]:
    servers = services.status()
    users, pinned = services.users(), services.is_pinned()
    if as_json:
        described = [asdict(server) for server in servers]
        typer.echo(json.dumps({"servers": described, "pinned": pinned, "user_pids": users}, default=_plain))
        return servers
    table = Table("server", "state", "pid", "port", "since")
    table.add_column("data", overflow="fold")
    colours = {"running": "green", "stopped": "dim", "dead": "red"}
    for server in servers:
        since = "" if server.since is None else server.since.strftime("%Y-%m-%d %H:%M:%SZ")
        cells = [str(value or "") for value in (server.pid, server.port, since)]
        state = f"[{colours[server.state]}]{server.state}[/]"
        table.add_row(server.name, state, *cells, escape(str(server.data_dir)))
    console = Console(file=sys.stdout)
    console.print(table)
    until = "until `minsy services stop`" if pinned else "until their last user leaves"
    if any(server.state == "running" for server in servers):
        console.print(f"They run {until}. In use by: {', '.join(map(str, users)) or 'nobody'}.")
    return servers


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
