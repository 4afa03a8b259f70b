"""What is known of the adaptive control, for `minsy status`: the stored state, the pins, and what the leader says."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from packages.catalogue.jobs import JOBS, enabled_jobs
from packages.infra.control.control import Control
from packages.infra.queue.broker_redis import BrokerRedis, open_state_redis
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.control.controllers import NEUTRAL, Controllers, LevelControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.gates import slo
from packages.scheduling.instants import to_datetime
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from packages.scheduling.throttles import FailingTask, Throttle, failing_tasks, in_order, throttles, throttles_of
from packages.shared_settings import get_beat_settings

if TYPE_CHECKING:
    from packages.infra.beat.beat_status import Replicas

Kind = tuple[str, Criticality]


class ControlState(NamedTuple):
    """What is known of the control at the instant `at`. `controllers` None: a stored state that cannot be read here.

    `leads`: whether anybody does; `is_on`: whether who leads says that publishing answers to anything. `modes`: what
    the gates' objections do. `jobs`: those that the settings turn on. `exempt`: by job. `is_kept`: whether
    beat keeps what it knows anywhere else than in its own process.
    """

    controllers: Controllers | None
    at: int
    leads: bool = False
    is_on: bool = False
    pins: tuple[Pin, ...] = ()
    modes: Mapping[str, GateMode] = {}
    owed: Mapping[Kind, int] = {}
    jobs: tuple[Job, ...] = ()
    exempt: Mapping[str, Exemption] = {}
    is_kept: bool = True

    @property
    def known(self) -> Controllers:
        """The stored state; the neutral one where there is none."""
        return self.controllers or NEUTRAL

    def throttles(self) -> list[Throttle]:
        """What is held back or pinned, by queue, and of a queue what is held back first; only where there are jobs."""
        snapshot = self._snapshot()
        kinds = {(job.queue, job.criticality) for job in self.jobs}
        foreign = (kind for kind in self._foreign(snapshot.controllers) if kind not in kinds)
        return throttles_of(snapshot, self.jobs, self.at) + throttles(snapshot, foreign, self.at)

    def failing_tasks(self) -> list[FailingTask]:
        """The tasks that fail, each with the kinds of jobs that are held for it; exempt jobs are not."""
        return failing_tasks(self._snapshot()._replace(exempt=self.exempt), self.jobs, self.at)

    def burning(self) -> list[tuple[str, LevelControl]]:
        """The objectives that burn, by name."""
        if self.modes.get(slo.NAME) is GateMode.OFF:
            return []
        return sorted((name, level) for name, level in self._snapshot().controllers.levels.items() if level.level)

    def _snapshot(self) -> Snapshot:
        pins = {(pin.queue, pin.criticality): pin for pin in self.pins}
        # Nobody forgets the stored state of a control that was taken away.
        controllers = self.known if self.is_on else NEUTRAL
        return Snapshot(taken_at=self.at, gate_modes=self.modes, pins=pins, controllers=controllers)

    def _foreign(self, controllers: Controllers) -> list[Kind]:
        """Kinds of which the catalogue has no job, or none that is on here: of another application, say."""
        queues = (controllers.queues.keys() | {pin.queue for pin in self.pins}) - {job.queue for job in JOBS}
        every = {(queue, each) for queue in queues for each in Criticality}
        return in_order(every | self.owed.keys())


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
        exempt={each.job: each for each in control.exemptions},
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
            {
                "objective": name,
                "level": each.level,
                "since": _rfc3339(each.since),
                "sheds": None if each.sheds is None else sorted(each.sheds),
            }
            for name, each in sorted(known.levels.items())
        ],
        "failing_tasks": [
            {
                "task": each.task,
                "rate": each.rate / ONE,
                "since": _rfc3339(each.since),
                "observed": each.observed,
                "holds": None if each.kinds is None else [_kind_as_json(kind) for kind in each.kinds],
            }
            for each in state.failing_tasks()
        ],
        "owed": _counts_as_json(state.owed),
        "coalesced": _counts_as_json(known.coalesced),
    }


def _counts_as_json(counts: Mapping[Kind, int]) -> list[dict[str, Any]]:
    return [{**_kind_as_json(kind), "count": count} for kind, count in sorted(counts.items())]


def _kind_as_json(kind: Kind) -> dict[str, str]:
    return {"queue": kind[0], "criticality": kind[1]}


def _rfc3339(instant: int | None) -> str | None:
    return None if instant is None else rfc3339(to_datetime(instant))
