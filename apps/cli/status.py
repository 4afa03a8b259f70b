"""`minsy status`: processes, servers, beat's replicas, what is throttled, queues, pauses, the last run of each job."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer
from celery import Celery

from apps.cli.beat_settings import beat_settings
from apps.cli.beat_status import (
    REPLICA_COLUMNS,
    fact_rows,
    lease_in_words,
    read_replicas,
    replica_cells,
    replicas_as_json,
)
from apps.cli.broker_state import broker_trouble
from apps.cli.control import current_control, pause_as_json, present
from apps.cli.control_state import ControlState, control_state_as_json, read_control_state
from apps.cli.environment import embedded_services, load_celery_app
from apps.cli.errors import EXIT_NOT_RUNNING
from apps.cli.output import AsJson, coloured, is_terminal, is_wide, print_json, print_table
from apps.cli.pause import print_pauses
from apps.cli.supervisor.record import read_record
from apps.cli.throttle_status import print_control_state
from packages.catalogue.jobs import JOBS
from packages.catalogue.queues import QUEUES
from packages.infra.connections import embedded_servers_needed, resolve_connections
from packages.scheduling.instants import to_datetime
from packages.shared_settings import get_worker_io_settings
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.common import CommonSettings

if TYPE_CHECKING:
    from packages.infra.beat.beat_status import Replicas
    from packages.infra.beat.standing import Trouble
    from packages.scheduling.snapshot import Pause

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
    finished_at: datetime | None
    seconds: float | None
    origin: str | None
    result: Any


def status(*, as_json: AsJson = False) -> None:
    """Show processes, replicas of beat, throttles, queues, pauses, last runs of jobs. Exit code 3 without a broker.

    On a terminal results are shortened; `--json` and a pipe have them whole.
    """
    settings, beats = get_worker_io_settings(), beat_settings()
    has_broker = resolve_connections(settings).broker_url is not None
    processes = _processes(settings)
    queues: list[QueueRow] = []
    jobs: list[JobRow] = []
    pauses: Sequence[Pause] = ()
    control: ControlState | None = None
    beat: Replicas | None = None
    trouble: Trouble | None = None
    if has_broker:
        celery_app = load_celery_app()
        trouble = broker_trouble(celery_app)
        queues, jobs = _queues(celery_app), _jobs(celery_app, beats)
        said, beat = current_control(celery_app), read_replicas(celery_app)
        pauses, control = said.pauses, read_control_state(celery_app, beat, said, present())
        if trouble is None:
            # They answer through the broker, which must take the question.
            processes += _workers(celery_app)
    if as_json:
        sections: Mapping[str, Sequence[Any]] = {"processes": processes, "queues": queues, "jobs": jobs}
        shown = {name: [asdict(row) for row in rows] for name, rows in sections.items()}
        print_json(
            shown
            | {
                "pauses": [pause_as_json(pause) for pause in pauses],
                "beat": None if beat is None else replicas_as_json(beat),
                "control": control_state_as_json(control),
                "broker": {"trouble": trouble},
            }
        )
    else:
        _print_processes(processes)
        if trouble is not None:
            _print_trouble(trouble)
        if has_broker:
            if beat is not None and control is not None:
                _print_beat(beat)
                print_control_state(control, since=_in_words)
            _print_queues(queues)
            if pauses:
                typer.echo()
                print_pauses(pauses)
            _print_jobs(jobs, now=datetime.now(UTC))
    if not has_broker:
        if not as_json:
            typer.echo("No broker runs. Start everything: minsy up. Only the servers: minsy services start", err=True)
        raise typer.Exit(EXIT_NOT_RUNNING)


def age_in_words(age: timedelta) -> str:
    """An age in its largest unit, such as `12 s ago`; `now` for one in the future, as when two clocks differ."""
    seconds = int(age.total_seconds())
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= length_s:
            return f"{seconds // length_s} {unit} ago"
    return "now"


def restarts_in_words(restarts: int) -> str:
    """How often a process was started again; nothing for never."""
    match restarts:
        case 0:
            return ""
        case 1:
            return "started again once"
        case _:
            return f"started again {restarts} times"


def _processes(settings: CommonSettings) -> list[ProcessRow]:
    rows = []
    record = read_record(settings.minsy_var_dir)
    if record is not None and record.supervisor.is_alive():
        rows.append(ProcessRow("minsy up", "running", record.supervisor.pid, ""))
        rows += [
            ProcessRow(
                process.name,
                process.state,
                process.process.pid if process.process and process.state == "running" else None,
                restarts_in_words(process.restarts),
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


def _queues(celery_app: Celery) -> list[QueueRow]:
    from packages.infra.probes.declared import DeclaredQueues

    with celery_app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
        declared = DeclaredQueues(connection)
        return [QueueRow(queue.name, declared.ask(queue.name).ready) for queue in QUEUES]


def _jobs(celery_app: Celery, beat: BeatSettings) -> list[JobRow]:
    from packages.infra.queue.last_runs import read_last_runs

    last = read_last_runs(celery_app)
    return [
        JobRow(
            name=job.name,
            enabled=job.enabled(beat),
            state=run.state if run else None,
            finished_at=run.finished_at.replace(microsecond=0) if run else None,
            seconds=round(run.seconds, 3) if run else None,
            origin=run.origin if run else None,
            result=run.result if run else None,
        )
        for job in JOBS
        for run in [last.get(job.name)]
    ]


def _workers(celery_app: Celery) -> list[ProcessRow]:
    answers: list[dict[str, Any]] = celery_app.control.ping(timeout=PING_TIMEOUT_S) or []
    names = sorted(name for answer in answers for name in answer)
    return [ProcessRow(name, "answers", None, "celery worker") for name in names]


def _print_processes(processes: Sequence[ProcessRow]) -> None:
    print_table(
        ["process", "state", "pid", "note"],
        ([row.name, coloured(row.state), row.pid, row.note] for row in processes),
    )


def _print_trouble(trouble: "Trouble") -> None:
    from packages.infra.beat.trouble import IN_WORDS

    words = IN_WORDS[trouble]
    typer.echo(f"\n{words[0].upper()}{words[1:]}.")


def _in_words(instant: int) -> str:
    """On a terminal its age, elsewhere the instant: a file is read later."""
    moment = to_datetime(instant)
    return age_in_words(datetime.now(UTC) - moment) if is_terminal() else moment.replace(microsecond=0).isoformat()


def _print_beat(beat: "Replicas") -> None:
    typer.echo()
    if not beat.living:
        typer.echo("No beat has said anything for a minute.")
        return
    print_table(REPLICA_COLUMNS, (replica_cells(status, beat, at=_in_words) for status in beat.living))
    typer.echo(lease_in_words(beat))
    if rows := fact_rows(beat.living[0]):
        typer.echo()
        print_table(["beat", "is"], rows)


def _print_queues(queues: Sequence[QueueRow]) -> None:
    typer.echo()
    print_table(["queue", "waiting"], ([row.name, "?" if row.waiting is None else row.waiting] for row in queues))


def _print_jobs(jobs: Sequence[JobRow], *, now: datetime) -> None:
    """On a terminal ages, elsewhere instants: a file is read later."""
    typer.echo()
    details, with_ages = is_wide(), is_terminal()
    columns = ["job", "flag", "last run", "at", *(["seconds", "by"] if details else []), "result"]

    def cells(row: JobRow) -> list[object]:
        at: str | None = None
        if row.finished_at is not None:
            at = age_in_words(now - row.finished_at) if with_ages else row.finished_at.isoformat()
        more = [None if row.seconds is None else f"{row.seconds:.3f}", row.origin] if details else []
        result = None if row.state is None else json.dumps(row.result, default=str)
        return [row.name, coloured("on" if row.enabled else "off"), coloured(row.state or "never"), at, *more, result]

    print_table(columns, map(cells, jobs), shortened="result")
