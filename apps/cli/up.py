"""`minsy up`: everything in one terminal. Servers, tables, beat and two workers; Ctrl-C stops it all."""

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from apps.cli.beat_settings import beat_settings
from apps.cli.environment import embedded_services, load_celery_app, use_servers
from apps.cli.errors import CommandError
from apps.cli.supervisor.process import ProcessSpec
from apps.cli.supervisor.record import end_leftovers
from apps.cli.supervisor.servers import give_back, watch_servers
from apps.cli.supervisor.supervisor import Supervisor
from packages.catalogue.queues import Profile
from packages.infra.connections import Connections, embedded_servers_needed
from packages.infra.db.engine import make_engine, make_session_factory
from packages.infra.db.migrate import upgrade
from packages.infra.db.seed import seed_demo
from packages.infra.queue.last_runs import read_last_runs
from packages.shared_settings import get_beat_settings, get_worker_cpu_settings, get_worker_io_settings
from packages.shared_settings.common import CommonSettings
from packages.shared_settings.layers import ROOT

LEFTOVER_GRACE = timedelta(seconds=8)
# After the processes, which have six seconds: the whole stop stays below ten.
SERVERS_STOP_WITHIN = timedelta(seconds=2)
_BROKER_TIMEOUT_S = 5
_FIRST_BACKUP = "maintenance.backup_postgres_full"


def up(
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Fill the database with a small demonstration data set.")
    ] = False,
) -> None:
    """Start the servers, bring the tables up to date, and run beat and both workers until Ctrl-C.

    A process that dies is started again. Exit code 0 after a clean stop, 1 when something had to be given up.
    """
    # All three, and what the jobs make of them, so that a wrong one is said before anything starts.
    settings = get_worker_io_settings()
    beat_settings()
    get_worker_cpu_settings()
    with _only_one(settings.minsy_var_dir):
        _stop_on_any_signal()
        for sentence in end_leftovers(settings.minsy_var_dir, grace=LEFTOVER_GRACE):
            typer.echo(sentence)
        with use_servers(settings, leave_within=SERVERS_STOP_WITHIN) as connections:
            if "postgres" in embedded_servers_needed(settings):
                for sentence in embedded_services(settings).created_outside_var():
                    typer.echo(sentence)
            _prepare_database(connections, demo=demo)
            app = load_celery_app()
            # A broker that is not there is said at once, instead of by four processes for ever.
            with app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=_BROKER_TIMEOUT_S)
            last_backup = read_last_runs(app).get(_FIRST_BACKUP)
            backed_up = last_backup is not None and last_backup.state == "SUCCESS"
            supervisor = Supervisor(
                _specs(settings, backed_up=backed_up), var_dir=settings.minsy_var_dir, watch=watch_servers(settings)
            )
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


def _stop_on_any_signal() -> None:
    """Until the supervisor takes over: what was started so far is stopped, as at a Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        # `nohup` means that the end of the terminal is not to matter.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


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


def _specs(settings: CommonSettings, *, backed_up: bool) -> Sequence[ProcessSpec]:
    environment = dict(os.environ)

    def celery(name: str, *arguments: str, before_start: Callable[[], str | None] | None = None) -> ProcessSpec:
        command = [sys.executable, "-m", "celery", "-A", f"apps.{name}.celery_app", *arguments]
        return ProcessSpec(
            name=name, command=command, directory=ROOT, environment=environment, before_start=before_start
        )

    specs = [
        celery("beat", "beat"),
        celery("worker_io", "worker", "-n", "io@%h", before_start=give_back(settings, Profile.IO)),
        celery("worker_cpu", "worker", "-n", "cpu@%h", before_start=give_back(settings, Profile.CPU)),
    ]
    if get_beat_settings().postgres_backup_enabled and not backed_up:
        # The daily trigger may be most of a day away, and a service without any backup is not what was asked for.
        command = [sys.executable, "-m", "apps.cli.main", "run", _FIRST_BACKUP]
        specs.append(ProcessSpec("first_backup", command, ROOT, environment, restarted=False))
    return specs
