"""`minsy up`: everything in one terminal. Servers, tables, beat and two workers; Ctrl-C stops it all."""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from kombu.exceptions import OperationalError

from apps.cli.environment import embedded_services, use_servers
from apps.cli.errors import CommandError
from apps.cli.supervisor.process import ProcessSpec
from apps.cli.supervisor.record import end_leftovers
from apps.cli.supervisor.supervisor import Supervisor
from packages.catalogue.queues import Profile, queues_of
from packages.infra.connections import Connections, embedded_servers_needed
from packages.infra.db.engine import make_engine, make_session_factory
from packages.infra.db.migrate import upgrade
from packages.infra.db.seed import seed_demo
from packages.infra.embedded.errors import EmbeddedError
from packages.shared_settings import get_beat_settings, get_worker_cpu_settings, get_worker_io_settings
from packages.shared_settings.common import CommonSettings
from packages.shared_settings.layers import ROOT
from packages.shared_settings.workers import WorkerIoSettings

LEFTOVER_GRACE = timedelta(seconds=8)


def up(
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Fill the database with a small demonstration data set.")
    ] = False,
) -> None:
    """Start the servers, bring the tables up to date, and run beat and both workers until Ctrl-C.

    A process that dies is started again. Exit code 0 after a clean stop, 1 when something had to be given up.
    """
    # All three, so that a wrong setting of any service is said before anything starts.
    settings = get_worker_io_settings()
    get_beat_settings()
    get_worker_cpu_settings()
    with _only_one(settings.minsy_var_dir):
        for sentence in end_leftovers(settings.minsy_var_dir, grace=LEFTOVER_GRACE):
            typer.echo(sentence)
        with use_servers(settings) as connections:
            for sentence in embedded_services(settings).created_outside_var():
                typer.echo(sentence)
            _prepare_database(connections, demo=demo)
            supervisor = Supervisor(_specs(settings), var_dir=settings.minsy_var_dir, watch=_server_watch(settings))
            supervisor.say("in another terminal: minsy status. Here Ctrl-C stops everything.")
            exit_code = supervisor.run()
    raise typer.Exit(exit_code)


@contextmanager
def _only_one(var_dir: Path) -> Iterator[None]:
    path = var_dir / "run" / "up.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"`minsy up` runs already on {var_dir}. `minsy status` shows it.") from None
        yield


def _prepare_database(connections: Connections, *, demo: bool) -> None:
    url = connections.require_database()
    if applied := upgrade(url):
        typer.echo(f"database: applied {', '.join(applied)}")
    if demo:
        engine = make_engine(url, application_name="minsy seed", pool_size=1)
        with make_session_factory(engine).begin() as session:
            report = seed_demo(session, now=datetime.now(UTC))
        engine.dispose()
        typer.echo(f"demonstration data: {report}")


def _specs(settings: WorkerIoSettings) -> Sequence[ProcessSpec]:
    level = settings.log_level
    environment = dict(os.environ)

    def celery(name: str, *arguments: str, on_end: Callable[[], str | None] = lambda: None) -> ProcessSpec:
        command = [sys.executable, "-m", "celery", "-A", f"apps.{name}.celery_app", *arguments, "-l", level]
        return ProcessSpec(name=name, command=command, directory=ROOT, environment=environment, on_end=on_end)

    specs = [
        celery("beat", "beat"),
        celery("worker_io", "worker", "-n", "io@%h", on_end=_give_back(settings, Profile.IO)),
        celery("worker_cpu", "worker", "-n", "cpu@%h", on_end=_give_back(settings, Profile.CPU)),
    ]
    if get_beat_settings().postgres_backup_enabled and not any(settings.postgres_backup_directory.glob("*.dump")):
        # The daily trigger may be most of a day away, and a service without any backup is not what was asked for.
        command = [sys.executable, "-m", "apps.cli.main", "run", "maintenance.backup_postgres_full"]
        specs.append(ProcessSpec("first_backup", command, ROOT, environment, restarted=False))
    return specs


def _give_back(settings: CommonSettings, profile: Profile) -> Callable[[], str | None]:
    """What a dead worker held goes back, if the broker is the embedded one: there it was the only consumer."""

    def give_back() -> str | None:
        if "valkey" not in embedded_servers_needed(settings):
            return None
        from packages.infra.queue.celery_app import celery_app
        from packages.infra.queue.unacknowledged import restore_unacknowledged

        try:
            with celery_app.connection_for_write() as connection:
                restored = restore_unacknowledged(connection, queues_of(profile))
        except OperationalError as error:
            return f"the messages it held come back later, by the visibility timeout ({error})"
        return f"{restored} message(s) that it held went back to their queues" if restored else None

    return give_back


def _server_watch(settings: CommonSettings) -> Callable[[], Sequence[str]]:
    services = embedded_services(settings)
    if not embedded_servers_needed(settings):
        return tuple

    def watch() -> Sequence[str]:
        try:
            return services.revive()
        except EmbeddedError as error:
            return [f"{error} It is tried again."]

    return watch
