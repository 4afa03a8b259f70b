"""Connects a worker to the counts of its ended runs and to its heartbeat.

    process that runs the task    task_prerun, task_postrun ──(one record)──> pipe
    main process                  task_revoked (also expired), task_failure of a run whose process is gone ──> pipe
                                  pipe ──> sums ──(every two seconds)──> buckets in Redis

A retry, a message that was dropped as a duplicate and one that went back to its queue are no end of a run. An error of
Redis is left to the thread that tells; no task waits for it.
"""

import struct
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from celery import Task, signals, states
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from packages.catalogue.jobs import JOBS
from packages.infra.queue.broker_clock import BrokerClock
from packages.infra.queue.held_messages import ConsumerWatch, QueueNames
from packages.infra.queue.outages import Errand
from packages.infra.queue.running_signals import ProcessRedis, instant_of, present
from packages.infra.queue.work_buckets import EXPIRED, FAILED, OK, SEPARATOR
from packages.infra.queue.work_sums import EndedRun, WorkSums
from packages.infra.queue.worker_heartbeats import say
from packages.infra.queue.worker_reports import Report, report_while_ready
from packages.infra.telemetry.process_pipe import ProcessPipe
from packages.scheduling.instants import SECOND_MS

TOLD_EVERY: Final = timedelta(seconds=2)
_BEGUN: Final = "minsy_work_begun"
# Outcome, wait and run time in milliseconds (-1: not known), how long the queue's name is; then queue and task.
_RECORD: Final = struct.Struct("!BqqB")
_UNKNOWN: Final = -1
_LONGEST_NAME: Final = 240
_ERRORS: Final = (RedisError, KombuError, OSError)


class _Begun(NamedTuple):
    at: int
    monotonic_s: float


class WorkTeller:
    """Of one worker, made in its main process before it forks: what its processes tell of the runs that end.

    `clock` gives the instant by which they are counted.
    """

    def __init__(self, names: QueueNames, clock: Callable[[], int]) -> None:
        self._names = names
        self.sums = WorkSums({job.name: job.criticality.value for job in JOBS}, clock)
        self.pipe = ProcessPipe(lambda record: self.sums.add(run_of(record)), name="worker-work")
        # What the main process holds: of a run whose process is gone nobody else knows anything.
        self._held: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()

    def connect(self) -> None:
        """Connect the receivers, but for `ended`."""
        signals.task_prerun.connect(self._begun, weak=False)
        signals.task_received.connect(self._received, weak=False)
        signals.task_failure.connect(self._lost, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)

    def _begun(self, task: "Task[Any, Any]", **_: object) -> None:
        # The request is Celery's own carrier of a run's state, and ends with it.
        vars(task.request)[_BEGUN] = _Begun(present(), time.monotonic())

    def ended(self, task: "Task[Any, Any]", retval: object, state: str | None) -> None:
        """A process has ended a run, or a try of it."""
        request = task.request
        begun = vars(request).get(_BEGUN)
        outcome = outcome_of(state, retval)
        if begun is None or outcome is None or request.is_eager:
            return
        wait_ms = None
        # A later try waited for its time, not for a worker.
        if not request.retries:
            published_at = instant_of((request.headers or {}).get("beat_published_at"))
            wait_ms = None if published_at is None else begun.at - published_at
        run_ms = round((time.monotonic() - begun.monotonic_s) * SECOND_MS)
        self._tell(EndedRun(self._names.of(request.delivery_info), task.name, outcome, wait_ms, run_ms))

    def _received(self, request: Any, **_: object) -> None:  # noqa: ANN401  # celery's Request
        self._held[request.id] = request

    def _lost(self, sender: "Task[Any, Any]", task_id: str, exception: object = None, **_: object) -> None:
        # A process that still runs the task tells of it when it ends.
        if not isinstance(exception, WorkerLostError | TimeLimitExceeded) or _BEGUN in vars(sender.request):
            return
        # Sent twice for a run that was over its time: for that, and for its process.
        if (held := self._held.pop(task_id, None)) is None:
            return
        begun_at = None if held.time_start is None else round(held.time_start * SECOND_MS)
        published_at = instant_of(held.request_dict.get("beat_published_at"))
        is_first = not held.request_dict.get("retries")
        wait_ms = begun_at - published_at if begun_at and published_at and is_first else None
        run_ms = None if begun_at is None else present() - begun_at
        self._tell(EndedRun(self._names.of(held.delivery_info), sender.name, FAILED, wait_ms, run_ms))

    def _revoked(self, sender: "Task[Any, Any]", request: Any, **_: object) -> None:  # noqa: ANN401  # celery's Context
        self._held.pop(request.id, None)
        self._tell(EndedRun(self._names.of(request.delivery_info), sender.name, EXPIRED))

    def _tell(self, run: EndedRun) -> None:
        self.pipe.tell(record_of(run))


def connect_work_signals() -> None:
    """Have a worker count its ended runs and say that it lives; called once, when the app is made.

    Called before other receivers of `task_postrun` are connected: what these do is not to count as run time.
    """
    tellers: list[WorkTeller] = []
    # What several workers count goes into the same buckets.
    clock = BrokerClock(present)

    def begin(sender: Any, **_: object) -> None:  # noqa: ANN401  # celery's WorkController
        # In the main process, before the pool is forked: its processes inherit the pipe.
        teller = WorkTeller(QueueNames(sender.app), clock)
        teller.connect()
        tellers.append(teller)

    def reports_of(consumer: Any) -> Sequence[Report]:  # noqa: ANN401  # celery's consumer
        for teller in tellers:
            teller.pipe.take_in_thread()
        return [_heartbeat(consumer, clock), *(_counts(consumer, teller) for teller in tellers)]

    def ended(task: "Task[Any, Any]", retval: object = None, state: str | None = None, **_: object) -> None:
        for teller in tellers:
            teller.ended(task, retval, state)

    signals.task_postrun.connect(ended, weak=False)
    signals.worker_init.connect(begin, weak=False)
    report_while_ready(reports_of)


def _heartbeat(consumer: Any, clock: BrokerClock) -> Report:  # noqa: ANN401  # celery's consumer
    process_redis, watch = ProcessRedis(consumer.app), ConsumerWatch(consumer)
    # Tried each time: a worker that is silent for a few seconds is taken to be dead.
    errand = Errand("worker_heartbeat", _ERRORS, tried_again_after=timedelta(0))

    def tell(*, is_last: bool = False) -> None:
        if (redis := process_redis()) is not None:
            redis.ask_again()
            heartbeat = watch.last() if is_last else watch.heartbeat(present())
            clock.hear(lambda: say(redis, consumer.hostname, heartbeat))

    return Report(TOLD_EVERY, lambda: errand.run(tell), lambda: errand.run(lambda: tell(is_last=True)))


def _counts(consumer: Any, teller: WorkTeller) -> Report:  # noqa: ANN401  # celery's consumer
    process_redis = ProcessRedis(consumer.app)
    errand = Errand("work_counts", _ERRORS)

    def tell() -> None:
        teller.pipe.take_what_is_there()
        if (redis := process_redis()) is None:
            teller.sums.forget()
        else:
            teller.sums.flush(redis)

    return Report(TOLD_EVERY, lambda: errand.run(tell), lambda: errand.run(tell))


def outcome_of(state: str | None, outcome: object) -> int | None:
    """What the end of a run counts as; None if the run goes on, or was none."""
    if state == states.SUCCESS:
        return OK
    if state == states.FAILURE:
        return FAILED
    if state == states.REJECTED and not getattr(outcome, "requeue", False):
        return FAILED
    return None


def record_of(run: EndedRun) -> bytes:
    """A run as it goes through the pipe; what is longer or earlier than can be is cut."""
    wait_ms, run_ms = (_UNKNOWN if each is None else max(0, each) for each in (run.wait_ms, run.run_ms))
    names = (name.replace(SEPARATOR, "?") for name in (run.queue, run.task))
    queue, task = (name.encode(errors="replace")[:_LONGEST_NAME] for name in names)
    return _RECORD.pack(run.outcome, wait_ms, run_ms, len(queue)) + queue + task


def run_of(record: bytes) -> EndedRun:
    """The run of a record."""
    outcome, wait_ms, run_ms, length = _RECORD.unpack_from(record)
    names = record[_RECORD.size :]
    queue, task = (name.decode(errors="replace") for name in (names[:length], names[length:]))
    times = (None if each == _UNKNOWN else each for each in (wait_ms, run_ms))
    return EndedRun(queue, task, outcome, *times)
