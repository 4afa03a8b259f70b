"""What a running service says about one job: pauses, runs, its state, its last decisions. Nothing is started for it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.cli.environment import load_celery_app
from packages.infra.beat.beat_status import BeatStatusStore
from packages.infra.beat.kept_controllers import KeptControllers
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.standing import Standing
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.beat.stored_values import ForeignValueError
from packages.infra.connections import resolve_connections
from packages.infra.control.redis_control import RedisControl
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis, open_state_redis
from packages.infra.queue.running import RunningStore
from packages.scheduling.control.controllers import NEUTRAL
from packages.scheduling.decision import Decision
from packages.scheduling.requests import ResetRequest
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Reading, Snapshot
from packages.scheduling.state import JobState
from packages.shared_settings import get_worker_io_settings

# So many of the last decisions are told.
RECENT: Final = 20

Tables = Mapping[str, SessionTable]


@dataclass(frozen=True)
class Live:
    """What is known at an instant. `absent` says why nothing is; None when the broker answered.

    `uncontrolled` says why nothing is known of the adaptive control; None where its state was read.
    """

    snapshot: Snapshot
    absent: str | None = None
    state: JobState | None = None
    recent: tuple[Decision, ...] = ()
    requests: int = 0
    uncontrolled: str | None = None


def no_readings(now: int, markets: Tables, why: str) -> Live:
    """Nothing but the calendars is known."""
    return Live(Snapshot(taken_at=now, markets=markets), absent=why, uncontrolled=why)


def read_live(job: str, now: int, markets: Tables, *, in_use: Callable[[Collection[str]], Tables]) -> Live:
    """What the broker of this process's settings has about `job` at the instant `now`. Never raises for want of it.

    `in_use` gives the calendars of the markets in use that are not in `markets`, as far as there are any.
    """
    if resolve_connections(get_worker_io_settings()).broker_url is None:
        return no_readings(now, markets, "no broker runs")
    app = load_celery_app()
    try:
        redis = open_state_redis(app)
        if redis is None:
            return no_readings(now, markets, "the broker is not Redis, and BEAT_STATE_URL is not set")
        try:
            return _read(redis, job, now, markets, in_use)
        finally:
            redis.close()
    except (OperationalError, RedisError, StoreAwayError, OSError) as error:
        # The kind alone: the text of a refused connection may have its URL.
        return no_readings(now, markets, f"the broker cannot be reached ({type(error).__name__})")


def _read(redis: BrokerRedis, job: str, now: int, markets: Tables, in_use: Callable[[Collection[str]], Tables]) -> Live:
    control = RedisControl(redis).read(now)
    active = ActiveMarketsStore(redis).read(now)
    if active is not None:
        markets = {**markets, **in_use(active.value - markets.keys())}
        # As beat does it: a market that no calendar knows must not open the gate for all that trade elsewhere.
        active = Reading(active.value & markets.keys(), active.taken_at)
    snapshot = Snapshot(
        taken_at=now,
        markets=markets,
        pauses=Reading(control.pauses, now),
        running=RunningStore(redis).read(now),
        active_markets=active,
        gate_modes=control.gate_modes,
        pins={(pin.queue, pin.criticality): pin for pin in control.pins},
        exempt={exemption.job: exemption for exemption in control.exemptions},
    )
    snapshot, uncontrolled = _controlled(redis, snapshot)
    return Live(
        snapshot=snapshot,
        uncontrolled=uncontrolled,
        state=RedisStateStore(redis).load([job]).get(job),
        recent=tuple(RedisLedger(redis).read(job, RECENT)),
        requests=sum(not isinstance(request, ResetRequest) and request.job == job for request in control.requests),
    )


def _controlled(redis: BrokerRedis, snapshot: Snapshot) -> tuple[Snapshot, str | None]:
    """The snapshot as the adaptive control of the beat that leads sees it; else as it is, and why."""
    leader = next((each for each in BeatStatusStore(redis).read().living if each.standing is Standing.LEADING), None)
    if leader is None:
        return snapshot, "no beat leads"
    if not leader.control:
        return snapshot, "the beat that leads has it off"
    uncontrolled: str | None = None
    try:
        stored = KeptControllers(redis).read() or NEUTRAL
    except ForeignValueError:
        stored, uncontrolled = NEUTRAL, "its stored state cannot be read here"
    # An operator's word goes before what the settings say of a gate.
    modes = {**leader.control, **snapshot.gate_modes}
    controllers = stored if stored.throttles else NEUTRAL
    return snapshot._replace(gate_modes=modes, controllers=controllers), uncontrolled
