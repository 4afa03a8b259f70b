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
from kombu.exceptions import OperationalError

from apps.cli.environment import embedded_services
from apps.cli.errors import CommandError
from apps.cli.supervisor.process import NotYetError, ProcessSpec
from apps.cli.supervisor.record import end_leftovers
from apps.cli.supervisor.supervisor import Supervisor
from apps.cli.supervisor.watch import Nothing, Observation, Watch
from packages.catalogue.queues import Profile, queues_of
from packages.infra.connections import Connections, embedded_servers_needed, resolve_connections
from packages.infra.db.engine import make_engine, make_session_factory
from packages.infra.db.migrate import upgrade
from packages.infra.db.seed import seed_demo
from packages.infra.embedded.errors import EmbeddedError
from packages.shared_settings import get_beat_settings, get_worker_cpu_settings, get_worker_io_settings
from packages.shared_settings.common import CommonSettings
from packages.shared_settings.layers import ROOT
from packages.shared_settings.workers import WorkerIoSettings

LEFTOVER_GRACE = timedelta(seconds=8)
# After the processes, which have six seconds: the whole stop stays below ten.
SERVERS_STOP_WITHIN = timedelta(seconds=2)
_BROKER_PATIENCE = {"socket_connect_timeout": 3, "socket_timeout": 5}


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
        _stop_on_any_signal()
        for sentence in end_leftovers(settings.minsy_var_dir, grace=LEFTOVER_GRACE):
            typer.echo(sentence)
        with _servers(settings) as connections:
            for sentence in embedded_services(settings).created_outside_var():
                typer.echo(sentence)
            _prepare_database(connections, demo=demo)
            supervisor = Supervisor(_specs(settings), var_dir=settings.minsy_var_dir, watch=_watch(settings))
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


@contextmanager
def _servers(settings: CommonSettings) -> Iterator[Connections]:
    """The servers of the settings; those that run embedded are given up quickly, as a stop should be quick."""
    if needed := embedded_servers_needed(settings):
        with embedded_services(settings).hold(want=needed, leave_within=SERVERS_STOP_WITHIN):
            yield resolve_connections(settings)
    else:
        yield resolve_connections(settings)


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

    def celery(name: str, *arguments: str, before_start: Callable[[], str | None] | None = None) -> ProcessSpec:
        command = [sys.executable, "-m", "celery", "-A", f"apps.{name}.celery_app", *arguments, "-l", level]
        return ProcessSpec(
            name=name, command=command, directory=ROOT, environment=environment, before_start=before_start
        )

    specs = [
        celery("beat", "beat"),
        celery("worker_io", "worker", "-n", "io@%h", before_start=_give_back(settings, Profile.IO)),
        celery("worker_cpu", "worker", "-n", "cpu@%h", before_start=_give_back(settings, Profile.CPU)),
    ]
    if get_beat_settings().postgres_backup_enabled and not any(settings.postgres_backup_directory.glob("*.dump")):
        # The daily trigger may be most of a day away, and a service without any backup is not what was asked for.
        command = [sys.executable, "-m", "apps.cli.main", "run", "maintenance.backup_postgres_full"]
        specs.append(ProcessSpec("first_backup", command, ROOT, environment, restarted=False))
    return specs


def _give_back(settings: CommonSettings, profile: Profile) -> Callable[[], str | None] | None:
    """What a dead worker held goes back before the next one starts, if the broker is the embedded one.

    There the worker was the only consumer. While the broker is away the worker waits: what its predecessor held
    could not be told any more from what it holds itself.
    """
    if settings.redis_url is not None or settings.celery_broker_url is not None:
        return None

    def give_back() -> str | None:
        from kombu import Connection
        from redis.exceptions import ConnectionError as NotConnectedError
        from redis.exceptions import TimeoutError as NotAnsweredError

        from packages.infra.queue.unacknowledged import restore_unacknowledged

        # Looked up each time: the server may have moved.
        url = resolve_connections(settings).broker_url
        if url is None:
            raise NotYetError("it waits for the embedded valkey server")
        try:
            with Connection(url, transport_options=_BROKER_PATIENCE) as connection:
                restored = restore_unacknowledged(connection, queues_of(profile))
        except (OperationalError, NotConnectedError, NotAnsweredError, OSError):
            raise NotYetError("it waits for the embedded valkey server, which does not answer") from None
        return f"{restored} message(s) that its predecessor held went back to their queues" if restored else None

    return give_back


class _ServerWatch:
    """Brings dead embedded servers back, and notices when one is found at another address than before."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._services = embedded_services(settings)
        self._known = resolve_connections(settings)

    def look(self) -> Observation:
        """Revive what died. A server that moved is lost to the processes that run: they looked it up at their start."""
        try:
            sentences = self._services.revive()
        except EmbeddedError as error:
            return Observation([f"{error} It is tried again."])
        now = resolve_connections(self._settings)
        moved = any(
            new is not None and new != old
            for new, old in ((now.broker_url, self._known.broker_url), (now.database_url, self._known.database_url))
        )
        if moved:
            self._known = now
        return Observation(sentences, restart=moved)

    def interrupt(self) -> None:
        """Give up a start that is under way."""
        self._services.interrupt()


def _watch(settings: CommonSettings) -> Watch:
    return _ServerWatch(settings) if embedded_servers_needed(settings) else Nothing()
