"""What the adaptive control costs a fire, and a control interval, at 100,000 jobs in 50 queues: CPU time of the engine.

The same jobs come due at once and are decided in batches of a thousand, without a control, under one that throttles
nobody, and under one that throttles every queue to a half: then half of the fires wait and are taken up by the next.
The probe's one round trip for 50 queues is measured by `tests/probes/test_redis_probe.py`. Ends with exit code 1 if
the bar does not hold.
"""

import time
from collections.abc import Callable

from packages.infra.beat.stored_controllers import controllers_text
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


def main() -> int:
    """Measure and print; the exit code."""
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
    holds = throttled - plain <= BAR_US
    verdict = "holds" if holds else "fails"
    print(f"  all are, by a half    {throttled:6.2f}   + {throttled - plain:.2f}   (at most {BAR_US:g}: {verdict})")
    print("One control interval of queues that the same workers serve, milliseconds; what is kept of it, kilobytes")
    for queues in (QUEUES, 200, 1_000):
        for words, oldest_ms in (("nothing waits", 0), ("all stand", 60 * SECOND_MS)):
            step_ms, stored_kb = _per_step(queues, oldest_ms)
            print(f"  {queues:5,} queues, {words:15} {step_ms:7.3f} {stored_kb:8.1f}")
    return 0 if holds else 1


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


def _per_step(queues: int, oldest_ms: int) -> tuple[float, float]:
    names = [f"queue_{number}" for number in range(queues)]
    reading = QueueReading(
        ready=100 if oldest_ms else 0,
        oldest_ms=oldest_ms,
        completed=30,
        over_ms=30 * SECOND_MS,
        consumers=4,
        group=frozenset(names),
    )
    policy = ControlPolicy()
    present = dict.fromkeys(names, _CRITICALITIES)
    controllers = Controllers()
    best = float("inf")
    for number in range(200):
        now = BEGIN + number * policy.interval_ms
        fresh = dict.fromkeys(names, Reading(reading, now))
        begun_s = time.process_time()
        controllers = step(controllers, Snapshot(now, queues=fresh), policy, present, now)
        best = min(best, (time.process_time() - begun_s) * 1e3)
    return best, len(controllers_text(controllers)) / 1e3


if __name__ == "__main__":
    raise SystemExit(main())
