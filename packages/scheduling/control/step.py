"""One control interval of all controllers: from what was known and what the probes say now, what is to hold next."""

from typing import Protocol

from packages.scheduling.control.backlog import Present, step_queues
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.snapshot import Snapshot


class Step(Protocol):
    """How the controllers of one interval follow from those of the last one. Pure."""

    def __call__(
        self, controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int
    ) -> Controllers:
        """`present`: which criticalities have jobs, by queue."""
        ...


def step(
    controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int
) -> Controllers:
    """The controllers of the interval that begins at `now`."""
    queues = step_queues(controllers.queues, snapshot.queues, policy.backlog, present, now, stale_ms=policy.stale_ms)
    after = controllers._replace(stepped_at=now, queues=queues)
    # What was taken up counts as long as it is throttled.
    kept = {key: count for key, count in controllers.coalesced.items() if after.throttles}
    return after._replace(coalesced=kept)


def is_due(controllers: Controllers, policy: ControlPolicy, now: int) -> bool:
    """Whether an interval is over; also after the clock was set back."""
    return controllers.stepped_at is None or not 0 <= now - controllers.stepped_at < policy.interval_ms


def without_queue(controllers: Controllers, queue: str) -> Controllers:
    """The same with nothing known of one queue."""
    return controllers._replace(
        queues={name: each for name, each in controllers.queues.items() if name != queue},
        coalesced={key: count for key, count in controllers.coalesced.items() if key[0] != queue},
    )
