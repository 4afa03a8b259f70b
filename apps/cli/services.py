"""`minsy services`: the embedded servers alone, for work by hand in several terminals.

`env` is the one command of the project that prints passwords, since that is what it is for.
"""

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from apps.cli.environment import embedded_services
from apps.cli.errors import EXIT_NOT_RUNNING
from apps.cli.output import AsJson, coloured, print_json, print_table
from packages.infra.connections import embedded_servers_needed
from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.embedded.services import EmbeddedServices, ServerStatus
from packages.shared_settings import get_worker_io_settings

app = typer.Typer(no_args_is_help=True, help="Start, stop and look at the embedded servers.")


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start the servers and let them run until `minsy services stop`."""
    settings = get_worker_io_settings()
    services = embedded_services(settings)
    if needed := embedded_servers_needed(settings):
        services.start(want=needed)
    else:
        typer.echo("Nothing to start: REDIS_URL and DATABASE_URL name servers of your own.", err=True)
    if needed or as_json:
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
    outcome = embedded_services(get_worker_io_settings()).stop(force=force)
    if as_json:
        print_json(asdict(outcome))
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
    servers = _print_status(embedded_services(get_worker_io_settings()), as_json=as_json)
    states = {server.state for server in servers}
    if "running" not in states or "dead" in states:
        raise typer.Exit(EXIT_NOT_RUNNING)


@app.command()
def env(*, as_json: AsJson = False) -> None:
    """Print REDIS_URL and DATABASE_URL, with passwords, for `eval "$(minsy services env)"`."""
    endpoints = read_endpoints(get_worker_io_settings().minsy_var_dir)
    if endpoints is None:
        typer.echo("No embedded server runs. Start them: minsy services start", err=True)
        raise typer.Exit(EXIT_NOT_RUNNING)
    variables = {"REDIS_URL": endpoints.redis_url, "DATABASE_URL": endpoints.database_url}
    known = {name: url for name, url in variables.items() if url is not None}
    if as_json:
        print_json(known)
        return
    for name, url in known.items():
        typer.echo(f"export {name}={shlex.quote(url)}")


@app.command("delete-data")
def delete_data(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop the servers and delete their data, also where it stands outside the var directory."""
    services = embedded_services(get_worker_io_settings())
    places = ", ".join(str(server.data_dir) for server in services.status())
    if not yes:
        typer.confirm(f"Delete {places}?", abort=True, err=True)
    services.delete_data()
    typer.echo(f"Deleted: {places}.")


def _print_status(services: EmbeddedServices, *, as_json: bool) -> list[ServerStatus]:
    servers = services.status()
    users, pinned = services.users(), services.is_pinned()
    if as_json:
        print_json({"servers": [asdict(server) for server in servers], "pinned": pinned, "user_pids": users})
        return servers
    print_table(
        ["server", "state", "pid", "port", "since", "data"],
        (
            [
                server.name,
                coloured(server.state),
                server.pid,
                server.port,
                None if server.since is None else f"{server.since:%Y-%m-%d %H:%M:%SZ}",
                server.data_dir,
            ]
            for server in servers
        ),
    )
    until = "until `minsy services stop`" if pinned else "until their last user leaves"
    if any(server.state == "running" for server in servers):
        typer.echo(f"They run {until}. In use by: {', '.join(map(str, users)) or 'nobody'}.")
    return servers
