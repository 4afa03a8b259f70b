"""`minsy status`: processes, servers, queues with their depth, and the last run of each job with its result."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import typer

from apps.cli.environment import embedded_services
from apps.cli.errors import EXIT_NOT_RUNNING
from apps.cli.output import AsJson, print_json, print_table
from apps.cli.supervisor.record import read_record
from packages.catalogue.jobs import JOBS
from packages.infra.connections import Connections, embedded_servers_needed, resolve_connections
from packages.shared_settings import get_beat_settings, get_worker_io_settings
from packages.shared_settings.common import CommonSettings

PING_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class ProcessRow:
    """A process that `minsy up` supervises, an embedded server, or a Celery worker that answered."""

    name: str
    state: str
    pid: int | None
    note: str


@dataclass(frozen=True)
class QueueRow:
    """A queue and the messages that wait in it; None when the broker does not say."""

    name: str
    waiting: int | None


@dataclass(frozen=True)
class JobRow:
    """A job, whether its flag is on, and how it last ended."""

    name: str
    enabled: bool
    state: str | None
    finished_at: str | None
    seconds: float | None
    origin: str | None
    result: Any


def status(*, as_json: AsJson = False) -> None:
    """Show processes, queues with their depth, and each job's last run. Exit code 3 when there is no broker."""
    settings = get_worker_io_settings()
    connections = resolve_connections(settings)
    processes = _processes(settings)
    if connections.broker_url is None:
        if as_json:
            print_json({"processes": [asdict(row) for row in processes], "queues": [], "jobs": []})
        else:
            print_table(["process", "state", "pid", "note"], (list(vars(row).values()) for row in processes))
            typer.echo("No broker runs. Start everything: minsy up. Only the servers: minsy services start", err=True)
        raise typer.Exit(EXIT_NOT_RUNNING)
    queues, jobs, workers = _from_broker(connections)
    processes += workers
    if as_json:
        print_json({name: [asdict(row) for row in rows] for name, rows in _sections(processes, queues, jobs)})
        return
    print_table(["process", "state", "pid", "note"], (list(vars(row).values()) for row in processes))
    typer.echo()
    print_table(["queue", "waiting"], ([row.name, "?" if row.waiting is None else row.waiting] for row in queues))
    typer.echo()
    print_table(
        ["job", "flag", "last run", "at", "seconds", "by", "result"],
        (
            [
                row.name,
                "on" if row.enabled else "off",
                row.state or "never",
                row.finished_at,
                None if row.seconds is None else f"{row.seconds:.3f}",
                row.origin,
                None if row.state is None else json.dumps(row.result, default=str),
            ]
            for row in jobs
        ),
    )


def _sections(processes: list[ProcessRow], queues: list[QueueRow], jobs: list[JobRow]) -> list[tuple[str, list[Any]]]:
    return [("processes", processes), ("queues", queues), ("jobs", jobs)]


def _processes(settings: CommonSettings) -> list[ProcessRow]:
    rows = []
    record = read_record(settings.minsy_var_dir)
    if record is not None and record.supervisor.is_alive():
        rows.append(ProcessRow("minsy up", "running", record.supervisor.pid, ""))
        rows += [
            ProcessRow(
                process.name,
                process.state,
                process.process.pid if process.process else None,
                f"started again {process.restarts} times" if process.restarts else "",
            )
            for process in record.processes
        ]
    needed = embedded_servers_needed(settings)
    rows += [
        ProcessRow(f"embedded {server.name}", server.state, server.pid, f"port {server.port}" if server.port else "")
        for server in embedded_services(settings).status()
        if server.name in needed
    ]
    return rows


def _from_broker(connections: Connections) -> tuple[list[QueueRow], list[JobRow], list[ProcessRow]]:
    from packages.infra.queue.celery_app import celery_app
    from packages.infra.queue.depths import queue_depths
    from packages.infra.queue.last_runs import read_last_runs

    del connections
    with celery_app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
        depths = queue_depths(connection)
    last = read_last_runs(celery_app)
    beat = get_beat_settings()
    jobs = []
    for job in JOBS:
        run = last.get(job.name)
        jobs.append(
            JobRow(
                name=job.name,
                enabled=job.enabled(beat),
                state=run.state if run else None,
                finished_at=run.finished_at.isoformat(timespec="seconds") if run else None,
                seconds=round(run.seconds, 3) if run else None,
                origin=run.origin if run else None,
                result=run.result if run else None,
            )
        )
    answers: list[dict[str, Any]] = celery_app.control.ping(timeout=PING_TIMEOUT_S) or []
    workers = [ProcessRow(name, "answers", None, "celery worker") for answer in answers for name in answer]
    return [QueueRow(name, waiting) for name, waiting in depths.items()], jobs, sorted(workers, key=lambda w: w.name)
