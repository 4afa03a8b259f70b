"""What the adaptive control holds back, for `minsy status`: by the stored state, the pins, and what the leader says."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.cli.output import is_wide, print_table
from apps.cli.rates import rate_in_words
from packages.catalogue.jobs import JOBS, enabled_jobs
from packages.infra.control.control import Control
from packages.infra.queue.broker_redis import BrokerRedis, open_state_redis
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.control.controllers import NEUTRAL, Controllers, QueueControl, WaitBasis
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Reason
from packages.scheduling.instants import SECOND_MS, to_datetime
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Pin, Snapshot
from packages.scheduling.throttles import Throttle, throttles, throttles_of
from packages.shared_settings import get_beat_settings

if TYPE_CHECKING:
    from packages.infra.beat.beat_status import Replicas

COLUMNS = ("queue", "criticality", "rate", "reason", "since", "wait", "waiting", "jobs owing", "coalesced")
_BASIS_IN_WORDS: Mapping[WaitBasis, str] = {
    WaitBasis.EMPTY: "empty",
    WaitBasis.OLDEST: "oldest message",
    WaitBasis.ESTIMATE: "by length and pace",
    WaitBasis.STUCK: "without end: nothing is completed",
    WaitBasis.LENGTH: "not known, judged by length",
}
_Kind = tuple[str, Criticality]


class ControlState(NamedTuple):
    """What is known of the control at the instant `at`. `controllers` None: a stored state that cannot be read here.

    `leads`: whether anybody does; `is_on`: whether who leads says that publishing answers to anything. `modes`: what
    the gates' objections do. `jobs`: those that the settings turn on. `is_kept`: whether beat keeps anything anywhere
    else than in its own process.
    """

    controllers: Controllers | None
    at: int
    leads: bool = False
    is_on: bool = False
    pins: tuple[Pin, ...] = ()
    modes: Mapping[str, GateMode] = {}
    owed: Mapping[_Kind, int] = {}
    jobs: tuple[Job, ...] = ()
    is_kept: bool = True

    @property
    def known(self) -> Controllers:
        """The stored state; the neutral one where there is none."""
        return self.controllers or NEUTRAL

    def throttles(self) -> list[Throttle]:
        """What is held back or pinned, by queue, and of a queue what is held back first; only where there are jobs."""
        pins = {(pin.queue, pin.criticality): pin for pin in self.pins}
        # Nobody forgets the stored state of a control that was taken away.
        controllers = self.known if self.is_on else NEUTRAL
        snapshot = Snapshot(taken_at=self.at, gate_modes=self.modes, pins=pins, controllers=controllers)
        kinds = {(job.queue, job.criticality) for job in self.jobs}
        known = throttles_of(snapshot, self.jobs, self.at)
        return known + throttles(snapshot, (kind for kind in self._foreign(controllers) if kind not in kinds), self.at)

    def _foreign(self, controllers: Controllers) -> list[_Kind]:
        """Kinds of which the catalogue has no job, or none that is on here: of another application, say."""
        queues = (controllers.queues.keys() | {pin.queue for pin in self.pins}) - {job.queue for job in JOBS}
        every = {(queue, each) for queue in queues for each in Criticality}
        order = list(reversed(Criticality))
        return sorted(every | self.owed.keys(), key=lambda kind: (kind[0], order.index(kind[1])))


def read_control_state(app: Celery, replicas: "Replicas", control: Control, at: int) -> ControlState:
    """What is known at the instant `at`; changes nothing.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    from packages.infra.beat.standing import Standing

    redis = open_state_redis(app)
    leader = next((each for each in replicas.living if each.standing is Standing.LEADING), None)
    return ControlState(
        controllers=NEUTRAL if redis is None else _stored(redis),
        at=at,
        leads=leader is not None,
        is_on=leader is not None and bool(leader.control),
        pins=control.pins,
        modes={**(leader.control if leader is not None else {}), **control.gate_modes},
        owed=leader.owed if leader is not None else {},
        jobs=enabled_jobs(get_beat_settings()),
        is_kept=redis is not None,
    )


def _stored(redis: BrokerRedis) -> Controllers | None:
    from packages.infra.beat.kept_controllers import KeptControllers
    from packages.infra.beat.stored_values import ForeignValueError

    try:
        return KeptControllers(redis).read() or NEUTRAL
    except ForeignValueError:
        return None
    except RedisError as error:
        # As kombu says it of the broker; a bare one would be taken for the result backend's.
        raise OperationalError(str(error)) from error
    finally:
        redis.close()


def control_state_as_json(state: ControlState | None) -> dict[str, Any] | None:
    """The same for `--json`; rates from 0 to 1, instants as RFC 3339."""
    if state is None:
        return None
    known = state.known
    return {
        "on": state.is_on,
        "readable": state.controllers is not None,
        "as_of": _rfc3339(known.stepped_at),
        "gates": dict(state.modes),
        "throttled": [
            {**each._asdict(), "rate": each.rate / ONE, "since": _rfc3339(each.since)} for each in state.throttles()
        ],
        "queues": [
            {
                "queue": queue,
                "wait_ms": control.wait_ms,
                "basis": control.basis,
                "messages": control.messages,
                "unserved": control.unserved,
            }
            for queue, control in sorted(known.queues.items())
        ],
        "objectives": [
            {"objective": name, "level": each.level, "since": _rfc3339(each.since)}
            for name, each in sorted(known.levels.items())
        ],
        "failing_tasks": [
            {"task": task, "rate": each.rate / ONE, "since": _rfc3339(each.since)}
            for task, each in sorted(known.targets.items())
        ],
        "owed": _counts_as_json(state.owed),
        "coalesced": _counts_as_json(known.coalesced),
    }


def print_control_state(state: ControlState, *, since: Callable[[int], str]) -> None:
    """A table of what is throttled or pinned, one line where nothing is. Where there is room, also of all other queues.

    `since` puts an instant in words.
    """
    typer.echo()
    if state.controllers is None:
        typer.echo("adaptive control: its stored state cannot be read here")
    rows = list(_rows(state, since))
    if not rows and state.is_on:
        typer.echo("adaptive control: nothing is throttled")
    elif not state.is_kept:
        typer.echo(
            "adaptive control: it cannot be seen here, for beat keeps what it knows in its own process; "
            "with BEAT_STATE_URL it tells"
        )
    elif not rows:
        typer.echo("adaptive control: off" if state.leads else "adaptive control: no beat leads")
    by_length = sorted(name for name, each in state.known.queues.items() if each.basis is WaitBasis.LENGTH)
    if state.is_on and by_length:
        queues = ", ".join(by_length)
        typer.echo(f"adaptive control: nobody tells how long messages wait in {queues}: judged by their length")
    if state.is_on and is_wide():
        rows += list(_rows_at_ease(state, shown={str(row[0]) for row in rows}))
    if rows:
        print_table(COLUMNS, rows)


def _rows(state: ControlState, since: Callable[[int], str]) -> Iterator[list[object]]:
    known = state.known
    told = {(each.queue, each.criticality): each for each in state.throttles()}
    # What is no longer throttled may still owe a fire for a moment.
    for queue, criticality in [*told, *(kind for kind in sorted(state.owed) if kind not in told)]:
        each = told.get((queue, criticality))
        yield [
            queue,
            criticality.value,
            rate_in_words(ONE if each is None else each.rate),
            None if each is None else reason_in_words(each),
            None if each is None or each.since is None else since(each.since),
            *_wait_cells(known.queues.get(queue)),
            state.owed.get((queue, criticality)),
            known.coalesced.get((queue, criticality)),
        ]
    if state.is_on and state.modes.get("failing_target") is not GateMode.OFF:
        for task, target in sorted(known.targets.items()):
            words = f"target failing: task {task}"
            if state.modes.get("failing_target") is GateMode.OBSERVE:
                words += " (only observed)"
            yield [None, None, rate_in_words(target.rate), words, since(target.since), *[None] * 4]


def _rows_at_ease(state: ControlState, *, shown: set[str]) -> Iterator[list[object]]:
    for queue, control in sorted(state.known.queues.items()):
        if queue not in shown:
            yield [queue, "all", rate_in_words(ONE), None, None, *_wait_cells(control), None, None]


def reason_in_words(throttle: Throttle) -> str:
    """Why so much is let through and no more."""
    match throttle.reason:
        case Reason.THROTTLED:
            words = "backlog"
        case Reason.NO_CONSUMER:
            words = "no consumer"
        case Reason.OBJECTIVE_BURNING:
            words = f"objective {throttle.objective} at L{throttle.level}"
        case Reason.PINNED:
            words = f"pinned: {throttle.note}" if throttle.note else "pinned"
        case other:
            words = other.value
    return f"{words} (only observed)" if throttle.observed else words


def _wait_cells(control: QueueControl | None) -> tuple[str | None, int | None]:
    """How long a message waits, and how many do."""
    if control is None or control.basis is None:
        return None, None if control is None else control.messages
    words = _BASIS_IN_WORDS[control.basis]
    return words if control.wait_ms is None else f"{control.wait_ms / SECOND_MS:.1f} s, {words}", control.messages


def _counts_as_json(counts: Mapping[_Kind, int]) -> list[dict[str, Any]]:
    return [
        {"queue": queue, "criticality": criticality, "count": count}
        for (queue, criticality), count in sorted(counts.items())
    ]


def _rfc3339(instant: int | None) -> str | None:
    return None if instant is None else rfc3339(to_datetime(instant))
