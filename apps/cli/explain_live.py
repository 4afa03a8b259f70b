"""What a running service says about one job: pauses, runs, its state, its last decisions. Nothing is started for it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.cli.environment import load_celery_app
from packages.infra.beat.keeping_control import still_says_something
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.connections import resolve_connections
from packages.infra.control.redis_control import RedisControl
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis, open_state_redis
from packages.infra.queue.running import RunningStore
from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.control.policy import ControlPolicy
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
    """What is known at an instant. `absent` says why nothing is; None when the broker answered."""

    snapshot: Snapshot
    absent: str | None = None
    state: JobState | None = None
    recent: tuple[Decision, ...] = ()
    requests: int = 0


def no_readings(now: int, markets: Tables, why: str) -> Live:
    """Nothing but the calendars is known."""
    return Live(Snapshot(taken_at=now, markets=markets), absent=why)


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
    control, store = RedisControl(redis).read(now), RedisStateStore(redis)
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
        controllers=_controllers(store, now),
    )
    return Live(
        snapshot=snapshot,
        state=store.load([job]).get(job),
        recent=tuple(RedisLedger(redis).read(job, RECENT)),
        requests=sum(not isinstance(request, ResetRequest) and request.job == job for request in control.requests),
    )


def _controllers(store: RedisStateStore, now: int) -> Controllers:
    """What the adaptive control of a beat that runs goes by; neutral if none has said so lately."""
    stored = store.load_controllers()
    if stored is None or not still_says_something(stored, ControlPolicy(), now):
        return NEUTRAL
    return stored if stored.throttles else NEUTRAL
