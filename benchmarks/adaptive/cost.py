"""What the adaptive control costs a fire, and a control interval, at 100,000 jobs in 50 queues: CPU time of the engine.

The same jobs come due at once and are decided in batches of a thousand, without a control, under one that throttles
nobody, and under one that throttles every queue to a half: then half of the fires wait and are taken up by the next.
The probe's one round trip for 50 queues is measured by `tests/probes/test_redis_probe.py`.
"""

import time
from collections.abc import Callable, Mapping

from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.control.step import step
from packages.scheduling.engine import Engine
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger

JOBS = 100_000
QUEUES = 50
ROUNDS = 4
BAR_US = 20.0
# A Monday.
BEGIN = 1_772_409_600_000
_HALF = 500_000
_NAMES = [f"queue_{number}" for number in range(QUEUES)]
_CRITICALITIES = (Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS)


def main() -> None:
    """Measure and print."""
    calm = _readings(0)
    standing = _readings(60 * SECOND_MS)
    halved = Controllers(
        stepped_at=BEGIN, queues={queue: QueueControl(rates=dict.fromkeys(_CRITICALITIES, _HALF)) for queue in _NAMES}
    )
    # The interval never ends, so that what is measured is the gate and not the step.
    lasting = ControlPolicy(interval_ms=MINUTE_MS, stale_ms=MINUTE_MS)
    plain = _per_fire(lambda engine: engine.use_control(None))
    neutral = _per_fire(lambda engine: _under(engine, lasting, Controllers(stepped_at=BEGIN)))
    throttled = _per_fire(lambda engine: _under(engine, lasting, halved))
    print(f"{JOBS:,} jobs, {QUEUES} queues; CPU time of the engine in microseconds a fire, minimum of {ROUNDS} rounds")
    print(f"  no control            {plain:6.2f}")
    print(f"  nobody is throttled   {neutral:6.2f}   + {neutral - plain:.2f}")
    print(f"  all are, by a half    {throttled:6.2f}   + {throttled - plain:.2f}   (at most {BAR_US:g})")
    print("One control interval, milliseconds")
    for words, readings in (("nothing waits", calm), ("all stand", standing)):
        print(f"  {words:15} {_per_step(readings):6.3f}")


def _under(engine: Engine, policy: ControlPolicy, controllers: Controllers) -> None:
    engine.use_control(policy)
    engine.put_controllers(controllers)


def _per_fire(prepare: Callable[[Engine], None]) -> float:
    engine = Engine()
    trigger = IntervalTrigger(MINUTE_MS)
    for number in range(JOBS):
        job = Job(
            name=f"job.{number}",
            task="task",
            trigger=trigger,
            queue=_NAMES[number % QUEUES],
            criticality=_CRITICALITIES[number % len(_CRITICALITIES)],
        )
        engine.add(job, JobState(BEGIN, trigger.describe()), BEGIN)
    prepare(engine)
    best = float("inf")
    # The first round begins the credits, and is not counted.
    for round_number in range(1, ROUNDS + 2):
        now = BEGIN + round_number * MINUTE_MS
        controllers = engine.controllers
        engine.put_controllers(controllers._replace(stepped_at=now))
        begun_s = time.process_time()
        while engine.tick(Snapshot(now), now).more:
            pass
        if round_number > 1:
            best = min(best, (time.process_time() - begun_s) / JOBS * 1e6)
    return best


def _readings(oldest_ms: int) -> Mapping[str, Reading[QueueReading]]:
    beside = frozenset(_NAMES[:10])
    reading = QueueReading(
        ready=100 if oldest_ms else 0,
        oldest_ms=oldest_ms,
        completed=30,
        over_ms=30 * SECOND_MS,
        consumers=4,
        beside=beside,
    )
    return {queue: Reading(reading._replace(beside=beside - {queue}), BEGIN) for queue in _NAMES}


def _per_step(readings: Mapping[str, Reading[QueueReading]]) -> float:
    policy = ControlPolicy()
    present = dict.fromkeys(_NAMES, _CRITICALITIES)
    controllers = Controllers()
    best = float("inf")
    for number in range(200):
        now = BEGIN + number * policy.interval_ms
        fresh = {queue: Reading(reading.value, now) for queue, reading in readings.items()}
        begun_s = time.process_time()
        controllers = step(controllers, Snapshot(now, queues=fresh), policy, present, now)
        best = min(best, (time.process_time() - begun_s) * 1e3)
    return best


if __name__ == "__main__":
    main()
