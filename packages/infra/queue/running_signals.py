"""What a worker does for the record of what still runs: the runs that it starts and ends, whichever process knows.

    in the process that runs the task    task_prerun, task_postrun
    in the worker's main process         task_revoked (also expired), task_failure (a killed child, a time limit),
                                         task_unknown; and the leases of all that the worker holds

Only messages of beat are counted. Nothing here may fail or hold up a task: while Redis is away it is left out, and the
leases lapse.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

from celery import Celery, Task, signals, states
from celery.exceptions import Retry
from celery.utils.time import maybe_iso8601
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from packages.infra.queue.broker_redis import STATE_URL_SETTING, BrokerRedis, open_broker_redis, open_state_redis
from packages.infra.queue.completions import completed_for, completion_id
from packages.infra.queue.outages import Errand
from packages.infra.queue.running import LEASE, JobRun, RunningStore
from packages.scheduling.instants import SECOND_MS, to_instant, to_ms
from packages.scheduling.snapshot import Run

_LEASE_MS = to_ms(LEASE)


class ProcessRedis:
    """The Redis of the broker, or of beat's state, as one process reaches it, opened at its first use; None without."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._opened: list[BrokerRedis | None] = []

    def __call__(self) -> BrokerRedis | None:
        """Open it, or what was opened before.

        Raises:
            kombu.exceptions.KombuError: the broker cannot be reached.
        """
        with self._lock:
            if not self._opened:
                # Not asked for where there is none: it would warn of what is beat's alone.
                has_state = bool(self._app.conf.get(STATE_URL_SETTING))
                self._opened.append((open_state_redis if has_state else open_broker_redis)(self._app))
            return self._opened[0]


class RunKeeper:
    """The receivers of one process."""

    def __init__(self, app: Celery) -> None:
        self._redis = ProcessRedis(app)
        self._errand = Errand("running_record", (RedisError, KombuError, OSError))

    def started(self, task_id: str, task: "Task[Any, Any]", now: int) -> None:
        """Count a run that begins now."""
        if job := _job_of(task):
            self._count(_run(job, task_id, task, now + _LEASE_MS, now))

    def stopped(self, task_id: str, task: "Task[Any, Any]", state: str | None, outcome: object, now: int) -> None:
        """Count a run no more, unless it goes on: as a retry, or because its message went back to the queue."""
        job, known_for = _job_of(task), completed_for(task)
        if not job or (state == states.REJECTED and getattr(outcome, "requeue", False)):
            return
        if state == states.RETRY and isinstance(outcome, Retry):
            counts_until = max(_due_at(outcome, now) + _LEASE_MS, instant_of(task.request.expires) or 0)
            self._count(_run(job, task_id, task, counts_until, now))
        elif state == states.SUCCESS and known_for is not None and completion_id(task) is not None:
            length = known_for
            self._do(lambda store: store.completed(task_id, known_for=length))
        else:
            self.ended(task_id)

    def is_completed(self, task_id: str) -> bool:
        """Whether a run has completed before; False as long as nobody can be asked."""
        found: list[bool] = []
        self._do(lambda store: found.append(store.is_completed(task_id)))
        return any(found)

    def ended(self, task_id: str) -> None:
        """Count a run no more, if it was counted."""
        self._do(lambda store: store.ended([task_id]))

    def renew(self, now: int) -> None:
        """Renew the leases of all that this worker holds; only in its main process."""
        # Imported here: a command and beat import this module, and are no workers.
        from celery.worker.state import requests

        # Copied in one step of the interpreter: other threads change it.
        counts_until = held_runs(list(requests.values()), now)
        self._do(lambda store: store.renew(counts_until, now=now))

    def _count(self, run: JobRun) -> None:
        self._do(lambda store: store.started(run))

    def _do(self, action: Callable[[RunningStore], None]) -> None:
        def reached() -> None:
            if (redis := self._redis()) is not None:
                action(RunningStore(redis))

        self._errand.run(reached)


class HeldMessage(Protocol):
    """What Celery's `Request` says of a message that a worker has taken. `time_start` is None until it is started."""

    id: str
    time_start: float | None

    @property
    def request_dict(self) -> Mapping[str, Any]:
        """The headers of the message."""
        ...

    @property
    def eta(self) -> datetime | None:
        """Not to be started before; aware."""
        ...

    @property
    def expires(self) -> datetime | None:
        """Not to be started after; aware."""
        ...


def held_runs(held: Iterable[HeldMessage], now: int) -> dict[str, int]:
    """Until when each run of beat counts whose message a worker has taken, by task id.

    One that waits for its time counts a lease beyond that; one that waits for a free process, until it expires.
    """
    counts_until: dict[str, int] = {}
    for message in held:
        if not message.request_dict.get("beat_job"):
            continue
        until = now + _LEASE_MS
        if message.time_start is None:
            if message.eta is not None:
                until = max(until, to_instant(message.eta) + _LEASE_MS)
            if message.expires is not None:
                until = min(until, to_instant(message.expires))
        counts_until[message.id] = until
    return counts_until


@cache
def keeper_of(app: Celery) -> RunKeeper:
    """This process's keeper; a child's is its own, for a connection must not cross a fork."""
    return RunKeeper(app)


os.register_at_fork(after_in_child=keeper_of.cache_clear)


def connect_running_signals() -> None:
    """Connect the receivers of a worker; called once, when the app is made."""
    signals.task_prerun.connect(_prerun, weak=False)
    signals.task_postrun.connect(_postrun, weak=False)
    signals.task_revoked.connect(_revoked, weak=False)
    signals.task_failure.connect(_failed, weak=False)
    signals.task_unknown.connect(_unknown, weak=False)


def present() -> int:
    """The present instant: the edge where the worker's clock enters."""
    return to_instant(datetime.now(UTC))


def _prerun(task_id: str, task: "Task[Any, Any]", **_: object) -> None:
    keeper_of(task.app).started(task_id, task, present())


def _postrun(
    task_id: str, task: "Task[Any, Any]", retval: object = None, state: str | None = None, **_: object
) -> None:
    keeper_of(task.app).stopped(task_id, task, state, retval, present())


def _revoked(sender: "Task[Any, Any]", request: Any, **_: object) -> None:  # noqa: ANN401  # celery's Context
    if (request.headers or {}).get("beat_job"):
        keeper_of(sender.app).ended(request.id)


def _failed(sender: "Task[Any, Any]", task_id: str, **_: object) -> None:
    # Sent in the main process without the request's headers, so that it cannot be told whose run it was.
    if not sender.request.is_eager:
        keeper_of(sender.app).ended(task_id)


def _unknown(sender: Any, id: str | None = None, **_: object) -> None:  # noqa: A002, ANN401  # celery's own names
    if id:
        keeper_of(sender.app).ended(id)


def _job_of(task: "Task[Any, Any]") -> str | None:
    if task.request.is_eager:
        return None
    job = (task.request.headers or {}).get("beat_job")
    return job if isinstance(job, str) else None


def _run(job: str, task_id: str, task: "Task[Any, Any]", counts_until: int, now: int) -> JobRun:
    published_at = instant_of((task.request.headers or {}).get("beat_published_at"))
    return JobRun(job, Run(task_id, now if published_at is None else published_at, counts_until))


def _due_at(retry: Retry, now: int) -> int:
    """When a retry begins: celery gives seconds from now, or an instant."""
    if isinstance(retry.when, datetime):
        return instant_of(retry.when) or now
    return now + round(float(retry.when or 0) * SECOND_MS)


def instant_of(value: object) -> int | None:
    """The instant of a datetime or of its text, in UTC where it has no zone; None of anything else."""
    if not isinstance(value, str | datetime):
        return None
    try:
        moment = maybe_iso8601(value)
    except ValueError:
        return None
    if not isinstance(moment, datetime):
        return None
    return to_instant(moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC))
