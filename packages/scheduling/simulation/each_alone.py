"""What the simple controllers have in common: each queue is seen alone, by its last reading."""

from collections.abc import Collection
from typing import Final, Protocol

from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.control.groups import Present
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Snapshot

# What they may throttle.
SHEDDABLE: Final = (Criticality.SHEDDABLE_PLUS, Criticality.SHEDDABLE)


class Rule(Protocol):
    """What is to hold of one queue next, but for `since`; None where its reading says nothing."""

    def __call__(
        self, queue: str, before: QueueControl, reading: QueueReading, policy: BacklogPolicy
    ) -> QueueControl | None:
        """`before`: what holds now."""
        ...


def each_alone(  # noqa: PLR0913  # those of a step, and the rule
    controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int, *, rule: Rule
) -> Controllers:
    """The next state by `rule`; a queue without a fresh reading stays as it was. Rates hold of what has jobs."""
    queues: dict[str, QueueControl] = {}
    for queue, criticalities in present.items():
        before = controllers.queues.get(queue, QueueControl())
        reading = snapshot.queues.get(queue)
        is_fresh = reading is not None and reading.age_ms(now) <= policy.stale_ms
        after = rule(queue, before, reading.value, policy.backlog) if reading is not None and is_fresh else None
        queues[queue] = before if after is None else _held(before, after, criticalities, now)
    return controllers._replace(stepped_at=now, queues=queues)


def _held(before: QueueControl, after: QueueControl, criticalities: Collection[Criticality], now: int) -> QueueControl:
    rates = {each: rate for each, rate in after.rates.items() if each in criticalities}
    since = now if before.since is None else before.since
    return after._replace(rates=rates, since=since if rates else None)
