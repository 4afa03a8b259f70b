"""How a platform came out of each event: when its backlog was gone, and what its workers did then.

The backlog before an event is the most of any second of the quarter of an hour before it, or a message for each process
of the workers if that is more: so many are no backlog. It is gone from the first second on after the event's end from
which it is no more than that for a minute, or to the end of what there is.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from packages.scheduling.instants import MINUTE_MS
from packages.scheduling.simulation.message import Fate, Message
from packages.scheduling.simulation.quantiles import Quantiles, quantiles_of
from packages.scheduling.simulation.record import SAMPLED_EVERY_MS, Outcome
from packages.scheduling.simulation.scenario import Backlog, Event

BEFORE_MS: Final = 15 * MINUTE_MS
STAYS_MS: Final = MINUTE_MS
_TOLD: Final = ("worker", "processes", "factor", "task", "queue", "share", "group", "messages")


@dataclass(frozen=True, slots=True)
class Recovery:
    """`began` and `ended` are counted from the beginning of the scenario.

    `backlog_ms`: from the event's end until the backlog was gone; None: it was not. `critical_start`: of each critical
    job that had a message waiting at the event's end, how long after it the first of them was begun.
    `most_stale_runs`: how many fires of one sheddable job at most were run after it that had been planned for before,
    whether they waited as messages or were published after it.
    """

    what: str
    began: int
    ended: int
    before: int
    backlog_ms: int | None
    critical_start: Quantiles | None
    most_stale_runs: int


def recoveries_of(outcome: Outcome) -> tuple[Recovery, ...]:
    """One for each event, in the order of the scenario."""
    return tuple(_recovery(outcome, event) for event in outcome.scenario.events)


def _recovery(outcome: Outcome, event: Event) -> Recovery:
    scenario = outcome.scenario
    ended = _ended(event, scenario.length_ms)
    totals = [sum(sample.ready) for sample in outcome.record.samples]
    first = max(0, event.at - BEFORE_MS) // SAMPLED_EVERY_MS
    processes = sum(worker.processes for worker in scenario.workers)
    before = max([processes, *totals[first : event.at // SAMPLED_EVERY_MS]])
    gone_at = _gone_at(totals, -(-ended // SAMPLED_EVERY_MS), before)
    end = scenario.begins + ended
    started = [message for message in outcome.record.messages if _began_after(message, end)]
    critical: dict[str, int] = {}
    for message in started:
        if message.criticality.is_critical and message.published_at <= end and message.started_at is not None:
            critical[message.job] = min(message.started_at - end, critical.get(message.job, scenario.length_ms))
    stale = Counter(message.job for message in started if message.planned < end and not message.criticality.is_critical)
    return Recovery(
        what=_words(event),
        began=event.at,
        ended=ended,
        before=before,
        backlog_ms=None if gone_at is None else max(0, gone_at - ended),
        critical_start=quantiles_of(critical.values()),
        most_stale_runs=max(stale.values(), default=0),
    )


def _ended(event: Event, length_ms: int) -> int:
    """When it is over: a backlog at once, what nothing undoes at the end of the scenario."""
    if isinstance(event, Backlog):
        return event.at
    return length_ms if event.lasts_ms is None else min(event.at + event.lasts_ms, length_ms)


def _gone_at(totals: list[int], first: int, before: int) -> int | None:
    needed = STAYS_MS // SAMPLED_EVERY_MS
    run = 0
    for position in range(first, len(totals)):
        run = run + 1 if totals[position] <= before else 0
        if run >= needed:
            return (position - run + 1) * SAMPLED_EVERY_MS
    return (len(totals) - run) * SAMPLED_EVERY_MS if run else None


def _began_after(message: Message, end: int) -> bool:
    ran = message.fate in {Fate.RUNNING, Fate.SUCCEEDED, Fate.FAILED}
    return ran and message.started_at is not None and message.started_at >= end


def _words(event: Event) -> str:
    values = {name: getattr(event, name, None) for name in _TOLD}
    return " ".join(
        [type(event).__name__.lower(), *(f"{name}={value}" for name, value in values.items() if value is not None)]
    )
